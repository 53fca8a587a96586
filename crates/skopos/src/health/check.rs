//! One check: what it is, and how its result is got, kept and shared.
//!
//! A check runs at most once at a time. Who asks while it runs waits for that run and takes its result; who asks within
//! `cache_for` takes the last one. With `every`, a task of its own runs it and probes only read; a result that did not come
//! for three periods counts as a failure, so that a dead task does not stay green.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type CheckFn = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The service is not ready.
    Critical,
    /// It shows.
    Degraded,
    /// The service has not started.
    Startup,
}

/// A check with settings of its own, for [`HealthBuilder::check`](super::HealthBuilder::check). Critical unless said otherwise.
///
/// ```
/// use std::time::Duration;
/// use skopos::health::{Check, Health, tcp};
///
/// let ledger = Check::new("ledger", tcp("ledger:443"))
///     .degraded()
///     .timeout(Duration::from_millis(500))
///     .cache_for(Duration::from_secs(10));
/// let health = Health::builder().check(ledger).build();
/// # let _ = health;
/// ```
#[derive(Clone)]
pub struct Check {
    pub(super) name: String,
    pub(super) kind: Kind,
    timeout: Option<Duration>,
    cache_for: Duration,
    every: Option<Duration>,
    run: CheckFn,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Check")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Check {
    /// Names a check. It is healthy when its future returns `Ok`; an error's text is shown, redacted.
    ///
    /// ```
    /// let check = skopos::health::Check::new("stock", || async {
    ///     if std::path::Path::new("stock.db").exists() { Ok(()) } else { Err("no stock.db") }
    /// });
    /// # let _ = check;
    /// ```
    pub fn new<F, Fut, E>(name: impl Into<String>, check: F) -> Check
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let run: CheckFn = Arc::new(move || {
            let outcome = check();
            Box::pin(async move { outcome.await.map_err(|error| error.to_string()) })
        });
        Check {
            name: name.into(),
            kind: Kind::Critical,
            timeout: None,
            cache_for: Duration::ZERO,
            every: None,
            run,
        }
    }

    /// A failure shows, and takes nothing out of load balancing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skopos::health::{Check, tcp};
    /// let check = Check::new("ledger", tcp("ledger:443")).degraded();
    /// # let _ = check;
    /// ```
    #[must_use]
    pub fn degraded(mut self) -> Check {
        self.kind = Kind::Degraded;
        self
    }

    /// The check has to pass once before the service has started, and is not asked afterwards.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skopos::health::{Check, tcp};
    /// let check = Check::new("ledger", tcp("ledger:443")).startup();
    /// # let _ = check;
    /// ```
    #[must_use]
    pub fn startup(mut self) -> Check {
        self.kind = Kind::Startup;
        self
    }

    /// Sets how long it may take.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skopos::health::{Check, tcp};
    /// let check = Check::new("ledger", tcp("ledger:443")).timeout(Duration::from_millis(500));
    /// # let _ = check;
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Check {
        self.timeout = Some(timeout);
        self
    }

    /// Keeps a result for so long, for checks that cost something.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skopos::health::{Check, tcp};
    /// let check = Check::new("ledger", tcp("ledger:443")).cache_for(Duration::from_secs(10));
    /// # let _ = check;
    /// ```
    #[must_use]
    pub fn cache_for(mut self, age: Duration) -> Check {
        self.cache_for = age;
        self
    }

    /// Runs the check in the background, once in this period, from the first probe on: probes are answered at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use skopos::health::{Check, tcp};
    /// let check = Check::new("ledger", tcp("ledger:443")).every(Duration::from_secs(30));
    /// # let _ = check;
    /// ```
    #[must_use]
    pub fn every(mut self, period: Duration) -> Check {
        self.every = Some(period.max(Duration::from_millis(1)));
        self
    }
}

/// What a check came to.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) result: Result<(), String>,
    pub(super) took: Duration,
    finished: Instant,
}

impl Outcome {
    /// Stands where no outcome came: the runtime is going down.
    pub(super) fn none() -> Outcome {
        Outcome {
            result: Err("the check was not run".to_owned()),
            took: Duration::ZERO,
            finished: Instant::now(),
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.finished.elapsed()
    }
}

/// A check in use.
pub(super) struct Running {
    pub(super) check: Check,
    pub(super) timeout: Duration,
    /// Held while the check runs: one run at a time.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Outcome>>,
    has_passed: AtomicBool,
    has_task: AtomicBool,
}

impl Running {
    pub(super) fn new(check: Check, default_timeout: Duration) -> Arc<Running> {
        Arc::new(Running {
            timeout: check.timeout.unwrap_or(default_timeout),
            check,
            turn: tokio::sync::Mutex::new(()),
            last: Mutex::new(None),
            has_passed: AtomicBool::new(false),
            has_task: AtomicBool::new(false),
        })
    }

    pub(super) fn has_passed(&self) -> bool {
        self.has_passed.load(Ordering::Relaxed)
    }

    fn last(&self) -> Option<Outcome> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the outcome that a probe shows now.
    pub(super) async fn outcome(self: Arc<Self>) -> Outcome {
        let Some(period) = self.check.every else { return self.shared_run().await };
        if !self.has_task.swap(true, Ordering::Relaxed) {
            tokio::spawn(run_every(Arc::downgrade(&self), period));
        }
        let Some(outcome) = self.last() else { return self.shared_run().await };
        let stale = period * 3 + self.timeout;
        if outcome.age() <= stale {
            return outcome;
        }
        let text = format!("no result for {} ms", outcome.age().as_millis());
        Outcome { result: Err(text), ..outcome }
    }

    /// Runs the check, unless a run that ended since this was called, or not too long before, serves as well.
    async fn shared_run(&self) -> Outcome {
        let asked = Instant::now();
        let _turn = self.turn.lock().await;
        if let Some(last) = self.last()
            && (last.finished > asked || last.age() < self.check.cache_for)
        {
            return last;
        }
        self.run().await
    }

    async fn run(&self) -> Outcome {
        let started = Instant::now();
        let run = self.check.run.clone();
        // A task of its own, in which a panic ends; dropping the set ends what hangs. Called inside: making the future is the
        // check's own code too.
        let mut task = JoinSet::new();
        task.spawn(async move { run().await });
        let result = match tokio::time::timeout(self.timeout, task.join_next()).await {
            Ok(Some(Ok(result))) => result,
            Ok(_) => Err("the check panicked".to_owned()),
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
        };
        if result.is_ok() {
            self.has_passed.store(true, Ordering::Relaxed);
        }
        let outcome = Outcome { result, took: started.elapsed(), finished: Instant::now() };
        self.keep(outcome.clone());
        outcome
    }

    fn keep(&self, outcome: Outcome) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// Runs a check in the background for as long as somebody holds it.
async fn run_every(check: Weak<Running>, period: Duration) {
    loop {
        let Some(check) = check.upgrade() else { return };
        {
            let _turn = check.turn.lock().await;
            check.run().await;
        }
        drop(check);
        tokio::time::sleep(period).await;
    }
}
