//! Names of fields.

use skopos_model::event::Field;

/// The fields that every event of a signal has by its nature: name in its normal form, whether
/// logs and whether spans have it.
pub(crate) const OWN: [(&str, bool, bool); 12] = [
    ("service.name", true, true),
    ("level", true, false),
    ("body", true, false),
    ("name", true, true),
    ("trace_id", true, true),
    ("span_id", true, true),
    ("parent_span_id", false, true),
    ("kind", false, true),
    ("status", false, true),
    ("status_message", false, true),
    ("duration", false, true),
    ("scope.name", true, true),
];

/// The field of a name as it is written in a filter. Every name but the empty one names a field.
pub fn parse_field(name: &str) -> Field {
    let named =
        |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
    match name {
        "service.name" | "service" => Field::Service,
        "level" | "severity" => Field::Severity,
        "body" => Field::Body,
        "name" | "event_name" => Field::Name,
        "trace_id" => Field::TraceId,
        "span_id" => Field::SpanId,
        "parent_span_id" => Field::ParentSpanId,
        "kind" => Field::Kind,
        "status" => Field::Status,
        "status_message" => Field::StatusMessage,
        "duration" => Field::Duration,
        "scope.name" => Field::Scope,
        _ => {
            if let Some(key) = named("attributes.") {
                Field::EventAttribute(key)
            } else if let Some(key) = named("resource.") {
                Field::ResourceAttribute(key)
            } else if let Some(key) = named("scope.") {
                Field::ScopeAttribute(key)
            } else {
                Field::Attribute(name.to_owned())
            }
        }
    }
}

/// The name of a field in its normal form, unquoted.
pub fn field_name(field: &Field) -> String {
    let name = match field {
        Field::Service => "service.name",
        Field::Severity => "level",
        Field::Body => "body",
        Field::Name => "name",
        Field::TraceId => "trace_id",
        Field::SpanId => "span_id",
        Field::ParentSpanId => "parent_span_id",
        Field::Kind => "kind",
        Field::Status => "status",
        Field::StatusMessage => "status_message",
        Field::Duration => "duration",
        Field::Scope => "scope.name",
        // No name stands for it: it is what bare words search.
        Field::Text => "text",
        Field::Attribute(key) => key,
        Field::EventAttribute(key) => return format!("attributes.{key}"),
        Field::ResourceAttribute(key) => return format!("resource.{key}"),
        Field::ScopeAttribute(key) => return format!("scope.{key}"),
    };
    name.to_owned()
}
