//! Responses to OTLP clients: success, partial success and errors.
//!
//! On full success `partial_success` is left unset, as OTLP demands. When something was refused it
//! carries the count and the reasons; when everything was taken but something was changed, the
//! count is 0 and the message says what (a warning). Clients never repeat a partial success.

use std::fmt::Write;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1 as logs;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use prost::Message;
use skopos_model::Rejection;

use super::OtlpEncoding;
use crate::report::Adjustment;

/// Longest message in a response; senders log it, and OTLP caps responses at 4 MiB.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// The three signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `/v1/logs`
    Logs,
    /// `/v1/metrics`
    Metrics,
    /// `/v1/traces`
    Traces,
}

/// Sums up what was refused and what was changed: the count for `partial_success` and a message
/// for a human; (0, "") when there is nothing to say.
pub fn partial_message(rejected: &[Rejection], adjusted: &[Adjustment]) -> (u64, String) {
    let mut message = String::new();
    let mut separator = "";
    for entry in rejected {
        let Rejection { reason, sender, count, message: detail } = entry;
        let _ = write!(message, "{separator}rejected {count} ({reason})");
        describe(&mut message, sender, detail);
        separator = "; ";
    }
    for Adjustment { reason, sender, count, message: detail } in adjusted {
        let _ = write!(message, "{separator}adjusted {count} ({reason})");
        describe(&mut message, sender, detail);
        separator = "; ";
    }
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
    (rejected.iter().map(|r| r.count).sum(), message)
}

fn describe(message: &mut String, sender: &str, detail: &str) {
    if !sender.is_empty() {
        let _ = write!(message, " of {sender}");
    }
    let _ = write!(message, ": {detail}");
}

/// The response to a logs request.
pub fn logs_response(rejected: u64, message: String) -> logs::ExportLogsServiceResponse {
    let partial_success = partial(rejected, &message).map(|count| logs::ExportLogsPartialSuccess {
        rejected_log_records: count,
        error_message: message,
    });
    logs::ExportLogsServiceResponse { partial_success }
}

/// The response to a metrics request; `rejected` counts data points.
pub fn metrics_response(rejected: u64, message: String) -> metrics::ExportMetricsServiceResponse {
    let partial_success = partial(rejected, &message).map(|count| {
        metrics::ExportMetricsPartialSuccess { rejected_data_points: count, error_message: message }
    });
    metrics::ExportMetricsServiceResponse { partial_success }
}

/// The response to a traces request.
pub fn traces_response(rejected: u64, message: String) -> trace::ExportTraceServiceResponse {
    let partial_success = partial(rejected, &message).map(|count| {
        trace::ExportTracePartialSuccess { rejected_spans: count, error_message: message }
    });
    trace::ExportTraceServiceResponse { partial_success }
}

fn partial(rejected: u64, message: &str) -> Option<i64> {
    (rejected > 0 || !message.is_empty()).then(|| i64::try_from(rejected).unwrap_or(i64::MAX))
}

/// The body of a 200 response over HTTP, in the encoding of the request.
pub fn encode_response(
    signal: Signal,
    encoding: OtlpEncoding,
    rejected: u64,
    message: String,
) -> Vec<u8> {
    match (encoding, signal) {
        (OtlpEncoding::Protobuf, Signal::Logs) => logs_response(rejected, message).encode_to_vec(),
        (OtlpEncoding::Protobuf, Signal::Metrics) => {
            metrics_response(rejected, message).encode_to_vec()
        }
        (OtlpEncoding::Protobuf, Signal::Traces) => {
            traces_response(rejected, message).encode_to_vec()
        }
        (OtlpEncoding::Json, signal) => {
            let Some(count) = partial(rejected, &message) else { return b"{}".to_vec() };
            let field = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Traces => "rejectedSpans",
            };
            // 64-bit integers are strings in protobuf's JSON mapping.
            let partial = serde_json::json!({field: count.to_string(), "errorMessage": message});
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// gRPC's status codes as far as OTLP receivers use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum RpcCode {
    /// The request is wrong; repeating it is useless (HTTP 400, 415).
    InvalidArgument = 3,
    /// No permission (HTTP 403).
    PermissionDenied = 7,
    /// Too large, or too much; repeated by clients only with a retry delay (HTTP 413, 429).
    ResourceExhausted = 8,
    /// No such service or method (HTTP 404, 405).
    Unimplemented = 12,
    /// Our fault, not retryable (HTTP 500).
    Internal = 13,
    /// Overloaded or not ready; retryable (HTTP 503).
    Unavailable = 14,
    /// No or wrong token (HTTP 401).
    Unauthenticated = 16,
}

/// The body of an error response: `google.rpc.Status`.
///
/// ```
/// use skopos_ingest::otlp::{OtlpEncoding, RpcCode, RpcStatus};
///
/// let status = RpcStatus::new(RpcCode::InvalidArgument, "truncated");
/// assert_eq!(status.encode(OtlpEncoding::Json), br#"{"code":3,"message":"truncated"}"#);
/// ```
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// The gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What is wrong, for the sender's developers.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Machine-readable details.
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl RpcStatus {
    /// A status without details.
    pub fn new(code: RpcCode, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into(), details: Vec::new() }
    }

    /// Adds `google.rpc.RetryInfo`, which alone makes RESOURCE_EXHAUSTED retryable. On gRPC the
    /// encoded status goes into the `grpc-status-details-bin` trailer.
    #[must_use]
    pub fn with_retry_delay(mut self, delay: Duration) -> Self {
        let delay = ProtoDuration {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(delay.subsec_nanos()).unwrap_or(0),
        };
        let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
        self.details.push(Any { type_url: RETRY_INFO.to_owned(), value });
        self
    }

    /// The bytes of an error response's body, in the encoding of the request.
    pub fn encode(&self, encoding: OtlpEncoding) -> Vec<u8> {
        if encoding == OtlpEncoding::Protobuf {
            return self.encode_to_vec();
        }
        let details: Vec<_> = self.details.iter().filter_map(retry_info_json).collect();
        let mut status = serde_json::json!({ "code": self.code, "message": self.message });
        if !details.is_empty() {
            status["details"] = details.into();
        }
        status.to_string().into_bytes()
    }
}

fn retry_info_json(detail: &Any) -> Option<serde_json::Value> {
    let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?;
    let seconds = match delay.nanos {
        0 => format!("{}s", delay.seconds),
        nanos => format!("{}.{nanos:09}s", delay.seconds),
    };
    Some(serde_json::json!({ "@type": detail.type_url, "retryDelay": seconds }))
}
