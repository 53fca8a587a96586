//! What the store tells about itself.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::view::View;
use super::{DiskStats, LogHandle, Store};
use crate::block::BlockKind;
use crate::block::cache::CacheStats;
use crate::head::HeadStats;
use crate::verify::DamagedBlock;
use crate::wal::latency::LatencySnapshot;

/// Counts at one moment. Counters begin at zero with each start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStats {
    /// What the head holds, the one that is being flushed included; series are those of the
    /// active one.
    pub head: HeadStats,
    /// Blocks, flushes, compactions.
    pub blocks: BlockStats,
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
    /// Series that came into being, those found at the start among them.
    pub series_created: u64,
    /// Series that left the head.
    pub series_removed: u64,
    /// Samples of new series refused, by limit.
    pub refused_series: Vec<(&'static str, u64)>,
    /// Samples of new series added to series with the value `other`.
    pub folded_samples: u64,
    /// What is kept in memory of blocks that have been read.
    pub cache: CacheStats,
    /// The disk under the data folder.
    pub disk: DiskStats,
}

/// Counts of blocks and of the work on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockStats {
    /// Blocks of metrics, logs, spans.
    pub blocks: [u64; 3],
    /// Their bytes on disk.
    pub bytes: [u64; 3],
    /// Samples, log records, spans in them.
    pub rows: [u64; 3],
    /// Flushes that wrote something, since the start.
    pub flushes: u64,
    /// Flushes that failed.
    pub flush_failures: u64,
    /// Samples and events flushed.
    pub flushed_rows: u64,
    /// Bytes flushed.
    pub flushed_bytes: u64,
    /// Blocks that compaction merged into others.
    pub merged: u64,
    /// Blocks that retention removed.
    pub expired: u64,
    /// Blocks that were found damaged since the start and are still there.
    pub damaged: u64,
}

/// Counts of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Batches handed over and not yet written; commits are not counted here.
    pub waiting: u64,
    /// Batches or commits written since the start.
    pub frames: u64,
    /// Groups of them that shared a write and an fsync.
    pub groups: u64,
    /// Fsyncs and how long they took.
    pub fsyncs: LatencySnapshot,
    /// Whether a failure has stopped the writer for good.
    pub poisoned: bool,
    /// Whether the writer waits for space on the disk.
    pub no_space: bool,
}

/// Whether the store can do its work.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreHealth {
    /// Whether the store takes requests: it has not been closed.
    pub open: bool,
    /// Whether appends can be made durable.
    pub wal_writable: bool,
    /// Whether state commits can be made durable.
    pub state_writable: bool,
    /// The failure that stopped the WAL for good.
    pub wal_failure: Option<String>,
    /// The failure that stopped the state log for good.
    pub state_failure: Option<String>,
    /// Why the disk lets nothing be stored for now: too little is free, or a log has stopped for
    /// want of space. It passes by itself once there is space.
    pub disk_failure: Option<String>,
    /// Why the last flush failed, when it did.
    pub flush_failure: Option<String>,
    /// Whether appends are refused because the head has reached its bound.
    pub head_full: bool,
    /// Whether replay is done; always true for a store that is open.
    pub replay_finished: bool,
    /// Share of replay done, 0 to 1.
    pub replay_fraction: f64,
    /// Blocks that were found damaged since the start: queries that need them fail.
    pub damaged_blocks: Vec<DamagedBlock>,
}

pub(super) fn collect(store: &Store) -> StoreStats {
    let counters = &store.ingest.counters;
    let [samples, logs, spans] = &counters.accepted;
    let rejected = counters.rejected.lock().unwrap_or_else(PoisonError::into_inner);
    let view = store.ingest.views().current();
    let mut head = view.active.stats();
    if let Some(frozen) = &view.frozen {
        let more = frozen.head.stats();
        head.samples += more.samples;
        head.chunks += more.chunks;
        head.chunk_bytes += more.chunk_bytes;
        head.logs += more.logs;
        head.spans += more.spans;
        head.metric_bytes += more.metric_bytes;
        head.event_bytes += more.event_bytes;
    }
    let guard = view.active.guard();
    let (series_created, series_removed) = guard.turnover();
    let (refused_series, folded_samples) = guard.counts();
    StoreStats {
        series_created,
        series_removed,
        refused_series,
        folded_samples,
        head,
        blocks: block_stats(store, &view),
        head_bytes: view.head_bytes(),
        max_head_bytes: store.max_head_bytes,
        wal: log_stats(&store.wal),
        state_log: log_stats(&store.state_log),
        state_records: store.state.read().map_or(0, |map| map.len() as u64),
        accepted_samples: samples.load(Ordering::Relaxed),
        accepted_logs: logs.load(Ordering::Relaxed),
        accepted_spans: spans.load(Ordering::Relaxed),
        rejected: rejected.iter().map(|(reason, n)| (reason.to_string(), *n)).collect(),
        cache: store.catalog.files().cache().stats(),
        disk: store.ingest.disk().stats(),
        refused_head_full: counters.head_full.load(Ordering::Relaxed),
    }
}

fn block_stats(store: &Store, view: &View) -> BlockStats {
    let counters = &store.flush_counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut stats = BlockStats {
        flushes: get(&counters.flushes),
        flush_failures: get(&counters.flush_failures),
        flushed_rows: get(&counters.flushed_rows),
        flushed_bytes: get(&counters.flushed_bytes),
        merged: get(&counters.merged),
        expired: get(&counters.expired),
        damaged: store.damaged_blocks().len() as u64,
        ..BlockStats::default()
    };
    for block in &view.blocks.blocks {
        let meta = &block.meta;
        let Some(at) = BlockKind::ALL.iter().position(|kind| *kind == meta.kind) else { continue };
        for (list, n) in [
            (&mut stats.blocks, 1),
            (&mut stats.bytes, meta.size_bytes()),
            (&mut stats.rows, meta.rows),
        ] {
            if let Some(count) = list.get_mut(at) {
                *count += n;
            }
        }
    }
    stats
}

fn log_stats(log: &LogHandle) -> LogStats {
    LogStats {
        bytes: log.counters.bytes.load(Ordering::Relaxed),
        waiting: log.counters.waiting.load(Ordering::Relaxed),
        frames: log.counters.frames.load(Ordering::Relaxed),
        groups: log.counters.groups.load(Ordering::Relaxed),
        fsyncs: log.counters.fsyncs.snapshot(),
        poisoned: log.poison.is_for_good(),
        no_space: log.poison.is_no_space(),
    }
}
