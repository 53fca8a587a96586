//! Plain rows in files that other engines read: what `skopos export` writes.
//!
//! Parquet: zstd, one row group per [`GROUP_ROWS`] rows or [`GROUP_BYTES`] bytes, whichever is
//! first, so that neither writer nor reader holds more. Columns are those of the tables.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::SqlError;

/// Most rows of a row group.
pub const GROUP_ROWS: usize = 131_072;

/// About how many bytes a row group may hold while it is written.
pub const GROUP_BYTES: usize = 64 << 20;

/// Writes a Parquet file.
pub struct ParquetRows<W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: u64,
}

impl<W: Write + Send> ParquetRows<W> {
    /// A file of rows with these columns.
    pub fn new(out: W, schema: SchemaRef) -> Result<Self, SqlError> {
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by("skopos".to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(failed)?;
        Ok(Self { writer, rows: 0 })
    }

    /// Adds rows.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        self.writer.write(batch).map_err(failed)?;
        self.rows += batch.num_rows() as u64;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    /// Ends the file; yields how many rows it has.
    pub fn end(self) -> Result<u64, SqlError> {
        self.writer.close().map_err(failed)?;
        Ok(self.rows)
    }
}

fn failed(error: ParquetError) -> SqlError {
    SqlError::Execution { message: format!("cannot write Parquet: {error}"), hint: None }
}
