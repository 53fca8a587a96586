//! The data sets: services with counters, classic histograms and gauges, in the guide's names.
//!
//! Forty percent counters, 48 percent histogram series, the rest gauges and build information; the
//! same at every run but for the time at which it ends. Samples stand at odd milliseconds, so that
//! none lies on the edge of a window (2.x includes the left edge, 3.x does not).

use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples, Temporality};

pub const SCRAPE_SECONDS: i64 = 15;
const BOUNDS: [&str; 10] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
const STATUS: [&str; 5] = ["200", "201", "404", "500", "503"];
const ENDPOINTS: [&str; 4] = ["/login", "/orders", "/orders/:id", "/search"];
/// Requests of about this many samples.
const SAMPLES_PER_REQUEST: usize = 50_000;

pub struct DataSet {
    pub name: String,
    pub series: usize,
    pub seconds: i64,
    /// Step of range queries.
    pub step: i64,
}

enum Kind {
    /// Grows by up to so much a scrape.
    Counter(f64),
    /// Bucket number of a histogram whose parts stand one after another; sum and count follow.
    Bucket(usize),
    Gauge,
    Info,
}

struct Generated {
    labels: Labels,
    kind: Kind,
    value: f64,
    offset_ms: i64,
}

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

impl DataSet {
    /// Hands over the samples in requests, in the order of time; `end` in seconds.
    pub fn send(
        &self,
        end: i64,
        mut to: impl FnMut(MetricBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let mut random = Random(0x5eed_0000_0000_0007);
        let mut all = self.generate(&mut random);
        let scrapes = (self.seconds / SCRAPE_SECONDS) as usize;
        // Twenty scrapes at a time keep series in order and requests few.
        let (mut sent, mut first) = (0, 0);
        while first < scrapes {
            let count = 20.min(scrapes - first);
            // Parts of one histogram stay in one request: a multiple of its twelve series.
            let width = (SAMPLES_PER_REQUEST / count / 12).max(1) * 12;
            for group in all.chunks_mut(width) {
                let series = samples(group, &mut random, end - self.seconds, first, count);
                let batch = MetricBatch { series, metadata: Vec::new() };
                sent += batch.sample_count() as u64;
                to(batch)?;
            }
            first += count;
        }
        Ok(sent)
    }

    fn generate(&self, random: &mut Random) -> Vec<Generated> {
        // One pod: 4 histograms of 12 series, 40 counters, 11 gauges, 1 info = 100 series.
        let mut all = Vec::with_capacity(self.series);
        for pod in 0..self.series / 100 {
            let (job, instance) =
                (format!("svc-{}", pod % 50), format!("pod-{}-{}", pod % 50, pod / 50));
            let mut add = |name: &str, extra: &[(&str, &str)], kind| {
                let own = [("__name__", name), ("job", &*job), ("instance", &*instance)];
                let labels = Labels::from_pairs(own.iter().chain(extra).copied());
                let value = match kind {
                    Kind::Gauge => 1e8 + random.next() * 8e8,
                    Kind::Info => 1.0,
                    Kind::Counter(_) => (random.next() * 1e5).floor() + 1e5,
                    // Ascending like buckets; far from zero, where 2.42 extrapolates differently.
                    Kind::Bucket(i) => 1e5 * (i + 1).min(BOUNDS.len()) as f64,
                };
                // An odd number of milliseconds below a scrape interval.
                let offset_ms = 1_001 + (all.len() as i64 * 14) % 13_000;
                all.push(Generated { labels, kind, value, offset_ms });
            };
            for endpoint in ENDPOINTS {
                let name = "http_request_duration_seconds";
                for (i, le) in BOUNDS.iter().enumerate() {
                    let extra = [("method", "GET"), ("endpoint", endpoint), ("le", le)];
                    add(&format!("{name}_bucket"), &extra, Kind::Bucket(i));
                }
                let extra = [("method", "GET"), ("endpoint", endpoint)];
                add(&format!("{name}_sum"), &extra, Kind::Bucket(BOUNDS.len()));
                add(&format!("{name}_count"), &extra, Kind::Bucket(BOUNDS.len() + 1));
            }
            for (method, busy) in [("GET", 30.0), ("POST", 10.0)] {
                for endpoint in ENDPOINTS {
                    for (i, status) in STATUS.iter().enumerate() {
                        let extra =
                            [("method", method), ("endpoint", endpoint), ("status_code", status)];
                        let most = busy * SCRAPE_SECONDS as f64 / (1 << (2 * i)) as f64;
                        add("http_requests_total", &extra, Kind::Counter(most));
                    }
                }
            }
            for shard in 0..11 {
                add("memory_bytes", &[("shard", &*shard.to_string())], Kind::Gauge);
            }
            let version = if pod % 3 == 0 { "1.1" } else { "1.0" };
            add("build_info", &[("version", version)], Kind::Info);
        }
        all
    }
}

fn samples(
    group: &mut [Generated],
    random: &mut Random,
    start: i64,
    first: usize,
    count: usize,
) -> Vec<SeriesSamples> {
    let mut out: Vec<SeriesSamples> = group
        .iter()
        .map(|series| SeriesSamples {
            labels: series.labels.clone(),
            samples: Vec::with_capacity(count),
            temporality: Temporality::Cumulative,
            start_timestamp_ms: None,
            exemplars: Vec::new(),
        })
        .collect();
    let mut observed = [0.0; BOUNDS.len() + 2];
    for scrape in first..first + count {
        for (series, out) in group.iter_mut().zip(&mut out) {
            match series.kind {
                Kind::Counter(most) => {
                    // Not among the first, where 2.42 extrapolates differently.
                    if scrape > 20 && random.next() < 0.0003 {
                        series.value = 0.0;
                    }
                    series.value += (random.next() * most).floor();
                }
                Kind::Bucket(i) => {
                    if i == 0 {
                        observed = observe(random);
                    }
                    series.value += observed[i];
                }
                Kind::Gauge => series.value += (random.next() - 0.5) * 1e6,
                Kind::Info => {}
            }
            let at = (start + scrape as i64 * SCRAPE_SECONDS) * 1000 + series.offset_ms;
            let value = if matches!(series.kind, Kind::Gauge) {
                series.value.floor()
            } else {
                series.value
            };
            out.samples.push(Sample::float(at, value));
        }
    }
    out
}

/// What a scrape adds to buckets, sum and count.
fn observe(random: &mut Random) -> [f64; BOUNDS.len() + 2] {
    let mut parts = [0.0; BOUNDS.len() + 2];
    let mut below = 0.0;
    for part in parts.iter_mut().take(BOUNDS.len()) {
        below += (random.next() * 12.0).floor();
        *part = below;
    }
    parts[BOUNDS.len()] = below * random.next();
    parts[BOUNDS.len() + 1] = below;
    parts
}
