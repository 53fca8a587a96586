//! Calls to databases and caches: a CLIENT span and `db_client_operation_duration_seconds` for each.
//!
//! [`Database`] is for any driver; [`sqlx`](crate::db::sqlx) and [`redis`](crate::db::redis) (features of the same names) are
//! made of it. A span says what was asked by a *summary* (`SELECT orders`), by which it is named, and by the statement with
//! every literal taken out. Arguments are never looked at.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
//! let database = telemetry.database("postgresql", "orders");
//! let query = async { Ok::<u64, std::io::Error>(1) }; // whatever your driver does
//! let rows = database.call("SELECT * FROM orders WHERE id = 17", query).await;
//! assert_eq!(rows.unwrap(), 1);
//! # }
//! ```

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::clock;
use crate::context;
use crate::log::HTTP_TARGET;
use crate::metrics::{Bounded, Family, Histogram, Registry, buckets};
use crate::work::Outcome;

#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlx")]
pub mod sqlx;
pub mod statement;

crate::labels! {
    pub(crate) struct OperationLabels {
        db_system: Bounded<8>,
        pool: Bounded<16>,
        operation: Bounded<32>,
        outcome: Outcome,
    }
}

crate::labels! {
    pub(crate) struct WaitLabels { pool: Bounded<16> }
}

/// The metrics of all databases of a process.
#[derive(Clone)]
pub(crate) struct DbMetrics {
    operations: Family<OperationLabels, Histogram>,
    #[cfg_attr(not(feature = "sqlx"), allow(dead_code, reason = "only pools that tell need it"))]
    waits: Family<WaitLabels, Histogram>,
}

impl DbMetrics {
    pub(crate) fn register(registry: &Registry) -> DbMetrics {
        DbMetrics {
            operations: registry.histogram_family(
                "db_client_operation_duration_seconds",
                "Duration of calls to databases, waiting for a connection included.",
                buckets::DATABASE,
            ),
            waits: registry.histogram_family(
                "db_client_connection_wait_seconds",
                "Time to get a connection from a pool.",
                buckets::DATABASE,
            ),
        }
    }
}

/// A database as it is seen from here; made by [`Telemetry::database`](crate::Telemetry::database). Cloning shares it.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let database = telemetry.database("mysql", "orders");
/// # let _ = database;
/// ```
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    metrics: DbMetrics,
    system: String,
    pool: Bounded<16>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Database")
            .field("system", &self.inner.system)
            .finish_non_exhaustive()
    }
}

impl Database {
    pub(crate) fn new(metrics: DbMetrics, system: &str, pool: &str) -> Database {
        let inner = Inner { metrics, system: system.to_owned(), pool: pool.into() };
        Database { inner: Arc::new(inner) }
    }

    /// Does one call with a statement of SQL, in a span, timed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let database = telemetry.database("mysql", "orders");
    /// let query = async { Ok::<u64, std::io::Error>(3) }; // what your driver does
    /// let deleted = database.call("DELETE FROM carts WHERE age > 30", query).await;
    /// assert_eq!(deleted.unwrap(), 3);
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the call itself.
    pub async fn call<T, E: Display>(
        &self,
        statement: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut operation = self.begin_statement(statement);
        let result = work.instrument(operation.span.clone()).await;
        if let Err(error) = &result {
            operation.fail(std::any::type_name::<E>(), &error.to_string());
        } else {
            operation.succeed();
        }
        result
    }

    /// Begins a call with a statement of SQL.
    pub(crate) fn begin_statement(&self, statement: &str) -> Operation {
        let summary = statement::summary(statement);
        let text = statement::sanitized(statement, &self.inner.system);
        let (name, target) = summary.split_once(' ').unwrap_or((&summary, ""));
        // Several targets: only one collection may be named.
        let target = (!target.is_empty() && !target.contains(' ')).then_some(target);
        self.begin(name, &summary, target, Some(&text))
    }

    /// Begins a call. Dropping the operation ends it; without a success it has failed.
    pub(crate) fn begin(
        &self,
        operation: &str,
        summary: &str,
        collection: Option<&str>,
        text: Option<&str>,
    ) -> Operation {
        let span = tracing::info_span!(
            target: HTTP_TARGET,
            "db_call",
            otel.name = if summary.is_empty() { &self.inner.system } else { summary },
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.inner.system,
            db.operation.name = operation,
            db.collection.name = collection,
            db.query.summary = text.map(|_| summary),
            db.query.text = text,
            db.operation.batch.size = Empty,
            db.response.returned_rows = Empty,
            db.response.status_code = Empty,
            "error.type" = Empty,
        );
        Operation {
            database: self.inner.clone(),
            operation: operation.into(),
            span,
            started: clock::instant(),
            outcome: Outcome::Failure,
            is_judged: false,
        }
    }

    #[cfg(feature = "sqlx")]
    pub(crate) fn waited(&self, seconds: f64, span: &Span) {
        let labels = WaitLabels { pool: self.inner.pool.clone() };
        let trace =
            || span.with_subscriber(|(id, dispatch)| context::trace_of(dispatch, id)).flatten();
        self.inner.metrics.waits.with(&labels, |waits| waits.observe_in(seconds, trace));
    }
}

/// A call under way.
pub(crate) struct Operation {
    database: Arc<Inner>,
    operation: Bounded<32>,
    pub(crate) span: Span,
    started: Instant,
    outcome: Outcome,
    is_judged: bool,
}

impl Operation {
    pub(crate) fn succeed(&mut self) {
        if !self.is_judged {
            self.outcome = Outcome::Success;
            self.is_judged = true;
        }
    }

    /// The first failure stays; its text goes through the redactor like everything on a span.
    pub(crate) fn fail(&mut self, kind: &str, text: &str) {
        if self.is_judged {
            return;
        }
        self.is_judged = true;
        self.outcome = Outcome::Failure;
        self.span.set_status(opentelemetry::trace::Status::error(text.to_owned()));
        self.span.record("error.type", kind);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.is_judged {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", "cancelled");
        }
        let span = &self.span;
        let trace =
            || span.with_subscriber(|(id, dispatch)| context::trace_of(dispatch, id)).flatten();
        let labels = OperationLabels {
            db_system: Bounded::from(self.database.system.as_str()),
            pool: self.database.pool.clone(),
            operation: self.operation.clone(),
            outcome: self.outcome,
        };
        let elapsed = self.started.elapsed().as_secs_f64();
        self.database.metrics.operations.with(&labels, |all| all.observe_in(elapsed, trace));
    }
}
