//! `skopos snapshot` and `skopos restore` on real folders: of a running server, of a stopped one,
//! and what each refuses.

use std::path::Path;

use serde_json::{Value, json};
use skopos_model::{Clock, SystemClock};

use crate::harness::{Server, run};

async fn send(server: &Server, body: &str) {
    let at = SystemClock::new().now().as_nanos().to_string();
    let record = json!({"timeUnixNano": at, "body": {"stringValue": body}});
    let logs = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
    assert!(server.post("/v1/logs", &logs).await, "{body} is acknowledged");
}

/// Bodies of all log records, oldest first.
async fn bodies(server: &Server) -> Vec<String> {
    let answer = server.get("/api/v1/logs", &[("direction", "forward")]).await;
    let records = answer["data"]["logs"].as_array().unwrap_or_else(|| panic!("logs in {answer}"));
    records.iter().map(|record| record["body"].as_str().unwrap_or_default().to_owned()).collect()
}

fn ok(args: &[&str]) -> Value {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {text}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn refusal(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_goes_into_a_snapshot_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path(), &[]).await;
    for body in ["one", "two"] {
        send(&server, body).await;
    }
    let copy = home.path().join("copy");
    let done = ok(&["snapshot", text(&copy), "--server", &server.http, "--format", "json"]);
    assert!(done["files"].as_u64() > Some(3), "{done}");
    assert!(done["linked_bytes"].as_u64() > Some(0), "{done}");
    send(&server, "three").await;
    assert_eq!(bodies(&server).await, ["one", "two", "three"]);

    let again = refusal(&["snapshot", text(&copy), "--server", &server.http]);
    assert!(again.contains("not empty"), "{again}");
    let data = home.path().join("data");
    let held = refusal(&["snapshot", text(&home.path().join("x")), "--data", text(&data)]);
    assert!(held.contains("in use by pid"), "{held}");
    let held = refusal(&["restore", text(&copy), "--data", text(&data), "--replace"]);
    assert!(held.contains("in use by pid"), "{held}");
    server.kill();

    // The stopped folder, as it is now.
    let cold = home.path().join("cold");
    ok(&["snapshot", text(&cold), "--data", text(&data)]);
    let kept = refusal(&["restore", text(&copy), "--data", text(&data)]);
    assert!(kept.contains("not empty"), "{kept}");
    ok(&["restore", text(&copy), "--data", text(&data), "--replace"]);
    let server = Server::start(home.path(), &[]).await;
    assert_eq!(bodies(&server).await, ["one", "two"]);
    send(&server, "four").await;
    server.kill();

    let other = tempfile::tempdir().unwrap();
    ok(&["restore", text(&cold), "--data", text(&other.path().join("data"))]);
    let server = Server::start(other.path(), &[]).await;
    assert_eq!(bodies(&server).await, ["one", "two", "three"]);
    server.kill();

    // A damaged block is found, named, and can be left out.
    let data = other.path().join("data");
    let blocks = std::fs::read_dir(data.join("default/blocks")).unwrap();
    let logs = blocks.map(|entry| entry.unwrap().path());
    let logs = logs.into_iter().find(|path| text(path).ends_with("-logs.parquet")).unwrap();
    assert!(run(&["verify", "--data", text(&data)]).status.success());
    let mut bytes = std::fs::read(&logs).unwrap();
    bytes[64..68].copy_from_slice(&[0xa5; 4]);
    std::fs::remove_file(&logs).unwrap();
    std::fs::write(&logs, bytes).unwrap();
    let name = logs.file_name().unwrap().to_str().unwrap();
    let found = run(&["verify", "--data", text(&data), "--format", "json"]);
    assert_eq!(found.status.code(), Some(4));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["damaged"][0]["file"], name, "{found}");
    let refused = refusal(&["snapshot", text(&home.path().join("y")), "--data", text(&data)]);
    assert!(refused.contains(name) && refused.contains("--skip-damaged"), "{refused}");
    let rest = home.path().join("rest");
    let args = ["snapshot", text(&rest), "--data", text(&data), "--skip-damaged"];
    let told = String::from_utf8(run(&args).stdout).unwrap();
    assert!(told.contains("without 1 damaged blocks") && told.contains(name), "{told}");
    let inside = data.join("copy");
    let refused = refusal(&["snapshot", text(&inside), "--data", text(&data)]);
    assert!(refused.contains("inside of the data folder"), "{refused}");
    let told = String::from_utf8(run(&["verify", "--data", text(&data), "--set-aside"]).stdout);
    assert!(told.as_ref().unwrap().contains("set aside"), "{told:?}");
    assert!(data.join("damaged").join(name).exists());
    let server = Server::start(other.path(), &[]).await;
    send(&server, "five").await;
    let left = bodies(&server).await;
    assert!(left.contains(&"five".to_owned()) && left.len() < 4, "{left:?}");
    server.kill();

    // One bit is enough.
    let block = std::fs::read_dir(copy.join("default/blocks")).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(block.path()).unwrap();
    bytes[7] ^= 1;
    std::fs::remove_file(block.path()).unwrap();
    std::fs::write(block.path(), bytes).unwrap();
    let third = home.path().join("third");
    let damaged = refusal(&["restore", text(&copy), "--data", text(&third)]);
    assert!(damaged.contains("is corrupt") && damaged.contains("blocks"), "{damaged}");
    assert!(!third.exists(), "nothing was begun");
}
