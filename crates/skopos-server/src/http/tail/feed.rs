//! What a tail says: lines out of events, at most so many a second, and how many were left out.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::RecordBatch;
use axum::body::Bytes;
use skopos_model::Clock;
use skopos_model::EventId;
use skopos_model::event::EventSignal;
use skopos_model::storage::StorageError;
use skopos_store::event;
use skopos_store::scan::Followed;

use crate::http::logs::print::push_log;
use crate::http::traces::print::push_span;
use crate::query::FollowCounts;

const SECOND: Duration = Duration::from_secs(1);

/// Events that were stored before a tail began.
#[derive(Debug, Default)]
pub(super) struct Stored {
    lines: Vec<(EventId, String)>,
    left_out: u64,
}

impl Stored {
    /// Nothing yet; so many older ones are left out.
    pub(super) fn new(left_out: u64) -> Self {
        Self { left_out, ..Self::default() }
    }

    pub(super) fn add(
        &mut self,
        signal: EventSignal,
        batches: &[RecordBatch],
    ) -> Result<(), StorageError> {
        for batch in batches {
            push_lines(signal, batch, |id, line| self.lines.push((id, line)))?;
        }
        Ok(())
    }
}

/// The lines of one tail.
pub(super) struct Feed {
    clock: Arc<dyn Clock>,
    counts: Arc<FollowCounts>,
    /// Events a second.
    rate: u64,
    lines: String,
    /// When the present second began, and how many events of it were passed on.
    second: Duration,
    passed: u64,
    /// Events left out and not told yet.
    skipped: u64,
    /// Events seen since the last heartbeat, and when that was.
    seen: u64,
    beat: Duration,
    sent: u64,
}

impl Feed {
    pub(super) fn new(rate: u64, clock: Arc<dyn Clock>, counts: Arc<FollowCounts>) -> Self {
        let now = clock.monotonic();
        Self {
            clock,
            counts,
            rate,
            lines: String::new(),
            second: now,
            passed: 0,
            skipped: 0,
            seen: 0,
            beat: now,
            sent: 0,
        }
    }

    /// Begins with what is stored, in the order it happened; the rate does not apply to it.
    pub(super) fn begin_with(&mut self, mut stored: Stored) {
        if stored.left_out > 0 {
            let count = stored.left_out;
            let _ = writeln!(self.lines, r#"{{"skipped":{count},"reason":"stored"}}"#);
        }
        stored.lines.sort_unstable_by_key(|(id, _)| *id);
        self.sent += stored.lines.len() as u64;
        self.lines.extend(stored.lines.iter().map(|(_, line)| line.as_str()));
    }

    /// Takes what a follower yields.
    pub(super) fn push(&mut self, followed: Followed) -> Result<(), StorageError> {
        match followed {
            Followed::Missed(count) => {
                self.tell_skipped();
                self.counts.skipped_slow.fetch_add(count, Ordering::Relaxed);
                let _ = writeln!(self.lines, r#"{{"skipped":{count},"reason":"slow"}}"#);
            }
            Followed::Batch(signal, batch) => {
                let now = self.clock.monotonic();
                if now.saturating_sub(self.second) >= SECOND {
                    self.second = now;
                    self.passed = 0;
                    self.tell_skipped();
                }
                let rows = batch.num_rows() as u64;
                let allowed = rows.min(self.rate - self.passed);
                self.passed += allowed;
                self.skipped += rows - allowed;
                self.seen += rows;
                self.sent += allowed;
                let batch = batch.slice(0, usize::try_from(allowed).unwrap_or(0));
                push_lines(signal, &batch, |_, line| self.lines.push_str(&line))?;
            }
        }
        Ok(())
    }

    /// A heartbeat: that we are there, how much there is, and what was left out.
    pub(super) fn beat(&mut self) {
        self.tell_skipped();
        let now = self.clock.monotonic();
        let seconds = now.saturating_sub(self.beat).as_secs_f64();
        let rate = if seconds > 0.0 { (self.seen as f64 / seconds).round() as u64 } else { 0 };
        let _ = writeln!(self.lines, r#"{{"heartbeat":true,"per_second":{rate}}}"#);
        self.seen = 0;
        self.beat = now;
    }

    fn tell_skipped(&mut self) {
        let count = std::mem::take(&mut self.skipped);
        if count > 0 {
            self.counts.skipped_rate.fetch_add(count, Ordering::Relaxed);
            let _ = writeln!(self.lines, r#"{{"skipped":{count},"reason":"rate"}}"#);
        }
    }

    /// What is to be sent.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let lines = std::mem::take(&mut self.lines);
        (!lines.is_empty()).then(|| Bytes::from(lines))
    }

    /// Events passed on so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }
}

fn push_lines(
    signal: EventSignal,
    batch: &RecordBatch,
    mut push: impl FnMut(EventId, String),
) -> Result<(), StorageError> {
    match signal {
        EventSignal::Logs => {
            for log in event::logs(batch)? {
                let mut line = String::from("{\"log\":");
                push_log(&mut line, &log);
                line.push_str("}\n");
                push(log.id, line);
            }
        }
        EventSignal::Spans => {
            for span in event::spans(batch)? {
                let mut line = String::from("{\"span\":");
                push_span(&mut line, &span);
                line.push_str("}\n");
                push(span.id, line);
            }
        }
    }
    Ok(())
}
