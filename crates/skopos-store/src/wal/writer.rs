//! The thread that writes the WAL.
//!
//! Constraints:
//! - The queue is bounded ([`QUEUE_LEN`] frames); a full queue makes the appender wait, which makes
//!   senders wait. Nothing is dropped.
//! - A group ends when the queue is empty or [`GROUP_BYTES`] are together: an fsync never waits
//!   for more work to come.
//! - Each frame's callback is called exactly once, after durability (or, with an interval, after
//!   the write), or with the reason why not; callbacks are called in the order of the frames.
//! - After a failure everything is refused. When it was for want of space, until the appender, who
//!   must take note first, asks to [`Resume`](Job::Resume).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use skopos_model::Clock;
use tokio::sync::watch;

use super::frame::CLOSED;
use super::latency::Latency;
use super::poison::{Poison, PoisonOnPanic};
use super::replay::list_files;
use super::segment::SegmentWriter;
use super::{LogFormat, WAL};
use crate::config::SyncPolicy;
use crate::error::StoreError;
use crate::fs::Fs;

/// Most frames that wait for the writer.
const QUEUE_LEN: usize = 1024;
/// Bytes after which a group is written even if more is waiting.
const GROUP_BYTES: usize = 8 << 20;

/// Told when its frame is durable, or why it is not.
pub(crate) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A frame on its way.
pub(crate) struct Write {
    /// Frame kind.
    pub(crate) kind: u8,
    /// Encoded batch.
    pub(crate) body: Vec<u8>,
    /// Whom to tell.
    pub(crate) done: Done,
}

/// Told once everything before it has been answered.
pub(crate) type Passed = Box<dyn FnOnce() + Send>;

/// The end of a segment, asked for: what comes after it goes into the next one.
pub(crate) struct Rotate {
    /// First frames of the next segment.
    pub(crate) frames: Vec<(u8, Vec<u8>)>,
    /// Told the number of the next segment once it and the frames are durable, or why not.
    pub(crate) done: Box<dyn FnOnce(Result<u64, StoreError>) + Send>,
}

/// What the thread is asked to do.
pub(crate) enum Job {
    /// Make a frame durable.
    Write(Write),
    /// Begin a new segment: the present one is full.
    Begin,
    /// Begin a new segment with frames of its own.
    Rotate(Rotate),
    /// Tell when everything before has been answered.
    Pass(Passed),
    /// Go on after a failure for want of space, in a new segment; told whether that worked.
    Resume(Done),
}

/// Frames that share an fsync, and what is to be done after them.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    /// Anything but a write; it ends the group.
    then: Option<Job>,
}

impl Group {
    fn push(&mut self, job: Job) {
        match job {
            Job::Write(write) => self.writes.push(write),
            other => self.then = Some(other),
        }
    }
}

/// Counts of a log's writer.
#[derive(Debug, Default)]
pub(crate) struct LogCounters {
    /// Bytes on disk, all files of the log.
    pub(crate) bytes: AtomicU64,
    /// Frames on their way: handed over and not answered yet.
    pub(crate) waiting: AtomicU64,
    /// Frames written by this process.
    pub(crate) frames: AtomicU64,
    /// Groups written by this process.
    pub(crate) groups: AtomicU64,
    /// Fsyncs of frames with their durations.
    pub(crate) fsyncs: Latency,
}

/// How a writer is set up.
pub(crate) struct WriterSetup {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dir: PathBuf,
    pub(crate) sync: SyncPolicy,
    pub(crate) poison: Poison,
    pub(crate) counters: Arc<LogCounters>,
}

/// Starts the thread with its first segment, which begins with these frames, durably. It ends when all senders are gone, after it has
/// written and synced what is queued, and lets `alive` go last.
pub(crate) fn spawn(
    setup: WriterSetup,
    number: u64,
    frames: &[(u8, Vec<u8>)],
    alive: watch::Receiver<()>,
) -> Result<(SyncSender<Job>, JoinHandle<()>), StoreError> {
    let format = WAL;
    let mut segment = SegmentWriter::create(&*setup.fs, &setup.dir, &format, number)?;
    if !frames.is_empty() {
        frames.iter().for_each(|(kind, body)| segment.push(*kind, body));
        segment.write()?;
        segment.sync()?;
    }
    setup.counters.bytes.fetch_add(segment.len(), Ordering::Relaxed);
    let (sender, receiver) = mpsc::sync_channel(QUEUE_LEN);
    let dir = setup.dir.clone();
    let acknowledged = segment.len();
    let mut writer = Writer { setup, format, segment, acknowledged, sync_due: None };
    let thread = std::thread::Builder::new()
        .name("skopos-wal".into())
        .spawn(move || {
            let _guard = PoisonOnPanic(writer.setup.poison.clone());
            writer.run(&receiver);
            drop(alive);
        })
        .map_err(StoreError::io("start the writer of", &dir))?;
    Ok((sender, thread))
}

struct Writer {
    setup: WriterSetup,
    format: LogFormat,
    segment: SegmentWriter,
    /// Bytes of the segment up to the last frame that was acknowledged.
    acknowledged: u64,
    /// With an interval: when the oldest unsynced frame must be synced, on the monotonic clock.
    sync_due: Option<Duration>,
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Job>) {
        while let Some(Group { writes, then }) = self.next_group(queue) {
            if !writes.is_empty() {
                self.commit(writes);
            }
            match then {
                Some(Job::Begin) => self.begin(),
                Some(Job::Rotate(Rotate { frames, done })) => done(self.begin_segment(frames)),
                Some(Job::Pass(passed)) => passed(),
                Some(Job::Resume(done)) => done(self.resume()),
                Some(Job::Write(_)) | None => {}
            }
        }
        if self.setup.poison.check().is_ok() {
            self.segment.push(CLOSED, &[]);
            if let Err(error) = self.segment.write().and_then(|()| self.segment.sync()) {
                self.setup.poison.set_error(&error);
            }
        }
    }

    /// What is to be written together; empty after an interval's fsync; `None` at the end.
    fn next_group(&mut self, queue: &Receiver<Job>) -> Option<Group> {
        let first = match self.sync_due {
            None => queue.recv().ok()?,
            Some(due) => {
                let left = due.saturating_sub(self.setup.clock.monotonic());
                match queue.recv_timeout(left) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.sync_or_poison();
                        return Some(Group::default());
                    }
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        let mut group = Group::default();
        group.push(first);
        let mut bytes: usize = group.writes.iter().map(|write| write.body.len()).sum();
        while group.then.is_none() && bytes < GROUP_BYTES && group.writes.len() < QUEUE_LEN {
            let Ok(job) = queue.try_recv() else { break };
            group.push(job);
            bytes += group.writes.last().map_or(0, |write| write.body.len());
        }
        Some(group)
    }

    fn commit(&mut self, group: Vec<Write>) {
        self.setup.counters.waiting.fetch_sub(group.len() as u64, Ordering::Relaxed);
        let written = self.setup.poison.check().and_then(|()| self.write(&group));
        if let Err(error) = written {
            // The first failure names its file; everyone is told the same.
            self.setup.poison.set_error(&error);
            for write in group {
                (write.done)(self.setup.poison.check());
            }
            return;
        }
        self.acknowledged = self.segment.len();
        self.setup.counters.frames.fetch_add(group.len() as u64, Ordering::Relaxed);
        self.setup.counters.groups.fetch_add(1, Ordering::Relaxed);
        for write in group {
            (write.done)(Ok(()));
        }
    }

    fn write(&mut self, group: &[Write]) -> Result<(), StoreError> {
        let before = self.segment.len();
        for write in group {
            self.segment.push(write.kind, &write.body);
        }
        self.segment.write()?;
        self.setup.counters.bytes.fetch_add(self.segment.len() - before, Ordering::Relaxed);
        match self.setup.sync {
            SyncPolicy::EachCommit => self.sync(),
            SyncPolicy::Interval(interval) => {
                let now = self.setup.clock.monotonic();
                let due = *self.sync_due.get_or_insert(now + interval);
                if now < due { Ok(()) } else { self.sync() }
            }
        }
    }

    /// Begins a segment; a failure is told to those who would write to it.
    fn begin(&mut self) {
        // After a failure those who would write to it are refused anyway.
        if self.setup.poison.check().is_err() {
            return;
        }
        match self.rotate() {
            Ok(()) => {
                self.setup.counters.bytes.fetch_add(self.segment.len(), Ordering::Relaxed);
            }
            Err(error) => self.setup.poison.set_error(&error),
        }
    }

    /// Begins a segment with these frames, durably whatever the sync policy.
    fn begin_segment(&mut self, frames: Vec<(u8, Vec<u8>)>) -> Result<u64, StoreError> {
        self.setup.poison.check()?;
        let begun = self.rotate().and_then(|()| {
            for (kind, body) in frames {
                self.segment.push(kind, &body);
            }
            self.segment.write()?;
            self.sync()
        });
        if let Err(error) = begun {
            self.setup.poison.set_error(&error);
            return Err(error);
        }
        self.acknowledged = self.segment.len();
        self.setup.counters.bytes.fetch_add(self.segment.len(), Ordering::Relaxed);
        Ok(self.segment.number())
    }

    /// Ends this segment and begins the next. Nothing goes into the next before this one is
    /// durable.
    fn rotate(&mut self) -> Result<(), StoreError> {
        if self.segment.is_dirty() {
            self.sync()?;
        }
        let next = self.segment.number() + 1;
        let setup = &self.setup;
        self.segment = SegmentWriter::create(&*setup.fs, &setup.dir, &self.format, next)?;
        self.acknowledged = self.segment.len();
        Ok(())
    }

    /// Goes on in a new segment, when the failure was for want of space.
    fn resume(&mut self) -> Result<(), StoreError> {
        let Writer { setup, format, segment, .. } = self;
        if !setup.poison.is_no_space() {
            return setup.poison.check();
        }
        let begun = segment.succeed(&*setup.fs, &setup.dir, format, self.acknowledged);
        // Want of space again changes nothing; damage does.
        self.segment = begun.inspect_err(|error| setup.poison.set_error(error))?;
        self.acknowledged = self.segment.len();
        self.sync_due = None;
        let files = list_files(&*setup.fs, &setup.dir, format)?;
        setup.counters.bytes.store(files.iter().map(|file| file.len).sum(), Ordering::Relaxed);
        setup.poison.lift();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.sync_due = None;
        timed_sync(&mut self.segment, &*self.setup.clock, &self.setup.counters)
    }

    fn sync_or_poison(&mut self) {
        if self.setup.poison.check().is_ok()
            && let Err(error) = self.sync()
        {
            self.setup.poison.set_error(&error);
        }
    }
}

/// Syncs a segment and counts how long it took.
pub(crate) fn timed_sync(
    segment: &mut SegmentWriter,
    clock: &dyn Clock,
    counters: &LogCounters,
) -> Result<(), StoreError> {
    let started: Duration = clock.monotonic();
    segment.sync()?;
    counters.fsyncs.observe(clock.monotonic().saturating_sub(started));
    Ok(())
}
