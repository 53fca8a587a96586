//! What an objective counts, as PromQL.
//!
//! Counters are named by their selectors. The engine reads their samples and adds their
//! increments up itself, from sample to sample: unlike the extrapolated `increase`, slices
//! then add up to windows exactly. Queries of the form that everybody writes, sums of rates over selectors
//! divided by each other (the guide's two among them), are taken apart into their counters. Any
//! other query is evaluated as it stands, once per slice, with `$window` (or sloth's
//! `{{.window}}`) standing for the slice's width.

mod read;

use std::collections::BTreeSet;
use std::time::Duration;

use skopos_model::{Labels, METRIC_NAME};
use skopos_promql::format_value;

use self::read::{bucket_of, is_whole_of};
use super::export::quoted;
use crate::duration::format_duration;

pub(super) use read::{Mistake, read_histogram, read_ratio};

/// Stands for the window's width in queries.
pub const WINDOW_VARIABLE: &str = "$window";

/// What an objective counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Indicator {
    /// Events, of which some are bad (or some are good).
    Events {
        /// Which events `part` counts.
        role: Role,
        /// The bad or the good events.
        part: Count,
        /// All events.
        total: Count,
    },
    /// Requests that take no longer than a threshold, from a classic histogram.
    Latency {
        /// The histogram without `_bucket`: `http_request_duration_seconds{service="shop"}`.
        histogram: String,
        /// The threshold, in the unit of the histogram's bounds (seconds).
        threshold: f64,
    },
    /// The same, from a native histogram.
    NativeLatency {
        /// The histogram's selector.
        histogram: String,
        /// The threshold, in the unit of the histogram (seconds).
        threshold: f64,
    },
    /// A query that yields the share of bad or good events of a slice.
    Ratio {
        /// Which share.
        role: Role,
        /// The query.
        query: String,
    },
}

/// Which events are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Those that spend the budget.
    Bad,
    /// The others.
    Good,
}

/// How events are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// The increments of the counters that a selector matches.
    Counter(String),
    /// A query that yields how many events a window had; `$window` stands for its width.
    Query(String),
}

/// Replaces the window's variable by a text.
pub(super) fn with_window(query: &str, window: &str) -> String {
    let mut rest = query;
    let mut text = String::with_capacity(query.len());
    while let Some((at, length)) = find_variable(rest) {
        text.push_str(&rest[..at]);
        text.push_str(window);
        rest = &rest[at + length..];
    }
    text + rest
}

/// The next variable: where it is and how many bytes it takes.
fn find_variable(text: &str) -> Option<(usize, usize)> {
    let dollar = text.find(WINDOW_VARIABLE).map(|at| (at, WINDOW_VARIABLE.len()));
    let braces = text.match_indices("{{").find_map(|(at, _)| {
        let inner = &text[at + 2..];
        let end = inner.find("}}")?;
        matches!(inner[..end].trim(), ".window" | ".Window").then_some((at, end + 4))
    });
    match (dollar, braces) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Count {
    /// PromQL for the events per second of a window: the same for both of its sides, so that
    /// their quotient is a share.
    pub(super) fn over(&self, window: &str, group_by: &[String]) -> String {
        match self {
            Self::Counter(selector) => {
                format!("sum{}(rate({}))", by_clause(group_by), ranged(selector, window))
            }
            Self::Query(query) => with_window(query, window),
        }
    }

    /// PromQL for the events of a window.
    pub(super) fn events_in(&self, window: &str, group_by: &[String]) -> String {
        match self {
            Self::Counter(selector) => {
                format!("sum{}(increase({}))", by_clause(group_by), ranged(selector, window))
            }
            Self::Query(query) => with_window(query, window),
        }
    }
}

/// ` by (a, b) `, or nothing.
pub(super) fn by_clause(group_by: &[String]) -> String {
    match group_by.is_empty() {
        true => String::new(),
        false => format!(" by ({}) ", group_by.join(", ")),
    }
}

/// The last value of each series of a selector within so much time; of the series that have one of these
/// instances where these are few.
pub(super) fn last_values(selector: &str, of: &[&Labels], within: &str) -> String {
    const MOST_INSTANCES: usize = 32;
    let instances: BTreeSet<&str> = of.iter().map(|labels| labels.value("instance")).collect();
    let is_narrow = instances.len() <= MOST_INSTANCES && !instances.contains("");
    let selector = match is_narrow {
        true => {
            let texts: Vec<String> = instances.into_iter().map(literal).collect();
            derived(selector, "", &format!("instance=~{}", quoted(&texts.join("|"))))
        }
        false => selector.to_string(),
    };
    format!("last_over_time({})", ranged(&selector, within))
}

/// A text that means itself in a regular expression.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '_' | '/' | ':' | '-' | '<' | '>') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

pub(super) fn ranged(selector: &str, window: &str) -> String {
    format!("{selector}[{window}]")
}

/// A bucket of a classic histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Its bound, as the selector has it.
    pub(super) bound: String,
    /// Selects all buckets of that histogram.
    pub(super) all: Option<String>,
}

/// A selector with another name and a further matcher.
fn derived(selector: &str, suffix: &str, matcher: &str) -> String {
    let at = selector.find('{').unwrap_or(selector.len());
    let (name, braces) = selector.split_at(at);
    let inner = braces.trim_start_matches('{').trim_end_matches('}').trim().trim_end_matches(',');
    let matchers: Vec<&str> = [inner, matcher].into_iter().filter(|m| !m.is_empty()).collect();
    match matchers.is_empty() {
        true => format!("{name}{suffix}"),
        false => format!("{name}{suffix}{{{}}}", matchers.join(",")),
    }
}

/// The matcher of a bucket's bound. Whole numbers are written `1` or `1.0`, depending on who wrote them.
pub(super) fn bound_matcher(threshold: f64) -> String {
    let bound = format_value(threshold);
    match threshold.fract() == 0.0 {
        true => format!(r#"le=~"{bound}(\\.0)?""#),
        false => format!(r#"le="{bound}""#),
    }
}

/// A query of the engine: what is asked, and what its elements are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// Counters, series by series: all samples of a selector.
    Samples {
        /// Selects them.
        selector: String,
        /// What of a sample counts.
        reading: Reading,
    },
    /// A number per group at the end of each slice.
    PerSlice(String),
}

/// What of a sample counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// The number that it is.
    Value,
    /// How many observations a histogram has.
    Count,
    /// How many of them are within a bound.
    Within(f64),
}

/// What the engine asks for an indicator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asks {
    pub(super) role: Role,
    /// The bad or good events, or their share.
    pub(super) part: Ask,
    /// All events; none for shares.
    pub(super) total: Option<Ask>,
    /// What it means that the part is absent while there are events.
    pub(super) absent: Absent,
    /// The bucket that the part is.
    pub(super) bucket: Option<Bucket>,
    /// Whether each series of the total has one of the part, unless its histogram has no such bucket.
    pub(super) is_paired: bool,
}

/// What it means that nothing matches the bad or good events while something matches all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// There are none. The usual bad events: a counter of failures is made by the first one.
    None,
    /// There are none if there were any before; otherwise nobody knows whether its selector is right. Good events: they
    /// are what a service usually has.
    NoneOnceSeen,
    /// Nothing is known. A histogram has all of its buckets from the first observation on: one that is not there is not
    /// among its bounds.
    Unknown,
}

impl Indicator {
    /// The classic histogram's counters: those within the threshold, and all.
    fn latency_counts(histogram: &str, threshold: f64) -> (Count, Count) {
        let good = derived(histogram, "_bucket", &bound_matcher(threshold));
        (Count::Counter(good), Count::Counter(derived(histogram, "_count", "")))
    }

    /// The bound of the one bucket of a classic histogram whose observations are its good events.
    pub fn bucket(&self) -> Option<String> {
        self.counted_bucket().map(|bucket| bucket.bound)
    }

    fn counted_bucket(&self) -> Option<Bucket> {
        match self {
            Self::Latency { histogram, threshold } => Some(Bucket {
                bound: format_value(*threshold),
                all: Some(derived(histogram, "_bucket", "")),
            }),
            Self::Events { part: Count::Counter(text) | Count::Query(text), .. } => bucket_of(text),
            Self::Ratio { query, .. } => bucket_of(query),
            Self::NativeLatency { .. } => None,
        }
    }

    /// The selectors of the good and of all events of a classic histogram.
    pub(super) fn counters(&self) -> Option<(String, String)> {
        let Self::Latency { histogram, threshold } = self else { return None };
        match Self::latency_counts(histogram, *threshold) {
            (Count::Counter(good), Count::Counter(total)) => Some((good, total)),
            _ => None,
        }
    }

    /// What the engine asks, for slices of a width.
    pub(super) fn asks(&self, slice: Duration, group_by: &[String]) -> Asks {
        let width = format_duration(slice);
        let ask = |count: &Count| match count {
            Count::Counter(selector) => {
                Ask::Samples { selector: selector.clone(), reading: Reading::Value }
            }
            Count::Query(query) => Ask::PerSlice(with_window(query, &width)),
        };
        let bucket = self.counted_bucket();
        match self {
            Self::Events { role, part, total } => Asks {
                role: *role,
                part: ask(part),
                total: Some(ask(total)),
                absent: match (&bucket, role) {
                    (Some(_), _) => Absent::Unknown,
                    (None, Role::Bad) => Absent::None,
                    (None, Role::Good) => Absent::NoneOnceSeen,
                },
                is_paired: match (part, total) {
                    (Count::Counter(part), Count::Counter(total)) => is_whole_of(total, part),
                    _ => false,
                },
                bucket,
            },
            Self::Latency { histogram, threshold } => {
                let (good, total) = Self::latency_counts(histogram, *threshold);
                Asks {
                    role: Role::Good,
                    part: ask(&good),
                    total: Some(ask(&total)),
                    absent: Absent::Unknown,
                    bucket,
                    is_paired: true,
                }
            }
            Self::NativeLatency { histogram, threshold } => {
                let samples = |reading| Ask::Samples { selector: histogram.clone(), reading };
                Asks {
                    role: Role::Good,
                    part: samples(Reading::Within(*threshold)),
                    total: Some(samples(Reading::Count)),
                    absent: Absent::Unknown,
                    bucket,
                    is_paired: false,
                }
            }
            Self::Ratio { role, query } => {
                let query = with_window(query, &width);
                let part = match group_by.is_empty() {
                    true => query,
                    false => format!("avg{}({query})", by_clause(group_by)),
                };
                Asks {
                    role: *role,
                    part: Ask::PerSlice(part),
                    total: None,
                    absent: Absent::Unknown,
                    bucket,
                    is_paired: false,
                }
            }
        }
    }

    /// PromQL for the share of bad events over a window.
    pub(super) fn error_ratio(&self, window: &str, group_by: &[String]) -> String {
        let has_zero = self.bucket().is_none();
        let quotient = |role: Role, part: &Count, total: &Count| {
            let (part, total) = (part.over(window, group_by), total.over(window, group_by));
            match (role, has_zero) {
                (Role::Bad, true) => {
                    format!("(\n  {part}\n    or\n  0 * {total}\n)\n/\n({total})")
                }
                (Role::Good, true) => {
                    format!("1 - (\n  ({part}\n    or\n  0 * {total})\n  /\n  ({total})\n)")
                }
                (Role::Bad, false) => format!("({part})\n/\n({total})"),
                (Role::Good, false) => format!("1 - (\n  ({part})\n  /\n  ({total})\n)"),
            }
        };
        match self {
            Self::Events { role, part, total } => quotient(*role, part, total),
            Self::Latency { histogram, threshold } => {
                let (good, total) = Self::latency_counts(histogram, *threshold);
                format!(
                    "1 - (\n  {}\n  /\n  {}\n)",
                    good.over(window, group_by),
                    total.over(window, group_by)
                )
            }
            Self::NativeLatency { histogram, threshold } => {
                let bound = format_value(*threshold);
                let by = by_clause(group_by);
                let range = ranged(histogram, window);
                format!("1 - histogram_fraction(-Inf, {bound}, sum{by}(rate({range})))")
            }
            Self::Ratio { role, query } => {
                let query = with_window(query, window);
                let query = match group_by.is_empty() {
                    true => format!("({query})"),
                    false => format!("avg{}({query})", by_clause(group_by)),
                };
                match role {
                    Role::Bad => query,
                    Role::Good => format!("1 - {query}"),
                }
            }
        }
    }

    /// PromQL for the number of bad events and of all events in a window; none for shares.
    pub(super) fn events(&self, window: &str, group_by: &[String]) -> Option<(String, String)> {
        let has_zero = self.bucket().is_none();
        let pair = |role: Role, part: &Count, total: &Count| {
            let (part, total) =
                (part.events_in(window, group_by), total.events_in(window, group_by));
            let part = if has_zero { format!("{part}\n  or\n0 * {total}") } else { part };
            match role {
                Role::Bad => (part, total),
                Role::Good => (format!("{total} - ({part})"), total),
            }
        };
        match self {
            Self::Events { role, part, total } => Some(pair(*role, part, total)),
            Self::Latency { histogram, threshold } => {
                let (good, total) = Self::latency_counts(histogram, *threshold);
                let (good, total) =
                    (good.events_in(window, group_by), total.events_in(window, group_by));
                Some((format!("{total} - {good}"), total))
            }
            Self::NativeLatency { histogram, .. } => {
                let by = by_clause(group_by);
                let total =
                    format!("histogram_count(sum{by}(increase({})))", ranged(histogram, window));
                let bad = format!("({}) * {total}", self.error_ratio(window, group_by));
                Some((bad, total))
            }
            Self::Ratio { .. } => None,
        }
    }

    /// The selector or query whose absence means that there is no data.
    pub(super) fn presence(&self) -> String {
        match self {
            Self::Events { total: Count::Counter(selector), .. } => selector.clone(),
            Self::Events { total: Count::Query(query), .. } => with_window(query, "5m"),
            Self::Latency { histogram, .. } => derived(histogram, "_count", ""),
            Self::NativeLatency { histogram, .. } => histogram.clone(),
            Self::Ratio { query, .. } => with_window(query, "5m"),
        }
    }

    /// A text that differs between indicators that count different things.
    pub(super) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}

/// Whether a name may be a label by which one groups.
pub(super) fn is_group_label(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    let is_identifier = starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_identifier && name != METRIC_NAME && name != "le"
}

#[cfg(test)]
mod tests {
    use skopos_promql::{ParseOptions, parse};

    use super::*;

    fn counter(text: &str) -> Count {
        Count::Counter(text.into())
    }

    #[test]
    fn bounds_match_either_spelling() {
        assert_eq!(bound_matcher(0.3), r#"le="0.3""#);
        assert_eq!(bound_matcher(1.0), r#"le=~"1(\\.0)?""#);
        assert_eq!(derived(r#"h{a="b"}"#, "_bucket", r#"le="1""#), r#"h_bucket{a="b",le="1"}"#);
        assert_eq!(derived("h", "_count", ""), "h_count");
    }

    #[test]
    fn buckets_are_known_wherever_they_are_counted() {
        let good = |part: Count| Indicator::Events { role: Role::Good, part, total: counter("t") };
        let query = |text: &str| Count::Query(text.into());
        for (indicator, bound, all) in [
            (good(counter(r#"h_bucket{a="b",le="0.2"}"#)), "0.2", r#"h_bucket{a="b"}"#),
            (
                good(query(r#"sum(increase(h_bucket{le=~"0.2|0.5"}[$window])) * 2"#)),
                "0.2|0.5",
                "h_bucket",
            ),
            (
                Indicator::Latency { histogram: r#"h{a="b"}"#.into(), threshold: 0.3 },
                "0.3",
                r#"h_bucket{a="b"}"#,
            ),
        ] {
            let asks = indicator.asks(Duration::from_secs(60), &[]);
            let want = Bucket { bound: bound.into(), all: Some(all.into()) };
            assert_eq!((asks.bucket, asks.absent), (Some(want), Absent::Unknown));
            // In Prometheus, too, a bucket that is not there is no zero.
            assert!(!indicator.error_ratio("5m", &[]).contains(" or"), "{indicator:?}");
            assert!(!indicator.events("5m", &[]).unwrap().0.contains(" or"), "{indicator:?}");
        }
        let asks = good(counter("ok_total")).asks(Duration::from_secs(60), &[]);
        assert_eq!((asks.bucket, asks.absent), (None, Absent::NoneOnceSeen));
    }

    #[test]
    fn every_expression_is_promql() {
        let query = "count_over_time(up[$window])";
        let events = |role, part: Count| Indicator::Events { role, part, total: counter("t") };
        for indicator in [
            events(Role::Bad, counter("b")),
            events(Role::Good, Count::Query(query.into())),
            events(Role::Good, counter(r#"h_bucket{le="1"}"#)),
            events(Role::Bad, counter(r#"h_bucket{le="1"}"#)),
            Indicator::Latency { histogram: r#"h{a="b"}"#.into(), threshold: 1.0 },
            Indicator::NativeLatency { histogram: "h".into(), threshold: 0.25 },
            Indicator::Ratio { role: Role::Good, query: "avg_over_time(up[$window])".into() },
        ] {
            for group_by in [vec![], vec!["region".to_string()]] {
                let mut texts = vec![indicator.error_ratio("5m", &group_by), indicator.presence()];
                texts.extend(indicator.events("1h", &group_by).map(|(bad, _)| bad));
                let asks = indicator.asks(Duration::from_secs(60), &group_by);
                for ask in [Some(asks.part), asks.total].into_iter().flatten() {
                    match ask {
                        Ask::PerSlice(text) => texts.push(text),
                        Ask::Samples { selector, .. } => {
                            let odd = Labels::from_pairs([("instance", "a.b:1|\\\"")]);
                            texts.push(last_values(&selector, &[&odd], "1d"));
                            texts.push(ranged(&selector, "8m"));
                        }
                    }
                }
                for text in texts {
                    assert!(parse(&text, &ParseOptions::default()).is_ok(), "{text}");
                }
            }
        }
    }
}
