//! Runs of times, each once in a block.
//!
//! What is scraped or pushed together has the same times, so that the chunks of hundreds of series
//! name one row of this table instead of holding the same times each. A run is told from others by
//! 128 bits of a hash with a seed of this process, which no sender knows.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock};

use arrow_array::builder::{BinaryBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::basic::Compression;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::ColumnPath;
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::parquet_file::ParquetFile;
use super::{chunk, damaged, parquet_file};
use crate::head::chunk::Damaged;

/// Bytes of runs in a page.
const DATA_PAGE_BYTES: usize = 16 << 10;
/// Rows read at once.
const FETCH_ROWS: usize = 1024;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("samples", DataType::UInt32, false),
        Field::new("data", DataType::Binary, false),
    ]))
}

/// Collects runs of times for a block.
pub(super) struct TimesTable {
    seed: u64,
    rows: HashMap<u128, u32>,
    bytes: Vec<u8>,
    samples: UInt32Builder,
    data: BinaryBuilder,
}

impl Default for TimesTable {
    fn default() -> Self {
        Self {
            seed: RandomState::new().build_hasher().finish(),
            rows: HashMap::new(),
            bytes: Vec::new(),
            samples: UInt32Builder::new(),
            data: BinaryBuilder::new(),
        }
    }
}

impl TimesTable {
    /// The row of a run.
    pub(super) fn put(&mut self, times: &[i64]) -> Result<u32, StorageError> {
        self.bytes.clear();
        self.bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
        let hash = xxh3_128_with_seed(&self.bytes, self.seed);
        let next = self.rows.len();
        if let Some(row) = self.rows.get(&hash) {
            return Ok(*row);
        }
        let row = u32::try_from(next).map_err(|_| {
            StorageError::new(ErrorKind::ResourceExhausted, "more than 2^32 runs in a block")
        })?;
        self.samples.append_value(times.len() as u32);
        self.data.append_value(chunk::compress(times)?);
        self.rows.insert(hash, row);
        Ok(row)
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, StorageError> {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(self.samples.finish()), Arc::new(self.data.finish())];
        let batch = RecordBatch::try_new(schema(), columns).map_err(|error| {
            StorageError::with_source(ErrorKind::Internal, "cannot build a block's table", error)
        })?;
        let data = ColumnPath::from("data");
        let properties = parquet_file::properties()
            // Pages are cut between writes of so many rows.
            .set_write_batch_size(32)
            .set_column_compression(data.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(data.clone(), false)
            .set_column_statistics_enabled(data.clone(), EnabledStatistics::None)
            .set_column_data_page_size_limit(data, DATA_PAGE_BYTES);
        parquet_file::write(schema(), [batch], properties.build())
    }
}

/// Runs that were fetched with chunks; each is decoded once, when the first chunk asks for it.
#[derive(Default)]
pub(super) struct Runs(HashMap<u32, Run>);

struct Run {
    samples: u32,
    data: Box<[u8]>,
    decoded: OnceLock<Result<Arc<[i64]>, Damaged>>,
}

impl Runs {
    /// Reads rows of the table.
    pub(super) fn fetch(
        file: &ParquetFile,
        rows: &BTreeSet<u32>,
        budget: &QueryBudget,
    ) -> Result<Self, StorageError> {
        let there: i64 = file.row_groups().iter().map(|group| group.num_rows()).sum();
        if rows.last().is_some_and(|last| i64::from(*last) >= there) {
            return Err(damaged(&file.name, "rows are missing"));
        }
        let mut selectors = Vec::new();
        let mut at = 0_u64;
        for row in rows.iter().map(|row| u64::from(*row)) {
            selectors.push(RowSelector::skip((row - at) as usize));
            selectors.push(RowSelector::select(1));
            at = row + 1;
        }
        let mut runs = HashMap::with_capacity(rows.len());
        if selectors.is_empty() {
            return Ok(Self(runs));
        }
        let mut wanted = rows.iter();
        let selection = Some(RowSelection::from(selectors));
        file.read_each(None, None, selection, FETCH_ROWS, |batch| {
            let samples = batch.column_by_name("samples");
            let samples = samples.and_then(|c| c.as_primitive_opt::<UInt32Type>());
            let data = batch.column_by_name("data").and_then(|c| c.as_binary_opt::<i32>());
            let (Some(samples), Some(data)) = (samples, data) else {
                return Err(damaged(&file.name, "columns are not those of the format"));
            };
            for ((data, &samples), row) in data.iter().zip(samples.values()).zip(&mut wanted) {
                let data: Box<[u8]> = data.unwrap_or_default().into();
                // The decoded ones too, which come later.
                budget.charge_bytes(data.len() as u64 + u64::from(samples) * 8)?;
                runs.insert(*row, Run { samples, data, decoded: OnceLock::new() });
            }
            Ok(())
        })?;
        Ok(Self(runs))
    }

    /// The times of a row.
    pub(super) fn get(&self, row: u32) -> Result<Arc<[i64]>, Damaged> {
        let run = self.0.get(&row).ok_or(Damaged)?;
        run.decoded.get_or_init(|| chunk::decode_times(&run.data, run.samples)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_are_one_row() {
        let mut table = TimesTable::default();
        let run = |from: i64| (from..from + 5).collect::<Vec<_>>();
        let rows = [run(1), run(2), run(1), Vec::new(), run(2)].map(|run| table.put(&run).unwrap());
        assert_eq!(rows, [0, 1, 0, 2, 1]);
    }
}
