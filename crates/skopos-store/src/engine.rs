//! The [`Store`]: one open data folder, behind the storage traits.
//!
//! How an append travels:
//!
//! ```text
//! append() ─▶ queue ─▶ appender ─▶ queue ─▶ WAL thread ─▶ queue ─▶ applier ─▶ answer
//!                      prepare,             write group,          apply to
//!                      encode               one fsync             the head
//! ```
//!
//! Constraints:
//! - One thread each prepares, writes and applies, so that the WAL's order is the head's order; each
//!   works on other batches while the disk is busy.
//! - A batch is durable before it is in the head ([`append`]): what is refused is never read, and
//!   nobody sees what a crash could take back.
//! - State commits go their own way ([`state`](crate::state)) and meet the head under the same
//!   lock as the appender.
//! - A flusher thread moves the head to blocks ([`flush`]); reads see one [`view`](view::View) of
//!   heads and blocks.
//! - Nothing that waits or works long runs on the caller's async thread.

mod append;
mod cardinality;
mod compact;
mod disk;
mod flush;
mod ingest;
mod open;
mod read;
mod segment;
mod stats;
mod view;

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use skopos_model::storage::{
    Append, Committed, ErrorKind, StateCommit, StateKind, StateLog, StateRecord, StorageError,
};
use skopos_model::{Appended, SignalBatch};
use tokio::sync::{mpsc, oneshot, watch};

use crate::block::Block;
use crate::catalog::Catalog;
use crate::error::StoreError;
use crate::fs::LockGuard;
use crate::recovery::{RecoveryReport, ReplayProgress};
use crate::snapshot::{Damaged, SnapshotReport};
use crate::state::StateMap;
use crate::state::writer::Command;
use crate::verify::DamagedBlock;
use crate::wal::poison::Poison;
use crate::wal::writer::LogCounters;
use append::Request;
pub use disk::DiskStats;
use flush::FlushCounters;
pub use flush::{FlushReport, MaintenanceReport};
use ingest::Ingest;
pub use stats::{BlockStats, LogStats, StoreHealth, StoreStats};

/// One open data folder.
///
/// Cheap to share behind an `Arc`. Dropping it waits for what is queued to be written; better is
/// [`close`](Store::close).
pub struct Store {
    ingest: Arc<Ingest>,
    flush_counters: Arc<FlushCounters>,
    catalog: Arc<Catalog>,
    max_head_bytes: u64,
    state: Arc<RwLock<StateMap>>,
    wal: LogHandle,
    state_log: LogHandle,
    progress: ReplayProgress,
    report: RecoveryReport,
    /// Empty once closed.
    running: RwLock<Option<Running>>,
    /// Each thread holds a receiver; all gone means all ended.
    ended: watch::Sender<()>,
    /// Taken by whoever waits for the threads.
    threads: Mutex<Option<(Vec<JoinHandle<()>>, LockGuard)>>,
}

/// What is known of a log from outside its thread.
#[derive(Clone)]
struct LogHandle {
    poison: Poison,
    counters: Arc<LogCounters>,
}

/// The ways to the threads; dropping them tells the threads to end.
struct Running {
    appends: mpsc::Sender<Request>,
    commits: mpsc::Sender<Command>,
    flushes: SyncSender<flush::Command>,
}

impl Store {
    /// What opening found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Counts for `/metrics`; cheap.
    pub fn stats(&self) -> StoreStats {
        stats::collect(self)
    }

    /// What a readiness probe wants to know; cheap.
    pub fn health(&self) -> StoreHealth {
        let open = self.running(|running| running.is_some());
        let for_good = |log: &LogHandle| log.poison.cause().filter(|_| log.poison.is_for_good());
        let passing = |log: &LogHandle| {
            let error = log.poison.check().err()?;
            matches!(error, StoreError::NoSpace { .. }).then(|| error.to_string())
        };
        let floor = self.ingest.disk().low().map(|low| low.to_string());
        StoreHealth {
            open,
            wal_writable: open && self.wal.poison.check().is_ok(),
            state_writable: open && self.state_log.poison.check().is_ok(),
            wal_failure: for_good(&self.wal),
            state_failure: for_good(&self.state_log),
            disk_failure: floor.or_else(|| passing(&self.wal)).or_else(|| passing(&self.state_log)),
            flush_failure: lock(&self.flush_counters.failure).clone(),
            head_full: self.ingest.views().current().head_bytes() > self.max_head_bytes,
            replay_finished: self.progress.is_finished(),
            replay_fraction: self.progress.fraction(),
            damaged_blocks: self.damaged_blocks(),
        }
    }

    /// Blocks of which damage was found since the start, by reads, compaction or snapshots.
    fn damaged_blocks(&self) -> Vec<DamagedBlock> {
        let damaged = self.catalog.files().damaged();
        if damaged.is_empty() {
            return Vec::new();
        }
        let view = self.ingest.views().current();
        let found = |block: &Arc<Block>| {
            let mut files = block.meta.files.iter();
            files.find_map(|file| {
                let reason = damaged.get(&file.name)?;
                Some(DamagedBlock::new(&block.meta, &file.name, reason))
            })
        };
        view.blocks.blocks.iter().filter_map(found).collect()
    }

    /// Writes and syncs what is queued, marks the logs as closed, and lets the data folder go.
    /// Appends and commits from now on fail with [`ErrorKind::Unavailable`]; reads go on. Fails when
    /// a log could not be brought to a good end. Closing again does nothing.
    pub async fn close(&self) -> Result<(), StorageError> {
        drop(self.take_running());
        self.ended.closed().await;
        self.join();
        self.wal.poison.check().and_then(|()| self.state_log.poison.check())?;
        Ok(())
    }

    /// Moves everything appended before the call from the head to blocks. Done by itself by size
    /// and age ([`BlockConfig`](crate::BlockConfig)); for tests, snapshots and tools.
    pub async fn flush(&self) -> Result<FlushReport, StorageError> {
        self.flush_command(flush::Command::Flush).await
    }

    /// Removes blocks that retention does not keep, and merges small ones. Done by itself.
    pub async fn maintain(&self) -> Result<MaintenanceReport, StorageError> {
        self.flush_command(flush::Command::Maintain).await
    }

    /// Copies everything that was acknowledged before the call into a new folder, consistently, while
    /// appends and queries go on. Blocks are verified, and linked where the file system can.
    pub async fn snapshot(
        &self,
        to: &Path,
        damaged: Damaged,
    ) -> Result<SnapshotReport, StorageError> {
        let to = to.to_path_buf();
        self.flush_command(|reply| flush::Command::Snapshot(to, damaged, reply)).await
    }

    async fn flush_command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> flush::Command,
    ) -> Result<T, StorageError> {
        let sender = self.running(|running| running.map(|running| running.flushes.clone()));
        let sender = sender.ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        sender.try_send(command(reply)).map_err(|error| match error {
            TrySendError::Full(_) => {
                let message = "flusher has enough to do: retry later";
                StorageError::new(ErrorKind::Unavailable, message)
            }
            TrySendError::Disconnected(_) => StoreError::Closed.into(),
        })?;
        drop(sender);
        Ok(answer.await.map_err(|_| StoreError::Closed)??)
    }

    fn take_running(&self) -> Option<Running> {
        self.running.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn running<T>(&self, ask: impl FnOnce(Option<&Running>) -> T) -> T {
        ask(self.running.read().unwrap_or_else(PoisonError::into_inner).as_ref())
    }

    fn join(&self) {
        let taken = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((threads, lock)) = taken {
            for thread in threads {
                // A thread that panicked has said so on stderr; its log counts as poisoned.
                let _ = thread.join();
            }
            drop(lock);
        }
    }

    async fn commit_command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StorageError> {
        let sender = self.running(|running| running.map(|running| running.commits.clone()));
        let sender = sender.ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let gone = |_| self.state_log.poison.error("its thread has ended");
        sender.send(command(reply)).await.map_err(|_| gone(()))?;
        Ok(answer.await.map_err(|_| gone(()))??)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.take_running());
        self.join();
    }
}

#[async_trait]
impl Append for Store {
    async fn append(&self, batch: SignalBatch) -> Result<Appended, StorageError> {
        if batch.is_empty() {
            return Ok(Appended::default());
        }
        let sender = self.running(|running| running.map(|running| running.appends.clone()));
        let sender = sender.ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let gone = |_| self.wal.poison.error("its thread has ended");
        sender.send(Request::Append(batch, reply)).await.map_err(|_| gone(()))?;
        Ok(answer.await.map_err(|_| gone(()))??)
    }
}

#[async_trait]
impl StateLog for Store {
    async fn commit(&self, commit: StateCommit) -> Result<Committed, StorageError> {
        self.commit_command(|reply| Command::Commit(commit, reply)).await
    }

    async fn load(&self, kind: StateKind) -> Result<Vec<StateRecord>, StorageError> {
        Ok(self.state.read().map_err(broken)?.load(kind))
    }

    async fn last_slot(&self, source: &str) -> Result<Option<i64>, StorageError> {
        Ok(self.state.read().map_err(broken)?.last_slot(source))
    }

    async fn compact(&self) -> Result<(), StorageError> {
        self.commit_command(Command::Compact).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken<T>(_: PoisonError<T>) -> StorageError {
    StorageError::new(ErrorKind::Internal, "state in memory is unusable after a panic")
}
