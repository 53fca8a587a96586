//! The JSON line of the guide: flat, one object a line, no key twice.

use crate::Service;
use crate::clock;
use crate::context::TraceIds;
use crate::log::Sink;
use crate::log::record::{Record, Value};
use crate::log::writer::LineWriter;

/// Writes records as JSON lines.
pub(crate) struct JsonSink {
    /// `"service":…,"version":…,"environment":…`: the same on each line.
    base: String,
    writer: LineWriter,
}

impl JsonSink {
    pub(crate) fn new(service: &Service, writer: LineWriter) -> JsonSink {
        let mut base = String::new();
        push_member(&mut base, "service", &service.name);
        if let Some(version) = &service.version {
            push_member(&mut base, "version", version);
        }
        push_member(&mut base, "environment", service.environment_or_default());
        JsonSink { base, writer }
    }

    pub(crate) fn render(&self, record: &Record, line: &mut String) {
        line.push_str("{\"timestamp\":\"");
        clock::push_rfc3339(line, record.time);
        line.push_str("\",\"level\":\"");
        line.push_str(record.level.as_str());
        line.push('"');
        line.push_str(&self.base);
        if let Some(id) = &record.request_id {
            push_member(line, "request_id", id);
        }
        if let Some(ids) = &record.trace {
            push_ids(line, ids);
        }
        push_member(line, "target", &record.target);
        push_member(line, "message", &record.message);
        for field in record.fields() {
            line.push_str(",\"");
            if field.is_reserved {
                line.push_str("event.");
            }
            push_escaped(line, field.name);
            line.push_str("\":");
            push_value(line, field.value);
        }
        if record.dropped > 0 {
            line.push_str(",\"fields_dropped\":");
            line.push_str(&record.dropped.to_string());
        }
        line.push_str("}\n");
    }
}

impl Sink for JsonSink {
    fn write(&self, record: &Record) {
        self.writer.write_with(|line| self.render(record, line));
    }
}

fn push_ids(line: &mut String, ids: &TraceIds) {
    line.push_str(",\"trace_id\":\"");
    push_hex(line, &ids.trace.to_bytes());
    line.push_str("\",\"span_id\":\"");
    push_hex(line, &ids.span.to_bytes());
    line.push('"');
}

/// Appends bytes as lower-case hex, without the machinery of formatting: each line has two ids.
fn push_hex(line: &mut String, bytes: &[u8]) {
    let digit = |number: u8| match number {
        0..=9 => b'0' + number,
        _ => b'a' + number - 10,
    };
    let mut digits = [0; 32];
    for (place, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    let digits = digits.get(..2 * bytes.len()).unwrap_or_default();
    line.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

fn push_member(line: &mut String, name: &str, value: &str) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":\"");
    push_escaped(line, value);
    line.push('"');
}

fn push_value(line: &mut String, value: Value<&str>) {
    use std::fmt::Write as _;
    let _ = match value {
        Value::Text(text) => {
            line.push('"');
            push_escaped(line, text);
            line.push('"');
            Ok(())
        }
        Value::Signed(number) => write!(line, "{number}"),
        Value::Unsigned(number) => write!(line, "{number}"),
        Value::Bool(flag) => write!(line, "{flag}"),
        // JSON has no other numbers.
        Value::Float(number) if !number.is_finite() => write!(line, "\"{number}\""),
        // `{:?}` keeps `1.0` a float and goes over to exponents where they are shorter.
        Value::Float(number) => write!(line, "{number:?}"),
    };
}

/// Escapes by RFC 8259, and DEL and the C1 controls too: a line may be shown on a terminal.
pub(crate) fn push_escaped(output: &mut String, text: &str) {
    // Nearly every text: printable ASCII without quote and backslash.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        output.push_str(text);
        return;
    }
    let mut clean_from = 0;
    for (index, character) in text.char_indices() {
        let escape = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        output.push_str(text.get(clean_from..index).unwrap_or_default());
        if escape.is_empty() {
            use std::fmt::Write as _;
            let _ = write!(output, "\\u{:04x}", u32::from(character));
        } else {
            output.push_str(escape);
        }
        clean_from = index + character.len_utf8();
    }
    output.push_str(text.get(clean_from..).unwrap_or_default());
}
