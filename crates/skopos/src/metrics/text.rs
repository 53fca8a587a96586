//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! They differ in what a counter family is called (OpenMetrics leaves `_total` to the sample), in the closing `# EOF`, in
//! the form of bucket bounds, and in exemplars, which only OpenMetrics has.

use std::fmt::Write as _;

use super::source::unit_of;
use super::{Exemplar, HistogramSnapshot, Kind, Registry, Value, valid_label};

/// A text format for metrics.
///
/// ```
/// use skopos::metrics::Format;
/// assert_eq!(Format::negotiate(Some("application/openmetrics-text")), Format::OpenMetrics);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// Chooses by an `Accept` header: OpenMetrics when it is asked for and not refused, else Prometheus text.
    ///
    /// ```
    /// use skopos::metrics::Format;
    /// assert_eq!(Format::negotiate(None), Format::Prometheus);
    /// assert_eq!(Format::negotiate(Some("application/openmetrics-text;q=0.5,text/plain;q=0.3")), Format::OpenMetrics);
    /// ```
    pub fn negotiate(accept: Option<&str>) -> Format {
        let quality = |wanted: &str| {
            accept
                .unwrap_or_default()
                .split(',')
                .filter_map(|range| {
                    let mut parts = range.split(';').map(str::trim);
                    let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
                    let mut quality = 1.0;
                    for parameter in parts {
                        if let Some(("q", value)) =
                            parameter.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
                        {
                            quality = value.parse::<f64>().unwrap_or(0.0);
                        }
                    }
                    is_wanted.then_some(quality)
                })
                .fold(0.0_f64, f64::max)
        };
        let open_metrics = quality("application/openmetrics-text");
        let prometheus = quality("text/plain").max(quality("text/*")).max(quality("*/*"));
        if open_metrics > 0.0 && open_metrics >= prometheus {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// Returns the `Content-Type` of the format.
    ///
    /// ```
    /// let header = skopos::metrics::Format::Prometheus.content_type();
    /// assert_eq!(header, "text/plain; version=0.0.4; charset=utf-8");
    /// ```
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn encode(registry: &Registry, format: Format) -> String {
    let metrics = registry.metrics();
    let mut output = String::with_capacity(4096);
    let mut overflows: Vec<(&str, String, u64)> = Vec::new();
    for (name, metric) in &metrics {
        for source in &metric.sources {
            overflows.extend(
                source.overflows().into_iter().map(|(label, count)| (name.as_str(), label, count)),
            );
        }
        if !metric.is_text {
            continue;
        }
        push_head(&mut output, name, &metric.help, metric.kind, format);
        registry.read(name, metric, &mut |labels, value| {
            push_sample(&mut output, name, labels, &value, format);
        });
    }
    if !overflows.is_empty() {
        let name = "skopos_label_overflow_total";
        let help = "Look-ups whose label value did not fit and was counted as `other`.";
        push_head(&mut output, name, help, Kind::Counter, format);
        for (metric, label, count) in overflows {
            let labels = [("metric", metric), ("label", label.as_str())];
            push_sample(&mut output, name, &labels, &Value::Counter(count), format);
        }
    }
    if format == Format::OpenMetrics {
        output.push_str("# EOF\n");
    }
    output
}

fn push_head(output: &mut String, name: &str, help: &str, kind: Kind, format: Format) {
    let family = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    output.push_str("# HELP ");
    output.push_str(family);
    output.push(' ');
    // Only OpenMetrics has quotes escaped here.
    push_escaped(output, help, format == Format::OpenMetrics);
    output.push_str("\n# TYPE ");
    output.push_str(family);
    output.push_str(match kind {
        Kind::Counter => " counter\n",
        Kind::Gauge | Kind::UpDownCounter => " gauge\n",
        Kind::Histogram => " histogram\n",
    });
    if format == Format::OpenMetrics
        && let Some((unit, _)) = unit_of(family)
    {
        let _ = writeln!(output, "# UNIT {family} {unit}");
    }
}

fn push_sample(
    output: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    value: &Value,
    format: Format,
) {
    match value {
        Value::Counter(count) => {
            push_series(output, name, "", labels, None);
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(output, "{count}");
        }
        Value::Sum(value) => {
            push_series(output, name, "", labels, None);
            push_float(output, *value);
            output.push('\n');
        }
        Value::Gauge(value) => {
            push_series(output, name, "", labels, None);
            push_float(output, *value);
            output.push('\n');
        }
        Value::Histogram(histogram) => push_histogram(output, name, labels, histogram, format),
    }
}

fn push_histogram(
    output: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    histogram: &HistogramSnapshot,
    format: Format,
) {
    let mut cumulative = 0;
    let mut bound_text = String::new();
    for (index, count) in histogram.counts.iter().enumerate() {
        cumulative += count;
        bound_text.clear();
        push_float(&mut bound_text, histogram.bounds.get(index).copied().unwrap_or(f64::INFINITY));
        if format == Format::OpenMetrics
            && bound_text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            // OpenMetrics writes floats in their canonical form: `1.0`, not `1`.
            bound_text.push_str(".0");
        }
        push_series(output, name, "_bucket", labels, Some(&bound_text));
        let _ = write!(output, "{cumulative}");
        if format == Format::OpenMetrics
            && let Some(Some(exemplar)) = histogram.exemplars.get(index)
        {
            push_exemplar(output, exemplar);
        }
        output.push('\n');
    }
    push_series(output, name, "_sum", labels, None);
    push_float(output, histogram.sum);
    output.push('\n');
    push_series(output, name, "_count", labels, None);
    let _ = writeln!(output, "{cumulative}");
}

fn push_exemplar(output: &mut String, exemplar: &Exemplar) {
    let _ = write!(output, " # {{trace_id=\"{}\",span_id=\"{}\"}} ", exemplar.trace, exemplar.span);
    push_float(output, exemplar.value);
    let _ = write!(output, " {:.3}", exemplar.time);
}

/// Returns a series as it is named here: `name{label="value"}`.
pub(crate) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    push_series(&mut text, name, "", labels, None);
    text.truncate(text.trim_end().len());
    text
}

fn push_series(
    output: &mut String,
    name: &str,
    suffix: &str,
    labels: &[(&str, &str)],
    le: Option<&str>,
) {
    output.push_str(name);
    output.push_str(suffix);
    let all = labels.iter().copied().chain(le.map(|le| ("le", le)));
    let mut is_open = false;
    for (label, value) in all.filter(|(_, value)| !value.is_empty()) {
        output.push(if is_open { ',' } else { '{' });
        is_open = true;
        output.push_str(&valid_label(label));
        output.push_str("=\"");
        push_escaped(output, value, true);
        output.push('"');
    }
    output.push_str(if is_open { "} " } else { " " });
}

fn push_escaped(output: &mut String, text: &str, escape_quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '"' if escape_quotes => output.push_str("\\\""),
            other => output.push(other),
        }
    }
}

/// Writes a float as Prometheus does: `NaN`, `+Inf`, `-Inf`, else the shortest text that reads back the same.
fn push_float(output: &mut String, value: f64) {
    if value.is_nan() {
        output.push_str("NaN");
    } else if value.is_infinite() {
        output.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value != 0.0 && !(1e-5..1e21).contains(&value.abs()) {
        let _ = write!(output, "{value:e}");
    } else {
        let _ = write!(output, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_format_follows_the_accept_header() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, format) in [
            (None, Format::Prometheus),
            (Some(""), Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some(prometheus_3), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (Some("application/openmetrics-text;q=0, text/plain"), Format::Prometheus),
            (Some("application/openmetrics-text;q=0.2, text/plain;q=0.9"), Format::Prometheus),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept:?}");
        }
    }
}
