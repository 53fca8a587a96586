//! Jaeger's query API through HTTP.

use serde_json::{Value, json};
use skopos_model::{
    Attributes, SeverityNumber, Span, SpanId, SpanKind, SpanStatus, StatusCode, Timestamp, TraceId,
};

use crate::api::{Api, NOW, ago, record};

fn span(trace: u8, id: u8, parent: u8, name: &str, start_ago: i64, millis: i64) -> Span {
    let start_time = ago(start_ago);
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: SpanId([parent; 8]),
        name: name.into(),
        kind: SpanKind::Server,
        start_time,
        end_time: Timestamp(start_time.0 + millis * 1_000_000),
        ..Span::default()
    }
}

/// Three traces of a shop: 1 slow and failed in payment, 2 fast, 3 old.
async fn shop() -> Api {
    let api = Api::start().await;
    let mut charge = span(1, 2, 1, "charge", 60, 800);
    charge.attributes = Attributes::from_iter([("http.status_code", 503_i64)]);
    charge.status = SpanStatus { code: StatusCode::Error, message: "declined".into() };
    let mut call = span(2, 2, 1, "charge", 30, 20);
    call.kind = SpanKind::Client;
    let orders = vec![
        span(1, 1, 0, "POST /orders", 60, 900),
        span(2, 1, 0, "POST /orders", 30, 50),
        span(3, 1, 0, "GET /orders", 200_000, 10),
    ];
    api.push_spans("order-service", orders).await;
    api.push_spans("payment-service", vec![charge, call]).await;
    api
}

fn ids(answer: &Value) -> Vec<u8> {
    let traces = answer["data"].as_array().unwrap();
    let id = |t: &Value| u8::from_str_radix(&t["traceID"].as_str().unwrap()[..2], 16).unwrap();
    traces.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_operations() {
    let api = shop().await;
    let answer = api.ok("/api/services", &[]).await;
    assert_eq!(
        answer,
        json!({"data": ["order-service", "payment-service"], "total": 2, "limit": 0, "offset": 0,
               "errors": null})
    );
    let answer = api.ok("/api/services/order-service/operations", &[]).await;
    assert_eq!(answer["data"], json!(["GET /orders", "POST /orders"]));
    let answer = api.ok("/api/services/payment-service/operations", &[]).await;
    assert_eq!(answer["data"], json!(["charge"]));
    let query = [("service", "payment-service"), ("spanKind", "client")];
    let answer = api.ok("/api/operations", &query).await;
    assert_eq!(answer["data"], json!([{"name": "charge", "spanKind": "client"}]));
    let answer = api.ok("/api/operations", &[("service", "payment-service")]).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(api.ok("/api/services/nobody/operations", &[]).await["data"], json!([]));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_only_log_are_not_offered() {
    let api = shop().await;
    api.push_logs("chatter", vec![record(5, SeverityNumber::INFO, "hello")]).await;
    let answer = api.ok("/api/services", &[]).await;
    assert_eq!(answer["data"], json!(["order-service", "payment-service"]));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_was_sent_twice_is_one_span() {
    let api = Api::start().await;
    let call = span(1, 2, 1, "charge", 60, 800);
    api.push_spans("order-service", vec![span(1, 1, 0, "POST /orders", 60, 900)]).await;
    api.push_spans("payment-service", vec![call.clone(), call.clone()]).await;
    api.push_spans("payment-service", vec![call.clone()]).await;
    // The same ids, but another content or another sender: nobody knows which one is right.
    let renamed = Span { name: "charge again".into(), ..call.clone() };
    api.push_spans("payment-service", vec![renamed]).await;
    api.push_spans("bank", vec![call]).await;
    let answer = api.ok(&format!("/api/traces/{}", "01".repeat(16)), &[]).await;
    let spans = answer["data"][0]["spans"].as_array().unwrap();
    let mut names: Vec<&str> =
        spans.iter().map(|span| span["operationName"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["POST /orders", "charge", "charge", "charge again"]);
    let answer = api.ok("/api/dependencies", &[]).await;
    assert_eq!(
        answer["data"],
        json!([
            {"parent": "order-service", "child": "bank", "callCount": 1},
            {"parent": "order-service", "child": "payment-service", "callCount": 1},
        ])
    );
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_in_jaegers_shape() {
    let api = shop().await;
    let id = "01".repeat(16);
    let answer = api.ok(&format!("/api/traces/{id}"), &[]).await;
    assert_eq!((&answer["total"], &answer["errors"]), (&json!(1), &Value::Null));
    let trace = &answer["data"][0];
    assert_eq!(trace["traceID"], id);
    let spans = trace["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2);
    let charge = spans.iter().find(|s| s["operationName"] == "charge").unwrap();
    assert_eq!(charge["startTime"], (NOW - 60) * 1_000_000);
    assert_eq!(charge["duration"], 800_000);
    assert_eq!(
        charge["references"],
        json!([{"refType": "CHILD_OF", "traceID": id, "spanID": "0101010101010101"}])
    );
    let tag = |key: &str| {
        let tags = charge["tags"].as_array().unwrap();
        tags.iter().find(|t| t["key"] == key).unwrap_or_else(|| panic!("{key}")).clone()
    };
    assert_eq!(tag("error"), json!({"key": "error", "type": "bool", "value": true}));
    assert_eq!(tag("http.status_code")["value"], 503);
    assert_eq!(tag("span.kind")["value"], "server");
    assert_eq!(tag("otel.status_code")["value"], "ERROR");
    assert_eq!(tag("otel.status_description")["value"], "declined");
    assert_eq!(tag("otel.scope.name")["value"], "lib");
    let process = charge["processID"].as_str().unwrap();
    assert_eq!(trace["processes"][process]["serviceName"], "payment-service");
    assert_eq!(trace["processes"].as_object().unwrap().len(), 2);

    for (path, status, message) in [
        ("/api/traces/ff", 404, "trace not found"),
        ("/api/traces/nonsense", 400, "is no trace id"),
        ("/api/traces", 400, "parameter 'service' is required"),
        ("/api/operations", 400, "parameter 'service' is required"),
    ] {
        let (got, answer) = api.get(path, &[]).await;
        assert_eq!(got, status, "{path}");
        assert_eq!((&answer["data"], &answer["errors"][0]["code"]), (&Value::Null, &json!(status)));
        let text = answer["errors"][0]["msg"].as_str().unwrap();
        assert!(text.contains(message), "{path}: {text}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_answers_whole_traces() {
    let api = shop().await;
    let micros = |ago: i64| ((NOW - ago) * 1_000_000).to_string();
    let (window_start, window_end) = (micros(45), micros(0));
    let old = micros(300_000);
    let id = "02".repeat(16);
    let payment = ("service", "payment-service");
    let order = ("service", "order-service");
    for (query, want) in [
        (vec![payment], vec![2, 1]),
        // Trace 3 is older than the default window.
        (vec![order], vec![2, 1]),
        (vec![order, ("start", &old)], vec![2, 1, 3]),
        (vec![order, ("lookback", "1w")], vec![2, 1, 3]),
        (vec![order, ("operation", "GET /orders"), ("lookback", "1w")], vec![3]),
        (vec![payment, ("limit", "1")], vec![2]),
        (vec![payment, ("minDuration", "500ms")], vec![1]),
        (vec![payment, ("maxDuration", "0.5s")], vec![2]),
        (vec![order, ("minDuration", "900000us"), ("maxDuration", "900ms")], vec![1]),
        (vec![payment, ("tags", r#"{"error":"true"}"#)], vec![1]),
        (vec![payment, ("tags", r#"{"error":true}"#)], vec![1]),
        (vec![payment, ("tags", r#"{"error":"false"}"#)], vec![2]),
        (vec![payment, ("tags", r#"{"http.status_code":"503"}"#)], vec![1]),
        (vec![payment, ("tags", r#"{"http.status_code":503,"span.kind":"client"}"#)], vec![]),
        (vec![payment, ("tag", "span.kind:client")], vec![2]),
        (vec![payment, ("start", &window_start), ("end", &window_end)], vec![2]),
        (vec![("traceID", &id), ("traceID", "1")], vec![2]),
        (vec![("service", "nobody")], vec![]),
    ] {
        let answer = api.ok("/api/traces", &query).await;
        assert_eq!(ids(&answer), want, "{query:?}");
        assert_eq!(answer["total"], want.len());
        for trace in answer["data"].as_array().unwrap() {
            let spans = trace["spans"].as_array().unwrap().len();
            let whole = if trace["traceID"].as_str().unwrap().starts_with("03") { 1 } else { 2 };
            assert_eq!(spans, whole, "{query:?}");
        }
    }
    for (query, message) in [
        (vec![payment, ("tags", "nonsense")], "`tags`"),
        (vec![payment, ("tags", r#"{"a":[1]}"#)], "`tags.a`"),
        (vec![payment, ("minDuration", "5 parsecs")], "`minDuration`"),
        (vec![payment, ("limit", "0")], "`limit`"),
        (vec![payment, ("start", "now")], "`start`"),
    ] {
        let (status, answer) = api.get("/api/traces", &query).await;
        let text = answer["errors"][0]["msg"].as_str().unwrap();
        assert!(status == 400 && text.contains(message), "{query:?}: {text}");
    }
    api.stop().await;
}

/// The newest trace has more spans than a first look takes in; the older one is found all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_trace_does_not_hide_the_others() {
    let api = Api::start().await;
    let many = (0..2_000_u32).map(|i| {
        let mut span = span(9, 0, 0, "loop", 10, 1);
        span.span_id = SpanId((u64::from(i) + 1).to_be_bytes());
        span
    });
    api.push_spans("s", vec![span(1, 1, 0, "rare", 20, 1)]).await;
    api.push_spans("s", many.collect()).await;
    let answer = api.ok("/api/traces", &[("service", "s"), ("limit", "2")]).await;
    assert_eq!(ids(&answer), [9, 1]);
    assert_eq!(answer["data"][0]["spans"].as_array().unwrap().len(), 2_000);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_count_calls_between_services() {
    let api = shop().await;
    let answer = api.ok("/api/dependencies", &[]).await;
    let want = json!([{"parent": "order-service", "child": "payment-service", "callCount": 2}]);
    assert_eq!(answer["data"], want);
    let end = ((NOW - 40) * 1000).to_string();
    let query = [("endTs", &*end), ("lookback", "3600000")];
    assert_eq!(api.ok("/api/dependencies", &query).await["data"][0]["callCount"], 1);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn big_traces_are_stopped_by_the_budget() {
    let api = Api::with(|settings| settings.max_query_bytes = Some(2_000)).await;
    api.push_spans("s", vec![span(1, 1, 0, "a", 20, 1)]).await;
    let (status, answer) = api.get(&format!("/api/traces/{}", "01".repeat(16)), &[]).await;
    assert_eq!(status, 422, "{answer}");
    let text = answer["errors"][0]["msg"].as_str().unwrap();
    assert!(text.contains("limits.query_bytes = 2000"), "{text}");
    api.stop().await;
}
