//! Reading a metric block: its series by matchers, their chunks, exemplars and metadata.
//!
//! The index (labels, postings, times of chunks) is read once and kept; chunks are fetched by a
//! query and stay encoded until a series is decoded.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, BinaryArray, MapArray, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use skopos_model::storage::{
    QueryBudget, SampleBuffer, SampleSource, SelectedSeries, SeriesExemplars, SeriesSelect,
    StorageError,
};
use skopos_model::{Exemplar, LabelMatcher, Labels, Metadata, MetricType};

use super::metrics::{CHUNKS, EXEMPLARS, METADATA, SERIES, TIMES};
use super::parquet_file::ParquetFile;
use super::times::Runs;
use super::{BlockFiles, BlockMeta, chunk, damaged};
use crate::head::postings::{Postings, SeriesRef};

/// Chunks fetched at once; bounds the memory of one column buffer.
const FETCH_ROWS: usize = 8192;
/// How many series are looked at between two looks at the budget.
const BUDGET_STEP: usize = 1024;

/// The series of a block.
pub(crate) struct MetricIndex {
    series: Vec<Entry>,
    /// The place of each series in label order.
    ranks: Vec<u32>,
    postings: Postings,
    places: Arc<[Place]>,
    chunks: Arc<ParquetFile>,
    /// Absent up to version 1, whose chunks have their own times.
    times: Option<ParquetFile>,
    exemplars: Option<ParquetFile>,
    metadata: Vec<Metadata>,
}

struct Entry {
    labels: Labels,
    /// Rows of the chunk table.
    chunks: Range<u32>,
}

/// A row of the chunk table without its data.
#[derive(Clone, Copy)]
struct Place {
    first_ms: i64,
    last_ms: i64,
    samples: u32,
    kind: u8,
}

impl MetricIndex {
    pub(super) fn open(files: &Arc<BlockFiles>, meta: &BlockMeta) -> Result<Self, StorageError> {
        let find = |name: &str| {
            let found = meta.files.iter().find(|f| f.name.ends_with(&format!("-{name}")));
            found.map(|file| ParquetFile::open(files, file)).transpose()
        };
        let missing = |what: &str| damaged(&format!("{:010}-{what}", meta.number), "not listed");
        let series = find(SERIES)?.ok_or_else(|| missing(SERIES))?;
        let chunks = find(CHUNKS)?.ok_or_else(|| missing(CHUNKS))?;
        let metadata = match find(METADATA)? {
            Some(file) => read_metadata(&file)?,
            None => Vec::new(),
        };
        let mut entries = read_series(&series)?;
        let places = read_places(&chunks, &mut entries)?;
        let mut postings = Postings::default();
        for (at, entry) in entries.iter().enumerate() {
            postings.add(at as SeriesRef, &entry.labels);
        }
        let mut sorted: Vec<u32> = (0..entries.len() as u32).collect();
        let labels = |at: u32| entries.get(at as usize).map(|entry| &entry.labels);
        sorted.sort_unstable_by(|&a, &b| labels(a).cmp(&labels(b)));
        let mut ranks = vec![0; entries.len()];
        for (rank, &at) in sorted.iter().enumerate() {
            if let Some(place) = ranks.get_mut(at as usize) {
                *place = rank as u32;
            }
        }
        Ok(Self {
            series: entries,
            ranks,
            postings,
            places: places.into(),
            chunks: Arc::new(chunks),
            times: find(TIMES)?,
            exemplars: find(EXEMPLARS)?,
            metadata,
        })
    }

    /// Bytes in memory, about.
    pub(super) fn size_bytes(&self) -> u64 {
        let labels: usize = self.series.iter().map(|entry| entry.labels.size_bytes()).sum();
        let series = self.series.len() * (size_of::<Entry>() + size_of::<u32>());
        let places = self.places.len() * size_of::<Place>();
        let text = |m: &Metadata| size_of::<Metadata>() + m.metric.len() + m.help.len();
        let metadata: usize = self.metadata.iter().map(text).sum();
        let memory = labels + series + places + metadata + self.postings.size_bytes();
        let footers =
            self.chunks.size_bytes() + self.exemplars.iter().map(|f| f.size_bytes()).sum::<u64>();
        memory as u64 + footers
    }

    /// The series that satisfy the matchers and may have samples in range, in label order.
    pub(crate) fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SelectedSeries>, StorageError> {
        let mut wanted: Vec<(SeriesRef, Range<u32>)> = Vec::new();
        for at in self.matching(&select.matchers, budget)? {
            let rows = self.rows(at, select.start_ms, select.end_ms);
            if !rows.is_empty() {
                wanted.push((at, rows));
            }
        }
        // In the order of the file: series numbers ascend, and so do their rows.
        let rows = wanted.iter().map(|(_, rows)| rows.clone());
        let fetched = Arc::new(self.fetch(rows, budget)?);
        let mut from = 0;
        let mut found = Vec::with_capacity(wanted.len());
        for (at, rows) in wanted {
            let Some(entry) = self.series.get(at as usize) else { continue };
            let count = rows.len();
            let samples = Arc::new(BlockSamples {
                places: Arc::clone(&self.places),
                rows,
                data: Arc::clone(&fetched),
                from,
                file: Arc::clone(&self.chunks),
            });
            from += count;
            found.push((at, SelectedSeries { labels: entry.labels.clone(), samples }));
        }
        budget.charge_bytes((found.len() * size_of::<SelectedSeries>()) as u64)?;
        found.sort_unstable_by_key(|(at, _)| self.ranks.get(*at as usize).copied());
        Ok(found.into_iter().map(|(_, series)| series).collect())
    }

    /// Hands out the labels of every series that satisfies the matchers and may have samples in
    /// range.
    pub(crate) fn each_with_samples(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
        mut each: impl FnMut(&Labels),
    ) -> Result<(), StorageError> {
        for refs in self.matching(&select.matchers, budget)?.chunks(BUDGET_STEP) {
            budget.check()?;
            for &at in refs {
                if !self.rows(at, select.start_ms, select.end_ms).is_empty()
                    && let Some(entry) = self.series.get(at as usize)
                {
                    each(&entry.labels);
                }
            }
        }
        Ok(())
    }

    /// All label names.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.postings.names()
    }

    /// All values of a label.
    pub(crate) fn label_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.postings.values(name)
    }

    /// All declarations.
    pub(crate) fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    /// Exemplars of the series that satisfy the matchers, in label order.
    pub(crate) fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let Some(file) = &self.exemplars else { return Ok(Vec::new()) };
        let mut wanted: Vec<(SeriesRef, Vec<Exemplar>)> = self
            .matching(&select.matchers, budget)?
            .into_iter()
            .map(|at| (at, Vec::new()))
            .collect();
        file.read_each(None, None, None, FETCH_ROWS, |batch| {
            budget.check()?;
            let rows = ExemplarRows::new(&batch).ok_or_else(|| wrong_columns(file))?;
            for row in 0..batch.num_rows() {
                let (series, time) = (rows.series.value(row), rows.time.value(row));
                if !(select.start_ms..=select.end_ms).contains(&time) {
                    continue;
                }
                if let Ok(place) = wanted.binary_search_by_key(&series, |(at, _)| *at)
                    && let Some((_, list)) = wanted.get_mut(place)
                {
                    let exemplar = rows.exemplar(row).ok_or_else(|| wrong_columns(file))?;
                    budget.charge_bytes(exemplar.labels.size_bytes() as u64 + 32)?;
                    list.push(exemplar);
                }
            }
            Ok(())
        })?;
        wanted.retain(|(_, exemplars)| !exemplars.is_empty());
        wanted.sort_unstable_by_key(|(at, _)| self.ranks.get(*at as usize).copied());
        let with_labels = |(at, exemplars): (SeriesRef, Vec<Exemplar>)| {
            let labels = self.series.get(at as usize)?.labels.clone();
            Some(SeriesExemplars { labels, exemplars })
        };
        Ok(wanted.into_iter().filter_map(with_labels).collect())
    }

    /// The labels of all series in the order of the block.
    pub(crate) fn all_labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.iter().map(|entry| &entry.labels)
    }

    /// The labels of a series by its place.
    pub(crate) fn labels(&self, at: usize) -> Option<&Labels> {
        self.series.get(at).map(|entry| &entry.labels)
    }

    /// All samples of neighbouring series.
    pub(crate) fn fetch_all(
        &self,
        series: Range<usize>,
        budget: &QueryBudget,
    ) -> Result<Vec<Arc<dyn SampleSource>>, StorageError> {
        let entries = self.series.get(series).unwrap_or_default();
        let rows = || entries.iter().map(|entry| entry.chunks.clone()).filter(|r| !r.is_empty());
        let fetched = Arc::new(self.fetch(rows(), budget)?);
        let mut from = 0;
        let sources = entries.iter().map(|entry| {
            let source = BlockSamples {
                places: Arc::clone(&self.places),
                rows: entry.chunks.clone(),
                data: Arc::clone(&fetched),
                from,
                file: Arc::clone(&self.chunks),
            };
            from += entry.chunks.len();
            Arc::new(source) as Arc<dyn SampleSource>
        });
        Ok(sources.collect())
    }

    /// All exemplars by the place of their series.
    pub(crate) fn all_exemplars(&self) -> Result<HashMap<u32, Vec<Exemplar>>, StorageError> {
        let mut all: HashMap<u32, Vec<Exemplar>> = HashMap::new();
        let Some(file) = &self.exemplars else { return Ok(all) };
        file.read_each(None, None, None, FETCH_ROWS, |batch| {
            let rows = ExemplarRows::new(&batch).ok_or_else(|| wrong_columns(file))?;
            for row in 0..batch.num_rows() {
                let exemplar = rows.exemplar(row).ok_or_else(|| wrong_columns(file))?;
                all.entry(rows.series.value(row)).or_default().push(exemplar);
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn matching(
        &self,
        matchers: &[LabelMatcher],
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesRef>, StorageError> {
        budget.check()?;
        #[expect(clippy::indexing_slicing, reason = "the index names only its own series")]
        let labels_of = |at: SeriesRef| &self.series[at as usize].labels;
        self.postings.select(matchers, self.series.len(), labels_of, budget)
    }

    /// Rows of the chunks of a series that overlap a range.
    fn rows(&self, at: SeriesRef, start_ms: i64, end_ms: i64) -> Range<u32> {
        let Some(entry) = self.series.get(at as usize) else { return 0..0 };
        let (from, to) = (entry.chunks.start as usize, entry.chunks.end as usize);
        let places = self.places.get(from..to).unwrap_or_default();
        let first = places.partition_point(|p| p.last_ms < start_ms) as u32;
        let last = places.partition_point(|p| p.first_ms <= end_ms) as u32;
        entry.chunks.start + first..entry.chunks.start + last.max(first)
    }

    /// Reads chunks, given by ascending rows.
    fn fetch(
        &self,
        rows: impl Iterator<Item = Range<u32>>,
        budget: &QueryBudget,
    ) -> Result<Fetched, StorageError> {
        let mut selectors: Vec<RowSelector> = Vec::new();
        let mut at = 0;
        let mut kinds = Vec::new();
        for rows in rows {
            let places = self.places.get(rows.start as usize..rows.end as usize);
            kinds.extend(places.unwrap_or_default().iter().map(|place| place.kind));
            if rows.start > at {
                selectors.push(RowSelector::skip((rows.start - at) as usize));
            }
            selectors.push(RowSelector::select(rows.len()));
            at = rows.end;
        }
        if selectors.is_empty() {
            return Ok(Fetched::default());
        }
        let mut arrays: Vec<BinaryArray> = Vec::new();
        let selection = Some(RowSelection::from(selectors));
        self.chunks.read_each(Some(&["data"]), None, selection, FETCH_ROWS, |batch| {
            let data = batch.column_by_name("data").and_then(|c| c.as_binary_opt::<i32>());
            let data = data.ok_or_else(|| wrong_columns(&self.chunks))?;
            budget.charge_bytes(data.value_data().len() as u64)?;
            arrays.push(data.clone());
            Ok(())
        })?;
        let mut wanted = BTreeSet::new();
        for (kind, data) in kinds.into_iter().zip(arrays.iter().flat_map(|array| array.iter())) {
            let run = chunk::run_of(kind, data.unwrap_or_default());
            wanted.extend(run.map_err(|_| damaged(&self.chunks.name, "a chunk has no times"))?);
        }
        let runs = match &self.times {
            Some(times) => Runs::fetch(times, &wanted, budget)?,
            None => Runs::default(),
        };
        Ok(Fetched { arrays, runs })
    }
}

/// Chunks and the times they name.
#[derive(Default)]
struct Fetched {
    /// All but the last have [`FETCH_ROWS`] rows at most.
    arrays: Vec<BinaryArray>,
    runs: Runs,
}

/// Fetched chunks of one series.
struct BlockSamples {
    places: Arc<[Place]>,
    /// Rows of the chunk table.
    rows: Range<u32>,
    /// Everything fetched with it.
    data: Arc<Fetched>,
    /// Where its chunks begin there.
    from: usize,
    file: Arc<ParquetFile>,
}

impl BlockSamples {
    fn chunk(&self, mut at: usize) -> Option<&[u8]> {
        for array in &self.data.arrays {
            if at < array.len() {
                return Some(array.value(at));
            }
            at -= array.len();
        }
        None
    }
}

impl SampleSource for BlockSamples {
    fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        let places = self.places.get(self.rows.start as usize..self.rows.end as usize);
        for (i, place) in places.unwrap_or_default().iter().enumerate() {
            if place.last_ms < start_ms || end_ms < place.first_ms {
                continue;
            }
            let data = self.chunk(self.from + i);
            let data = data.ok_or_else(|| damaged(&self.file.name, "rows are missing"))?;
            let chunk = (place.kind, place.samples, data);
            let times_of = |run| self.data.runs.get(run);
            chunk::decode(chunk, times_of, start_ms, end_ms, out).map_err(|_| {
                let row = self.rows.start as usize + i;
                damaged(&self.file.name, format!("chunk in row {row} does not decode"))
            })?;
        }
        Ok(())
    }

    fn len_hint(&self) -> usize {
        let places = self.places.get(self.rows.start as usize..self.rows.end as usize);
        places.unwrap_or_default().iter().map(|place| place.samples as usize).sum()
    }
}

fn wrong_columns(file: &ParquetFile) -> StorageError {
    damaged(&file.name, "columns are not those of the format")
}

fn read_series(file: &ParquetFile) -> Result<Vec<Entry>, StorageError> {
    let mut entries = Vec::new();
    file.read_each(Some(&["labels"]), None, None, FETCH_ROWS, |batch| {
        let labels = batch.column_by_name("labels").and_then(|c| c.as_map_opt());
        let labels = labels.ok_or_else(|| wrong_columns(file))?;
        for row in 0..batch.num_rows() {
            let labels = labels_at(labels, row).ok_or_else(|| wrong_columns(file))?;
            entries.push(Entry { labels, chunks: 0..0 });
        }
        Ok(())
    })?;
    Ok(entries)
}

fn labels_at(column: &MapArray, row: usize) -> Option<Labels> {
    let keys: &StringArray = column.keys().as_string_opt()?;
    let values: &StringArray = column.values().as_string_opt()?;
    let offsets = column.value_offsets();
    let (from, to) = (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize);
    let pairs = (from..to).map(|i| (keys.value(i), values.value(i)));
    let names_ascend = pairs.clone().is_sorted_by(|a, b| a.0 < b.0);
    let complete = pairs.clone().all(|(_, value)| !value.is_empty());
    (names_ascend && complete).then(|| Labels::from_sorted_pairs(pairs))
}

fn read_places(file: &ParquetFile, series: &mut [Entry]) -> Result<Vec<Place>, StorageError> {
    let columns = ["start_ms", "end_ms", "series", "samples", "kind"];
    let mut places: Vec<Place> = Vec::new();
    let mut last: Option<(u32, i64)> = None;
    file.read_each(Some(&columns), None, None, FETCH_ROWS, |batch| {
        let rows = PlaceRows::new(&batch).ok_or_else(|| wrong_columns(file))?;
        for row in 0..batch.num_rows() {
            let (number, place) = rows.get(row);
            // Chunks of a series stand together, by time, and do not overlap.
            let fits = place.first_ms <= place.last_ms
                && last.is_none_or(|(series, end)| {
                    series < number || series == number && end < place.first_ms
                });
            let entry = series.get_mut(number as usize).filter(|_| fits);
            let entry = entry.ok_or_else(|| damaged(&file.name, "chunks are not in order"))?;
            let at = places.len() as u32;
            if entry.chunks.is_empty() {
                entry.chunks = at..at + 1;
            } else {
                entry.chunks.end = at + 1;
            }
            last = Some((number, place.last_ms));
            places.push(place);
        }
        Ok(())
    })?;
    Ok(places)
}

struct PlaceRows<'a> {
    first: &'a arrow_array::PrimitiveArray<Int64Type>,
    last: &'a arrow_array::PrimitiveArray<Int64Type>,
    series: &'a arrow_array::PrimitiveArray<UInt32Type>,
    samples: &'a arrow_array::PrimitiveArray<UInt32Type>,
    kind: &'a arrow_array::PrimitiveArray<UInt8Type>,
}

impl<'a> PlaceRows<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            first: batch.column_by_name("start_ms")?.as_primitive_opt()?,
            last: batch.column_by_name("end_ms")?.as_primitive_opt()?,
            series: batch.column_by_name("series")?.as_primitive_opt()?,
            samples: batch.column_by_name("samples")?.as_primitive_opt()?,
            kind: batch.column_by_name("kind")?.as_primitive_opt()?,
        })
    }

    fn get(&self, row: usize) -> (u32, Place) {
        let place = Place {
            first_ms: self.first.value(row),
            last_ms: self.last.value(row),
            samples: self.samples.value(row),
            kind: self.kind.value(row),
        };
        (self.series.value(row), place)
    }
}

struct ExemplarRows<'a> {
    series: &'a arrow_array::PrimitiveArray<UInt32Type>,
    time: &'a arrow_array::PrimitiveArray<Int64Type>,
    value: &'a arrow_array::PrimitiveArray<Float64Type>,
    labels: &'a MapArray,
}

impl<'a> ExemplarRows<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            series: batch.column_by_name("series")?.as_primitive_opt()?,
            time: batch.column_by_name("time_ms")?.as_primitive_opt()?,
            value: batch.column_by_name("value")?.as_primitive_opt()?,
            labels: batch.column_by_name("labels")?.as_map_opt()?,
        })
    }

    fn exemplar(&self, row: usize) -> Option<Exemplar> {
        Some(Exemplar {
            labels: labels_at(self.labels, row)?,
            timestamp_ms: self.time.value(row),
            value: self.value.value(row),
        })
    }
}

fn read_metadata(file: &ParquetFile) -> Result<Vec<Metadata>, StorageError> {
    const TYPES: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];
    let batch = file.read(None, None, None)?;
    let column = |name: &str| -> Result<&StringArray, StorageError> {
        let column = batch.column_by_name(name).and_then(|c| c.as_string_opt());
        column.ok_or_else(|| wrong_columns(file))
    };
    let (metric, kind) = (column("metric")?, column("type")?);
    let (unit, help) = (column("unit")?, column("help")?);
    let all: BTreeSet<Metadata> = (0..batch.num_rows())
        .map(|row| Metadata {
            metric: metric.value(row).into(),
            metric_type: TYPES
                .into_iter()
                .find(|t| t.as_str() == kind.value(row))
                .unwrap_or_default(),
            unit: unit.value(row).into(),
            help: help.value(row).into(),
        })
        .collect();
    Ok(all.into_iter().collect())
}
