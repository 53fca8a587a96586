//! Every limit: what it does at its value and one beyond, and that it is named.

use serde_json::{Value, json};
use skopos_ingest::otlp::{OtlpEncoding, OtlpOptions, decode_logs, decode_metrics, decode_traces};
use skopos_ingest::{Ingested, Limits};
use skopos_model::{LogBatch, MetricBatch, TraceBatch};

use crate::support::{NOW, adjustments, attributes, rejections, render};

fn options(limits: Limits) -> OtlpOptions {
    OtlpOptions { limits, ..OtlpOptions::default() }
}

fn log(limits: Limits, record: Value) -> Ingested<LogBatch> {
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
    decode_logs(OtlpEncoding::Json, body.as_bytes(), &options(limits), NOW).unwrap()
}

fn span(limits: Limits, fields: Value) -> Ingested<TraceBatch> {
    let mut span = json!({"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
                          "name": "s", "startTimeUnixNano": "1", "endTimeUnixNano": "2"});
    for (key, value) in fields.as_object().unwrap() {
        span[key] = value.clone();
    }
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    decode_traces(OtlpEncoding::Json, body.as_bytes(), &options(limits)).unwrap()
}

fn metric(limits: Limits, metric: Value) -> Ingested<MetricBatch> {
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string();
    decode_metrics(OtlpEncoding::Json, body.as_bytes(), &options(limits)).unwrap()
}

fn texts(count: usize) -> Value {
    (0..count).map(|i| json!({"key": format!("k{i}"), "value": {"stringValue": "v"}})).collect()
}

#[test]
fn attributes_are_dropped_beyond_their_number() {
    let limits = || Limits { attributes_per_record: 3, ..Limits::default() };
    for (found, dropped) in [(3, 0), (5, 2)] {
        let report =
            log(limits(), json!({"attributes": texts(found), "droppedAttributesCount": 1}));
        let record = &report.decoded.value.groups[0].records[0];
        assert_eq!((record.attributes.len(), record.dropped_attributes_count), (3, 1 + dropped));
        let counted: u64 = report.adjusted.iter().map(|a| a.count).sum();
        assert_eq!(counted, u64::from(dropped));
    }
    let nested = json!({"body": {"kvlistValue": {"values": texts(4)}}});
    let report = log(limits(), nested);
    assert_eq!(adjustments(&report.adjusted), ["attributes_per_record×1 of \"\""]);
    assert!(report.adjusted[0].message.contains("limit `attributes_per_record` is 3, found 4"));
}

#[test]
fn texts_are_cut_at_a_character() {
    let limits = Limits {
        attribute_value_bytes: 4,
        body_bytes: 5,
        attribute_name_bytes: 3,
        ..Limits::default()
    };
    let report = log(
        limits,
        json!({"body": {"stringValue": "größte"}, "attributes": [
            {"key": "abc", "value": {"stringValue": "abcé"}},
            {"key": "b", "value": {"bytesValue": "AQIDBAUG"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "12345"}, {"stringValue": "1234"}]}}},
            {"key": "abcd", "value": {"stringValue": "x"}},
        ]}),
    );
    let record = &report.decoded.value.groups[0].records[0];
    assert_eq!(record.body.as_str(), Some("grö"));
    let mut json = String::new();
    record.attributes.write_json(&mut json).unwrap();
    assert_eq!(json, r#"{"abc":"abc","b":"AQIDBA==","l":["1234","1234"]}"#);
    assert_eq!(record.dropped_attributes_count, 1);
    assert_eq!(
        adjustments(&report.adjusted),
        [
            "attribute_name_bytes×1 of \"\"",
            "attribute_value_bytes×3 of \"\"",
            "body_bytes×1 of \"\"",
        ]
    );
}

#[test]
fn names_are_cut_and_the_account_stays_small() {
    let limits = || Limits { attribute_value_bytes: 4, ..Limits::default() };
    let report = log(limits(), json!({"severityText": "ERRORS", "eventName": "order.failed"}));
    let record = &report.decoded.value.groups[0].records[0];
    assert_eq!((&*record.severity_text, &*record.event_name), ("ERRO", "orde"));
    assert_eq!(adjustments(&report.adjusted), ["attribute_value_bytes×2 of \"\""]);
    let report = span(limits(), json!({"name": "GET /orders", "events": [{"name": "exception"}]}));
    let span = &report.decoded.value.groups[0].spans[0];
    assert_eq!((&*span.name, &*span.events[0].name), ("GET ", "exce"));

    let long = "é".repeat(10_000);
    let secret = format!("{}.password", "k".repeat(600));
    let resource = attributes(&[("service.name", json!(long))]);
    let records = json!([{"attributes": attributes(&[(&secret, json!("p")), ("", json!("x"))])}]);
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": resource}, "scopeLogs": [{"logRecords": records}]}]});
    let report = crate::support::logs(body);
    assert_eq!(report.adjusted[0].sender.len(), 256);
    assert_eq!((report.redactions[0].sender.len(), report.redactions[0].key.len()), (256, 256));
}

#[test]
fn large_records_are_rejected() {
    let limits = || Limits { record_bytes: 2_000, ..Limits::default() };
    let text = |length| json!({"stringValue": "x".repeat(length)});
    assert!(log(limits(), json!({"body": text(1_000)})).decoded.rejected.is_empty());
    let report = log(limits(), json!({"body": text(2_001)}));
    assert_eq!(rejections(&report.decoded.rejected), ["record_bytes×1 of \"\""]);
    let events: Value = (0..30)
        .map(|_| json!({"name": "e", "attributes": [{"key": "k", "value": text(100)}]}))
        .collect();
    let report = span(limits(), json!({ "events": events }));
    assert_eq!(rejections(&report.decoded.rejected), ["record_bytes×1 of \"\""]);
}

#[test]
fn events_and_links_are_dropped_beyond_their_number() {
    let limits = Limits { events_per_span: 2, links_per_span: 1, ..Limits::default() };
    let report = span(
        limits,
        json!({"events": [{}, {}, {}], "links": [{}, {}, {}], "droppedEventsCount": 1}),
    );
    let span = &report.decoded.value.groups[0].spans[0];
    assert_eq!((span.events.len(), span.dropped_events_count), (2, 2));
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 2));
    assert_eq!(
        adjustments(&report.adjusted),
        ["events_per_span×1 of \"\"", "links_per_span×2 of \"\""]
    );
}

#[test]
fn series_beyond_a_limit_are_rejected() {
    let gauge = |name: &str, pairs: Value| {
        json!({"name": name, "gauge": {"dataPoints": [
            {"timeUnixNano": "1000000", "asInt": 1, "attributes": pairs}]}})
    };
    let limits = || Limits {
        labels_per_series: 3,
        label_name_bytes: 5,
        label_value_bytes: 15,
        ..Limits::default()
    };
    let job = "unknown_service"; // 15 bytes, and one label
    let fine =
        metric(limits(), gauge("abcde", attributes(&[("a", json!("1")), ("b", json!("1"))])));
    assert_eq!(
        render(&fine.decoded.value),
        [format!("abcde{{a=\"1\", b=\"1\", job=\"{job}\"}} 1 @1")]
    );
    for (bad, reason) in [
        (gauge("g", texts(3)), "labels_per_series"),
        (gauge("g", texts(9)), "labels_per_series"),
        (gauge("abcdef", json!([])), "label_name_bytes"),
        (gauge("g", attributes(&[("abcdef", json!("1"))])), "label_name_bytes"),
        (gauge("g", attributes(&[("a", json!("1234567890123456"))])), "label_value_bytes"),
    ] {
        let report = metric(limits(), bad.clone());
        assert!(report.decoded.value.series.is_empty(), "{bad}");
        assert_eq!(rejections(&report.decoded.rejected), [format!("{reason}×1 of \"\"")], "{bad}");
        assert!(report.decoded.rejected[0].message.contains(&format!("limit `{reason}` is")));
    }
}

#[test]
fn histograms_have_a_bounded_number_of_buckets_and_exemplars() {
    let limits =
        || Limits { buckets_per_histogram: 3, exemplars_per_point: 1, ..Limits::default() };
    let classic = |bounds: Value, counts: Value| {
        json!({"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "1000000", "explicitBounds": bounds, "bucketCounts": counts}]}})
    };
    let fine = metric(limits(), classic(json!([1, 2]), json!([0, 0, 0])));
    assert!(fine.decoded.rejected.is_empty());
    let buckets = json!({"bucketCounts": [0, 0]});
    let exponential = json!({"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "1000000", "positive": buckets, "negative": buckets}]}});
    let quantile = json!({"quantile": 0.5, "value": 1});
    let summary = json!({"name": "s", "summary": {"dataPoints": [
        {"timeUnixNano": "1000000", "quantileValues": [quantile, quantile, quantile, quantile]}]}});
    for bad in [classic(json!([1, 2, 3]), json!([0, 0, 0, 0])), exponential, summary] {
        let report = metric(limits(), bad);
        assert_eq!(rejections(&report.decoded.rejected), ["buckets_per_histogram×1 of \"\""]);
    }
    let gauge = json!({"name": "g", "gauge": {"dataPoints": [
        {"timeUnixNano": "1000000", "asInt": 1, "exemplars": [{"asInt": 1}, {"asInt": 2}]}]}});
    let report = metric(limits(), gauge);
    assert_eq!(report.decoded.value.series[0].exemplars[0].value, 2.0);
    assert_eq!(adjustments(&report.adjusted), ["exemplars_per_point×1 of \"\""]);
}

#[test]
fn requests_of_many_empty_parts_are_refused() {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use skopos_ingest::otlp::DecodeError;

    let delimited = |field: u8, content: Vec<u8>| {
        let mut bytes = vec![field << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(content);
        bytes
    };
    let scope = |content| delimited(1, delimited(2, content));
    let count = 10_000;
    let records = scope([0x12, 0].repeat(count));
    let attributes = scope(delimited(2, [0x32, 0].repeat(count)));
    let values = delimited(5, delimited(5, [0x0a, 0].repeat(count)));
    let values = scope(delimited(2, values));
    let sizes = [size_of::<LogRecord>(), size_of::<KeyValue>(), size_of::<AnyValue>()];
    for (body, size) in [records, attributes, values].into_iter().zip(sizes) {
        let decode = |decoded_bytes| {
            let options = options(Limits { decoded_bytes, ..Limits::default() });
            decode_logs(OtlpEncoding::Protobuf, &body, &options, NOW)
        };
        let max_bytes = size * count;
        assert_eq!(decode(max_bytes).unwrap_err(), DecodeError::TooLarge { max_bytes });
        // Resource, scope and record around them take a little.
        assert!(decode(max_bytes + 1_000).is_ok());
    }

    let records = vec!["{}"; count].join(",");
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let decode = |decoded_bytes| {
        let options = options(Limits { decoded_bytes, ..Limits::default() });
        decode_logs(OtlpEncoding::Json, body.as_bytes(), &options, NOW)
    };
    let error = decode(100 * count).unwrap_err();
    assert_eq!(error.reason(), "decoded_bytes");
    assert!(error.to_string().contains("limit `decoded_bytes` of 1000000 bytes"));
    assert!(decode(1_000 * count).is_ok());
    // The next request of the thread starts afresh.
    let options = OtlpOptions::default();
    let error = decode_logs(OtlpEncoding::Json, b"{", &options, NOW).unwrap_err();
    assert_eq!(error.reason(), "malformed_json");
}
