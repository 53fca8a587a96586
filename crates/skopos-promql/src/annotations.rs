//! Remarks that accompany a result: warnings (it is probably not what was meant) and infos.

use std::collections::BTreeMap;

use crate::format::format_general;
use crate::span::{LineColumn, Span};

/// How serious a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Part of the result is missing or doubtful.
    Warning,
    /// Something worth knowing.
    Info,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Annotation {
    /// How serious.
    pub severity: Severity,
    /// The text without prefix and place.
    pub text: String,
    /// The expression it is about.
    pub span: Span,
}

impl Annotation {
    /// The remark as Prometheus' API has it: `PromQL warning: text (line:column)`.
    pub fn message(&self, query: &str) -> String {
        let kind = match self.severity {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        format!("PromQL {kind}: {} ({})", self.text, LineColumn::of(query, self.span.start))
    }
}

/// All remarks of one evaluation, each once, in a stable order. A remark made at several places
/// stands at the last of them, as in Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    all: BTreeMap<(Severity, String), Span>,
}

/// Remarks kept per evaluation; one per metric name can otherwise be many.
const MAX_ANNOTATIONS: usize = 1000;

/// Remarks of a kind that an answer shows, as in Prometheus; the rest is counted.
const MAX_SHOWN: usize = 10;

impl Annotations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All remarks, warnings first.
    pub fn iter(&self) -> impl Iterator<Item = Annotation> {
        self.all.iter().map(|((severity, text), span)| Annotation {
            severity: *severity,
            text: text.clone(),
            span: *span,
        })
    }

    /// The warnings as Prometheus' API has them: ten, then how many more there are.
    pub fn warnings(&self, query: &str) -> Vec<String> {
        self.of(Severity::Warning, query)
    }

    /// The infos as Prometheus' API has them: ten, then how many more there are.
    pub fn infos(&self, query: &str) -> Vec<String> {
        self.of(Severity::Info, query)
    }

    fn of(&self, severity: Severity, query: &str) -> Vec<String> {
        let mut all = self.iter().filter(|a| a.severity == severity);
        let mut shown: Vec<String> =
            all.by_ref().take(MAX_SHOWN).map(|a| a.message(query)).collect();
        let more = all.count();
        if more > 0 {
            let kind = match severity {
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            shown.push(format!("{more} more {kind} annotations omitted"));
        }
        shown
    }

    pub(crate) fn add(&mut self, remark: Remark<'_>, span: Span) {
        self.insert(remark.text(), span);
    }

    pub(crate) fn merge(&mut self, other: Annotations) {
        other.all.into_iter().for_each(|(key, span)| self.insert(key, span));
    }

    fn insert(&mut self, key: (Severity, String), span: Span) {
        if let Some(at) = self.all.get_mut(&key) {
            *at = span.max(*at);
        } else if self.all.len() < MAX_ANNOTATIONS {
            self.all.insert(key, span);
        }
    }
}

/// The remarks there are, worded as Prometheus words them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remark<'a> {
    InvalidQuantile(f64),
    InvalidRatio { got: f64, capped: f64 },
    BadBucketLabel { metric: &'a str, value: &'a str },
    MixedFloatsHistograms { metric: &'a str },
    MixedFloatsHistogramsInAggregation,
    MixedClassicNative { metric: &'a str },
    NotACounter { metric: &'a str },
    NotAGauge { metric: &'a str },
    MixedExponentialCustom { metric: &'a str },
    StartsOverlap { metric: &'a str },
    IncompatibleBucketLayout { op: &'a str },
    CounterResetCollision { operation: &'a str },
    SortInRangeQuery,
    PossibleNonCounter { metric: &'a str },
    PossibleNonCounterType { metric: &'a str, declared: &'a str },
    ForcedMonotonicity { metric: &'a str, detail: &'a str },
    IncompatibleTypes { lhs: &'a str, op: &'a str, rhs: &'a str },
    HistogramIgnoredInAggregation { op: &'a str },
    HistogramIgnoredInMixedRange { metric: &'a str },
    QuantileOfNan { metric: &'a str },
    QuantileSkewedByNan { metric: &'a str },
    FractionWithoutNan { metric: &'a str },
    CustomBucketsReconciled { operation: &'a str },
}

impl Remark<'_> {
    fn text(self) -> (Severity, String) {
        use Severity::{Info, Warning};
        let of_metric = |metric: &str| {
            if metric.is_empty() { String::new() } else { format!(" for metric name {metric:?}") }
        };
        match self {
            Self::InvalidQuantile(q) => {
                let q = format_general(q);
                (Warning, format!("quantile value should be between 0 and 1, got {q}"))
            }
            Self::InvalidRatio { got, capped } => {
                let (got, capped) = (format_general(got), format_general(capped));
                let text = format!(
                    "ratio value should be between -1 and 1, got {got}, capping to {capped}"
                );
                (Warning, text)
            }
            Self::BadBucketLabel { metric, value } => {
                let text = format!(
                    "bucket label \"le\" is missing or has a malformed value of {value:?}{}",
                    of_metric(metric)
                );
                (Warning, text)
            }
            Self::MixedFloatsHistograms { metric } => {
                let text = format!(
                    "encountered a mix of histograms and floats for metric name {metric:?}"
                );
                (Warning, text)
            }
            Self::MixedFloatsHistogramsInAggregation => {
                (Warning, "encountered a mix of histograms and floats for aggregation".into())
            }
            Self::MixedClassicNative { metric } => {
                let text = format!(
                    "vector contains a mix of classic and native histograms{}",
                    of_metric(metric)
                );
                (Warning, text)
            }
            Self::NotACounter { metric } => {
                (Warning, format!("this native histogram metric is not a counter: {metric:?}"))
            }
            Self::NotAGauge { metric } => {
                (Warning, format!("this native histogram metric is not a gauge: {metric:?}"))
            }
            Self::MixedExponentialCustom { metric } => {
                let text = format!(
                    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
                );
                (Warning, text)
            }
            Self::StartsOverlap { metric } => {
                let text = format!(
                    "start timestamps of samples overlap with samples before them for metric name {metric:?}"
                );
                (Warning, text)
            }
            Self::IncompatibleBucketLayout { op } => {
                let text =
                    format!("incompatible bucket layout encountered for binary operator {op}");
                (Warning, text)
            }
            Self::CounterResetCollision { operation } => {
                (Warning, format!("conflicting counter resets during histogram {operation}"))
            }
            Self::SortInRangeQuery => {
                let text = "sort is ineffective for range queries since results are always ordered by labels";
                (Warning, text.into())
            }
            Self::PossibleNonCounter { metric } => {
                let text = format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
                );
                (Info, text)
            }
            Self::PossibleNonCounterType { metric, declared } => {
                let text = format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {declared:?}: {metric:?}"
                );
                (Info, text)
            }
            Self::ForcedMonotonicity { metric, detail } => {
                let text = format!(
                    "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}{detail}",
                    of_metric(metric)
                );
                (Info, text)
            }
            Self::IncompatibleTypes { lhs, op, rhs } => {
                let text = format!(
                    "incompatible sample types encountered for binary operator {op:?}: {lhs} {op} {rhs}"
                );
                (Info, text)
            }
            Self::HistogramIgnoredInAggregation { op } => {
                (Info, format!("ignored histogram in {op} aggregation"))
            }
            Self::HistogramIgnoredInMixedRange { metric } => {
                let text = format!(
                    "ignored histograms in a range containing both floats and histograms for metric name {metric:?}"
                );
                (Info, text)
            }
            Self::QuantileOfNan { metric } => {
                let text = format!(
                    "input to histogram_quantile has NaN observations, result is NaN{}",
                    of_metric(metric)
                );
                (Info, text)
            }
            Self::QuantileSkewedByNan { metric } => {
                let text = format!(
                    "input to histogram_quantile has NaN observations, result is skewed higher{}",
                    of_metric(metric)
                );
                (Info, text)
            }
            Self::FractionWithoutNan { metric } => {
                let text = format!(
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                    of_metric(metric)
                );
                (Info, text)
            }
            Self::CustomBucketsReconciled { operation } => {
                (Info, format!("mismatched custom buckets were reconciled during {operation}"))
            }
        }
    }
}
