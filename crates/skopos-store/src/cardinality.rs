//! How many series there are, of which metrics, by which labels, since when, and who was refused.
//!
//! `series` are those that the head holds: what the limits count. `active` are those with a sample
//! in the last hour. `day_ago` are those with a sample in the hour that ended 24 hours ago, counted
//! in blocks and heads when asked for, so that it is true after restarts and for any label; it is
//! `None` where nothing is stored that is as old. Growth is the difference between the latter two.
//!
//! Chunks tell between which samples a series lies, not each sample, so a series that has samples
//! before and after the hour but none inside counts as well.

use async_trait::async_trait;
use skopos_model::Timestamp;
use skopos_model::storage::{QueryBudget, StorageError};

use crate::limits::SeriesLimits;

/// Answers questions about cardinality. Reads as other reads: budgeted, off the caller's thread.
#[async_trait]
pub trait Cardinality: Send + Sync {
    /// Counts of metrics and labels; of the labels of a metric; of the values of a label.
    async fn cardinality(
        &self,
        query: &CardinalityQuery,
        budget: &QueryBudget,
    ) -> Result<CardinalityReport, StorageError>;

    /// What Prometheus tells about its head; at most `limit` rows each.
    async fn tsdb_status(
        &self,
        limit: usize,
        budget: &QueryBudget,
    ) -> Result<TsdbStatus, StorageError>;

    /// Every metric and sender that went beyond a limit, the most samples first.
    fn refusals(&self) -> Vec<SeriesRefusal>;

    /// Tells which instrumentation scope reported a metric of a service, so that refusals name it:
    /// scopes are no labels by default. Rows that name one stay as they are.
    fn name_scope(&self, service: &str, metric: &str, scope: &str);
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardinalityQuery {
    /// Only this metric.
    pub metric: Option<String>,
    /// The values of this label.
    pub label: Option<String>,
    /// At most so many rows of each kind.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CardinalityReport {
    /// When it was counted.
    pub at: Timestamp,
    /// Of all that was asked for.
    pub total: SeriesCounts,
    /// Metrics, the largest first: all, or the one that was asked for.
    pub metrics: Vec<MetricCounts>,
    /// How many metrics there are.
    pub metrics_total: u64,
    /// Labels, those with the most values first; none when values were asked for.
    pub labels: Vec<LabelCounts>,
    /// How many labels there are.
    pub labels_total: u64,
    /// Values of the label that was asked for, those of the most series first.
    pub values: Vec<ValueCounts>,
    /// How many values it has.
    pub values_total: u64,
    /// Series that came into being since the start, those found at the start among them.
    pub created: u64,
    /// Series that left the head since the start.
    pub removed: u64,
    /// The limits in force.
    pub limits: SeriesLimits,
}

/// Numbers of series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesCounts {
    /// In the head.
    pub series: u64,
    /// With a sample in the last hour; `None` where that was not counted.
    pub active: Option<u64>,
    /// With a sample in the hour that ended 24 hours ago.
    pub day_ago: Option<u64>,
}

/// A metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricCounts {
    /// Its name.
    pub metric: String,
    /// Its series.
    pub counts: SeriesCounts,
    /// The label with the most values among its newest series; empty when it has none.
    pub label: String,
    /// How many values that one has among them.
    pub label_values: u64,
}

/// A label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Its name.
    pub label: String,
    /// Its distinct values.
    pub values: u64,
    /// Its distinct values 24 hours ago; `None` where that was not counted.
    pub values_day_ago: Option<u64>,
    /// Series that have it.
    pub counts: SeriesCounts,
    /// Whether its values look like ids: of requests, users, sessions, addresses.
    pub id_like: bool,
    /// Some of its values.
    pub examples: Vec<String>,
}

/// A value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueCounts {
    /// The value.
    pub value: String,
    /// Series that have it.
    pub counts: SeriesCounts,
}

/// New series of one metric and sender that went beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRefusal {
    /// Which limit: the name of a field of [`SeriesLimits`].
    pub reason: &'static str,
    /// Its value.
    pub limit: u64,
    /// What became of them.
    pub action: LimitAction,
    /// The metric; `(others)` where too many went beyond limits.
    pub metric: String,
    /// The label that grew: the one with the most values; of series that are too long the one at
    /// fault; empty for too many labels.
    pub label: String,
    /// The first value of that label that was refused or folded.
    pub first_value: String,
    /// Who sent them.
    pub sender: SeriesSender,
    /// Samples of them.
    pub samples: u64,
    /// When this began.
    pub first_at: Timestamp,
    /// When it happened last.
    pub last_at: Timestamp,
}

/// What becomes of a new series beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitAction {
    /// It is refused.
    Refused,
    /// It is added to the series whose value is `other`.
    Folded,
}

impl LimitAction {
    /// In lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Folded => "folded",
        }
    }
}

/// Who sent a series, as its labels say; empty where they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesSender {
    /// The label `job`.
    pub job: String,
    /// The service: `service_name`, or the last part of `job`.
    pub service: String,
    /// The instrumentation scope: `otel_scope_name`.
    pub scope: String,
}

/// What Prometheus tells at `/api/v1/status/tsdb`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TsdbStatus {
    /// Series in the head.
    pub series: u64,
    /// Distinct pairs of label and value.
    pub label_pairs: u64,
    /// Sealed chunks in the head.
    pub chunks: u64,
    /// Time of its earliest sample, milliseconds; `None` when it is empty.
    pub min_time_ms: Option<i64>,
    /// Time of its newest sample, milliseconds.
    pub max_time_ms: Option<i64>,
    /// Metrics and their series.
    pub series_by_metric: Vec<(String, u64)>,
    /// Labels and their distinct values.
    pub values_by_label: Vec<(String, u64)>,
    /// Labels and the bytes of their distinct values.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Pairs `label=value` and their series.
    pub series_by_pair: Vec<(String, u64)>,
}

/// Whether most of these values look like ids: long numbers, hexadecimal, UUIDs, e-mail addresses.
pub fn look_like_ids<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
    let (mut ids, mut all) = (0, 0);
    for value in values {
        all += 1;
        ids += usize::from(looks_like_id(value));
    }
    all > 0 && ids * 2 > all
}

fn looks_like_id(value: &str) -> bool {
    let longest = |accept: fn(u8) -> bool| {
        let runs = value.as_bytes().split(|byte| !accept(*byte));
        runs.filter(|run| run.iter().any(u8::is_ascii_digit)).map(<[u8]>::len).max().unwrap_or(0)
    };
    let is_address =
        value.split_once('@').is_some_and(|(who, at)| !who.is_empty() && at.contains('.'));
    is_address || longest(|b| b.is_ascii_digit()) >= 5 || longest(|b| b.is_ascii_hexdigit()) >= 8
}

/// The `limit` largest of some named numbers, the largest first and of equal ones by name; only
/// names that are kept are copied.
pub(crate) fn largest<'a>(
    all: impl Iterator<Item = (&'a str, u64)>,
    limit: usize,
) -> Vec<(String, u64)> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut heap: BinaryHeap<Reverse<(u64, Reverse<&str>)>> = BinaryHeap::new();
    for (name, count) in all {
        heap.push(Reverse((count, Reverse(name))));
        if heap.len() > limit {
            heap.pop();
        }
    }
    let sorted = heap.into_sorted_vec();
    sorted.into_iter().map(|Reverse((count, Reverse(name)))| (name.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        for (value, want) in [
            ("checkout", false),
            ("200", false),
            ("10.0.3.17:8080", false),
            ("v1.28.3", false),
            ("facade", false),
            ("deadbeef", false),
            ("48213", true),
            ("user-90210-x", true),
            ("550e8400-e29b-41d4-a716-446655440000", true),
            ("4bf92f3577b34da6", true),
            ("ann@example.org", true),
            ("", false),
        ] {
            assert_eq!(looks_like_id(value), want, "{value}");
        }
        assert!(look_like_ids(["12345", "67890", "anonymous"]));
        assert!(!look_like_ids(["12345", "get", "post"]));
        assert!(!look_like_ids([]));
    }

    #[test]
    fn largest_first_then_by_name() {
        let all = [("b", 2), ("a", 2), ("c", 9), ("d", 1)];
        let got = largest(all.into_iter(), 3);
        assert_eq!(got, [("c".into(), 9), ("a".into(), 2), ("b".into(), 2)]);
    }
}
