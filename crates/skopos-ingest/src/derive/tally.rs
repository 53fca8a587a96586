//! [`Tally`]: what one batch adds to the counters.
//!
//! Runs beside decoding for every span and record, so it allocates per operation and not per span.

use std::collections::HashMap;
use std::sync::Arc;

use skopos_model::{
    LogBatch, LogRecord, Rejection, Resource, SeverityNumber, SignalBatch, Span, SpanId, SpanKind,
    StatusCode, Timestamp, TraceBatch, TraceId,
};

use super::{BOUNDS_NANOS, BUCKETS, DEBUG_DROPPED, DeriveOptions, UNKNOWN_SERVICE};

/// Bytes of a name that become a label value.
const MAX_NAME_BYTES: usize = 256;

/// What one batch adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub(super) operations: Vec<(OperationKey, OperationTally)>,
    pub(super) logs: Vec<(Arc<str>, LogTally)>,
}

/// Log records of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogTally {
    /// Stored records by [`band`].
    pub(super) by_severity: [u64; SEVERITIES.len()],
    /// DEBUG and TRACE records in production, those that were dropped too.
    pub(super) debug_in_production: u64,
}

/// The severities by [`band`].
pub(super) const SEVERITIES: [&str; 7] =
    ["UNSPECIFIED", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Names one operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OperationKey {
    pub(super) service: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
}

/// Spans of one operation. Sums are whole nanoseconds, so that the order in which spans come does
/// not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OperationTally {
    pub(super) spans: u64,
    pub(super) sum_nanos: u128,
    pub(super) buckets: [u64; BUCKETS],
    pub(super) examples: [Option<Example>; BUCKETS],
}

/// A span that stands for its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) nanos: u64,
    pub(super) end_time: Timestamp,
}

impl Tally {
    /// Counts a batch. Events later than `latest` are left out, because the store refuses them.
    /// When the options say so, DEBUG and TRACE records of services in production are taken out of
    /// the batch; what was taken out is returned by sender.
    pub fn of(
        batch: &mut SignalBatch,
        options: &DeriveOptions,
        latest: Timestamp,
    ) -> (Self, Vec<Rejection>) {
        match batch {
            SignalBatch::Traces(batch) if options.spans => (Self::of_spans(batch, latest), vec![]),
            SignalBatch::Logs(batch) if options.logs || options.drop_debug_in_production => {
                Self::of_logs(batch, options, latest)
            }
            _ => (Self::default(), Vec::new()),
        }
    }

    /// Whether it adds nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.logs.is_empty()
    }

    fn of_spans(batch: &TraceBatch, latest: Timestamp) -> Self {
        let mut operations: Vec<(OperationKey, OperationTally)> = Vec::new();
        let mut known: HashMap<(&str, &str, SpanKind, StatusCode), usize> = HashMap::new();
        for group in &batch.groups {
            let service = service_of(&group.resource);
            let mut service_text: Option<Arc<str>> = None;
            for span in group.spans.iter().filter(|span| span.start_time <= latest) {
                let (kind, status) = (span.kind, span.status.code);
                let name = shortened(&span.name);
                let at = *known.entry((service, name, kind, status)).or_insert_with(|| {
                    let service = service_text.get_or_insert_with(|| service.into()).clone();
                    let name = match name.len() == span.name.len() {
                        true => Arc::clone(&span.name),
                        false => name.into(),
                    };
                    let key = OperationKey { service, name, kind, status };
                    operations.push((key, OperationTally::default()));
                    operations.len() - 1
                });
                if let Some((_, tally)) = operations.get_mut(at) {
                    tally.add(span);
                }
            }
        }
        Self { operations, logs: Vec::new() }
    }

    fn of_logs(
        batch: &mut LogBatch,
        options: &DeriveOptions,
        latest: Timestamp,
    ) -> (Self, Vec<Rejection>) {
        let mut logs: Vec<(Arc<str>, LogTally)> = Vec::new();
        let mut dropped = Vec::new();
        for group in &mut batch.groups {
            let production = is_production(&group.resource);
            let mut tally = LogTally::default();
            let mut dropped_here = 0;
            group.records.retain(|record| {
                if record.time > latest {
                    return true;
                }
                let severity = band(record);
                if production && is_debug(severity) {
                    tally.debug_in_production += 1;
                    if options.drop_debug_in_production {
                        dropped_here += 1;
                        return false;
                    }
                }
                if let Some(count) = tally.by_severity.get_mut(severity) {
                    *count += 1;
                }
                true
            });
            if dropped_here > 0 {
                let message = "DEBUG and TRACE records of services in production are dropped \
                               (derive.drop_debug_in_production); log at INFO there";
                let sender = group.resource.service_name();
                let one = Rejection::one(DEBUG_DROPPED, sender, message);
                Rejection { count: dropped_here, ..one }.add_to(&mut dropped);
            }
            if tally == LogTally::default() {
                continue;
            }
            let service = service_of(&group.resource);
            match logs.iter_mut().find(|(name, _)| **name == *service) {
                Some((_, earlier)) => earlier.add(&tally),
                None => logs.push((service.into(), tally)),
            }
        }
        batch.groups.retain(|group| !group.records.is_empty());
        if !options.logs {
            logs.clear();
        }
        (Self { operations: Vec::new(), logs }, dropped)
    }
}

impl LogTally {
    pub(super) fn add(&mut self, more: &Self) {
        for (count, more) in self.by_severity.iter_mut().zip(more.by_severity) {
            *count += more;
        }
        self.debug_in_production += more.debug_in_production;
    }
}

impl OperationTally {
    fn add(&mut self, span: &Span) {
        let nanos = u64::try_from(span.duration().as_nanos()).unwrap_or(u64::MAX);
        self.spans += 1;
        self.sum_nanos += u128::from(nanos);
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        // The first of a batch: enough to find a trace by, and cheap.
        if let Some(example @ None) = self.examples.get_mut(bucket)
            && span.trace_id.is_valid()
        {
            let Span { trace_id, span_id, end_time, .. } = *span;
            *example = Some(Example { trace_id, span_id, nanos, end_time });
        }
    }

    /// Adds up; the newer examples win.
    pub(super) fn merge(&mut self, more: &Self) {
        self.spans += more.spans;
        self.sum_nanos += more.sum_nanos;
        for (count, more) in self.buckets.iter_mut().zip(more.buckets) {
            *count += more;
        }
        for (example, newer) in self.examples.iter_mut().zip(more.examples) {
            *example = newer.or(*example);
        }
    }
}

/// Whether a resource says that it runs in production.
pub fn is_production(resource: &Resource) -> bool {
    let attributes = &resource.attributes;
    let name = attributes.str("deployment.environment.name");
    let environment = name.or_else(|| attributes.str("deployment.environment")).unwrap_or("");
    environment.eq_ignore_ascii_case("production") || environment.eq_ignore_ascii_case("prod")
}

fn service_of(resource: &Resource) -> &str {
    match shortened(resource.service_name()) {
        "" => UNKNOWN_SERVICE,
        name => name,
    }
}

fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or(name)
}

/// The index in [`SEVERITIES`]; a record without a number is judged by its text.
fn band(record: &LogRecord) -> usize {
    let severity = match record.severity {
        SeverityNumber::UNSPECIFIED => {
            SeverityNumber::from_name(&record.severity_text).unwrap_or_default()
        }
        given => given,
    };
    usize::from(severity.0.div_ceil(4)).min(SEVERITIES.len() - 1)
}

/// Whether a [`band`] is TRACE or DEBUG.
fn is_debug(band: usize) -> bool {
    (1..=2).contains(&band)
}
