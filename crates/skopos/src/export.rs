//! Export by OTLP, over http/protobuf or gRPC: one mechanism for every signal.
//!
//! Each signal has a bounded queue and a thread of its own that takes batches from it, posts them, waits and retries as the
//! OTLP specification says, and counts what it could not deliver. No async runtime takes part, so none can deadlock; the
//! host's threads only ever push onto a queue. What does not fit into the queue is dropped and counted. Why something does not
//! arrive is told by [`trouble`].
//!
//! A flush makes the thread send at once, and waits as long as its caller wants to; what it had no time for stays and is sent
//! later. Only the end shortens the patience with a collector.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::{Batching, Endpoint};
use crate::filter;

pub(crate) mod logs;
pub(crate) mod metrics;
mod pending;
pub(crate) mod spans;
mod transport;
pub(crate) mod trouble;

use transport::{Outcome, Transport};
use trouble::{Latest, Trouble, Voice};

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// One kind of telemetry: how its items become a request.
pub(crate) trait Signal: Send + Sync + 'static {
    type Item: Send + 'static;

    /// For names of threads and metrics: `logs`, `spans`.
    const NAME: &'static str;

    /// Encodes one export request.
    fn encode(&self, items: Vec<Self::Item>) -> Vec<u8>;

    /// Returns how many items the response says were refused, and why.
    fn rejected(&self, response: &[u8]) -> (u64, String);
}

/// What became of the items of one signal.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) exported: AtomicU64,
    pub(crate) dropped_queue_full: AtomicU64,
    pub(crate) dropped_refused: AtomicU64,
    pub(crate) dropped_unreachable: AtomicU64,
    /// Left behind at the end or come after it; or there never was a thread to send them.
    pub(crate) dropped_closed: AtomicU64,
    pub(crate) failed_requests: AtomicU64,
    /// For a collector that nobody has named and that was not there: not lost, never promised to anybody.
    pub(crate) unheard: AtomicU64,
}

impl Counts {
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_queue_full.load(Ordering::Relaxed)
            + self.not_delivered()
            + self.dropped_closed.load(Ordering::Relaxed)
    }

    /// What was tried in vain.
    fn not_delivered(&self) -> u64 {
        self.dropped_refused.load(Ordering::Relaxed)
            + self.dropped_unreachable.load(Ordering::Relaxed)
    }
}

/// Something that knows what became of its items.
pub(crate) trait Counted: Clone + Send + Sync + 'static {
    fn counts(&self) -> &Counts;

    /// Whether items are let go where nobody of this machine listens.
    fn is_local(&self) -> bool;

    /// Returns what keeps items from arriving just now.
    fn trouble(&self) -> Option<String>;
}

impl<S: Signal> Counted for Exporter<S> {
    fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    fn is_local(&self) -> bool {
        self.shared.is_local
    }

    fn trouble(&self) -> Option<String> {
        self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends items in batches. Cloning shares it.
pub(crate) struct Exporter<S: Signal> {
    shared: Arc<Shared<S>>,
}

impl<S: Signal> Clone for Exporter<S> {
    fn clone(&self) -> Self {
        Exporter { shared: self.shared.clone() }
    }
}

impl<S: Signal> std::fmt::Debug for Exporter<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Exporter").field("signal", &S::NAME).finish_non_exhaustive()
    }
}

struct Shared<S: Signal> {
    signal: S,
    batching: Batching,
    state: Mutex<State<S::Item>>,
    /// For the thread: a batch is full, or a flush or the end is asked for.
    wake: Condvar,
    /// For those who flush: a batch was dealt with.
    settled: Condvar,
    counts: Counts,
    latest: Latest,
    is_local: bool,
}

struct State<T> {
    queue: VecDeque<T>,
    /// Items taken from the queue and not dealt with yet.
    in_flight: usize,
    /// Items that were dealt with, since the start. They are in the order of the queue.
    settled: u64,
    /// Those who flush just now: while there are any, nothing waits for its batch to fill.
    flushing: usize,
    /// When all ends: nothing is tried beyond it.
    ends_at: Option<Instant>,
    is_closed: bool,
    /// Items that were left behind when it was closed.
    left: u64,
}

impl<T> State<T> {
    /// Items that were not dealt with yet.
    fn waiting(&self) -> u64 {
        (self.queue.len() + self.in_flight) as u64
    }
}

/// A flush that has begun, to be waited for.
#[must_use]
pub(crate) struct Flush {
    deadline: Instant,
    /// How many will have been dealt with when it is done: who goes on logging makes it wait no longer. Nothing for the last one,
    /// which waits for whatever comes.
    goal: Option<u64>,
    /// What had been tried in vain before.
    before: u64,
}

impl<S: Signal> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State<S::Item>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a batch is tried that was first tried at this time.
    fn give_up(&self, state: &State<S::Item>, started: Instant) -> Instant {
        let patience = started + self.batching.patience;
        state.ends_at.map_or(patience, |end| end.min(patience))
    }
}

impl<S: Signal> Exporter<S> {
    /// Starts the exporting thread.
    pub(crate) fn spawn(
        signal: S,
        endpoint: &Endpoint,
        batching: Batching,
        voice: Voice,
    ) -> Exporter<S> {
        let mut trouble = Trouble::new(voice, S::NAME, endpoint);
        let shared = Arc::new(Shared {
            signal,
            batching,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                in_flight: 0,
                settled: 0,
                flushing: 0,
                ends_at: None,
                is_closed: false,
                left: 0,
            }),
            wake: Condvar::new(),
            settled: Condvar::new(),
            counts: Counts::default(),
            latest: trouble.latest(),
            is_local: endpoint.local.is_some(),
        });
        let transport = Transport::new(endpoint);
        let for_thread = shared.clone();
        let started =
            std::thread::Builder::new().name(format!("skopos-{}", S::NAME)).spawn(move || {
                filter::silence_thread();
                run(&for_thread, &transport, &mut trouble);
            });
        if started.is_err() {
            // No thread to be had: everything is counted as dropped.
            shared.lock().is_closed = true;
        }
        Exporter { shared }
    }

    /// Queues an item, or drops it when the queue is full.
    pub(crate) fn push(&self, item: S::Item) {
        let counts = &self.shared.counts;
        let mut state = self.shared.lock();
        if state.is_closed || state.queue.len() >= self.shared.batching.queue {
            let reason =
                if state.is_closed { &counts.dropped_closed } else { &counts.dropped_queue_full };
            drop(state);
            reason.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.queue.push_back(item);
        let waiting = state.queue.len();
        drop(state);
        // The first item starts the delay, a full batch ends it.
        if waiting == 1 || waiting == self.shared.batching.batch {
            self.shared.wake.notify_one();
        }
    }

    /// Begins to send what is queued, without waiting for it; `is_last` when nothing is to be tried beyond the deadline.
    pub(crate) fn begin_flush(&self, deadline: Instant, is_last: bool) -> Flush {
        let mut state = self.shared.lock();
        state.flushing += 1;
        if is_last {
            state.ends_at = Some(deadline);
        }
        let goal = (!is_last).then(|| state.settled + state.waiting());
        let before = self.shared.counts.not_delivered();
        drop(state);
        self.shared.wake.notify_one();
        Flush { deadline, goal, before }
    }

    /// Waits for a flush, at most until its deadline; returns how many items did not arrive.
    pub(crate) fn end_flush(&self, flush: &Flush) -> u64 {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            let waiting = match flush.goal {
                Some(goal) => goal.saturating_sub(state.settled),
                None => state.waiting(),
            };
            let patience = flush.deadline.saturating_duration_since(clock::instant());
            if waiting == 0 || state.is_closed || patience == Duration::ZERO {
                state.flushing -= 1;
                let in_vain = shared.counts.not_delivered().saturating_sub(flush.before);
                return waiting + in_vain;
            }
            state = shared
                .settled
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the last flush and takes nothing more; returns how many items were left behind, each time it is asked.
    pub(crate) fn close(&self, flush: &Flush) -> u64 {
        self.end_flush(flush);
        let mut state = self.shared.lock();
        if !state.is_closed {
            // Counted where it is decided: what is on its way now is told as left, and by nobody else.
            state.left = state.waiting();
            self.shared.counts.dropped_closed.fetch_add(state.left, Ordering::Relaxed);
        }
        let left = state.left;
        self.stop(state);
        left
    }

    /// Ends the thread and sends nothing more.
    pub(crate) fn abandon(&self) {
        self.stop(self.shared.lock());
    }

    fn stop(&self, mut state: MutexGuard<'_, State<S::Item>>) {
        state.is_closed = true;
        state.queue.clear();
        drop(state);
        self.shared.wake.notify_one();
        self.shared.settled.notify_all();
    }
}

fn run<S: Signal>(shared: &Shared<S>, transport: &Transport, trouble: &mut Trouble) {
    loop {
        let batch = {
            let mut state = shared.lock();
            // Wait for the first item, then for more until the batch is full or the delay is over.
            let mut send_at: Option<Instant> = None;
            loop {
                if state.is_closed {
                    return;
                }
                let now = clock::instant();
                if !state.queue.is_empty() {
                    let due = *send_at.get_or_insert(now + shared.batching.delay);
                    let is_due = state.queue.len() >= shared.batching.batch
                        || state.flushing > 0
                        || now >= due;
                    if is_due {
                        break;
                    }
                    state = shared
                        .wake
                        .wait_timeout(state, due - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                } else {
                    state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
            let count = state.queue.len().min(shared.batching.batch);
            state.in_flight = count;
            state.queue.drain(..count).collect::<Vec<_>>()
        };
        let count = batch.len() as u64;
        let delivered = if transport.is_there() {
            let body = shared.signal.encode(batch);
            deliver(shared, transport, trouble, &body, count)
        } else {
            Delivered { unheard: count, ..Delivered::default() }
        };
        let mut state = shared.lock();
        state.in_flight = 0;
        state.settled += count;
        if !state.is_closed {
            let counts = &shared.counts;
            counts.exported.fetch_add(delivered.exported, Ordering::Relaxed);
            counts.dropped_refused.fetch_add(delivered.refused, Ordering::Relaxed);
            counts.dropped_unreachable.fetch_add(delivered.unreachable, Ordering::Relaxed);
            counts.unheard.fetch_add(delivered.unheard, Ordering::Relaxed);
        }
        drop(state);
        shared.settled.notify_all();
    }
}

/// What became of the items of one batch.
#[derive(Default)]
struct Delivered {
    exported: u64,
    refused: u64,
    unreachable: u64,
    unheard: u64,
}

/// Posts one batch until it is taken, refused, or not worth more patience.
fn deliver<S: Signal>(
    shared: &Shared<S>,
    transport: &Transport,
    trouble: &mut Trouble,
    body: &[u8],
    count: u64,
) -> Delivered {
    let counts = &shared.counts;
    let started = clock::instant();
    let mut backoff = FIRST_BACKOFF;
    loop {
        let give_up = shared.give_up(&shared.lock(), started);
        let (wait, cause) = match transport.post(body, give_up) {
            Outcome::Taken { response } => {
                trouble.is_over();
                let (rejected, why) = shared.signal.rejected(&response);
                let rejected = rejected.min(count);
                if rejected > 0 {
                    trouble.refused_part(rejected, &why, clock::instant());
                }
                return Delivered {
                    exported: count - rejected,
                    refused: rejected,
                    ..Delivered::default()
                };
            }
            // Whoever has that port was not asked to take anything.
            _ if transport.is_local() => {
                return Delivered { unheard: count, ..Delivered::default() };
            }
            Outcome::Refused { cause } => {
                counts.failed_requests.fetch_add(1, Ordering::Relaxed);
                trouble.failed(&cause, clock::instant());
                trouble.lost(count, &cause, clock::instant());
                return Delivered { refused: count, ..Delivered::default() };
            }
            Outcome::TryAgain { after, cause } => {
                counts.failed_requests.fetch_add(1, Ordering::Relaxed);
                trouble.failed(&cause, clock::instant());
                (after.unwrap_or(backoff), cause)
            }
        };
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        if !pause(shared, wait, started) {
            trouble.lost(count, &cause, clock::instant());
            return Delivered { unreachable: count, ..Delivered::default() };
        }
    }
}

/// Waits before the next attempt; returns whether there should be one.
fn pause<S: Signal>(shared: &Shared<S>, wait: Duration, started: Instant) -> bool {
    let until = clock::instant() + wait;
    let mut state = shared.lock();
    loop {
        let now = clock::instant();
        if state.is_closed || until >= shared.give_up(&state, started) {
            return false;
        }
        if now >= until {
            return true;
        }
        // The end wakes this up, so that its deadline counts at once.
        state =
            shared.wake.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
    }
}
