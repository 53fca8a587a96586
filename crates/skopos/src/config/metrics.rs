//! Settings of metrics that are pushed or told on the console: `OTEL_METRIC_EXPORT_*`, `OTEL_EXPORTER_OTLP_METRICS_*`, `OTEL_METRICS_EXEMPLAR_FILTER`.

use std::time::Duration;

use super::{Lookup, millis};

/// Whether a counter tells its sum since the start or since it was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) enum Temporality {
    Cumulative,
    /// Counters and histograms by difference; what goes up and down stays cumulative.
    Delta,
}

/// How metrics are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) struct Pushing {
    pub(crate) interval: Duration,
    /// How often they are lines, where they are.
    pub(crate) console_interval: Duration,
    pub(crate) temporality: Temporality,
    pub(crate) exemplars: bool,
}

impl Pushing {
    pub(super) fn read(variable: Lookup<'_>, warnings: &mut Vec<String>) -> Pushing {
        let key = "OTEL_METRIC_EXPORT_INTERVAL";
        let interval = variable(key).and_then(|text| millis(key, &text, warnings));
        let key = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let preference = variable(key).map(|text| text.to_ascii_lowercase());
        let temporality = match preference.as_deref() {
            None | Some("cumulative") => Temporality::Cumulative,
            // `lowmemory` differs only for what is observed through OpenTelemetry's own API.
            Some("delta" | "lowmemory") => Temporality::Delta,
            Some(_) => {
                warnings.push(format!("{key} is none of cumulative, delta and lowmemory"));
                Temporality::Cumulative
            }
        };
        let key = "OTEL_METRICS_EXEMPLAR_FILTER";
        let exemplars = match variable(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("trace_based") => true,
            Some("always_off") => false,
            Some(_) => {
                warnings.push(format!("{key} is neither trace_based nor always_off"));
                true
            }
        };
        let every = |default| interval.unwrap_or(Duration::from_millis(default));
        Pushing {
            // Both as the specification has them.
            interval: every(60_000),
            console_interval: every(10_000),
            temporality,
            exemplars,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pushing, Temporality};
    use std::time::Duration;

    fn with(variables: &[(&str, &str)]) -> (Pushing, usize) {
        let mut warnings = Vec::new();
        let look_up = |key: &str| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        };
        let pushing = Pushing::read(&look_up, &mut warnings);
        (pushing, warnings.len())
    }

    #[test]
    fn the_specifications_defaults_and_variables() {
        let default = Pushing {
            interval: Duration::from_secs(60),
            console_interval: Duration::from_secs(10),
            temporality: Temporality::Cumulative,
            exemplars: true,
        };
        assert_eq!(with(&[]), (default, 0));
        let (pushing, warnings) = with(&[
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off"),
        ]);
        assert_eq!((pushing.interval, pushing.exemplars), (Duration::from_millis(500), false));
        assert_eq!(pushing.console_interval, pushing.interval);
        assert_eq!((pushing.temporality, warnings), (Temporality::Delta, 0));
        let (pushing, warnings) = with(&[
            ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
        ]);
        assert_eq!((pushing, warnings), (default, 3));
    }
}
