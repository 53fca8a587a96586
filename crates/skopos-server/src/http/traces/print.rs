//! A span as JSON.

use std::fmt::Write as _;

use skopos_store::scan::StoredSpan;

use crate::http::json::push_string;

/// Appends what lists and tails show of a span.
pub(in crate::http) fn push_span(out: &mut String, stored: &StoredSpan) {
    out.push('{');
    push_common(out, stored);
    out.push('}');
}

/// Appends a span with everything it holds.
pub(super) fn push_whole_span(out: &mut String, stored: &StoredSpan) {
    let span = &stored.span;
    out.push('{');
    push_common(out, stored);
    let _ = write!(out, r#","start":"{}","end":"{}""#, span.start_time, span.end_time);
    push_field(out, "status_message", &span.status.message);
    push_field(out, "trace_state", &span.trace_state);
    let _ = write!(out, r#","flags":{}"#, span.flags);
    let _ = write!(out, r#","dropped_attributes_count":{}"#, span.dropped_attributes_count);
    out.push_str(",\"events\":[");
    for (i, event) in span.events.iter().enumerate() {
        out.push_str(if i > 0 { ",{" } else { "{" });
        let _ = write!(out, r#""time":"{}","time_unix_nano":"{}""#, event.time, event.time.0);
        push_field(out, "name", &event.name);
        out.push_str(",\"attributes\":");
        let _ = event.attributes.write_json(out);
        out.push('}');
    }
    out.push_str("],\"links\":[");
    for (i, link) in span.links.iter().enumerate() {
        out.push_str(if i > 0 { ",{" } else { "{" });
        let _ = write!(out, r#""trace_id":"{}","span_id":"{}""#, link.trace_id, link.span_id);
        push_field(out, "trace_state", &link.trace_state);
        out.push_str(",\"attributes\":");
        let _ = link.attributes.write_json(out);
        out.push('}');
    }
    out.push_str("],\"resource\":");
    let _ = stored.resource.attributes.write_json(out);
    out.push_str(",\"scope\":{\"name\":");
    push_string(out, &stored.scope.name);
    push_field(out, "version", &stored.scope.version);
    out.push_str(",\"attributes\":");
    let _ = stored.scope.attributes.write_json(out);
    out.push_str("}}");
}

fn push_common(out: &mut String, stored: &StoredSpan) {
    let span = &stored.span;
    let id = |valid: bool, id: String| if valid { id } else { String::new() };
    let _ = write!(out, r#""id":"{}""#, stored.id);
    push_field(out, "trace_id", &id(span.trace_id.is_valid(), span.trace_id.to_string()));
    push_field(out, "span_id", &id(span.span_id.is_valid(), span.span_id.to_string()));
    let parent = id(span.parent_span_id.is_valid(), span.parent_span_id.to_string());
    push_field(out, "parent_span_id", &parent);
    push_field(out, "service", stored.resource.service_name());
    push_field(out, "name", &span.name);
    push_field(out, "kind", span.kind.as_str());
    push_field(out, "status", span.status.code.as_str());
    let _ = write!(out, r#","start_unix_nano":"{}""#, span.start_time.0);
    let _ = write!(out, r#","duration_ns":{}"#, span.duration().as_nanos());
    out.push_str(",\"attributes\":");
    let _ = span.attributes.write_json(out);
}

fn push_field(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, ",\"{name}\":");
    push_string(out, text);
}
