//! Adds the counters beyond a limit up, in one series per remaining label set.
//!
//! What is right: the series with `other` grows by what its sources grow, so that `rate` and
//! `increase` over it, and sums over it and the series that are told apart, are what they would be
//! without a limit. For that the last value of every source is kept, and:
//!
//! - A source that was there before folding began has its first value taken as where it stands, not
//!   as growth: nobody saw it grow. A source that appears once folding has gone on for
//!   [`SETTLED_AFTER`], or that says it began after folding did, grows by its whole first value. The
//!   first is also the rule for everything after a restart and after sources had to be forgotten:
//!   growth may then be missed, never counted twice.
//! - A value below the last one is a reset: it grows by the whole value.
//! - The sum never goes back in time: growth older than the newest sum is added there.
//! - Deltas are added as they are; one that is not newer than its source's last is a repeat.
//!
//! Sums go on from the newest stored sample after a restart, like those of deltas.
//!
//! Bounded by [`MOST_SOURCES`], [`MOST_METRICS`] and one in a hundred of the metric's limit (at least
//! [`LEAST_TARGETS`]) new series per metric; beyond them series are refused as without folding.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use skopos_model::{Exemplar, Labels, Sample, SampleValue, SeriesId, SeriesSamples, Temporality};

use super::OTHER;
use crate::limits::SeriesLimits;

/// Sources told apart; 64 bytes each.
const MOST_SOURCES: usize = 200_000;
/// Metrics that are folded at a time.
const MOST_METRICS: usize = 1_024;
/// A metric may have so many series with `other`, however small its limit.
const LEAST_TARGETS: usize = 100;
/// Folding has gone on for longer than any interval of scraping or pushing.
const SETTLED_AFTER: Duration = Duration::from_secs(600);
/// Sources, sums and metrics without samples for this long may be forgotten.
const IDLE_AFTER: Duration = Duration::from_secs(3600);
/// Exemplars that one batch may bring to one series.
const MOST_EXEMPLARS: usize = 16;

/// What is known of folded series.
#[derive(Default)]
pub(super) struct Folds {
    metrics: HashMap<Box<str>, MetricFold>,
    sources: HashMap<SeriesId, Source>,
    sums: HashMap<Labels, (i64, f64)>,
    swept_at: Duration,
}

struct MetricFold {
    label: Box<str>,
    since: Now,
    used_at: Duration,
    targets: HashSet<SeriesId>,
    /// Those of the targets that only folding brought into being.
    new_targets: usize,
}

/// A moment on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    pub(super) ms: i64,
}

struct Source {
    last_ms: i64,
    last: f64,
    used_at: Duration,
}

/// A series and the one that stands for it.
pub(super) struct Pair<'a> {
    pub(super) series: &'a mut SeriesSamples,
    pub(super) target: &'a Labels,
    pub(super) target_is_new: bool,
    pub(super) label: &'a str,
}

/// What one batch adds to folded series.
#[derive(Default)]
pub(super) struct Folded {
    targets: BTreeMap<Labels, Growth>,
    samples: u64,
}

#[derive(Default)]
struct Growth {
    by_time: Vec<(i64, f64)>,
    exemplars: Vec<Exemplar>,
}

impl Folded {
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// The labels of the series that stands for this one; `None` when the label is not there.
pub(super) fn target(labels: &Labels, label: &str) -> Option<Labels> {
    labels.get(label)?;
    let mut target = labels.to_builder();
    target.set(label, OTHER);
    Some(target.build())
}

impl Folds {
    /// Whether anything is folded.
    pub(super) fn is_folding(&self) -> bool {
        !self.metrics.is_empty()
    }

    /// The label of a metric that is folded.
    pub(super) fn label(&self, metric: &str) -> Option<&str> {
        self.metrics.get(metric).map(|fold| &*fold.label)
    }

    /// Whether a series stands for others.
    pub(super) fn is_target(&self, id: SeriesId, labels: &Labels) -> bool {
        self.metrics.get(labels.metric_name()).is_some_and(|fold| fold.targets.contains(&id))
    }

    /// Adds the samples of a series; `false`, and nothing is changed, when it cannot be folded.
    pub(super) fn add(
        &mut self,
        Pair { series, target, target_is_new, label }: Pair<'_>,
        limits: &SeriesLimits,
        at: Now,
        folded: &mut Folded,
    ) -> bool {
        let now = at.monotonic;
        let is_float = |sample: &Sample| matches!(sample.value, SampleValue::Float(_));
        let id = series.labels.series_id();
        if !series.samples.iter().all(is_float) || !self.has_room(id, series, at) {
            return false;
        }
        let metric = series.labels.metric_name();
        if !self.metrics.contains_key(metric) {
            let fold = MetricFold {
                label: label.into(),
                since: at,
                used_at: now,
                targets: HashSet::new(),
                new_targets: 0,
            };
            self.metrics.insert(metric.into(), fold);
        }
        let Some(fold) = self.metrics.get_mut(metric) else { return false };
        let target_id = target.series_id();
        if !fold.targets.contains(&target_id) {
            let most = (limits.metric_series / 100).max(LEAST_TARGETS);
            if target_is_new && fold.new_targets >= most {
                return false;
            }
            fold.new_targets += usize::from(target_is_new);
            fold.targets.insert(target_id);
        }
        fold.used_at = now;
        let is_new = now.saturating_sub(fold.since.monotonic) >= SETTLED_AFTER
            || series.start_timestamp_ms.is_some_and(|start_ms| start_ms >= fold.since.ms);
        let is_delta = series.temporality == Temporality::Delta;
        series.samples.sort_by_key(|sample| sample.timestamp_ms);
        let growth = match folded.targets.get_mut(target) {
            Some(growth) => growth,
            None => folded.targets.entry(target.clone()).or_default(),
        };
        folded.samples += series.samples.len() as u64;
        for sample in &series.samples {
            let SampleValue::Float(value) = sample.value else { continue };
            let grown = match self.sources.get(&id) {
                // Stale markers and NaN say nothing about growth.
                _ if value.is_nan() => 0.0,
                Some(source) if sample.timestamp_ms <= source.last_ms => 0.0,
                _ if is_delta => value,
                Some(source) if value >= source.last => value - source.last,
                Some(_) => value,
                None if is_new => value,
                None => 0.0,
            };
            growth.by_time.push((sample.timestamp_ms, grown));
            if value.is_nan() {
                continue;
            }
            let source = Source { last_ms: sample.timestamp_ms, last: value, used_at: now };
            match self.sources.get_mut(&id) {
                Some(known) if known.last_ms >= source.last_ms => known.used_at = now,
                Some(known) => *known = source,
                None => drop(self.sources.insert(id, source)),
            }
        }
        let room = MOST_EXEMPLARS.saturating_sub(growth.exemplars.len());
        growth.exemplars.extend(series.exemplars.drain(..).take(room));
        true
    }

    /// Whether a source can be remembered, if need be after others were forgotten.
    fn has_room(&mut self, id: SeriesId, series: &SeriesSamples, at: Now) -> bool {
        let now = at.monotonic;
        let is_known = |folds: &Self| {
            folds.sources.contains_key(&id)
                || folds.sources.len() < MOST_SOURCES
                    && (folds.metrics.len() < MOST_METRICS
                        || folds.metrics.contains_key(series.labels.metric_name()))
        };
        if is_known(self) {
            return true;
        }
        // Not for every refused series again.
        if now.saturating_sub(self.swept_at) < Duration::from_secs(60) {
            return false;
        }
        self.swept_at = now;
        let is_idle = |used_at: Duration| now.saturating_sub(used_at) >= IDLE_AFTER;
        let before = self.sources.len();
        self.sources.retain(|_, source| !is_idle(source.used_at));
        self.metrics.retain(|_, fold| !is_idle(fold.used_at));
        let metrics = &self.metrics;
        self.sums.retain(|labels, _| metrics.contains_key(labels.metric_name()));
        if self.sources.len() < before {
            // Those forgotten may come back with all they ever counted.
            self.metrics.values_mut().for_each(|fold| fold.since = at);
        }
        is_known(self)
    }

    /// Turns growth into samples of sums; also tells how many samples were folded into them.
    /// `stored` yields the newest stored sample of a series.
    pub(super) fn finish(
        &mut self,
        folded: Folded,
        stored: impl Fn(&Labels) -> Option<Sample>,
    ) -> (Vec<SeriesSamples>, u64) {
        let mut out = Vec::with_capacity(folded.targets.len());
        for (labels, Growth { mut by_time, exemplars }) in folded.targets {
            by_time.sort_by_key(|(time, _)| *time);
            let known = self.sums.get(&labels).copied();
            let known = known.or_else(|| match stored(&labels)? {
                Sample { timestamp_ms, value: SampleValue::Float(sum) } => {
                    Some((timestamp_ms, sum))
                }
                _ => None,
            });
            let (mut last_ms, mut sum) = known.unwrap_or((i64::MIN, 0.0));
            let mut samples: Vec<Sample> = Vec::new();
            for (time, grown) in by_time {
                sum += grown;
                last_ms = last_ms.max(time);
                match samples.last_mut() {
                    Some(last) if last.timestamp_ms == last_ms => {
                        last.value = SampleValue::Float(sum);
                    }
                    _ => samples.push(Sample::float(last_ms, sum)),
                }
            }
            self.sums.insert(labels.clone(), (last_ms, sum));
            out.push(SeriesSamples {
                labels,
                samples,
                temporality: Temporality::Cumulative,
                start_timestamp_ms: None,
                exemplars,
            });
        }
        (out, folded.samples)
    }
}
