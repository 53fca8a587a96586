//! Attributes and values: protobuf into the model, limited and redacted on the way.
//!
//! One [`Converter`] serves one request. It keeps each attribute name once (the requests of one
//! SDK repeat the same few dozen names in every record) together with the redactor's verdict on
//! it, so that neither is worked out again per record. Secrets are taken out before texts are cut
//! to their limits: the other order could leave half a secret that nothing recognises.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use skopos_model::{AnyValue, Attributes, Resource, Scope, SpanId, Timestamp, TraceId};
use skopos_redact::{REDACTED, Redactor};

use super::OtlpOptions;
use crate::limits::Limits;
use crate::report::{Refusal, Tally};

/// Converts the attributes of one request and keeps its account.
pub(super) struct Converter<'a> {
    pub(super) limits: &'a Limits,
    pub(super) tally: Tally,
    redactor: Option<&'a Redactor>,
    redacted: Arc<str>,
    names: HashMap<Box<str>, Name>,
    /// Number of the attribute list being converted; finds repeated names without a search.
    list: u64,
    /// Dotted path of the value being converted.
    path: String,
}

struct Name {
    text: Arc<str>,
    denied: bool,
    last_list: u64,
}

impl<'a> Converter<'a> {
    pub(super) fn new(options: &'a OtlpOptions) -> Self {
        Self {
            limits: &options.limits,
            tally: Tally::default(),
            redactor: options.redactor.as_ref(),
            redacted: REDACTED.into(),
            names: HashMap::new(),
            list: 0,
            path: String::new(),
        }
    }

    /// Converts a resource and makes its service the sender of what follows.
    pub(super) fn resource(
        &mut self,
        resource: Option<ProtoResource>,
        schema_url: String,
    ) -> Resource {
        let resource = resource.unwrap_or_default();
        let service = resource.attributes.iter().rev().find(|pair| pair.key == "service.name");
        let service = service.and_then(|pair| pair.value.as_ref()?.value.as_ref());
        match service {
            Some(Value::StringValue(name)) => self.tally.set_sender(name),
            _ => self.tally.set_sender(""),
        }
        let mut dropped_attributes_count = resource.dropped_attributes_count;
        let attributes = self.attributes(resource.attributes, &mut dropped_attributes_count);
        let schema_url = self.name_text("schema URL", schema_url);
        Resource { attributes, dropped_attributes_count, schema_url }
    }

    pub(super) fn scope(
        &mut self,
        scope: Option<proto::InstrumentationScope>,
        schema_url: String,
    ) -> Scope {
        let scope = scope.unwrap_or_default();
        let mut dropped_attributes_count = scope.dropped_attributes_count;
        let attributes = self.attributes(scope.attributes, &mut dropped_attributes_count);
        let name = self.name_text("scope name", scope.name);
        let version = self.name_text("scope version", scope.version);
        let schema_url = self.name_text("schema URL", schema_url);
        Scope { name, version, attributes, dropped_attributes_count, schema_url }
    }

    /// Converts a list of attributes; `dropped` grows by those left out.
    pub(super) fn attributes(
        &mut self,
        pairs: Vec<proto::KeyValue>,
        dropped: &mut u32,
    ) -> Attributes {
        self.list += 1;
        let max = self.limits.attributes_per_record;
        let mut attributes = Attributes::with_capacity(pairs.len().min(max));
        for pair in self.within_limit(pairs, dropped) {
            let Some(pair) = self.checked(pair, dropped) else { continue };
            let (key, denied, repeated) = self.name(&pair.key);
            let value = match pair.value.and_then(|any| any.value) {
                None => AnyValue::Empty,
                Some(value) if denied => self.denied(&key, value),
                Some(value) => {
                    self.path.clear();
                    self.path.push_str(&key);
                    self.value(value, self.limits.attribute_value_bytes)
                }
            };
            if repeated {
                attributes.set(key, value);
            } else {
                attributes.push(key, value);
            }
        }
        attributes
    }

    /// Converts the body of a log record.
    pub(super) fn body(&mut self, body: Option<proto::AnyValue>) -> AnyValue {
        let Some(value) = body.and_then(|any| any.value) else { return AnyValue::Empty };
        self.path.clear();
        match value {
            Value::StringValue(_) | Value::BytesValue(_) => {
                self.path.push_str("body");
                let max = self.limits.body_bytes;
                self.limited(value, "body_bytes", max)
            }
            // The names in a structured body stand for themselves, like attributes.
            structured => self.value(structured, self.limits.body_bytes),
        }
    }

    /// Takes secrets out of a text that belongs to no attribute, such as a status message.
    pub(super) fn text(&mut self, path: &str, text: String) -> Arc<str> {
        self.path.clear();
        self.path.push_str(path);
        let max = self.limits.attribute_value_bytes;
        match self.limited(Value::StringValue(text), "attribute_value_bytes", max) {
            AnyValue::String(text) => text,
            _ => "".into(),
        }
    }

    /// Converts the value of a metric's attribute to the text of a label. Nothing is cut: a
    /// shortened label would be another series.
    pub(super) fn label_value(&mut self, key: &str, value: Option<proto::AnyValue>) -> String {
        let Some(value) = value.and_then(|any| any.value) else { return String::new() };
        if self.name(key).1 {
            return self.denied(key, value).to_string();
        }
        match value {
            Value::StringValue(text) => {
                let Some(redactor) = self.redactor else { return text };
                let redacted = redactor.redact_text(&text);
                if redacted.hits.is_empty() {
                    return text;
                }
                self.tally.redact(key, redacted.hits.len() as u64);
                redacted.text.into_owned()
            }
            other => {
                self.path.clear();
                self.path.push_str(key);
                label_text(&self.value(other, usize::MAX))
            }
        }
    }

    /// Cuts a name or another text that is kept as it is, such as a span's name.
    pub(super) fn name_text(&mut self, what: &str, mut text: String) -> String {
        let (max, found) = (self.limits.attribute_value_bytes, text.len());
        if found > max {
            text.truncate(text.floor_char_boundary(max));
            self.tally.adjust("attribute_value_bytes", 1, || {
                format!("{what} cut: limit `attribute_value_bytes` is {max}, found {found}")
            });
        }
        text
    }

    fn within_limit(
        &mut self,
        mut pairs: Vec<proto::KeyValue>,
        dropped: &mut u32,
    ) -> Vec<proto::KeyValue> {
        let max = self.limits.attributes_per_record;
        if let Some(excess) = pairs.len().checked_sub(max).filter(|n| *n > 0) {
            *dropped = dropped.saturating_add(u32::try_from(excess).unwrap_or(u32::MAX));
            let found = pairs.len();
            self.tally.adjust("attributes_per_record", excess as u64, || {
                format!("further attributes dropped: limit `attributes_per_record` is {max}, found {found}")
            });
            pairs.truncate(max);
        }
        pairs
    }

    fn checked(&mut self, pair: proto::KeyValue, dropped: &mut u32) -> Option<proto::KeyValue> {
        let max = self.limits.attribute_name_bytes;
        if pair.key.is_empty() {
            self.tally.adjust("empty_key", 1, || "attribute without a name dropped".to_owned());
        } else if pair.key.len() > max {
            let found = pair.key.len();
            self.tally.adjust("attribute_name_bytes", 1, || {
                format!("attribute dropped: limit `attribute_name_bytes` is {max}, found {found}")
            });
        } else {
            return Some(pair);
        }
        *dropped = dropped.saturating_add(1);
        None
    }

    /// Looks up a name: its shared text, whether its value is denied, and whether the present list
    /// had it before.
    fn name(&mut self, key: &str) -> (Arc<str>, bool, bool) {
        if let Some(name) = self.names.get_mut(key) {
            let repeated = name.last_list == self.list;
            name.last_list = self.list;
            return (name.text.clone(), name.denied, repeated);
        }
        let text: Arc<str> = key.into();
        let denied = self.redactor.is_some_and(|redactor| redactor.redact_name(key));
        self.names.insert(key.into(), Name { text: text.clone(), denied, last_list: self.list });
        (text, denied, false)
    }

    fn denied(&mut self, path: &str, value: Value) -> AnyValue {
        let nothing_said = matches!(&value, Value::StringValue(text) if text.is_empty());
        if nothing_said {
            return AnyValue::from("");
        }
        if !matches!(&value, Value::StringValue(text) if text == REDACTED) {
            self.tally.redact(path, 1);
        }
        AnyValue::String(self.redacted.clone())
    }

    /// Converts the value at `self.path`, which is restored before it returns. The decoders bound
    /// the depth: prost at 100 messages, serde_json at 128 brackets.
    fn value(&mut self, value: Value, max_bytes: usize) -> AnyValue {
        match value {
            Value::StringValue(_) | Value::BytesValue(_) => {
                self.limited(value, "attribute_value_bytes", max_bytes)
            }
            Value::BoolValue(value) => AnyValue::Bool(value),
            Value::IntValue(value) => AnyValue::Int(value),
            Value::DoubleValue(value) => AnyValue::Double(value),
            Value::ArrayValue(list) => {
                let items = list.values.into_iter().map(|item| match item.value {
                    Some(value) => self.value(value, max_bytes),
                    None => AnyValue::Empty,
                });
                AnyValue::Array(items.collect())
            }
            Value::KvlistValue(list) => AnyValue::Map(self.nested(list.values, max_bytes)),
            // Only profiles have a string table.
            Value::StringValueStrindex(_) => AnyValue::Empty,
        }
    }

    fn nested(&mut self, pairs: Vec<proto::KeyValue>, max_bytes: usize) -> Attributes {
        let mut dropped = 0;
        let parent = self.path.len();
        let max = self.limits.attributes_per_record;
        let mut attributes = Attributes::with_capacity(pairs.len().min(max));
        for pair in self.within_limit(pairs, &mut dropped) {
            let Some(pair) = self.checked(pair, &mut dropped) else { continue };
            if parent > 0 {
                self.path.push('.');
            }
            self.path.push_str(&pair.key);
            let denied = self.redactor.is_some_and(|redactor| redactor.redact_name(&self.path));
            let value = match pair.value.and_then(|any| any.value) {
                None => AnyValue::Empty,
                Some(value) if denied => {
                    let path = std::mem::take(&mut self.path);
                    let value = self.denied(&path, value);
                    self.path = path;
                    value
                }
                Some(value) => self.value(value, max_bytes),
            };
            self.path.truncate(parent);
            attributes.set(pair.key, value);
        }
        attributes
    }

    /// Redacts and cuts a text or bytes at `self.path`.
    fn limited(&mut self, value: Value, limit: &'static str, max: usize) -> AnyValue {
        let found = match &value {
            Value::StringValue(text) => text.len(),
            Value::BytesValue(bytes) => bytes.len(),
            _ => 0,
        };
        let value = match value {
            Value::StringValue(text) => {
                let redacted = self.redactor.map(|redactor| redactor.redact_text(&text));
                let clean = match &redacted {
                    Some(redacted) if !redacted.hits.is_empty() => {
                        self.tally.redact(&self.path, redacted.hits.len() as u64);
                        &*redacted.text
                    }
                    _ => text.as_str(),
                };
                AnyValue::String(clean[..clean.floor_char_boundary(max)].into())
            }
            Value::BytesValue(bytes) => AnyValue::Bytes(bytes[..bytes.len().min(max)].into()),
            _ => AnyValue::Empty,
        };
        if found > max {
            let path = &self.path;
            self.tally.adjust(limit, 1, || {
                format!("value of `{path}` cut: limit `{limit}` is {max}, found {found}")
            });
        }
        value
    }
}

/// The text of a value in a label: whole floats without a fraction, as the collector and
/// Prometheus write them.
pub(super) fn label_text(value: &AnyValue) -> String {
    match value {
        AnyValue::Double(number) if number.is_finite() => {
            let plain = *number == 0.0 || (1e-6..1e21).contains(&number.abs());
            if plain { number.to_string() } else { format!("{number:e}") }
        }
        AnyValue::Double(number) => crate::float::canonical_float(*number),
        other => other.to_string(),
    }
}

/// Reads a trace id; none and all zeros are [`TraceId::INVALID`].
pub(super) fn trace_id(bytes: &[u8]) -> Result<TraceId, Refusal> {
    match bytes {
        [] => Ok(TraceId::INVALID),
        bytes => TraceId::from_slice(bytes).ok_or_else(|| {
            Refusal::new("invalid_trace_id", format!("trace id is {}", wrong_length(bytes, 16)))
        }),
    }
}

/// Reads a span id; none and all zeros are [`SpanId::INVALID`].
pub(super) fn span_id(bytes: &[u8]) -> Result<SpanId, Refusal> {
    match bytes {
        [] => Ok(SpanId::INVALID),
        bytes => SpanId::from_slice(bytes).ok_or_else(|| {
            Refusal::new("invalid_span_id", format!("span id is {}", wrong_length(bytes, 8)))
        }),
    }
}

fn wrong_length(bytes: &[u8], expected: usize) -> String {
    match bytes {
        [0xff] => format!("not {} hexadecimal digits", expected * 2),
        bytes => format!("{} bytes long instead of {expected}", bytes.len()),
    }
}

/// Reads a time, refusing what lies beyond the model's last instant (the year 2262).
pub(super) fn timestamp(nanos: u64, what: &str) -> Result<Timestamp, Refusal> {
    match i64::try_from(nanos) {
        Ok(nanos) => Ok(Timestamp(nanos)),
        Err(_) => Err(Refusal::new(
            "invalid_timestamp",
            format!("{what} {nanos} ns lies beyond the year 2262: is it in nanoseconds?"),
        )),
    }
}
