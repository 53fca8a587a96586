//! `skopos sql` and `skopos export` against a real server.

use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::client::send;
use crate::harness::{Server, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_queried_and_exported() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    send(&server).await;
    let url = server.http.clone();
    let folder = data.path().to_path_buf();
    tokio::task::spawn_blocking(move || {
        let output = |args: &[&str], code: i32| {
            let output = run(&[args, &["--server", &url]].concat());
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {complaint}");
            (output.stdout, complaint)
        };
        let ask = |args: &[&str], code: i32| String::from_utf8(output(args, code).0).unwrap();
        let logs = "SELECT level, service, body FROM logs";
        let text = ask(&["sql", logs], 0);
        assert!(text.starts_with("level  service      body\nERROR  client-test  card "), "{text}");
        assert!(!text.contains('\u{1b}'), "escape sequences are not obeyed: {text}");
        let text = ask(&["sql", "SELECT name FROM spans ORDER BY time", "--format", "csv"], 0);
        assert_eq!(text, "name\nPOST /orders\ncharge\n");
        let join = "SELECT l.level, s.name FROM logs l JOIN spans s USING (trace_id) WHERE s.status = 'ERROR'";
        let text = ask(&["sql", join, "--since", "1h", "--format", "ndjson"], 0);
        assert_eq!(text, "{\"level\":\"ERROR\",\"name\":\"charge\"}\n");
        let file = folder.join("query.sql");
        std::fs::write(&file, "SELECT value FROM metrics\nWHERE metric = 'active_users_current'").unwrap();
        let text = ask(&["sql", "--file", file.to_str().unwrap(), "--format", "json"], 0);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["columns"][0]["values"], serde_json::json!([7]));
        let text = ask(&["sql", "EXPLAIN SELECT body FROM logs WHERE service = 'x'"], 0);
        assert!(text.contains("EventExec: table=logs, columns=[body]"), "{text}");
        ask(&["sql", logs, "--filter", "level>=fatal"], 3);
        let (_, complaint) = output(&["sql", "SELECT bdy FROM logs"], 1);
        assert!(complaint.contains("line 1, column 8: there is no column \"bdy\""), "{complaint}");
        assert!(complaint.contains("hint: did you mean body?"), "{complaint}");
        ask(&["sql"], 2);
        ask(&["sql", "SELECT 1", "--format", "parquet"], 2);

        for (signal, rows) in [("logs", 1), ("spans", 2)] {
            let file = folder.join(format!("{signal}.parquet"));
            let path = file.to_str().unwrap();
            let export = ["export", "--signal", signal, "--format", "parquet", "-o", path];
            let (_, told) = output(&export, 0);
            assert!(told.contains(&format!("exported {rows} row")), "{told}");
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap());
            let batches: Vec<_> = reader.unwrap().build().unwrap().map(Result::unwrap).collect();
            assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), rows, "{signal}");
            assert!(batches[0].column_by_name("trace_id").is_some());
            assert!(!folder.join(format!("{signal}.parquet.part")).exists());
        }
        let text = ask(&["export", "--signal", "spans", "--format", "ndjson", "--filter", "status=error"], 0);
        let span: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(span["name"], "charge");
        let text = ask(&["export", "--signal", "metrics", "--format", "ndjson", "--since", "5m"], 0);
        assert!(text.lines().any(|line| line.contains("active_users_current")), "{text}");
        let none = folder.join("none.parquet");
        let path = none.to_str().unwrap();
        ask(&["export", "--signal", "logs", "--format", "parquet", "-o", path, "--to", "2001-01-01T00:00:00Z"], 3);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&none).unwrap()).unwrap();
        assert!(reader.schema().index_of("body").is_ok(), "an empty export has its columns");
        ask(&["export", "--signal", "logs"], 1);
        ask(&["export", "--signal", "metrics", "--format", "ndjson", "--filter", "x"], 1);
    })
    .await
    .unwrap();
}
