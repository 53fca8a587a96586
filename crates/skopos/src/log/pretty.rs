//! Lines for people at a terminal. Control characters are shown escaped, so that a value cannot drive the terminal.

use tracing::Level;

use crate::clock;
use crate::log::Sink;
use crate::log::record::{Record, Value};
use crate::log::writer::LineWriter;

/// Writes records as short, possibly coloured lines.
pub(crate) struct PrettySink {
    pub(crate) writer: LineWriter,
    pub(crate) is_coloured: bool,
}

impl PrettySink {
    fn render(&self, record: &Record, line: &mut String) {
        use std::fmt::Write as _;
        let paint = |code: &'static str| if self.is_coloured { code } else { "" };
        let (dim, reset) = (paint("\x1b[2m"), paint("\x1b[0m"));
        let level = match record.level {
            Level::ERROR => paint("\x1b[31m"),
            Level::WARN => paint("\x1b[33m"),
            Level::INFO => paint("\x1b[32m"),
            Level::DEBUG => paint("\x1b[34m"),
            Level::TRACE => paint("\x1b[35m"),
        };
        let timestamp = clock::rfc3339(record.time);
        // Hours to milliseconds are enough to look at.
        let time = timestamp.get(11..23).unwrap_or(&timestamp);
        // Writing to a string cannot fail, here and below.
        let _ = write!(line, "{dim}{time}{reset} {level}{:<5}{reset} ", record.level.as_str());
        push_shown(line, &record.message);
        for field in record.fields() {
            // The line has one of its own, at its end.
            let prefix = if field.name == "request_id" { "event." } else { "" };
            let _ = write!(line, " {dim}{prefix}{}={reset}", field.name);
            match field.value {
                Value::Text(text) => push_shown(line, text),
                Value::Signed(number) => drop(write!(line, "{number}")),
                Value::Unsigned(number) => drop(write!(line, "{number}")),
                Value::Float(number) => drop(write!(line, "{number}")),
                Value::Bool(flag) => drop(write!(line, "{flag}")),
            }
        }
        let _ = write!(line, " {dim}{}", record.target);
        if let Some(id) = &record.request_id {
            let _ = write!(line, " request_id={id}");
        }
        if let Some(ids) = &record.trace {
            let _ = write!(line, " trace_id={}", ids.trace);
        }
        line.push_str(reset);
        line.push('\n');
    }
}

impl Sink for PrettySink {
    fn write(&self, record: &Record) {
        self.writer.write_with(|line| self.render(record, line));
    }
}

fn push_shown(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() && character != '\n' && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PrettySink;
    use crate::log::record::{Record, Value};
    use crate::log::writer::LineWriter;
    use std::time::UNIX_EPOCH;
    use tracing::Level;

    #[test]
    fn each_level_has_its_colour_and_without_colours_there_is_no_escape() {
        for (level, name, colour) in [
            (Level::ERROR, "ERROR", 31),
            (Level::WARN, "WARN ", 33),
            (Level::INFO, "INFO ", 32),
            (Level::DEBUG, "DEBUG", 34),
            (Level::TRACE, "TRACE", 35),
        ] {
            let mut record = Record::default();
            record.reset(UNIX_EPOCH, level, "shop");
            record.put("message", Value::Text("order placed"));
            record.put("count", Value::Signed(2));
            record.put("request_id", Value::Text("r-1"));
            let render = |is_coloured| {
                let writer = LineWriter::spawn(Box::new(std::io::sink()));
                let mut line = String::new();
                PrettySink { writer, is_coloured }.render(&record, &mut line);
                line
            };
            let (dim, reset) = ("\x1b[2m", "\x1b[0m");
            assert_eq!(
                render(true),
                format!(
                    "{dim}00:00:00.000{reset} \x1b[{colour}m{name}{reset} order placed {dim}count={reset}2 {dim}shop request_id=r-1{reset}\n"
                )
            );
            assert_eq!(
                render(false),
                format!("00:00:00.000 {name} order placed count=2 shop request_id=r-1\n")
            );
        }
    }
}
