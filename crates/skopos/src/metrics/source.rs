//! What a registry holds: metrics, each with the sources that tell its series.

use std::sync::Arc;

use super::HistogramSnapshot;

/// What a metric is, in the words of Prometheus; a sum that may also go down is a gauge there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    UpDownCounter,
    Histogram,
}

/// The state of one series when it is read.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Counter(u64),
    /// A counter of fractions.
    Sum(f64),
    Gauge(f64),
    Histogram(HistogramSnapshot),
}

/// Calls back with the labels and value of each series.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[(&str, &str)], Value);

/// Something that a registry can read.
pub(crate) trait Source: Send + Sync {
    fn visit(&self, visit: Visit<'_>);

    /// Label values that did not fit, by label.
    fn overflows(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

/// A source that is read through a closure.
pub(crate) struct View<F>(pub(crate) F);

impl<F: Fn(Visit<'_>) + Send + Sync> Source for View<F> {
    fn visit(&self, visit: Visit<'_>) {
        (self.0)(visit);
    }
}

/// One metric. Cloning shares the sources.
#[derive(Clone)]
pub(crate) struct Metric {
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// Whether it is in the text formats.
    pub(crate) is_text: bool,
    /// Its name, unit and scope where it is pushed, if they are not what its name says; `None` for one that is not pushed.
    pub(crate) pushed: Option<Pushed>,
    pub(crate) sources: Vec<Arc<dyn Source>>,
    /// The instrument as it was handed out, to be handed out again.
    pub(crate) handle: Arc<dyn std::any::Any + Send + Sync>,
}

/// How a metric is called by OTLP.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) struct Pushed {
    pub(crate) name: Option<String>,
    pub(crate) unit: Option<String>,
    /// The name of the instrumentation scope; nobody named means us.
    pub(crate) scope: Option<String>,
}

impl Metric {
    pub(crate) fn new(help: &str, kind: Kind) -> Metric {
        Metric {
            help: help.to_owned(),
            kind,
            is_text: true,
            pushed: Some(Pushed::default()),
            sources: Vec::new(),
            handle: Arc::new(()),
        }
    }
}

/// Returns the unit that a name ends in, and what the Unified Code for Units of Measure, and so OTLP, calls it.
pub(crate) fn unit_of(name: &str) -> Option<(&'static str, &'static str)> {
    const UNITS: &[(&str, &str)] = &[
        ("seconds", "s"),
        ("milliseconds", "ms"),
        ("bytes", "By"),
        ("ratio", "1"),
        ("celsius", "Cel"),
        ("joules", "J"),
        ("grams", "g"),
        ("meters", "m"),
        ("volts", "V"),
        ("amperes", "A"),
        ("hertz", "Hz"),
        ("dollars", "{USD}"),
        ("euros", "{EUR}"),
    ];
    let name = name.strip_suffix("_total").unwrap_or(name);
    UNITS
        .iter()
        .find(|(unit, _)| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
        .copied()
}

/// Returns the suffix that stands for a unit in Prometheus' names.
#[cfg(any(feature = "otel-metrics", feature = "metrics-facade"))]
pub(crate) fn suffix_of(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" | "seconds" => "seconds",
        "ms" | "milliseconds" => "milliseconds",
        "us" | "microseconds" => "microseconds",
        "ns" | "nanoseconds" => "nanoseconds",
        "min" => "minutes",
        "h" => "hours",
        "d" => "days",
        "By" | "bytes" => "bytes",
        "KiBy" | "kibibytes" => "kibibytes",
        "MiBy" | "mebibytes" => "mebibytes",
        "GiBy" | "gibibytes" => "gibibytes",
        "%" | "percent" => "percent",
        "Cel" => "celsius",
        "J" => "joules",
        "Hz" => "hertz",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::unit_of;

    #[test]
    fn a_unit_is_the_last_word_of_a_name() {
        for (name, unit) in [
            ("http_request_duration_seconds", Some("s")),
            ("process_cpu_seconds_total", Some("s")),
            ("lag_milliseconds", Some("ms")),
            ("db_connection_pool_usage_ratio", Some("1")),
            ("seconds", None),
            ("nanoseconds_total", None),
            ("orders_placed_total", None),
        ] {
            assert_eq!(unit_of(name).map(|(_, code)| code), unit, "{name}");
        }
    }
}
