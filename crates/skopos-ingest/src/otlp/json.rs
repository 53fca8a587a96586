//! OTLP/JSON into protobuf messages.
//!
//! Written by hand instead of using `opentelemetry-proto`'s serde feature, because that refuses
//! input which the specification allows: `null` for any field, 64-bit integers as numbers and as
//! strings everywhere, 32-bit ones as strings, `"NaN"` and `"Infinity"` in every float. Unknown
//! fields are ignored, enum names are understood beside the numbers that OTLP demands, and an id
//! that is not hexadecimal costs its record, not the request.

mod messages;
mod scalar;
mod value;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde::de::DeserializeOwned;

use super::{DecodeError, OtlpEncoding};

/// A JSON counterpart of a protobuf message or scalar.
trait Mirror {
    type Message;

    /// Turns into what protobuf has.
    fn message(self) -> Self::Message;
}

pub(crate) fn logs(body: &[u8], max: usize) -> Result<ExportLogsServiceRequest, DecodeError> {
    parse::<messages::LogsRequest>(body, max)
}

pub(crate) fn traces(body: &[u8], max: usize) -> Result<ExportTraceServiceRequest, DecodeError> {
    parse::<messages::TracesRequest>(body, max)
}

pub(crate) fn metrics(body: &[u8], max: usize) -> Result<ExportMetricsServiceRequest, DecodeError> {
    parse::<messages::MetricsRequest>(body, max)
}

fn parse<M: Mirror + DeserializeOwned>(
    body: &[u8],
    max_bytes: usize,
) -> Result<M::Message, DecodeError> {
    let encoding = OtlpEncoding::Json;
    let text = std::str::from_utf8(body).map_err(|error| DecodeError::InvalidUtf8 {
        encoding,
        offset: error.valid_up_to(),
        field: String::new(),
    })?;
    // serde would take an array for a struct.
    if text.trim_start().starts_with('[') {
        let message = "a request is a JSON object, not an array".to_owned();
        return Err(DecodeError::Malformed { encoding, offset: 0, message });
    }
    scalar::set_budget(max_bytes);
    serde_json::from_str::<M>(text).map(Mirror::message).map_err(|error| {
        if scalar::budget_is_spent() {
            return DecodeError::TooLarge { max_bytes };
        }
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        DecodeError::Malformed {
            encoding,
            offset: (line_start + error.column()).min(text.len()),
            message: super::shortened(&error.to_string()),
        }
    })
}
