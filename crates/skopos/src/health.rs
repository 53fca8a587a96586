//! The three probes: alive, ready, started.
//!
//! - *live* never looks at a dependency: a slow database must not restart anything;
//! - *ready* asks every check at once, each with its own timeout; one critical check that fails takes the service out of load
//!   balancing, a degraded one only shows;
//! - *startup* says `started` once [`Health::mark_started`] was called.
//!
//! Error texts are redacted before anybody sees them. Checks run as tokio tasks: one that panics or hangs harms no other.

use std::fmt::{Display, Write as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use skopos_redact::Redactor;
use tokio::task::JoinSet;

use crate::clock;
use crate::log::json::push_escaped;

/// How long a check may take, unless said otherwise: what the guide's example uses.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type CheckFn = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// Collects checks.
#[derive(Clone)]
pub struct HealthBuilder {
    checks: Vec<Check>,
    timeout: Duration,
    redactor: Redactor,
}

#[derive(Clone)]
struct Check {
    name: String,
    is_critical: bool,
    run: CheckFn,
}

/// The health of a service. Cloning shares it.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    checks: Vec<Check>,
    timeout: Duration,
    redactor: Redactor,
    is_started: AtomicBool,
    is_draining: AtomicBool,
}

/// An answer to a probe.
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
            .field("checks", &self.checks.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Health")
            .field("checks", &self.inner.checks.len())
            .finish_non_exhaustive()
    }
}

impl HealthBuilder {
    /// Sets how long each check may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Uses these redaction rules for error texts.
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// Adds a check without which the service is not ready.
    #[must_use]
    pub fn critical<F, Fut, E>(self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.add(name.into(), true, check)
    }

    /// Adds a check whose failure shows but does not take the service out of load balancing.
    #[must_use]
    pub fn degraded<F, Fut, E>(self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.add(name.into(), false, check)
    }

    fn add<F, Fut, E>(mut self, name: String, is_critical: bool, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let run: CheckFn = Arc::new(move || {
            let outcome = check();
            Box::pin(async move { outcome.await.map_err(|error| error.to_string()) })
        });
        self.checks.push(Check { name, is_critical, run });
        self
    }

    /// Finishes the list.
    pub fn build(self) -> Health {
        Health {
            inner: Arc::new(Inner {
                checks: self.checks,
                timeout: self.timeout,
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
    /// use skopos::health::{self, Health};
    ///
    /// let health = Health::builder()
    ///     .critical("database", || async { Ok::<(), std::io::Error>(()) })
    ///     .degraded("mailer", health::tcp("mail:25"))
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
    pub fn mark_started(&self) {
        self.inner.is_started.store(true, Ordering::Relaxed);
    }

    /// Makes the service not ready from now on, so that load balancers leave before it stops.
    pub fn mark_draining(&self) {
        self.inner.is_draining.store(true, Ordering::Relaxed);
    }

    /// Answers `/health/live`: always 200.
    pub fn live(&self) -> ProbeAnswer {
        let mut body = "{\"status\":\"alive\",\"timestamp\":\"".to_owned();
        clock::push_rfc3339(&mut body, clock::now());
        body.push_str("\"}");
        ProbeAnswer { status: StatusCode::OK, body }
    }

    /// Answers `/health/startup`.
    pub fn startup(&self) -> ProbeAnswer {
        if self.inner.is_started.load(Ordering::Relaxed) {
            ProbeAnswer { status: StatusCode::OK, body: "{\"status\":\"started\"}".to_owned() }
        } else {
            ProbeAnswer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                body: "{\"status\":\"starting\"}".to_owned(),
            }
        }
    }

    /// Answers `/health/ready`: runs all checks at once. Must be called on a tokio runtime.
    pub async fn ready(&self) -> ProbeAnswer {
        let inner = &*self.inner;
        let timeout = inner.timeout;
        let mut running = JoinSet::new();
        for (index, check) in inner.checks.iter().enumerate() {
            let run = check.run.clone();
            // Called inside the task: making the future is the check's own code too.
            running.spawn(async move {
                let outcome = tokio::time::timeout(timeout, async move { run().await }).await;
                (
                    index,
                    outcome.unwrap_or_else(|_| {
                        Err(format!("no answer within {} ms", timeout.as_millis()))
                    }),
                )
            });
        }
        // A check that panics never reports: that is what its place says until it does.
        let mut outcomes: Vec<Result<(), String>> =
            inner.checks.iter().map(|_| Err("the check panicked".to_owned())).collect();
        while let Some(joined) = running.join_next().await {
            if let Ok((index, outcome)) = joined
                && let Some(place) = outcomes.get_mut(index)
            {
                *place = outcome;
            }
        }

        let is_draining = inner.is_draining.load(Ordering::Relaxed);
        let is_ready = !is_draining
            && inner
                .checks
                .iter()
                .zip(&outcomes)
                .all(|(check, outcome)| !check.is_critical || outcome.is_ok());
        let mut body = String::with_capacity(64 + outcomes.len() * 48);
        body.push_str(if is_ready { "{\"status\":\"ready\"" } else { "{\"status\":\"not_ready\"" });
        body.push_str(",\"checks\":{");
        let mut separator = "";
        for (check, outcome) in inner.checks.iter().zip(&outcomes) {
            // Writing to a string cannot fail.
            let _ = write!(body, "{separator}\"");
            push_escaped(&mut body, &check.name);
            match outcome {
                Ok(()) => body.push_str("\":{\"status\":\"healthy\"}"),
                Err(error) => {
                    body.push_str("\":{\"status\":\"unhealthy\",\"error\":\"");
                    push_escaped(&mut body, &inner.redactor.redact_text(error).text);
                    body.push_str(if check.is_critical { "\"}" } else { "\",\"critical\":false}" });
                }
            }
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

/// A check that a TCP connection can be made.
#[cfg(feature = "axum")]
pub fn tcp(
    address: impl Into<String>,
) -> impl Fn() -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> + Send + Sync + 'static
{
    let address = address.into();
    move || {
        let address = address.clone();
        Box::pin(async move { tokio::net::TcpStream::connect(address).await.map(drop) })
    }
}
