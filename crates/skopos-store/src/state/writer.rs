//! The thread that writes the state log, and compacts it.
//!
//! Constraints:
//! - The queue is bounded ([`QUEUE_LEN`] commands); a full queue makes committers wait.
//! - Within a group, a commit whose slot an earlier one of the group has taken is answered
//!   "already applied", and only after that earlier one is durable.
//! - Compaction runs between groups; commits wait for it. A compaction that fails leaves the log as
//!   it was, unless the new log could not be begun, which poisons.
//! - A failure for want of space stops the writer only until there is space: each commit tries to go
//!   on in a new file, from which everything that was not acknowledged has been left out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use skopos_model::storage::{Committed, StateCommit};
use skopos_model::{Clock, Temporality};
use tokio::sync::{mpsc, oneshot, watch};

use super::recover::{WritePlan, find_files};
use super::{COMMIT, LOG, SampleSink, StateMap, record, snapshot};
use crate::error::StoreError;
use crate::fs::Fs;
use crate::wal::frame::{CLOSED, MAX_BODY_BYTES};
use crate::wal::poison::{Poison, PoisonOnPanic};
use crate::wal::segment::SegmentWriter;
use crate::wal::writer::{LogCounters, timed_sync};

/// Most commands that wait for the writer.
pub(crate) const QUEUE_LEN: usize = 256;
/// Most commits that share an fsync.
const GROUP_LEN: usize = 64;

/// What the thread is asked to do.
pub(crate) enum Command {
    /// Make a commit durable.
    Commit(StateCommit, Reply<Committed>),
    /// Write a snapshot and begin a new log.
    Compact(Reply<()>),
}

/// Where the answer goes; nobody may be waiting any more.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// How the writer is set up.
pub(crate) struct StateSetup {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dir: PathBuf,
    /// Compact by itself from this many bytes of log on.
    pub(crate) compact_bytes: u64,
    pub(crate) poison: Poison,
    pub(crate) counters: Arc<LogCounters>,
    pub(crate) map: Arc<RwLock<StateMap>>,
    pub(crate) sink: Box<dyn SampleSink>,
}

/// Starts the thread with a new log file. It ends when all senders are gone, and lets
/// `alive` go last.
pub(crate) fn spawn(
    setup: StateSetup,
    plan: &WritePlan,
    alive: watch::Receiver<()>,
) -> Result<(mpsc::Sender<Command>, JoinHandle<()>), StoreError> {
    let log = SegmentWriter::create(&*setup.fs, &setup.dir, &LOG, plan.next_number)?;
    let (sender, receiver) = mpsc::channel(QUEUE_LEN);
    let dir = setup.dir.clone();
    let mut writer = Writer {
        setup,
        log,
        snapshot_bytes: plan.snapshot_bytes,
        older_log_bytes: plan.log_bytes,
        compact_at: 0,
    };
    writer.plan_compaction();
    writer.count_bytes();
    let thread = std::thread::Builder::new()
        .name("skopos-state".into())
        .spawn(move || {
            let _guard = PoisonOnPanic(writer.setup.poison.clone());
            writer.run(receiver);
            drop(alive);
        })
        .map_err(StoreError::io("start the writer of", &dir))?;
    Ok((sender, thread))
}

struct Writer {
    setup: StateSetup,
    log: SegmentWriter,
    snapshot_bytes: u64,
    /// Bytes of the logs between the snapshot and the current one.
    older_log_bytes: u64,
    /// Bytes of logs at which the next compaction is due.
    compact_at: u64,
}

/// A commit that is being made durable.
struct Pending {
    commit: StateCommit,
    /// Whether it is written; else its slot was taken before.
    is_new: bool,
    reply: Reply<Committed>,
}

impl Writer {
    fn run(&mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(first) = queue.blocking_recv() {
            let mut commits = Vec::new();
            let mut compactions = Vec::new();
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Commit(commit, reply) => commits.push((commit, reply)),
                    Command::Compact(reply) => compactions.push(reply),
                }
                let go_on = commits.len() < GROUP_LEN && compactions.is_empty();
                next = if go_on { queue.try_recv().ok() } else { None };
            }
            self.commit(commits);
            for reply in compactions {
                let _ = reply.send(self.compact());
            }
            if self.is_compaction_due() && self.compact().is_err() {
                // The log goes on as it is; the next try comes when it has doubled.
                self.compact_at = 2 * (self.older_log_bytes + self.log.len());
            }
        }
        if self.setup.poison.check().is_ok() {
            self.log.push(CLOSED, &[]);
            if let Err(error) = self.log.write().and_then(|()| self.log.sync()) {
                self.setup.poison.set_error(&error);
            }
        }
    }

    fn commit(&mut self, commits: Vec<(StateCommit, Reply<Committed>)>) {
        if commits.is_empty() {
            return;
        }
        if let Err(error) = self.resume() {
            return self.refuse(commits, &error);
        }
        let mut taken: HashMap<String, i64> = HashMap::new();
        let mut pending = Vec::with_capacity(commits.len());
        for (mut commit, reply) in commits {
            let id = &commit.id;
            let is_new = taken.get(&id.source).is_none_or(|last| id.slot > *last)
                && self.read_map().is_new(&id.source, id.slot);
            if is_new {
                let body = match self.prepare(&mut commit) {
                    Ok(body) => body,
                    Err(error) => {
                        let _ = reply.send(Err(error));
                        continue;
                    }
                };
                taken.insert(commit.id.source.clone(), commit.id.slot);
                self.log.push(COMMIT, &body);
            }
            pending.push(Pending { commit, is_new, reply });
        }
        if let Err(error) = self.make_durable(&pending) {
            self.setup.poison.set_error(&error);
            let commits = pending.into_iter().map(|one| (one.commit, one.reply)).collect();
            return self.refuse(commits, &error);
        }
        for one in pending {
            let _ = one.reply.send(Ok(if one.is_new {
                self.apply(one.commit);
                Committed::Applied
            } else {
                Committed::AlreadyApplied
            }));
        }
        self.count_bytes();
    }

    /// Fails when the writer has stopped, unless it was for want of space and there is some now.
    fn resume(&mut self) -> Result<(), StoreError> {
        let setup = &self.setup;
        if !setup.poison.is_no_space() {
            return setup.poison.check();
        }
        let begun = self.log.succeed(&*setup.fs, &setup.dir, &LOG, self.log.synced());
        // Want of space again changes nothing; damage does.
        let log = begun.inspect_err(|error| setup.poison.set_error(error))?;
        self.older_log_bytes +=
            if log.number() > self.log.number() { self.log.synced() } else { 0 };
        self.log = log;
        setup.poison.lift();
        self.count_bytes();
        Ok(())
    }

    /// Answers after the writer has stopped: what was durable before stays so.
    fn refuse(&self, commits: Vec<(StateCommit, Reply<Committed>)>, error: &StoreError) {
        for (commit, reply) in commits {
            let _ = reply.send(if self.read_map().is_new(&commit.id.source, commit.id.slot) {
                Err(self.setup.poison.error(error))
            } else {
                Ok(Committed::AlreadyApplied)
            });
        }
    }

    /// The commit's frame body, when it may be stored; samples that may not be are left out.
    fn prepare(&self, commit: &mut StateCommit) -> Result<Vec<u8>, StoreError> {
        let invalid = |reason: &str| StoreError::InvalidInput { reason: reason.into() };
        if commit.samples.iter().any(|series| series.temporality == Temporality::Delta) {
            // Replay must not depend on sums that other writers have moved on meanwhile.
            return Err(invalid("samples of a state commit must be cumulative"));
        }
        if !commit.samples.is_empty() {
            commit.samples = self.setup.sink.prepare(std::mem::take(&mut commit.samples));
        }
        let body = record::encode_commit(commit);
        if body.len() > MAX_BODY_BYTES {
            return Err(invalid("state commit is larger than 256 MiB"));
        }
        Ok(body)
    }

    fn make_durable(&mut self, pending: &[Pending]) -> Result<(), StoreError> {
        let new = pending.iter().filter(|one| one.is_new).count() as u64;
        if new > 0 {
            self.log.write()?;
            timed_sync(&mut self.log, &*self.setup.clock, &self.setup.counters)?;
            self.setup.counters.frames.fetch_add(new, Ordering::Relaxed);
            self.setup.counters.groups.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Samples first: who sees the state must see the samples it was made from.
    fn apply(&self, commit: StateCommit) {
        if !commit.samples.is_empty() {
            self.setup.sink.apply(commit.samples);
        }
        let mut map = self.setup.map.write().unwrap_or_else(PoisonError::into_inner);
        map.apply(commit.records);
        map.set_slot(commit.id.source, commit.id.slot);
    }

    fn is_compaction_due(&self) -> bool {
        let logs = self.older_log_bytes + self.log.len();
        self.setup.poison.check().is_ok() && logs >= self.compact_at
    }

    /// Waits until the logs are as large as the snapshot, so that the work stays in proportion.
    fn plan_compaction(&mut self) {
        self.compact_at = self.setup.compact_bytes.max(self.snapshot_bytes);
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.setup.poison.check()?;
        let (fs, dir) = (Arc::clone(&self.setup.fs), self.setup.dir.clone());
        let number = self.log.number() + 1;
        let full_log_bytes = self.log.len();
        // From here on commits go to the new log, whether or not the snapshot succeeds.
        self.log = SegmentWriter::create(&*fs, &dir, &LOG, number)
            .inspect_err(|error| self.setup.poison.set_error(error))?;
        self.older_log_bytes += full_log_bytes;
        let older = find_files(&*fs, &dir)?;
        // This thread is the one that applies samples, so none is on its way now.
        let samples_from_ms = self.setup.sink.needed_from_ms();
        let len = snapshot::write(&*fs, &dir, number, &self.read_map(), &older, samples_from_ms)?;
        self.snapshot_bytes = len;
        self.older_log_bytes = 0;
        self.plan_compaction();
        self.count_bytes();
        let old_logs = older.logs.iter().filter(|log| log.number < number);
        for file in old_logs.chain(&older.snapshot).chain(&older.obsolete) {
            // The next start removes what cannot be removed now.
            let _ = fs.remove(&file.path);
        }
        fs.sync_dir(&dir).map_err(StoreError::io("sync", &dir))
    }

    fn count_bytes(&self) {
        let bytes = self.snapshot_bytes + self.older_log_bytes + self.log.len();
        self.setup.counters.bytes.store(bytes, Ordering::Relaxed);
    }

    fn read_map(&self) -> std::sync::RwLockReadGuard<'_, StateMap> {
        self.setup.map.read().unwrap_or_else(PoisonError::into_inner)
    }
}
