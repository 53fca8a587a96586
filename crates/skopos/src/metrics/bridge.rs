//! Metrics of libraries that know nothing of us: of the `metrics` facade and of OpenTelemetry's own API.
//!
//! Both end in the same registry, so they are scraped and pushed with the rest, share its limits, and histograms of the facade
//! cost a fixed amount of memory instead of one number for each observation until somebody scrapes.

#[cfg(feature = "metrics-facade")]
pub(crate) mod facade;
#[cfg(feature = "otel-metrics")]
pub(crate) mod otel;

use crate::metrics::source::suffix_of;
use crate::metrics::{Kind, registry::counter_name, valid_name};

/// Bounds of histograms whose library names none: a wide range, three to a decade.
const BOUNDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
    1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
];

/// Returns the name in Prometheus' way: with the unit, and `_total` where it is a counter.
fn text_name(name: &str, unit: Option<&str>, kind: Kind) -> String {
    let mut text = valid_name(name).into_owned();
    if let Some(suffix) = unit.and_then(suffix_of) {
        let base = text.strip_suffix("_total").unwrap_or(&text).to_owned();
        let has_unit = base.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('_'));
        text = if has_unit { base } else { format!("{base}_{suffix}") };
    }
    if kind == Kind::Counter { counter_name(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::text_name;
    use crate::metrics::Kind;

    #[test]
    fn names_by_prometheus_rules() {
        for (name, unit, kind, expected) in [
            ("http.client.duration", Some("s"), Kind::Histogram, "http_client_duration_seconds"),
            ("db.wait_seconds", Some("s"), Kind::Histogram, "db_wait_seconds"),
            ("jobs", None, Kind::Counter, "jobs_total"),
            ("cpu.time", Some("s"), Kind::Counter, "cpu_time_seconds_total"),
            ("cpu_seconds_total", Some("s"), Kind::Counter, "cpu_seconds_total"),
            ("io", Some("{operation}"), Kind::Gauge, "io"),
            ("0day", None, Kind::Gauge, "_0day"),
        ] {
            assert_eq!(text_name(name, unit, kind), expected);
        }
    }
}
