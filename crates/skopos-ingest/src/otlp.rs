//! OTLP requests of all three signals, protobuf and JSON, into the model.
//!
//! Both encodings become the same protobuf messages first and are converted by the same code, so
//! they cannot disagree. Three kinds of outcome are kept apart:
//!
//! - bytes that are no OTLP message at all are a [`DecodeError`] (HTTP 400, INVALID_ARGUMENT);
//! - a record that breaks a rule is *rejected* and the rest of its batch goes on
//!   (`partial_success`);
//! - a record that can be kept in a changed form is *adjusted* (a warning).
//!
//! A protobuf message that holds invalid UTF-8 in any string is undecodable as a whole, because
//! protobuf says so and its decoder stops there: [`DecodeError::InvalidUtf8`].

mod attributes;
mod base64;
pub(crate) mod json;
mod logs;
mod metrics;
mod naming;
mod response;
mod traces;
mod weight;

use std::fmt;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use skopos_model::{LogBatch, MetricBatch, Timestamp, TraceBatch};
use skopos_redact::Redactor;

pub use metrics::Translation;
pub use naming::NameTranslation;
pub use response::{
    RpcCode, RpcStatus, Signal, encode_response, logs_response, metrics_response, partial_message,
    traces_response,
};

use crate::limits::Limits;
use crate::report::Ingested;

/// Most bytes of a decoder's own words in a [`DecodeError`].
const MAX_MESSAGE_BYTES: usize = 300;

/// How an OTLP request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtlpEncoding {
    /// Binary protobuf.
    Protobuf,
    /// OTLP's JSON mapping of it: hexadecimal ids, numbers for enums.
    Json,
}

impl OtlpEncoding {
    /// From the value of a `Content-Type` header, parameters ignored; `None` is HTTP 415.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("application/x-protobuf")
            || essence.eq_ignore_ascii_case("application/protobuf")
        {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The `Content-Type` of a response: that of the request.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

impl fmt::Display for OtlpEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protobuf => "protobuf",
            Self::Json => "JSON",
        })
    }
}

/// How requests are converted; one for the life of a server.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// Limits on records, attributes and labels.
    pub limits: Limits,
    /// Takes out what must never be stored; `None` stores everything as it came.
    pub redactor: Option<Redactor>,
    /// How metrics become series.
    pub translation: Translation,
}

impl Default for OtlpOptions {
    /// The default limits, the built-in redaction rules, Prometheus 3's default translation.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            redactor: Some(Redactor::default()),
            translation: Translation::default(),
        }
    }
}

/// Why a request is no OTLP message. All are the sender's fault and not retryable: HTTP 400,
/// gRPC INVALID_ARGUMENT, except for [`DecodeError::TooLarge`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not follow the encoding.
    #[error("request is not valid OTLP {encoding}: {message} (at byte {offset})")]
    Malformed {
        /// The encoding that was declared.
        encoding: OtlpEncoding,
        /// How far the decoder came, in bytes from the start.
        offset: usize,
        /// What it met there.
        message: String,
    },
    /// A text is not UTF-8. One such text makes the whole message undecodable.
    #[error(
        "request is not valid OTLP {encoding}: text is not UTF-8{field} (before byte {offset})"
    )]
    InvalidUtf8 {
        /// The encoding that was declared.
        encoding: OtlpEncoding,
        /// How far the decoder came, in bytes from the start.
        offset: usize,
        /// The field, as ` in Message.field`; empty when unknown.
        field: String,
    },
    /// The request holds so many parts that it would take too much memory decoded (HTTP 413, gRPC
    /// RESOURCE_EXHAUSTED without RetryInfo).
    #[error("request exceeds limit `decoded_bytes` of {max_bytes} bytes in memory")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
}

impl DecodeError {
    /// A word of a closed set, for labels: `malformed_protobuf`, `malformed_json`, `invalid_utf8`,
    /// `decoded_bytes`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { encoding: OtlpEncoding::Protobuf, .. } => "malformed_protobuf",
            Self::Malformed { encoding: OtlpEncoding::Json, .. } => "malformed_json",
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::TooLarge { .. } => "decoded_bytes",
        }
    }
}

/// Decodes an `ExportLogsServiceRequest`. `now` stands in for missing times.
pub fn decode_logs(
    encoding: OtlpEncoding,
    body: &[u8],
    options: &OtlpOptions,
    now: Timestamp,
) -> Result<Ingested<LogBatch>, DecodeError> {
    let max = options.limits.decoded_bytes;
    let request = match encoding {
        OtlpEncoding::Protobuf => decode_protobuf(body, &weight::LOGS, max)?,
        OtlpEncoding::Json => json::logs(body, max)?,
    };
    Ok(convert_logs(request, options, now))
}

/// Decodes an `ExportTraceServiceRequest`.
pub fn decode_traces(
    encoding: OtlpEncoding,
    body: &[u8],
    options: &OtlpOptions,
) -> Result<Ingested<TraceBatch>, DecodeError> {
    let max = options.limits.decoded_bytes;
    let request = match encoding {
        OtlpEncoding::Protobuf => decode_protobuf(body, &weight::TRACES, max)?,
        OtlpEncoding::Json => json::traces(body, max)?,
    };
    Ok(convert_traces(request, options))
}

/// Decodes an `ExportMetricsServiceRequest` into Prometheus series; rejections count data points.
pub fn decode_metrics(
    encoding: OtlpEncoding,
    body: &[u8],
    options: &OtlpOptions,
) -> Result<Ingested<MetricBatch>, DecodeError> {
    let max = options.limits.decoded_bytes;
    let request = match encoding {
        OtlpEncoding::Protobuf => decode_protobuf(body, &weight::METRICS, max)?,
        OtlpEncoding::Json => json::metrics(body, max)?,
    };
    Ok(convert_metrics(request, options))
}

/// Converts a logs request that is decoded already, as the gRPC server has it.
pub fn convert_logs(
    request: ExportLogsServiceRequest,
    options: &OtlpOptions,
    now: Timestamp,
) -> Ingested<LogBatch> {
    logs::convert(request, options, now)
}

/// Converts a traces request that is decoded already.
pub fn convert_traces(
    request: ExportTraceServiceRequest,
    options: &OtlpOptions,
) -> Ingested<TraceBatch> {
    traces::convert(request, options)
}

/// Converts a metrics request that is decoded already.
pub fn convert_metrics(
    request: ExportMetricsServiceRequest,
    options: &OtlpOptions,
) -> Ingested<MetricBatch> {
    metrics::convert(request, options)
}

fn decode_protobuf<M: Message + Default>(
    body: &[u8],
    shape: &'static weight::Shape,
    max_bytes: usize,
) -> Result<M, DecodeError> {
    let encoding = OtlpEncoding::Protobuf;
    if !weight::is_within(shape, body, max_bytes) {
        return Err(DecodeError::TooLarge { max_bytes });
    }
    let mut rest = body;
    M::decode(&mut rest).map_err(|error| {
        let offset = body.len() - rest.len();
        // prost tells what went wrong in words only: "… Message.field: <description>".
        let text = error.to_string();
        let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
        if let Some(path) = text.strip_suffix("invalid string value: data is not UTF-8 encoded") {
            let innermost = path.split(": ").next().unwrap_or("");
            let separator = if innermost.is_empty() { "" } else { " in " };
            return DecodeError::InvalidUtf8 {
                encoding,
                offset,
                field: format!("{separator}{innermost}"),
            };
        }
        DecodeError::Malformed { encoding, offset, message: shortened(text) }
    })
}

/// The decoder names every level of nesting, and an unknown field by its name: what the sender
/// wrote decides how long that gets.
fn shortened(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    // The end says what is wrong, the beginning where.
    let half = MAX_MESSAGE_BYTES / 2;
    let head = message.floor_char_boundary(half);
    let tail = message.ceil_char_boundary(message.len() - half);
    let (head, tail) = (message.get(..head), message.get(tail..));
    format!("{} … {}", head.unwrap_or_default(), tail.unwrap_or_default())
}
