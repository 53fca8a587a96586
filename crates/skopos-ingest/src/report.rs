//! What a decoder says about a request besides the value: rejected, changed and redacted items.
//!
//! The number of entries is bounded whatever a sender does: beyond [`MAX_ENTRIES`] different
//! (reason, sender) pairs the rest of a request is counted under an empty sender, and beyond as
//! many redacted keys under the key `…`. Names of senders and keys are cut at 256 bytes.

use std::borrow::Cow;
use std::sync::Arc;

use skopos_model::{Decoded, Rejection};

/// Most entries of each kind that one request can cause.
pub const MAX_ENTRIES: usize = 128;

/// A decoded request with the whole account of what did not come through unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingested<T> {
    /// The value, and what was left out of it. For metrics a rejection counts data points.
    pub decoded: Decoded<T>,
    /// What was kept but changed, or dropped from within an item that was kept.
    pub adjusted: Vec<Adjustment>,
    /// What was taken out because it must never be stored.
    pub redactions: Vec<Redaction>,
    /// Which instrumentation scope reported which metric, where the scope has a name and is no
    /// label: for naming a sender. Empty for other signals and for remote write.
    pub scopes: Vec<MetricScope>,
}

/// A metric and the instrumentation scope that reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricScope {
    /// The metric's name, to which series of histograms and summaries add a suffix.
    pub metric: String,
    /// `service.name`, empty when unknown.
    pub service: Arc<str>,
    /// The scope's name.
    pub scope: Arc<str>,
}

impl<T> Ingested<T> {
    /// Changes the value, keeping the account.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Ingested<U> {
        let Decoded { value, rejected } = self.decoded;
        Ingested {
            decoded: Decoded { value: change(value), rejected },
            adjusted: self.adjusted,
            redactions: self.redactions,
            scopes: self.scopes,
        }
    }
}

/// Items kept in a changed form.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustment {
    /// Why: the name of a limit (`attribute_value_bytes`) or a word such as `end_before_start`; a
    /// closed set, fit for a label.
    pub reason: &'static str,
    /// Who sent them: `service.name`, empty when unknown.
    pub sender: String,
    /// How many values, attributes, events or records.
    pub count: u64,
    /// The first of them described for a human.
    pub message: String,
}

/// Values that were replaced by [`skopos_redact::REDACTED`].
#[derive(Clone, Debug, PartialEq)]
pub struct Redaction {
    /// Who sent them: `service.name`, empty when unknown.
    pub sender: String,
    /// Where: the dotted path of the attribute, `body` for the text of a log body. It comes from
    /// the sender and is not a closed set.
    pub key: String,
    /// How many values.
    pub count: u64,
}

/// Collects the account while a request is converted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sender: String,
    rejected: Vec<Rejection>,
    adjusted: Vec<Adjustment>,
    redactions: Vec<Redaction>,
}

impl Tally {
    /// Names the sender of what follows.
    pub(crate) fn set_sender(&mut self, sender: &str) {
        self.sender.clear();
        self.sender.push_str(beginning(sender));
    }

    /// Counts `count` refused items; the message is made only for the first of its kind.
    pub(crate) fn reject(&mut self, refusal: Refusal, count: u64) {
        let Refusal { reason, message } = refusal;
        let full = self.rejected.len() >= MAX_ENTRIES;
        let known = |e: &&mut Rejection, sender: &str| e.reason == reason && e.sender == sender;
        if let Some(entry) = self.rejected.iter_mut().find(|e| known(e, &self.sender)) {
            entry.count += count;
            return;
        }
        let sender = if full { "" } else { self.sender.as_str() };
        if full && let Some(entry) = self.rejected.iter_mut().find(|e| known(e, "")) {
            entry.count += count;
            return;
        }
        let rejection = Rejection {
            reason: Cow::Borrowed(reason),
            sender: sender.to_owned(),
            count,
            message: message.into_owned(),
        };
        self.rejected.push(rejection);
    }

    /// Counts a changed item.
    pub(crate) fn adjust(
        &mut self,
        reason: &'static str,
        count: u64,
        message: impl FnOnce() -> String,
    ) {
        let full = self.adjusted.len() >= MAX_ENTRIES;
        let known = |e: &&mut Adjustment, sender: &str| e.reason == reason && e.sender == sender;
        if let Some(entry) = self.adjusted.iter_mut().find(|e| known(e, &self.sender)) {
            entry.count += count;
            return;
        }
        let sender = if full { "" } else { self.sender.as_str() };
        if full && let Some(entry) = self.adjusted.iter_mut().find(|e| known(e, "")) {
            entry.count += count;
            return;
        }
        let sender = sender.to_owned();
        self.adjusted.push(Adjustment { reason, sender, count, message: message() });
    }

    /// Counts redacted values under a key.
    pub(crate) fn redact(&mut self, key: &str, count: u64) {
        let key = beginning(key);
        let full = self.redactions.len() >= MAX_ENTRIES;
        let found = self.redactions.iter_mut().find(|e| e.key == key && e.sender == self.sender);
        if let Some(entry) = found {
            entry.count += count;
            return;
        }
        let (sender, key) = if full { ("", "…") } else { (self.sender.as_str(), key) };
        match self.redactions.iter_mut().find(|e| full && e.key == key && e.sender == sender) {
            Some(entry) => entry.count += count,
            None => {
                let (sender, key) = (sender.to_owned(), key.to_owned());
                self.redactions.push(Redaction { sender, key, count });
            }
        }
    }

    /// Joins the account with the value.
    pub(crate) fn finish<T>(self, value: T) -> Ingested<T> {
        Ingested {
            decoded: Decoded { value, rejected: self.rejected },
            adjusted: self.adjusted,
            redactions: self.redactions,
            scopes: Vec::new(),
        }
    }
}

/// Senders name themselves and their keys; an account needs no more of a name than this.
const MAX_NAME_BYTES: usize = 256;

fn beginning(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME_BYTES)]
}

/// Why one item cannot be taken.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// Word of a closed set.
    pub(crate) reason: &'static str,
    /// For a human.
    pub(crate) message: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A limit was exceeded; the limit's name is the reason.
    pub(crate) fn limit(limit: &'static str, max: usize, found: usize, what: &str) -> Self {
        let message = format!("{what}: limit `{limit}` is {max}, found {found}");
        Self { reason: limit, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_bounded() {
        let mut tally = Tally::default();
        for i in 0..10_000_u64 {
            tally.set_sender(&format!("service-{i}"));
            tally.reject(Refusal::new("empty_name", "no name"), 2);
            tally.adjust("empty_key", 1, || "no key".to_owned());
            tally.redact(&format!("password{i}"), 1);
        }
        let report = tally.finish(());
        assert_eq!(report.decoded.rejected.len(), MAX_ENTRIES + 1);
        assert_eq!(report.decoded.rejected_count(), 20_000);
        assert_eq!(report.adjusted.len(), MAX_ENTRIES + 1);
        assert_eq!(report.adjusted.iter().map(|a| a.count).sum::<u64>(), 10_000);
        assert_eq!(report.redactions.len(), MAX_ENTRIES + 1);
        assert_eq!(report.redactions.iter().map(|r| r.count).sum::<u64>(), 10_000);
    }
}
