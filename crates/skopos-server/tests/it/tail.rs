//! Live tail through HTTP: both signals, the filter, what was stored, what was skipped.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use skopos_model::{SeverityNumber, Span, SpanId, TraceId};

use crate::api::{Api, ago, record};

/// A stream, line by line, heartbeats left out.
struct Lines {
    chunks:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    pending: Vec<u8>,
    heartbeats: usize,
}

impl Lines {
    async fn open(api: &Api, query: &[(&str, &str)]) -> Self {
        let request = api.client.get(format!("{}/api/v1/tail", api.base)).query(query);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let chunks = Box::pin(response.bytes_stream());
        Self { chunks, pending: Vec::new(), heartbeats: 0 }
    }

    /// The next line that is no heartbeat; `None` when the stream ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                let line: Value = serde_json::from_slice(&line).unwrap();
                if line["heartbeat"] == true {
                    assert!(line["per_second"].is_u64(), "{line}");
                    self.heartbeats += 1;
                    continue;
                }
                return Some(line);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.chunks.next());
            match chunk.await.expect("a line in time") {
                Some(chunk) => self.pending.extend_from_slice(&chunk.unwrap()),
                None => return None,
            }
        }
    }
}

fn span(name: &str, seconds_ago: i64) -> Span {
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        name: name.into(),
        start_time: ago(seconds_ago),
        end_time: ago(seconds_ago - 1),
        ..Span::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_logs_come_as_they_arrive() {
    let api = Api::start().await;
    api.push_logs("s", vec![record(5, SeverityNumber::INFO, "before")]).await;
    api.push_spans("s", vec![span("stored", 8)]).await;
    let mut lines = Lines::open(&api, &[("since", "10s")]).await;
    // What was stored, in the order it happened.
    let first = lines.next().await.unwrap();
    assert_eq!(
        first["span"],
        json!({
            "id": first["span"]["id"], "trace_id": "01".repeat(16), "span_id": "02".repeat(8),
            "parent_span_id": "", "service": "s", "name": "stored", "kind": "unspecified",
            "status": "UNSET", "start_unix_nano": "1699999992000000000",
            "duration_ns": 1_000_000_000, "attributes": {},
        })
    );
    assert_eq!(lines.next().await.unwrap()["log"]["body"], "before");
    for i in 0..20 {
        api.push_logs("s", vec![record(0, SeverityNumber::INFO, &format!("n{i}"))]).await;
        api.push_spans("s", vec![span(&format!("s{i}"), 30)]).await;
    }
    for i in 0..20 {
        assert_eq!(lines.next().await.unwrap()["log"]["body"], format!("n{i}"));
        assert_eq!(
            lines.next().await.unwrap()["span"]["name"],
            format!("s{i}"),
            "in order of arrival"
        );
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_holds_for_both_signals() {
    let api = Api::start().await;
    let mut lines = Lines::open(&api, &[("filter", "level>=error OR duration>=1s pay")]).await;
    let mut spans = Lines::open(&api, &[("signals", "spans")]).await;
    api.push_logs(
        "s",
        vec![record(0, SeverityNumber::INFO, "pay"), record(0, SeverityNumber::ERROR, "bad")],
    )
    .await;
    api.push_spans("s", vec![span("get", 3), span("pay", 3)]).await;
    assert_eq!(lines.next().await.unwrap()["log"]["body"], "bad");
    assert_eq!(lines.next().await.unwrap()["span"]["name"], "pay");
    assert_eq!(spans.next().await.unwrap()["span"]["name"], "get");
    // A stream ends with the server.
    let stopping = tokio::spawn(api.stop());
    while lines.next().await.is_some() {}
    tokio::time::timeout(Duration::from_secs(9), stopping).await.expect("no waiting").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rate_cap_leaves_out_is_counted() {
    let api = Api::start().await;
    let mut lines = Lines::open(&api, &[("rate", "5")]).await;
    let many = (0..50).map(|i| record(0, SeverityNumber::INFO, &format!("n{i}"))).collect();
    api.push_logs("s", many).await;
    let (mut shown, mut skipped) = (0, 0);
    while shown + skipped < 50 {
        let line = lines.next().await.unwrap();
        match line["skipped"].as_u64() {
            Some(count) => {
                assert_eq!(line["reason"], "rate");
                skipped += count;
            }
            None => shown += 1,
        }
    }
    assert_eq!((shown, skipped), (5, 45));
    let metrics = api.client.get(format!("{}/metrics", api.base)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("skopos_tail_skipped_events_total{reason=\"rate\"} 45"), "{metrics}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_are_bounded_and_their_places_come_back() {
    let api = Api::start().await;
    let mut open = Vec::new();
    let refused = loop {
        let request = api.client.get(format!("{}/api/v1/tail", api.base));
        let response = request.send().await.unwrap();
        match response.status().as_u16() {
            200 => open.push(response),
            503 => break response.json::<Value>().await.unwrap(),
            other => panic!("{other}"),
        }
        assert!(open.len() <= 100);
    };
    assert!(refused["error"].as_str().unwrap().contains("100 clients follow"), "{refused}");
    assert_eq!(open.len(), 100);
    drop(open);
    // Their connections are closed: each is reaped.
    crate::harness::eventually("a place is free", || async {
        let request = api.client.get(format!("{}/api/v1/tail", api.base));
        request.send().await.unwrap().status() == 200
    })
    .await;
    api.stop().await;
}
