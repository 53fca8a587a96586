//! Putting it together: from settings to a running pipeline, and back down.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler as OtelSampler, SdkTracerProvider};
use skopos_redact::Redactor;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry as SpanRegistry};

use crate::clock::{self, Clock};
use crate::config::{self, Config, LogFormat, Sampler};
use crate::filter::SignalFilter;
use crate::http::{HttpLayer, RedMetrics};
use crate::log::json::JsonSink;
use crate::log::pretty::PrettySink;
use crate::log::writer::LineWriter;
use crate::log::{self, LogLayer, Sink};
use crate::metrics::Registry;
use crate::{Service, ShutdownReport};

#[cfg(feature = "otlp")]
use crate::export::{self, Exporter, logs::Logs, spans::Spans};

/// Libraries that talk much and are held at WARN, unless `RUST_LOG` names them.
const QUIET: &[&str] = &[
    "hyper",
    "hyper_util",
    "h2",
    "tonic",
    "tower",
    "tower_http",
    "rustls",
    "reqwest",
    "sqlx",
    "mio",
    "want",
];

/// How long dropping the last handle may wait for a flush. Call [`Telemetry::shutdown`] to choose.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Another `tracing` subscriber is set; use [`Builder::build`] and add the layer to that one.
    #[error("another tracing subscriber is already installed")]
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
pub type TelemetryLayer = Box<dyn Layer<SpanRegistry> + Send + Sync>;

/// Sets up logs, traces and metrics from the environment, with JSON lines when not on a terminal or in production.
///
/// # Errors
/// Another subscriber is installed.
pub fn init() -> Result<Telemetry, InitError> {
    let name = std::env::current_exe()
        .ok()
        .and_then(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "unknown_service".to_owned());
    Telemetry::builder(Service::new(name)).from_env().install()
}

/// Settings under construction.
pub struct Builder {
    service: Service,
    config: Config,
    redactor: Redactor,
    quiet: Vec<String>,
    filter: Option<String>,
    format: Option<LogFormat>,
    clock: Clock,
    output: Option<Box<dyn Write + Send>>,
    has_lines: bool,
    has_panic_hook: bool,
    series_limit: Option<usize>,
    http_prefix: String,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Builder").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Builder {
    fn new(service: Service) -> Builder {
        Builder {
            service,
            config: Config::quiet(),
            redactor: Redactor::default(),
            quiet: QUIET.iter().map(|name| (*name).to_owned()).collect(),
            filter: None,
            format: None,
            clock: Clock::system(),
            output: None,
            has_lines: true,
            has_panic_hook: true,
            series_limit: None,
            http_prefix: String::new(),
        }
    }

    /// Reads `OTEL_*`, `RUST_LOG`, `ENVIRONMENT` and `SKOPOS_LOG_FORMAT`. What they say wins over the [`Service`] given.
    #[must_use]
    pub fn from_env(self) -> Builder {
        self.from_lookup(|key| std::env::var(key).ok())
    }

    /// As [`Builder::from_env`], with variables from elsewhere.
    #[must_use]
    pub fn from_lookup(mut self, variable: impl Fn(&str) -> Option<String>) -> Builder {
        self.config = config::read(&mut self.service, variable);
        self
    }

    /// Uses a redactor with rules of one's own.
    #[must_use]
    pub fn redact(mut self, redactor: Redactor) -> Builder {
        self.redactor = redactor;
        self
    }

    /// Holds these targets at WARN, besides the ones that are held there anyway. `RUST_LOG` can still raise them by name.
    #[must_use]
    pub fn quiet<I: IntoIterator<Item: Into<String>>>(mut self, targets: I) -> Builder {
        self.quiet.extend(targets.into_iter().map(Into::into));
        self
    }

    /// Sets the log filter, in the syntax of `RUST_LOG`, which wins over it.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Builder {
        self.filter = Some(filter.into());
        self
    }

    /// Sets the form of the lines; `SKOPOS_LOG_FORMAT` wins over it.
    #[must_use]
    pub fn format(mut self, format: LogFormat) -> Builder {
        self.format = Some(format);
        self
    }

    /// Bounds the label sets that each metric keeps apart (2,000 unless said otherwise).
    #[must_use]
    pub fn series_limit(mut self, limit: usize) -> Builder {
        self.series_limit = Some(limit);
        self
    }

    /// Puts a prefix before the names of the HTTP metrics, so that rules about `http_requests_total` do not see this service:
    /// for infrastructure, not for services.
    #[must_use]
    pub fn http_metrics_prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.http_prefix = prefix.into();
        self
    }

    /// Writes lines to another place than standard output. It is written to by a thread of our own.
    #[must_use]
    pub fn output(mut self, output: impl Write + Send + 'static) -> Builder {
        self.output = Some(Box::new(output));
        self
    }

    /// Writes no lines at all; logs are only exported.
    #[must_use]
    pub fn without_lines(mut self) -> Builder {
        self.has_lines = false;
        self
    }

    /// Leaves the panic hook as it is.
    #[must_use]
    pub fn without_panic_hook(mut self) -> Builder {
        self.has_panic_hook = false;
        self
    }

    /// Takes the time of log lines from elsewhere, for tests.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Builder {
        self.clock = Clock::from_fn(now);
        self
    }

    /// Sets everything up and makes it the global subscriber; panics are logged from then on.
    ///
    /// # Errors
    /// Another subscriber is installed, or the filter given in code does not parse.
    pub fn install(self) -> Result<Telemetry, InitError> {
        let has_panic_hook = self.has_panic_hook;
        let warnings = self.config.warnings.clone();
        let (telemetry, layer) = self.build()?;
        tracing::subscriber::set_global_default(SpanRegistry::default().with(layer))
            .map_err(|_| InitError::SubscriberAlreadySet)?;
        // Records of the `log` crate come along. That another bridge is set already harms nothing.
        let _ = tracing_log::LogTracer::init();
        if has_panic_hook {
            log::panic::install(telemetry.inner.writer.clone());
        }
        for warning in warnings {
            tracing::warn!(target: "skopos", "{warning}");
        }
        telemetry.warn_about_debug();
        Ok(telemetry)
    }

    /// Sets everything up without touching global state: for tests, and for subscribers of one's own.
    ///
    /// ```
    /// use skopos::{Service, Telemetry};
    /// use tracing_subscriber::layer::SubscriberExt as _;
    ///
    /// let (telemetry, layer) = Telemetry::builder(Service::new("shop")).without_lines().build()?;
    /// let subscriber = tracing_subscriber::registry().with(layer);
    /// tracing::subscriber::with_default(subscriber, || tracing::info!("hello"));
    /// # drop(telemetry);
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    ///
    /// # Errors
    /// The filter given in code does not parse.
    pub fn build(mut self) -> Result<(Telemetry, TelemetryLayer), InitError> {
        let filter = self.event_filter()?;
        let is_verbose = filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
        let is_floored = is_verbose && self.service.is_production() && !self.config.allows_debug;
        let floor = if is_floored { LevelFilter::INFO } else { LevelFilter::TRACE };
        let metrics = Registry::new();
        if let Some(limit) = self.series_limit {
            metrics.limit_series(limit);
        }

        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        let writer = self.has_lines.then(|| self.line_sink(&mut sinks));
        let is_disabled = self.config.disabled;
        #[cfg(feature = "otlp")]
        let (logs, spans) = self.exporters();
        #[cfg(feature = "otlp")]
        if let Some(logs) = &logs {
            sinks.push(Box::new(export::logs::OtlpSink(logs.clone())));
        }

        let provider = SdkTracerProvider::builder()
            .with_sampler(otel_sampler(self.config.sampler))
            .with_resource(opentelemetry_sdk::Resource::builder_empty().build());
        #[cfg(feature = "otlp")]
        let provider = match &spans {
            Some(exporter) => provider.with_span_processor(export::spans::Processor {
                exporter: exporter.clone(),
                redactor: self.redactor.clone(),
            }),
            None => provider,
        };
        let provider = provider.build();
        let traces = (!is_disabled).then(|| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("skopos"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
        });
        let layer: TelemetryLayer =
            Box::new(SignalFilter::new(filter, floor).and_then(traces).and_then(LogLayer::new(
                self.redactor.clone(),
                self.clock.clone(),
                sinks,
                &metrics,
            )));

        let inner = Inner {
            http: HttpLayer::new(
                RedMetrics::register(&metrics, &self.http_prefix),
                self.config.trace_context,
                self.config.baggage,
            ),
            is_floored,
            service: self.service,
            redactor: self.redactor,
            metrics,
            writer,
            #[cfg(feature = "otlp")]
            logs,
            #[cfg(feature = "otlp")]
            spans,
            is_down: AtomicBool::new(false),
        };
        inner.register_own_metrics();
        Ok((Telemetry { inner: Arc::new(inner) }, layer))
    }

    fn line_sink(&mut self, sinks: &mut Vec<Box<dyn Sink>>) -> LineWriter {
        let is_own_output = self.output.is_some();
        let is_terminal = !is_own_output && std::io::stdout().is_terminal();
        let format = self.config.format.or(self.format).unwrap_or({
            if is_terminal && !self.service.is_production() {
                LogFormat::Pretty
            } else {
                LogFormat::Json
            }
        });
        let output = self.output.take().unwrap_or_else(|| Box::new(std::io::stdout()));
        let writer = LineWriter::spawn(output);
        sinks.push(match format {
            LogFormat::Json => Box::new(JsonSink::new(&self.service, writer.clone())),
            LogFormat::Pretty => {
                let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none();
                Box::new(PrettySink { writer: writer.clone(), is_coloured })
            }
        });
        writer
    }

    fn event_filter(&mut self) -> Result<EnvFilter, InitError> {
        // Later directives win over earlier ones of the same target.
        let mut base: String = self.quiet.iter().map(|target| format!("{target}=warn,")).collect();
        base.push_str("skopos=info,");
        let parse = |filter: &str| EnvFilter::builder().parse(format!("{base}{filter}"));
        if let Some(from_environment) = &self.config.filter {
            match parse(from_environment) {
                Ok(filter) => return Ok(filter),
                Err(error) => {
                    self.config.warnings.push(format!("RUST_LOG does not parse: {error}"))
                }
            }
        }
        let filter = self.filter.as_deref().unwrap_or("info");
        parse(filter).map_err(|error| InitError::Filter {
            filter: filter.to_owned(),
            reason: error.to_string(),
        })
    }

    #[cfg(feature = "otlp")]
    fn exporters(&self) -> (Option<Exporter<Logs>>, Option<Exporter<Spans>>) {
        if self.config.disabled {
            return (None, None);
        }
        let resource = export::logs::resource(&self.service.resource());
        let logs = self.config.logs.as_ref().map(|endpoint| {
            Exporter::spawn(Logs { resource: resource.clone() }, endpoint, self.config.log_batching)
        });
        let spans = self.config.traces.as_ref().map(|endpoint| {
            Exporter::spawn(
                Spans { resource: resource.clone() },
                endpoint,
                self.config.span_batching,
            )
        });
        (logs, spans)
    }
}

fn otel_sampler(sampler: Sampler) -> OtelSampler {
    let parent = |root: OtelSampler| OtelSampler::ParentBased(Box::new(root));
    match sampler {
        Sampler::AlwaysOn => OtelSampler::AlwaysOn,
        Sampler::AlwaysOff => OtelSampler::AlwaysOff,
        Sampler::Ratio(ratio) => OtelSampler::TraceIdRatioBased(ratio),
        Sampler::ParentAlwaysOn => parent(OtelSampler::AlwaysOn),
        Sampler::ParentAlwaysOff => parent(OtelSampler::AlwaysOff),
        Sampler::ParentRatio(ratio) => parent(OtelSampler::TraceIdRatioBased(ratio)),
    }
}

/// A handle to everything. Cloning shares it; dropping the last one flushes, for at most one second.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    service: Service,
    redactor: Redactor,
    metrics: Registry,
    http: HttpLayer,
    writer: Option<LineWriter>,
    #[cfg(feature = "otlp")]
    logs: Option<Exporter<Logs>>,
    #[cfg(feature = "otlp")]
    spans: Option<Exporter<Spans>>,
    is_floored: bool,
    is_down: AtomicBool,
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
    pub fn builder(service: Service) -> Builder {
        Builder::new(service)
    }

    /// Returns the layer for HTTP services: request id, span, RED metrics, access line.
    pub fn http_layer(&self) -> HttpLayer {
        self.inner.http.clone()
    }

    /// Returns the registry for metrics of one's own.
    pub fn registry(&self) -> &Registry {
        &self.inner.metrics
    }

    /// Returns the redactor that all sinks share.
    pub fn redactor(&self) -> &Redactor {
        &self.inner.redactor
    }

    /// Returns who speaks, with what the environment said about it.
    pub fn service(&self) -> &Service {
        &self.inner.service
    }

    /// Returns a client that propagates the current request.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(&self, client: reqwest::Client) -> crate::reqwest::Client {
        crate::reqwest::Client::new(client)
    }

    /// Returns a router with `/metrics` and the three probes.
    #[cfg(feature = "axum")]
    pub fn ops_router<S: Clone + Send + Sync + 'static>(
        &self,
        health: crate::health::Health,
    ) -> axum::Router<S> {
        crate::ops::router(self.inner.metrics.clone(), health)
    }

    /// Serves `/metrics` and the three probes on a port of their own. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    #[cfg(feature = "axum")]
    pub async fn serve_ops(
        &self,
        address: std::net::SocketAddr,
        health: crate::health::Health,
    ) -> std::io::Result<crate::OpsServer> {
        crate::OpsServer::bind(address, self.ops_router(health)).await
    }

    /// Sends and writes what is waiting, for at most `timeout`; returns whether all of it went.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (left, is_written) = self.inner.flush(clock::instant() + timeout, false);
        left == (0, 0) && is_written
    }

    /// Flushes and stops, for at most `timeout`. Works on any runtime or none, and blocks no worker: a thread of our own
    /// waits.
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
    /// Flushes both exporters at once, and then the lines. Returns what is left of logs and spans.
    fn flush(&self, deadline: Instant, closing: bool) -> ((u64, u64), bool) {
        #[cfg(feature = "otlp")]
        let left = std::thread::scope(|scope| {
            let spans = self.spans.as_ref().map(|spans| {
                scope.spawn(
                    move || if closing { spans.close(deadline) } else { spans.flush(deadline) },
                )
            });
            let logs = self.logs.as_ref().map_or(0, |logs| {
                if closing { logs.close(deadline) } else { logs.flush(deadline) }
            });
            let spans = spans.map_or(0, |spans| spans.join().unwrap_or(0));
            (logs, spans)
        });
        #[cfg(not(feature = "otlp"))]
        let left = (0, 0);
        let _ = closing;
        // A flush that only just missed still deserves its lines.
        let is_written = self.writer.as_ref().is_none_or(|writer| {
            writer.flush(deadline.max(clock::instant() + Duration::from_millis(50)))
        });
        (left, is_written)
    }

    fn shutdown(&self, deadline: Instant) -> ShutdownReport {
        self.is_down.store(true, Ordering::Relaxed);
        let ((logs_left, spans_left), is_written) = self.flush(deadline, true);
        #[cfg(feature = "otlp")]
        let (exported, logs_dropped, spans_dropped) = {
            let logs = self.logs.as_ref().map(Exporter::counts);
            let spans = self.spans.as_ref().map(Exporter::counts);
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
        ShutdownReport {
            exported,
            logs_lost: logs_dropped + logs_left,
            spans_lost: spans_dropped + spans_left,
            lines_lost: self.writer.as_ref().map_or(0, LineWriter::dropped),
            timed_out: logs_left + spans_left > 0 || !is_written,
        }
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
        }
    }
}

#[cfg(feature = "otlp")]
fn register_exporter<S: export::Signal>(metrics: &Registry, exporter: &Exporter<S>) {
    use export::Counts;
    use std::sync::atomic::AtomicU64;
    let signal = ("signal", S::NAME);
    let add =
        |name: &str, help: &str, labels: &[(&str, &str)], field: fn(&Counts) -> &AtomicU64| {
            let exporter = exporter.clone();
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
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.is_down.load(Ordering::Relaxed) {
            self.shutdown(clock::instant() + DROP_PATIENCE);
        }
    }
}
