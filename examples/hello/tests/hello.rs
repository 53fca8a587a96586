//! The example, run as a user runs it: what it answers, logs, counts, and how it goes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let ids =
        "x-request-id: r-1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{ids}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn one_request_is_logged_traced_counted_and_probed() {
    let mut service = Command::new(env!("CARGO_BIN_EXE_hello"))
        .env_clear()
        .env("LISTEN", "127.0.0.1:0")
        .env("SKOPOS_LOCAL_COLLECTOR", "none")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<serde_json::Value>(&line).expect(&line)
    });
    let started = lines.next().unwrap();
    assert_eq!(
        (&started["service"], &started["version"]),
        (&"hello".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let address = started["listening"].as_str().unwrap().to_owned();

    let answer = get(&address, "/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello\n"), "{answer}");
    assert!(answer.contains("x-request-id: r-1"), "{answer}");
    for (message, line) in
        [("greeted", lines.next().unwrap()), ("request finished", lines.next().unwrap())]
    {
        assert_eq!((&line["message"], &line["request_id"]), (&message.into(), &"r-1".into()));
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    }
    for (path, expected) in [
        ("/health/live", "{\"status\":\"alive\""),
        ("/health/ready", "{\"status\":\"ready\",\"checks\":{}}"),
        ("/health/startup", "{\"status\":\"started\"}"),
        ("/metrics", "http_requests_total{method=\"GET\",endpoint=\"/\",status_code=\"200\"} 1"),
    ] {
        let answer = get(&address, path);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(expected),
            "{path}: {answer}"
        );
    }
    // SIGTERM is what an orchestrator sends.
    let killed = Command::new("kill").arg(service.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert_eq!(lines.next().unwrap()["message"], "shutting down");
    let left = service.wait_with_output().unwrap();
    assert!(left.status.success());
    assert_eq!(String::from_utf8_lossy(&left.stderr), "telemetry flushed, nothing lost\n");
}

#[test]
fn in_kubernetes_it_serves_as_not_ready_before_it_goes_and_a_second_signal_ends_that() {
    let mut service = Command::new(env!("CARGO_BIN_EXE_hello"))
        .env_clear()
        .env("LISTEN", "127.0.0.1:0")
        .env("SKOPOS_LOCAL_COLLECTOR", "none")
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<serde_json::Value>(&line).expect(&line)
    });
    let address = lines.next().unwrap()["listening"].as_str().unwrap().to_owned();
    // Once it has answered, it listens to signals, too.
    for _ in 0..3 {
        assert!(get(&address, "/health/live").starts_with("HTTP/1.1 200"));
    }
    let terminate = || Command::new("kill").arg(service.id().to_string()).status().unwrap();
    assert!(terminate().success());
    assert_eq!(lines.next().unwrap()["message"], "shutting down");
    // Whoever still sends to it is served.
    let ready = get(&address, "/health/ready");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("not_ready"), "{ready}");
    assert!(get(&address, "/").starts_with("HTTP/1.1 200"));
    assert!(terminate().success());
    let left = service.wait_with_output().unwrap();
    assert!(left.status.success());
    assert_eq!(String::from_utf8_lossy(&left.stderr), "telemetry flushed, nothing lost\n");
}
