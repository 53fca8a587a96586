//! `/api/v1/status`: true when all is well, and plain when it is not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::{FaultFs, Faults};

use crate::harness::{TestServer, eventually};
use crate::otlp::{gauge_json, logs_json};

async fn send(server: &TestServer, path: &str, body: Value) -> u16 {
    let request = server.client.post(server.otlp(path)).json(&body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_in_one_look() {
    let server = TestServer::start().await;
    for i in 0..3 {
        assert_eq!(send(&server, "/v1/logs", logs_json("shop", "text")).await, 200);
        assert_eq!(send(&server, "/v1/metrics", gauge_json("shop", f64::from(i))).await, 200);
    }
    let answer = server.get_json("/api/v1/status").await;
    let status = &answer["data"];
    assert_eq!((&status["state"], &status["ingest"]), (&json!("ok"), &json!("ok")), "{answer}");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let addresses = server.server.addresses();
    assert_eq!(status["addresses"]["http"], addresses.http.to_string());
    assert_eq!(status["addresses"]["otlp_grpc"], addresses.otlp_grpc.to_string());
    assert_eq!(status["addresses"]["otlp_http"], addresses.otlp_http.to_string());
    assert_eq!(status["totals"]["logs"], 3);
    assert!(status["totals"]["samples"].as_u64() >= Some(3), "{answer}");
    assert_eq!(status["totals"]["spans"], 0);
    assert!(status["rates"]["logs"].as_f64() > Some(0.0), "{answer}");
    assert!(status["head_series"].as_u64() >= Some(1));
    assert!(status["disk"]["wal"].as_u64() > Some(0), "{answer}");
    assert!(status["disk"]["free"].as_u64() <= status["disk"]["total"].as_u64());
    assert_eq!(status["disk"]["path"], server.data().to_str().unwrap());
    assert!(status["memory"]["used"].as_u64() > Some(1 << 20));
    assert_eq!(status["rules"], json!({"loaded": 0, "failing": 0, "firing": 0, "pending": 0}));
    // How full the machine's disk is, is not the server's doing.
    let problems = status["problems"].as_array().unwrap().iter();
    let others: Vec<_> =
        problems.filter(|p| !p["what"].as_str().unwrap().contains("disk")).collect();
    assert!(others.is_empty(), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_a_remedy() {
    let clock = Arc::new(VirtualClock::default());
    let disk = FaultFs::new();
    let rules = tempfile::tempdir().unwrap();
    let path = rules.path().join("rules.yml");
    std::fs::write(
        &path,
        "groups:\n- name: g\n  interval: 20ms\n  rules:\n  - alert: Broken\n    expr: up * on () up\n",
    )
    .unwrap();
    let server = TestServer::on(&disk, &clock, |settings| {
        settings.rule_files = vec![path.display().to_string()];
    })
    .await;
    for job in ["a", "b"] {
        let at = skopos_model::Clock::now(&*clock).as_nanos().to_string();
        let resource =
            json!({"attributes": [{"key": "service.name", "value": {"stringValue": job}}]});
        let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "up", "gauge": {"dataPoints": [{"timeUnixNano": at, "asDouble": 1.0}]}}
        ]}]}]});
        assert_eq!(send(&server, "/v1/metrics", body).await, 200);
    }
    let problems = || async {
        let answer = server.get_json("/api/v1/status").await;
        let problems = answer["data"]["problems"].as_array().unwrap().clone();
        let errors = problems.iter().filter(|p| p["severity"] == "error").count();
        let state = if errors > 0 { "unhealthy" } else { "ok" };
        assert_eq!(answer["data"]["state"], state, "{answer}");
        assert!(problems.iter().all(|p| !p["remedy"].as_str().unwrap().is_empty()));
        let text: Vec<String> =
            problems.iter().map(|p| p["what"].as_str().unwrap().to_owned()).collect();
        text.join("\n")
    };
    eventually("the rule that cannot be evaluated is named", || async {
        clock.advance(Duration::from_millis(20));
        problems().await.contains("rule Broken cannot be evaluated: ")
    })
    .await;

    // The clock stands, so that no rule writes meanwhile.
    eventually("the rules rest", || async {
        let before = disk.counts();
        tokio::time::sleep(Duration::from_millis(60)).await;
        disk.counts() == before
    })
    .await;
    disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
    assert_eq!(send(&server, "/v1/metrics", gauge_json("shop", 1.0)).await, 503);
    let answer = server.get_json("/api/v1/status").await;
    assert_ne!(answer["data"]["ingest"], "ok", "{answer}");
    let text = problems().await;
    assert!(text.contains("telemetry is not stored"), "{text}");
    drop(server.kill());
}
