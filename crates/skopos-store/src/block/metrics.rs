//! Writing a metric block: a table of series, a table of chunks, their times, exemplars and
//! metadata beside.

use std::collections::BTreeSet;
use std::iter::once_with;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder, MapBuilder, MapFieldNames,
    StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::basic::{Compression, Encoding};
use parquet::schema::types::ColumnPath;
use skopos_model::storage::{ErrorKind, SampleBuffer, StorageError};
use skopos_model::{Exemplar, Labels, Metadata, SeriesId, Timestamp};

use super::times::TimesTable;
use super::{BlockFiles, BlockKind, BlockMeta, chunk, parquet_file};

/// Rows handed to the Parquet writer at once.
const BATCH_ROWS: usize = 4096;
/// Chunk bytes handed to the Parquet writer at once.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes of chunks in a page: what is read and thrown away for one chunk.
const DATA_PAGE_BYTES: usize = 64 << 10;

/// Names of the files of a block.
pub(super) const SERIES: &str = "series.parquet";
pub(super) const CHUNKS: &str = "chunks.parquet";
pub(super) const TIMES: &str = "times.parquet";
pub(super) const EXEMPLARS: &str = "exemplars.parquet";
pub(super) const METADATA: &str = "metadata.parquet";

fn labels_type() -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, false);
    let entries = DataType::Struct(vec![key, value].into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn series_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("series_id", DataType::FixedSizeBinary(16), false),
        Field::new("labels", labels_type(), false),
        Field::new("samples", DataType::UInt64, false),
    ]))
}

fn chunks_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("series_id", DataType::FixedSizeBinary(16), false),
        Field::new("start_ms", DataType::Int64, false),
        Field::new("end_ms", DataType::Int64, false),
        Field::new("series", DataType::UInt32, false),
        Field::new("samples", DataType::UInt32, false),
        Field::new("kind", DataType::UInt8, false),
        Field::new("data", DataType::Binary, false),
    ]))
}

fn exemplars_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("time_ms", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
        Field::new("labels", labels_type(), false),
    ]))
}

fn metadata_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("metric", DataType::Utf8, false),
        Field::new("type", DataType::Utf8, false),
        Field::new("unit", DataType::Utf8, false),
        Field::new("help", DataType::Utf8, false),
    ]))
}

/// The place of a series in a block.
pub(crate) type SortKey<'a> = (&'a str, SeriesId, &'a Labels);

/// Where a series stands in the order of blocks: by metric name, id, labels.
pub(crate) fn sort_key(labels: &Labels) -> SortKey<'_> {
    (labels.metric_name(), labels.series_id(), labels)
}

/// Builds a metric block series by series, in the order of [`sort_key`].
pub(crate) struct MetricWriter {
    series: SeriesTable,
    chunks: ChunkTable,
    times: TimesTable,
    exemplars: ExemplarTable,
    metadata: BTreeSet<Metadata>,
    count: u32,
    samples: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Default for MetricWriter {
    fn default() -> Self {
        Self {
            series: SeriesTable::default(),
            chunks: ChunkTable::default(),
            times: TimesTable::default(),
            exemplars: ExemplarTable::default(),
            metadata: BTreeSet::new(),
            count: 0,
            samples: 0,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
        }
    }
}

impl MetricWriter {
    /// Adds a series; one without samples and exemplars is left out.
    pub(crate) fn push(
        &mut self,
        labels: &Labels,
        samples: &SampleBuffer,
        exemplars: &[Exemplar],
    ) -> Result<(), StorageError> {
        if samples.is_empty() && exemplars.is_empty() {
            return Ok(());
        }
        let id = labels.series_id().0.to_be_bytes();
        let pieces = samples.len().div_ceil(chunk::MOST_SAMPLES).max(1);
        let piece = samples.len().div_ceil(pieces).max(1);
        for start in (0..samples.len()).step_by(piece) {
            let range = start..(start + piece).min(samples.len());
            let times = samples.timestamps.get(range.clone()).unwrap_or_default();
            let (Some(&first), Some(&last)) = (times.first(), times.last()) else { continue };
            let len = range.len() as u32;
            let run = self.times.put(times)?;
            let (kind, data) = chunk::encode(samples, range, run)?;
            let row = ChunkRow { name: labels.metric_name(), id, first, last, len, kind, data };
            self.chunks.push(self.count, &row)?;
            self.first_ms = self.first_ms.min(first);
            self.last_ms = self.last_ms.max(last);
        }
        for exemplar in exemplars {
            self.exemplars.push(self.count, exemplar)?;
            self.first_ms = self.first_ms.min(exemplar.timestamp_ms);
            self.last_ms = self.last_ms.max(exemplar.timestamp_ms);
        }
        self.series.push(labels, &id, samples.len() as u64)?;
        self.count = self.count.checked_add(1).ok_or_else(|| {
            StorageError::new(ErrorKind::ResourceExhausted, "more than 2^32 series in a block")
        })?;
        self.samples += samples.len() as u64;
        Ok(())
    }

    /// Adds declarations.
    pub(crate) fn add_metadata(&mut self, metadata: impl IntoIterator<Item = Metadata>) {
        self.metadata.extend(metadata);
    }

    /// Writes the files; durable after [`BlockFiles::sync`]. `None` when there is nothing to
    /// write.
    pub(crate) fn finish(
        self,
        files: &BlockFiles,
        number: u64,
        level: u32,
    ) -> Result<Option<BlockMeta>, StorageError> {
        if self.count == 0 {
            return Ok(None);
        }
        let (first_ms, last_ms, rows) = (self.first_ms, self.last_ms, self.samples);
        let Self { series, chunks, times, exemplars, metadata, .. } = self;
        // One is in memory at a time.
        let all = once_with(|| series.finish().map(|bytes| Some((SERIES, bytes))))
            .chain(once_with(|| chunks.finish().map(|bytes| Some((CHUNKS, bytes)))))
            .chain(once_with(|| times.finish().map(|bytes| Some((TIMES, bytes)))))
            .chain(once_with(|| {
                exemplars.finish().map(|bytes| bytes.map(|bytes| (EXEMPLARS, bytes)))
            }))
            .chain(once_with(|| match metadata.is_empty() {
                true => Ok(None),
                false => write_metadata(&metadata).map(|bytes| Some((METADATA, bytes))),
            }));
        let written = files.put_all(number, all.filter_map(Result::transpose))?;
        Ok(Some(BlockMeta {
            number,
            kind: BlockKind::Metrics,
            level,
            first_ns: Timestamp::from_millis(first_ms).0,
            last_ns: Timestamp::from_millis(last_ms).0,
            rows,
            files: written,
        }))
    }
}

fn labels_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Arc::new(Field::new("value", DataType::Utf8, false)))
}

fn put_labels(
    to: &mut MapBuilder<StringBuilder, StringBuilder>,
    labels: &Labels,
) -> Result<(), StorageError> {
    for (name, value) in labels.iter() {
        to.keys().append_value(name);
        to.values().append_value(value);
    }
    to.append(true).map_err(internal)
}

fn internal(error: arrow_schema::ArrowError) -> StorageError {
    StorageError::with_source(ErrorKind::Internal, "cannot build a block's table", error)
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, StorageError> {
    RecordBatch::try_new(schema, columns).map_err(internal)
}

struct SeriesTable {
    batches: Vec<RecordBatch>,
    name: StringBuilder,
    id: FixedSizeBinaryBuilder,
    labels: MapBuilder<StringBuilder, StringBuilder>,
    samples: UInt64Builder,
    rows: usize,
}

impl Default for SeriesTable {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            name: StringBuilder::new(),
            id: FixedSizeBinaryBuilder::new(16),
            labels: labels_builder(),
            samples: UInt64Builder::new(),
            rows: 0,
        }
    }
}

impl SeriesTable {
    fn push(&mut self, labels: &Labels, id: &[u8; 16], samples: u64) -> Result<(), StorageError> {
        self.name.append_value(labels.metric_name());
        self.id.append_value(id).map_err(internal)?;
        put_labels(&mut self.labels, labels)?;
        self.samples.append_value(samples);
        self.rows += 1;
        if self.rows >= BATCH_ROWS { self.cut() } else { Ok(()) }
    }

    fn cut(&mut self) -> Result<(), StorageError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.name.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.labels.finish()),
            Arc::new(self.samples.finish()),
        ];
        self.batches.push(batch(series_schema(), columns)?);
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, StorageError> {
        self.cut()?;
        parquet_file::write(series_schema(), self.batches, parquet_file::properties().build())
    }
}

struct ChunkRow<'a> {
    name: &'a str,
    id: [u8; 16],
    first: i64,
    last: i64,
    len: u32,
    kind: u8,
    data: Vec<u8>,
}

struct ChunkTable {
    batches: Vec<RecordBatch>,
    name: StringBuilder,
    id: FixedSizeBinaryBuilder,
    first: Int64Builder,
    last: Int64Builder,
    series: UInt32Builder,
    samples: UInt32Builder,
    kind: UInt8Builder,
    data: BinaryBuilder,
    rows: usize,
    bytes: usize,
}

impl Default for ChunkTable {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            name: StringBuilder::new(),
            id: FixedSizeBinaryBuilder::new(16),
            first: Int64Builder::new(),
            last: Int64Builder::new(),
            series: UInt32Builder::new(),
            samples: UInt32Builder::new(),
            kind: UInt8Builder::new(),
            data: BinaryBuilder::new(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl ChunkTable {
    fn push(&mut self, series: u32, row: &ChunkRow<'_>) -> Result<(), StorageError> {
        self.name.append_value(row.name);
        self.id.append_value(row.id).map_err(internal)?;
        self.first.append_value(row.first);
        self.last.append_value(row.last);
        self.series.append_value(series);
        self.samples.append_value(row.len);
        self.kind.append_value(row.kind);
        self.data.append_value(&row.data);
        self.rows += 1;
        self.bytes += row.data.len();
        let full = self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES;
        if full { self.cut() } else { Ok(()) }
    }

    fn cut(&mut self) -> Result<(), StorageError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.name.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.first.finish()),
            Arc::new(self.last.finish()),
            Arc::new(self.series.finish()),
            Arc::new(self.samples.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.data.finish()),
        ];
        self.batches.push(batch(chunks_schema(), columns)?);
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, StorageError> {
        self.cut()?;
        let data = ColumnPath::from("data");
        let delta = |properties: parquet::file::properties::WriterPropertiesBuilder, name: &str| {
            let column = ColumnPath::from(name);
            properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
        };
        let mut properties = parquet_file::properties()
            // Pages are cut between writes of so many rows.
            .set_write_batch_size(32)
            // pco has done what can be done.
            .set_column_compression(data.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(data.clone(), false)
            .set_column_statistics_enabled(
                data.clone(),
                parquet::file::properties::EnabledStatistics::None,
            )
            .set_column_data_page_size_limit(data, DATA_PAGE_BYTES);
        for name in ["start_ms", "end_ms", "series", "samples"] {
            properties = delta(properties, name);
        }
        parquet_file::write(chunks_schema(), self.batches, properties.build())
    }
}

struct ExemplarTable {
    series: UInt32Builder,
    time: Int64Builder,
    value: Float64Builder,
    labels: MapBuilder<StringBuilder, StringBuilder>,
    rows: usize,
}

impl Default for ExemplarTable {
    fn default() -> Self {
        Self {
            series: UInt32Builder::new(),
            time: Int64Builder::new(),
            value: Float64Builder::new(),
            labels: labels_builder(),
            rows: 0,
        }
    }
}

impl ExemplarTable {
    fn push(&mut self, series: u32, exemplar: &Exemplar) -> Result<(), StorageError> {
        self.series.append_value(series);
        self.time.append_value(exemplar.timestamp_ms);
        self.value.append_value(exemplar.value);
        self.rows += 1;
        put_labels(&mut self.labels, &exemplar.labels)
    }

    fn finish(mut self) -> Result<Option<Vec<u8>>, StorageError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.series.finish()),
            Arc::new(self.time.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.labels.finish()),
        ];
        let batch = batch(exemplars_schema(), columns)?;
        let properties = parquet_file::properties().build();
        parquet_file::write(exemplars_schema(), [batch], properties).map(Some)
    }
}

fn write_metadata(all: &BTreeSet<Metadata>) -> Result<Vec<u8>, StorageError> {
    let column = |text: &dyn Fn(&Metadata) -> String| -> ArrayRef {
        let values = all.iter().map(|metadata| Some(text(metadata)));
        Arc::new(values.collect::<arrow_array::StringArray>())
    };
    let columns = vec![
        column(&|m| m.metric.clone()),
        column(&|m| m.metric_type.as_str().into()),
        column(&|m| m.unit.clone()),
        column(&|m| m.help.clone()),
    ];
    let batch = batch(metadata_schema(), columns)?;
    parquet_file::write(metadata_schema(), [batch], parquet_file::properties().build())
}
