//! Two hours of samples, the same at every run: counters with resets, gauges, histograms, gaps,
//! series that come and end (stale markers), sparse series, NaN and infinities.
//!
//! Scrapes are 15 s apart, each series a few odd milliseconds off. Values that sort (for `topk`) are
//! never equal.

use std::sync::Arc;

use skopos_model::{
    BucketSpan, Histogram, MetricBatch, STALE_NAN, Sample, SampleValue, SeriesSamples,
};

use crate::api::{labels, series_samples};

/// A full minute, two hours before [`END`].
pub(super) const START: i64 = 1_699_992_780;
pub(super) const END: i64 = START + 7_200;
const STEP: i64 = 15;
const SCRAPES: i64 = 7_200 / STEP;

/// xorshift64*: seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// All samples in requests of ten minutes, in the order of time as Prometheus wants them.
pub(super) fn batches() -> Vec<MetricBatch> {
    let all = all();
    (0..12)
        .map(|part| {
            let (from, to) = ((START + part * 600) * 1000, (START + part * 600 + 600) * 1000);
            let series = all.iter().map(|series| {
                let within = |s: &&Sample| (from..to).contains(&s.timestamp_ms);
                let samples = series.samples.iter().filter(within).cloned().collect();
                SeriesSamples { samples, ..series.clone() }
            });
            let series = series.filter(|series| !series.samples.is_empty()).collect();
            MetricBatch { series, metadata: vec![] }
        })
        .collect()
}

struct Writer {
    random: Random,
    all: Vec<SeriesSamples>,
}

impl Writer {
    /// A series whose sample at each scrape is what `value` says.
    fn add(&mut self, series: &str, mut value: impl FnMut(i64, &mut Random) -> Option<f64>) {
        let mut samples = Vec::new();
        let offset_ms = 1_000 + self.all.len() as i64 * 38 % 9_000;
        for scrape in 0..SCRAPES {
            if let Some(value) = value(scrape, &mut self.random) {
                let jitter_ms = (self.random.next() * 20.0) as i64 * 2 + 1;
                let at = (START + scrape * STEP) * 1000 + offset_ms + jitter_ms;
                samples.push(Sample::float(at, value));
            }
        }
        self.all.push(series_samples(series, samples));
    }

    /// A counter that grows by up to `rate` a second and starts anew now and then.
    fn counter(&mut self, series: &str, rate: f64, resets: bool) {
        let mut total = self.random.next() * 1_000.0;
        self.add(series, |_, random| {
            if resets && random.next() < 0.01 {
                total = random.next() * 50.0;
            }
            total += (random.next() * rate * STEP as f64).floor();
            Some(total)
        });
    }
}

fn all() -> Vec<SeriesSamples> {
    let mut w = Writer { random: Random(0x5eed_2042_0000_0001), all: Vec::new() };
    let targets = [("api", "a:1"), ("api", "a:2"), ("web", "b:1"), ("web", "b:2")];
    for (i, (job, instance)) in targets.into_iter().enumerate() {
        let target = format!("job=\"{job}\",instance=\"{instance}\"");
        for (method, busy) in [("GET", 20.0), ("POST", 3.0)] {
            for (status, share) in [("200", 1.0), ("404", 0.1), ("503", 0.02)] {
                let labels = format!("{target},method=\"{method}\",status_code=\"{status}\"");
                let rate = busy * share * (i + 1) as f64;
                w.counter(&format!("http_requests_total{{{labels}}}"), rate, true);
            }
        }
        let mut bytes = 5e8 * (i + 1) as f64;
        w.add(&format!("memory_bytes{{{target}}}"), |_, random| {
            bytes += (random.next() - 0.49) * 1e6;
            Some(bytes.floor())
        });
        w.add(&format!("up{{{target}}}"), |scrape, _| {
            Some(if (scrape / 40 + i as i64) % 5 == 0 { 0.0 } else { 1.0 })
        });
        let version = if i == 2 { "1.1" } else { "1.0" };
        w.add(&format!("build_info{{{target},version=\"{version}\"}}"), |_, _| Some(1.0));
    }
    for room in ["cellar", "hall", "kitchen", "roof", "study"] {
        let (middle, wide) = (w.random.next() * 30.0 - 8.0, w.random.next() * 12.0);
        w.add(&format!("temperature_celsius{{room=\"{room}\"}}"), |scrape, random| {
            Some(middle + wide * (scrape as f64 / 50.0).sin() + random.next())
        });
    }
    for n in 0..3 {
        w.add(&format!("angle{{n=\"{n}\"}}"), |scrape, random| {
            Some((scrape as f64 / (20.0 + f64::from(n))).sin() * random.next())
        });
        // Missing for eight minutes, and now and then for one scrape.
        w.add(&format!("gappy{{n=\"{n}\"}}"), |scrape, random| {
            let away = (200 + i64::from(n) * 20..240 + i64::from(n) * 20).contains(&scrape);
            let value = (scrape as f64 * 1.5 + random.next()).floor();
            (!away && random.next() > 0.1).then_some(value)
        });
        // Every fourth minute.
        w.add(&format!("rare{{n=\"{n}\"}}"), |scrape, random| {
            (scrape % 16 == i64::from(n)).then(|| random.next() * 100.0)
        });
        let mut step = f64::from(n);
        w.add(&format!("steps{{n=\"{n}\"}}"), |_, random| {
            if random.next() < 0.1 {
                step = (random.next() * 6.0).floor();
            }
            Some(step)
        });
    }
    for (n, odd) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0].into_iter().enumerate() {
        w.add(&format!("odd{{n=\"{n}\"}}"), |scrape, random| {
            let value = (random.next() - 0.5) * 4.0;
            Some(if scrape % 7 == n as i64 { odd } else { value })
        });
    }
    for (n, day) in [0.0, 951_782_400.0, 1_709_210_096.5, -86_400.0, 4e9].into_iter().enumerate() {
        w.add(&format!("unix_time{{n=\"{n}\"}}"), |scrape, _| Some(day + scrape as f64 * 7_001.0));
    }
    pods(&mut w);
    classic(&mut w);
    natives(&mut w);
    w.all
}

/// Pods live for twenty minutes and end with a stale marker; every third one just falls silent.
fn pods(w: &mut Writer) {
    for pod in 0..10 {
        let (from, to) = (pod * 48, pod * 48 + 80);
        let mut total = 0.0;
        w.add(&format!("pods_running{{pod=\"pod-{pod}\"}}"), |scrape, random| {
            total += random.next();
            match scrape {
                _ if (from..to).contains(&scrape) => Some(total),
                _ if scrape == to && pod % 3 != 0 => Some(STALE_NAN),
                _ => None,
            }
        });
    }
}

fn classic(w: &mut Writer) {
    const BOUNDS: [&str; 7] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    for job in ["api", "web"] {
        // How many fell below each bound so far, by scrape: the same for all series of a job.
        let mut below = [0.0; BOUNDS.len()];
        let (mut sums, mut sum) = (Vec::new(), 0.0);
        let mut counts = Vec::new();
        for _ in 0..SCRAPES {
            for _ in 0..20 {
                let seconds = -w.random.next().ln() * if job == "api" { 0.2 } else { 0.6 };
                sum += seconds;
                for (count, bound) in below.iter_mut().zip(BOUNDS) {
                    *count += f64::from(bound.parse().is_ok_and(|bound: f64| seconds <= bound));
                }
            }
            sums.push(sum);
            counts.push(below);
        }
        let name = "http_request_duration_seconds";
        for (i, le) in BOUNDS.into_iter().enumerate() {
            let series = format!("{name}_bucket{{job=\"{job}\",le=\"{le}\"}}");
            w.add(&series, |scrape, _| Some(counts[scrape as usize][i]));
        }
        w.add(&format!("{name}_sum{{job=\"{job}\"}}"), |scrape, _| Some(sums[scrape as usize]));
        w.add(&format!("{name}_count{{job=\"{job}\"}}"), |scrape, _| {
            Some(counts[scrape as usize][BOUNDS.len() - 1])
        });
    }
}

fn natives(w: &mut Writer) {
    for job in ["api", "web"] {
        let mut buckets = vec![1.0; 5];
        let mut sum = 10.0;
        let mut samples = Vec::new();
        for scrape in 0..SCRAPES {
            for bucket in &mut buckets {
                *bucket += (w.random.next() * 5.0).floor();
            }
            sum += w.random.next() * 20.0;
            let histogram = Histogram {
                schema: 0,
                zero_threshold: 0.001,
                zero_count: 2.0,
                count: buckets.iter().sum::<f64>() + 2.0,
                sum,
                positive_spans: vec![BucketSpan { offset: -1, length: 5 }],
                positive_buckets: buckets.clone(),
                ..Histogram::default()
            };
            let timestamp_ms = (START + scrape * STEP) * 1000 + 7_007;
            let value = SampleValue::Histogram(Arc::new(histogram));
            samples.push(Sample { timestamp_ms, value });
        }
        let series = format!("native{{job=\"{job}\"}}");
        w.all.push(SeriesSamples { labels: labels(&series), ..series_samples(&series, samples) });
    }
}
