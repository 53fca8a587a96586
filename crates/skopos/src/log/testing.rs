//! A sink for tests: records as lines to compare.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::Sink;
use super::record::{Record, Value};

/// Keeps what it is given as `LEVEL message name=value`. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Returns the lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Sink for Lines {
    fn write(&self, record: &Record) {
        let mut line = format!("{} {}", record.level, record.message);
        for field in record.fields() {
            let _ = match field.value {
                Value::Text(text) => write!(line, " {}={text}", field.name),
                Value::Signed(number) => write!(line, " {}={number}", field.name),
                Value::Unsigned(number) => write!(line, " {}={number}", field.name),
                // So that it is told from a whole number.
                Value::Float(number) => write!(line, " {}={number:?}", field.name),
                Value::Bool(flag) => write!(line, " {}={flag}", field.name),
            };
        }
        self.0.lock().unwrap().push(line);
    }
}
