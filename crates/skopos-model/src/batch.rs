//! What travels from a decoder to the store: batches, and the account of what was refused.

use std::borrow::Cow;
use std::sync::Arc;

use crate::log::LogRecord;
use crate::metric::{Metadata, SeriesSamples};
use crate::resource::{Resource, Scope};
use crate::trace::Span;

/// One request's worth of one signal.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalBatch {
    /// Samples, exemplars, metadata.
    Metrics(MetricBatch),
    /// Log records.
    Logs(LogBatch),
    /// Spans.
    Traces(TraceBatch),
}

impl SignalBatch {
    /// Samples, records or spans inside.
    pub fn len(&self) -> usize {
        match self {
            Self::Metrics(batch) => batch.sample_count(),
            Self::Logs(batch) => batch.groups.iter().map(|g| g.records.len()).sum(),
            Self::Traces(batch) => batch.groups.iter().map(|g| g.spans.len()).sum(),
        }
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Metrics(batch) => batch.series.is_empty() && batch.metadata.is_empty(),
            _ => self.len() == 0,
        }
    }
}

/// Samples of many series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricBatch {
    /// The series with their samples. A series may occur more than once.
    pub series: Vec<SeriesSamples>,
    /// What the producer declared about the metrics.
    pub metadata: Vec<Metadata>,
}

impl MetricBatch {
    /// Samples inside, of all series together.
    pub fn sample_count(&self) -> usize {
        self.series.iter().map(|s| s.samples.len()).sum()
    }
}

/// Log records grouped by who sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogBatch {
    /// The groups.
    pub groups: Vec<ScopedLogs>,
}

/// Log records of one resource and scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopedLogs {
    /// The sender.
    pub resource: Arc<Resource>,
    /// The library within it.
    pub scope: Arc<Scope>,
    /// The records.
    pub records: Vec<LogRecord>,
}

/// Spans grouped by who sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceBatch {
    /// The groups.
    pub groups: Vec<ScopedSpans>,
}

/// Spans of one resource and scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopedSpans {
    /// The sender.
    pub resource: Arc<Resource>,
    /// The library within it.
    pub scope: Arc<Scope>,
    /// The spans.
    pub spans: Vec<Span>,
}

/// A decoded value together with everything that did not make it: parsing returns the value *and*
/// its errors, so that one bad item never costs its batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded<T> {
    /// What could be decoded.
    pub value: T,
    /// What could not, grouped by reason and sender.
    pub rejected: Vec<Rejection>,
}

impl<T> Decoded<T> {
    /// Items refused, of all reasons together.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.iter().map(|r| r.count).sum()
    }
}

/// Items refused for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// Why: a word of a closed set in snake case, used as a label value (`out_of_order`,
    /// `far_future`, `empty_name`, `invalid_utf8`, …).
    pub reason: Cow<'static, str>,
    /// Who sent them: `service.name`, or the scrape job; empty when unknown.
    pub sender: String,
    /// How many samples, records or spans.
    pub count: u64,
    /// The first of them described for a human: what, where, and what to do.
    pub message: String,
}

impl Rejection {
    /// One refused item.
    pub fn one(reason: &'static str, sender: &str, message: impl Into<String>) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            sender: sender.into(),
            count: 1,
            message: message.into(),
        }
    }

    /// Adds to a list, merging with an earlier entry of the same reason and sender (whose message
    /// stays).
    pub fn add_to(self, list: &mut Vec<Rejection>) {
        match list.iter_mut().find(|r| r.reason == self.reason && r.sender == self.sender) {
            Some(earlier) => earlier.count += self.count,
            None => list.push(self),
        }
    }
}

/// The store's receipt for a batch: everything not listed as rejected is durable and readable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// Samples, records or spans stored.
    pub accepted: u64,
    /// What the store refused (too old, future, duplicate timestamp with limits, …).
    pub rejected: Vec<Rejection>,
    /// What is stored in another series than the one that was sent, because of a limit; counted in
    /// `accepted`. The reason is the limit.
    pub folded: Vec<Rejection>,
}
