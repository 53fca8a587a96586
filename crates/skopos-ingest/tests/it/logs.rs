use serde_json::{Value, json};
use skopos_model::{AnyValue, LogRecord, SeverityNumber, SpanId, Timestamp, TraceId};

use crate::support::{NOW, adjustments, attributes, logs, rejections};

fn request(records: Value) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": attributes(&[("service.name", json!("shop"))])},
        "scopeLogs": [{"scope": {"name": "lib", "version": "2"}, "logRecords": records}],
    }]})
}

fn one(record: Value) -> LogRecord {
    let report = logs(request(json!([record])));
    assert_eq!(report.decoded.rejected, []);
    report.decoded.value.groups[0].records[0].clone()
}

#[test]
fn a_record_keeps_everything() {
    let record = one(json!({
        "timeUnixNano": "1700000000000000001",
        "observedTimeUnixNano": 1_700_000_000_000_000_002_u64,
        "severityNumber": 17, "severityText": "ERROR",
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174",
        "flags": 1, "eventName": "order.failed", "droppedAttributesCount": 3,
        "body": {"kvlistValue": {"values": [
            {"key": "n", "value": {"intValue": 5}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
        ]}},
        "attributes": [
            {"key": "d", "value": {"doubleValue": "NaN"}},
            {"key": "b", "value": {"bytesValue": "AQI="}},
            {"key": "none"},
        ],
    }));
    assert_eq!(record.time, Timestamp(1_700_000_000_000_000_001));
    assert_eq!(record.observed_time, Timestamp(1_700_000_000_000_000_002));
    assert_eq!(record.severity, SeverityNumber::ERROR);
    assert_eq!(record.trace_id, "5b8efff798038103d269b633813fc60c".parse::<TraceId>().unwrap());
    assert_eq!(record.span_id, "eee19b7ec3c1b174".parse::<SpanId>().unwrap());
    assert_eq!((record.flags, record.dropped_attributes_count), (1, 3));
    assert_eq!(&*record.event_name, "order.failed");
    assert_eq!(record.body.to_string(), r#"{"n":5,"list":[true,null]}"#);
    let mut json = String::new();
    record.attributes.write_json(&mut json).unwrap();
    assert_eq!(json, r#"{"d":"NaN","b":"AQI=","none":null}"#);
}

#[test]
fn missing_times_fall_back() {
    let observed = one(json!({"observedTimeUnixNano": "7"}));
    assert_eq!((observed.time, observed.observed_time), (Timestamp(7), Timestamp(7)));
    let timed = one(json!({"timeUnixNano": "9"}));
    assert_eq!((timed.time, timed.observed_time), (Timestamp(9), NOW));
    let neither = one(json!({}));
    assert_eq!((neither.time, neither.observed_time), (NOW, NOW));
    assert_eq!(neither.body, AnyValue::Empty);
}

#[test]
fn the_last_of_repeated_names_counts() {
    let record = one(json!({"attributes": attributes(&[
        ("a", json!("1")), ("b", json!("2")), ("a", json!("3")),
    ])}));
    let pairs: Vec<_> = record.attributes.iter().map(|(k, v)| (k, v.to_string())).collect();
    assert_eq!(pairs, [("a", "3".to_owned()), ("b", "2".to_owned())]);
    // The same name in two records is no repetition.
    let record = json!({"attributes": attributes(&[("a", json!("1"))])});
    let report = logs(request(json!([record, record])));
    assert!(report.decoded.value.groups[0].records.iter().all(|r| r.attributes.len() == 1));
}

#[test]
fn one_bad_record_does_not_cost_its_batch() {
    let report = logs(request(json!([
        {"timeUnixNano": "1", "body": {"stringValue": "good"}},
        {"timeUnixNano": u64::MAX.to_string()},
        {"timeUnixNano": "2", "observedTimeUnixNano": "9999999999999999999"},
        {"timeUnixNano": "3", "traceId": "abcd", "spanId": "not hexadecimal!"},
        {"timeUnixNano": "4", "severityNumber": 99},
    ])));
    let times: Vec<_> =
        report.decoded.value.groups[0].records.iter().map(|r| r.time.as_nanos()).collect();
    assert_eq!(times, [1, 3, 4]);
    assert_eq!(rejections(&report.decoded.rejected), ["invalid_timestamp×2 of \"shop\""]);
    assert_eq!(
        adjustments(&report.adjusted),
        [
            "invalid_severity×1 of \"shop\"",
            "invalid_span_id×1 of \"shop\"",
            "invalid_trace_id×1 of \"shop\"",
        ]
    );
    let kept = &report.decoded.value.groups[0].records[1];
    assert!(!kept.trace_id.is_valid() && !kept.span_id.is_valid());
}

#[test]
fn groups_share_resource_and_scope() {
    let report = logs(json!({"resourceLogs": [
        {"resource": {"attributes": attributes(&[("service.name", json!("a"))])},
         "schemaUrl": "https://schema/1",
         "scopeLogs": [
            {"scope": {"name": "one"}, "logRecords": [{}, {}], "schemaUrl": "https://schema/2"},
            {"logRecords": [{}]},
            {"scope": {"name": "empty"}, "logRecords": []},
        ]},
        {"scopeLogs": [{"logRecords": [{}]}]},
    ]}));
    let groups = &report.decoded.value.groups;
    let shape: Vec<_> = groups
        .iter()
        .map(|g| (g.resource.service_name(), g.scope.name.as_str(), g.records.len()))
        .collect();
    assert_eq!(shape, [("a", "one", 2), ("a", "", 1), ("", "", 1)]);
    assert!(std::sync::Arc::ptr_eq(&groups[0].resource, &groups[1].resource));
    assert_eq!(groups[0].resource.schema_url, "https://schema/1");
    assert_eq!(groups[0].scope.schema_url, "https://schema/2");
}
