use serde_json::{Value, json};
use skopos_model::{Span, SpanKind, StatusCode, Timestamp};

use crate::support::{adjustments, attributes, rejections, traces};

fn span() -> Value {
    json!({
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
        "name": "GET /orders", "kind": 2,
        "startTimeUnixNano": "1000", "endTimeUnixNano": "3000",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut span = span();
    span[field] = value;
    span
}

fn request(spans: Value) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&[("service.name", json!("shop"))])},
        "scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}],
    }]})
}

fn one(span: Value) -> Span {
    let report = traces(request(json!([span])));
    assert_eq!(report.decoded.rejected, []);
    report.decoded.value.groups[0].spans[0].clone()
}

#[test]
fn a_span_keeps_everything() {
    let mut json = span();
    for (field, value) in [
        ("parentSpanId", json!("1112131415161718")),
        ("traceState", json!("a=1")),
        ("flags", json!(257)),
        ("kind", json!("SPAN_KIND_CLIENT")),
        ("attributes", attributes(&[("http.route", json!("/orders"))])),
        ("droppedAttributesCount", json!("4")),
        ("droppedEventsCount", json!(5)),
        ("droppedLinksCount", json!(6)),
        ("status", json!({"code": 2, "message": "boom"})),
        (
            "events",
            json!([{"timeUnixNano": "2000", "name": "retry", "droppedAttributesCount": 1,
                    "attributes": attributes(&[("n", json!(1))])}, {"name": "untimed"}]),
        ),
        (
            "links",
            json!([{"traceId": "ff02030405060708090a0b0c0d0e0f10", "spanId": "ff02030405060708",
                    "traceState": "b=2", "flags": 1, "droppedAttributesCount": 2,
                    "attributes": attributes(&[("why", json!("batch"))])}]),
        ),
    ] {
        json[field] = value;
    }
    let span = one(json);
    assert_eq!(span.parent_span_id.to_string(), "1112131415161718");
    assert_eq!((&*span.trace_state, span.flags, span.kind), ("a=1", 257, SpanKind::Client));
    assert_eq!((span.start_time, span.end_time), (Timestamp(1000), Timestamp(3000)));
    let dropped =
        [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count];
    assert_eq!(dropped, [4, 5, 6]);
    assert_eq!((span.status.code, &*span.status.message), (StatusCode::Error, "boom"));
    assert_eq!(span.attributes.str("http.route"), Some("/orders"));
    let [retry, untimed] = &span.events[..] else { panic!("two events") };
    assert_eq!((&*retry.name, retry.time, retry.attributes.len()), ("retry", Timestamp(2000), 1));
    assert_eq!(untimed.time, span.start_time);
    let [link] = &span.links[..] else { panic!("one link") };
    assert_eq!(link.trace_id.to_string(), "ff02030405060708090a0b0c0d0e0f10");
    assert_eq!((&*link.trace_state, link.flags, link.dropped_attributes_count), ("b=2", 1, 2));
}

#[test]
fn bad_spans_are_rejected_one_by_one() {
    for (bad, reason) in [
        (with("traceId", json!("0102")), "invalid_trace_id"),
        (with("traceId", json!("zz02030405060708090a0b0c0d0e0f10")), "invalid_trace_id"),
        (with("traceId", json!("")), "invalid_trace_id"),
        (with("traceId", json!("00000000000000000000000000000000")), "invalid_trace_id"),
        (with("spanId", json!("010203040506070809")), "invalid_span_id"),
        (with("spanId", json!(null)), "invalid_span_id"),
        (with("parentSpanId", json!("01")), "invalid_parent_span_id"),
        (with("startTimeUnixNano", json!(0)), "missing_timestamp"),
        (with("startTimeUnixNano", json!(u64::MAX)), "invalid_timestamp"),
        (with("endTimeUnixNano", json!("18446744073709551615")), "invalid_timestamp"),
        (with("events", json!([{"timeUnixNano": u64::MAX}])), "invalid_timestamp"),
    ] {
        let report = traces(request(json!([span(), bad.clone(), span()])));
        assert_eq!(report.decoded.value.groups[0].spans.len(), 2, "{bad}");
        let want = format!("{reason}×1 of \"shop\"");
        assert_eq!(rejections(&report.decoded.rejected), [want], "{bad}");
        assert!(!report.decoded.rejected[0].message.is_empty());
    }
}

#[test]
fn odd_spans_are_kept_and_counted() {
    for (odd, reason) in [
        (with("endTimeUnixNano", json!("999")), "end_before_start"),
        (with("endTimeUnixNano", json!(0)), "end_before_start"),
        (with("name", json!("")), "empty_name"),
        (with("links", json!([{"traceId": "01"}])), "invalid_link"),
        (with("attributes", attributes(&[("", json!("x"))])), "empty_key"),
    ] {
        let report = traces(request(json!([odd.clone()])));
        assert_eq!(report.decoded.rejected, [], "{odd}");
        assert_eq!(adjustments(&report.adjusted), [format!("{reason}×1 of \"shop\"")], "{odd}");
        let span = &report.decoded.value.groups[0].spans[0];
        assert!(span.end_time >= span.start_time && !span.name.is_empty());
        assert_eq!(span.dropped_links_count, u32::from(reason == "invalid_link"));
        assert_eq!(span.dropped_attributes_count, u32::from(reason == "empty_key"));
    }
}

#[test]
fn a_root_has_no_parent() {
    for parent in [json!(null), json!(""), json!("0000000000000000")] {
        assert!(!one(with("parentSpanId", parent)).parent_span_id.is_valid());
    }
}
