//! The running pipeline and its handle: what a service asks of it, and how it comes down. [`builder`] puts it together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use skopos_redact::Redactor;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry as SpanRegistry};

use crate::clock;
use crate::context::global;
use crate::context::propagators::Propagators;
use crate::db::{Database, DbMetrics};
use crate::filter::{Filters, SignalFilter};
use crate::http::HttpLayer;
use crate::level::{LevelControl, LogLevel, LogLevelError};
use crate::log::metrics::ConsoleMetrics;
use crate::log::writer::LineWriter;
use crate::log::{LogLayer, Pipeline};
use crate::metrics::Registry;
use crate::propagation::Hosts;
use crate::saturation::{self, PoolState};
use crate::slo::{Objective, ObjectiveError, Objectives, Sli};
use crate::work::{Publish, Work, WorkMetrics};
use crate::{ClientLayer, Service, ShutdownReport};

#[cfg(feature = "otlp")]
use crate::export::{self, Exporter, logs::Logs, metrics::Pusher, spans::Spans};

mod builder;
mod sound;
mod spans;

pub use builder::{Builder, Preset};
use spans::SpanLayer;

/// How long dropping the last handle may wait for a flush. Call [`Telemetry::shutdown`] to choose.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// Why telemetry could not be set up.
///
/// ```
/// use skopos::{InitError, Service, Telemetry};
///
/// let built = Telemetry::builder(Service::new("shop")).filter("shop=loud").build();
/// let problem = built.err().expect("there is no such level");
/// assert!(matches!(problem, InitError::Filter { .. }), "{problem}");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Another `tracing` subscriber is set; use [`Builder::build`] and add the layer to that one.
    #[error(
        "another tracing subscriber is already installed; to live beside it, `Builder::build` and add `Telemetry::layers` to it"
    )]
    SubscriberAlreadySet,
    /// The filter given in code does not parse. (One from `RUST_LOG` only makes a warning.)
    #[error("log filter `{filter}` does not parse: {reason}")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What the parser said.
        reason: String,
    },
}

/// The layer of [`Builder::build`], for a subscriber of one's own on top of `tracing_subscriber::Registry`.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let (telemetry, layer): (_, skopos::TelemetryLayer) =
///     skopos::Telemetry::builder(skopos::Service::new("shop")).without_lines().build()?;
/// let subscriber = tracing_subscriber::registry().with(layer);
/// # let _ = (subscriber, telemetry);
/// # Ok::<(), skopos::InitError>(())
/// ```
pub type TelemetryLayer = Box<dyn Layer<SpanRegistry> + Send + Sync>;

/// Sets up logs, traces and metrics from the environment, with JSON lines when not on a terminal or in production. The service
/// is named after the binary, unless the environment names it; [`init!`](crate::init!) names it after the crate. At a desk
/// telemetry goes to the collector of this machine, when one listens: [`Builder::local_collector`].
///
/// ```no_run
/// let telemetry = skopos::init()?;
/// tracing::info!("started");
/// # let _ = telemetry;
/// # Ok::<(), skopos::InitError>(())
/// ```
///
/// # Errors
/// Another subscriber is installed.
pub fn init() -> Result<Telemetry, InitError> {
    let name = std::env::current_exe()
        .ok()
        .and_then(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "unknown_service".to_owned());
    init_service(Service::new(name))
}

/// What [`init`] and [`init!`](crate::init!) do.
#[doc(hidden)]
pub fn init_service(service: Service) -> Result<Telemetry, InitError> {
    let telemetry = Telemetry::builder(service).from_env().local_collector().install()?;
    telemetry.watch_process();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        telemetry.watch_runtime(&runtime);
    }
    Ok(telemetry)
}

/// A handle to everything. Cloning shares it; dropping the last one flushes, for at most one second.
///
/// ```no_run
/// let telemetry = skopos::Telemetry::builder(skopos::service!()).from_env().install()?;
/// let report = telemetry.shutdown_blocking(std::time::Duration::from_secs(5));
/// # let _ = report;
/// # Ok::<(), skopos::InitError>(())
/// ```
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    redactor: Redactor,
    metrics: Registry,
    console_metrics: Option<ConsoleMetrics>,
    http: HttpLayer,
    writer: Option<LineWriter>,
    #[cfg(feature = "otlp")]
    logs: Option<Exporter<Logs>>,
    #[cfg(feature = "otlp")]
    spans: Option<Exporter<Spans>>,
    #[cfg(feature = "otlp")]
    pusher: Option<Pusher>,
    hosts: Hosts,
    propagators: Propagators,
    work: OnceLock<WorkMetrics>,
    databases: OnceLock<DbMetrics>,
    objectives: Objectives,
    is_floored: bool,
    level: LevelControl,
    parts: Parts,
    is_process_watched: AtomicBool,
    is_runtime_watched: AtomicBool,
    is_down: AtomicBool,
}

/// What a layer is made of.
struct Parts {
    filters: Arc<Filters>,
    /// What spans are made with; none when the SDK is disabled.
    provider: Option<SdkTracerProvider>,
    /// Whether spans go anywhere.
    has_span_readers: bool,
    pipeline: Arc<Pipeline>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Telemetry")
            .field("service", &self.inner.service)
            .finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts with the settings of a service.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).from_env();
    /// # let _ = builder;
    /// ```
    pub fn builder(service: Service) -> Builder {
        Builder::new(service)
    }

    /// Returns the layers for a `tracing` subscriber of one's own, beside other layers, after [`Builder::build`]. It holds the
    /// filter, which is global: what it turns off no layer sees.
    ///
    /// ```
    /// use skopos::{Service, Telemetry};
    /// use tracing_subscriber::layer::SubscriberExt as _;
    ///
    /// let (telemetry, _) = Telemetry::builder(Service::new("shop")).without_lines().build()?;
    /// let subscriber = tracing_subscriber::registry()
    ///     .with(tracing_subscriber::fmt::layer().with_writer(std::io::sink)) // yours
    ///     .with(telemetry.layers());
    /// tracing::subscriber::with_default(subscriber, || tracing::info!("hello"));
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn layers<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let Parts { filters, provider, pipeline, .. } = &self.inner.parts;
        let traces = provider.as_ref().map(|provider| {
            SpanLayer::new(provider.tracer(global::OWN_TRACER), self.inner.parts.has_span_readers)
        });
        let logs = LogLayer::new(pipeline.clone());
        // The filter is the outermost, and so is asked first. It must be: of layers joined by `and_then` on a registry only the
        // outermost one's level hint counts, and without a hint every event that is off is asked about each time.
        let joined = Layer::and_then(traces, logs);
        Box::new(joined.and_then(SignalFilter(filters.clone())))
    }

    /// Returns the layer for HTTP services: request id, span, RED metrics, access line.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let app: axum::Router = axum::Router::new().layer(telemetry.http_layer());
    /// # let _ = app;
    /// ```
    pub fn http_layer(&self) -> HttpLayer {
        #[cfg(feature = "axum")]
        return self.inner.http.clone().validating(&self.inner.metrics);
        #[cfg(not(feature = "axum"))]
        self.inner.http.clone()
    }

    /// Returns the registry for metrics of one's own.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.registry().counter("orders_placed_total", "Orders placed.").inc();
    /// ```
    pub fn registry(&self) -> &Registry {
        &self.inner.metrics
    }

    /// Returns the redactor that all sinks share.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let shown = telemetry.redactor().redact_text("token=abc123").text;
    /// assert_eq!(shown, "token=[REDACTED]");
    /// ```
    pub fn redactor(&self) -> &Redactor {
        &self.inner.redactor
    }

    /// Returns who speaks, with what the environment said about it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert_eq!(telemetry.service().name(), "doc");
    /// ```
    pub fn service(&self) -> &Service {
        &self.inner.service
    }

    /// Returns a client that propagates the current request.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let client = telemetry.reqwest(reqwest::Client::new());
    /// # let _ = client;
    /// ```
    #[cfg(feature = "reqwest")]
    pub fn reqwest(&self, client: reqwest::Client) -> crate::reqwest::Client {
        crate::reqwest::Client::with_hosts(client, self.inner.hosts.clone())
    }

    /// Returns the layer for clients that speak `http`: hyper's, tower's, tonic's.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.client_layer(); // for tower::ServiceBuilder
    /// # let _ = layer;
    /// ```
    pub fn client_layer(&self) -> ClientLayer {
        ClientLayer::new(self.inner.hosts.clone())
    }

    /// Prepares a background job: see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.job("clean_up").run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
    /// # }
    /// ```
    pub fn job(&self, name: &str) -> Work {
        Work::job(self.work_metrics(), self.inner.propagators, name)
    }

    /// Prepares the processing of a message of a queue (`nats`, `orders`): see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let headers = [("x-request-id", "r-1")]; // of the message
    /// let work = telemetry.consume("nats", "orders").sent_by(headers);
    /// work.run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
    /// # }
    /// ```
    pub fn consume(&self, system: &str, queue: &str) -> Work {
        Work::message(self.work_metrics(), self.inner.propagators, system, queue)
    }

    /// Prepares the sending of a message to a queue: see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let publish = telemetry.publish("nats", "orders");
    /// publish.run(|headers| async { Ok::<_, std::io::Error>(headers) }).await.unwrap();
    /// # }
    /// ```
    pub fn publish(&self, system: &str, queue: &str) -> Publish {
        Publish::new(system, queue)
    }

    fn work_metrics(&self) -> WorkMetrics {
        // Only a service that does such work shows its metrics.
        self.inner.work.get_or_init(|| WorkMetrics::register(&self.inner.metrics)).clone()
    }

    /// Declares an objective: see [`slo`](crate::slo). The same one may be declared again.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// use skopos::slo::Objective;
    ///
    /// let objective = Objective::availability("orders-availability", "/orders");
    /// telemetry.objective(objective.owner("team-orders").runbook("runbooks/orders.md"))?;
    /// # Ok::<(), skopos::slo::ObjectiveError>(())
    /// ```
    ///
    /// # Errors
    /// It lacks a part, cannot be kept or cannot be counted, or another one has its name.
    pub fn objective(&self, objective: Objective) -> Result<(), ObjectiveError> {
        self.inner.objectives.declare(objective)
    }

    /// Returns an indicator of one's own, `sli_events_total{sli,verdict}`: see [`slo`](crate::slo). At most 50 are kept apart.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.sli("prices-fresh").record(true);
    /// ```
    pub fn sli(&self, name: &str) -> Sli {
        Objectives::sli(&self.inner.metrics, name)
    }

    /// Writes the specification of all objectives that were declared, for `skopos slo`.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// // `my-service --print-slo > slo.yml`, and then `skopos slo generate slo.yml`
    /// print!("{}", telemetry.objectives_yaml());
    /// ```
    pub fn objectives_yaml(&self) -> String {
        self.inner.objectives.yaml(self.inner.service.name())
    }

    /// Describes a database, for drivers that are not wrapped here; `system` by the semantic conventions (`postgresql`,
    /// `mysql`), `pool` by your own.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let database = telemetry.database("mysql", "orders");
    /// # let _ = database;
    /// ```
    pub fn database(&self, system: &str, pool: &str) -> Database {
        let metrics = &self.inner.metrics;
        let metrics = self.inner.databases.get_or_init(|| DbMetrics::register(metrics));
        Database::new(metrics.clone(), system, pool)
    }

    /// Returns a pool whose queries are spans and timings, and shows how full it is: see [`db::sqlx`](crate::db::sqlx).
    ///
    /// ```
    /// # fn example(telemetry: skopos::Telemetry, pool: sqlx::PgPool) {
    /// let pool = telemetry.sqlx("orders", pool);
    /// # let _ = pool;
    /// # }
    /// ```
    #[cfg(feature = "sqlx")]
    pub fn sqlx<D: sqlx::Database>(
        &self,
        name: &str,
        pool: sqlx::Pool<D>,
    ) -> crate::db::sqlx::Pool<D> {
        let read = pool.clone();
        self.watch_pool(name, move || crate::db::sqlx::state(&read));
        let database = self.database(crate::db::sqlx::system::<D>(), name);
        crate::db::sqlx::Pool::new(pool, database)
    }

    /// Returns a connection whose commands are spans and timings: see [`db::redis`](crate::db::redis).
    ///
    /// ```
    /// # fn example(telemetry: skopos::Telemetry, connection: redis::aio::MultiplexedConnection) {
    /// let cache = telemetry.redis("sessions", connection);
    /// # let _ = cache;
    /// # }
    /// ```
    #[cfg(feature = "redis")]
    pub fn redis<C>(&self, name: &str, connection: C) -> crate::db::redis::Connection<C> {
        crate::db::redis::Connection::new(connection, self.database("redis", name))
    }

    /// Shows how full a connection pool is: `db_connection_pool_usage_ratio{pool}` and the numbers behind it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build()?.0;
    /// use skopos::PoolState;
    /// telemetry.watch_pool("orders", || PoolState { size: 8, idle: 6, max: 10 });
    /// # let text = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
    /// # assert!(text.contains("db_connection_pool_usage_ratio{pool=\"orders\"} 0.2"));
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_pool(
        &self,
        pool: &str,
        state: impl Fn() -> PoolState + Clone + Send + Sync + 'static,
    ) {
        saturation::watch_pool(&self.inner.metrics, pool, state);
    }

    /// Shows how many tasks wait in a queue: `task_queue_depth{queue_name}`.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build()?.0;
    /// let (sender, receiver) = tokio::sync::mpsc::channel::<u8>(64);
    /// telemetry.watch_queue("emails", move || receiver.len());
    /// # drop(sender);
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_queue(&self, queue: &str, depth: impl Fn() -> usize + Send + Sync + 'static) {
        saturation::watch_queue(&self.inner.metrics, queue, depth);
    }

    /// Shows how busy a tokio runtime is: workers, tasks, queue, busy time and `tokio_scheduler_lag_seconds`, which a task of
    /// ours measures on that runtime. Its timers must be enabled. One runtime is watched: the first. [`init`] does so by itself.
    ///
    /// ```no_run
    /// # let telemetry = skopos::init()?;
    /// telemetry.watch_runtime(&tokio::runtime::Handle::current());
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    pub fn watch_runtime(&self, runtime: &tokio::runtime::Handle) {
        if !self.inner.is_runtime_watched.swap(true, Ordering::Relaxed) {
            saturation::runtime::watch(&self.inner.metrics, runtime);
        }
    }

    /// Shows the process (`process_*`: processor time, memory, file descriptors) and what its container may use
    /// (`container_*`). [`init`] does so by itself; to say it again changes nothing.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.watch_process();
    /// ```
    pub fn watch_process(&self) {
        if !self.inner.is_process_watched.swap(true, Ordering::Relaxed) {
            saturation::process::watch(&self.inner.metrics);
            saturation::cgroup::watch(&self.inner.metrics);
        }
    }

    /// Returns a router with `/metrics` and the three probes.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let health = skopos::health::Health::builder().build();
    /// let app: axum::Router = axum::Router::new().merge(telemetry.ops_router(health));
    /// # let _ = app;
    /// ```
    #[cfg(feature = "axum")]
    pub fn ops_router<S: Clone + Send + Sync + 'static>(
        &self,
        health: crate::health::Health,
    ) -> axum::Router<S> {
        crate::ops::router(self.inner.metrics.clone(), health)
    }

    /// Returns a router with `/version` and `/admin/log-level`, which reads (`GET`), changes (`PUT`) and restores (`DELETE`)
    /// the log level. It asks for no password: put it where only operators reach it. [`Telemetry::serve_ops`] has it.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let for_operators: axum::Router = axum::Router::new().merge(telemetry.admin_router());
    /// # let _ = for_operators;
    /// ```
    #[cfg(feature = "axum")]
    pub fn admin_router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        crate::ops::admin_router(&self.inner.service, self.inner.level.clone())
    }

    /// Serves `/metrics`, the three probes, `/version` and `/admin/log-level` on a port of their own. Must be called on a
    /// tokio runtime.
    ///
    /// ```
    /// # async fn example(telemetry: skopos::Telemetry, health: skopos::health::Health) -> std::io::Result<()> {
    /// let ops = telemetry.serve_ops(([0, 0, 0, 0], 9090).into(), health).await?;
    /// # let _ = ops;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address cannot be bound.
    #[cfg(feature = "axum")]
    pub async fn serve_ops(
        &self,
        address: std::net::SocketAddr,
        health: crate::health::Health,
    ) -> std::io::Result<crate::OpsServer> {
        let router = self.ops_router(health).merge(self.admin_router());
        crate::OpsServer::bind(address, router).await
    }

    /// Returns what is logged now, and until when.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert_eq!(telemetry.log_level().usual, "info");
    /// ```
    pub fn log_level(&self) -> LogLevel {
        self.inner.level.current()
    }

    /// Logs by another filter (syntax of `RUST_LOG`, without directives about spans) for a while; then the usual one comes
    /// back by itself. `PUT /admin/log-level` on the ops port and SIGUSR1 do the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// use skopos::{Service, Telemetry};
    ///
    /// let (telemetry, _layer) = Telemetry::builder(Service::new("shop")).without_lines().build()?;
    /// let level = telemetry.set_log_level("info,shop::cart=debug", Duration::from_secs(600))?;
    /// assert_eq!(level.temporary.as_deref(), Some("info,shop::cart=debug"));
    /// telemetry.reset_log_level();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The filter does not parse or is about spans, it goes below INFO in production, or the time is not from one second to
    /// a day.
    pub fn set_log_level(
        &self,
        filter: &str,
        duration: Duration,
    ) -> Result<LogLevel, LogLevelError> {
        self.inner.level.set(filter, duration)
    }

    /// Puts the usual filter back in force; returns whether another one was.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert!(!telemetry.reset_log_level(), "nothing was changed");
    /// ```
    pub fn reset_log_level(&self) -> bool {
        self.inner.level.reset()
    }

    /// Sends and writes what is waiting, for at most `timeout`; returns whether all of it went.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// assert!(telemetry.flush(std::time::Duration::from_secs(5)));
    /// ```
    pub fn flush(&self, timeout: Duration) -> bool {
        let (left, is_written, is_told) = self.inner.flush(clock::instant() + timeout, false);
        left == (0, 0) && is_written && is_told
    }

    /// Flushes and stops, for at most `timeout`. Works on any runtime or none, and blocks no worker: a thread of our own
    /// waits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let report = telemetry.shutdown(std::time::Duration::from_secs(5)).await;
    /// eprintln!("{report}"); // telemetry flushed, nothing lost
    /// # assert!(report.is_complete());
    /// # }
    /// ```
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let (done, report) = tokio::sync::oneshot::channel();
        let telemetry = self.clone();
        let started =
            std::thread::Builder::new().name("skopos-shutdown".to_owned()).spawn(move || {
                let _ = done.send(telemetry.shutdown_blocking(timeout));
            });
        match started {
            Ok(_) => report.await.unwrap_or_default(),
            // No thread to be had: better to block than to lose everything.
            Err(_) => self.shutdown_blocking(timeout),
        }
    }

    /// As [`Telemetry::shutdown`], for code without a runtime.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let report = telemetry.shutdown_blocking(std::time::Duration::from_secs(5));
    /// assert!(report.is_complete(), "{report}");
    /// ```
    pub fn shutdown_blocking(&self, timeout: Duration) -> ShutdownReport {
        self.inner.shutdown(clock::instant() + timeout)
    }

    fn warn_about_debug(&self) {
        if self.inner.is_floored {
            tracing::warn!(
                target: "skopos",
                "DEBUG logs are off in production, whatever the filter says; SKOPOS_ALLOW_DEBUG=true turns them on"
            );
        }
    }
}

impl Inner {
    /// Flushes the exporters at once, and then the lines. Returns what is left of logs and spans, whether the lines are
    /// written, and whether the collector has the latest metrics.
    fn flush(&self, deadline: Instant, closing: bool) -> ((u64, u64), bool, bool) {
        self.parts.pipeline.tell_suppressed();
        if let Some(console) = &self.console_metrics {
            if closing { console.close() } else { console.tell() }
        }
        #[cfg(feature = "otlp")]
        let (left, is_told) = std::thread::scope(|scope| {
            let spans = self.spans.as_ref().map(|spans| {
                scope.spawn(
                    move || if closing { spans.close(deadline) } else { spans.flush(deadline) },
                )
            });
            let metrics = self.pusher.as_ref().map(|pusher| {
                scope.spawn(
                    move || if closing { pusher.close(deadline) } else { pusher.flush(deadline) },
                )
            });
            let logs = self.logs.as_ref().map_or(0, |logs| {
                if closing { logs.close(deadline) } else { logs.flush(deadline) }
            });
            let spans = spans.map_or(0, |spans| spans.join().unwrap_or(0));
            let is_told = metrics.is_none_or(|metrics| metrics.join().unwrap_or(false));
            ((logs, spans), is_told)
        });
        #[cfg(not(feature = "otlp"))]
        let (left, is_told) = ((0, 0), true);
        let _ = closing;
        // A flush that only just missed still deserves its lines.
        let is_written = self.writer.as_ref().is_none_or(|writer| {
            writer.flush(deadline.max(clock::instant() + Duration::from_millis(50)))
        });
        (left, is_written, is_told)
    }

    /// Stops without a word to anybody: another one has the place, and speaks for the same service.
    fn abandon(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        if let Some(console) = &self.console_metrics {
            console.abandon();
        }
        #[cfg(feature = "otlp")]
        {
            if let Some(logs) = &self.logs {
                logs.abandon();
            }
            if let Some(spans) = &self.spans {
                spans.abandon();
            }
            if let Some(pusher) = &self.pusher {
                pusher.abandon();
            }
        }
    }

    fn shutdown(&self, deadline: Instant) -> ShutdownReport {
        self.is_down.store(true, Ordering::Relaxed);
        let ((logs_left, spans_left), is_written, is_told) = self.flush(deadline, true);
        #[cfg(feature = "otlp")]
        let (exported, logs_dropped, spans_dropped) = {
            let logs = self.logs.as_ref().map(export::Counted::counts);
            let spans = self.spans.as_ref().map(export::Counted::counts);
            let exported = logs.map_or(0, |counts| counts.exported.load(Ordering::Relaxed))
                + spans.map_or(0, |counts| counts.exported.load(Ordering::Relaxed));
            (
                exported,
                logs.map_or(0, export::Counts::dropped),
                spans.map_or(0, export::Counts::dropped),
            )
        };
        #[cfg(not(feature = "otlp"))]
        let (exported, logs_dropped, spans_dropped) = (0, 0, 0);
        #[cfg(feature = "otlp")]
        let cause = self.trouble();
        #[cfg(not(feature = "otlp"))]
        let cause = None;
        ShutdownReport {
            exported,
            logs_lost: logs_dropped + logs_left,
            spans_lost: spans_dropped + spans_left,
            lines_lost: self.writer.as_ref().map_or(0, LineWriter::dropped),
            metrics_lost: !is_told,
            timed_out: logs_left + spans_left > 0 || !is_written,
            cause,
        }
    }

    /// What keeps telemetry from a collector just now.
    #[cfg(feature = "otlp")]
    fn trouble(&self) -> Option<String> {
        use export::Counted as _;
        let spans = self.spans.as_ref().and_then(Exporter::trouble);
        let logs = || self.logs.as_ref().and_then(Exporter::trouble);
        spans.or_else(logs).or_else(|| self.pusher.as_ref().and_then(Pusher::trouble))
    }

    /// The SDK's account of itself.
    fn register_own_metrics(&self) {
        if let Some(writer) = self.writer.clone() {
            self.metrics.counter_fn(
                "skopos_log_lines_dropped_total",
                "Log lines that standard output did not take.",
                &[],
                move || writer.dropped(),
            );
        }
        #[cfg(feature = "otlp")]
        {
            if let Some(logs) = &self.logs {
                register_exporter(&self.metrics, logs);
            }
            if let Some(spans) = &self.spans {
                register_exporter(&self.metrics, spans);
            }
            if let Some(pusher) = &self.pusher {
                let pusher = pusher.clone();
                register_counts(&self.metrics, "metrics", move || pusher.clone());
            }
        }
    }
}

#[cfg(feature = "otlp")]
fn register_exporter<S: export::Signal>(metrics: &Registry, exporter: &Exporter<S>) {
    let exporter = exporter.clone();
    register_counts(metrics, S::NAME, move || exporter.clone());
}

/// Shows what became of a signal's items.
#[cfg(feature = "otlp")]
fn register_counts<C: export::Counted>(metrics: &Registry, signal: &str, exporter: impl Fn() -> C) {
    use export::Counts;
    use std::sync::atomic::AtomicU64;
    let signal = ("signal", signal);
    let add =
        |name: &str, help: &str, labels: &[(&str, &str)], field: fn(&Counts) -> &AtomicU64| {
            let exporter = exporter();
            metrics.counter_fn(name, help, labels, move || {
                field(exporter.counts()).load(Ordering::Relaxed)
            });
        };
    add("skopos_telemetry_exported_total", "Items that a collector took.", &[signal], |counts| {
        &counts.exported
    });
    add(
        "skopos_telemetry_failed_requests_total",
        "Export requests that failed, retried ones included.",
        &[signal],
        |counts| &counts.failed_requests,
    );
    let dropped = "skopos_telemetry_dropped_total";
    let help = "Items that were not delivered, by reason.";
    add(dropped, help, &[signal, ("reason", "queue_full")], |counts| &counts.dropped_queue_full);
    add(dropped, help, &[signal, ("reason", "refused")], |counts| &counts.dropped_refused);
    add(dropped, help, &[signal, ("reason", "unreachable")], |counts| &counts.dropped_unreachable);
    if exporter().is_local() {
        let help = "Items for which no collector of this machine was there; in development only.";
        add("skopos_telemetry_unheard_total", help, &[signal], |counts| &counts.unheard);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.is_down.load(Ordering::Relaxed) {
            self.shutdown(clock::instant() + DROP_PATIENCE);
        }
    }
}
