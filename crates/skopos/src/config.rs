//! Settings from the environment: the `OTEL_*` variables, `RUST_LOG`, `ENVIRONMENT`, `SKOPOS_LOG_FORMAT`,
//! `SKOPOS_LOG_RATE_LIMIT`, `SKOPOS_ALLOW_DEBUG`, `SKOPOS_PENDING_SPANS`, `SKOPOS_TRACES_PER_SECOND`, `SKOPOS_PROPAGATE_TO` and
//! `SKOPOS_LOCAL_COLLECTOR`.
//!
//! Reading is a pure function of a look-up. A value that cannot be used never stops a service from starting: the default
//! holds and a warning says so, once logging works. What differs from the OpenTelemetry specification: spans wait at most 1 s
//! before they are sent (the specification says 5 s), so that a trace can be looked at right away; a batch is sent again for up
//! to 60 s (30 s); and port 4317 without `OTEL_EXPORTER_OTLP_PROTOCOL` means gRPC, or without the feature `grpc` port 4318.

use std::time::Duration;

use crate::Service;
use crate::context::propagators::Propagators;

mod endpoint;
pub(crate) mod limits;
pub(crate) mod local;
mod metrics;

#[cfg(any(feature = "tls", all(test, feature = "otlp")))]
pub(crate) use endpoint::Certificates;
pub(crate) use endpoint::Endpoint;
#[cfg(feature = "otlp")]
pub(crate) use endpoint::Protocol;
use limits::Limits;
use local::LocalCollector;
pub(crate) use metrics::Pushing;
#[cfg(feature = "otlp")]
pub(crate) use metrics::Temporality;

/// Longest time that a setting can give; an instant so far away still exists.
const LONGEST_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How log lines are written to standard output.
///
/// ```
/// let builder = skopos::Telemetry::builder(skopos::service!()).format(skopos::LogFormat::Json);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Pretty,
}

/// Which spans are recorded and exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sampler {
    AlwaysOn,
    AlwaysOff,
    Ratio(f64),
    ParentAlwaysOn,
    ParentAlwaysOff,
    ParentRatio(f64),
    /// New traces a second at most; what continues a trace follows the caller.
    ParentRateLimited(f64),
}

/// How one signal waits before it is sent.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batching {
    /// Items that wait at most; more are dropped and counted.
    pub(crate) queue: usize,
    /// Items in one request.
    pub(crate) batch: usize,
    /// The longest wait before a request.
    pub(crate) delay: Duration,
    /// The longest that one batch is sent and sent again.
    pub(crate) patience: Duration,
}

/// Everything that the environment can say.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) disabled: bool,
    pub(crate) traces: Option<Endpoint>,
    pub(crate) logs: Option<Endpoint>,
    /// Where all of it would go when nobody has said where.
    pub(crate) local: LocalCollector,
    /// Whether ended spans are lines, too.
    pub(crate) console_spans: bool,
    /// Whether metrics are lines, too.
    pub(crate) console_metrics: bool,
    pub(crate) limits: Limits,
    /// The level of the SDK's own lines, from `OTEL_LOG_LEVEL`.
    pub(crate) own_level: &'static str,
    pub(crate) metrics: Option<Endpoint>,
    pub(crate) pushing: Pushing,
    /// Hosts that ids are sent to, from `SKOPOS_PROPAGATE_TO`.
    pub(crate) propagate_to: Option<Vec<String>>,
    pub(crate) span_batching: Batching,
    pub(crate) log_batching: Batching,
    pub(crate) sampler: Sampler,
    pub(crate) propagators: Propagators,
    pub(crate) filter: Option<String>,
    pub(crate) format: Option<LogFormat>,
    /// Lines that a call site may write in a second; 0 is no limit.
    pub(crate) lines_per_second: Option<u32>,
    /// Whether requests are told when they begin; only in development unless said.
    pub(crate) pending_spans: Option<bool>,
    /// Whether DEBUG may be logged in production.
    pub(crate) allows_debug: bool,
    /// What could not be used, for a WARN each.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// What holds when the environment says nothing.
    pub(crate) fn quiet() -> Config {
        let mut service = Service::new("");
        read(&mut service, |_| None)
    }
}

/// Reads the settings, and what the environment says about the service, through a look-up of variables.
pub(crate) fn read(service: &mut Service, variable: impl Fn(&str) -> Option<String>) -> Config {
    let variable = |key: &str| {
        variable(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let mut warnings = Vec::new();
    read_service(service, &variable, &mut warnings);

    let traces = endpoint::read(endpoint::TRACES, &variable, &mut warnings);
    let console_spans = endpoint::wants_console(endpoint::TRACES, &variable);
    let console_metrics = endpoint::wants_console(endpoint::METRICS, &variable);
    let logs = endpoint::read(endpoint::LOGS, &variable, &mut warnings);
    let local = local::read(&variable, &mut warnings);
    let limits = Limits::read(&variable, &mut warnings);
    let own_level = read_own_level(variable("OTEL_LOG_LEVEL"), &mut warnings);
    let metrics = endpoint::read(endpoint::METRICS, &variable, &mut warnings);
    let pushing = Pushing::read(&variable, &mut warnings);
    let propagate_to = variable("SKOPOS_PROPAGATE_TO")
        .map(|hosts| hosts.split(',').map(|host| host.trim().to_owned()).collect());
    let propagators = Propagators::read(variable("OTEL_PROPAGATORS"), &mut warnings);
    let sampler = read_sampler(
        variable("OTEL_TRACES_SAMPLER"),
        variable("OTEL_TRACES_SAMPLER_ARG"),
        &mut warnings,
    );
    let key = "SKOPOS_TRACES_PER_SECOND";
    let sampler = match variable(key).map(|text| text.parse::<f64>()) {
        None => sampler,
        Some(Ok(rate)) if rate.is_finite() && rate >= 0.0 => Sampler::ParentRateLimited(rate),
        Some(_) => {
            warnings.push(format!("{key} is no number: it is ignored"));
            sampler
        }
    };
    let span_batching = read_batching("OTEL_BSP", &variable, &mut warnings);
    let log_batching = read_batching("OTEL_BLRP", &variable, &mut warnings);
    let format =
        match variable("SKOPOS_LOG_FORMAT").map(|value| value.to_ascii_lowercase()).as_deref() {
            None => None,
            Some("json") => Some(LogFormat::Json),
            Some("pretty" | "text") => Some(LogFormat::Pretty),
            Some(_) => {
                warnings.push("SKOPOS_LOG_FORMAT is neither json nor pretty".to_owned());
                None
            }
        };
    let lines_per_second = variable("SKOPOS_LOG_RATE_LIMIT")
        .and_then(|text| number("SKOPOS_LOG_RATE_LIMIT", &text, &mut warnings))
        .map(|lines| u32::try_from(lines).unwrap_or(u32::MAX));
    let pending_spans = variable("SKOPOS_PENDING_SPANS").and_then(|text| {
        let answer = text.to_ascii_lowercase();
        match answer.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                warnings.push("SKOPOS_PENDING_SPANS is neither true nor false".to_owned());
                None
            }
        }
    });
    let disabled = flag("OTEL_SDK_DISABLED", &variable, &mut warnings);
    let allows_debug = flag("SKOPOS_ALLOW_DEBUG", &variable, &mut warnings);
    Config {
        console_spans,
        console_metrics,
        pending_spans,
        disabled,
        traces,
        logs,
        local,
        limits,
        own_level,
        metrics,
        pushing,
        propagate_to,
        span_batching,
        log_batching,
        sampler,
        propagators,
        filter: variable("RUST_LOG"),
        format,
        lines_per_second,
        allows_debug,
        warnings,
    }
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

fn read_service(service: &mut Service, variable: Lookup<'_>, warnings: &mut Vec<String>) {
    if let Some(environment) = variable("ENVIRONMENT") {
        service.environment = Some(environment);
    }
    if let Some(name) = variable("SERVICE_NAME") {
        service.name = name;
    }
    if let Some(version) = variable("SERVICE_VERSION") {
        service.version = Some(version);
    }
    // The standard's own variable wins over the short one.
    if let Some(text) = variable("OTEL_RESOURCE_ATTRIBUTES") {
        for (key, value) in pairs("OTEL_RESOURCE_ATTRIBUTES", &text, warnings) {
            match key.as_str() {
                "service.name" => service.name = value,
                "service.version" => service.version = Some(value),
                "deployment.environment" | "deployment.environment.name" => {
                    service.environment = Some(value)
                }
                _ => {
                    service.attributes.retain(|(existing, _)| *existing != key);
                    service.attributes.push((key, value));
                }
            }
        }
    }
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        service.name = name;
    }
}

fn read_own_level(text: Option<String>, warnings: &mut Vec<String>) -> &'static str {
    match text.map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("info") => "info",
        Some("none" | "off") => "off",
        Some("error") => "error",
        Some("warn" | "warning") => "warn",
        Some("debug") => "debug",
        Some("trace" | "verbose" | "all") => "trace",
        Some(_) => {
            warnings.push("OTEL_LOG_LEVEL is no level: info is used".to_owned());
            "info"
        }
    }
}

fn read_sampler(
    name: Option<String>,
    argument: Option<String>,
    warnings: &mut Vec<String>,
) -> Sampler {
    let mut ratio = || match argument.as_deref().map(str::parse::<f64>) {
        None => 1.0,
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
        Some(_) => {
            warnings.push(
                "OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1: every trace is sampled"
                    .to_owned(),
            );
            1.0
        }
    };
    match name.map(|name| name.to_ascii_lowercase()).as_deref() {
        None | Some("parentbased_always_on") => Sampler::ParentAlwaysOn,
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("parentbased_always_off") => Sampler::ParentAlwaysOff,
        Some("traceidratio") => Sampler::Ratio(ratio()),
        Some("parentbased_traceidratio") => Sampler::ParentRatio(ratio()),
        Some(other) => {
            warnings
                .push(format!("sampler {other} is not supported: parentbased_always_on is used"));
            Sampler::ParentAlwaysOn
        }
    }
}

fn read_batching(prefix: &str, variable: Lookup<'_>, warnings: &mut Vec<String>) -> Batching {
    let key = format!("{prefix}_EXPORT_TIMEOUT");
    let patience = variable(&key).and_then(|text| millis(&key, &text, warnings));
    let patience = patience.unwrap_or(Duration::from_secs(60));
    let mut read = |name: &str, default: u64| {
        let key = format!("{prefix}_{name}");
        variable(&key).and_then(|text| number(&key, &text, warnings)).unwrap_or(default)
    };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, 1_000_000);
    let queue = size(read("MAX_QUEUE_SIZE", 4096));
    Batching {
        queue,
        batch: size(read("MAX_EXPORT_BATCH_SIZE", 512)).min(queue),
        delay: Duration::from_millis(read("SCHEDULE_DELAY", 1000)).min(LONGEST_TIME),
        patience,
    }
}

fn number(key: &str, text: &str, warnings: &mut Vec<String>) -> Option<u64> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        warnings.push(format!("{key} is no whole number: the default holds"));
    }
    parsed
}

/// A time of at least a millisecond, and of at most a day: longer ones are as good as never.
fn millis(key: &str, text: &str, warnings: &mut Vec<String>) -> Option<Duration> {
    match number(key, text, warnings)? {
        0 => {
            warnings.push(format!("{key} is 0: the default holds"));
            None
        }
        millis => Some(Duration::from_millis(millis).min(LONGEST_TIME)),
    }
}

/// `true` or `false`; what is neither counts as false, as the specification has it, and is said.
fn flag(key: &str, variable: Lookup<'_>, warnings: &mut Vec<String>) -> bool {
    match variable(key).map(|text| text.to_ascii_lowercase()).as_deref() {
        Some("true" | "1") => true,
        None | Some("false" | "0") => false,
        Some(_) => {
            warnings.push(format!("{key} is neither true nor false: it counts as false"));
            false
        }
    }
}

/// Parses `key=value,key=value` with percent-encoded values.
fn pairs(name: &str, text: &str, warnings: &mut Vec<String>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                pairs.push((percent_decode(key.trim()), percent_decode(value.trim())));
            }
            _ => warnings.push(format!("{name} has an entry without key or `=`: it is ignored")),
        }
    }
    pairs
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = (byte == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Sampler, read};
    use crate::Service;
    use crate::context::propagators::Propagators;
    use std::time::Duration;

    fn with(variables: &[(&str, &str)]) -> (Service, super::Config) {
        let mut service = Service::new("built-in");
        let config = read(&mut service, |key| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        });
        (service, config)
    }

    #[test]
    fn nothing_set_means_no_export_and_full_propagation() {
        let (service, config) = with(&[]);
        assert_eq!(service.name, "built-in");
        assert!(config.traces.is_none() && config.logs.is_none() && !config.disabled);
        assert!(config.metrics.is_none());
        assert_eq!(config.propagators, Propagators::default());
        assert_eq!(config.sampler, Sampler::ParentAlwaysOn);
        assert_eq!(config.warnings, [""; 0]);
    }

    #[test]
    fn variables_are_honoured() {
        let (service, config) = with(&[
            ("OTEL_SERVICE_NAME", "orders"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,service.version=1.2,deployment.environment=prod,team=a%2Cb",
            ),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1/custom"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_PROPAGATORS", "tracecontext"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("RUST_LOG", "debug"),
        ]);
        assert_eq!((service.name.as_str(), service.version.as_deref()), ("orders", Some("1.2")));
        assert!(service.is_production());
        assert_eq!(service.attributes, [("team".to_owned(), "a,b".to_owned())]);
        let traces = config.traces.unwrap();
        assert_eq!(traces.url, "http://collector:4318/v1/traces");
        assert_eq!(traces.headers, [("authorization".to_owned(), "Bearer x".to_owned())]);
        assert_eq!(traces.timeout, Duration::from_millis(250));
        assert_eq!(config.logs.unwrap().url, "http://logs:1/custom");
        let expected = Propagators { trace_context: true, ..Propagators::NONE };
        assert_eq!(config.propagators, expected);
        assert_eq!(config.sampler, Sampler::Ratio(0.25));
        assert_eq!(config.span_batching.delay, Duration::from_millis(50));
        assert_eq!(config.filter.as_deref(), Some("debug"));
    }

    #[test]
    fn metrics_are_pushed_with_the_rest_unless_they_are_scraped() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let metrics = |exporter| with(&[endpoint, ("OTEL_METRICS_EXPORTER", exporter)]).1.metrics;
        let (_, config) = with(&[endpoint]);
        assert_eq!(config.metrics.unwrap().url, "http://collector:4318/v1/metrics");
        assert_eq!((metrics("none"), metrics("prometheus")), (None, None));
        for (exporters, is_pushed, is_told, warnings) in [
            ("otlp", true, false, 0),
            ("console", false, true, 0),
            ("Console, OTLP", true, true, 0),
            ("prometheus,console", false, true, 0),
            ("none", false, false, 0),
            ("zipkin,zipkin,otlp", true, false, 1),
            ("zipkin", false, false, 1),
        ] {
            let (_, config) = with(&[endpoint, ("OTEL_METRICS_EXPORTER", exporters)]);
            assert_eq!(
                (config.metrics.is_some(), config.console_metrics, config.warnings.len()),
                (is_pushed, is_told, warnings),
                "{exporters}: {:?}",
                config.warnings
            );
        }
        let (_, config) =
            with(&[("SKOPOS_TRACES_PER_SECOND", "5"), ("SKOPOS_PROPAGATE_TO", "a, .b")]);
        assert_eq!(config.sampler, Sampler::ParentRateLimited(5.0));
        assert_eq!(config.propagate_to.unwrap(), ["a", ".b"]);
    }

    #[test]
    fn what_cannot_be_used_is_a_warning() {
        let (_, config) = with(&[
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_PROPAGATORS", "jaeger,tracecontext"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("SKOPOS_TRACES_PER_SECOND", "many"),
            ("OTEL_RESOURCE_ATTRIBUTES", "novalue"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_BLRP_EXPORT_TIMEOUT", "0"),
            ("OTEL_SDK_DISABLED", "perhaps"),
            ("SKOPOS_ALLOW_DEBUG", "yes"),
        ]);
        assert_eq!(config.pushing.interval, Duration::from_secs(60));
        assert_eq!(config.log_batching.patience, Duration::from_secs(60));
        assert!(!config.disabled && !config.allows_debug);
        assert!(config.warnings.iter().any(|warning| {
            warning.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && warning.contains("http://HOST:4318")
        }));
        let (_, endless) = with(&[
            ("OTEL_METRIC_EXPORT_INTERVAL", "18446744073709551615"),
            ("OTEL_BSP_SCHEDULE_DELAY", "18446744073709551615"),
        ]);
        assert_eq!(endless.pushing.interval, super::LONGEST_TIME);
        assert_eq!(endless.span_batching.delay, super::LONGEST_TIME);
        assert_eq!(config.warnings.len(), 12, "{:?}", config.warnings);
        assert!(config.traces.is_none());
    }

    #[test]
    fn the_standards_own_variables_win_over_the_short_ones() {
        let short = [("SERVICE_NAME", "short"), ("SERVICE_VERSION", "1"), ("ENVIRONMENT", "dev")];
        let (service, _) = with(&short);
        assert_eq!((service.name.as_str(), service.version.as_deref()), ("short", Some("1")));
        let (service, config) = with(&[
            short[0],
            short[1],
            ("OTEL_SERVICE_NAME", "orders"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.version=2"),
            ("OTEL_LOG_LEVEL", "WARN"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "5000"),
        ]);
        assert_eq!((service.name.as_str(), service.version.as_deref()), ("orders", Some("2")));
        assert_eq!((config.own_level, config.span_batching.patience.as_secs()), ("warn", 5));
        assert_eq!(config.log_batching.patience.as_secs(), 60);
    }
}
