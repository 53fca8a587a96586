//! Which texts do not occur in the bodies of log records: the skip index of full-text search.
//!
//! A file beside the records: for every [`STRETCH_ROWS`] rows a set of the pieces of four bytes that
//! occur in their bodies. A text whose pieces are not all in the set is in no body. Bytes are folded
//! first, letters to small ones, because search ignores case, and digits to one: numbers would fill
//! the set with every piece there is. The set is a bitmap with one hash, halved by laying its halves
//! over each other while a tenth of its bits or less are set, so that it takes about ten bits for each
//! different piece.

use std::sync::{Arc, OnceLock};

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::file::properties::EnabledStatistics;
use skopos_model::storage::{ErrorKind, StorageError};

use super::parquet_file::ParquetFile;
use super::{damaged, parquet_file};

/// Rows that one set speaks for.
const STRETCH_ROWS: usize = 32 << 10;
/// Bytes of a piece.
const GRAM: usize = 4;
/// Bits of a set before it is halved.
const BITS: usize = 1 << 21;
/// A set is not halved below this.
const LEAST_BITS: usize = 64;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("set", DataType::Binary, false)]))
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        other => other.to_ascii_lowercase(),
    }
}

/// Hashes of the pieces of a text; a set of fewer bits takes their lowest.
fn grams(text: &[u8]) -> impl Iterator<Item = u32> {
    let mut window = 0_u32;
    text.iter().enumerate().filter_map(move |(i, byte)| {
        window = window << 8 | u32::from(fold(*byte));
        // Fibonacci hashing: the upper bits are the mixed ones.
        (i + 1 >= GRAM).then(|| window.wrapping_mul(0x9e37_79b1) >> (32 - BITS.ilog2()))
    })
}

/// Collects the sets of a block.
pub(super) struct GramsBuilder {
    bits: Vec<u64>,
    rows: usize,
    sets: BinaryBuilder,
}

impl Default for GramsBuilder {
    fn default() -> Self {
        Self { bits: vec![0; BITS / 64], rows: 0, sets: BinaryBuilder::new() }
    }
}

impl GramsBuilder {
    /// The next rows of the block.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let Some(bodies) = batch.column_by_name("body").and_then(|c| c.as_string_opt::<i32>())
        else {
            return;
        };
        for body in bodies {
            for gram in grams(body.unwrap_or_default().as_bytes()) {
                if let Some(word) = self.bits.get_mut(gram as usize / 64) {
                    *word |= 1 << (gram % 64);
                }
            }
            self.rows += 1;
            if self.rows == STRETCH_ROWS {
                self.end_stretch();
            }
        }
    }

    fn end_stretch(&mut self) {
        let mut set = self.bits.as_slice().to_vec();
        self.bits.fill(0);
        self.rows = 0;
        let ones = |set: &[u64]| set.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        while set.len() * 64 > LEAST_BITS && ones(&set) * 10 <= set.len() * 32 {
            let upper = set.split_off(set.len() / 2);
            set.iter_mut().zip(upper).for_each(|(low, high)| *low |= high);
        }
        let bytes: Vec<u8> = set.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.sets.append_value(bytes);
    }

    /// The file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, StorageError> {
        if self.rows > 0 {
            self.end_stretch();
        }
        let column: ArrayRef = Arc::new(self.sets.finish());
        let batch = RecordBatch::try_new(schema(), vec![column]).map_err(|error| {
            StorageError::with_source(ErrorKind::Internal, "cannot build a block's index", error)
        })?;
        let properties = parquet_file::properties()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None);
        parquet_file::write(schema(), [batch], properties.build())
    }
}

/// The sets of a block whose footer has been read.
pub(super) struct GramsIndex {
    file: ParquetFile,
    sets: OnceLock<Vec<Box<[u8]>>>,
}

impl GramsIndex {
    pub(super) fn new(file: ParquetFile) -> Self {
        Self { file, sets: OnceLock::new() }
    }

    /// Bytes in memory, about, the sets included, which come with the first search.
    pub(super) fn size_bytes(&self) -> u64 {
        let groups = self.file.row_groups().iter();
        let sets: i64 = groups.map(|group| group.total_byte_size()).sum();
        self.file.size_bytes() + u64::try_from(sets).unwrap_or(0)
    }

    /// Whether no body of these rows has this text, as far as can be told.
    pub(super) fn rules_out(
        &self,
        first_row: usize,
        rows: usize,
        text: &str,
    ) -> Result<bool, StorageError> {
        if text.len() < GRAM || rows == 0 {
            return Ok(false);
        }
        let sets = match self.sets.get() {
            Some(sets) => sets,
            None => {
                let read = self.read()?;
                self.sets.get_or_init(|| read)
            }
        };
        let stretches = first_row / STRETCH_ROWS..=(first_row + rows - 1) / STRETCH_ROWS;
        Ok(stretches.into_iter().all(|at| sets.get(at).is_some_and(|set| lacks(set, text))))
    }

    fn read(&self) -> Result<Vec<Box<[u8]>>, StorageError> {
        let batch = self.file.read(None, None, None)?;
        let column = batch.column_by_name("set").and_then(|c| c.as_binary_opt::<i32>());
        let Some(column) = column else {
            return Err(damaged(&self.file.name, "columns are not those of the format"));
        };
        let sets: Vec<Box<[u8]>> =
            column.iter().map(|set| set.unwrap_or_default().into()).collect();
        match sets.iter().all(|set| set.len().is_power_of_two()) {
            true => Ok(sets),
            false => Err(damaged(&self.file.name, "a set has no size that sets have")),
        }
    }
}

/// Whether a piece of the text is not in the set.
fn lacks(set: &[u8], text: &str) -> bool {
    grams(text.as_bytes()).any(|gram| {
        let bit = gram as usize % (set.len() * 8);
        set.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) == 0)
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::StringArray;

    use super::*;

    fn set(bodies: &[&str]) -> Vec<u8> {
        let body = Field::new("body", DataType::Utf8, false);
        let column: ArrayRef = Arc::new(StringArray::from(bodies.to_vec()));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![body])), vec![column]).unwrap();
        let mut builder = GramsBuilder::default();
        builder.add(&batch);
        builder.end_stretch();
        builder.sets.finish().value(0).to_vec()
    }

    #[test]
    fn what_occurs_is_never_ruled_out() {
        let bodies =
            ["Order 4711 declined: card expired", "Größe überschritten – 12 µs", "", "ab", "retry"];
        let set = set(&bodies);
        for body in bodies {
            for (start, _) in body.char_indices() {
                for (end, _) in body.char_indices().filter(|(end, _)| *end >= start + GRAM) {
                    let text = &body[start..end];
                    assert!(!lacks(&set, text), "{text:?}");
                    assert!(!lacks(&set, &text.to_ascii_uppercase()), "{text:?}");
                }
            }
        }
        assert!(!lacks(&set, "order 9999"), "digits are alike");
    }

    #[test]
    fn what_does_not_occur_mostly_is_and_the_set_is_small() {
        let bodies: Vec<String> = (0..1_000)
            .map(|i| format!("request {i} of /orders/{} took {} ms", i % 50, i * 7))
            .collect();
        let set = set(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(set.len() <= 128, "{} bytes", set.len());
        let absent = ["quokka", "zebrafish", "timeout", "deadlock", "out of memory", "panicked"];
        let found = absent.iter().filter(|text| !lacks(&set, text)).count();
        assert!(found <= 1, "{found} of {} were not ruled out", absent.len());
    }
}
