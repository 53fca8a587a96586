//! Names of metrics and labels: OpenTelemetry's to Prometheus'.
//!
//! The rules are those of OpenTelemetry's "Prometheus and OpenMetrics compatibility" document as
//! Prometheus 3 carries them out; the names of the strategies are Prometheus' own.

use std::borrow::Cow;

/// How the names of OTLP metrics and attributes become names of series and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameTranslation {
    /// `UnderscoreEscapingWithSuffixes`, Prometheus' default: other characters than letters,
    /// digits, `_` (and `:` in metric names) become `_`; unit and `_total` are appended.
    #[default]
    UnderscoresWithSuffixes,
    /// `UnderscoreEscapingWithoutSuffixes`: as above, but nothing is appended.
    UnderscoresWithoutSuffixes,
    /// `NoUTF8EscapingWithSuffixes`: names stay, unit and `_total` are appended.
    Utf8WithSuffixes,
    /// `NoTranslation`: names stay as they are.
    Unchanged,
}

impl NameTranslation {
    /// From Prometheus' configuration value `translation_strategy`.
    pub fn from_config(name: &str) -> Option<Self> {
        Some(match name {
            "UnderscoreEscapingWithSuffixes" => Self::UnderscoresWithSuffixes,
            "UnderscoreEscapingWithoutSuffixes" => Self::UnderscoresWithoutSuffixes,
            "NoUTF8EscapingWithSuffixes" => Self::Utf8WithSuffixes,
            "NoTranslation" => Self::Unchanged,
            _ => return None,
        })
    }

    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoresWithSuffixes | Self::UnderscoresWithoutSuffixes)
    }

    /// The name of a metric's family. May be empty, when `name` holds nothing that can stay.
    pub(super) fn metric_name(self, name: &str, unit: &str, kind: Kind) -> String {
        let name = match self {
            Self::UnderscoresWithSuffixes => tokens_with_suffixes(name, unit, kind).join("_"),
            Self::Utf8WithSuffixes => suffixes_appended(name, unit, kind),
            Self::UnderscoresWithoutSuffixes => {
                let pieces = name.split(|c: char| !is_metric_char(c) && c != '_');
                pieces.filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join("_")
            }
            Self::Unchanged => name.to_owned(),
        };
        if self.escapes() && name.starts_with(|c: char| c.is_ascii_digit()) {
            return format!("_{name}");
        }
        name
    }

    /// The name of a label; `None` when nothing of the attribute's name can stay.
    pub(super) fn label_name(self, key: &str) -> Option<Cow<'_, str>> {
        let has_content = |name: &str| name.bytes().any(|b| b != b'_');
        if !self.escapes() || skopos_model::labels::is_legacy_label_name(key) {
            let reserved = self.escapes() && key.starts_with('_') && !key.starts_with("__");
            let name = if reserved { Cow::Owned(format!("key{key}")) } else { Cow::Borrowed(key) };
            return has_content(key).then_some(name);
        }
        let escaped: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if !has_content(&escaped) {
            return None;
        }
        Some(Cow::Owned(if escaped.starts_with(|c: char| c.is_ascii_digit()) {
            format!("key_{escaped}")
        } else if escaped.starts_with('_') && !escaped.starts_with("__") {
            format!("key{escaped}")
        } else {
            escaped
        }))
    }
}

/// What the suffix of a metric depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Other,
}

/// The unit as metadata gives it: `seconds`, `bytes_per_second`, empty when none.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    match (main.is_empty(), per.is_empty()) {
        (_, true) => main,
        (true, false) => format!("per_{per}"),
        (false, false) => format!("{main}_per_{per}"),
    }
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn tokens_with_suffixes(name: &str, unit: &str, kind: Kind) -> Vec<String> {
    let mut tokens: Vec<String> = name
        .split(|c: char| !is_metric_char(c))
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
        .collect();
    if tokens.is_empty() {
        return tokens;
    }
    let (main, per) = unit_words(unit);
    let is_new = |tokens: &[String], word: &str| {
        !word.is_empty() && !tokens.iter().any(|token| token == word)
    };
    let (add_main, add_per) = (is_new(&tokens, &main), is_new(&tokens, &per));
    if add_main {
        tokens.push(main);
    }
    if add_per {
        tokens.push("per".to_owned());
        tokens.push(per);
    }
    if kind == Kind::Counter {
        tokens.retain(|token| token != "total");
        tokens.push("total".to_owned());
    }
    if kind == Kind::Gauge && unit == "1" {
        tokens.retain(|token| token != "ratio");
        tokens.push("ratio".to_owned());
    }
    tokens
}

fn suffixes_appended(name: &str, unit: &str, kind: Kind) -> String {
    let mut name = name.to_owned();
    let add = |name: &mut String, suffix: &str| {
        if !suffix.is_empty() && !name.ends_with(suffix) {
            name.push('_');
            name.push_str(suffix);
        }
    };
    let total = kind == Kind::Counter;
    let ratio = kind == Kind::Gauge && unit == "1";
    for (applies, suffix) in [(total, "_total"), (ratio, "_ratio")] {
        if applies && name.ends_with(suffix) {
            name.truncate(name.len() - suffix.len());
        }
    }
    let (main, per) = unit_words(unit);
    add(&mut name, &main);
    if !per.is_empty() {
        add(&mut name, &format!("per_{per}"));
    }
    if total {
        name.push_str("_total");
    }
    if ratio {
        name.push_str("_ratio");
    }
    name
}

/// Words for a UCUM unit: what is measured, and per what. Annotations in braces say nothing.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |text: &str, lookup: fn(&str) -> Option<&'static str>| {
        let text = text.trim();
        if text.is_empty() || text.contains(['{', '}']) {
            return String::new();
        }
        match lookup(text) {
            Some(word) => word.to_owned(),
            None => {
                let pieces = text.split(|c: char| !is_metric_char(c));
                pieces.filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join("_")
            }
        }
    };
    (word(main, main_unit), word(per, per_unit))
}

fn main_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => return None,
    })
}

fn per_unit(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_with_suffixes() {
        use Kind::{Counter, Gauge, Other};
        for (name, unit, kind, want) in [
            ("http.server.request.duration", "s", Other, "http_server_request_duration_seconds"),
            ("system.network.io", "By", Counter, "system_network_io_bytes_total"),
            ("system.filesystem.utilization", "1", Gauge, "system_filesystem_utilization_ratio"),
            ("orders.placed", "1", Counter, "orders_placed_total"),
            ("orders_total_placed", "", Counter, "orders_placed_total"),
            ("active.users", "{user}", Gauge, "active_users"),
            ("speed", "km/h", Gauge, "speed_km_per_hour"),
            ("disk.throughput", "By/s", Gauge, "disk_throughput_bytes_per_second"),
            ("hits", "{hit}/s", Gauge, "hits_per_second"),
            ("request_duration_seconds", "s", Other, "request_duration_seconds"),
            ("cpu", "%", Gauge, "cpu_percent"),
            ("a..b--c", "", Gauge, "a_b_c"),
            ("2xx.count", "", Gauge, "_2xx_count"),
            ("_leading", "", Gauge, "leading"),
            ("job:rate5m", "", Gauge, "job:rate5m"),
            ("temp", "°C", Gauge, "temp_C"),
            ("...", "s", Gauge, ""),
            ("ratio.of", "1", Gauge, "of_ratio"),
        ] {
            let got = NameTranslation::UnderscoresWithSuffixes.metric_name(name, unit, kind);
            assert_eq!(got, want, "{name} [{unit}]");
        }
    }

    #[test]
    fn metric_names_of_the_other_strategies() {
        for (strategy, want) in [
            (NameTranslation::UnderscoresWithoutSuffixes, "http_request_duration"),
            (NameTranslation::Utf8WithSuffixes, "http.request.duration_seconds_total"),
            (NameTranslation::Unchanged, "http.request.duration"),
        ] {
            let got = strategy.metric_name("http.request.duration", "s", Kind::Counter);
            assert_eq!(got, want);
        }
        let utf8 = NameTranslation::Utf8WithSuffixes;
        assert_eq!(utf8.metric_name("x_seconds_total", "s", Kind::Counter), "x_seconds_total");
        assert_eq!(utf8.metric_name("fill_ratio", "1", Kind::Gauge), "fill_ratio");
    }

    #[test]
    fn label_names() {
        for (key, want) in [
            ("http.route", Some("http_route")),
            ("method", Some("method")),
            ("_private", Some("key_private")),
            ("__reserved__", Some("__reserved__")),
            ("5xx", Some("key_5xx")),
            ("a..b", Some("a__b")),
            ("größe", Some("gr__e")),
            (".x", Some("key_x")),
            ("___", None),
            ("...", None),
        ] {
            let got = NameTranslation::UnderscoresWithSuffixes.label_name(key);
            assert_eq!(got.as_deref(), want, "{key}");
            let unchanged = NameTranslation::Unchanged.label_name("http.route");
            assert_eq!(unchanged.as_deref(), Some("http.route"));
        }
    }

    #[test]
    fn units() {
        for (unit, want) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("{req}/min", "per_min"),
            ("kg.m", "kg_m"),
        ] {
            assert_eq!(unit_name(unit), want);
        }
    }
}
