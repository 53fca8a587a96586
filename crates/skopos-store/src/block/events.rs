//! Event blocks: one row per record in the documented schema, sorted by (service, time); what of it
//! the file has is said by [`stored`](super::stored).
//!
//! A row group is what is looked at or left out as a whole: by its times and services (statistics)
//! by trace id (of logs a Bloom filter, of spans an [index](super::traces) that knows the rows), and
//! by what the bodies of logs do not contain ([`grams`](super::grams)).
//! Of a row group that stays, the columns that a condition looks at are read first, all others only
//! for the rows of the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, RecordBatch,
    StringArray, TimestampNanosecondArray, UInt8Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector};
use parquet::basic::Encoding;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use skopos_model::event::{EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_model::{EventId, TimeRange, Timestamp, TraceId};

use super::grams::{GramsBuilder, GramsIndex};
use super::parquet_file::{self, ParquetFile};
use super::traces::{TraceIndex, TraceIndexBuilder};
use super::{BlockFiles, BlockKind, BlockMeta, damaged, stored};
use crate::event::filter::matching_rows;
use crate::event::{event_schema, ids};

/// Rows of a row group: what is pruned as one.
const GROUP_ROWS: usize = 32 << 10;
/// Bytes of a row group, about; text columns of it must fit into one buffer.
const GROUP_BYTES: usize = 128 << 20;
/// Rows of a page: what is decompressed for one row of an answer. The spans of a trace stand in as
/// many pages as there are services in it.
const fn page_rows(signal: EventSignal) -> usize {
    match signal {
        EventSignal::Logs => 4096,
        EventSignal::Spans => 2048,
    }
}
/// Columns of long texts, which are most of a merged block.
const TEXTS: [&str; 2] = ["attributes", "body"];
/// How hard they are compressed when blocks are merged: what is merged is kept for days.
const MERGED_LEVEL: i32 = 9;
/// Rows put together at once while writing.
pub(crate) const BATCH_ROWS: usize = 8192;

/// The index of a block of spans; older blocks have none.
const TRACES_FILE: &str = "traces.parquet";
/// The skip index of a block of logs; older blocks have none.
const GRAMS_FILE: &str = "grams.parquet";

fn file_name(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::Spans => "spans.parquet",
        _ => "logs.parquet",
    }
}

fn internal(error: ArrowError) -> StorageError {
    StorageError::with_source(ErrorKind::Internal, "cannot put event rows together", error)
}

/// Where a row stands in the order of blocks.
pub(crate) type RowKey = (Arc<str>, EventId);

/// Writes a block whose rows come in the order of [`RowKey`].
pub(crate) struct EventWriter {
    signal: EventSignal,
    level: u32,
    writer: parquet_file::Writer,
    /// Of spans.
    traces: Option<TraceIndexBuilder>,
    /// Of logs.
    grams: Option<GramsBuilder>,
    first_ns: i64,
    last_ns: i64,
    rows: u64,
}

impl EventWriter {
    /// A block of about so many rows; `level` counts how often they have been merged.
    pub(crate) fn new(signal: EventSignal, rows: u64, level: u32) -> Result<Self, StorageError> {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let properties = properties(signal, rows, level > 0);
        let writer = parquet_file::Writer::new(stored::schema(signal), properties)?;
        let traces = (signal == EventSignal::Spans).then(TraceIndexBuilder::default);
        let grams = (signal == EventSignal::Logs).then(GramsBuilder::default);
        let (first_ns, last_ns) = (i64::MAX, i64::MIN);
        Ok(Self { signal, level, writer, traces, grams, first_ns, last_ns, rows: 0 })
    }

    /// Counts a row that will be written.
    pub(crate) fn note(&mut self, id: EventId) {
        let time = id.time().0;
        self.first_ns = self.first_ns.min(time);
        self.last_ns = self.last_ns.max(time);
        self.rows += 1;
    }

    /// Writes rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        if let Some(traces) = &mut self.traces {
            traces.add(batch);
        }
        if let Some(grams) = &mut self.grams {
            grams.add(batch);
        }
        self.writer.write(&stored::from_rows(self.signal, batch)?)
    }

    /// Writes the file; durable after [`BlockFiles::sync`]. `None` when there are no rows.
    pub(crate) fn finish(
        self,
        files: &BlockFiles,
        number: u64,
    ) -> Result<Option<BlockMeta>, StorageError> {
        let Self { signal, level, writer, traces, grams, first_ns, last_ns, rows } = self;
        if rows == 0 {
            return Ok(None);
        }
        let kind = BlockKind::of(signal);
        let mut written = vec![writer.finish().map(|bytes| (file_name(kind), bytes))];
        written.extend(grams.map(|grams| grams.finish().map(|bytes| (GRAMS_FILE, bytes))));
        if let Some(index) = traces.map_or(Ok(None), TraceIndexBuilder::finish)? {
            written.push(Ok((TRACES_FILE, index)));
        }
        let of_block = files.put_all(number, written)?;
        Ok(Some(BlockMeta { number, kind, level, first_ns, last_ns, rows, files: of_block }))
    }
}

/// Writes the rows of batches in any order as a block. An id that occurs twice is written once.
pub(crate) fn write(
    files: &BlockFiles,
    number: u64,
    signal: EventSignal,
    batches: &[RecordBatch],
) -> Result<Option<BlockMeta>, StorageError> {
    let mut rows: Vec<(u32, EventId, (usize, usize))> = Vec::new();
    let services = services(batches)?;
    for (at, batch) in batches.iter().enumerate() {
        let of_batch = ServiceRanks::new(&services, batch)?;
        let ids = ids(batch)?.into_iter().enumerate();
        rows.extend(ids.map(|(row, id)| (of_batch.rank(row), id, (at, row))));
    }
    rows.sort_unstable();
    rows.dedup_by_key(|(_, id, _)| *id);
    let mut writer = EventWriter::new(signal, rows.len() as u64, 0)?;
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    for rows in rows.chunks(BATCH_ROWS) {
        rows.iter().for_each(|(_, id, _)| writer.note(*id));
        let places: Vec<(usize, usize)> = rows.iter().map(|(.., place)| *place).collect();
        writer.write(&interleave_record_batch(&batches, &places).map_err(internal)?)?;
    }
    writer.finish(files, number)
}

/// The keys of a batch's rows.
pub(crate) fn row_keys(batch: &RecordBatch) -> Result<Vec<RowKey>, StorageError> {
    let (keys, values) = service_column(batch)?;
    let services: Vec<Arc<str>> = values.iter().map(|v| v.unwrap_or_default().into()).collect();
    let none: Arc<str> = "".into();
    let key = |(row, id)| {
        let service = services.get(keys.value(row) as usize).unwrap_or(&none);
        (Arc::clone(service), id)
    };
    Ok(ids(batch)?.into_iter().enumerate().map(key).collect())
}

fn properties(signal: EventSignal, rows: usize, merged: bool) -> WriterProperties {
    let mut properties = parquet_file::properties()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_data_page_row_count_limit(page_rows(signal))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    // Of the rows of a page nothing else is told by their bounds: they are in this order.
    for name in ["service", "time"] {
        let column = ColumnPath::from(name);
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Page);
    }
    for name in TEXTS.iter().filter(|_| merged) {
        let (column, level) = (ColumnPath::from(*name), parquet_file::zstd(MERGED_LEVEL));
        properties = properties.set_column_compression(column, level);
    }
    let plain = |encoding, names: &[&'static str], mut properties: Properties| {
        for name in names {
            let column = ColumnPath::from(*name);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, encoding);
        }
        properties
    };
    let times: &[&str] = match signal {
        EventSignal::Logs => &[stored::SEQUENCE, "time", stored::OBSERVED_AFTER],
        EventSignal::Spans => &[stored::SEQUENCE, "time", "end_time", "duration"],
    };
    properties = plain(Encoding::DELTA_BINARY_PACKED, times, properties);
    if signal == EventSignal::Spans {
        return properties.build();
    }
    let trace_id = ColumnPath::from("trace_id");
    properties
        .set_column_bloom_filter_enabled(trace_id.clone(), true)
        .set_column_bloom_filter_fpp(trace_id.clone(), 0.01)
        .set_column_bloom_filter_max_ndv(trace_id, rows.clamp(1, GROUP_ROWS) as u64)
        .build()
}

type Properties = parquet::file::properties::WriterPropertiesBuilder;

/// All services, sorted.
fn services(batches: &[RecordBatch]) -> Result<Vec<String>, StorageError> {
    let mut names = BTreeSet::new();
    for batch in batches {
        let (_, values) = service_column(batch)?;
        for value in values.iter().flatten() {
            if !names.contains(value) {
                names.insert(value.to_owned());
            }
        }
    }
    Ok(names.into_iter().collect())
}

fn service_column(batch: &RecordBatch) -> Result<(&Int32Array, &StringArray), StorageError> {
    let column = batch.column_by_name("service").and_then(|c| c.as_dictionary_opt::<Int32Type>());
    let parts = column.and_then(|c| Some((c.keys(), c.values().as_string_opt()?)));
    parts.ok_or_else(|| StorageError::new(ErrorKind::Internal, "batch of events has no service"))
}

struct ServiceRanks<'a> {
    keys: &'a Int32Array,
    ranks: Vec<u32>,
}

impl<'a> ServiceRanks<'a> {
    fn new(services: &[String], batch: &'a RecordBatch) -> Result<Self, StorageError> {
        let (keys, values) = service_column(batch)?;
        let rank =
            |value: Option<&str>| services.partition_point(|s| Some(s.as_str()) < value) as u32;
        Ok(Self { keys, ranks: values.iter().map(rank).collect() })
    }

    fn rank(&self, row: usize) -> u32 {
        self.ranks.get(self.keys.value(row) as usize).copied().unwrap_or(0)
    }
}

/// An event block whose footer has been read.
pub(crate) struct EventFile {
    file: ParquetFile,
    signal: EventSignal,
    groups: Vec<GroupFacts>,
    traces: Option<TraceIndex>,
    grams: Option<GramsIndex>,
}

struct GroupFacts {
    first: Timestamp,
    last: Timestamp,
    /// Place of its first row in the block.
    start: usize,
    rows: usize,
    /// Smallest and largest service, when known.
    services: Option<(Vec<u8>, Vec<u8>)>,
}

/// A row group of an event block.
#[derive(Clone)]
pub(crate) struct RowGroup {
    file: Arc<EventFile>,
    index: usize,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: usize,
}

impl EventFile {
    pub(super) fn open(files: &Arc<BlockFiles>, meta: &BlockMeta) -> Result<Self, StorageError> {
        let name = file_name(meta.kind);
        let found = meta.files.iter().find(|f| f.name.ends_with(name));
        let found = found.ok_or_else(|| damaged(&format!("{:010}-{name}", meta.number), "gone"))?;
        let file = ParquetFile::open(files, found)?;
        let signal = match meta.kind {
            BlockKind::Spans => EventSignal::Spans,
            _ => EventSignal::Logs,
        };
        let beside = |name: &str| {
            let found = meta.files.iter().find(|f| f.name.ends_with(name));
            found.map(|found| ParquetFile::open(files, found)).transpose()
        };
        let traces = beside(TRACES_FILE)?.map(TraceIndex::new);
        let grams = beside(GRAMS_FILE)?.map(GramsIndex::new);
        let (time, service) = (file.leaf("time"), file.leaf("service"));
        let mut start = 0;
        let groups = file
            .row_groups()
            .iter()
            .map(|group| {
                let of = |leaf: Option<usize>| group.columns().get(leaf?)?.statistics();
                let (first, last) = match of(time) {
                    Some(Statistics::Int64(s)) => (s.min_opt().copied(), s.max_opt().copied()),
                    _ => (None, None),
                };
                let services = of(service)
                    .and_then(|s| Some((s.min_bytes_opt()?.to_vec(), s.max_bytes_opt()?.to_vec())));
                let rows = usize::try_from(group.num_rows()).unwrap_or(0);
                start += rows;
                GroupFacts {
                    start: start - rows,
                    first: Timestamp(first.unwrap_or(i64::MIN)),
                    last: Timestamp(last.unwrap_or(i64::MAX)),
                    rows,
                    services,
                }
            })
            .collect();
        Ok(Self { file, signal, groups, traces, grams })
    }

    /// Bytes in memory, about.
    pub(super) fn size_bytes(&self) -> u64 {
        let traces = self.traces.as_ref().map_or(0, TraceIndex::size_bytes);
        let grams = self.grams.as_ref().map_or(0, GramsIndex::size_bytes);
        let groups = (self.groups.len() * size_of::<GroupFacts>()) as u64;
        self.file.size_bytes() + groups + traces + grams
    }

    /// All row groups.
    pub(crate) fn row_groups(self: &Arc<Self>) -> impl Iterator<Item = RowGroup> {
        self.groups.iter().enumerate().map(|(index, facts)| RowGroup {
            file: Arc::clone(self),
            index,
            first: facts.first,
            last: facts.last,
            rows: facts.rows,
        })
    }

    /// All rows, for compaction.
    pub(crate) fn read_rows(self: &Arc<Self>) -> Result<Rows, StorageError> {
        Ok(Rows { reader: self.file.reader(BATCH_ROWS)?, file: Arc::clone(self) })
    }

    /// Reads columns of the schema (`None`: all) of a row group, of it the selected rows.
    fn read(
        &self,
        columns: Option<&[&str]>,
        row_group: usize,
        rows: Option<RowSelection>,
    ) -> Result<RecordBatch, StorageError> {
        let has = |name: &str| self.file.leaf(name).is_some();
        let columns = columns.map(|columns| stored::columns(columns, has));
        self.file.read(columns.as_deref(), Some(vec![row_group]), rows)
    }

    /// The batch under our own schema, which has no notes of the Parquet reader.
    fn typed(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StorageError> {
        let column = |field: &Arc<arrow_schema::Field>| {
            let column = stored::column(batch, field.name());
            column.unwrap_or_else(|| stand_in(field, batch.num_rows()))
        };
        let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::clone(schema), columns)
            .map_err(|error| damaged(&self.file.name, error))
    }
}

/// The rows of a block in its order.
pub(crate) struct Rows {
    file: Arc<EventFile>,
    reader: ParquetRecordBatchReader,
}

impl Rows {
    /// The next batch.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, StorageError> {
        let file = &self.file;
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|error| damaged(&file.file.name, error))?;
        file.typed(&batch, &event_schema(file.signal)).map(Some)
    }

    /// A batch without rows.
    pub(crate) fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(event_schema(self.file.signal))
    }
}

impl RowGroup {
    pub(crate) fn signal(&self) -> EventSignal {
        self.file.signal
    }

    /// Whether no row can satisfy a scan, as far as can be told without reading rows.
    pub(crate) fn is_ruled_out(
        &self,
        range: TimeRange,
        predicates: &[Predicate],
    ) -> Result<bool, StorageError> {
        if range.end != Timestamp::MAX && !range.overlaps(self.first, self.last) {
            return Ok(true);
        }
        let Some(facts) = self.file.groups.get(self.index) else { return Ok(true) };
        if self.candidates(predicates)?.is_some_and(|rows| rows.is_empty()) {
            return Ok(true);
        }
        for predicate in predicates {
            let out = match predicate {
                // The index has told.
                predicate if self.file.traces.is_some() && wanted_traces(predicate).is_some() => {
                    false
                }
                Predicate::All(inner) => self.is_ruled_out(range, inner)?,
                Predicate::Contains(Field::Body | Field::Text, text) => match &self.file.grams {
                    Some(grams) => grams.rules_out(facts.start, facts.rows, text)?,
                    None => false,
                },
                Predicate::Equals(Field::Service, service) => {
                    let service = service.as_bytes();
                    facts.services.as_ref().is_some_and(|(min, max)| {
                        service < min.as_slice() || max.as_slice() < service
                    })
                }
                // Any of some traces.
                Predicate::Any(inner) if is_trace_ids(inner) => {
                    let ids: Vec<TraceId> = trace_ids(inner).collect();
                    let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
                    self.file.file.rules_out_all(self.index, "trace_id", &ids)?
                }
                Predicate::Equals(Field::TraceId, text) => match text.parse::<TraceId>() {
                    Ok(id) => self.file.file.rules_out(self.index, "trace_id", &id.0)?,
                    Err(_) => true,
                },
                _ => false,
            };
            if out {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The places of the rows that may satisfy conditions on trace ids, when the index tells.
    fn candidates(&self, predicates: &[Predicate]) -> Result<Option<Vec<usize>>, StorageError> {
        let Some(index) = &self.file.traces else { return Ok(None) };
        let Some(ids) = predicates.iter().find_map(wanted_traces) else { return Ok(None) };
        let start = self.file.groups.get(self.index).map_or(0, |facts| facts.start);
        let mut places = Vec::new();
        for id in ids {
            let rows = index.rows(id)?;
            let of_group = rows.iter().filter_map(|row| (*row as usize).checked_sub(start));
            places.extend(of_group.take_while(|row| *row < self.rows));
        }
        places.sort_unstable();
        places.dedup();
        Ok(Some(places))
    }

    /// These columns of some rows, in a batch of all columns whose others hold nothing.
    fn padded_rows(&self, rows: &[usize], columns: &[&str]) -> Result<RecordBatch, StorageError> {
        let names: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let batch = self.some_rows(rows, Some(&names))?;
        self.file.typed(&batch, &event_schema(self.file.signal))
    }

    /// The places of the rows that satisfy a scan, in a batch that has the columns the scan asks
    /// for; its other columns hold nothing.
    pub(crate) fn visit(&self, scan: &EventScan) -> Result<(RecordBatch, Vec<u32>), StorageError> {
        let mut looked_at = vec!["id", "time"];
        add_columns(self.file.signal, &scan.predicates, &mut looked_at);
        let all = event_schema(self.file.signal);
        let wanted: Vec<&str> = match &scan.projection {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => all.fields().iter().map(|field| field.name().as_str()).collect(),
        };
        if scan.predicates.is_empty() && scan.after.is_none() {
            looked_at.extend(&wanted);
        }
        if let Some(places) = self.candidates(&scan.predicates)? {
            looked_at.extend(&wanted);
            looked_at.sort_unstable();
            looked_at.dedup();
            let batch = self.padded_rows(&places, &looked_at)?;
            let rows = matching_rows(self.file.signal, &batch, scan.range, &scan.predicates)?;
            return Ok((batch, rows));
        }
        let batch = self.padded(&looked_at)?;
        let rows = matching_rows(self.file.signal, &batch, scan.range, &scan.predicates)?;
        if rows.is_empty() || wanted.iter().all(|name| looked_at.contains(name)) {
            return Ok((batch, rows));
        }
        let mut columns = wanted;
        columns.extend(["id", "time"]);
        if rows.len().saturating_mul(4) > self.rows {
            return Ok((self.padded(&columns)?, rows));
        }
        let places: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        let batch = self.padded_rows(&places, &columns)?;
        let rows = (0..batch.num_rows() as u32).collect();
        Ok((batch, rows))
    }

    /// Ids and places of the rows that satisfy a scan.
    pub(crate) fn matching(&self, scan: &EventScan) -> Result<Vec<(EventId, usize)>, StorageError> {
        let mut columns = vec!["id", "time"];
        add_columns(self.file.signal, &scan.predicates, &mut columns);
        columns.sort_unstable();
        columns.dedup();
        let places = self.candidates(&scan.predicates)?;
        let batch = match &places {
            Some(places) => self.padded_rows(places, &columns)?,
            None => self.padded(&columns)?,
        };
        let rows = matching_rows(self.file.signal, &batch, scan.range, &scan.predicates)?;
        let ids = ids(&batch)?;
        let place = |row| places.as_ref().map_or(Some(row), |places| places.get(row).copied());
        let with_id = |row: u32| Some((*ids.get(row as usize)?, place(row as usize)?));
        Ok(rows.into_iter().filter_map(with_id).collect())
    }

    /// All rows with these columns; the other columns of the schema hold nothing.
    pub(crate) fn padded(&self, columns: &[&str]) -> Result<RecordBatch, StorageError> {
        let batch = self.file.read(Some(columns), self.index, None)?;
        self.file.typed(&batch, &event_schema(self.file.signal))
    }

    /// Some rows, given by ascending place, with these columns of the schema (`None`: all).
    pub(crate) fn some_rows(
        &self,
        rows: &[usize],
        columns: Option<&[String]>,
    ) -> Result<RecordBatch, StorageError> {
        let mut selectors = Vec::new();
        let mut at = 0;
        for &row in rows {
            if row > at {
                selectors.push(RowSelector::skip(row - at));
            }
            selectors.push(RowSelector::select(1));
            at = row + 1;
        }
        let schema = event_schema(self.file.signal);
        let wanted: Option<Vec<&str>> =
            columns.map(|columns| columns.iter().map(String::as_str).collect());
        let schema = match &wanted {
            None => schema,
            Some(wanted) => {
                let places: Result<Vec<usize>, _> =
                    wanted.iter().map(|name| schema.index_of(name)).collect();
                let places = places.map_err(internal)?;
                Arc::new(schema.project(&places).map_err(internal)?)
            }
        };
        let selection = Some(RowSelection::from(selectors));
        let batch = self.file.read(wanted.as_deref(), self.index, selection)?;
        if batch.num_rows() != rows.len() {
            return Err(damaged(&self.file.file.name, "rows are missing"));
        }
        self.file.typed(&batch, &schema)
    }
}

/// Whether each condition wants one trace.
pub(crate) fn is_trace_ids(predicates: &[Predicate]) -> bool {
    predicates.iter().all(|p| matches!(p, Predicate::Equals(Field::TraceId, _)))
}

/// The traces that such conditions want.
pub(crate) fn trace_ids(predicates: &[Predicate]) -> impl Iterator<Item = TraceId> {
    predicates.iter().filter_map(|predicate| match predicate {
        // Text of another form than the one ids print in equals no id.
        Predicate::Equals(Field::TraceId, text) => {
            text.parse::<TraceId>().ok().filter(|id| id.to_string() == *text)
        }
        _ => None,
    })
}

/// The traces one of which a row must be of to satisfy a condition, when that is what it says.
fn wanted_traces(predicate: &Predicate) -> Option<Vec<TraceId>> {
    match predicate {
        Predicate::All(inner) => inner.iter().find_map(wanted_traces),
        Predicate::Any(inner) if is_trace_ids(inner) => Some(trace_ids(inner).collect()),
        Predicate::Equals(Field::TraceId, _) => {
            Some(trace_ids(std::slice::from_ref(predicate)).collect())
        }
        _ => None,
    }
}

/// The columns that conditions look at.
fn add_columns(signal: EventSignal, predicates: &[Predicate], columns: &mut Vec<&str>) {
    for predicate in predicates {
        match predicate {
            Predicate::All(inner) | Predicate::Any(inner) => add_columns(signal, inner, columns),
            Predicate::Not(inner) => add_columns(signal, std::slice::from_ref(inner), columns),
            Predicate::Exists(field)
            | Predicate::Equals(field, _)
            | Predicate::Compare(field, _, _)
            | Predicate::Contains(field, _)
            | Predicate::Matches(field, _) => columns.extend(columns_of(signal, field)),
        }
    }
}

/// The columns behind a field.
pub(crate) fn columns_of(signal: EventSignal, field: &Field) -> &'static [&'static str] {
    match (field, signal) {
        (Field::Service, _) => &["service"],
        (Field::Name, EventSignal::Logs) => &["event_name"],
        (Field::Name, EventSignal::Spans) => &["name"],
        (Field::TraceId, _) => &["trace_id"],
        (Field::SpanId, _) => &["span_id"],
        (Field::Scope, _) => &["scope_name"],
        (Field::Attribute(_), _) => &["attributes", "resource", "exact"],
        (Field::EventAttribute(_), _) => &["attributes", "exact"],
        (Field::ResourceAttribute(_), _) => &["resource", "exact"],
        (Field::ScopeAttribute(_), _) => &["scope_attributes", "exact"],
        (Field::Text, EventSignal::Spans) => {
            &["name", "status_message", "attributes", "events", "exact"]
        }
        (Field::Severity, EventSignal::Logs) => &["severity"],
        (Field::Body | Field::Text, EventSignal::Logs) => &["body"],
        (Field::Kind, EventSignal::Spans) => &["kind"],
        (Field::Status, EventSignal::Spans) => &["status"],
        (Field::StatusMessage, EventSignal::Spans) => &["status_message"],
        (Field::ParentSpanId, EventSignal::Spans) => &["parent_span_id"],
        (Field::Duration, EventSignal::Spans) => &["duration"],
        _ => &[],
    }
}

/// A column that nobody looks at.
fn stand_in(of: &arrow_schema::Field, len: usize) -> ArrayRef {
    match of.data_type() {
        of_null if of.is_nullable() => new_null_array(of_null, len),
        DataType::FixedSizeBinary(width) => {
            let zeros = vec![0_u8; len * usize::try_from(*width).unwrap_or(0)];
            Arc::new(FixedSizeBinaryArray::new(*width, zeros.into(), None))
        }
        DataType::Dictionary(..) => {
            let mut empty = StringBuilder::new();
            empty.append_value("");
            let keys = Int32Array::from(vec![0; len]);
            Arc::new(DictionaryArray::new(keys, Arc::new(empty.finish())))
        }
        DataType::Utf8 => Arc::new(StringArray::from(vec![""; len])),
        DataType::Timestamp(_, zone) => {
            Arc::new(TimestampNanosecondArray::from(vec![0; len]).with_timezone_opt(zone.clone()))
        }
        DataType::UInt8 => Arc::new(UInt8Array::from(vec![0; len])),
        DataType::UInt32 => Arc::new(UInt32Array::from(vec![0; len])),
        DataType::UInt64 => Arc::new(UInt64Array::from(vec![0; len])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![false; len])),
        other => new_null_array(other, len),
    }
}
