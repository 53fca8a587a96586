//! What evaluation costs once samples are in memory, by shape of query and number of threads.
//!
//! `cargo bench -p skopos-promql --bench eval`. Targets (reference §1.4): `sum by (rate)` over 1,000
//! series and 1,000 steps within 30 ms on one core; a rule over 10,000 series at one step within
//! 50 ms. Samples lie 15 s apart; decoding is a copy, so that a store's own cost stays out.

use std::sync::Arc;

use divan::{Bencher, black_box};
use skopos_model::Labels;
use skopos_model::storage::{
    QueryBudget, SampleBuffer, SampleSource, SelectedSeries, SeriesSelect, SeriesSet, StorageError,
};
use skopos_promql::{EvalParams, Execution, ParseOptions, Plan, evaluate_with, parse};

const SCRAPE_MS: i64 = 15_000;

fn main() {
    divan::main();
}

/// Samples by column.
struct Columns {
    times: Arc<Vec<i64>>,
    values: Vec<f64>,
}

impl SampleSource for Columns {
    fn decode(&self, start: i64, end: i64, out: &mut SampleBuffer) -> Result<(), StorageError> {
        let from = self.times.partition_point(|t| *t < start);
        let to = self.times.partition_point(|t| *t <= end);
        out.timestamps.extend_from_slice(&self.times[from..to]);
        out.values.extend_from_slice(&self.values[from..to]);
        Ok(())
    }

    fn len_hint(&self) -> usize {
        self.times.len()
    }
}

/// Counters `requests_total` (by job, path, code), gauges `memory_bytes`, and classic histograms
/// `latency_bucket` of ten buckets; `series` of each.
fn data(series: usize, span_ms: i64) -> Vec<SelectedSeries> {
    let times: Arc<Vec<i64>> = Arc::new((0..=span_ms / SCRAPE_MS).map(|i| i * SCRAPE_MS).collect());
    let mut seed = 42_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as f64 / (1_u64 << 31) as f64
    };
    let mut out = Vec::new();
    for i in 0..series {
        let (job, path) = (format!("job-{}", i % 10), format!("/p/{}", i / 30));
        let code = ["200", "404", "500"][i / 10 % 3];
        let bound = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, f64::INFINITY][i % 10];
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        let host = (i / 10).to_string();
        let mut total = 0.0;
        let counter: Vec<f64> = times
            .iter()
            .map(|_| {
                total = if random() < 0.000_5 { 0.0 } else { total + (random() * 20.0).floor() };
                total
            })
            .collect();
        let gauge: Vec<f64> = times.iter().map(|_| random() * 1e9).collect();
        let bucket: Vec<f64> =
            (0..times.len()).map(|t| t as f64 * (1.0 + (i % 10) as f64)).collect();
        for (labels, values) in [
            (
                Labels::from_pairs([
                    ("__name__", "requests_total"),
                    ("job", &job),
                    ("path", &path),
                    ("code", code),
                ]),
                counter,
            ),
            (
                Labels::from_pairs([
                    ("__name__", "memory_bytes"),
                    ("job", &job),
                    ("path", &path),
                    ("code", code),
                ]),
                gauge,
            ),
            (
                Labels::from_pairs([
                    ("__name__", "latency_bucket"),
                    ("host", &host),
                    ("le", &bound),
                ]),
                bucket,
            ),
        ] {
            let samples = Arc::new(Columns { times: Arc::clone(&times), values });
            out.push(SelectedSeries { labels, samples });
        }
    }
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    out
}

fn select(data: &[SelectedSeries], select: &SeriesSelect) -> SeriesSet {
    let wanted =
        |s: &&SelectedSeries| select.matchers.iter().all(|m| m.matches(s.labels.value(m.name())));
    SeriesSet { series: data.iter().filter(wanted).cloned().collect() }
}

fn bench(
    bencher: Bencher<'_, '_>,
    data: &[SelectedSeries],
    query: &str,
    params: EvalParams,
    workers: usize,
) {
    let expr = parse(query, &ParseOptions::all()).expect("bench queries parse");
    let plan = Plan::new(&expr, params).expect("bench queries can be planned");
    let sets: Vec<SeriesSet> = plan.selects().iter().map(|s| select(data, s)).collect();
    let execution = Execution { workers: Some(workers), ..Execution::default() };
    bencher.bench_local(|| {
        let budget = QueryBudget::unlimited();
        black_box(evaluate_with(&plan, &sets, &budget, execution).expect("bench queries succeed"))
    });
}

/// A query and how many threads it may use.
struct Shape {
    workers: usize,
    query: &'static str,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {}", self.workers, self.query)
    }
}

fn shapes(queries: &[&'static str]) -> Vec<Shape> {
    queries.iter().flat_map(|query| [1, 2].map(|workers| Shape { workers, query })).collect()
}

/// 1,000 series, 1,000 steps of 15 s.
const RANGE: [&str; 16] = [
    "memory_bytes",
    "rate(requests_total[5m])",
    "sum by (job) (rate(requests_total[5m]))",
    "sum(rate(requests_total{code=\"500\"}[5m])) / sum(rate(requests_total[5m]))",
    "avg_over_time(memory_bytes[30m])",
    "max_over_time(memory_bytes[30m])",
    "stddev_over_time(memory_bytes[30m])",
    "quantile_over_time(0.9, memory_bytes[30m])",
    "mad_over_time(memory_bytes[30m])",
    "deriv(memory_bytes[30m])",
    "changes(memory_bytes[30m])",
    "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[5m])))",
    "requests_total / on (job, path, code) memory_bytes",
    "topk(5, rate(requests_total[5m]))",
    "quantile by (job) (0.9, memory_bytes)",
    "max_over_time(sum by (job) (rate(requests_total[1m]))[30m:1m])",
];

#[divan::bench(args = shapes(&RANGE), sample_count = 10)]
fn range_1k_series_1k_steps(bencher: Bencher<'_, '_>, Shape { workers, query }: &Shape) {
    let span = 1_000 * SCRAPE_MS;
    let before = 2_000_000;
    let data = data(1_000, before + span);
    let params = EvalParams::range(before, before + span - SCRAPE_MS, SCRAPE_MS);
    bench(bencher, &data, query, params, *workers);
}

/// Rules at one step.
const RULES: [&str; 5] = [
    "sum by (job) (rate(requests_total[5m])) > 1",
    "rate(requests_total{code=\"500\"}[5m]) / ignoring (code) group_left () sum without (code) (rate(requests_total[5m])) > 0.01",
    "predict_linear(memory_bytes[1h], 14400) < 0",
    "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[5m])))",
    "absent(requests_total{job=\"none\"})",
];

#[divan::bench(args = shapes(&RULES), sample_count = 10)]
fn rule_10k_series(bencher: Bencher<'_, '_>, Shape { workers, query }: &Shape) {
    let data = data(10_000, 3_600_000);
    bench(bencher, &data, query, EvalParams::instant(3_600_000), *workers);
}
