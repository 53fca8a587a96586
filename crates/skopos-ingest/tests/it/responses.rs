use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use skopos_ingest::Adjustment;
use skopos_ingest::otlp::{
    OtlpEncoding, RpcCode, RpcStatus, Signal, encode_response, partial_message,
};
use skopos_model::Rejection;

const SIGNALS: [Signal; 3] = [Signal::Logs, Signal::Metrics, Signal::Traces];

#[test]
fn full_success_leaves_partial_success_unset() {
    for signal in SIGNALS {
        assert_eq!(encode_response(signal, OtlpEncoding::Protobuf, 0, String::new()), b"");
        assert_eq!(encode_response(signal, OtlpEncoding::Json, 0, String::new()), b"{}");
    }
}

#[test]
fn partial_success_carries_count_and_message() {
    let encode = |signal| encode_response(signal, OtlpEncoding::Protobuf, 7, "why".to_owned());
    let logs = ExportLogsServiceResponse::decode(&*encode(Signal::Logs)).unwrap();
    let logs = logs.partial_success.unwrap();
    assert_eq!((logs.rejected_log_records, &*logs.error_message), (7, "why"));
    let metrics = ExportMetricsServiceResponse::decode(&*encode(Signal::Metrics)).unwrap();
    assert_eq!(metrics.partial_success.unwrap().rejected_data_points, 7);
    let traces = ExportTraceServiceResponse::decode(&*encode(Signal::Traces)).unwrap();
    assert_eq!(traces.partial_success.unwrap().rejected_spans, 7);

    for (signal, field) in
        SIGNALS.into_iter().zip(["rejectedLogRecords", "rejectedDataPoints", "rejectedSpans"])
    {
        let body = encode_response(signal, OtlpEncoding::Json, 7, "\"why\"".to_owned());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["partialSuccess"][field], "7");
        assert_eq!(json["partialSuccess"]["errorMessage"], "\"why\"");
    }
}

#[test]
fn a_warning_has_a_message_and_no_count() {
    let body = encode_response(Signal::Logs, OtlpEncoding::Protobuf, 0, "cut".to_owned());
    let partial = ExportLogsServiceResponse::decode(&*body).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_log_records, &*partial.error_message), (0, "cut"));
}

#[test]
fn messages_sum_up() {
    let rejected = [
        Rejection { count: 2, ..Rejection::one("empty_name", "shop", "metric without a name") },
        Rejection::one("invalid_timestamp", "", "year 2600"),
    ];
    let adjusted = [Adjustment {
        reason: "body_bytes",
        sender: "shop".to_owned(),
        count: 3,
        message: "cut".to_owned(),
    }];
    assert_eq!(
        partial_message(&rejected, &adjusted),
        (
            3,
            "rejected 2 (empty_name) of shop: metric without a name; \
             rejected 1 (invalid_timestamp): year 2600; adjusted 3 (body_bytes) of shop: cut"
                .to_owned()
        )
    );
    assert_eq!(partial_message(&[], &[]), (0, String::new()));
    let long = Rejection::one("empty_name", "", "é".repeat(10_000));
    assert!(partial_message(&[long], &[]).1.len() <= 4_100);
}

#[test]
fn error_bodies_are_google_rpc_status() {
    let status = RpcStatus::new(RpcCode::ResourceExhausted, "too much");
    assert_eq!(
        status.encode(OtlpEncoding::Protobuf),
        [&[0x08, 8, 0x12, 8][..], b"too much"].concat()
    );
    let status = status.with_retry_delay(Duration::from_millis(1_500));
    let json: serde_json::Value =
        serde_json::from_slice(&status.encode(OtlpEncoding::Json)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"code": 8, "message": "too much", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500000000s"}]})
    );
    let decoded = RpcStatus::decode(&*status.encode(OtlpEncoding::Protobuf)).unwrap();
    assert_eq!(decoded, status);
}
