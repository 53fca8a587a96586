//! One log record, redacted, before it takes any sink's form.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Level;

use crate::context::TraceIds;

/// Longest text of one value, in bytes; the rest is cut off and said to be.
pub(crate) const LONGEST_VALUE: usize = 8 * 1024;
/// Most fields of one record; more are counted in `fields_dropped`.
pub(crate) const MOST_FIELDS: usize = 128;

/// Names that belong to the line itself.
const RESERVED: &[&str] = &[
    "timestamp",
    "level",
    "service",
    "version",
    "environment",
    "trace_id",
    "span_id",
    "target",
    "fields_dropped",
];

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Arc<str>),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

/// A log record. `message` and `request_id` are kept apart from the other fields.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: SystemTime,
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: Arc<str>,
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) trace: Option<TraceIds>,
    pub(crate) fields: Vec<Entry>,
    pub(crate) dropped: u32,
}

/// A named value; `is_reserved` names are shown with the prefix `event.`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) is_reserved: bool,
    pub(crate) value: Value,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            time: UNIX_EPOCH,
            level: Level::INFO,
            target: String::new(),
            message: Arc::default(),
            request_id: None,
            trace: None,
            fields: Vec::new(),
            dropped: 0,
        }
    }
}

impl Record {
    /// Empties the record for the next event; the memory is kept.
    pub(crate) fn reset(&mut self, time: SystemTime, level: Level, target: &str) {
        self.time = time;
        self.level = level;
        self.target.clear();
        self.target.push_str(target);
        self.message = Arc::default();
        self.request_id = None;
        self.trace = None;
        self.fields.clear();
        self.dropped = 0;
    }

    /// Adds a field; a field of the same name is replaced.
    pub(crate) fn put(&mut self, name: &'static str, value: Value) {
        let value = shorten(value);
        match name {
            "message" => {
                self.message = match value {
                    Value::Text(text) => text,
                    Value::Signed(number) => number.to_string().into(),
                    Value::Unsigned(number) => number.to_string().into(),
                    Value::Float(number) => number.to_string().into(),
                    Value::Bool(flag) => flag.to_string().into(),
                };
                return;
            }
            // The bound id wins over a field; without one the field is as good.
            "request_id" => {
                if self.request_id.is_none()
                    && let Value::Text(text) = value
                {
                    self.request_id = Some(text);
                }
                return;
            }
            _ => {}
        }
        if let Some(entry) = self.fields.iter_mut().find(|entry| entry.name == name) {
            entry.value = value;
        } else if self.fields.len() < MOST_FIELDS {
            let is_reserved = RESERVED.contains(&name);
            self.fields.push(Entry { name, is_reserved, value });
        } else {
            self.dropped += 1;
        }
    }
}

/// Formats a value with a bound on the work that its `Debug` can cause here, and without panicking when it fails.
pub(crate) fn debug_text(value: &dyn fmt::Debug) -> String {
    struct Limited {
        text: String,
    }

    impl fmt::Write for Limited {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.text.push_str(part);
            // Some slack, so that redaction sees a secret's end before the text is cut.
            if self.text.len() > 8 * LONGEST_VALUE { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut limited = Limited { text: String::new() };
    // An error means that the text is too long or that the value cannot be shown: what there is must do.
    let _ = write!(limited, "{value:?}");
    limited.text
}

fn shorten(value: Value) -> Value {
    match value {
        Value::Text(text) if text.len() > LONGEST_VALUE => {
            let mut end = LONGEST_VALUE;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let kept = text.get(..end).unwrap_or_default();
            Value::Text(format!("{kept}… ({} bytes in all)", text.len()).into())
        }
        other => other,
    }
}
