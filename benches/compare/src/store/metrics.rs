//! How many samples a server takes by remote write per second of its processor time.
//!
//! Three loads: few series with many samples in a request, so that samples count; many series with
//! one sample each, so that finding series by their labels counts; and the first of these rounds,
//! in which every series is new. Four senders per server, each with series of its own, like shards
//! of Prometheus' sender; servers take turns, each first as often as the others.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use skopos_model::{Labels, MetricBatch, Sample, SeriesSamples, Temporality};

use crate::Setup;
use crate::random::Random;
use crate::report::{Section, number, ratio};
use crate::server::{Kind, Server};
use crate::spread::Spread;

const SENDERS: usize = 4;

/// Bodies of requests, by sender, and how many samples are in them.
struct Load {
    name: &'static str,
    bodies: [Vec<Vec<u8>>; SENDERS],
    samples: u64,
}

/// What one server needed for one load.
#[derive(Clone, Default)]
struct Cost {
    /// Processor seconds until the last answer.
    cpu: Spread,
    /// … and until it was at rest.
    settled: Spread,
    wall: Spread,
    memory_mb: Spread,
    refusals: usize,
}

pub fn run(setup: &Setup) -> Result<Section> {
    let kinds = Kind::here(setup);
    let rounds = if setup.quick { 1 } else { 3 };
    let few = few_series(setup);
    let (new, many) = many_series(setup);
    // `many` continues the series that `new` has begun, in the same server.
    let plans: [Vec<&Load>; 2] = [vec![&few], vec![&new, &many]];
    let mut section = Section::new("Metrics in: remote write");
    let mut rows = Vec::new();
    for plan in plans {
        let mut costs = vec![vec![Cost::default(); kinds.len()]; plan.len()];
        for round in 0..rounds {
            for at in (0..kinds.len()).map(|i| (i + round) % kinds.len()) {
                let (server, _) = Server::start(kinds[at], setup)?;
                for (load, costs) in plan.iter().zip(&mut costs) {
                    measure(&server, load, &mut costs[at])?;
                }
            }
        }
        for (load, costs) in plan.into_iter().zip(&costs) {
            rows.extend(lines(load, &kinds, costs));
            if kinds.len() == Kind::ALL.len() && !std::ptr::eq(load, &new) {
                judge(&mut section, load, costs);
            }
        }
    }
    section.say(&format!(
        "Thousand samples per processor second, median of {rounds}: until the last request is acknowledged, and until the server is at rest.\n"
    ));
    let head = ["load", "system", "k samples/CPU-s", "at rest", "÷ it", "k samples/s", "RSS, MB"];
    section.table(&head, &rows);
    section.say(
        "\"÷ it\": Skopos' samples per processor second by this system's. One label set of the many series has 9 labels and about 190 bytes. \
         Skopos acknowledges after an fsync; Prometheus and VictoriaMetrics do not wait for the disk.",
    );
    Ok(section)
}

fn judge(section: &mut Section, load: &Load, costs: &[Cost]) {
    let rate = |cost: &Cost| load.samples as f64 / cost.cpu.median();
    let (ours, theirs) = (rate(&costs[0]), rate(&costs[2]));
    section.target(
        load.name,
        "≥ VictoriaMetrics' samples per CPU-second",
        format!(
            "{} k against {} k, {}",
            number(ours / 1e3),
            number(theirs / 1e3),
            ratio(ours, theirs)
        ),
        ours >= theirs,
    );
}

fn lines(load: &Load, kinds: &[Kind], costs: &[Cost]) -> Vec<Vec<String>> {
    let rate = |seconds: &Spread| load.samples as f64 / 1e3 / seconds.median();
    let line = |(kind, cost): (&Kind, &Cost)| {
        let mut name = kind.name().to_owned();
        if cost.refusals > 0 {
            name += &format!(" ({} requests refused for the moment)", cost.refusals);
        }
        vec![
            load.name.to_owned(),
            name,
            number(rate(&cost.cpu)),
            number(rate(&cost.settled)),
            ratio(rate(&costs[0].cpu), rate(&cost.cpu)),
            number(rate(&cost.wall)),
            number(cost.memory_mb.median()),
        ]
    };
    kinds.iter().zip(costs).map(line).collect()
}

/// Senders wait for each other this often: a sender an hour of samples behind is refused by Prometheus.
const STRETCHES: usize = 20;

fn measure(server: &Server, load: &Load, cost: &mut Cost) -> Result<()> {
    let before = server.cpu_seconds();
    let began = Instant::now();
    let in_step = Barrier::new(load.bodies.len());
    let refusals: Vec<Result<usize>> = std::thread::scope(|scope| {
        let senders: Vec<_> = load
            .bodies
            .iter()
            .map(|bodies| {
                let (mut sender, in_step) = (server.sender(), &in_step);
                scope.spawn(move || {
                    let mut sent = Ok(());
                    for k in 0..STRETCHES {
                        let part = k * bodies.len() / STRETCHES..(k + 1) * bodies.len() / STRETCHES;
                        for body in &bodies[part] {
                            // Who failed waits for the others all the same.
                            sent = sent.and_then(|()| sender.write(body));
                        }
                        in_step.wait();
                    }
                    sent.map(|()| sender.refusals)
                })
            })
            .collect();
        let joined = senders.into_iter().map(|sender| sender.join());
        joined.map(|sent| sent.unwrap_or_else(|_| Err(anyhow!("a sender panicked")))).collect()
    });
    let wall = began.elapsed();
    let cpu = server.cpu_seconds() - before;
    for refusals in refusals {
        cost.refusals += refusals?;
    }
    cost.cpu.push(cpu);
    cost.wall.push(wall.as_secs_f64());
    cost.memory_mb.push(server.memory_mb("VmRSS"));
    std::thread::sleep(Duration::from_secs(1));
    server.settle();
    let settled = server.cpu_seconds() - before;
    cost.settled.push(settled);
    eprintln!(
        "{:21} {}: {:.2} s of processor for {:.1} M samples, {settled:.2} at rest, {:.1} s of wall time",
        server.kind.name(),
        load.name,
        cpu,
        load.samples as f64 / 1e6,
        wall.as_secs_f64()
    );
    Ok(())
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

fn encode(series: Vec<SeriesSamples>) -> Vec<u8> {
    skopos_ingest::remote_write::encode(&MetricBatch { series, metadata: Vec::new() })
}

/// A thousand series, a hundred samples of each in a request.
fn few_series(setup: &Setup) -> Load {
    let (series, per_request, requests) = (1_000, 100, if setup.quick { 5 } else { 100 });
    let mut random = Random::new(1);
    let mut values = vec![0.0; series];
    // One a second: the whole is shorter than what Prometheus keeps in its head.
    let start = now_ms() - (per_request * requests) as i64 * 1_000;
    let mut bodies = [const { Vec::new() }; SENDERS];
    for request in 0..requests {
        for (i, of_series) in values.chunks_mut(100).enumerate() {
            let batch = of_series.iter_mut().enumerate().map(|(j, value)| {
                let instance = format!("pod-{:03}", i * 100 + j);
                let labels = Labels::from_pairs([
                    ("__name__", "jobs_processed_total"),
                    ("instance", &*instance),
                    ("job", "worker"),
                ]);
                let at = |k: usize| start + (request * per_request + k) as i64 * 1_000;
                let samples = (0..per_request).map(|k| {
                    *value += random.below(50) as f64;
                    Sample::float(at(k), *value)
                });
                with_samples(labels, samples.collect())
            });
            bodies[i % SENDERS].push(encode(batch.collect()));
        }
    }
    Load {
        name: "1,000 series × 100 samples a request",
        bodies,
        samples: (series * per_request * requests) as u64,
    }
}

/// A hundred thousand series, one sample of each a round, 2,000 in a request: the first round,
/// and the others.
fn many_series(setup: &Setup) -> (Load, Load) {
    let (series, rounds) = if setup.quick { (20_000, 3) } else { (100_000, 31) };
    let mut random = Random::new(2);
    let labels: Vec<Labels> = (0..series).map(request_labels).collect();
    let mut values = vec![0.0; series];
    let start = now_ms() - rounds as i64 * 15_000;
    let load = |name| Load { name, bodies: [const { Vec::new() }; SENDERS], samples: 0 };
    let (mut new, mut many) = (load("100,000 new series"), load("100,000 series × 1 sample"));
    for round in 0..rounds {
        let into = if round == 0 { &mut new } else { &mut many };
        for (i, (labels, values)) in labels.chunks(2_000).zip(values.chunks_mut(2_000)).enumerate()
        {
            let batch = labels.iter().zip(values).map(|(labels, value)| {
                *value += random.below(50) as f64;
                let at = start + round as i64 * 15_000;
                with_samples(labels.clone(), vec![Sample::float(at, *value)])
            });
            into.bodies[i % SENDERS].push(encode(batch.collect()));
        }
        into.samples += series as u64;
    }
    (new, many)
}

fn request_labels(i: usize) -> Labels {
    let pod = i / 100;
    let (endpoint, status) = (i % 20, ["200", "201", "404", "500", "503"][i / 20 % 5]);
    let instance = format!("10.0.{}.{}:8080", pod / 256, pod % 256);
    let pod = format!("checkout-7d9c5b6f4-{pod:05}");
    let endpoint = format!("/api/v1/resource-{endpoint:02}/:id");
    Labels::from_pairs([
        ("__name__", "http_server_requests_total"),
        ("cluster", "eu-central-1a"),
        ("endpoint", &*endpoint),
        ("instance", &*instance),
        ("job", "checkout"),
        ("method", "POST"),
        ("namespace", "shop-production"),
        ("pod", &*pod),
        ("status_code", status),
    ])
}

fn with_samples(labels: Labels, samples: Vec<Sample>) -> SeriesSamples {
    SeriesSamples {
        labels,
        samples,
        temporality: Temporality::Cumulative,
        start_timestamp_ms: None,
        exemplars: Vec::new(),
    }
}

/// Requests of `series` series with `rounds` samples each, in the order of time.
pub fn bodies_of(series: usize, rounds: usize) -> Vec<Vec<u8>> {
    let labels: Vec<Labels> = (0..series).map(request_labels).collect();
    let start = now_ms() - rounds as i64 * 15_000;
    let of_round = |round: usize| {
        let at = start + round as i64 * 15_000;
        labels.chunks(2_000).map(move |labels| {
            let value = (round * round) as f64;
            let one =
                |labels: &Labels| with_samples(labels.clone(), vec![Sample::float(at, value)]);
            encode(labels.iter().map(one).collect())
        })
    };
    (0..rounds).flat_map(of_round).collect()
}
