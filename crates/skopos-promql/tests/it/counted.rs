//! Samples looked at, as `stats` tells them.
//!
//! The figures are those of Prometheus 2.42 over the same data (`promtool tsdb
//! create-blocks-from openmetrics`, feature `promql-per-step-stats`).

use std::sync::Arc;

use skopos_model::storage::{QueryBudget, SelectedSeries, SeriesSet};
use skopos_model::{Histogram, Labels, Sample, SampleValue};
use skopos_promql::{
    EvalParams, Execution, ParseOptions, Plan, QueryableSamples, evaluate_with, parse,
};

const BASE_MS: i64 = 1_700_000_000_000;

/// `m{i="0"…"2"}` each 15 s from second 1 on, `c_total{i="0"…"1"}` from second 2 on.
fn series() -> Vec<SelectedSeries> {
    let mut all = Vec::new();
    for (name, count, first_ms) in [("m", 3, 1_000), ("c_total", 2, 2_000)] {
        for i in 0..count {
            let value = |k: i64| if name == "m" { i + k } else { k * (i + 1) };
            let sample = |k| Sample::float(BASE_MS + first_ms + k * 15_000, value(k) as f64);
            let labels = Labels::from_pairs([("__name__", name), ("i", &i.to_string())]);
            let samples: Vec<Sample> = (0..=40).map(sample).collect();
            all.push(SelectedSeries { labels, samples: Arc::new(samples) });
        }
    }
    all
}

fn counted(query: &str, params: EvalParams, data: &[SelectedSeries]) -> QueryableSamples {
    let expr = parse(query, &ParseOptions::all()).unwrap();
    let plan = Plan::as_written(&expr, params).unwrap();
    let matching = |matchers: &[skopos_model::LabelMatcher]| SeriesSet {
        series: data
            .iter()
            .filter(|s| matchers.iter().all(|m| m.matches(s.labels.value(m.name()))))
            .map(|s| SelectedSeries { labels: s.labels.clone(), samples: s.samples.clone() })
            .collect(),
    };
    let sets: Vec<SeriesSet> = plan.selects().iter().map(|s| matching(&s.matchers)).collect();
    let counts = |workers| {
        let execution = Execution { count_samples: true, workers, ..Execution::default() };
        let (result, _) =
            evaluate_with(&plan, &sets, &QueryBudget::unlimited(), execution).unwrap();
        result.stats.queryable.unwrap()
    };
    let alone = counts(Some(1));
    assert_eq!(alone, counts(Some(4)), "{query}: threads show");
    alone
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let data = series();
    // Total and peak of an instant query; the same of a range query of four steps.
    for (query, instant, range) in [
        ("m", (3, 3), (12, 12)),
        ("m + m", (6, 15), (24, 42)),
        ("sum(m)", (3, 7), (12, 19)),
        ("sum by (i) (m)", (3, 9), (12, 27)),
        ("rate(c_total[2m])", (16, 10), (64, 16)),
        ("sum(rate(c_total[2m]))", (16, 10), (64, 16)),
        ("m @ 1700000300", (3, 3), (12, 12)),
        ("sum(m @ 1700000300)", (3, 7), (12, 7)),
        ("rate(c_total[2m] @ 1700000300)", (16, 10), (64, 10)),
        ("sum_over_time(m[2m:30s])", (12, 19), (48, 46)),
        ("max_over_time(rate(c_total[1m])[2m:30s])", (8, 14), (32, 32)),
        ("timestamp(m)", (3, 6), (12, 15)),
        ("m * on(i) c_total", (5, 12), (20, 33)),
        ("topk(1, m)", (3, 9), (12, 24)),
        ("absent(m)", (3, 6), (12, 15)),
        ("vector(1)", (0, 3), (0, 4)),
        ("m > 5", (3, 11), (12, 32)),
        ("-m", (3, 3), (12, 12)),
        ("scalar(m{i=\"0\"}) + m", (4, 11), (16, 32)),
        ("count_values(\"x\", m)", (3, 9), (12, 27)),
        ("quantile(0.5, m)", (3, 9), (12, 24)),
        ("label_replace(m, \"a\", \"b\", \"c\", \"\")", (3, 9), (12, 27)),
        ("m offset 1m", (3, 3), (12, 12)),
        ("m and c_total", (5, 12), (20, 33)),
        ("abs(m)", (3, 9), (12, 27)),
        ("sum(m) / sum(c_total)", (5, 7), (20, 19)),
        ("sort(m)", (3, 9), (12, 27)),
        ("time()", (0, 1), (0, 4)),
    ] {
        let of = |params: EvalParams| {
            let counted = counted(query, params, &data);
            let (steps, total) = (counted.per_step.len() as u64, counted.total);
            assert_eq!(steps, params.points(), "{query}");
            assert!(counted.per_step.iter().all(|(_, n)| n * steps == total), "{query}");
            (total, counted.peak)
        };
        let start = BASE_MS + 300_000;
        let got = (
            of(EvalParams::instant(BASE_MS + 480_000)),
            of(EvalParams::range(start, start + 180_000, 60_000)),
        );
        assert_eq!(got, (instant, range), "{query}");
    }
}

#[test]
fn histograms_count_by_their_size() {
    let histogram = Histogram {
        positive_spans: vec![skopos_model::BucketSpan { offset: 0, length: 4 }],
        positive_buckets: vec![1.0; 4],
        count: 4.0,
        ..Histogram::default()
    };
    let value = SampleValue::Histogram(Arc::new(histogram));
    let samples = vec![Sample { timestamp_ms: BASE_MS, value }];
    let labels = Labels::from_pairs([("__name__", "h")]);
    let data = [SelectedSeries { labels, samples: Arc::new(samples) }];
    // 168 bytes, one span and four buckets of 8 bytes each, and the time: 216, at 16 a float.
    for query in ["h", "last_over_time(h[1m])"] {
        let counted = counted(query, EvalParams::instant(BASE_MS), &data);
        assert_eq!(counted.per_step, [(BASE_MS, 13)], "{query}");
    }
}

#[test]
fn what_is_read_counts_once() {
    let data = series();
    let start = BASE_MS + 300_000;
    // Four steps of a minute; samples each 15 s.
    for (query, read) in [
        ("m", [3, 3, 3, 3]),
        ("m + m", [6, 6, 6, 6]),
        ("rate(c_total[2m])", [16, 8, 8, 8]),
        ("rate(c_total[30s])", [4, 4, 4, 4]),
        ("rate(c_total[2m] @ 1700000300)", [16, 0, 0, 0]),
        // Steps of 30 s: four in the first window, two more for each step.
        ("sum_over_time(m[2m:30s])", [12, 6, 6, 6]),
        ("vector(1)", [0, 0, 0, 0]),
    ] {
        let counted = counted(query, EvalParams::range(start, start + 180_000, 60_000), &data);
        let got: Vec<u64> = counted.read_per_step.iter().map(|(_, n)| *n).collect();
        assert_eq!(got, read, "{query}");
        assert_eq!(counted.read, read.iter().sum::<u64>(), "{query}");
    }
}
