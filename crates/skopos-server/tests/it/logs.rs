//! The log API through HTTP: filters, order, refusals, and following without gap.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use skopos_model::{AnyValue, Attributes, SeverityNumber, SpanId, TraceId};

use crate::api::{Api, NOW, record};

async fn filled() -> Api {
    let api = Api::start().await;
    let mut declined = record(30, SeverityNumber::ERROR, "Card declined");
    declined.trace_id = TraceId([0xab; 16]);
    declined.span_id = SpanId([0xcd; 8]);
    declined.attributes = Attributes::from_iter([("http.status_code", 402_i64)]);
    let mut structured = record(10, SeverityNumber(14), "");
    structured.body = AnyValue::Map(Attributes::from_iter([("retries", 3_i64)]));
    structured.attributes.set("region", "eu");
    api.push_logs("payment", vec![record(60, SeverityNumber::INFO, "charging"), declined]).await;
    api.push_logs("order", vec![record(20, SeverityNumber::DEBUG, "placed"), structured]).await;
    api
}

fn bodies(answer: &Value) -> Vec<Value> {
    let logs = answer["data"]["logs"].as_array().unwrap();
    logs.iter().map(|log| log["body"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_order() {
    let api = filled().await;
    let structured = json!({"retries": 3});
    let id = "ab".repeat(16);
    let upper = "AB".repeat(16);
    for (query, want) in [
        (vec![], vec![&structured, &json!("placed"), &json!("Card declined"), &json!("charging")]),
        (
            vec![("direction", "forward")],
            vec![&json!("charging"), &json!("Card declined"), &json!("placed"), &structured],
        ),
        (vec![("limit", "1")], vec![&structured]),
        (vec![("limit", "1"), ("direction", "forward")], vec![&json!("charging")]),
        (vec![("service", "payment")], vec![&json!("Card declined"), &json!("charging")]),
        (vec![("severity", "warn")], vec![&structured, &json!("Card declined")]),
        (vec![("severity", "15")], vec![&json!("Card declined")]),
        (vec![("contains", "DECLINED")], vec![&json!("Card declined")]),
        (vec![("contains", "retries")], vec![&structured]),
        (vec![("trace_id", &id)], vec![&json!("Card declined")]),
        (vec![("trace_id", &upper)], vec![&json!("Card declined")]),
        (vec![("span_id", "cdcdcdcdcdcdcdcd")], vec![&json!("Card declined")]),
        (vec![("attr", "http.status_code=402")], vec![&json!("Card declined")]),
        (vec![("attr", "region=eu"), ("attr", "host.name=h1")], vec![&structured]),
        (vec![("attr", "region=us")], vec![]),
        (vec![("start", "now-25s")], vec![&structured, &json!("placed")]),
        (vec![("end", "now-25s")], vec![&json!("Card declined"), &json!("charging")]),
        (
            vec![("start", "2023-11-14T22:12:50Z"), ("end", "1699999980")],
            vec![&json!("Card declined")],
        ),
        (
            vec![("service", "")],
            vec![&structured, &json!("placed"), &json!("Card declined"), &json!("charging")],
        ),
    ] {
        let answer = api.ok("/api/v1/logs", &query).await;
        assert_eq!(answer["status"], "success");
        let want: Vec<Value> = want.into_iter().cloned().collect();
        assert_eq!(bodies(&answer), want, "{query:?}");
    }
    let answer = api.ok("/api/v1/logs", &[("service", "payment"), ("severity", "error")]).await;
    let log = &answer["data"]["logs"][0];
    let mut want = json!({
        "time": "2023-11-14T22:12:50.000Z",
        "time_unix_nano": "1699999970000000000",
        "severity_number": 17,
        "severity": "ERROR",
        "severity_text": "",
        "service": "payment",
        "body": "Card declined",
        "attributes": {"http.status_code": 402},
        "resource": {"service.name": "payment", "host.name": "h1"},
        "scope": {"name": "lib", "version": "1.0"},
        "trace_id": id,
        "span_id": "cdcdcdcdcdcdcdcd",
        "event_name": "",
    });
    want["id"] = log["id"].clone();
    assert_eq!(log["id"].as_str().unwrap().len(), 32);
    assert_eq!(*log, want);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_refused_by_name() {
    let api = Api::start().await;
    for (path, query, want) in [
        ("/api/v1/logs", vec![("severty", "error")], "did you mean `severity`?"),
        ("/api/v1/logs", vec![("service", "a"), ("service", "b")], "`service` occurs twice"),
        ("/api/v1/logs", vec![("severity", "loud")], "`severity`"),
        ("/api/v1/logs", vec![("limit", "0")], "from 1 to 5000"),
        ("/api/v1/logs", vec![("limit", "5001")], "from 1 to 5000"),
        ("/api/v1/logs", vec![("direction", "up")], "`backward` or `forward`"),
        ("/api/v1/logs", vec![("trace_id", "xyz")], "32 hexadecimal digits"),
        ("/api/v1/logs", vec![("attr", "novalue")], "key=value"),
        ("/api/v1/logs", vec![("start", "yesterday")], "now-15m"),
        ("/api/v1/logs", vec![("start", "now"), ("end", "now-1h")], "`start` lies after `end`"),
        ("/api/v1/logs/follow", vec![("end", "now")], "unknown parameter `end`"),
        ("/api/v1/logs/follow", vec![("since", "1m"), ("start", "now")], "not both"),
    ] {
        let (status, answer) = api.get(path, &query).await;
        assert_eq!(status, 400, "{query:?} {answer}");
        assert_eq!(answer["errorType"], "bad_data");
        let message = answer["error"].as_str().unwrap();
        assert!(message.contains(want), "{query:?}: {message}");
    }
    api.stop().await;
}

/// A follower's stream, line by line.
struct Lines {
    chunks:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    pending: Vec<u8>,
}

impl Lines {
    async fn open(api: &Api, query: &[(&str, &str)]) -> Self {
        let request = api.client.get(format!("{}/api/v1/logs/follow", api.base)).query(query);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { chunks: Box::pin(response.bytes_stream()), pending: Vec::new() }
    }

    /// The next line; `None` when the stream ended well.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.chunks.next());
            match chunk.await.expect("a line in time") {
                Some(chunk) => self.pending.extend_from_slice(&chunk.unwrap()),
                None => {
                    assert!(self.pending.is_empty(), "cut in the middle of a line");
                    return None;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn following_has_neither_gap_nor_repeat() {
    let api = filled().await;
    // Stored records first, oldest first, then the new ones that match.
    let mut lines = Lines::open(&api, &[("severity", "warn"), ("since", "1m")]).await;
    assert_eq!(lines.next().await.unwrap()["log"]["body"], "Card declined");
    assert_eq!(lines.next().await.unwrap()["log"]["body"], json!({"retries": 3}));
    api.push_logs("order", vec![record(1, SeverityNumber::INFO, "quiet")]).await;
    api.push_logs("order", vec![record(1, SeverityNumber::FATAL, "loud")]).await;
    assert_eq!(lines.next().await.unwrap()["log"]["body"], "loud");

    // Writers all the while: every record is told once, whether it was stored before the follower
    // came or after.
    let total = 300;
    let api = std::sync::Arc::new(api);
    let writer = tokio::spawn({
        let api = std::sync::Arc::clone(&api);
        async move {
            for i in 0..total {
                let text = format!("n{i}");
                api.push_logs("writer", vec![record(0, SeverityNumber::INFO, &text)]).await;
            }
        }
    });
    let query = [("service", "writer"), ("start", "now-1h"), ("limit", "5000")];
    let mut lines = Lines::open(&api, &query).await;
    for i in 0..total {
        let line = lines.next().await.unwrap();
        assert_eq!(line["log"]["body"], format!("n{i}"), "{line}");
    }
    writer.await.unwrap();
    drop(lines);
    std::sync::Arc::into_inner(api).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_start_sees_what_arrives_however_old() {
    let api = filled().await;
    let mut lines = Lines::open(&api, &[]).await;
    api.push_logs("late", vec![record(3, SeverityNumber::INFO, "made before, sent now")]).await;
    assert_eq!(lines.next().await.unwrap()["log"]["body"], "made before, sent now");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_end_with_the_server() {
    let api = Api::start().await;
    let mut lines = Lines::open(&api, &[]).await;
    let stopping = tokio::spawn(api.stop());
    assert_eq!(lines.next().await, None);
    tokio::time::timeout(Duration::from_secs(9), stopping).await.expect("no waiting").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_notation_of_now_is_the_servers() {
    let api = filled().await;
    // The server's clock stands in 2023; a client's idea of now does not matter.
    let answer = api.ok("/api/v1/logs", &[("start", "now-15s"), ("end", "now")]).await;
    assert_eq!(bodies(&answer).len(), 1);
    let seconds = format!("{}.5", NOW - 11);
    let answer = api.ok("/api/v1/logs", &[("start", &seconds)]).await;
    assert_eq!(bodies(&answer).len(), 1);
    api.stop().await;
}
