//! B3, the headers of Zipkin's tracers: one header `b3`, or several `x-b3-…`.
//!
//! Either form is read, the single one first, as OpenTelemetry asks of whoever speaks B3; which of them is written is a choice.
//! A caller that leaves the sampling decision open is sampled: deciding is then up to us. The parent's id and the debug flag
//! are read (debug means sampled) and not passed on.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The header of the single form.
pub(crate) const SINGLE: &str = "b3";
pub(crate) const TRACE_ID: &str = "x-b3-traceid";
pub(crate) const SPAN_ID: &str = "x-b3-spanid";
pub(crate) const SAMPLED: &str = "x-b3-sampled";
pub(crate) const FLAGS: &str = "x-b3-flags";

/// How B3 is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Single,
    Multiple,
}

/// Reads the caller's span from its headers.
pub(crate) fn extract<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<SpanContext> {
    if let Some(context) = header(SINGLE).and_then(parse_single) {
        return Some(context);
    }
    let is_debug = header(FLAGS).is_some_and(|flags| flags.trim() == "1");
    let sampled = if is_debug { Some("d") } else { header(SAMPLED).map(str::trim) };
    context(header(TRACE_ID)?.trim(), header(SPAN_ID)?.trim(), sampled)
}

/// Parses `{trace}-{span}[-{state}[-{parent}]]`. A header that only says whether to sample names no span.
fn parse_single(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().splitn(4, '-');
    let (trace, span) = (parts.next()?, parts.next()?);
    context(trace, span, parts.next())
}

fn context(trace: &str, span: &str, sampled: Option<&str>) -> Option<SpanContext> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Older tracers have trace ids of half the length.
    let fits = matches!(trace.len(), 16 | 32) && span.len() == 16 && is_hex(trace) && is_hex(span);
    if !fits {
        return None;
    }
    let flags = match sampled {
        None | Some("1" | "d" | "true") => TraceFlags::SAMPLED,
        Some("0" | "false") => TraceFlags::default(),
        Some(_) => return None,
    };
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

/// Writes the headers that tell of a span.
pub(crate) fn inject(context: &SpanContext, form: Form, mut put: impl FnMut(&'static str, String)) {
    let (trace, span) = (context.trace_id(), context.span_id());
    let sampled = if context.is_sampled() { "1" } else { "0" };
    match form {
        Form::Single => put(SINGLE, format!("{trace}-{span}-{sampled}")),
        Form::Multiple => {
            put(TRACE_ID, trace.to_string());
            put(SPAN_ID, span.to_string());
            put(SAMPLED, sampled.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, extract, inject};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    /// Trace, span and decision of what these headers say.
    fn read(headers: &[(&str, &str)]) -> Option<(String, String, bool)> {
        let find = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, text)| *text);
        let context = extract(find)?;
        assert!(context.is_remote());
        let ids = (context.trace_id().to_string(), context.span_id().to_string());
        Some((ids.0, ids.1, context.is_sampled()))
    }

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let found = |sampled| Some((TRACE.to_owned(), SPAN.to_owned(), sampled));
        for (text, expected) in [
            (format!("{TRACE}-{SPAN}-1"), found(true)),
            (format!("{TRACE}-{SPAN}-d"), found(true)),
            (format!("{TRACE}-{SPAN}-0"), found(false)),
            (format!("{TRACE}-{SPAN}"), found(true)),
            (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"), found(true)),
            ("0".to_owned(), None),
            (format!("{TRACE}-{SPAN}-maybe"), None),
            (format!("{}-{SPAN}-1", "0".repeat(32)), None),
            (format!("{TRACE}-{}-1", "0".repeat(16)), None),
            (format!("{TRACE}{TRACE}-{SPAN}-1"), None),
            (format!("+{}-{SPAN}-1", &TRACE[1..]), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&[("b3", &text)]), expected, "{text}");
        }
        let half = &TRACE[16..];
        let multiple = [("x-b3-traceid", half), ("x-b3-spanid", SPAN)];
        let of_half = format!("{}{half}", "0".repeat(16));
        assert_eq!(read(&multiple), Some((of_half.clone(), SPAN.to_owned(), true)));
        let refused = [multiple[0], multiple[1], ("x-b3-sampled", "0")];
        assert_eq!(read(&refused), Some((of_half.clone(), SPAN.to_owned(), false)));
        let debugged = [multiple[0], multiple[1], ("x-b3-sampled", "0"), ("x-b3-flags", "1")];
        assert_eq!(read(&debugged), Some((of_half, SPAN.to_owned(), true)));
        let single = format!("{TRACE}-{SPAN}-0");
        assert_eq!(read(&[multiple[0], multiple[1], ("b3", &single)]), found(false), "first");
        assert_eq!(read(&[("x-b3-traceid", TRACE)]), None, "half of it is nothing");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for form in [Form::Single, Form::Multiple] {
            for state in ["0", "1"] {
                let text = format!("{TRACE}-{SPAN}-{state}");
                let context = extract(|name| (name == "b3").then_some(text.as_str())).unwrap();
                let mut written = Vec::new();
                inject(&context, form, |name, value| written.push((name, value)));
                let headers: Vec<(&str, &str)> =
                    written.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let sampled = state == "1";
                assert_eq!(read(&headers), Some((TRACE.to_owned(), SPAN.to_owned(), sampled)));
            }
        }
    }
}
