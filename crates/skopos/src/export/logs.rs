//! Log records as OTLP. They are built from the redacted record: there is nothing in them to take out.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tracing::Level;

use super::{Exporter, Signal};
use crate::clock;
use crate::config::limits::{self, Limits};
use crate::log::Sink;
use crate::log::record::{Record, Value};

/// The signal of log records.
pub(crate) struct Logs {
    pub(crate) resource: Resource,
}

impl Signal for Logs {
    type Item = LogRecord;
    const NAME: &'static str = "logs";

    fn encode(&self, items: Vec<LogRecord>) -> Vec<u8> {
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(scope()),
                    log_records: items,
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }
        .encode_to_vec()
    }

    fn rejected(&self, response: &[u8]) -> (u64, String) {
        ExportLogsServiceResponse::decode(response)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| {
                (u64::try_from(partial.rejected_log_records).unwrap_or(0), partial.error_message)
            })
            .unwrap_or_default()
    }
}

/// Queues records for export.
pub(crate) struct OtlpSink {
    pub(crate) exporter: Exporter<Logs>,
    pub(crate) limits: Limits,
}

impl Sink for OtlpSink {
    fn write(&self, record: &Record) {
        self.exporter.push(log_record(record, &self.limits));
    }
}

fn log_record(record: &Record, limits: &Limits) -> LogRecord {
    let time = clock::unix_nanos(record.time);
    let mut attributes: Vec<KeyValue> = Vec::with_capacity(record.fields().len() + 2);
    if let Some(id) = &record.request_id {
        attributes.push(attribute("request_id", any_value::Value::StringValue(id.to_string())));
    }
    attributes.push(attribute("target", any_value::Value::StringValue(record.target.clone())));
    attributes.extend(record.fields().map(|field| {
        // No name stands twice.
        let name = match field.name {
            "request_id" => "event.request_id",
            "target" => "event.target",
            name => name,
        };
        attribute(name, any(field.value))
    }));
    let most = usize::try_from(limits.log_attributes).unwrap_or(usize::MAX);
    let beyond = u32::try_from(attributes.len().saturating_sub(most)).unwrap_or(u32::MAX);
    attributes.truncate(most);
    if limits.log_value_length.is_some() {
        for attribute in &mut attributes {
            cut_value(attribute.value.as_mut(), limits.log_value_length);
        }
    }
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: severity(record.level) as i32,
        severity_text: record.level.as_str().to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(record.message.clone())) }),
        attributes,
        dropped_attributes_count: record.dropped.saturating_add(beyond),
        flags: record.trace.map_or(0, |ids| u32::from(ids.sampled)),
        trace_id: record.trace.map(|ids| ids.trace.to_bytes().to_vec()).unwrap_or_default(),
        span_id: record.trace.map(|ids| ids.span.to_bytes().to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::ERROR => SeverityNumber::Error,
        Level::WARN => SeverityNumber::Warn,
        Level::INFO => SeverityNumber::Info,
        Level::DEBUG => SeverityNumber::Debug,
        Level::TRACE => SeverityNumber::Trace,
    }
}

fn any(value: Value<&str>) -> any_value::Value {
    match value {
        Value::Text(text) => any_value::Value::StringValue(text.to_owned()),
        Value::Signed(number) => any_value::Value::IntValue(number),
        // OTLP has no unsigned numbers.
        Value::Unsigned(number) => i64::try_from(number).map_or_else(
            |_| any_value::Value::StringValue(number.to_string()),
            any_value::Value::IntValue,
        ),
        Value::Float(number) => any_value::Value::DoubleValue(number),
        Value::Bool(flag) => any_value::Value::BoolValue(flag),
    }
}

/// Cuts the texts of a value, at any depth.
pub(super) fn cut_value(value: Option<&mut AnyValue>, limit: Option<usize>) {
    match value.and_then(|value| value.value.as_mut()) {
        Some(any_value::Value::StringValue(text)) => limits::cut(text, limit),
        Some(any_value::Value::ArrayValue(array)) => {
            for value in &mut array.values {
                cut_value(Some(value), limit);
            }
        }
        _ => {}
    }
}

pub(super) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "skopos".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Makes the OTLP resource of a service.
pub(crate) fn resource(attributes: &[(String, String)]) -> Resource {
    Resource {
        attributes: attributes
            .iter()
            .map(|(key, value)| attribute(key, any_value::Value::StringValue(value.clone())))
            .collect(),
        ..Resource::default()
    }
}
