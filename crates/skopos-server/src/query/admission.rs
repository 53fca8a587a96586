//! Admission: how many reads run at a time, and how many wait.
//!
//! Overflow policy: a read waits for its place until its deadline; when too many wait already it
//! is refused at once with "come back later". Rules have places of their own. Followers hold a
//! place as long as they follow and never wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use skopos_model::storage::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{QueryClass, QueryError};

/// Reads that may wait per place.
const WAITING_PER_PLACE: usize = 16;

/// Most clients that follow logs at a time.
pub(super) const MAX_FOLLOWERS: usize = 100;

/// Counts and bounds reads.
#[derive(Debug)]
pub struct Admission {
    interactive: Arc<Semaphore>,
    rules: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    follow_counts: Arc<FollowCounts>,
    places: usize,
    waiting: AtomicUsize,
    finished: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// What ran, runs and was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Reads at work, rules included.
    pub running: usize,
    /// Reads waiting for a place.
    pub waiting: usize,
    /// Clients following logs.
    pub following: usize,
    /// Events not shown to tails for want of rate.
    pub skipped_rate: u64,
    /// Events not shown to tails because their reader was too slow.
    pub skipped_slow: u64,
    /// Tails given up because their reader took nothing.
    pub reaped: u64,
    /// Reads that ended well.
    pub finished: u64,
    /// Reads that failed after they were admitted.
    pub failed: u64,
    /// Reads refused for want of a place.
    pub refused: u64,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// A follower's place; free again when dropped.
#[derive(Debug)]
pub struct FollowPermit {
    _permit: OwnedSemaphorePermit,
    counts: Arc<FollowCounts>,
}

impl FollowPermit {
    /// Where what is not shown to followers is counted.
    pub(crate) fn counts(&self) -> &Arc<FollowCounts> {
        &self.counts
    }
}

/// What tails were not shown, and how many were given up.
#[derive(Debug, Default)]
pub(crate) struct FollowCounts {
    /// Events beyond the rate that was asked for.
    pub(crate) skipped_rate: AtomicU64,
    /// Events that went by while a reader was too slow.
    pub(crate) skipped_slow: AtomicU64,
    /// Tails whose reader took nothing.
    pub(crate) reaped: AtomicU64,
}

impl Admission {
    pub(crate) fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            interactive: Arc::new(Semaphore::new(places)),
            rules: Arc::new(Semaphore::new(places)),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            follow_counts: Arc::default(),
            places,
            waiting: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) async fn enter(&self, class: QueryClass) -> Result<Permit, QueryError> {
        let places = match class {
            QueryClass::Interactive => &self.interactive,
            QueryClass::Rule => &self.rules,
        };
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(Permit { _permit: permit });
        }
        let _waiting = Waiting::new(&self.waiting);
        let most = self.places.saturating_mul(WAITING_PER_PLACE);
        if self.waiting.load(Ordering::Relaxed) > most {
            return Err(QueryError::Busy { running: self.places, waiting: most });
        }
        match Arc::clone(places).acquire_owned().await {
            Ok(permit) => Ok(Permit { _permit: permit }),
            Err(closed) => Err(QueryError::Failed { reason: closed.to_string() }),
        }
    }

    pub(crate) fn follow(&self) -> Result<FollowPermit, QueryError> {
        match Arc::clone(&self.followers).try_acquire_owned() {
            Ok(permit) => {
                let counts = Arc::clone(&self.follow_counts);
                Ok(FollowPermit { _permit: permit, counts })
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(QueryError::TooManyFollowers { limit: MAX_FOLLOWERS })
            }
        }
    }

    pub(super) fn finished(&self, error: Option<&QueryError>) {
        let counter = match error {
            None => &self.finished,
            Some(error) if error.kind() == ErrorKind::Unavailable => &self.refused,
            Some(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> QueryStats {
        let used = |places: &Semaphore| self.places.saturating_sub(places.available_permits());
        QueryStats {
            running: used(&self.interactive) + used(&self.rules),
            waiting: self.waiting.load(Ordering::Relaxed),
            following: MAX_FOLLOWERS.saturating_sub(self.followers.available_permits()),
            skipped_rate: self.follow_counts.skipped_rate.load(Ordering::Relaxed),
            skipped_slow: self.follow_counts.skipped_slow.load(Ordering::Relaxed),
            reaped: self.follow_counts.reaped.load(Ordering::Relaxed),
            finished: self.finished.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn waiting_is_bounded_and_rules_have_their_own_places() {
        let admission = Admission::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let mut enter = |class| {
            let mut future = Box::pin(admission.enter(class));
            (pin!(&mut future).poll(&mut cx), future)
        };
        let (first, _) = enter(QueryClass::Interactive);
        let first = match first {
            std::task::Poll::Ready(Ok(permit)) => permit,
            other => panic!("not admitted: {other:?}"),
        };
        let waiting: Vec<_> =
            (0..WAITING_PER_PLACE).map(|_| enter(QueryClass::Interactive)).collect();
        assert!(waiting.iter().all(|(poll, _)| poll.is_pending()));
        assert!(matches!(
            enter(QueryClass::Interactive).0,
            std::task::Poll::Ready(Err(QueryError::Busy { running: 1, .. }))
        ));
        assert!(matches!(enter(QueryClass::Rule).0, std::task::Poll::Ready(Ok(_))));
        assert_eq!(admission.stats().waiting, WAITING_PER_PLACE);
        drop(waiting);
        drop(first);
        assert_eq!(admission.stats(), QueryStats::default());
    }

    #[test]
    fn followers_beyond_the_limit_are_refused() {
        let admission = Admission::new(1);
        let permits: Vec<_> = (0..MAX_FOLLOWERS).map(|_| admission.follow().unwrap()).collect();
        assert!(matches!(admission.follow(), Err(QueryError::TooManyFollowers { .. })));
        drop(permits);
        assert!(admission.follow().is_ok());
    }
}
