//! A range query must give at each step what an instant query gives there: random queries over
//! random data, floats and native histograms.

use std::sync::Arc;

use skopos_model::storage::{QueryBudget, SelectedSeries, SeriesSelect, SeriesSet};
use skopos_model::{BucketSpan, Histogram, Labels, STALE_NAN, Sample, SampleValue};
use skopos_promql::{EvalParams, ParseOptions, Plan, Value, evaluate, parse};

use crate::random::{Random, vector};

pub(crate) type Data = Vec<(Labels, Arc<Vec<Sample>>)>;

pub(crate) fn random_data(r: &mut Random) -> Data {
    let sets: [(&str, &[(&str, &str)]); 12] = [
        ("up", &[("a", "b"), ("b", "1")]),
        ("up", &[("a", "c"), ("b", "2")]),
        ("up", &[("a", "c"), ("z", "3")]),
        ("job:up:sum", &[("a", "b")]),
        ("http.requests", &[("k8s.pod", "a"), ("a", "b")]),
        ("http.requests", &[("k8s.pod", "b"), ("a", "c")]),
        ("sum", &[("a", "b")]),
        ("offset", &[("by", "x\"\n")]),
        ("fill", &[("a", "b")]),
        ("a:b", &[("c", "d"), ("a", "b")]),
        ("a:b", &[("c", "d"), ("a", "c")]),
        ("x.y", &[]),
    ];
    let mut data: Data = Vec::new();
    for (name, labels) in sets {
        let labels = Labels::from_pairs(labels.iter().copied().chain([("__name__", name)]));
        let native = r.chance(15);
        let (mut time, mut value, mut samples) = (-4_000_000, 0.0, Vec::new());
        while time < 4_000_000 {
            time += if r.chance(3) { 700_000 } else { 20_000 + r.below(40_000) as i64 };
            value = if r.chance(5) { 0.0 } else { value + r.below(9) as f64 };
            let sample = if r.chance(3) {
                SampleValue::Float(STALE_NAN)
            } else if native && r.chance(95) {
                SampleValue::Histogram(Arc::new(Histogram {
                    count: value,
                    sum: value * 2.0,
                    positive_spans: vec![BucketSpan { offset: 0, length: 1 }],
                    positive_buckets: vec![value],
                    ..Default::default()
                }))
            } else {
                SampleValue::Float(value)
            };
            samples.push(Sample { timestamp_ms: time, value: sample });
        }
        data.push((labels, Arc::new(samples)));
    }
    data.sort_by(|a, b| a.0.cmp(&b.0));
    data
}

pub(crate) fn select(data: &Data, select: &SeriesSelect) -> SeriesSet {
    let mut set = SeriesSet::default();
    for (labels, samples) in data {
        if select.matchers.iter().all(|m| m.matches(labels.value(m.name()))) {
            let asked = |s: &&Sample| (select.start_ms..=select.end_ms).contains(&s.timestamp_ms);
            let samples: Vec<Sample> = samples.iter().filter(asked).cloned().collect();
            set.series.push(SelectedSeries { labels: labels.clone(), samples: Arc::new(samples) });
        }
    }
    set
}

fn run(data: &Data, query: &str, params: EvalParams) -> Result<Value, String> {
    let expr = parse(query, &ParseOptions::all()).map_err(|e| e.to_string())?;
    let plan = Plan::new(&expr, params).map_err(|e| e.to_string())?;
    let sets = plan.selects().iter().map(|s| select(data, s)).collect();
    let result = evaluate(&plan, sets, &QueryBudget::unlimited()).map_err(|e| e.to_string())?;
    Ok(result.value)
}

fn same(a: &SampleValue, b: &SampleValue) -> bool {
    let close = |a: f64, b: f64| {
        a == b
            || (a.is_nan() && b.is_nan())
            || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
            || (a - b).abs() < 1e-9
    };
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => close(*a, *b),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            close(a.count, b.count) && close(a.sum, b.sum) && a.positive_spans == b.positive_spans
        }
        _ => false,
    }
}

#[test]
fn range_queries_are_instant_queries_in_a_row() {
    let mut r = Random::new(99);
    let (mut compared, mut nonempty) = (0, 0);
    for _ in 0..1_500 {
        let data = random_data(&mut r);
        let depth = 1 + r.below(3);
        let query = vector(&mut r, depth);
        // These mean the whole query, not the step.
        if ["start()", "end()", "step()", "range()"].iter().any(|w| query.contains(w)) {
            continue;
        }
        for delayed_name_removal in [false, true] {
            let step = 1_000 * (1 + r.below(120) as i64);
            let start = r.below(600_000) as i64;
            let range = EvalParams {
                delayed_name_removal,
                ..EvalParams::range(start, start + step * 12, step)
            };
            let Ok(Value::Matrix(matrix)) = run(&data, &query, range) else { continue };
            for k in 0..=12 {
                let time = start + step * k;
                let instant = EvalParams { delayed_name_removal, ..EvalParams::instant(time) };
                let Value::Vector(mut want) = run(&data, &query, instant)
                    .unwrap_or_else(|e| panic!("{query} at {time}: {e}"))
                else {
                    panic!("{query}")
                };
                want.sort_by(|a, b| a.labels.cmp(&b.labels));
                let got: Vec<(&Labels, &SampleValue)> = matrix
                    .iter()
                    .filter_map(|series| {
                        let sample = series.samples.iter().find(|s| s.timestamp_ms == time)?;
                        Some((&series.labels, &sample.value))
                    })
                    .collect();
                let equal = want.len() == got.len()
                    && want.iter().zip(&got).all(|(w, g)| w.labels == *g.0 && same(&w.value, g.1));
                assert!(equal, "{query} at {time} of {range:?}:\n{want:?}\n{got:?}");
                compared += 1;
                nonempty += usize::from(!got.is_empty());
            }
        }
    }
    assert!(compared > 10_000 && nonempty > 5_000, "{compared} compared, {nonempty} not empty");
}
