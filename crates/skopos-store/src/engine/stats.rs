//! What the store tells about itself.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{LogHandle, Store};
use crate::head::HeadStats;
use crate::wal::latency::LatencySnapshot;

/// Counts at one moment. Counters begin at zero with each start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStats {
    /// What the head holds.
    pub head: HeadStats,
    /// Bytes the head holds, about.
    pub head_bytes: u64,
    /// Bytes beyond which appends are refused.
    pub max_head_bytes: u64,
    /// The write-ahead log.
    pub wal: LogStats,
    /// The state log.
    pub state_log: LogStats,
    /// State records held.
    pub state_records: u64,
    /// Samples accepted, those of state commits included.
    pub accepted_samples: u64,
    /// Log records accepted.
    pub accepted_logs: u64,
    /// Spans accepted.
    pub accepted_spans: u64,
    /// Items refused, by reason, sorted.
    pub rejected: Vec<(String, u64)>,
    /// Batches refused because the head was full.
    pub refused_head_full: u64,
}

/// Counts of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Batches or commits written since the start.
    pub frames: u64,
    /// Groups of them that shared a write and an fsync.
    pub groups: u64,
    /// Fsyncs and how long they took.
    pub fsyncs: LatencySnapshot,
    /// Whether a failure has stopped the writer for good.
    pub poisoned: bool,
}

/// Whether the store can do its work.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreHealth {
    /// Whether appends can be made durable.
    pub wal_writable: bool,
    /// Whether state commits can be made durable.
    pub state_writable: bool,
    /// The failure that stopped the WAL.
    pub wal_failure: Option<String>,
    /// The failure that stopped the state log.
    pub state_failure: Option<String>,
    /// Whether appends are refused because the head has reached its bound.
    pub head_full: bool,
    /// Whether replay is done; always true for a store that is open.
    pub replay_finished: bool,
    /// Share of replay done, 0 to 1.
    pub replay_fraction: f64,
}

pub(super) fn collect(store: &Store) -> StoreStats {
    let counters = &store.ingest.counters;
    let [samples, logs, spans] = &counters.accepted;
    let rejected = counters.rejected.lock().unwrap_or_else(PoisonError::into_inner);
    StoreStats {
        head: store.head.stats(),
        head_bytes: store.head.size_bytes(),
        max_head_bytes: store.max_head_bytes,
        wal: log_stats(&store.wal),
        state_log: log_stats(&store.state_log),
        state_records: store.state.read().map_or(0, |map| map.len() as u64),
        accepted_samples: samples.load(Ordering::Relaxed),
        accepted_logs: logs.load(Ordering::Relaxed),
        accepted_spans: spans.load(Ordering::Relaxed),
        rejected: rejected.iter().map(|(reason, n)| (reason.to_string(), *n)).collect(),
        refused_head_full: counters.head_full.load(Ordering::Relaxed),
    }
}

fn log_stats(log: &LogHandle) -> LogStats {
    LogStats {
        bytes: log.counters.bytes.load(Ordering::Relaxed),
        frames: log.counters.frames.load(Ordering::Relaxed),
        groups: log.counters.groups.load(Ordering::Relaxed),
        fsyncs: log.counters.fsyncs.snapshot(),
        poisoned: log.poison.cause().is_some(),
    }
}
