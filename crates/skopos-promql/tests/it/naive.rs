//! The range functions against a second evaluator that is as plain as can be: for each step it
//! collects the window and computes from the definition.

use std::sync::Arc;

use skopos_model::storage::{QueryBudget, SelectedSeries, SeriesSet};
use skopos_model::{Labels, STALE_NAN, Sample, SampleValue, is_stale};
use skopos_promql::{EvalParams, ParseOptions, Plan, Value, evaluate, parse};

use crate::random::Random;

const FUNCTIONS: [&str; 22] = [
    "rate",
    "increase",
    "delta",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "changes",
    "resets",
    "irate",
    "idelta",
    "stddev_over_time",
    "present_over_time",
    "quantile_over_time",
    "stdvar_over_time",
    "mad_over_time",
    "deriv",
    "predict_linear",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
}

fn quantile(q: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = q * (sorted.len() - 1) as f64;
    let low = sorted[rank.floor() as usize];
    let high = sorted[(rank.floor() as usize + 1).min(sorted.len() - 1)];
    low + (high - low) * (rank - rank.floor())
}

fn naive(func: &str, window: &[(i64, f64)], (start, end): (i64, i64), offset: i64) -> Option<f64> {
    let values: Vec<f64> = window.iter().map(|(_, v)| *v).collect();
    let n = values.len();
    let sum: f64 = values.iter().sum();
    if n == 0 {
        return None;
    }
    let (first, last) = (values[0], values[n - 1]);
    let pairs = || values.windows(2).map(|p| (p[0], p[1]));
    let mean = sum / n as f64;
    Some(match func {
        "sum_over_time" => sum,
        "avg_over_time" => mean,
        "min_over_time" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max_over_time" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "count_over_time" => n as f64,
        "last_over_time" => last,
        "present_over_time" => 1.0,
        "changes" => pairs().filter(|(a, b)| a != b).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        "stddev_over_time" => variance(&values).sqrt(),
        "stdvar_over_time" => variance(&values),
        "quantile_over_time" => quantile(0.3, &values),
        "mad_over_time" => {
            let median = quantile(0.5, &values);
            quantile(0.5, &values.iter().map(|v| (v - median).abs()).collect::<Vec<_>>())
        }
        "ts_of_max_over_time" | "ts_of_min_over_time" => {
            let sign = if func.contains("max") { 1.0 } else { -1.0 };
            let best = values.iter().map(|v| v * sign).fold(f64::NEG_INFINITY, f64::max);
            let at = values.iter().rposition(|v| v * sign == best).unwrap();
            window[at].0 as f64 / 1000.0
        }
        _ if n < 2 => return None,
        "irate" => {
            let before = values[n - 2];
            let seconds = (window[n - 1].0 - window[n - 2].0) as f64 / 1000.0;
            (if last < before { last } else { last - before }) / seconds
        }
        "idelta" => last - values[n - 2],
        "deriv" | "predict_linear" => {
            let seconds: Vec<f64> = window.iter().map(|(t, _)| *t as f64 / 1000.0).collect();
            let mean_x = seconds.iter().sum::<f64>() / n as f64;
            let xy: f64 = seconds.iter().zip(&values).map(|(x, y)| (x - mean_x) * (y - mean)).sum();
            let slope = xy / seconds.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>();
            let now = (end + offset) as f64 / 1000.0;
            if func == "deriv" { slope } else { mean + slope * (now - mean_x + 600.0) }
        }
        _ => {
            let counter = func != "delta";
            let mut change = last - first;
            if counter {
                change += pairs().filter(|(a, b)| b < a).map(|(a, _)| a).sum::<f64>();
            }
            let sampled = (window[n - 1].0 - window[0].0) as f64 / 1000.0;
            let average = sampled / (n - 1) as f64;
            let mut before = (window[0].0 - start) as f64 / 1000.0;
            let mut after = (end - window[n - 1].0) as f64 / 1000.0;
            if before >= average * 1.1 {
                before = average / 2.0;
            }
            if counter && change > 0.0 && first >= 0.0 {
                before = before.min(sampled * first / change);
            }
            if after >= average * 1.1 {
                after = average / 2.0;
            }
            let whole = change * (sampled + before + after) / sampled;
            if func == "rate" { whole / ((end - start) as f64 / 1000.0) } else { whole }
        }
    })
}

/// A series with gaps, resets and stale markers.
fn random_series(r: &mut Random) -> Vec<Sample> {
    let (mut time, mut value, mut samples) = (0, 0.0, Vec::new());
    for _ in 0..20 + r.below(200) {
        time += if r.chance(10) { 1 + r.below(200_000) } else { 14_000 + r.below(2_000) } as i64;
        match r.below(20) {
            0 => value = r.below(5) as f64,
            1 => {
                samples.push(Sample::float(time, STALE_NAN));
                continue;
            }
            2..=4 => {}
            _ => value += r.below(1000) as f64 / 8.0,
        }
        samples.push(Sample::float(time, value));
    }
    samples
}

#[test]
fn range_functions_agree_with_their_definitions() {
    let mut r = Random::new(42);
    let mut compared = 0;
    for round in 0..660 {
        let samples = random_series(&mut r);
        let end = samples.last().unwrap().timestamp_ms;
        let range = 1_000 + r.below(900_000) as i64;
        let step = 1_000 + r.below(120_000) as i64;
        let offset = [0, 0, 60_000, -45_000][r.below(4)];
        let func = FUNCTIONS[round % FUNCTIONS.len()];
        let argument = format!("m[{range}ms] offset {offset}ms");
        let query = match func {
            "quantile_over_time" => format!("{func}(0.3, {argument})"),
            "predict_linear" => format!("{func}({argument}, 600)"),
            _ => format!("{func}({argument})"),
        };
        let params = EvalParams::range(r.below(100_000) as i64, end + 200_000, step);
        let plan = Plan::new(&parse(&query, &ParseOptions::all()).unwrap(), params).unwrap();
        let labels = Labels::from_pairs([("__name__", "m")]);
        let source = Arc::new(samples.clone());
        let set = SeriesSet { series: vec![SelectedSeries { labels, samples: source }] };
        let result = evaluate(&plan, vec![set], &QueryBudget::unlimited()).unwrap();
        let Value::Matrix(matrix) = result.value else { panic!() };
        let mut got = matrix.first().map_or(&[][..], |s| &s.samples).iter().peekable();
        let mut time = params.start_ms;
        while time <= params.end_ms {
            let (from, to) = (time - offset - range, time - offset);
            let window: Vec<(i64, f64)> = samples
                .iter()
                .filter_map(|s| match s.value {
                    SampleValue::Float(v) if !is_stale(v) => Some((s.timestamp_ms, v)),
                    _ => None,
                })
                .filter(|(t, _)| *t > from && *t <= to)
                .collect();
            let found = got.next_if(|s| s.timestamp_ms == time).map(|s| match s.value {
                SampleValue::Float(v) => v,
                _ => panic!("histogram"),
            });
            match (naive(func, &window, (from, to), offset), found) {
                (None, None) => {}
                (Some(want), Some(got)) => {
                    let close = (want - got).abs() <= 1e-9 * want.abs().max(got.abs()).max(1.0);
                    assert!(close, "round {round}: {query} at {time}: {want} is {got}");
                    compared += 1;
                }
                other => panic!("round {round}: {query} at {time}: {other:?}"),
            }
            time += step;
        }
        assert!(got.next().is_none());
    }
    assert!(compared > 10_000, "only {compared} values compared");
}
