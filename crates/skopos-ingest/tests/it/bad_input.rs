//! Bytes that are no OTLP at all, and JSON at the edge of what is allowed.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use skopos_ingest::otlp::{
    DecodeError, OtlpEncoding, OtlpOptions, decode_logs, decode_metrics, decode_traces,
};

use crate::support::NOW;

fn logs_error(encoding: OtlpEncoding, body: &[u8]) -> DecodeError {
    decode_logs(encoding, body, &OtlpOptions::default(), NOW).unwrap_err()
}

fn small_request() -> ExportLogsServiceRequest {
    let record = LogRecord { severity_text: "WARN".to_owned(), ..Default::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..Default::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..Default::default() }];
    ExportLogsServiceRequest { resource_logs }
}

#[test]
fn truncated_protobuf_says_where() {
    let body = small_request().encode_to_vec();
    for end in 1..body.len() {
        let error = logs_error(OtlpEncoding::Protobuf, &body[..end]);
        assert_eq!(error.reason(), "malformed_protobuf");
        let DecodeError::Malformed { offset, .. } = error else { panic!("{error}") };
        assert!(offset <= end);
    }
    let options = OtlpOptions::default();
    assert!(
        decode_logs(OtlpEncoding::Protobuf, b"", &options, NOW)
            .unwrap()
            .decoded
            .value
            .groups
            .is_empty()
    );
    assert!(decode_traces(OtlpEncoding::Protobuf, b"\xff", &options).is_err());
    assert!(decode_metrics(OtlpEncoding::Protobuf, b"hello", &options).is_err());
}

/// The decoder names every level it was in, so the sender decides how much there is to say.
#[test]
fn what_the_decoder_says_is_cut() {
    let mut body = AnyValue { value: Some(Value::BoolValue(true)) };
    for _ in 0..120 {
        let values = vec![body];
        body = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) };
    }
    let record = LogRecord { body: Some(body), ..Default::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..Default::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..Default::default() }];
    let deep = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    let long_word = format!(r#"{{"resourceLogs": [{{"scopeLogs": "é{}"}}]}}"#, "é".repeat(10_000));
    for (encoding, body, want) in [
        (OtlpEncoding::Protobuf, deep.as_slice(), "recursion limit reached"),
        (OtlpEncoding::Json, long_word.as_bytes(), "at line 1"),
    ] {
        let text = logs_error(encoding, body).to_string();
        assert!(text.len() < 420 && text.contains(want), "{} bytes: {text}", text.len());
    }
}

#[test]
fn invalid_utf8_names_the_field() {
    let mut body = small_request().encode_to_vec();
    let at = body.windows(4).position(|window| window == b"WARN").unwrap();
    body[at] = 0xff;
    let error = logs_error(OtlpEncoding::Protobuf, &body);
    assert_eq!(error.reason(), "invalid_utf8");
    assert_eq!(
        error.to_string(),
        format!(
            "request is not valid OTLP protobuf: text is not UTF-8 in LogRecord.severity_text (before byte {})",
            at + 4
        )
    );
    let error = logs_error(OtlpEncoding::Json, b"{\"resourceLogs\": \"\xff\"}");
    assert_eq!(
        error,
        DecodeError::InvalidUtf8 { encoding: OtlpEncoding::Json, offset: 18, field: String::new() }
    );
}

#[test]
fn malformed_json_says_where() {
    for (body, offset) in [
        ("", 0),
        ("[]", 0),
        ("{\"resourceLogs\": [}", 19),
        ("{}\n{}", 4),
        ("{\"resourceLogs\": 5}", 18),
        ("{\n \"resourceLogs\": [\n{\"scopeLogs\": true}]}", 39),
        (
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"soon\"}]}]}]}",
            68,
        ),
        ("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":-1}]}]}]}", 64),
        (
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"bytesValue\":\"a b\"}}]}]}]}",
            74,
        ),
    ] {
        let error = logs_error(OtlpEncoding::Json, body.as_bytes());
        assert_eq!(error.reason(), "malformed_json");
        let DecodeError::Malformed { offset: found, message, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, offset, "{body}: {message}");
    }
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let nested = |depth: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        let close = "]}}".repeat(depth);
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#
        )
    };
    let mut value = AnyValue::default();
    for _ in 0..200 {
        let array = ArrayValue { values: vec![value] };
        value = AnyValue { value: Some(Value::ArrayValue(array)) };
    }
    let mut request = small_request();
    request.resource_logs[0].scope_logs[0].log_records[0].body = Some(value);
    let error = logs_error(OtlpEncoding::Protobuf, &request.encode_to_vec());
    assert!(error.to_string().contains("recursion limit reached"), "{error}");
    let options = OtlpOptions::default();
    assert!(decode_logs(OtlpEncoding::Json, nested(30).as_bytes(), &options, NOW).is_ok());
    assert_eq!(
        logs_error(OtlpEncoding::Json, nested(100_000).as_bytes()).reason(),
        "malformed_json"
    );
}

#[test]
fn json_leniency() {
    let body = br#"{
        "futureField": {"deep": [1, {"x": null}]},
        "resourceLogs": [{
            "resource": null, "schemaUrl": null,
            "scopeLogs": [{
                "scope": {"name": null, "attributes": null},
                "logRecords": [
                    {"timeUnixNano": 1, "severityNumber": "SEVERITY_NUMBER_ERROR2", "body": null, "another": 1.5},
                    {"timeUnixNano": "2", "severityNumber": "9", "attributes": [
                        {"key": "i", "value": {"intValue": 3.0}},
                        {"key": "s", "value": {"newValue": {}, "stringValue": "x"}},
                        {"key": "n", "value": {"stringValue": null}},
                        {"key": "u", "value": {"unknown": 1}}
                    ]},
                    {"timeUnixNano": 3e3, "traceId": null, "flags": "1", "severityNumber": "UNHEARD_OF"}
                ]
            }]
        }]
    }"#;
    let report = decode_logs(OtlpEncoding::Json, body, &OtlpOptions::default(), NOW).unwrap();
    assert_eq!((report.decoded.rejected.len(), report.adjusted.len()), (0, 0));
    let records = &report.decoded.value.groups[0].records;
    let shape: Vec<_> =
        records.iter().map(|r| (r.time.as_nanos(), r.severity.0, r.flags)).collect();
    assert_eq!(shape, [(1, 18, 0), (2, 9, 0), (3_000, 0, 1)]);
    let mut json = String::new();
    records[1].attributes.write_json(&mut json).unwrap();
    assert_eq!(json, r#"{"i":3,"s":"x","n":null,"u":null}"#);
}

#[test]
fn content_types() {
    for (value, want) in [
        ("application/x-protobuf", Some(OtlpEncoding::Protobuf)),
        ("application/json; charset=utf-8", Some(OtlpEncoding::Json)),
        ("APPLICATION/JSON", Some(OtlpEncoding::Json)),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(OtlpEncoding::from_content_type(value), want, "{value}");
    }
}
