//! A clock that moves only when told to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use skopos_model::{Clock, Timestamp};

/// A clock for tests: share it behind an `Arc` and move it by hand.
#[derive(Debug)]
pub struct VirtualClock {
    now: AtomicI64,
    monotonic_nanos: AtomicU64,
}

impl VirtualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0), monotonic_nanos: AtomicU64::new(0) }
    }

    /// Lets time pass, on the wall and on the monotonic clock.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.now.fetch_add(i64::try_from(nanos).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, as an administrator would; the monotonic clock stays.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Default for VirtualClock {
    /// Stands at 2023-11-14T22:13:20Z (1 700 000 000 s).
    fn default() -> Self {
        Self::new(Timestamp::from_secs(1_700_000_000))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst))
    }
}
