//! What a query may use before it is stopped: time, samples, bytes.
//!
//! A budget is shared by clones: fetching, decoding and evaluating one query all charge the same
//! account, and cancelling one clone cancels all.

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
    samples: AtomicU64,
    bytes: AtomicU64,
    cancelled: AtomicBool,
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
}

impl Default for BudgetLimit {
    /// Two minutes, 50 million samples (Prometheus' defaults) and 1 GiB.
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(120)),
            max_samples: 50_000_000,
            max_bytes: 1 << 30,
        }
    }
}

impl QueryBudget {
    /// A budget that starts now.
    pub fn new(limit: BudgetLimit, clock: Arc<dyn Clock>) -> Self {
        let deadline = limit.timeout.map(|timeout| clock.monotonic() + timeout);
        Self(Arc::new(Inner {
            clock,
            deadline,
            max_samples: limit.max_samples,
            max_bytes: limit.max_bytes,
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        }))
    }

    /// A budget without limits, for replay, tests and tools.
    pub fn unlimited() -> Self {
        let limit = BudgetLimit { timeout: None, max_samples: u64::MAX, max_bytes: u64::MAX };
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

    /// Takes `n` bytes from the account; also looks at deadline and cancellation.
    pub fn charge_bytes(&self, n: u64) -> Result<(), StorageError> {
        let used = self.0.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if used > self.0.max_bytes {
            return Err(StorageError::new(
                ErrorKind::ResourceExhausted,
                format!("query needs more than max_bytes = {}", self.0.max_bytes),
            ));
        }
        self.check()
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

    /// Bytes charged so far.
    pub fn bytes_used(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn each_limit_is_named() {
        let limit = BudgetLimit { timeout: Some(Duration::ZERO), max_samples: 10, max_bytes: 10 };
        let budget = QueryBudget::new(limit, Arc::new(SystemClock::new()));
        let error = budget.charge_samples(11).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ResourceExhausted);
        assert!(error.message.contains("max_samples = 10"));
        assert!(budget.charge_bytes(11).unwrap_err().message.contains("max_bytes"));

        let unlimited = QueryBudget::unlimited();
        unlimited.clone().cancel();
        assert_eq!(unlimited.check().unwrap_err().kind, ErrorKind::Cancelled);
    }
}
