//! Series of every kind.

use std::sync::Arc;

use skopos_model::{
    BucketSpan, CounterResetHint, Exemplar, Histogram, Labels, Metadata, MetricBatch, MetricType,
    STALE_NAN, Sample, SampleValue, SeriesSamples, Temporality,
};

use super::{Random, SERVICES};

/// How a series behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Grows by whole numbers; starts anew now and then.
    Counter,
    /// Two decimals.
    Gauge,
    /// Any float, NaN payloads and infinities among them.
    Noise,
    /// Native histograms.
    Histogram,
    /// Numbers and native histograms in one series.
    Mixed,
    /// A counter whose sender counts in deltas.
    DeltaCounter,
    /// A native histogram whose sender counts in deltas.
    DeltaHistogram,
}

const KINDS: [(Kind, &str, MetricType); 7] = [
    (Kind::Counter, "orders_placed_total", MetricType::Counter),
    (Kind::Gauge, "active_users_current", MetricType::Gauge),
    (Kind::Noise, "noise", MetricType::Unknown),
    (Kind::Histogram, "order_value_dollars", MetricType::Histogram),
    (Kind::Mixed, "mixed", MetricType::Unknown),
    (Kind::DeltaCounter, "payments_total", MetricType::Counter),
    (Kind::DeltaHistogram, "payment_seconds", MetricType::Histogram),
];

/// Makes batch after batch of the same series, as scrapes would.
#[derive(Clone, Debug)]
pub struct MetricGenerator {
    random: Random,
    series: Vec<(Kind, Labels, f64)>,
    now_ms: i64,
    step_ms: i64,
    disorder: bool,
}

impl MetricGenerator {
    /// So many series, whose first batch is timed `start_ms`, and each further one `step_ms` later.
    pub fn new(seed: u64, series: usize, start_ms: i64, step_ms: i64) -> Self {
        let mut random = Random::new(seed);
        let series = (0..series)
            .map(|i| {
                let (kind, name, _) = KINDS[i % KINDS.len()];
                let mut labels = vec![
                    ("__name__", name.to_owned()),
                    ("job", SERVICES[i / KINDS.len() % SERVICES.len()].to_owned()),
                    ("instance", format!("10.0.0.{}:8080", i / 21)),
                ];
                if i % 2 == 0 {
                    labels.push(("region", (*random.pick(&["eu", "us"])).into()));
                }
                (kind, Labels::from_pairs(labels), random.below(1000) as f64)
            })
            .collect();
        Self { random, series, now_ms: start_ms, step_ms, disorder: true }
    }

    /// Without late and repeated samples: for benchmarks.
    pub fn in_order(mut self) -> Self {
        self.disorder = false;
        self
    }

    /// The time of the next batch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The next sample of (nearly) every series, and sometimes late or repeated ones.
    pub fn next_batch(&mut self) -> MetricBatch {
        let mut batch = MetricBatch::default();
        let random = &mut self.random;
        for (kind, labels, level) in &mut self.series {
            if self.disorder && random.one_in(12) {
                // A gap.
                continue;
            }
            let jitter = if random.one_in(4) { random.below(30) as i64 } else { 0 };
            let mut samples = vec![Sample {
                timestamp_ms: self.now_ms + jitter,
                value: next_value(*kind, level, random),
            }];
            if self.disorder && random.one_in(10) {
                let back = random.below(90) as i64 * self.step_ms / 2;
                samples.push(Sample {
                    timestamp_ms: self.now_ms - back,
                    value: next_value(*kind, level, random),
                });
            }
            if self.disorder && random.one_in(15) {
                let mut again = samples[0].clone();
                again.timestamp_ms += 1;
                again.value = next_value(*kind, level, random);
                samples.push(again);
            }
            let delta = matches!(kind, Kind::DeltaCounter | Kind::DeltaHistogram);
            let temporality = if delta { Temporality::Delta } else { Temporality::Cumulative };
            let exemplars =
                if random.one_in(8) { vec![exemplar(self.now_ms, random)] } else { vec![] };
            batch.series.push(SeriesSamples {
                labels: labels.clone(),
                samples,
                temporality,
                start_timestamp_ms: None,
                exemplars,
            });
        }
        if random.one_in(4) {
            batch.metadata = KINDS
                .iter()
                .map(|(_, name, metric_type)| Metadata {
                    metric: (*name).into(),
                    metric_type: *metric_type,
                    unit: String::new(),
                    help: format!("{name} of the shop"),
                })
                .collect();
        }
        self.now_ms += self.step_ms;
        batch
    }
}

fn next_value(kind: Kind, level: &mut f64, random: &mut Random) -> SampleValue {
    if random.one_in(40) && kind != Kind::DeltaCounter {
        return SampleValue::Float(STALE_NAN);
    }
    match kind {
        Kind::Counter => {
            *level = if random.one_in(60) { 0.0 } else { *level + random.below(50) as f64 };
            SampleValue::Float(*level)
        }
        Kind::Gauge => {
            *level += random.below(2001) as f64 - 1000.0;
            SampleValue::Float(*level / 100.0)
        }
        Kind::Noise => SampleValue::Float(match random.below(12) {
            0 => f64::from_bits(0x7ff8_0000_0000_0000 | random.below(1 << 50)),
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            _ => (random.unit() - 0.5) * 1e9,
        }),
        Kind::Mixed if random.one_in(2) => SampleValue::Float(random.below(100) as f64),
        Kind::DeltaCounter => SampleValue::Float(random.below(20) as f64),
        Kind::Histogram | Kind::Mixed | Kind::DeltaHistogram => {
            SampleValue::Histogram(Arc::new(histogram(random)))
        }
    }
}

/// A well-formed native histogram of schema 3.
pub fn histogram(random: &mut Random) -> Histogram {
    let lengths = [1 + random.below(3) as u32, random.below(3) as u32];
    let spans: Vec<_> = lengths
        .iter()
        .enumerate()
        .map(|(i, &length)| BucketSpan { offset: random.below(4) as i32 - (i == 0) as i32, length })
        .filter(|span| span.length > 0)
        .collect();
    let buckets: Vec<f64> =
        (0..lengths.iter().sum::<u32>()).map(|_| random.below(100) as f64).collect();
    let zero_count = random.below(3) as f64;
    Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: 3,
        zero_threshold: 1e-9,
        zero_count,
        count: buckets.iter().sum::<f64>() + zero_count,
        sum: random.below(10_000) as f64 / 8.0,
        positive_spans: spans,
        positive_buckets: buckets,
        ..Histogram::default()
    }
}

fn exemplar(timestamp_ms: i64, random: &mut Random) -> Exemplar {
    let trace_id = skopos_model::TraceId(random.bytes());
    Exemplar {
        labels: Labels::from_pairs([("trace_id", trace_id.to_string())]),
        timestamp_ms,
        value: random.below(1000) as f64 / 10.0,
    }
}
