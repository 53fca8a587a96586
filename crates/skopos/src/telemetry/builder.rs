//! Settings under construction. [`assemble`] makes a running pipeline of them.

use std::io::Write;
use std::time::SystemTime;

use skopos_redact::Redactor;

use crate::Service;
use crate::clock::Clock;
use crate::config::{self, Config, LogFormat};
use crate::filter::QUIET;
#[cfg(feature = "testing")]
use crate::log::Sink;
use crate::log::limit::DEFAULT_PER_SECOND;

mod assemble;

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
    /// `SKOPOS_LOCAL_COLLECTOR` is another loopback address, or `none`. A pod of Kubernetes is no desk: there the address must be
    /// said.
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
}
