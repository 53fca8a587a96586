//! The running pipeline and its handle. [`builder`] puts it together; what a service asks of it stands by purpose:
//! [`instrument`] for what is to be seen, [`watch`] for what it shows of itself, [`operate`] for its operators, [`end`] for how
//! it comes down. [`account`] is what the SDK says of itself.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use skopos_redact::Redactor;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry as SpanRegistry};

use crate::Service;
use crate::context::global;
use crate::context::propagators::Propagators;
use crate::db::DbMetrics;
use crate::filter::{Filters, SignalFilter};
use crate::http::HttpLayer;
use crate::level::LevelControl;
use crate::log::metrics::ConsoleMetrics;
use crate::log::writer::LineWriter;
use crate::log::{LogLayer, Pipeline};
use crate::metrics::Registry;
use crate::propagation::Hosts;
use crate::slo::Objectives;
use crate::work::WorkMetrics;

#[cfg(feature = "otlp")]
use crate::export::{Exporter, logs::Logs, metrics::Pusher, spans::Spans};

mod account;
mod builder;
mod end;
mod instrument;
mod operate;
mod sound;
mod spans;
mod watch;

pub use builder::{Builder, Preset};
use spans::SpanLayer;

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

    fn warn_about_debug(&self) {
        if self.inner.is_floored {
            tracing::warn!(
                target: "skopos",
                "DEBUG logs are off in production, whatever the filter says; SKOPOS_ALLOW_DEBUG=true turns them on"
            );
        }
    }
}
