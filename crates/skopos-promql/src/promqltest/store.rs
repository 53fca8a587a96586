//! The in-memory storage that scripts load into.

use std::collections::BTreeMap;
use std::sync::Arc;

use skopos_model::storage::{
    SampleBuffer, SampleSource, SelectedSeries, SeriesSelect, SeriesSet, StorageError,
};
use skopos_model::{
    CounterResetHint, Histogram, Labels, METRIC_NAME, Sample, SampleValue, is_stale,
};

use super::series::Point;
use crate::histogram;

/// Series in memory, as the test notation writes them; answers [`Plan`](crate::Plan)'s selects.
#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, BTreeMap<i64, SampleValue>>,
    /// Start timestamps by the time of the sample.
    starts: BTreeMap<Labels, BTreeMap<i64, i64>>,
}

/// Samples that may have start timestamps.
struct Loaded {
    samples: Vec<Sample>,
    starts: BTreeMap<i64, i64>,
}

impl SampleSource for Loaded {
    fn decode(&self, start: i64, end: i64, out: &mut SampleBuffer) -> Result<(), StorageError> {
        let from = self.samples.partition_point(|s| s.timestamp_ms < start);
        for sample in self.samples[from..].iter().take_while(|s| s.timestamp_ms <= end) {
            let start = self.starts.get(&sample.timestamp_ms).copied().unwrap_or(0);
            out.push_started(sample.timestamp_ms, start, &sample.value);
        }
        Ok(())
    }

    fn len_hint(&self) -> usize {
        self.samples.len()
    }
}

impl Store {
    /// Adds a sample. False, and nothing changes, where the series has one at that time already.
    pub fn insert(&mut self, labels: &Labels, timestamp_ms: i64, value: SampleValue) -> bool {
        let samples = match self.series.get_mut(labels) {
            Some(samples) => samples,
            None => self.series.entry(labels.clone()).or_default(),
        };
        let is_new = !samples.contains_key(&timestamp_ms);
        if is_new {
            samples.insert(timestamp_ms, value);
        }
        is_new
    }

    /// The samples of a series by time.
    pub fn samples(&self, labels: &Labels) -> Option<&BTreeMap<i64, SampleValue>> {
        self.series.get(labels)
    }

    /// Every series with its samples by time, in label order.
    pub fn series(&self) -> impl Iterator<Item = (&Labels, &BTreeMap<i64, SampleValue>)> {
        self.series.iter()
    }

    pub(super) fn clear(&mut self) {
        self.series.clear();
        self.starts.clear();
    }

    pub(super) fn load(&mut self, step_ms: i64, labels: &Labels, points: &[Point]) {
        let samples = self.series.entry(labels.clone()).or_default();
        for (i, point) in points.iter().enumerate() {
            if let Some(value) = point {
                samples.insert(step_ms * i as i64, value.clone());
            }
        }
    }

    pub(super) fn load_starts(&mut self, step_ms: i64, labels: &Labels, offsets: &[Option<i64>]) {
        let starts = self.starts.entry(labels.clone()).or_default();
        for (i, offset) in offsets.iter().enumerate() {
            if let Some(offset) = offset {
                let time = step_ms * i as i64;
                starts.insert(time, time.saturating_add(*offset));
            }
        }
    }

    /// The series that match, with their samples in the range asked for.
    pub fn select(&self, select: &SeriesSelect) -> SeriesSet {
        let mut set = SeriesSet::default();
        for (labels, samples) in &self.series {
            if select.matchers.iter().all(|m| m.matches(labels.value(m.name()))) {
                let starts = self.starts.get(labels).cloned().unwrap_or_default();
                let samples = with_hints(samples, select.start_ms, select.end_ms);
                let samples = Arc::new(Loaded { samples, starts });
                set.series.push(SelectedSeries { labels: labels.clone(), samples });
            }
        }
        set
    }
}

/// A store knows from how it laid counters down whether one was reset; gauges stay gauges.
fn with_hints(samples: &BTreeMap<i64, SampleValue>, start_ms: i64, end_ms: i64) -> Vec<Sample> {
    let mut before: Option<&Arc<Histogram>> = match samples.range(..start_ms).next_back() {
        Some((_, SampleValue::Histogram(last))) => Some(last),
        _ => None,
    };
    let mut out = Vec::new();
    if start_ms > end_ms {
        return out;
    }
    for (time, value) in samples.range(start_ms..=end_ms) {
        let SampleValue::Histogram(current) = value else {
            before = None;
            out.push(Sample { timestamp_ms: *time, value: value.clone() });
            continue;
        };
        let mut stored = Histogram::clone(current);
        if current.counter_reset_hint != CounterResetHint::Gauge && !is_stale(current.sum) {
            let continues = before.is_some_and(|before| {
                let unhinted = Histogram {
                    counter_reset_hint: match current.counter_reset_hint {
                        CounterResetHint::CounterReset => CounterResetHint::CounterReset,
                        _ => CounterResetHint::Unknown,
                    },
                    ..stored.clone()
                };
                before.counter_reset_hint != CounterResetHint::Gauge
                    && before.schema == current.schema
                    && before.zero_threshold == current.zero_threshold
                    && before.custom_values == current.custom_values
                    && !histogram::detect_reset(&unhinted, before)
            });
            stored.counter_reset_hint = if continues {
                CounterResetHint::NotCounterReset
            } else {
                CounterResetHint::Unknown
            };
        }
        before = Some(current);
        out.push(Sample { timestamp_ms: *time, value: SampleValue::Histogram(Arc::new(stored)) });
    }
    out
}

/// Buckets, count and sum of one histogram at one point.
#[derive(Default)]
struct Classic {
    buckets: BTreeMap<u64, (f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// The native histograms with custom buckets that classic series amount to.
pub(super) fn with_custom_buckets(series: &[(Labels, Vec<Point>)]) -> Vec<(Labels, Vec<Point>)> {
    let mut found: BTreeMap<Labels, BTreeMap<usize, Classic>> = BTreeMap::new();
    for (labels, points) in series {
        let name = labels.metric_name();
        let Some((base, part)) = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).map(|base| (base, *suffix)))
        else {
            continue;
        };
        let bound = match part {
            "_bucket" => match parse_bound(labels.value("le")) {
                Some(bound) => bound,
                None => continue,
            },
            _ => f64::NAN,
        };
        let mut target = labels.to_builder();
        target.set(METRIC_NAME, base).remove("le");
        let target = found.entry(target.build()).or_default();
        for (i, point) in points.iter().enumerate() {
            let Some(SampleValue::Float(value)) = point else { continue };
            let classic = target.entry(i).or_default();
            match part {
                "_bucket" => {
                    classic.buckets.insert(order_bits(bound), (bound, *value));
                }
                "_count" => classic.count = Some(*value),
                _ => classic.sum = Some(*value),
            }
        }
    }
    let mut out = Vec::new();
    for (labels, points) in found {
        let last = points.keys().next_back().copied().unwrap_or(0);
        let mut line = vec![None; last + 1];
        for (i, classic) in points {
            line[i] = convert(&classic).map(|h| SampleValue::Histogram(Arc::new(h)));
        }
        out.push((labels, line));
    }
    out
}

fn parse_bound(text: &str) -> Option<f64> {
    if text.to_ascii_lowercase().trim_start_matches('+') == "inf" {
        return Some(f64::INFINITY);
    }
    text.parse().ok()
}

/// Bits that sort as the float does.
fn order_bits(value: f64) -> u64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = value.to_bits();
    if value.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

/// `None` when counts decrease: such buckets make no native histogram.
fn convert(classic: &Classic) -> Option<Histogram> {
    let top = classic.buckets.values().next_back().copied();
    let from_top = top.filter(|(bound, _)| bound.is_infinite()).map(|(_, count)| count);
    let count = classic.count.or(from_top).or(top.map(|(_, count)| count)).unwrap_or(0.0);
    let finite = classic.buckets.values().filter(|(bound, _)| bound.is_finite());
    let (bounds, counts): (Vec<f64>, Vec<f64>) = finite.copied().unzip();
    let all = counts.iter().chain([&count]);
    if all.clone().zip(all.skip(1)).any(|(a, b)| b < a) {
        return None;
    }
    Some(histogram::from_classic(&bounds, &counts, count, classic.sum.unwrap_or(0.0)))
}
