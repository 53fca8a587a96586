//! Where the spans of a trace stand in a block.
//!
//! A file beside the spans: of every span the hash of its trace id and its row, sorted by hash. A
//! look-up reads one small row group of it and knows the rows, where a Bloom filter knows only in
//! which row groups all trace ids must be read. Hashes are of 32 bits, so a row may be another
//! trace's: who reads it compares the id.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::basic::Encoding;
use parquet::file::statistics::Statistics;
use skopos_model::TraceId;
use skopos_model::storage::{ErrorKind, StorageError};
use xxhash_rust::xxh3::xxh3_64;

use super::parquet_file::ParquetFile;
use super::{damaged, parquet_file};

/// Rows that a look-up reads.
const GROUP_ROWS: usize = 8 << 10;

fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::UInt32, false);
    Arc::new(Schema::new(vec![field("hash"), field("row")]))
}

/// The upper half of the hash of 64 bits.
fn hash(trace_id: &[u8]) -> u32 {
    (xxh3_64(trace_id) >> 32) as u32
}

/// Collects the places of spans.
#[derive(Default)]
pub(super) struct TraceIndexBuilder {
    rows: Vec<(u32, u32)>,
    seen: usize,
}

impl TraceIndexBuilder {
    /// The next rows of the block.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let ids = batch.column_by_name("trace_id").and_then(|c| c.as_fixed_size_binary_opt());
        for (at, id) in ids.into_iter().flat_map(|ids| ids.iter().enumerate()) {
            if let (Some(id), Ok(row)) = (id, u32::try_from(self.seen + at)) {
                self.rows.push((hash(id), row));
            }
        }
        self.seen += batch.num_rows();
    }

    /// The file; `None` when it would not name every span that has a trace.
    pub(super) fn finish(mut self) -> Result<Option<Vec<u8>>, StorageError> {
        if u32::try_from(self.seen).is_err() {
            return Ok(None);
        }
        self.rows.sort_unstable();
        let column = |of: fn(&(u32, u32)) -> u32| -> ArrayRef {
            Arc::new(self.rows.iter().map(of).collect::<UInt32Array>())
        };
        let columns = vec![column(|row| row.0), column(|row| row.1)];
        let batch = RecordBatch::try_new(schema(), columns).map_err(|error| {
            StorageError::with_source(ErrorKind::Internal, "cannot build a block's index", error)
        })?;
        let properties = parquet_file::properties()
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BINARY_PACKED);
        parquet_file::write(schema(), [batch], properties.build()).map(Some)
    }
}

/// The index of a block whose footer has been read.
pub(super) struct TraceIndex {
    file: ParquetFile,
    /// Smallest and largest hash of each row group.
    bounds: Vec<(u32, u32)>,
    /// The last answer: one row group of spans after another asks for the same trace.
    last: Mutex<Option<(TraceId, Arc<[u32]>)>>,
}

impl TraceIndex {
    pub(super) fn new(file: ParquetFile) -> Self {
        let leaf = file.leaf("hash");
        let of = |group: &parquet::file::metadata::RowGroupMetaData| match group
            .columns()
            .get(leaf?)?
            .statistics()
        {
            // Parquet has no unsigned integers of its own.
            Some(Statistics::Int32(s)) => {
                Some((s.min_opt()?.cast_unsigned(), s.max_opt()?.cast_unsigned()))
            }
            _ => None,
        };
        let bounds = file.row_groups().iter().map(|group| of(group).unwrap_or((0, u32::MAX)));
        Self { bounds: bounds.collect(), file, last: Mutex::default() }
    }

    /// Bytes in memory, about.
    pub(super) fn size_bytes(&self) -> u64 {
        self.file.size_bytes() + (self.bounds.len() * size_of::<(u32, u32)>()) as u64
    }

    /// The rows that may be of a trace, ascending; no other row is.
    pub(super) fn rows(&self, id: TraceId) -> Result<Arc<[u32]>, StorageError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, rows)) = &*last
            && *known == id
        {
            return Ok(Arc::clone(rows));
        }
        let wanted = hash(&id.0);
        let within = |(min, max): &(u32, u32)| (*min..=*max).contains(&wanted);
        let bounds = self.bounds.iter().enumerate();
        let groups: Vec<usize> =
            bounds.filter(|(_, bounds)| within(bounds)).map(|(i, _)| i).collect();
        let mut rows = Vec::new();
        if !groups.is_empty() {
            let batch = self.file.read(None, Some(groups), None)?;
            let column = |name| {
                let column = batch.column_by_name(name);
                let column = column.and_then(|c| c.as_primitive_opt::<UInt32Type>());
                column
                    .ok_or_else(|| damaged(&self.file.name, "columns are not those of the format"))
            };
            let (hashes, places) = (column("hash")?, column("row")?);
            let of_trace = hashes.values().iter().zip(places.values());
            rows.extend(of_trace.filter(|(hash, _)| **hash == wanted).map(|(_, row)| *row));
            rows.sort_unstable();
        }
        let rows: Arc<[u32]> = rows.into();
        *last = Some((id, Arc::clone(&rows)));
        Ok(rows)
    }
}
