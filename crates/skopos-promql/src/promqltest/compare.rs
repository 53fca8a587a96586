//! Whether a result is the one expected.

use std::collections::BTreeMap;

use skopos_model::{CounterResetHint, Histogram, Labels, Sample, SampleValue};

use super::script::{Eval, Expect, Text};
use super::series::Point;
use crate::annotations::Annotations;
use crate::format::{format_duration_ms, format_general};
use crate::histogram;
use crate::value::{MatrixSeries, VectorSample};

/// Relative difference allowed, as Prometheus' runner allows.
const EPSILON: f64 = 1e-6;

fn close(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// Whether two histograms are the same bucket for bucket, where `close` says which numbers are. A
/// hint is only compared where one is expected.
pub fn same_histogram(want: &Histogram, got: &Histogram, close: impl Fn(f64, f64) -> bool) -> bool {
    let (want, got) = (histogram::compact(want.clone()), histogram::compact(got.clone()));
    let lists =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b));
    let hint = want.counter_reset_hint;
    want.schema == got.schema
        && (hint == CounterResetHint::Unknown || hint == got.counter_reset_hint)
        && close(want.zero_threshold, got.zero_threshold)
        && close(want.zero_count, got.zero_count)
        && close(want.count, got.count)
        && close(want.sum, got.sum)
        && want.positive_spans == got.positive_spans
        && want.negative_spans == got.negative_spans
        && lists(&want.positive_buckets, &got.positive_buckets)
        && lists(&want.negative_buckets, &got.negative_buckets)
        && lists(&want.custom_values, &got.custom_values)
}

fn same(want: &SampleValue, got: &SampleValue) -> bool {
    match (want, got) {
        (SampleValue::Float(want), SampleValue::Float(got)) => close(*want, *got),
        (SampleValue::Histogram(want), SampleValue::Histogram(got)) => {
            same_histogram(want, got, close)
        }
        _ => false,
    }
}

fn show(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => format_general(*value),
        SampleValue::Histogram(h) => {
            format!("{}(schema {}, {:?})", histogram::describe(h), h.schema, h.counter_reset_hint)
        }
    }
}

pub(super) fn scalar(expect: &Expect, got: f64) -> Result<(), String> {
    match expect.scalar {
        Some(want) if close(want, got) => Ok(()),
        Some(want) => Err(format!("expected {want} but got {got}")),
        None => Err(format!("expected series but got the scalar {got}")),
    }
}

pub(super) fn vector(expect: &Expect, got: &[VectorSample]) -> Result<(), String> {
    if expect.scalar.is_some() {
        return Err("expected a scalar but got a vector".into());
    }
    let mut want: BTreeMap<&Labels, (usize, &SampleValue)> = BTreeMap::new();
    for (position, (labels, points)) in expect.series.iter().enumerate() {
        match points.as_slice() {
            [Some(value)] => {
                want.insert(labels, (position, value));
            }
            _ => return Err(format!("an instant expectation has one value: {labels}")),
        }
    }
    for (position, sample) in got.iter().enumerate() {
        let Some((wanted_position, value)) = want.remove(&sample.labels) else {
            return Err(format!("unexpected {} = {}", sample.labels, show(&sample.value)));
        };
        if expect.ordered && position != wanted_position {
            return Err(format!(
                "expected {} at position {} but got it at {}",
                sample.labels,
                wanted_position + 1,
                position + 1
            ));
        }
        if !same(value, &sample.value) {
            return Err(format!(
                "expected {} for {} but got {}",
                show(value),
                sample.labels,
                show(&sample.value)
            ));
        }
    }
    match want.first_key_value() {
        Some((labels, (_, value))) => {
            Err(format!("expected {labels} = {} but it is missing", show(value)))
        }
        None => Ok(()),
    }
}

pub(super) fn matrix(
    expected: &[(Labels, Vec<Point>)],
    start_ms: i64,
    step_ms: i64,
    got: &[MatrixSeries],
) -> Result<(), String> {
    if got.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("series are not sorted by labels".into());
    }
    let mut want: BTreeMap<&Labels, Vec<Sample>> = BTreeMap::new();
    for (labels, points) in expected {
        let samples: Vec<Sample> = points
            .iter()
            .enumerate()
            .filter_map(|(i, point)| {
                let timestamp_ms = start_ms + step_ms * i as i64;
                point.clone().map(|value| Sample { timestamp_ms, value })
            })
            .collect();
        if !samples.is_empty() {
            want.insert(labels, samples);
        }
    }
    for series in got {
        let labels = &series.labels;
        let Some(samples) = want.remove(labels) else {
            let values: Vec<String> = series.samples.iter().map(|s| show(&s.value)).collect();
            return Err(format!("unexpected series {labels}: {}", values.join(" ")));
        };
        let differs = samples.len() != series.samples.len()
            || samples.iter().zip(&series.samples).any(|(want, got)| {
                want.timestamp_ms != got.timestamp_ms || !same(&want.value, &got.value)
            });
        if differs {
            let list = |samples: &[Sample]| {
                let show = |s: &Sample| {
                    format!("{}@{}", show(&s.value), format_duration_ms(s.timestamp_ms))
                };
                samples.iter().map(show).collect::<Vec<_>>().join(" ")
            };
            return Err(format!(
                "for {labels} expected [{}] but got [{}]",
                list(&samples),
                list(&series.samples)
            ));
        }
    }
    match want.first_key_value() {
        Some((labels, _)) => Err(format!("expected series {labels} but it is missing")),
        None => Ok(()),
    }
}

pub(super) fn annotations(eval: &Eval, got: &Annotations) -> Result<(), String> {
    let expect = &eval.expect;
    let (warnings, infos) = (got.warnings(&eval.query), got.infos(&eval.query));
    for (kind, wanted, none_wanted, got) in [
        ("warning", &expect.warnings, expect.no_warnings, warnings),
        ("info", &expect.infos, expect.no_infos, infos),
    ] {
        if none_wanted && let Some(first) = got.first() {
            return Err(format!("unexpected {kind}: {first}"));
        }
        if wanted.is_empty() {
            continue;
        }
        if let Some(stray) = got.iter().find(|g| !wanted.iter().any(|w| w.accepts(g))) {
            return Err(format!("unexpected {kind}: {stray}"));
        }
        if let Some(missing) = wanted.iter().find(|w| !got.iter().any(|g| w.accepts(g))) {
            let text = match missing {
                Text::Any => "any".to_owned(),
                Text::Is(text) => text.clone(),
                Text::Matches(regex) => regex.to_string(),
            };
            return Err(format!("missing {kind}: {text}; got {got:?}"));
        }
    }
    Ok(())
}
