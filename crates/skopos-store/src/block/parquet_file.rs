//! One Parquet file: writing it into memory, and reading chosen columns, row groups and rows.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use skopos_model::storage::{ErrorKind, StorageError};

use super::file::{BlockFiles, OpenFile};
use super::{FileMeta, damaged};

/// Version of the layout of all files of a block.
const FORMAT_VERSION: u32 = 4;
/// Where a file says its version.
const VERSION_KEY: &str = "skopos.block.version";

/// Properties that all files have in common.
pub(super) fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(zstd(3))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by("skopos".into())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            VERSION_KEY.to_owned(),
            FORMAT_VERSION.to_string(),
        )]))
}

/// Compression of this level.
pub(super) fn zstd(level: i32) -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default())
}

/// Writes batches of one schema as a file in memory.
pub(super) fn write(
    schema: SchemaRef,
    batches: impl IntoIterator<Item = RecordBatch>,
    properties: WriterProperties,
) -> Result<Vec<u8>, StorageError> {
    let mut writer = Writer::new(schema, properties)?;
    for batch in batches {
        writer.write(&batch)?;
    }
    writer.finish()
}

/// Writes a file in memory, batch by batch.
pub(super) struct Writer(ArrowWriter<Vec<u8>>);

impl Writer {
    pub(super) fn new(
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, StorageError> {
        ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map(Self).map_err(failed)
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        self.0.write(batch).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, StorageError> {
        self.0.into_inner().map_err(failed)
    }
}

fn failed(error: ParquetError) -> StorageError {
    StorageError::with_source(ErrorKind::Internal, "cannot write block", error)
}

/// A file whose footer has been read.
pub(super) struct ParquetFile {
    pub(super) name: String,
    file: OpenFile,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(super) fn open(files: &Arc<BlockFiles>, meta: &FileMeta) -> Result<Self, StorageError> {
        let file = files.open(meta)?;
        // Bounds of pages are for other readers; their places are for ours.
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options)
            .map_err(|error| damaged(&meta.name, error))?;
        let stored = metadata.metadata().file_metadata().key_value_metadata();
        let version = stored
            .and_then(|all| all.iter().find(|pair| pair.key == VERSION_KEY))
            .and_then(|pair| pair.value.as_ref()?.parse::<u32>().ok())
            .ok_or_else(|| damaged(&meta.name, "it does not say its version"))?;
        if version > FORMAT_VERSION {
            let message = format!(
                "block file {} has format version {version}, this version of skopos reads up to \
                 {FORMAT_VERSION}: use the newer version, or another data folder",
                meta.name
            );
            return Err(StorageError::new(ErrorKind::UnsupportedVersion, message));
        }
        Ok(Self { name: meta.name.clone(), file, metadata })
    }

    /// Bytes in memory, about: the footer and the checksums.
    pub(super) fn size_bytes(&self) -> u64 {
        self.metadata.metadata().memory_size() as u64 + self.file.size_bytes()
    }

    pub(super) fn row_groups(&self) -> &[RowGroupMetaData] {
        self.metadata.metadata().row_groups()
    }

    /// The place of a top-level column among the file's leaf columns.
    pub(super) fn leaf(&self, column: &str) -> Option<usize> {
        let schema = self.metadata.parquet_schema();
        (0..schema.num_columns()).find(|&i| schema.get_column_root(i).name() == column)
    }

    /// Whether a row group's Bloom filter rules a value of a column out.
    pub(super) fn rules_out(
        &self,
        row_group: usize,
        column: &str,
        value: &[u8],
    ) -> Result<bool, StorageError> {
        let Some(leaf) = self.leaf(column) else { return Ok(false) };
        let builder = self.builder();
        let filter = builder
            .get_row_group_column_bloom_filter(row_group, leaf)
            .map_err(|error| damaged(&self.name, error))?;
        Ok(filter.is_some_and(|filter| !filter.check(value)))
    }

    /// Whether a row group's Bloom filter rules all of these values of a column out.
    pub(super) fn rules_out_all(
        &self,
        row_group: usize,
        column: &str,
        values: &[&[u8]],
    ) -> Result<bool, StorageError> {
        let Some(leaf) = self.leaf(column) else { return Ok(false) };
        let filter = self
            .builder()
            .get_row_group_column_bloom_filter(row_group, leaf)
            .map_err(|error| damaged(&self.name, error))?;
        Ok(filter.is_some_and(|filter| !values.iter().any(|value| filter.check(*value))))
    }

    /// Reads columns (`None`: all) of row groups (`None`: all), of them the selected rows, as one
    /// batch; no rows give an empty batch.
    pub(super) fn read(
        &self,
        columns: Option<&[&str]>,
        row_groups: Option<Vec<usize>>,
        rows: Option<RowSelection>,
    ) -> Result<RecordBatch, StorageError> {
        let mut batches = Vec::new();
        let schema = self.read_each(columns, row_groups, rows, 64 << 10, |batch| {
            batches.push(batch);
            Ok(())
        })?;
        match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => Ok(batch),
            Err(batches) => {
                concat_batches(&schema, &batches).map_err(|error| damaged(&self.name, error))
            }
        }
    }

    /// Reads as [`read`](Self::read) does, and hands out one batch after another.
    pub(super) fn read_each(
        &self,
        columns: Option<&[&str]>,
        row_groups: Option<Vec<usize>>,
        rows: Option<RowSelection>,
        batch_rows: usize,
        mut each: impl FnMut(RecordBatch) -> Result<(), StorageError>,
    ) -> Result<SchemaRef, StorageError> {
        let mut builder = self.builder().with_batch_size(batch_rows);
        if let Some(columns) = columns {
            let leaves = columns.iter().flat_map(|column| self.leaves(column));
            let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), leaves);
            builder = builder.with_projection(mask);
        }
        if let Some(row_groups) = row_groups {
            if row_groups.iter().any(|&i| i >= self.row_groups().len()) {
                return Err(damaged(&self.name, "row group is missing"));
            }
            builder = builder.with_row_groups(row_groups);
        }
        if let Some(rows) = rows {
            builder = builder.with_row_selection(rows);
        }
        let reader = builder.build().map_err(|error| damaged(&self.name, error))?;
        let schema = arrow_array::RecordBatchReader::schema(&reader);
        for batch in reader {
            each(batch.map_err(|error| damaged(&self.name, error))?)?;
        }
        Ok(schema)
    }

    /// Reads everything, batch by batch.
    pub(super) fn reader(
        &self,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, StorageError> {
        let builder = self.builder().with_batch_size(batch_rows);
        builder.build().map_err(|error| damaged(&self.name, error))
    }

    /// All leaf columns of a top-level column.
    fn leaves(&self, column: &str) -> Vec<usize> {
        let schema = self.metadata.parquet_schema();
        let of = |&i: &usize| schema.get_column_root(i).name() == column;
        (0..schema.num_columns()).filter(of).collect()
    }

    fn builder(&self) -> ParquetRecordBatchReaderBuilder<OpenFile> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
    }
}
