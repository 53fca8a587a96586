//! Metrics, read from the registry at an interval and pushed.
//!
//! Unlike spans and log records nothing is queued: what could not be sent is told again at the next turn, because a sum
//! contains all that came before, and a difference reaches back to the last push that was taken. So an unreachable collector
//! costs resolution, never counts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::transport::{Outcome, Transport};
use super::trouble::{Latest, Trouble, Voice};
use super::{Counted, Counts, FIRST_BACKOFF, LONGEST_BACKOFF};
use crate::clock;
use crate::config::{Endpoint, Pushing};
use crate::filter;
use crate::metrics::Registry;

mod encode;

use encode::Collection;

/// Pushes the metrics of a registry. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Pusher {
    shared: Arc<Shared>,
}

struct Shared {
    counts: Counts,
    latest: Latest,
    state: Mutex<State>,
    /// For the thread: a flush or the end is asked for.
    wake: Condvar,
    /// For those who flush: a turn is over.
    settled: Condvar,
    is_behind: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Turns that were begun and that are over.
    begun: u64,
    done: u64,
    /// The last turn that a flush waits for.
    wanted: u64,
    /// When all ends: nothing is tried beyond it.
    ends_at: Option<Instant>,
    is_closed: bool,
}

/// A flush that has begun, to be waited for.
#[must_use]
pub(crate) struct Flush {
    deadline: Instant,
    /// The turn that tells the latest numbers.
    wanted: u64,
}

impl State {
    /// Until when a turn is tried that has so much patience.
    fn give_up(&self, patience: Instant) -> Instant {
        self.ends_at.map_or(patience, |end| end.min(patience))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted for Pusher {
    fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    fn is_local(&self) -> bool {
        // Numbers are told again at the next turn, so that none goes unheard.
        false
    }

    fn trouble(&self) -> Option<String> {
        self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pusher {
    /// Starts the pushing thread; [`Pusher::close`] ends it.
    pub(crate) fn spawn(
        registry: Registry,
        resource: Resource,
        endpoint: &Endpoint,
        pushing: Pushing,
        voice: Voice,
    ) -> Pusher {
        let clock = voice.clock.clone();
        let mut trouble = Trouble::new(voice, "metrics", endpoint);
        let shared = Arc::new(Shared {
            counts: Counts::default(),
            latest: trouble.latest(),
            state: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            is_behind: AtomicBool::new(true),
        });
        let transport = Transport::new(endpoint);
        let for_thread = shared.clone();
        let started =
            std::thread::Builder::new().name("skopos-metrics".to_owned()).spawn(move || {
                filter::silence_thread();
                let collection = Collection::new(registry, resource, pushing, clock);
                run(&for_thread, &transport, &mut trouble, pushing, collection);
            });
        if started.is_err() {
            // No thread to be had: nothing is pushed, and whoever flushes is told so.
            shared.lock().is_closed = true;
        }
        Pusher { shared }
    }

    /// Begins to push now, without waiting for it; `is_last` when nothing is to be tried beyond the deadline.
    pub(crate) fn begin_flush(&self, deadline: Instant, is_last: bool) -> Flush {
        let mut state = self.shared.lock();
        // A turn that is under way read its numbers before they were the latest: the next one counts.
        let wanted = state.begun + 1;
        state.wanted = wanted;
        if is_last {
            state.ends_at = Some(deadline);
        }
        drop(state);
        self.shared.wake.notify_one();
        Flush { deadline, wanted }
    }

    /// Waits for a flush, at most until its deadline; returns whether the collector has the latest numbers.
    pub(crate) fn end_flush(&self, flush: &Flush) -> bool {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            let is_told = state.done >= flush.wanted && !shared.is_behind.load(Ordering::Relaxed);
            // A turn may be given up for the newer one that somebody else waits for.
            let is_over = state.done >= state.wanted || state.is_closed;
            let patience = flush.deadline.saturating_duration_since(clock::instant());
            if is_told || is_over || patience.is_zero() {
                return is_told || is_over && !shared.is_behind.load(Ordering::Relaxed);
            }
            state = shared
                .settled
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the last flush and ends the thread; returns whether the collector has the last numbers, each time it is asked.
    pub(crate) fn close(&self, flush: &Flush) -> bool {
        let is_told = self.end_flush(flush);
        if !is_told {
            self.shared.is_behind.store(true, Ordering::Relaxed);
        }
        self.abandon();
        is_told
    }

    /// Ends the thread and pushes nothing more.
    pub(crate) fn abandon(&self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_one();
        self.shared.settled.notify_all();
    }
}

fn run(
    shared: &Shared,
    transport: &Transport,
    trouble: &mut Trouble,
    pushing: Pushing,
    mut collection: Collection,
) {
    loop {
        let due = clock::instant() + pushing.interval;
        let mut state = shared.lock();
        loop {
            let now = clock::instant();
            if state.is_closed {
                return;
            }
            if state.wanted > state.begun || now >= due {
                break;
            }
            state = shared
                .wake
                .wait_timeout(state, due - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let patience = clock::instant() + pushing.interval;
        state.begun += 1;
        drop(state);
        let (request, points) = collection.read();
        let is_taken = points == 0
            || transport.is_there()
                && deliver(shared, transport, trouble, &request, points, patience);
        if is_taken {
            collection.was_taken();
        }
        // A collector that nobody has named is promised nothing.
        shared.is_behind.store(!is_taken && !transport.is_local(), Ordering::Relaxed);
        let mut state = shared.lock();
        state.done = state.begun;
        drop(state);
        shared.settled.notify_all();
    }
}

/// Posts one reading until it is taken, refused, or its time is up; returns whether it was taken.
fn deliver(
    shared: &Shared,
    transport: &Transport,
    trouble: &mut Trouble,
    body: &[u8],
    points: u64,
    patience: Instant,
) -> bool {
    let counts = &shared.counts;
    let mut backoff = FIRST_BACKOFF;
    loop {
        let give_up = shared.lock().give_up(patience);
        let wait = match transport.post(body, give_up) {
            Outcome::Taken { response } => {
                trouble.is_over();
                let (rejected, why) = rejected(&response);
                let rejected = rejected.min(points);
                if rejected > 0 {
                    trouble.refused_part(rejected, &why, clock::instant());
                }
                counts.dropped_refused.fetch_add(rejected, Ordering::Relaxed);
                counts.exported.fetch_add(points - rejected, Ordering::Relaxed);
                return true;
            }
            _ if transport.is_local() => return false,
            Outcome::Refused { cause } => {
                counts.failed_requests.fetch_add(1, Ordering::Relaxed);
                counts.dropped_refused.fetch_add(points, Ordering::Relaxed);
                trouble.failed(&cause, clock::instant());
                trouble.lost(points, &cause, clock::instant());
                return false;
            }
            // Nothing is lost: the next turn tells it all again.
            Outcome::TryAgain { after, cause } => {
                counts.failed_requests.fetch_add(1, Ordering::Relaxed);
                trouble.failed(&cause, clock::instant());
                after.unwrap_or(backoff)
            }
        };
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        let until = clock::instant() + wait;
        let mut state = shared.lock();
        loop {
            let now = clock::instant();
            // Whoever flushes wants newer numbers than these.
            let is_outdated = state.wanted > state.begun;
            if state.is_closed || is_outdated || until >= state.give_up(patience) {
                return false;
            }
            if now >= until {
                break;
            }
            state = shared
                .wake
                .wait_timeout(state, until - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn rejected(response: &[u8]) -> (u64, String) {
    ExportMetricsServiceResponse::decode(response)
        .ok()
        .and_then(|response| response.partial_success)
        .map(|partial| {
            (u64::try_from(partial.rejected_data_points).unwrap_or(0), partial.error_message)
        })
        .unwrap_or_default()
}
