//! The threads between a sender and the WAL, and between the WAL and the head.
//!
//! The appender prepares and encodes; the applier makes readable what the WAL has made durable, in
//! the same order, and answers. So nothing that was refused can ever be read.
//!
//! Constraints:
//! - Batches on their way are judged by the head without those before them that are on their way
//!   too: limits of series may be exceeded by what is on its way at a time, and no more. Sums of
//!   deltas are the exception and always know them; when batches on their way are refused, those
//!   sums are forgotten before the next batch is prepared.
//! - The queue to the applier is bounded ([`QUEUE_LEN`] batches); when it is full the WAL waits,
//!   which makes senders wait. Nothing is dropped.
//! - A frame is written to the segment that was the current one when it was encoded: the series in it
//!   have numbers that hold for that segment. So the appender, not the writer, says where one ends.
//! - Before the head is exchanged or the WAL goes on after a failure, everything on its way is let
//!   through or refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SendError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use skopos_model::{Appended, Clock, MetricBatch, SignalBatch};
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};

use super::flush::Command;
use super::ingest::{Ingest, Taken};
use super::segment::{Frame, Segment};
use crate::error::StoreError;
use crate::wal::poison::{Poison, PoisonOnPanic};
use crate::wal::writer::{Job, LogCounters, Rotate, Write};

/// What the appender is asked to do.
pub(super) enum Request {
    /// Store a batch.
    Append(SignalBatch, Reply),
    /// Give the head a successor; answered once the WAL has begun a new segment.
    Freeze(SyncSender<Result<(), StoreError>>),
}

/// Where the answer goes. Who gave up waiting is not told; dropping the answer is right.
type Reply = oneshot::Sender<Result<Appended, StoreError>>;

/// What the applier is asked to do.
enum Apply {
    /// Make a durable batch readable.
    Batch(Taken, Reply),
    /// Tell that everything before is done.
    Pass(SyncSender<()>),
}

/// Most batches that wait for the applier.
const QUEUE_LEN: usize = 256;
/// After a failed try to go on, how long until the next.
const RESUME_EVERY: Duration = Duration::from_secs(1);

/// How the threads are set up.
pub(super) struct AppendSetup {
    pub(super) ingest: Arc<Ingest>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) poison: Poison,
    pub(super) wal: SyncSender<Job>,
    /// The segment that the writer has begun.
    pub(super) segment: Segment,
    pub(super) counters: Arc<LogCounters>,
    pub(super) flusher: SyncSender<Command>,
}

/// Starts both threads. They end when all senders of `queue` are gone, and let go of the WAL then.
pub(super) fn spawn(
    setup: AppendSetup,
    mut queue: async_mpsc::Receiver<Request>,
    alive: &watch::Receiver<()>,
) -> std::io::Result<[JoinHandle<()>; 2]> {
    let AppendSetup { ingest, clock, poison, wal, segment, counters, flusher } = setup;
    let (applier, to_apply) = mpsc::sync_channel(QUEUE_LEN);
    let apply_thread = {
        let (ingest, poison, alive) = (Arc::clone(&ingest), poison.clone(), alive.clone());
        std::thread::Builder::new().name("skopos-apply".into()).spawn(move || {
            let _guard = PoisonOnPanic(poison);
            apply_all(&ingest, &to_apply, &flusher);
            drop(alive);
        })?
    };
    let alive = alive.clone();
    let append_thread =
        std::thread::Builder::new().name("skopos-append".into()).spawn(move || {
            let _guard = PoisonOnPanic(poison.clone());
            let resume_at = Duration::ZERO;
            let mut appender =
                Appender { ingest, clock, poison, wal, segment, counters, applier, resume_at };
            while let Some(request) = queue.blocking_recv() {
                match request {
                    Request::Append(batch, reply) => appender.append(batch, reply),
                    Request::Freeze(reply) => drop(reply.send(appender.freeze())),
                }
            }
            drop(alive);
        })?;
    Ok([append_thread, apply_thread])
}

fn apply_all(ingest: &Ingest, queue: &Receiver<Apply>, flusher: &SyncSender<Command>) {
    for apply in queue {
        match apply {
            Apply::Batch(taken, reply) => {
                drop(reply.send(Ok(ingest.apply(taken))));
                if ingest.wants_flush() {
                    // A full queue means that the flusher has enough to look at.
                    let _ = flusher.try_send(Command::Look);
                }
            }
            Apply::Pass(done) => drop(done.send(())),
        }
    }
}

struct Appender {
    ingest: Arc<Ingest>,
    clock: Arc<dyn Clock>,
    poison: Poison,
    wal: SyncSender<Job>,
    segment: Segment,
    counters: Arc<LogCounters>,
    applier: SyncSender<Apply>,
    /// The next try to go on after a failure, on the monotonic clock.
    resume_at: Duration,
}

impl Appender {
    fn append(&mut self, batch: SignalBatch, reply: Reply) {
        let (taken, frame) = match self.take_in(batch) {
            Ok(taken) => taken,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let Some((kind, body)) = frame else {
            // All of it was refused, which is told in order with what was not.
            return self.hand_over(Apply::Batch(taken, reply));
        };
        let (applier, poison) = (self.applier.clone(), self.poison.clone());
        let done = Box::new(move |written: Result<(), StoreError>| match written {
            Ok(()) => hand_over(&applier, &poison, Apply::Batch(taken, reply)),
            Err(error) => drop(reply.send(Err(error))),
        });
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(SendError(Job::Write(refused))) =
            self.wal.send(Job::Write(Write { kind, body, done }))
        {
            (refused.done)(Err(self.ended()));
        }
    }

    /// A batch that may be stored, with its frame; without one when nothing of it may.
    fn take_in(&mut self, batch: SignalBatch) -> Result<(Taken, Option<Frame>), StoreError> {
        self.ingest.disk().check()?;
        self.go_on()?;
        let taken = self.ingest.prepare(batch)?;
        if taken.batch.is_empty() {
            return Ok((taken, None));
        }
        if self.segment.is_full() {
            self.wal.send(Job::Begin).map_err(|_| self.ended())?;
            self.segment.begin();
        }
        let frame = self.segment.frame(&taken.batch)?;
        Ok((taken, Some(frame)))
    }

    /// Fails when the WAL has stopped, unless it was for want of space and there is some now.
    fn go_on(&mut self) -> Result<(), StoreError> {
        if !self.poison.is_no_space() {
            return self.poison.check();
        }
        let now = self.clock.monotonic();
        if now < self.resume_at {
            return self.poison.check();
        }
        self.resume_at = now.saturating_add(RESUME_EVERY);
        self.let_through()?;
        // Those refused are in the sums of deltas, but nowhere else.
        self.ingest.forget_sums();
        let (done, resumed) = mpsc::sync_channel(1);
        let done = Box::new(move |result| drop(done.send(result)));
        self.wal.send(Job::Resume(done)).map_err(|_| self.ended())?;
        resumed.recv().map_err(|_| self.ended())??;
        self.segment.begin();
        self.resume_at = Duration::ZERO;
        Ok(())
    }

    /// Exchanges the head between two batches, so that the WAL's segments and the heads hold the
    /// same.
    fn freeze(&mut self) -> Result<(), StoreError> {
        self.go_on()?;
        self.let_through()?;
        let ingest = Arc::clone(&self.ingest);
        ingest.freeze(|carried| self.begin_segment(carried))
    }

    /// Begins a segment with what is carried over; its number, once it is durable.
    fn begin_segment(&mut self, carried: &MetricBatch) -> Result<u64, StoreError> {
        self.segment.begin();
        let frames = self.segment.carried_frames(carried);
        let (done, begun) = mpsc::sync_channel(1);
        let done = Box::new(move |result| drop(done.send(result)));
        self.wal.send(Job::Rotate(Rotate { frames, done })).map_err(|_| self.ended())?;
        begun.recv().map_err(|_| self.ended())?
    }

    /// Waits until everything on its way is applied or refused.
    fn let_through(&self) -> Result<(), StoreError> {
        let (done, passed) = mpsc::sync_channel(1);
        let (applier, poison) = (self.applier.clone(), self.poison.clone());
        let pass = Box::new(move || hand_over(&applier, &poison, Apply::Pass(done)));
        self.wal.send(Job::Pass(pass)).map_err(|_| self.ended())?;
        passed.recv().map_err(|_| self.ended())
    }

    fn hand_over(&self, apply: Apply) {
        hand_over(&self.applier, &self.poison, apply);
    }

    fn ended(&self) -> StoreError {
        self.poison.error("its thread has ended")
    }
}

/// Gives something to the applier; when that is gone, nobody may believe that it was applied.
fn hand_over(applier: &SyncSender<Apply>, poison: &Poison, apply: Apply) {
    if let Err(SendError(Apply::Batch(_, reply))) = applier.send(apply) {
        drop(reply.send(Err(poison.error("the thread that applies has ended"))));
    }
}
