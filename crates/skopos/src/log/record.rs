//! One log record, redacted, before it takes any sink's form.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use skopos_redact::REDACTED;
use tracing::Level;

use crate::context::TraceIds;

/// Longest text of one value, in bytes; the rest is cut off and said to be.
pub(crate) const LONGEST_VALUE: usize = 8 * 1024;
/// Bytes of a text that are looked at: some slack, so that redaction sees a secret's end before the text is cut.
const LOOKED_AT: usize = 8 * LONGEST_VALUE;
/// Bytes that are not shown at the end of a text that was cut off, and how many more to the beginning of a word.
const SHORTEST_END: usize = 32;
const LONGEST_END: usize = 4 * 1024;
/// Most fields of one record; more are counted in `fields_dropped`.
pub(crate) const MOST_FIELDS: usize = 128;

/// Names that belong to the line itself.
const RESERVED: &[&str] = &[
    "request_id",
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

/// The value of a field; where it is a text, of whichever kind suits its holder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<T> {
    Text(T),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl<T> Value<T> {
    /// Turns a text into one of another kind.
    pub(crate) fn map<U>(self, text: impl FnOnce(T) -> U) -> Value<U> {
        match self {
            Value::Text(found) => Value::Text(text(found)),
            Value::Signed(number) => Value::Signed(number),
            Value::Unsigned(number) => Value::Unsigned(number),
            Value::Float(number) => Value::Float(number),
            Value::Bool(flag) => Value::Bool(flag),
        }
    }
}

impl Value<Arc<str>> {
    pub(crate) fn borrowed(&self) -> Value<&str> {
        match self {
            Value::Text(text) => Value::Text(text),
            Value::Signed(number) => Value::Signed(*number),
            Value::Unsigned(number) => Value::Unsigned(*number),
            Value::Float(number) => Value::Float(*number),
            Value::Bool(flag) => Value::Bool(*flag),
        }
    }
}

/// A log record. `message` and `request_id` are kept apart from the other fields. All memory is kept from one record to the
/// next, so that a record of the usual size allocates nothing.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: SystemTime,
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) trace: Option<TraceIds>,
    pub(crate) dropped: u32,
    entries: Vec<Entry>,
    /// The texts of the entries, one after the other.
    texts: String,
}

/// A named value, whose text is a range of [`Record::texts`].
#[derive(Debug)]
struct Entry {
    name: &'static str,
    is_reserved: bool,
    value: Value<Range<usize>>,
}

/// A field as sinks see it; `is_reserved` names are shown with the prefix `event.`.
pub(crate) struct Shown<'r> {
    pub(crate) name: &'static str,
    pub(crate) is_reserved: bool,
    pub(crate) value: Value<&'r str>,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            time: UNIX_EPOCH,
            level: Level::INFO,
            target: String::new(),
            message: String::new(),
            request_id: None,
            trace: None,
            dropped: 0,
            entries: Vec::new(),
            texts: String::new(),
        }
    }
}

impl Record {
    /// Empties the record for the next event; the memory is kept, unless it was an unusual one.
    pub(crate) fn reset(&mut self, time: SystemTime, level: Level, target: &str) {
        self.time = time;
        self.level = level;
        self.target.clear();
        self.target.push_str(target);
        self.request_id = None;
        self.trace = None;
        self.dropped = 0;
        self.entries.clear();
        for text in [&mut self.message, &mut self.texts] {
            text.clear();
            text.shrink_to(4 * LONGEST_VALUE);
        }
    }

    /// The fields, in order.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = Shown<'_>> {
        self.entries.iter().map(|entry| Shown {
            name: entry.name,
            is_reserved: entry.is_reserved,
            value: entry.value.clone().map(|range| self.texts.get(range).unwrap_or_default()),
        })
    }

    /// Adds a field; a field of the same name is replaced.
    pub(crate) fn put(&mut self, name: &'static str, value: Value<&str>) {
        match name {
            "message" => {
                self.message.clear();
                let message = &mut self.message;
                // Writing to a string cannot fail.
                let _ = match value {
                    Value::Text(text) => {
                        push_shortened(message, text);
                        Ok(())
                    }
                    Value::Signed(number) => write!(message, "{number}"),
                    Value::Unsigned(number) => write!(message, "{number}"),
                    Value::Float(number) => write!(message, "{number}"),
                    Value::Bool(flag) => write!(message, "{flag}"),
                };
                return;
            }
            // The bound id wins over a field; without one the field is as good. One that says the same says nothing.
            "request_id" => match (&self.request_id, value) {
                (None, Value::Text(text)) => {
                    let mut id = String::new();
                    push_shortened(&mut id, text);
                    self.request_id = Some(id.into());
                    return;
                }
                (Some(bound), Value::Text(text)) if **bound == *text => return,
                _ => {}
            },
            _ => {}
        }
        let known = self.entries.iter().position(|entry| is_same_name(entry.name, name));
        if known.is_none() && self.entries.len() >= MOST_FIELDS {
            self.dropped += 1;
            return;
        }
        let texts = &mut self.texts;
        let value = value.map(|text| {
            let start = texts.len();
            push_shortened(texts, text);
            start..texts.len()
        });
        match known.and_then(|place| self.entries.get_mut(place)) {
            Some(entry) => entry.value = value,
            None => {
                let is_reserved = RESERVED.contains(&name);
                self.entries.push(Entry { name, is_reserved, value });
            }
        }
    }
}

/// Names are constants: most often the same one stands at the same address.
fn is_same_name(left: &str, right: &str) -> bool {
    left.len() == right.len() && (std::ptr::eq(left, right) || left == right)
}

thread_local! {
    /// What a `Debug` writes to; kept, so that a message does not allocate.
    static FORMATTED: Cell<String> = const { Cell::new(String::new()) };
}

/// Formats a value with a bound on the work that its `Debug` can cause here, and without panicking when it fails.
pub(crate) fn with_debug_text<R>(value: &dyn fmt::Debug, use_it: impl FnOnce(&str) -> R) -> R {
    struct Limited<'s> {
        text: &'s mut String,
    }

    impl fmt::Write for Limited<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.text.push_str(bounded(part));
            if self.text.len() > LOOKED_AT { Err(fmt::Error) } else { Ok(()) }
        }
    }

    // Taken out while in use: a `Debug` that logs finds none and makes its own.
    let mut text = FORMATTED.try_with(Cell::take).unwrap_or_default();
    text.clear();
    // An error means that the text is too long or that the value cannot be shown: what there is must do.
    let _ = write!(Limited { text: &mut text }, "{value:?}");
    let result = use_it(&text);
    text.shrink_to(LONGEST_VALUE);
    let _ = FORMATTED.try_with(|kept| kept.set(text));
    result
}

/// Whether a text is longer than what is looked at, or was when a `Debug` wrote it.
pub(crate) fn is_beyond(text: &str) -> bool {
    text.len() > LOOKED_AT
}

/// Returns what is shown of a text that was cut off before it was redacted. Its end is left out: half a secret looks like none, and
/// where much was redacted the end may be among what is shown.
#[cold]
pub(crate) fn beginning(redacted: &str) -> String {
    let end = if redacted.ends_with(REDACTED) {
        redacted.len()
    } else {
        // Words, too, since a secret may have gaps: a card number has three.
        let words = start_of(redacted, redacted.len().saturating_sub(SHORTEST_END));
        let longest = start_of(words, words.len().saturating_sub(LONGEST_END));
        words.rfind(char::is_whitespace).map_or(longest.len(), |gap| gap.max(longest.len()))
    };
    let shown = start_of(redacted, end.min(LONGEST_VALUE - 64));
    format!("{shown}… (more than {LOOKED_AT} bytes in all)")
}

/// As much of a text as is looked at.
pub(crate) fn bounded(text: &str) -> &str {
    // Some more, so that it shows that it was longer.
    start_of(text, LOOKED_AT + 8)
}

fn start_of(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

fn push_shortened(output: &mut String, text: &str) {
    if text.len() <= LONGEST_VALUE {
        output.push_str(text);
        return;
    }
    let kept = start_of(text, LONGEST_VALUE);
    let _ = match text.len() {
        length @ ..=LOOKED_AT => write!(output, "{kept}… ({length} bytes in all)"),
        _ => write!(output, "{kept}… (more than {LOOKED_AT} bytes in all)"),
    };
}
