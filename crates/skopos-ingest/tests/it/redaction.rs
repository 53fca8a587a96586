use serde_json::{Value, json};
use skopos_ingest::otlp::{OtlpEncoding, OtlpOptions, Translation, decode_logs};

use crate::support::{NOW, attributes, logs, metrics_with, redactions, render, traces};

const CANARY: &str = "hunter2-canary";

fn resource() -> Value {
    json!({"attributes": attributes(&[
        ("service.name", json!("shop")),
        ("process.command_line", json!(format!("run --password={CANARY}"))),
    ])})
}

/// Everything that a secret can hide in, each with the canary.
fn secrets() -> Value {
    json!([
        {"key": "user.password", "value": {"stringValue": CANARY}},
        {"key": "note", "value": {"stringValue": format!("login with password={CANARY} ok")}},
        {"key": "apiKey", "value": {"bytesValue": "aHVudGVyMi1jYW5hcnk="}},
        {"key": "request", "value": {"kvlistValue": {"values": [
            {"key": "headers", "value": {"kvlistValue": {"values": [
                {"key": "Authorization", "value": {"stringValue": CANARY}},
                {"key": "Accept", "value": {"stringValue": "*/*"}},
            ]}}},
            {"key": "list", "value": {"arrayValue": {"values": [
                {"kvlistValue": {"values": [{"key": "password", "value": {"stringValue": CANARY}}]}},
                {"stringValue": format!("password={CANARY}")},
            ]}}},
        ]}}},
        {"key": "token", "value": {"kvlistValue": {"values": [
            {"key": "inner", "value": {"stringValue": CANARY}}]}}},
        {"key": "secret", "value": {"stringValue": ""}},
        {"key": "http.route", "value": {"stringValue": "/login"}},
    ])
}

fn secret_keys() -> Vec<&'static str> {
    vec![
        "apiKey×1 of \"shop\"",
        "note×1 of \"shop\"",
        "request.headers.Authorization×1 of \"shop\"",
        "request.list.password×1 of \"shop\"",
        "request.list×1 of \"shop\"",
        "token×1 of \"shop\"",
        "user.password×1 of \"shop\"",
    ]
}

fn want(more: &[&'static str]) -> Vec<&'static str> {
    let mut keys = secret_keys();
    keys.push("process.command_line×1 of \"shop\"");
    keys.extend(more);
    keys.sort_unstable();
    keys
}

#[test]
fn no_secret_of_a_log_survives() {
    let report = logs(
        json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"logRecords": [
            {"body": {"stringValue": format!("failed: password={CANARY}")}, "attributes": secrets()},
        ]}]}]}),
    );
    let text = format!("{:?}", report.decoded);
    assert!(!text.contains(CANARY), "{text}");
    assert!(!text.contains("104, 117, 110, 116"), "the bytes went through: {text}");
    assert_eq!(redactions(&report.redactions), want(&["body×1 of \"shop\""]));
    let record = &report.decoded.value.groups[0].records[0];
    assert_eq!(record.body.as_str(), Some("failed: password=[REDACTED]"));
    let mut json = String::new();
    record.attributes.write_json(&mut json).unwrap();
    assert_eq!(
        json,
        r#"{"user.password":"[REDACTED]","note":"login with password=[REDACTED] ok","apiKey":"[REDACTED]","request":{"headers":{"Authorization":"[REDACTED]","Accept":"*/*"},"list":[{"password":"[REDACTED]"},"password=[REDACTED]"]},"token":"[REDACTED]","secret":"","http.route":"/login"}"#
    );
}

#[test]
fn a_structured_body_is_redacted_by_name() {
    let report = logs(json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"body": {"kvlistValue": {"values": secrets()}}},
    ]}]}]}));
    assert!(!format!("{:?}", report.decoded).contains(CANARY));
    let keys: Vec<_> = secret_keys().iter().map(|key| key.replace("shop", "")).collect();
    assert_eq!(redactions(&report.redactions), keys);
}

#[test]
fn no_secret_of_a_span_survives() {
    let report = traces(
        json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [{"spans": [{
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "login",
            "startTimeUnixNano": "1", "endTimeUnixNano": "2",
            "attributes": secrets(),
            "events": [{"name": "exception", "attributes": secrets()}],
            "links": [{"attributes": secrets()}],
            "status": {"code": 2, "message": format!("bad password={CANARY}")},
        }]}]}]}),
    );
    assert!(!format!("{:?}", report.decoded).contains(CANARY));
    let count: u64 = report.redactions.iter().map(|r| r.count).sum();
    assert_eq!(count, 3 * 7 + 1 + 1);
    assert!(report.redactions.iter().any(|r| r.key == "status.message" && r.count == 1));
}

#[test]
fn no_secret_of_a_metric_survives() {
    let report = metrics_with(
        json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": [
            {"name": "logins", "gauge": {"dataPoints": [{
                "timeUnixNano": "1000000", "asInt": 1, "attributes": secrets(),
                "exemplars": [{"asInt": 1, "filteredAttributes": secrets()}],
            }]}},
        ]}]}]}),
        Translation::default(),
    );
    let text = render(&report.decoded.value).join("\n");
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains(r#"user_password="[REDACTED]""#), "{text}");
    assert!(
        text.contains(
            r#"target_info{job="shop", process_command_line="run --password=[REDACTED]""#
        )
    );
}

#[test]
fn redaction_can_be_off_and_rules_can_be_added() {
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"attributes": attributes(&[("password", json!("p")), ("order.note", json!("n"))])},
    ]}]}]})
    .to_string();
    let decode = |redactor| {
        let options = OtlpOptions { redactor, ..OtlpOptions::default() };
        decode_logs(OtlpEncoding::Json, body.as_bytes(), &options, NOW).unwrap()
    };
    let off = decode(None);
    assert!(off.redactions.is_empty());
    assert_eq!(off.decoded.value.groups[0].records[0].attributes.str("password"), Some("p"));
    let redactor = skopos_redact::Redactor::builder().deny("order.note").build().unwrap();
    assert_eq!(
        redactions(&decode(Some(redactor)).redactions),
        ["order.note×1 of \"\"", "password×1 of \"\""]
    );
}
