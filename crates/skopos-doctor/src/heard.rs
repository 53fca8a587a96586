//! Telemetry that reached the doctor: spans and log lines, bounded.

use std::sync::{Arc, Mutex, PoisonError};

use skopos_model::{Attributes, LogBatch, Resource, TraceBatch};
use tokio::sync::Notify;

use crate::line::Line;

/// Most spans kept; later ones are counted.
const MAX_SPANS: usize = 10_000;
/// Most lines kept; later ones are counted.
const MAX_LINES: usize = 10_000;

/// A span as far as verdicts ask for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeardSpan {
    /// Its trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// Its parent, 16 hexadecimal digits; empty for a root.
    pub parent_id: String,
    /// The operation.
    pub name: String,
    /// `server`, `client`, `internal`, …
    pub kind: String,
    /// Who sent it: its attributes as text.
    pub resource: Vec<(String, String)>,
    /// Its attributes as text.
    pub attributes: Vec<(String, String)>,
    /// All texts in it, events and status among them, to look for secrets.
    pub text: String,
}

impl HeardSpan {
    /// The value of an attribute, by the first of these names that it has.
    pub fn attribute(&self, names: &[&str]) -> Option<&str> {
        find(&self.attributes, names)
    }

    /// The value of an attribute of the sender, by the first of these names that it has.
    pub fn resource(&self, names: &[&str]) -> Option<&str> {
        find(&self.resource, names)
    }
}

fn find<'a>(pairs: &'a [(String, String)], names: &[&str]) -> Option<&'a str> {
    let by_name = |name: &&str| pairs.iter().find(|(known, _)| known == name);
    names.iter().find_map(by_name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
}

/// What came in during a visit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Spans.
    pub spans: Vec<HeardSpan>,
    /// Log lines and log records.
    pub lines: Vec<Line>,
    /// OTLP requests taken, of any signal.
    pub exports: u64,
    /// Spans and lines beyond what is kept.
    pub dropped: u64,
    /// Why the last OTLP request that could not be read was refused.
    pub refused: Option<String>,
}

impl Heard {
    /// Adds spans of an OTLP request.
    pub fn add_traces(&mut self, batch: &TraceBatch) {
        for group in &batch.groups {
            for span in &group.spans {
                let mut text = format!("{}\n{}\n", span.name, span.status.message);
                write_json(&mut text, &span.attributes);
                for event in &span.events {
                    text.push_str(&event.name);
                    write_json(&mut text, &event.attributes);
                }
                let parent = span.parent_span_id;
                self.add_span(HeardSpan {
                    trace_id: span.trace_id.to_string(),
                    parent_id: if parent.is_valid() { parent.to_string() } else { String::new() },
                    name: span.name.to_string(),
                    kind: span.kind.as_str().to_owned(),
                    resource: pairs(&group.resource.attributes),
                    attributes: pairs(&span.attributes),
                    text,
                });
            }
        }
    }

    /// Adds records of an OTLP request.
    pub fn add_logs(&mut self, batch: &LogBatch) {
        for group in &batch.groups {
            let resource: &Resource = &group.resource;
            for record in &group.records {
                self.add_line(Line::from_record(resource, record));
            }
        }
    }

    /// Adds a span.
    pub fn add_span(&mut self, span: HeardSpan) {
        if self.spans.len() < MAX_SPANS {
            self.spans.push(span);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds a line.
    pub fn add_line(&mut self, line: Line) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(line);
        } else {
            self.dropped += 1;
        }
    }
}

fn pairs(attributes: &Attributes) -> Vec<(String, String)> {
    attributes.iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect()
}

fn write_json(text: &mut String, attributes: &Attributes) {
    // Writing to a text does not fail.
    let _ = attributes.write_json(text);
    text.push('\n');
}

/// What was heard, shared by those who listen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearing {
    heard: Arc<Mutex<Heard>>,
    changed: Arc<Notify>,
}

impl Hearing {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Heard) -> T) -> T {
        read(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until this holds.
    pub(crate) async fn wait(&self, holds: impl Fn(&Heard) -> bool) {
        loop {
            // Registered before the look, so that no change falls in between.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.read(&holds) {
                return;
            }
            changed.await;
        }
    }
}
