//! From settings to a running pipeline.

use std::io::IsTerminal as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use opentelemetry_sdk::trace::{Sampler as OtelSampler, SdkTracerProvider, SpanLimits};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry as SpanRegistry};

use super::Builder;
use crate::config::limits::Limits;
use crate::config::{LogFormat, Sampler};
use crate::context::global;
use crate::filter::{Filters, words};
use crate::http::{HttpLayer, RedMetrics};
use crate::level::{self, LevelControl};
use crate::log::format;
use crate::log::json::JsonSink;
use crate::log::metrics::ConsoleMetrics;
use crate::log::pretty::PrettySink;
use crate::log::spans::ConsoleSpans;
use crate::log::writer::LineWriter;
use crate::log::{self, Pipeline, Sink};
use crate::metrics::Registry;
use crate::propagation::Hosts;
use crate::sampling::RateLimited;
use crate::slo::Objectives;
use crate::telemetry::{InitError, Inner, Parts, Telemetry, TelemetryLayer};

#[cfg(feature = "otlp")]
use crate::export::{
    self, Exporter, logs::Logs, metrics::Pusher, spans::Pending, spans::Spans, trouble::Voice,
};
impl Builder {
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
