//! What a query may use before it is stopped: time, samples, bytes.
//!
//! A budget is shared by clones: fetching, decoding and evaluating one query all charge the same
//! account, and cancelling one clone cancels all. Budgets of one [`MemoryPool`] share its bytes too:
//! what many queries hold together is bounded, and what a query has charged is given back when the
//! last clone of its budget goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::error::{ErrorKind, StorageError};
use crate::clock::Clock;

/// The account of one query.
#[derive(Clone, Debug)]
pub struct QueryBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    /// On the clock's monotonic scale.
    deadline: Option<Duration>,
    max_samples: u64,
    max_bytes: u64,
    max_series: u64,
    samples: AtomicU64,
    series: AtomicU64,
    bytes: AtomicU64,
    cancelled: AtomicBool,
    pool: Option<MemoryPool>,
    /// Bytes taken from the pool.
    pooled: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(self.pooled.load(Ordering::Relaxed));
        }
    }
}

/// Memory that all queries share. Clones are the same pool.
#[derive(Clone, Debug)]
pub struct MemoryPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    max_bytes: u64,
    used: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

impl MemoryPool {
    /// A pool of so many bytes, all free.
    pub fn new(max_bytes: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Pool { max_bytes, used: zero(), peak: zero(), refused: zero() }))
    }

    /// Bytes there are.
    pub fn max_bytes(&self) -> u64 {
        self.0.max_bytes
    }

    /// Bytes taken now.
    pub fn used_bytes(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that were taken at a time.
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// How often a query found too little left.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn take(&self, n: u64) -> Result<(), StorageError> {
        let fits = |used: u64| used.checked_add(n).filter(|sum| *sum <= self.0.max_bytes);
        match self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => {
                self.0.peak.fetch_max(before + n, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => {
                self.0.refused.fetch_add(1, Ordering::Relaxed);
                Err(StorageError::new(
                    ErrorKind::ResourceExhausted,
                    format!(
                        "query needs {n} bytes more, and all queries together hold {used} of \
                         query_pool_bytes = {}",
                        self.0.max_bytes
                    ),
                ))
            }
        }
    }

    fn give_back(&self, n: u64) {
        self.0.used.fetch_sub(n, Ordering::Relaxed);
    }
}

/// The limits of a [`QueryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimit {
    /// Longest run time.
    pub timeout: Option<Duration>,
    /// Most samples (or events) decoded.
    pub max_samples: u64,
    /// Most bytes held at once or fetched.
    pub max_bytes: u64,
    /// Most series read, counted once for each selector that reads them.
    pub max_series: u64,
}

impl Default for BudgetLimit {
    /// Two minutes, 50 million samples (Prometheus' defaults), 1 GiB and two million series.
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(120)),
            max_samples: 50_000_000,
            max_bytes: 1 << 30,
            max_series: 2_000_000,
        }
    }
}

impl QueryBudget {
    /// A budget that starts now.
    pub fn new(limit: BudgetLimit, clock: Arc<dyn Clock>) -> Self {
        Self::start(limit, clock, None)
    }

    /// A budget that starts now and takes its bytes from a pool.
    pub fn in_pool(limit: BudgetLimit, clock: Arc<dyn Clock>, pool: MemoryPool) -> Self {
        Self::start(limit, clock, Some(pool))
    }

    fn start(limit: BudgetLimit, clock: Arc<dyn Clock>, pool: Option<MemoryPool>) -> Self {
        let deadline = limit.timeout.map(|timeout| clock.monotonic() + timeout);
        Self(Arc::new(Inner {
            clock,
            deadline,
            max_samples: limit.max_samples,
            max_bytes: limit.max_bytes,
            max_series: limit.max_series,
            samples: AtomicU64::new(0),
            series: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            pool,
            pooled: AtomicU64::new(0),
        }))
    }

    /// A budget without limits, for replay, tests and tools.
    pub fn unlimited() -> Self {
        let most = u64::MAX;
        let limit =
            BudgetLimit { timeout: None, max_samples: most, max_bytes: most, max_series: most };
        Self::new(limit, Arc::new(crate::clock::SystemClock::new()))
    }

    /// Takes `n` samples (or events) from the account; also looks at deadline and cancellation.
    pub fn charge_samples(&self, n: u64) -> Result<(), StorageError> {
        let used = self.0.samples.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if used > self.0.max_samples {
            return Err(StorageError::new(
                ErrorKind::ResourceExhausted,
                format!("query reads more than max_samples = {}", self.0.max_samples),
            ));
        }
        self.check()
    }

    /// Takes `n` series from the account; also looks at deadline and cancellation.
    pub fn charge_series(&self, n: u64) -> Result<(), StorageError> {
        let used = self.0.series.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if used > self.0.max_series {
            return Err(StorageError::new(
                ErrorKind::ResourceExhausted,
                format!("query reads more than max_series = {}", self.0.max_series),
            ));
        }
        self.check()
    }

    /// Takes `n` bytes from the account, or nothing when it is refused; also looks at deadline and
    /// cancellation.
    pub fn charge_bytes(&self, n: u64) -> Result<(), StorageError> {
        let fits = |used: u64| used.checked_add(n).filter(|sum| *sum <= self.0.max_bytes);
        if self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(StorageError::new(
                ErrorKind::ResourceExhausted,
                format!("query needs more than max_bytes = {}", self.0.max_bytes),
            ));
        }
        if let Some(pool) = &self.0.pool {
            if let Err(refused) = pool.take(n) {
                self.0.bytes.fetch_sub(n, Ordering::Relaxed);
                return Err(refused);
            }
            self.0.pooled.fetch_add(n, Ordering::Relaxed);
        }
        self.check().inspect_err(|_| self.release_bytes(n))
    }

    /// Takes `n` bytes that are held already, beyond every limit if need be: the next charge that
    /// can be refused will be.
    pub fn charge_held_bytes(&self, n: u64) {
        self.0.bytes.fetch_add(n, Ordering::Relaxed);
        if let Some(pool) = &self.0.pool {
            pool.0.used.fetch_add(n, Ordering::Relaxed);
            self.0.pooled.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Gives bytes back that were charged and are held no longer.
    pub fn release_bytes(&self, n: u64) {
        let less = |of: u64| Some(of.saturating_sub(n));
        let _ = self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if let Some(pool) = &self.0.pool {
            let before = self.0.pooled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            pool.give_back(before.unwrap_or(0).min(n));
        }
    }

    /// Whether the query may go on; to be asked at least every few milliseconds of work.
    pub fn check(&self) -> Result<(), StorageError> {
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(StorageError::new(ErrorKind::Cancelled, "query was cancelled"));
        }
        match self.0.deadline {
            Some(deadline) if self.0.clock.monotonic() > deadline => {
                Err(StorageError::new(ErrorKind::DeadlineExceeded, "query ran into its timeout"))
            }
            _ => Ok(()),
        }
    }

    /// Stops the query at its next look at the budget.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Samples charged so far.
    pub fn samples_used(&self) -> u64 {
        self.0.samples.load(Ordering::Relaxed)
    }

    /// Bytes charged and not released so far.
    pub fn bytes_used(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn queries_share_a_pool_and_give_back_what_they_took() {
        let pool = MemoryPool::new(100);
        let limit = BudgetLimit { timeout: None, max_samples: 10, max_bytes: 80, max_series: 5 };
        let query = || QueryBudget::in_pool(limit, Arc::new(SystemClock::new()), pool.clone());
        let (a, b) = (query(), query());
        a.charge_bytes(70).unwrap();
        b.charge_bytes(30).unwrap();
        let error = b.charge_bytes(1).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
        assert!(error.message.contains("100 of query_pool_bytes = 100"), "{error}");
        let clone = a.clone();
        drop(a);
        assert_eq!(pool.used_bytes(), 100, "a clone still holds it");
        clone.release_bytes(40);
        b.charge_bytes(40).unwrap();
        drop((clone, b));
        assert_eq!((pool.used_bytes(), pool.peak_bytes(), pool.refused()), (0, 100, 1));
        let c = query();
        c.charge_held_bytes(200);
        assert_eq!((c.bytes_used(), pool.used_bytes()), (200, 200));
        assert!(query().charge_bytes(1).is_err(), "what is held already leaves no room");
        c.release_bytes(200);
        c.charge_bytes(80).unwrap();
        drop(c);
        // Its own limit is the first to be named, and takes nothing from the pool.
        assert!(query().charge_bytes(81).unwrap_err().message.contains("max_bytes = 80"));
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn each_limit_is_named() {
        let limit = BudgetLimit {
            // The machine's clock has no part in this.
            timeout: None,
            max_samples: 10,
            max_bytes: 10,
            max_series: 10,
        };
        let budget = QueryBudget::new(limit, Arc::new(SystemClock::new()));
        let error = budget.charge_samples(11).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
        assert!(error.message.contains("max_samples = 10"));
        assert!(budget.charge_bytes(11).unwrap_err().message.contains("max_bytes"));
        assert!(budget.charge_series(11).unwrap_err().message.contains("max_series = 10"));

        let unlimited = QueryBudget::unlimited();
        unlimited.clone().cancel();
        assert_eq!(unlimited.check().unwrap_err().kind, ErrorKind::Cancelled);
    }
}
