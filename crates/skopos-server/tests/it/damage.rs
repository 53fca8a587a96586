//! A damaged block through HTTP: what a query, the status, the metrics and a snapshot say. And
//! where snapshots may go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use skopos_model::Clock as _;
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::FaultFs;

use crate::harness::TestServer;

async fn post(server: &TestServer, path: &str, body: Value) -> (u16, Value) {
    let answer = server.client.post(server.http(path)).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn snapshot(server: &TestServer, body: Value) -> (u16, Value) {
    post(server, "/api/v1/skopos/snapshot", body).await
}

/// A server on a disk whose only block of logs is damaged, and the name of its file.
async fn damaged(disk: &FaultFs, clock: &Arc<VirtualClock>) -> (TestServer, String) {
    let server = TestServer::on(disk, clock, |_| {}).await;
    let at = clock.now().as_nanos().to_string();
    let record = json!({"timeUnixNano": at, "body": {"stringValue": "text"}});
    let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
    let request = server.client.post(server.otlp("/v1/logs")).json(&logs);
    assert_eq!(request.send().await.unwrap().status(), 200);
    // Taking a snapshot moves everything to blocks.
    assert_eq!(snapshot(&server, json!({"dir": "/first"})).await.0, 200);
    server.stop().await;
    let is_logs = |path: &PathBuf| {
        path.starts_with("/data") && path.to_string_lossy().ends_with("-logs.parquet")
    };
    let path = disk.files().into_iter().find(is_logs).unwrap();
    let mut bytes = disk.read(&path).unwrap();
    let at = bytes.len() / 3;
    bytes[at..at + 4].copy_from_slice(b"\0\0\0\0");
    disk.put(&path, bytes);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    (TestServer::on(disk, clock, |_| {}).await, name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_named_by_queries_status_metrics_and_snapshots() {
    let (disk, clock) = (FaultFs::new(), Arc::new(VirtualClock::default()));
    let (server, name) = damaged(&disk, &clock).await;
    let says = |text: &str| {
        assert!(text.contains(&name) && text.contains("is damaged"), "{text}");
        assert!(text.contains("skopos verify"), "what to do: {text}");
        assert!(!text.contains("see the server's log"), "{text}");
    };
    let before = server.get_json("/api/v1/status").await;
    assert_eq!(before["data"]["state"], "ok", "nobody has looked: {before}");

    let (code, answer) =
        post(&server, "/api/v1/sql", json!({"query": "SELECT body FROM logs"})).await;
    assert_eq!(code, 500, "{answer}");
    says(answer["error"].as_str().unwrap());
    for path in ["/api/v1/logs?start=0", "/api/v1/logs?start=0&filter=text"] {
        let answer = server.client.get(server.http(path)).send().await.unwrap();
        assert_eq!(answer.status(), 500);
        says(&answer.text().await.unwrap());
    }
    let answer = server.get_json("/api/v1/query?query=vector(1)").await;
    assert_eq!(answer["status"], "success", "others are not concerned");

    let status = server.get_json("/api/v1/status").await;
    assert_eq!(status["data"]["state"], "unhealthy");
    let problem = &status["data"]["problems"][0];
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains(&name) && what.contains("1 items of logs"), "{what}");
    assert!(problem["remedy"].as_str().unwrap().contains("restore a snapshot"), "{problem}");
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("\nskopos_store_corrupt_blocks 1\n"), "{metrics}");

    let (code, answer) = snapshot(&server, json!({"dir": "/copy"})).await;
    assert_eq!(code, 500, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(&name) && message.contains("--skip-damaged"), "{message}");
    let (code, answer) = snapshot(&server, json!({"dir": "/copy", "skip_damaged": true})).await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(answer["skipped"][0]["file"], *name);
    assert_eq!(answer["skipped"][0]["signal"], "logs");
    server.stop().await;
    let restored = Path::new("/restored");
    skopos_store::snapshot::restore(&disk, Path::new("/copy"), restored, false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_where_it_can_be_written_and_outside_of_the_data() {
    let server = TestServer::start().await;
    let inside = server.data().join("backup");
    let file = server.data().join("a-file");
    std::fs::write(&file, "x").unwrap();
    for (dir, part) in [
        (inside.as_path(), "is inside of the data folder"),
        (Path::new("/dev/null/copy"), "/dev/null/copy"),
        (Path::new("/proc/no/such/place"), "/proc/no"),
    ] {
        let (code, answer) = snapshot(&server, json!({ "dir": dir })).await;
        let message = answer["message"].as_str().unwrap();
        assert_eq!(code, 400, "{}: {message}", dir.display());
        assert!(message.contains(part), "{message}");
        assert!(message.contains(dir.parent().unwrap().to_str().unwrap()), "{message}");
    }
    let (code, _) = snapshot(&server, json!({"dir": "relative"})).await;
    assert_eq!(code, 400);
    assert!(!inside.exists());
    server.stop().await;
}
