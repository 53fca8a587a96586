//! Spans.

use super::{Case, Finding};
use crate::heard::HeardSpan;
use crate::seen::Seen;
use crate::shown::{list, shown};

fn marked(seen: &Seen) -> impl Iterator<Item = &HeardSpan> {
    seen.heard.spans.iter().filter(|span| span.trace_id == seen.ids.trace_id)
}

/// The span of the marked request itself: the caller's child.
fn request(seen: &Seen) -> Option<&HeardSpan> {
    let child = marked(seen).find(|span| span.parent_id == seen.ids.span_id);
    child.or_else(|| marked(seen).find(|span| span.kind.eq_ignore_ascii_case("server")))
}

fn none(seen: &Seen) -> Finding {
    match &seen.source.otlp {
        Some(otlp) => Finding::unknown(format!("no span came to {otlp}")),
        None => Finding::unknown("nothing was listening for spans"),
    }
}

pub(super) fn continued(case: &Case<'_>) -> Finding {
    let seen = case.seen;
    let ids = &seen.ids;
    if marked(seen).any(|span| span.parent_id == ids.span_id) {
        return Finding::ok("its span is a child of the caller's");
    }
    if let Some(span) = marked(seen).next() {
        return Finding::failed(format!(
            "span {} has the caller's trace id, but no span has the caller's span as its parent",
            shown(&span.name)
        ));
    }
    // Other witnesses of the same fact.
    if let Ok(page) = &case.after
        && page.has_exemplar(&ids.trace_id)
    {
        return Finding::ok("an exemplar on /metrics has the caller's trace id");
    }
    // Before the lines: one may repeat a header that the tracer has not read.
    if !seen.heard.spans.is_empty() && !seen.source.from_skopos {
        return Finding::failed(format!(
            "{} spans came, none with the caller's trace id",
            seen.heard.spans.len()
        ));
    }
    if seen.heard.lines.iter().any(|line| line.trace_id.as_deref() == Some(&ids.trace_id)) {
        return Finding::ok("a log line has the caller's trace id");
    }
    none(seen)
}

pub(super) fn resource(seen: &Seen) -> Finding {
    // Several services may send here: those of the marked trace first.
    let Some(span) = marked(seen).next().or_else(|| seen.heard.spans.first()) else {
        return none(seen);
    };
    let environment = ["deployment.environment.name", "deployment.environment"];
    let facts: [(&str, &[&str]); 3] = [
        ("service.name", &["service.name"]),
        ("service.version", &["service.version"]),
        ("deployment.environment.name", &environment),
    ];
    let mut missing = Vec::new();
    for (fact, names) in facts {
        match span.resource(names) {
            // What SDKs write when nobody has said it.
            Some(name) if fact == "service.name" && name.starts_with("unknown_service") => {
                missing.push(fact);
            }
            Some(_) => {}
            None => missing.push(fact),
        }
    }
    let name = span.resource(&["service.name"]).unwrap_or("a service without name");
    match missing.is_empty() {
        true => Finding::ok(shown(name)),
        false => Finding::failed(format!("spans of {} lack {}", shown(name), list(missing, 3))),
    }
}

pub(super) fn request_span(seen: &Seen) -> Finding {
    let Some(span) = request(seen) else {
        return match seen.heard.spans.is_empty() {
            true => none(seen),
            false => Finding::settled_by(
                "no span of the request that had ids came",
                "let the trace go on first: see the caller's trace above",
            ),
        };
    };
    let mut missing = Vec::new();
    if !span.kind.eq_ignore_ascii_case("server") {
        missing.push("kind SERVER");
    }
    // The stable names, and those from before.
    if span.attribute(&["http.request.method", "http.method"]).is_none() {
        missing.push("http.request.method");
    }
    let is_matched = seen.marked.as_ref().is_ok_and(|answer| answer.status != 404);
    if is_matched && span.attribute(&["http.route"]).is_none() {
        missing.push("http.route");
    }
    if span.attribute(&["http.response.status_code", "http.status_code"]).is_none() {
        missing.push("http.response.status_code");
    }
    match missing.is_empty() {
        true => Finding::ok(shown(&span.name)),
        false => Finding::failed(format!("span {} lacks {}", shown(&span.name), list(missing, 4))),
    }
}
