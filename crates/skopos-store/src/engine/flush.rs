//! The thread that moves data from the head to blocks and keeps blocks in order.
//!
//! A flush:
//!
//! 1. The appender freezes the head: the WAL begins a new segment whose first frames carry over
//!    what a successor must know, then the successor takes the head's place. Nothing of the frozen
//!    head is in that segment or later, everything after it is.
//! 2. The frozen head's data is written as blocks, durably.
//! 3. The catalog commits the blocks together with the number of that segment. This is the moment:
//!    before it a restart replays the older segments, after it a restart does not look at them.
//! 4. The view exchanges the frozen head for the blocks, the older segments are removed.
//!
//! A failure before 3 leaves the head frozen and readable; the next flush tries again. A second
//! head is not frozen meanwhile, so memory is bounded by the head's bound.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use skopos_model::Clock;
use skopos_model::event::EventSignal;
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};

use super::append::Request;
use super::ingest::Ingest;
use super::view::{Frozen, View};
use crate::block::metrics::MetricWriter;
use crate::block::{self, BlockFiles, BlockKind, BlockMeta};
use crate::catalog::{Catalog, Edit, Version};
use crate::config::BlockConfig;
use crate::error::StoreError;
use crate::fs::Fs;
use crate::head::Head;
use crate::snapshot::{self, Damaged, SnapshotReport};
use crate::wal::WAL;
use crate::wal::replay::remove_before;
use crate::wal::writer::LogCounters;

/// Commands that wait; whoever finds the queue full is told to come back.
const QUEUE_LEN: usize = 16;
/// How often the thread looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the head is searched for series that have ended, so that others find a place.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// With a low disk, a WAL of this size is worth a flush.
const WORTHWHILE_WAL_BYTES: u64 = 16 << 20;
/// How long after a failure the next try is made by itself.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Where the answer goes; nobody may be waiting any more.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked to do.
pub(super) enum Command {
    /// Look whether something is due.
    Look,
    /// Move all data of the head to blocks.
    Flush(Reply<FlushReport>),
    /// Compact blocks and remove old ones.
    Maintain(Reply<MaintenanceReport>),
    /// Copy everything into a new folder.
    Snapshot(PathBuf, Damaged, Reply<SnapshotReport>),
}

/// What a flush did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Blocks written.
    pub blocks: u64,
    /// Samples and events in them.
    pub rows: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// What compaction and retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Blocks merged into others.
    pub merged: u64,
    /// Blocks written for them.
    pub written: u64,
    /// Blocks removed because of their age or of the byte bound.
    pub expired: u64,
}

/// Counts of the thread's work, for `/metrics`.
#[derive(Debug, Default)]
pub(super) struct FlushCounters {
    pub(super) flushes: AtomicU64,
    pub(super) flush_failures: AtomicU64,
    pub(super) flushed_rows: AtomicU64,
    pub(super) flushed_bytes: AtomicU64,
    pub(super) merged: AtomicU64,
    pub(super) expired: AtomicU64,
    /// Why the last flush failed; `None` once one has succeeded.
    pub(super) failure: Mutex<Option<String>>,
}

/// How the thread is set up.
pub(super) struct FlushSetup {
    pub(super) config: BlockConfig,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) data_dir: PathBuf,
    pub(super) wal_dir: PathBuf,
    pub(super) wal_counters: Arc<LogCounters>,
    pub(super) ingest: Arc<Ingest>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) counters: Arc<FlushCounters>,
    /// Weak, so that the appender can end.
    pub(super) appends: async_mpsc::WeakSender<Request>,
}

/// The way to the thread.
pub(super) fn channel() -> (SyncSender<Command>, Receiver<Command>) {
    mpsc::sync_channel(QUEUE_LEN)
}

/// Starts the thread. It ends when all senders are gone, after the work it is at.
pub(super) fn spawn(
    setup: FlushSetup,
    queue: Receiver<Command>,
    alive: watch::Receiver<()>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("skopos-flush".into()).spawn(move || {
        let mut flusher = Flusher { setup, retry_at: Duration::ZERO, swept_at: Duration::ZERO };
        flusher.run(&queue);
        drop(alive);
    })
}

pub(super) struct Flusher {
    pub(super) setup: FlushSetup,
    /// Nothing is tried by itself before this, on the monotonic clock.
    retry_at: Duration,
    /// When the head was last searched for series that have ended.
    swept_at: Duration,
}

impl Flusher {
    fn run(&mut self, queue: &Receiver<Command>) {
        loop {
            let command = match queue.recv_timeout(LOOK_EVERY) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => Command::Look,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match command {
                Command::Flush(reply) => drop(reply.send(self.flush())),
                Command::Maintain(reply) => drop(reply.send(self.maintain())),
                Command::Snapshot(to, damaged, reply) => {
                    drop(reply.send(self.snapshot(&to, damaged)));
                }
                Command::Look if self.setup.config.automatic => self.look(),
                Command::Look => {}
            }
            self.setup.catalog.sweep();
        }
    }

    fn look(&mut self) {
        let now = self.setup.clock.monotonic();
        if now < self.retry_at {
            return;
        }
        let flushed = match self.is_flush_due(now) {
            true => self.flush().map(drop),
            false => Ok(()),
        };
        // Also after a failure: when the disk is full, retention is what makes space.
        let maintained = self.maintain().map(drop);
        if flushed.and(maintained).is_err() {
            self.retry_at = now.saturating_add(RETRY_AFTER);
        }
    }

    fn is_flush_due(&mut self, now: Duration) -> bool {
        let view = self.setup.ingest.views().current();
        let aged = |since: Duration| now.saturating_sub(since) >= self.setup.config.flush_age;
        view.frozen.is_some()
            || self.setup.ingest.is_full_enough(&view)
            || view.active.since().is_some_and(aged)
            || self.would_make_space(&view)
            || self.is_sweep_due(now, &view)
    }

    /// Whether series that have ended hold places that others want, or stay because nothing comes
    /// any more.
    fn is_sweep_due(&mut self, now: Duration, view: &View) -> bool {
        if now.saturating_sub(self.swept_at) < SWEEP_EVERY {
            return false;
        }
        self.swept_at = now;
        let is_wanted = view.active.guard().take_wanted_places();
        (is_wanted || view.active.since().is_none()) && view.active.holds_ended_series()
    }

    /// Whether the disk is low and a flush would give some of it back: blocks are smaller than the
    /// segments that go for them.
    fn would_make_space(&self, view: &View) -> bool {
        self.setup.wal_counters.bytes.load(Ordering::Relaxed) >= WORTHWHILE_WAL_BYTES
            && view.active.since().is_some()
            && self.setup.ingest.disk().low().is_some()
    }

    /// Moves all data of the head to blocks.
    fn flush(&mut self) -> Result<FlushReport, StoreError> {
        let counters = Arc::clone(&self.setup.counters);
        let flushed = self.try_flush();
        let mut failure = counters.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &flushed {
            Ok(report) => {
                counters.flushes.fetch_add(u64::from(report.blocks > 0), Ordering::Relaxed);
                counters.flushed_rows.fetch_add(report.rows, Ordering::Relaxed);
                counters.flushed_bytes.fetch_add(report.bytes, Ordering::Relaxed);
                *failure = None;
            }
            Err(error) => {
                counters.flush_failures.fetch_add(1, Ordering::Relaxed);
                *failure = Some(error.to_string());
            }
        }
        flushed
    }

    /// Copies everything acknowledged before the call. This thread alone changes the catalog, so it
    /// stands still meanwhile; the flush makes the copy mostly links.
    fn snapshot(&mut self, to: &Path, damaged: Damaged) -> Result<SnapshotReport, StoreError> {
        self.flush()?;
        let taken = snapshot::take(&*self.setup.fs, &self.setup.data_dir, to, damaged);
        let found = match &taken {
            Ok(report) => report.skipped.as_slice(),
            Err(StoreError::DamagedBlocks { damaged }) => damaged,
            Err(_) => &[],
        };
        for block in found {
            self.setup.catalog.files().note_damage(&block.file, &block.reason);
        }
        taken
    }

    fn try_flush(&mut self) -> Result<FlushReport, StoreError> {
        let mut report = FlushReport::default();
        // One that an earlier try has left behind, then the data since; not what comes meanwhile.
        let left_behind = self.setup.ingest.views().current().frozen.is_some();
        for _ in 0..1 + usize::from(left_behind) {
            let Some(frozen) = self.freeze()? else { break };
            let of_this = self.write(&frozen)?;
            report.blocks += of_this.blocks;
            report.rows += of_this.rows;
            report.bytes += of_this.bytes;
        }
        Ok(report)
    }

    /// The frozen head; `None` when there is nothing to flush.
    fn freeze(&self) -> Result<Option<Arc<Frozen>>, StoreError> {
        let view = self.setup.ingest.views().current();
        if let Some(frozen) = &view.frozen {
            return Ok(Some(Arc::clone(frozen)));
        }
        if view.active.since().is_none() && !view.active.holds_ended_series() {
            return Ok(None);
        }
        drop(view);
        let appends = self.setup.appends.upgrade().ok_or(StoreError::Closed)?;
        let (reply, frozen) = mpsc::sync_channel(1);
        appends.blocking_send(Request::Freeze(reply)).map_err(|_| StoreError::Closed)?;
        drop(appends);
        frozen.recv().map_err(|_| StoreError::Closed)??;
        Ok(self.setup.ingest.views().current().frozen.clone())
    }

    fn write(&self, frozen: &Arc<Frozen>) -> Result<FlushReport, StoreError> {
        let catalog = &self.setup.catalog;
        let wal_from = frozen.wal_from;
        let added = self.write_blocks(frozen)?;
        let report = FlushReport {
            blocks: added.len() as u64,
            rows: added.iter().map(|block| block.rows).sum(),
            bytes: added.iter().map(BlockMeta::size_bytes).sum(),
        };
        let edit = Edit {
            added,
            removed: Vec::new(),
            wal_from: Some(wal_from),
            next_sequence: Some(frozen.head.next_sequence()),
        };
        let version = self.commit(catalog.snapshot().number, edit)?;
        self.setup.ingest.views().change(|view| {
            view.frozen = None;
            view.blocks = version;
        });
        // The next start removes what cannot be removed now.
        if let Ok(freed) = remove_before(&*self.setup.fs, &self.setup.wal_dir, &WAL, wal_from) {
            self.setup.wal_counters.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
        Ok(report)
    }

    fn write_blocks(&self, frozen: &Frozen) -> Result<Vec<BlockMeta>, StoreError> {
        write_blocks(&frozen.head, &self.setup.catalog)
    }

    /// Commits an edit. When it certainly did not happen, the blocks that it would have added go:
    /// tries that fail for want of space must not take more of it.
    fn commit(&self, base: u64, edit: Edit) -> Result<Arc<Version>, StoreError> {
        let files = self.setup.catalog.files();
        let added: Vec<BlockMeta> = edit.added.clone();
        self.setup.catalog.commit(base, edit).map_err(|error| {
            if error.left_no_trace() {
                remove_blocks(files, &added);
            }
            error.into()
        })
    }

    /// Makes an edit of the blocks as they are in `view` durable and visible.
    pub(super) fn exchange(&self, view: &View, edit: Edit) -> Result<(), StoreError> {
        let version = self.commit(view.blocks.number, edit)?;
        self.setup.ingest.views().change(|view| view.blocks = version);
        Ok(())
    }

    /// Blocks of a kind in their order.
    pub(super) fn blocks_of(view: &View, kind: BlockKind) -> Vec<Arc<block::Block>> {
        let of_kind = view.blocks.blocks.iter().filter(|block| block.meta.kind == kind);
        of_kind.cloned().collect()
    }
}

/// Writes what a head holds as blocks, durably; the catalog does not know them yet. After a failure
/// none of them is there.
pub(super) fn write_blocks(head: &Head, catalog: &Catalog) -> Result<Vec<BlockMeta>, StoreError> {
    let mut added = Vec::new();
    let files = catalog.files();
    let written = write_each(head, catalog, &mut added).and_then(|()| match added.is_empty() {
        true => Ok(()),
        false => files.sync(),
    });
    match written {
        Ok(()) => Ok(added),
        Err(error) => {
            remove_blocks(files, &added);
            Err(error)
        }
    }
}

fn write_each(
    head: &Head,
    catalog: &Catalog,
    added: &mut Vec<BlockMeta>,
) -> Result<(), StoreError> {
    let failed = || StoreError::block("write a block");
    let mut writer = MetricWriter::default();
    head.each_series_for_block(|labels, samples, exemplars| {
        writer.push(labels, samples, exemplars)
    })
    .map_err(failed())?;
    writer.add_metadata(head.metadata(None));
    let files = catalog.files();
    let number = catalog.take_block_number();
    added.extend(writer.finish(files, number, 0).map_err(failed())?);
    for signal in [EventSignal::Logs, EventSignal::Spans] {
        let number = catalog.take_block_number();
        let written = block::events::write(files, number, signal, &head.batches(signal));
        added.extend(written.map_err(failed())?);
    }
    Ok(())
}

/// Removes the files of blocks that the catalog never knew.
pub(super) fn remove_blocks(files: &BlockFiles, blocks: &[BlockMeta]) {
    for file in blocks.iter().flat_map(|block| &block.files) {
        // The next start removes what cannot be removed now.
        let _ = files.remove(&file.name);
    }
}
