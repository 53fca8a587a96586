//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, over classic buckets and
//! native histograms alike.

use std::collections::{BTreeMap, HashMap};

use skopos_model::{Histogram, Labels, Timestamp};

use super::{Evaluator, merge_duplicates};
use crate::annotations::Remark;
use crate::error::EvalError;
use crate::format::{format_general, format_openmetrics, format_two_digits};
use crate::histogram::{self, NanRole};
use crate::plan::{Grid, Node};
use crate::span::Span;
use crate::value::{Block, Column};

/// The label of classic buckets that holds the upper bound.
const BUCKET_LABEL: &str = "le";

/// Relative difference of counts below which a decrease is taken for rounding.
const ROUNDING: f64 = 1e-12;

/// The series of one histogram.
struct Family {
    labels: Labels,
    drop_name: bool,
    /// Classic buckets: upper bound and series index, ascending.
    buckets: Vec<(f64, usize)>,
    /// Series that may hold native histograms.
    natives: Vec<usize>,
}

/// A histogram at a step.
enum Shape {
    /// Cumulative counts by upper bound.
    Classic(Vec<(f64, f64)>),
    Native(std::sync::Arc<Histogram>),
}

impl Evaluator<'_> {
    /// Gathers series into histograms, and calls `visit` with each histogram at each step.
    fn each_histogram(
        &mut self,
        arg: &Node,
        grid: Grid,
        mut visit: impl FnMut(&mut Self, &Family, usize, Shape) -> Result<(), EvalError>,
    ) -> Result<Vec<Family>, EvalError> {
        let blocks = self.vector(arg, grid)?;
        let families = self.families(&blocks, arg.span)?;
        for family in &families {
            self.budget.check()?;
            for step in 0..grid.steps {
                let classic: Vec<(f64, f64)> = family
                    .buckets
                    .iter()
                    .filter_map(|(bound, i)| Some((*bound, blocks[*i].column.float(step)?)))
                    .collect();
                let native =
                    family.natives.iter().find_map(|i| blocks[*i].column.histogram(step).cloned());
                match (native, classic.is_empty()) {
                    (None, true) => {}
                    (None, false) => visit(self, family, step, Shape::Classic(classic))?,
                    (Some(native), true) => visit(self, family, step, Shape::Native(native))?,
                    (Some(_), false) => {
                        let metric = family.labels.metric_name();
                        self.note(Remark::MixedClassicNative { metric }, arg.span);
                    }
                }
            }
        }
        Ok(families)
    }

    fn families(&mut self, blocks: &[Block], span: Span) -> Result<Vec<Family>, EvalError> {
        let mut families: Vec<Family> = Vec::new();
        let mut index: HashMap<Labels, usize> = HashMap::new();
        for (i, block) in blocks.iter().enumerate() {
            let has_histograms = block.column.has_histograms();
            let has_floats = block.column.present.ones().any(|s| block.column.float(s).is_some());
            let mut add = |families: &mut Vec<Family>, labels: Labels| -> usize {
                *index.entry(labels.clone()).or_insert_with(|| {
                    families.push(Family {
                        labels,
                        drop_name: block.drop_name,
                        buckets: Vec::new(),
                        natives: Vec::new(),
                    });
                    families.len() - 1
                })
            };
            if has_histograms {
                let at = add(&mut families, block.labels.clone());
                families[at].natives.push(i);
            }
            if !has_floats {
                continue;
            }
            let value = block.labels.value(BUCKET_LABEL);
            match parse_bound(value) {
                Some(bound) => {
                    self.charge_labels(&block.labels)?;
                    let at = add(&mut families, block.labels.without(BUCKET_LABEL));
                    families[at].buckets.push((bound, i));
                }
                None => {
                    let metric = block.labels.metric_name();
                    self.note(Remark::BadBucketLabel { metric, value }, span);
                }
            }
        }
        for family in &mut families {
            family.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(families)
    }

    pub(super) fn histogram_quantile(
        &mut self,
        arg: &Node,
        quantiles: &[(Vec<f64>, Span)],
        label: Option<&str>,
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        for (values, span) in quantiles {
            for q in values.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                self.note(Remark::InvalidQuantile(*q), *span);
            }
        }
        let mut out = Vec::new();
        let mut index: HashMap<(Labels, usize, u64), usize> = HashMap::new();
        let mut mended: BTreeMap<String, Mended> = BTreeMap::new();
        self.each_histogram(arg, grid, |this, family, step, shape| {
            let metric = family.labels.metric_name();
            let (buckets, native) = match shape {
                Shape::Native(native) => (None, Some(native)),
                Shape::Classic(raw) => {
                    let (buckets, found) = clean(raw);
                    if let Some(mut found) = found {
                        (found.first_ms, found.last_ms) = (grid.time(step), grid.time(step));
                        let earlier = mended.entry(metric.to_owned()).or_insert(Mended {
                            samples: 0,
                            ..found
                        });
                        earlier.merge(found);
                    }
                    (Some(buckets), None)
                }
            };
            for (which, (values, _)) in quantiles.iter().enumerate() {
                let q = values[step];
                let value = match (&buckets, &native) {
                    (_, Some(native)) => {
                        let (value, role) = histogram::quantile(q, native);
                        match role {
                            NanRole::None => {}
                            NanRole::Result => {
                                this.note(Remark::QuantileOfNan { metric }, arg.span);
                            }
                            NanRole::Skew => {
                                this.note(Remark::QuantileSkewedByNan { metric }, arg.span);
                            }
                        }
                        value
                    }
                    (Some(buckets), None) => classic_quantile(q, buckets),
                    (None, None) => continue,
                };
                // With a label per quantile, each value of the quantile is a series of its own.
                let key = (family.labels.clone(), which, label.map_or(0, |_| q.to_bits()));
                let at = match index.get(&key) {
                    Some(at) => *at,
                    None => {
                        let mut labels = family.labels.clone();
                        this.charge(1, grid)?;
                        if let Some(label) = label {
                            if labels.get(label).is_some() {
                                let message = format!(
                                    "histogram_quantiles() label {label:?} already exists in {labels}"
                                );
                                return Err(EvalError::execution(span, message));
                            }
                            this.charge_labels(&labels)?;
                            let mut builder = labels.to_builder();
                            builder.set(label, &format_openmetrics(q));
                            labels = builder.build();
                        }
                        let column = Column::empty(grid.steps);
                        out.push(Block { labels, drop_name: family.drop_name, column });
                        index.insert(key, out.len() - 1);
                        out.len() - 1
                    }
                };
                out[at].column.set(step, value);
            }
            Ok(())
        })?;
        for (metric, mended) in &mended {
            let detail = &mended.describe();
            self.note(Remark::ForcedMonotonicity { metric, detail }, arg.span);
        }
        let out = merge_duplicates(out, span)?;
        self.drop_names(out, span)
    }

    pub(super) fn histogram_fraction(
        &mut self,
        arg: &Node,
        lower: &[f64],
        upper: &[f64],
        span: Span,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let mut columns: HashMap<Labels, Column> = HashMap::new();
        let families = self.each_histogram(arg, grid, |this, family, step, shape| {
            let (lower, upper) = (lower[step], upper[step]);
            let value = match shape {
                Shape::Native(native) => {
                    let (value, role) = histogram::fraction(lower, upper, &native);
                    if role != NanRole::None {
                        let metric = family.labels.metric_name();
                        this.note(Remark::FractionWithoutNan { metric }, arg.span);
                    }
                    value
                }
                Shape::Classic(raw) => classic_fraction(lower, upper, clean(raw).0),
            };
            if !columns.contains_key(&family.labels) {
                this.charge(1, grid)?;
                columns.insert(family.labels.clone(), Column::empty(grid.steps));
            }
            if let Some(column) = columns.get_mut(&family.labels) {
                column.set(step, value);
            }
            Ok(())
        })?;
        let mut out = Vec::new();
        for family in families {
            if let Some(column) = columns.remove(&family.labels) {
                out.push(Block { labels: family.labels, drop_name: family.drop_name, column });
            }
        }
        self.drop_names(out, span)
    }
}

/// A bucket's upper bound as Go's float syntax has it.
fn parse_bound(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "+inf" | "inf" | "+infinity" | "infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// What had to be mended in the buckets of one metric.
#[derive(Clone, Copy, Debug)]
struct Mended {
    min_bound: f64,
    max_bound: f64,
    max_difference: f64,
    samples: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Mended {
    fn merge(&mut self, other: Mended) {
        self.min_bound = self.min_bound.min(other.min_bound);
        self.max_bound = self.max_bound.max(other.max_bound);
        self.max_difference = self.max_difference.max(other.max_difference);
        self.samples += other.samples;
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    fn describe(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.min_bound),
            format_general(self.max_bound),
            format_two_digits(self.max_difference),
            self.samples,
            rfc3339(self.first_ms),
            rfc3339(self.last_ms)
        )
    }
}

/// A time in UTC without superfluous fractions.
fn rfc3339(ms: i64) -> String {
    let text = Timestamp::from_millis(ms).to_string();
    match text.trim_end_matches('Z').split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => format!("{whole}Z"),
        Some((whole, fraction)) => format!("{whole}.{}Z", fraction.trim_end_matches('0')),
        None => text,
    }
}

/// Merges buckets of the same bound and makes counts grow with the bound. Says which real
/// decreases (not just rounding) had to be mended.
fn clean(raw: Vec<(f64, f64)>) -> (Vec<(f64, f64)>, Option<Mended>) {
    let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(raw.len());
    for (bound, count) in raw {
        match buckets.last_mut() {
            Some(last) if last.0 == bound => last.1 += count,
            _ => buckets.push((bound, count)),
        }
    }
    let mut mended: Option<Mended> = None;
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return (buckets, None);
    }
    let mut before = buckets.first().map_or(0.0, |b| b.1);
    for (bound, count) in buckets.iter_mut().skip(1) {
        if nearly_equal(before, *count) {
            *count = before;
        } else if *count < before {
            let here = Mended {
                min_bound: *bound,
                max_bound: *bound,
                max_difference: before - *count,
                samples: 1,
                first_ms: i64::MAX,
                last_ms: i64::MIN,
            };
            match &mut mended {
                Some(mended) => mended.merge(Mended { samples: 0, ..here }),
                None => mended = Some(here),
            }
            *count = before;
        } else {
            before = *count;
        }
    }
    (buckets, mended)
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < ROUNDING * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < ROUNDING
}

/// The quantile of clean classic buckets, linear within a bucket.
fn classic_quantile(q: f64, buckets: &[(f64, f64)]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let [.., (second_bound, _), (top_bound, observations)] = buckets else { return f64::NAN };
    if *top_bound != f64::INFINITY || *observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let rank = q * observations;
    let last = buckets.len() - 1;
    let at = buckets[..last].partition_point(|(_, count)| *count < rank);
    if at == last {
        // Beyond the highest finite bound nothing is known.
        return *second_bound;
    }
    let (end, count) = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let (start, before) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    start + (end - start) * ((rank - before) / (count - before))
}

/// The share of observations in a range, by the same interpolation.
fn classic_fraction(lower: f64, upper: f64, buckets: Vec<(f64, f64)>) -> f64 {
    match buckets.last() {
        Some((bound, _)) if *bound == f64::INFINITY => {}
        _ => return f64::NAN,
    }
    let (bounds, counts): (Vec<f64>, Vec<f64>) = buckets.into_iter().unzip();
    let (Some(total), finite) = (counts.last().copied(), bounds.len() - 1) else {
        return f64::NAN;
    };
    if total == 0.0 {
        return f64::NAN;
    }
    let native = histogram::from_classic(&bounds[..finite], &counts[..finite], total, 0.0);
    histogram::fraction(lower, upper, &native).0
}
