//! One event on one line.

use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use skopos_model::Timestamp;

use crate::output::{bold, dim, printable, red, reversed, service_color, yellow};

/// Widest column of services; longer names push their line to the right.
const SERVICE_WIDTH: usize = 20;
/// Attributes shown of a record.
const MOST_ATTRIBUTES: usize = 12;
/// The event of a record that tells of a span which has begun: the SDK sends it in development.
const PENDING: &str = "skopos.pending";

/// Whether a record tells that a span has begun. Where the span itself is shown it says nothing more.
pub(crate) fn is_pending(event: &Value) -> bool {
    event["event_name"] == PENDING
}

/// Prints lines; columns widen with what they have held.
pub(crate) struct Printer {
    highlight: Option<Regex>,
    service_width: usize,
}

impl Printer {
    pub(crate) fn new(highlight: Option<Regex>) -> Self {
        Self { highlight, service_width: 8 }
    }

    /// A span or a record, `depth` steps to the right.
    pub(crate) fn line(&mut self, event: &Value, depth: usize) -> String {
        let service = printable(event["service"].as_str().unwrap_or(""));
        let width = service.chars().count();
        self.service_width = self.service_width.max(width.min(SERVICE_WIDTH));
        let pad = " ".repeat(self.service_width.saturating_sub(width));
        let indent = "  ".repeat(depth.min(40));
        let is_span = event["signal"] == "span";
        let what = if is_span { self.span(event) } else { self.record(event) };
        let time = clock(event);
        format!("{} {}{pad} {indent}{what}\n", dim(time), service_color(&service))
    }

    fn span(&self, span: &Value) -> String {
        let nanos = span["duration_ns"].as_u64().unwrap_or(0);
        let name = self.mark(&printable(span["name"].as_str().unwrap_or("")));
        let failed = span["status"] == "ERROR";
        let glyph = if failed { red("✖").to_string() } else { dim("▸").to_string() };
        let attributes = &span["attributes"];
        let code = ["http.response.status_code", "http.status_code", "rpc.grpc.status_code"]
            .iter()
            .map(|key| &attributes[*key])
            .find(|value| !value.is_null())
            .map(|value| format!(" {}", text_of(value)))
            .unwrap_or_default();
        let duration = duration(Duration::from_nanos(nanos));
        let duration = if failed { red(duration).to_string() } else { duration };
        format!("{glyph} {name} {duration}{code}{} {}", trace(span), dim(bar(nanos)))
    }

    fn record(&self, record: &Value) -> String {
        if is_pending(record) {
            return self.pending(record);
        }
        let severity = record["severity"].as_str().unwrap_or("");
        let letter = severity.get(..1).unwrap_or("-");
        let letter = match severity {
            "ERROR" | "FATAL" => red(letter).to_string(),
            "WARN" => yellow(letter).to_string(),
            _ => dim(letter).to_string(),
        };
        let body = match &record["body"] {
            Value::String(body) => printable(body),
            Value::Null => printable(record["event_name"].as_str().unwrap_or("")),
            other => printable(&other.to_string()),
        };
        let mut line = format!("{letter} {}{}", bold(self.mark(&body)), trace(record));
        let attributes = record["attributes"].as_object();
        for (key, value) in attributes.into_iter().flatten().take(MOST_ATTRIBUTES) {
            let value = self.mark(&text_of(value));
            line.push_str(&format!(" {}{value}", dim(format!("{}=", printable(key)))));
        }
        line
    }

    /// A span that has begun, as it will stand here when it ends, without a duration.
    fn pending(&self, record: &Value) -> String {
        let attributes = record["attributes"].as_object();
        let name = attributes.and_then(|attributes| attributes.get("span.name"));
        let name = self.mark(&name.map(text_of).unwrap_or_default());
        let mut line = format!("{} {name} …{}", dim("▹"), trace(record));
        let repeated = |key: &str| matches!(key, PENDING | "span.name" | "span.kind");
        let others = attributes.into_iter().flatten().filter(|(key, _)| !repeated(key));
        for (key, value) in others.take(MOST_ATTRIBUTES) {
            let value = self.mark(&text_of(value));
            line.push_str(&format!(" {}{value}", dim(format!("{}=", printable(key)))));
        }
        line
    }

    /// Text with what is to be highlighted highlighted.
    fn mark(&self, text: &str) -> String {
        let Some(regex) = &self.highlight else { return text.to_owned() };
        let mut out = String::new();
        let mut from = 0;
        for found in regex.find_iter(text).filter(|found| !found.is_empty()) {
            out.push_str(&text[from..found.start()]);
            out.push_str(&reversed(found.as_str()).to_string());
            from = found.end();
        }
        out.push_str(&text[from..]);
        out
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// Hours to milliseconds, UTC.
fn clock(event: &Value) -> String {
    let nanos = event["start_unix_nano"].as_str().or(event["time_unix_nano"].as_str());
    let time = nanos.and_then(|nanos| nanos.parse().ok()).map_or(Timestamp::default(), Timestamp);
    let text = time.to_string();
    text.get(11..23).unwrap_or(&text).to_owned()
}

/// The trace's first digits, after a space.
fn trace(event: &Value) -> String {
    match event["trace_id"].as_str().and_then(|id| id.get(..8)) {
        Some(id) => format!("  {}", dim(printable(id))),
        None => String::new(),
    }
}

/// A duration in three digits.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s >= 60.0 => format!("{}m{:02}s", duration.as_secs() / 60, duration.as_secs() % 60),
        s if s >= 1.0 => format!("{s:.2}s"),
        s if s >= 0.1 => format!("{:.0}ms", s * 1e3),
        s if s >= 0.001 => format!("{:.1}ms", s * 1e3),
        s => format!("{:.0}µs", s * 1e6),
    }
}

/// One block per factor of about three, from 1 ms on: 10 ms two, 100 ms four, 1 s six.
fn bar(nanos: u64) -> String {
    let steps = ((nanos as f64 / 1e6).max(1.0).log10() * 2.0).round();
    "▇".repeat(steps.clamp(0.0, 10.0) as usize)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_read_as_lines() {
        let mut printer = Printer::new(None);
        let span = json!({
            "signal": "span", "service": "checkout", "name": "POST /pay", "status": "ERROR",
            "start_unix_nano": "1700000467430000000", "duration_ns": 1_920_000_000_u64,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "attributes": {"http.response.status_code": 500},
        });
        assert_eq!(
            printer.line(&span, 0),
            "22:21:07.430 checkout ✖ POST /pay 1.92s 500  4bf92f35 ▇▇▇▇▇▇▇\n"
        );
        let record = json!({
            "signal": "log", "service": "pay", "severity": "ERROR", "body": "pool\ttimeout\u{1b}",
            "time_unix_nano": "1700000467430000000", "trace_id": "", "attributes": {"user": 42},
        });
        let began = json!({
            "signal": "log", "service": "checkout", "severity": "INFO", "body": "POST /pay began",
            "time_unix_nano": "1700000467430000000", "event_name": "skopos.pending",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "attributes": {
                "skopos.pending": true, "span.name": "POST /pay", "span.kind": "server", "order": 7,
            },
        });
        assert_eq!(
            printer.line(&began, 0),
            "22:21:07.430 checkout ▹ POST /pay …  4bf92f35 order=7\n"
        );
        let line = printer.line(&record, 1);
        assert_eq!(line, "22:21:07.430 pay        E pool timeout\\u{1b} user=42\n");
    }

    #[test]
    fn durations_are_short_and_bars_grow() {
        for (nanos, text, steps) in [
            (800, "1µs", 0),
            (1_500_000, "1.5ms", 0),
            (12_340_000, "12.3ms", 2),
            (500_000_000, "500ms", 5),
            (1_920_000_000, "1.92s", 7),
            (90_000_000_000, "1m30s", 10),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
            assert_eq!(bar(nanos).chars().count(), steps, "{text}");
        }
    }
}
