//! Putting it together: from settings to a running pipeline.

use std::io::{IsTerminal as _, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use opentelemetry_sdk::trace::{Sampler as OtelSampler, SdkTracerProvider, SpanLimits};
use skopos_redact::Redactor;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry as SpanRegistry};

use super::{InitError, Inner, Parts, Telemetry, TelemetryLayer};
use crate::Service;
use crate::clock::Clock;
use crate::config::limits::Limits;
use crate::config::{self, Config, LogFormat, Sampler};
use crate::context::global;
use crate::filter::{Filters, QUIET, words};
use crate::http::{HttpLayer, RedMetrics};
use crate::level::{self, LevelControl};
use crate::log::format;
use crate::log::json::JsonSink;
use crate::log::limit::DEFAULT_PER_SECOND;
use crate::log::metrics::ConsoleMetrics;
use crate::log::pretty::PrettySink;
use crate::log::spans::ConsoleSpans;
use crate::log::writer::LineWriter;
use crate::log::{self, Pipeline, Sink};
use crate::metrics::Registry;
use crate::propagation::Hosts;
use crate::sampling::RateLimited;
use crate::slo::Objectives;

#[cfg(feature = "otlp")]
use crate::export::{
    self, Exporter, logs::Logs, metrics::Pusher, spans::Pending, spans::Spans, trouble::Voice,
};

/// What is usual in a kind of place, for [`Builder::preset`].
///
/// ```
/// let builder = skopos::Telemetry::builder(skopos::service!()).preset(skopos::Preset::Development);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// At a desk: pretty lines, DEBUG and above.
    Development,
    /// In front of users: JSON lines, INFO and above.
    Production,
}

/// Settings under construction.
///
/// ```
/// let (telemetry, layer) = skopos::Telemetry::builder(skopos::service!())
///     .from_env()
///     .filter("info,shop=debug")
///     .traces_per_second(50.0)
///     .without_lines()
///     .build()?;
/// # let _ = (telemetry, layer);
/// # Ok::<(), skopos::InitError>(())
/// ```
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
    has_signals: bool,
    looks_for_collector: bool,
    lines_per_second: Option<u32>,
    series_limit: Option<usize>,
    http_prefix: String,
    propagate_to: Option<Vec<String>>,
    traces_per_second: Option<f64>,
    #[cfg(feature = "testing")]
    capture: Option<(Box<dyn Sink>, crate::testing::Collecting)>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Builder").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(service: Service) -> Builder {
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
            has_signals: true,
            looks_for_collector: false,
            lines_per_second: Some(DEFAULT_PER_SECOND),
            series_limit: None,
            http_prefix: String::new(),
            propagate_to: None,
            traces_per_second: None,
            #[cfg(feature = "testing")]
            capture: None,
        }
    }

    /// Reads `OTEL_*`, `RUST_LOG`, `ENVIRONMENT`, `SERVICE_NAME`, `SERVICE_VERSION` and `SKOPOS_*`, and finds out where the
    /// process runs: host, process, container, Kubernetes (downward API), revision. What the environment says wins over the
    /// [`Service`] given; what is found out does not.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).from_env();
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn from_env(self) -> Builder {
        let variable = |key: &str| std::env::var(key).ok();
        let mut builder = self.from_lookup(variable);
        crate::service::detect::detect(&mut builder.service, variable, |path| {
            std::fs::read_to_string(path).ok()
        });
        builder
    }

    /// Starts from what is usual in a kind of place. The environment and later calls win over it.
    ///
    /// ```
    /// use skopos::{Preset, Telemetry};
    /// let builder = Telemetry::builder(skopos::service!()).preset(Preset::Production).from_env();
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn preset(mut self, preset: Preset) -> Builder {
        let (environment, format, filter) = match preset {
            Preset::Development => ("development", LogFormat::Pretty, "debug"),
            Preset::Production => ("production", LogFormat::Json, "info"),
        };
        self.service.environment.get_or_insert_with(|| environment.to_owned());
        self.format = Some(format);
        self.filter = Some(filter.to_owned());
        self
    }

    /// As [`Builder::from_env`], with variables from elsewhere.
    ///
    /// ```
    /// let (telemetry, _layer) = skopos::Telemetry::builder(skopos::service!())
    ///     .from_lookup(|key| (key == "OTEL_SERVICE_NAME").then(|| "orders".to_owned()))
    ///     .build()?;
    /// assert_eq!(telemetry.service().name(), "orders");
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    #[must_use]
    pub fn from_lookup(mut self, variable: impl Fn(&str) -> Option<String>) -> Builder {
        self.config = config::read(&mut self.service, variable);
        self
    }

    /// Uses a redactor with rules of one's own.
    ///
    /// ```
    /// use skopos::redact::Redactor;
    ///
    /// let redactor = Redactor::builder().deny("**.iban").build()?;
    /// let builder = skopos::Telemetry::builder(skopos::service!()).redact(redactor);
    /// # let _ = builder;
    /// # Ok::<(), skopos::redact::Error>(())
    /// ```
    #[must_use]
    pub fn redact(mut self, redactor: Redactor) -> Builder {
        self.redactor = redactor;
        self
    }

    /// Holds these targets at WARN, besides the ones that are held there anyway. `RUST_LOG` can still raise them by name.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).quiet(["chatty_driver"]);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn quiet<I: IntoIterator<Item: Into<String>>>(mut self, targets: I) -> Builder {
        self.quiet.extend(targets.into_iter().map(Into::into));
        self
    }

    /// Sets the log filter, in the syntax of `RUST_LOG`, which wins over it.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).filter("info,shop::cart=debug");
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Builder {
        self.filter = Some(filter.into());
        self
    }

    /// Sets the form of the lines; `SKOPOS_LOG_FORMAT` wins over it.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).format(skopos::LogFormat::Pretty);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn format(mut self, format: LogFormat) -> Builder {
        self.format = Some(format);
        self
    }

    /// Bounds the label sets that each metric keeps apart (2,000 unless said otherwise).
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).series_limit(500);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn series_limit(mut self, limit: usize) -> Builder {
        self.series_limit = Some(limit);
        self
    }

    /// Puts a prefix before the names of the HTTP metrics, so that rules about `http_requests_total` do not see this service:
    /// for infrastructure, not for services.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).http_metrics_prefix("proxy_");
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn http_metrics_prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.http_prefix = prefix.into();
        self
    }

    /// Sends ids of requests and traces to these hosts only, from every client that this telemetry makes; one that begins with
    /// a dot stands for all below it (`.example.com`), `private` for all that are not on the public internet, and `*` for all.
    /// Without a list it is `private`. `SKOPOS_PROPAGATE_TO` wins over it.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).propagate_to(["private", "payments.example.com"]);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn propagate_to<I: IntoIterator<Item: Into<String>>>(mut self, hosts: I) -> Builder {
        self.propagate_to = Some(hosts.into_iter().map(Into::into).collect());
        self
    }

    /// Samples at most so many new traces a second; traces that are continued follow the caller's decision.
    /// `OTEL_TRACES_SAMPLER` and `SKOPOS_TRACES_PER_SECOND` win over it.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).traces_per_second(50.0);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn traces_per_second(mut self, rate: f64) -> Builder {
        self.traces_per_second = Some(rate);
        self
    }

    /// Writes lines to another place than standard output. It is written to by a thread of our own.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).output(std::io::stderr());
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn output(mut self, output: impl Write + Send + 'static) -> Builder {
        self.output = Some(Box::new(output));
        self
    }

    /// Writes no lines at all; logs are only exported.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).without_lines();
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn without_lines(mut self) -> Builder {
        self.has_lines = false;
        self
    }

    /// Leaves the panic hook as it is.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).without_panic_hook();
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn without_panic_hook(mut self) -> Builder {
        self.has_panic_hook = false;
        self
    }

    /// Leaves SIGUSR1 alone, which otherwise toggles DEBUG for ten minutes.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).without_signals();
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn without_signals(mut self) -> Builder {
        self.has_signals = false;
        self
    }

    /// At a desk, where the environment names no OTLP endpoint, sends telemetry to the collector of this machine: to
    /// 127.0.0.1:4318 when somebody listens there (`skopos serve`, `skopos doctor`, an OpenTelemetry Collector), and nowhere
    /// when not. What nobody takes is let go without a word, and counted in `skopos_telemetry_unheard_total`. [`init`] does so.
    ///
    /// A desk is where `ENVIRONMENT` is `development`, `dev` or `local`; where nothing is said, only a debug build looks.
    /// `SKOPOS_LOCAL_COLLECTOR` is another loopback address, or `none`.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).from_env().local_collector();
    /// # let _ = builder;
    /// ```
    ///
    /// [`init`]: crate::init
    #[must_use]
    pub fn local_collector(mut self) -> Builder {
        self.looks_for_collector = true;
        self
    }

    /// Sets how many lines one call site may write in a second (1,000 unless said otherwise). Further ones are counted: on
    /// the next line as `suppressed_lines`, and in `skopos_log_lines_suppressed_total`. Access lines are not limited.
    /// `SKOPOS_LOG_RATE_LIMIT` wins over it; 0 is no limit.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).lines_per_second(100);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn lines_per_second(mut self, lines: u32) -> Builder {
        self.lines_per_second = (lines > 0).then_some(lines);
        self
    }

    /// Takes the time of log lines from elsewhere, for tests.
    ///
    /// ```
    /// let builder = skopos::Telemetry::builder(skopos::service!()).clock(|| std::time::UNIX_EPOCH);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Builder {
        self.clock = Clock::from_fn(now);
        self
    }

    /// Gives records and spans to a test, too.
    #[cfg(feature = "testing")]
    pub(crate) fn capturing(
        mut self,
        logs: Box<dyn Sink>,
        spans: crate::testing::Collecting,
    ) -> Builder {
        self.capture = Some((logs, spans));
        self
    }

    /// Sets everything up and makes it the global subscriber; panics are logged from then on, and libraries that use
    /// OpenTelemetry's own API send their spans and read and write headers through us.
    ///
    /// ```no_run
    /// let telemetry = skopos::Telemetry::builder(skopos::service!()).from_env().install()?;
    /// # let _ = telemetry;
    /// # Ok::<(), skopos::InitError>(())
    /// ```
    ///
    /// # Errors
    /// Another subscriber is installed, or the filter given in code does not parse.
    pub fn install(self) -> Result<Telemetry, InitError> {
        let has_panic_hook = self.has_panic_hook;
        let has_signals = self.has_signals;
        let propagators = self.config.propagators;
        let (telemetry, warnings) = self.assemble()?;
        let subscriber = SpanRegistry::default().with(telemetry.layers());
        if tracing::subscriber::set_global_default(subscriber).is_err() {
            telemetry.inner.abandon();
            return Err(InitError::SubscriberAlreadySet);
        }
        let provider = telemetry.inner.parts.provider.clone();
        #[cfg(feature = "otel-metrics")]
        opentelemetry::global::set_meter_provider(telemetry.inner.metrics.meter_provider());
        global::install(provider, propagators);
        // Records of the `log` crate come along. That another bridge is set already harms nothing.
        let _ = tracing_log::LogTracer::init();
        if has_panic_hook {
            log::panic::install(telemetry.inner.writer.clone());
        }
        #[cfg(unix)]
        if has_signals && let Err(error) = level::follow_signal(telemetry.inner.level.clone()) {
            tracing::warn!(target: "skopos", %error, "SIGUSR1 does not change the log level");
        }
        let _ = has_signals;
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
    pub fn build(self) -> Result<(Telemetry, TelemetryLayer), InitError> {
        let (telemetry, _) = self.assemble()?;
        let layer = telemetry.layers();
        Ok((telemetry, layer))
    }

    /// Returns what was made of the settings, and what of them could not be used.
    fn assemble(mut self) -> Result<(Telemetry, Vec<String>), InitError> {
        if self.looks_for_collector && self.service.is_at_a_desk(cfg!(debug_assertions)) {
            // There is none where an endpoint was named.
            let local = std::mem::take(&mut self.config.local);
            self.config.traces = self.config.traces.or(local.traces);
            self.config.logs = self.config.logs.or(local.logs);
            self.config.metrics = self.config.metrics.or(local.metrics);
        }
        let (filter, base, usual) = self.event_filter()?;
        let is_verbose = filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
        let has_floor = self.service.is_production() && !self.config.allows_debug;
        let is_floored = is_verbose && has_floor;
        let floor = if has_floor { LevelFilter::INFO } else { LevelFilter::TRACE };
        let filters = Arc::new(Filters::new(filter, floor, self.config.propagators));
        let level = LevelControl::new(filters.clone(), base, usual, has_floor);
        let metrics = Registry::new();
        crate::context::begin_pipeline();
        if let Some(limit) = self.series_limit {
            metrics.limit_series(limit);
        }

        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        let lines = self.has_lines.then(|| self.line_sink());
        let (lines, writer) = lines.unzip();
        sinks.extend(lines.clone().map(|lines| Box::new(lines) as Box<dyn Sink>));
        let is_disabled = self.config.disabled;
        let console_metrics = lines.clone().filter(|_| self.config.console_metrics && !is_disabled);
        let console_metrics = console_metrics.map(|lines| {
            let interval = self.config.pushing.console_interval;
            ConsoleMetrics::spawn(metrics.clone(), lines, self.clock.clone(), interval)
        });
        #[cfg(feature = "otlp")]
        let voice = Voice {
            lines: lines.clone(),
            redactor: self.redactor.clone(),
            clock: self.clock.clone(),
            has_greeted: Arc::default(),
        };
        #[cfg(feature = "otlp")]
        let (logs, spans) = self.exporters(&voice);
        #[cfg(feature = "otlp")]
        if let Some(logs) = &logs {
            let limits = self.config.limits;
            sinks.push(Box::new(export::logs::OtlpSink { exporter: logs.clone(), limits }));
        }

        #[cfg(feature = "otlp")]
        let pusher = self.pusher(&metrics, voice);
        let sampler = match (self.config.sampler, self.traces_per_second) {
            (Sampler::ParentAlwaysOn, Some(rate)) => Sampler::ParentRateLimited(rate),
            (sampler, _) => sampler,
        };
        let hosts = match self.config.propagate_to.take().or(self.propagate_to.take()) {
            Some(hosts) => Hosts::listed(hosts),
            None => Hosts::default(),
        };

        #[cfg(feature = "otlp")]
        let tells_pending = self.config.pending_spans.unwrap_or(self.service.is_development());
        let provider = SdkTracerProvider::builder()
            .with_sampler(otel_sampler(sampler))
            .with_span_limits(span_limits(&self.config.limits))
            .with_resource(opentelemetry_sdk::Resource::builder_empty().build());
        #[cfg(feature = "otlp")]
        let provider = match &spans {
            Some(exporter) => provider.with_span_processor(export::spans::Processor {
                exporter: exporter.clone(),
                pending: logs.as_ref().filter(|_| tells_pending).map(|logs| Pending {
                    logs: logs.clone(),
                    limits: self.config.limits,
                    redactor: self.redactor.clone(),
                }),
            }),
            None => provider,
        };
        let console = lines.filter(|_| self.config.console_spans);
        let has_span_readers = console.is_some();
        let provider = match console {
            Some(lines) => provider
                .with_span_processor(ConsoleSpans { lines, redactor: self.redactor.clone() }),
            None => provider,
        };
        #[cfg(feature = "otlp")]
        let has_span_readers = has_span_readers || spans.is_some();
        #[cfg(feature = "testing")]
        let has_span_readers = has_span_readers || self.capture.is_some();
        #[cfg(feature = "testing")]
        let provider = match self.capture.take() {
            Some((logs, mut spans)) => {
                sinks.push(logs);
                spans.redactor = self.redactor.clone();
                provider.with_span_processor(spans)
            }
            None => provider,
        };
        let provider = (!is_disabled).then(|| provider.build());
        let pipeline = Pipeline::new(
            self.redactor.clone(),
            self.clock.clone(),
            sinks,
            self.config
                .lines_per_second
                .map_or(self.lines_per_second, |lines| (lines > 0).then_some(lines)),
            &metrics,
        );

        let warnings = std::mem::take(&mut self.config.warnings);
        let inner = Inner {
            http: HttpLayer::new(
                RedMetrics::register(&metrics, &self.http_prefix),
                self.config.propagators,
            ),
            is_floored,
            level,
            parts: Parts { filters, provider, has_span_readers, pipeline },
            service: self.service,
            redactor: self.redactor,
            metrics,
            console_metrics,
            writer,
            #[cfg(feature = "otlp")]
            logs,
            #[cfg(feature = "otlp")]
            spans,
            #[cfg(feature = "otlp")]
            pusher,
            hosts,
            propagators: self.config.propagators,
            work: OnceLock::new(),
            databases: OnceLock::new(),
            objectives: Objectives::default(),
            is_process_watched: AtomicBool::new(false),
            is_runtime_watched: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
        };
        inner.register_own_metrics();
        Ok((Telemetry { inner: Arc::new(inner) }, warnings))
    }

    fn line_sink(&mut self) -> (Arc<dyn Sink>, LineWriter) {
        let is_own_output = self.output.is_some();
        let is_terminal = !is_own_output && std::io::stdout().is_terminal();
        let asked = self.config.format.or(self.format);
        let format = format::choose(asked, is_terminal, self.service.is_production());
        let output = self.output.take().unwrap_or_else(|| Box::new(std::io::stdout()));
        let writer = LineWriter::spawn(output);
        let sink: Arc<dyn Sink> = match format {
            LogFormat::Json => Arc::new(JsonSink::new(&self.service, writer.clone())),
            LogFormat::Pretty => {
                let no_color = std::env::var_os("NO_COLOR");
                let is_coloured = format::is_coloured(is_terminal, no_color.as_deref());
                Arc::new(PrettySink { writer: writer.clone(), is_coloured })
            }
        };
        (sink, writer)
    }

    /// Returns the filter, what stands before every filter, and what was asked for.
    fn event_filter(&mut self) -> Result<(EnvFilter, String, String), InitError> {
        // Later directives win over earlier ones of the same target.
        let mut base: String = self.quiet.iter().map(|target| format!("{target}=warn,")).collect();
        base.push_str(&format!("skopos={},", self.config.own_level));
        let parse = |filter: &str| EnvFilter::builder().parse(format!("{base}{filter}"));
        if let Some(from_environment) = &self.config.filter {
            self.config.warnings.extend(words::doubt(from_environment));
            match parse(from_environment) {
                Ok(filter) => {
                    let usual = from_environment.clone();
                    return Ok((filter, base, usual));
                }
                Err(error) => {
                    self.config.warnings.push(format!(
                        "RUST_LOG does not parse and is ignored as a whole: {error}"
                    ));
                }
            }
        }
        let filter = self.filter.as_deref().unwrap_or("info");
        let parsed = parse(filter).map_err(|error| InitError::Filter {
            filter: filter.to_owned(),
            reason: error.to_string(),
        })?;
        let usual = filter.to_owned();
        Ok((parsed, base, usual))
    }

    #[cfg(feature = "otlp")]
    fn exporters(&self, voice: &Voice) -> (Option<Exporter<Logs>>, Option<Exporter<Spans>>) {
        if self.config.disabled {
            return (None, None);
        }
        let resource = export::logs::resource(&self.service.resource());
        let logs = self.config.logs.as_ref().map(|endpoint| {
            let signal = Logs { resource: resource.clone() };
            Exporter::spawn(signal, endpoint, self.config.log_batching, voice.clone())
        });
        let spans = self.config.traces.as_ref().map(|endpoint| {
            let signal = Spans {
                resource: resource.clone(),
                redactor: self.redactor.clone(),
                value_length: self.config.limits.span_value_length,
            };
            Exporter::spawn(signal, endpoint, self.config.span_batching, voice.clone())
        });
        (logs, spans)
    }

    #[cfg(feature = "otlp")]
    fn pusher(&self, metrics: &Registry, voice: Voice) -> Option<Pusher> {
        let endpoint = self.config.metrics.as_ref().filter(|_| !self.config.disabled)?;
        let resource = export::logs::resource(&self.service.resource());
        Some(Pusher::spawn(metrics.clone(), resource, endpoint, self.config.pushing, voice))
    }
}

fn span_limits(limits: &Limits) -> SpanLimits {
    SpanLimits {
        max_events_per_span: limits.span_events,
        max_attributes_per_span: limits.span_attributes,
        max_links_per_span: limits.span_links,
        max_attributes_per_event: limits.event_attributes,
        max_attributes_per_link: limits.link_attributes,
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
        Sampler::ParentRateLimited(rate) => {
            OtelSampler::ParentBased(Box::new(RateLimited::new(rate)))
        }
    }
}
