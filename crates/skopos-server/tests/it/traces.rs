//! Trace search, columns, spans and logs of a trace through HTTP.

use serde_json::{Value, json};
use skopos_model::{
    Attributes, SeverityNumber, Span, SpanEvent, SpanId, SpanKind, SpanStatus, StatusCode,
    Timestamp, TraceId,
};

use crate::api::{Api, NOW, record};

/// A span of trace `trace`, started so many milliseconds after a fixed time.
fn span(trace: u8, id: u8, parent: u8, name: &str, at_ms: i64, ms: i64) -> Span {
    let start = Timestamp::from_millis((NOW - 600) * 1000 + at_ms);
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: SpanId([parent; 8]),
        name: name.into(),
        kind: SpanKind::Server,
        start_time: start,
        end_time: Timestamp(start.0 + ms * 1_000_000),
        attributes: Attributes::from_iter([("http.route", name)]),
        ..Span::default()
    }
}

/// Thirty traces, one a second; every fifth fails at the payment service and is slow.
async fn fill(api: &Api) {
    for trace in 1..=30_u8 {
        let at = i64::from(trace) * 1000;
        let fails = trace % 5 == 0;
        let ms = if fails { 900 + i64::from(trace) } else { 50 + i64::from(trace) };
        let root = span(trace, 1, 0, "POST /orders", at, ms);
        let call = span(trace, 2, 1, "call payment", at + 5, ms - 10);
        let mut charge = span(trace, 3, 2, "charge", at + 7, ms - 20);
        if fails {
            let message = "card declined".into();
            charge.status = SpanStatus { code: StatusCode::Error, message };
            charge.events.push(SpanEvent { name: "exception".into(), ..SpanEvent::default() });
        }
        // The child arrives before its parents.
        api.push_spans("payment", vec![charge]).await;
        api.push_spans("order", vec![call, root]).await;
    }
}

async fn everywhere() -> Vec<(&'static str, Api)> {
    let head = Api::start().await;
    fill(&head).await;
    let blocks = Api::with(|settings| settings.flush_bytes = 1).await;
    fill(&blocks).await;
    blocks.flushed().await;
    vec![("head", head), ("blocks", blocks)]
}

fn ids(answer: &Value) -> Vec<u64> {
    let traces = answer["data"]["traces"].as_array().unwrap();
    let id =
        |trace: &Value| u64::from_str_radix(&trace["trace_id"].as_str().unwrap()[..2], 16).unwrap();
    traces.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn search_by_conditions_on_one_span() {
    for (place, api) in everywhere().await {
        for (filter, limit, want) in [
            ("", "3", vec![30, 29, 28]),
            ("status=error", "20", vec![30, 25, 20, 15, 10, 5]),
            ("service.name=payment status=error duration>900ms", "20", vec![30, 25]),
            // No single span is of the order service and failed.
            ("service.name=order status=error", "20", vec![]),
            ("name=\"POST /orders\" duration>900ms duration<910ms", "20", vec![5]),
            ("declined", "2", vec![30, 25]),
            ("http.route=charge duration<35ms", "20", vec![4, 3, 2, 1]),
        ] {
            let query = [("filter", filter), ("limit", limit)];
            let answer = api.ok("/api/v1/traces", &query).await;
            assert_eq!(ids(&answer), want, "{place}: {filter}");
        }
        let query = [("filter", "status=error"), ("order", "slowest"), ("limit", "4")];
        let answer = api.ok("/api/v1/traces", &query).await;
        assert_eq!(ids(&answer), [30, 25, 20, 15], "{place}");
        let first = &answer["data"]["traces"][0];
        let mut want = json!({
            "trace_id": "1e".repeat(16),
            "root_service": "order",
            "root_name": "POST /orders",
            "start": "2023-11-14T22:03:50.000Z",
            "start_unix_nano": "1699999430000000000",
            "duration_ns": 930_000_000,
            "spans": 3,
            "errors": 1,
            "matched": 1,
            "services": [
                {"service": "order", "spans": 2, "errors": 0},
                {"service": "payment", "spans": 1, "errors": 1},
            ],
        });
        assert_eq!(*first, want.take(), "{place}");
        pages(place, &api).await;
        api.stop().await;
    }
}

async fn pages(place: &str, api: &Api) {
    for order in ["newest", "slowest"] {
        for filter in ["", "duration>60ms", "service.name=payment"] {
            let whole = [("order", order), ("filter", filter), ("limit", "200")];
            let want = ids(&api.ok("/api/v1/traces", &whole).await);
            for limit in ["1", "4", "30"] {
                let mut seen = Vec::new();
                let mut cursor = String::new();
                loop {
                    let query = [
                        ("order", order),
                        ("filter", filter),
                        ("limit", limit),
                        ("cursor", cursor.as_str()),
                    ];
                    let answer = api.ok("/api/v1/traces", &query).await;
                    seen.extend(ids(&answer));
                    match answer["data"]["next_cursor"].as_str() {
                        Some(next) => cursor = next.to_owned(),
                        None => break,
                    }
                }
                assert_eq!(seen, want, "{place} {order} {filter} {limit}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_as_columns_with_its_logs() {
    for (place, api) in everywhere().await {
        let mut declined = record(590, SeverityNumber::ERROR, "Card declined");
        declined.trace_id = TraceId([5; 16]);
        declined.span_id = SpanId([3; 8]);
        let mut earlier = record(595, SeverityNumber::INFO, "charging");
        earlier.trace_id = TraceId([5; 16]);
        let mut alone = record(1, SeverityNumber::INFO, "no span of it came");
        alone.trace_id = TraceId([99; 16]);
        api.push_logs("payment", vec![declined, earlier, alone]).await;
        let id = "05".repeat(16);
        let answer = api.ok(&format!("/api/v1/traces/{id}"), &[]).await;
        let text = |n: u8| format!("{n:02x}").repeat(8);
        assert_eq!(
            answer["data"],
            json!({
                "trace_id": id,
                "start_unix_nano": "1699999405000000000",
                "duration_ns": 905_000_000,
                "services": ["order", "payment"],
                "names": ["POST /orders", "call payment", "charge"],
                "spans": {
                    "id": [text(1), text(2), text(3)],
                    "parent": [-1, 0, 1],
                    "service": [0, 0, 1],
                    "name": [0, 1, 2],
                    "kind": ["server", "server", "server"],
                    "start_ns": [0, 5_000_000, 7_000_000],
                    "duration_ns": [905_000_000, 895_000_000, 885_000_000],
                    "status": [0, 0, 2],
                    "events": [0, 0, 1],
                    "links": [0, 0, 0],
                    "logs": [0, 0, 1],
                },
                "logs": 2,
            }),
            "{place}"
        );
        let answer = api.ok(&format!("/api/v1/traces/{id}/logs"), &[]).await;
        let logs = answer["data"]["logs"].as_array().unwrap();
        let bodies: Vec<_> = logs.iter().map(|log| log["body"].as_str().unwrap()).collect();
        assert_eq!(bodies, ["charging", "Card declined"], "{place}: in time order");

        let path = format!("/api/v1/traces/{id}/spans/{}", text(3));
        let span = &api.ok(&path, &[]).await["data"];
        assert_eq!(span["name"], "charge");
        assert_eq!(span["status_message"], "card declined");
        assert_eq!(span["events"][0]["name"], "exception");
        assert_eq!(span["resource"]["host.name"], "h1");
        assert_eq!(span["duration_ns"], 885_000_000);

        let only_logs = api.ok(&format!("/api/v1/traces/{}", "63".repeat(16)), &[]).await;
        assert_eq!(only_logs["data"]["logs"], 1, "{place}");
        assert_eq!(only_logs["data"]["spans"]["id"], json!([]));
        for (path, want) in [
            (format!("/api/v1/traces/{}", "ee".repeat(16)), 404),
            (format!("/api/v1/traces/{}", "00".repeat(16)), 400),
            (format!("/api/v1/traces/{id}/spans/{}", "ee".repeat(8)), 404),
        ] {
            assert_eq!(api.get(&path, &[]).await.0, want, "{place} {path}");
        }
        api.stop().await;
    }
}
