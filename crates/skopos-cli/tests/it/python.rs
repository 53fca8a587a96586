//! A foreign client: the real OpenTelemetry Python SDK sends, over gRPC and HTTP; we read it back.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::Server;

const SCRIPT: &str = include_str!("otel_send.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_is_understood() {
    let Some(environment) = std::env::var_os("SKOPOS_PY_OTEL").map(PathBuf::from) else {
        println!("skipped: SKOPOS_PY_OTEL is not set (`cargo xtask test` makes the environment)");
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]).await;
    for (protocol, endpoint) in [("grpc", &server.otlp_grpc), ("http", &server.otlp_http)] {
        let sent = Command::new(environment.join("bin/python"))
            .args(["-c", SCRIPT, protocol, endpoint])
            .env_remove("OTEL_RESOURCE_ATTRIBUTES")
            .output()
            .expect("Python starts");
        let complaints = String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.success(), "{protocol}: {complaints}");
        let trace_id = String::from_utf8_lossy(&sent.stdout).trim().to_owned();
        check(&server, protocol, &trace_id).await;
    }
}

async fn check(server: &Server, protocol: &str, trace_id: &str) {
    let service = format!("python-{protocol}");

    let trace = server.get(&format!("/api/traces/{trace_id}"), &[]).await;
    let spans = trace["data"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|s| s["operationName"].as_str().unwrap()).collect();
    assert_eq!(names, ["process_order", "charge_payment"], "{protocol}");
    assert!(tag(&spans[1], "error") == Some(&Value::Bool(true)), "{protocol}: {}", spans[1]);
    assert_eq!(spans[0]["logs"].as_array().unwrap().len(), 1, "{protocol}: the span's event");

    let logs = server.get("/api/v1/logs", &[("service", &service)]).await;
    let log = &logs["data"]["logs"][0];
    assert_eq!(log["body"], "order_placed", "{protocol}: {logs}");
    assert_eq!(log["trace_id"], trace_id, "{protocol}");
    assert_eq!(log["attributes"]["order_id"], "order-012", "{protocol}");
    assert_eq!(log["attributes"]["password"], "[REDACTED]", "{protocol}");

    for (query, want) in [
        (format!(r#"orders_placed_total{{job="{service}",region="eu"}}"#), "3"),
        (format!(r#"order_value_dollars_count{{job="{service}"}}"#), "2"),
        (
            format!(
                r#"order_value_dollars_bucket{{job="{service}",le="50.0"}} or order_value_dollars_bucket{{job="{service}",le="50"}}"#
            ),
            "1",
        ),
        (format!(r#"active_users_current{{job="{service}"}}"#), "7"),
        (format!(r#"target_info{{job="{service}",deployment_environment="test"}}"#), "1"),
    ] {
        let answer = server.get("/api/v1/query", &[("query", &query)]).await;
        assert_eq!(answer["data"]["result"][0]["value"][1], want, "{query}: {answer}");
    }
}

fn tag<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    span["tags"].as_array()?.iter().find(|t| t["key"] == key).map(|t| &t["value"])
}
