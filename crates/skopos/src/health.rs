//! The three probes: alive, ready, started.
//!
//! - *live* never looks at a dependency: a slow database must not restart anything;
//! - *ready* asks every check at once, each with its own timeout; one critical check that fails takes the service out of load
//!   balancing, a degraded one only shows;
//! - *startup* says `started` once [`Health::mark_started`] was called, or every startup check has passed once.
//!
//! Bodies and codes are the guide's and nothing else; [`Health::ready_with_details`] (`/health/ready?details`) adds what each
//! check is and how old its result. Error texts are redacted before anybody sees them. Checks run as tokio tasks: one that
//! panics or hangs harms no other, and probes that come while a check runs share its result.

use std::fmt::{Display, Write as _};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use skopos_redact::Redactor;
use tokio::task::JoinSet;

use crate::clock;
use crate::log::json::push_escaped;

mod check;
mod k8s;
#[cfg(any(feature = "axum", feature = "disk", feature = "reqwest", feature = "sqlx"))]
mod probes;

pub use check::Check;
pub use k8s::{k8s_probes_yaml, k8s_probes_yaml_under};
#[cfg(feature = "disk")]
pub use probes::disk;
#[cfg(feature = "reqwest")]
pub use probes::http;
#[cfg(feature = "sqlx")]
pub use probes::sqlx;
#[cfg(feature = "axum")]
pub use probes::{redis, tcp};

use check::{Kind, Outcome, Running};

/// How long a check may take, unless said otherwise: what the guide's example uses.
///
/// ```
/// assert_eq!(skopos::health::DEFAULT_TIMEOUT.as_secs(), 2);
/// ```
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// Collects checks.
///
/// ```
/// use std::time::Duration;
/// use skopos::health::{Check, Health, tcp};
///
/// let health = Health::builder()
///     .timeout(Duration::from_secs(1))
///     .critical("database", tcp("db:5432"))
///     .degraded("mail", tcp("mail:25"))
///     .check(Check::new("migrations", || async { Ok::<(), String>(()) }).startup())
///     .build();
/// # let _ = health;
/// ```
#[derive(Clone)]
pub struct HealthBuilder {
    checks: Vec<Check>,
    timeout: Duration,
    redactor: Redactor,
}

/// The health of a service. Cloning shares it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use skopos::health::Health;
///
/// let health = Health::builder().critical("database", || async { Err::<(), _>("gone") }).build();
/// let answer = health.ready().await;
/// assert_eq!(answer.status, 503);
/// assert_eq!(answer.body, r#"{"status":"not_ready","checks":{"database":{"status":"unhealthy","error":"gone"}}}"#);
/// # }
/// ```
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    checks: Vec<Arc<Running>>,
    redactor: Redactor,
    is_started: AtomicBool,
    is_draining: AtomicBool,
}

/// An answer to a probe.
///
/// ```
/// let answer = skopos::health::Health::builder().build().live();
/// assert_eq!(answer.status, 200);
/// assert!(answer.body.starts_with(r#"{"status":"alive","timestamp":""#));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// 200 or 503.
    pub status: StatusCode,
    /// The JSON body.
    pub body: String,
}

impl std::fmt::Debug for HealthBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HealthBuilder")
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checks: Vec<&Check> = self.inner.checks.iter().map(|check| &check.check).collect();
        formatter.debug_struct("Health").field("checks", &checks).finish_non_exhaustive()
    }
}

impl HealthBuilder {
    /// Sets how long each check may take that does not say so itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = skopos::health::Health::builder().timeout(Duration::from_millis(500));
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Uses these redaction rules for error texts.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let builder = skopos::health::Health::builder().redactor(telemetry.redactor().clone());
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Adds a check without which the service is not ready.
    ///
    /// ```
    /// let builder = skopos::health::Health::builder().critical("database", skopos::health::tcp("db:5432"));
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn critical<F, Fut, E>(self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.check(Check::new(name, check))
    }

    /// Adds a check whose failure shows but does not take the service out of load balancing.
    ///
    /// ```
    /// let builder = skopos::health::Health::builder().degraded("mail", skopos::health::tcp("mail:25"));
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn degraded<F, Fut, E>(self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.check(Check::new(name, check).degraded())
    }

    /// Adds a check that must have passed once before the service has started: migrations, a warm cache, a loaded model.
    ///
    /// ```
    /// let builder = skopos::health::Health::builder()
    ///     .startup("migrations", || async { Ok::<(), std::io::Error>(()) });
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn startup<F, Fut, E>(self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.check(Check::new(name, check).startup())
    }

    /// Adds a check with settings of its own. One of the same name is replaced.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use skopos::health::{Check, Health, tcp};
    /// let slow = Check::new("ledger", tcp("ledger:443")).degraded().every(Duration::from_secs(30));
    /// let builder = Health::builder().check(slow);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.retain(|existing| existing.name != check.name);
        self.checks.push(check);
        self
    }

    /// Finishes the list.
    ///
    /// ```
    /// let health = skopos::health::Health::builder().build();
    /// # let _ = health;
    /// ```
    pub fn build(self) -> Health {
        let timeout = self.timeout;
        let checks = self.checks.into_iter().map(|check| Running::new(check, timeout)).collect();
        Health {
            inner: Arc::new(Inner {
                checks,
                redactor: self.redactor,
                is_started: AtomicBool::new(false),
                is_draining: AtomicBool::new(false),
            }),
        }
    }
}

impl Health {
    /// Starts a list of checks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use skopos::health::{Check, Health};
    ///
    /// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
    /// let health = Health::builder()
    ///     .critical("database", || async { Ok::<(), std::io::Error>(()) })
    ///     .degraded("mailer", skopos::health::tcp("mail:25"))
    ///     .check(Check::new("search", ping).timeout(Duration::from_secs(3)).every(Duration::from_secs(10)))
    ///     .build();
    /// health.mark_started();
    /// ```
    pub fn builder() -> HealthBuilder {
        HealthBuilder {
            checks: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            redactor: Redactor::default(),
        }
    }

    /// Says that start-up (migrations, warm-up) is over.
    ///
    /// ```
    /// let health = skopos::health::Health::builder().build();
    /// assert_eq!(health.startup().status, 503);
    /// health.mark_started();
    /// assert_eq!(health.startup().status, 200);
    /// ```
    pub fn mark_started(&self) {
        self.inner.is_started.store(true, Ordering::Relaxed);
    }

    /// Makes the service not ready from now on, so that load balancers leave before it stops.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let health = skopos::health::Health::builder().build();
    /// health.mark_draining();
    /// assert_eq!(health.ready().await.status, 503);
    /// # }
    /// ```
    pub fn mark_draining(&self) {
        self.inner.is_draining.store(true, Ordering::Relaxed);
    }

    /// Answers `/health/live`: always 200.
    ///
    /// ```
    /// let health = skopos::health::Health::builder().build();
    /// assert_eq!(health.live().status, 200);
    /// ```
    pub fn live(&self) -> ProbeAnswer {
        let mut body = "{\"status\":\"alive\",\"timestamp\":\"".to_owned();
        clock::push_rfc3339(&mut body, clock::now());
        body.push_str("\"}");
        ProbeAnswer { status: StatusCode::OK, body }
    }

    /// Answers `/health/startup` by what is known; runs nothing.
    ///
    /// ```
    /// let health = skopos::health::Health::builder().build();
    /// assert_eq!(health.startup().status, 503);
    /// ```
    pub fn startup(&self) -> ProbeAnswer {
        let mut of_startup =
            self.inner.checks.iter().filter(|check| check.check.kind == Kind::Startup).peekable();
        let all_passed = of_startup.peek().is_some() && of_startup.all(|check| check.has_passed());
        if self.inner.is_started.load(Ordering::Relaxed) || all_passed {
            ProbeAnswer { status: StatusCode::OK, body: "{\"status\":\"started\"}".to_owned() }
        } else {
            ProbeAnswer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                body: "{\"status\":\"starting\"}".to_owned(),
            }
        }
    }

    /// Runs the startup checks that have not passed yet, and answers `/health/startup`. Must be called on a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let health = skopos::health::Health::builder()
    ///     .startup("migrations", || async { Ok::<(), std::io::Error>(()) })
    ///     .build();
    /// assert_eq!(health.check_startup().await.status, 200);
    /// # }
    /// ```
    pub async fn check_startup(&self) -> ProbeAnswer {
        if self.startup().status != StatusCode::OK {
            self.run(|check| check.check.kind == Kind::Startup && !check.has_passed()).await;
        }
        self.startup()
    }

    /// Answers `/health/ready`: asks all checks at once. Must be called on a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let health = skopos::health::Health::builder().build();
    /// assert_eq!(health.ready().await.body, r#"{"status":"ready","checks":{}}"#);
    /// # }
    /// ```
    pub async fn ready(&self) -> ProbeAnswer {
        self.answer_ready(false).await
    }

    /// As [`Health::ready`], with more about each check: whether it is critical, how long it took and may take, and how old its
    /// result is, in milliseconds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let health = skopos::health::Health::builder()
    ///     .degraded("mail", || async { Ok::<(), std::io::Error>(()) })
    ///     .build();
    /// let answer = health.ready_with_details().await;
    /// assert!(answer.body.contains("\"critical\":false"), "{}", answer.body);
    /// # }
    /// ```
    pub async fn ready_with_details(&self) -> ProbeAnswer {
        self.answer_ready(true).await
    }

    /// Returns Kubernetes' three probes as YAML, with the guide's numbers; a readiness probe waits longer than the slowest
    /// check may take.
    ///
    /// ```
    /// let health = skopos::health::Health::builder().build();
    /// assert!(health.k8s_yaml(8000).contains("path: /health/ready, port: 8000"));
    /// ```
    pub fn k8s_yaml(&self, port: u16) -> String {
        let slowest = self.inner.checks.iter().map(|check| check.timeout).max();
        k8s::yaml(port, "", slowest.unwrap_or(DEFAULT_TIMEOUT))
    }

    /// Runs the chosen checks at once; the outcomes come in the order of the checks.
    async fn run(&self, is_chosen: impl Fn(&Running) -> bool) -> Vec<(Arc<Running>, Outcome)> {
        let chosen: Vec<Arc<Running>> =
            self.inner.checks.iter().filter(|check| is_chosen(check)).cloned().collect();
        let mut tasks = JoinSet::new();
        for (index, check) in chosen.iter().enumerate() {
            let check = check.clone();
            tasks.spawn(async move { (index, check.outcome().await) });
        }
        let mut outcomes: Vec<Outcome> = chosen.iter().map(|_| Outcome::none()).collect();
        while let Some(joined) = tasks.join_next().await {
            if let Ok((index, outcome)) = joined
                && let Some(place) = outcomes.get_mut(index)
            {
                *place = outcome;
            }
        }
        chosen.into_iter().zip(outcomes).collect()
    }

    async fn answer_ready(&self, has_details: bool) -> ProbeAnswer {
        let inner = &*self.inner;
        let outcomes = self.run(|check| check.check.kind != Kind::Startup).await;
        let is_draining = inner.is_draining.load(Ordering::Relaxed);
        let is_ready = !is_draining
            && outcomes.iter().all(|(check, outcome)| {
                check.check.kind != Kind::Critical || outcome.result.is_ok()
            });
        let mut body = String::with_capacity(64 + outcomes.len() * 48);
        body.push_str(if is_ready { "{\"status\":\"ready\"" } else { "{\"status\":\"not_ready\"" });
        body.push_str(",\"checks\":{");
        let mut separator = "";
        for (check, outcome) in &outcomes {
            // Writing to a string cannot fail, here and below.
            let _ = write!(body, "{separator}\"");
            push_escaped(&mut body, &check.check.name);
            match &outcome.result {
                Ok(()) => body.push_str("\":{\"status\":\"healthy\""),
                Err(error) => {
                    body.push_str("\":{\"status\":\"unhealthy\",\"error\":\"");
                    push_escaped(&mut body, &inner.redactor.redact_text(error).text);
                    body.push('"');
                }
            }
            if has_details {
                let _ = write!(
                    body,
                    ",\"critical\":{},\"duration_ms\":{},\"age_ms\":{},\"timeout_ms\":{}",
                    check.check.kind == Kind::Critical,
                    outcome.took.as_millis(),
                    outcome.age().as_millis(),
                    check.timeout.as_millis()
                );
            }
            body.push('}');
            separator = ",";
        }
        if is_draining {
            let _ = write!(
                body,
                "{separator}\"shutdown\":{{\"status\":\"unhealthy\",\"error\":\"shutting down\"}}"
            );
        }
        body.push_str("}}");
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        ProbeAnswer { status, body }
    }
}
