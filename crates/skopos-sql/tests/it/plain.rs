//! Exports and streams can be read back.

use std::fs::File;

use skopos_model::storage::QueryBudget;
use skopos_sql::SqlQuery;
use skopos_sql::encode::{ArrowReader, ArrowStream};
use skopos_sql::plain::ParquetRows;

use crate::data::{Bench, Place, shop};

#[tokio::test]
async fn an_arrow_stream_reads_back_in_pieces_of_any_size() {
    let bench = Bench::new(shop(), Place::Both).await;
    for table in skopos_sql::TABLES {
        let sql = format!("SELECT * FROM {table}");
        let rows = bench.engine.run(SqlQuery::new(sql, QueryBudget::unlimited())).await.unwrap();
        let schema = rows.schema().clone();
        let batches = rows.collect().await.unwrap();
        let mut writer = ArrowStream::new(&schema).unwrap();
        let mut bytes = Vec::new();
        for batch in &batches {
            bytes.extend(writer.rows(batch).unwrap());
        }
        bytes.extend(writer.end().unwrap());
        for size in [1, 7, 4096, bytes.len()] {
            let mut reader = ArrowReader::new();
            let mut back = Vec::new();
            for piece in bytes.chunks(size) {
                reader.feed(piece);
                while let Some(batch) = reader.batch().unwrap() {
                    back.push(batch);
                }
            }
            reader.end().unwrap();
            assert_eq!(reader.schema().unwrap(), schema);
            assert_eq!(back, batches, "{table} in pieces of {size}");
        }
        let mut cut = ArrowReader::new();
        cut.feed(&bytes[..bytes.len() / 2]);
        while let Ok(Some(_)) = cut.batch() {}
        assert!(cut.end().is_err(), "half a stream must not pass for a whole one");
    }
    bench.close().await;
}

#[tokio::test]
async fn an_exported_parquet_file_holds_the_rows() {
    let bench = Bench::new(shop(), Place::Both).await;
    for (table, want) in [("logs", 12), ("spans", 8), ("metrics", 22)] {
        let sql = format!("SELECT * FROM {table} ORDER BY time");
        let rows = bench.engine.run(SqlQuery::new(sql, QueryBudget::unlimited())).await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = ParquetRows::new(file.reopen().unwrap(), rows.schema().clone()).unwrap();
        let batches = rows.collect().await.unwrap();
        for batch in &batches {
            writer.rows(batch).unwrap();
        }
        assert_eq!(writer.end().unwrap(), want);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
            File::open(file.path()).unwrap(),
        );
        let back: Vec<_> = reader.unwrap().build().unwrap().map(Result::unwrap).collect();
        let text = |batches: &[_]| -> String {
            batches.iter().map(|batch| skopos_sql::encode::ndjson(batch).unwrap()).collect()
        };
        assert_eq!(text(&back), text(&batches));
    }
    bench.close().await;
}
