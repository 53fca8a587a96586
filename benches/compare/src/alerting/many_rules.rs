//! A thousand rules over a hundred thousand series every 15 s, on one core, ingest included.
//!
//! A hundred services with a thousand series each, one group of ten rules for each service: rates and
//! ratios recorded, alerts over what was recorded and over raw series, as the guide writes them.
//! Five minutes of history are sent first, so that every window is full; then one sample of each series
//! every 15 s, as long as it is measured. The server is started bound to one core; what it needs
//! without rules is measured before, so that the rules' share can be told from ingest's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use skopos_model::Labels;

use crate::report::{Section, number};
use crate::server::{Kind, Sender, Server};
use crate::spread::Spread;
use crate::{Setup, now_ms, request};

const INTERVAL: Duration = Duration::from_secs(15);
/// Scrapes before the measurement: a full window of five minutes.
const HISTORY: usize = 21;
const SERIES_OF_SERVICE: usize = 1_000;
const RULES_OF_SERVICE: usize = 10;
/// Series of one request.
const REQUEST: usize = 2_000;

/// How much is measured.
struct Size {
    services: usize,
    /// Without rules.
    before: Duration,
    /// With rules, after an interval in which groups find their slots.
    measured: Duration,
}

pub fn run(setup: &Setup) -> Result<Section> {
    let size = match setup.quick {
        true => Size { services: 3, before: INTERVAL, measured: INTERVAL * 2 },
        false => Size { services: 100, before: INTERVAL * 8, measured: INTERVAL * 24 },
    };
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("rules.yml");
    let pinned = pinned(folder.path(), &setup.skopos)?;
    let setup = Setup { skopos: pinned, quick: setup.quick };
    let settings = [("SKOPOS__RULES__FILES", &*rules.to_string_lossy())];
    std::fs::write(&rules, "groups: []\n").context("write rules")?;
    let (mut server, _) = Server::start_with(Kind::Skopos, &setup, &settings)?;
    let mut feed = Feed::new(size.services);
    eprintln!("{HISTORY} scrapes of {} series as history", feed.labels.len());
    let mut sender = server.sender();
    let began = now_ms() - INTERVAL.as_millis() as i64 * HISTORY as i64;
    for scrape in 0..HISTORY {
        feed.send(&mut sender, began + INTERVAL.as_millis() as i64 * scrape as i64)?;
    }
    server.settle();
    eprintln!("{} s without rules", size.before.as_secs());
    let without = measure(&server, &mut feed, size.before)?;
    std::fs::write(&rules, rule_file(size.services)).context("write rules")?;
    server.stop()?;
    server.start_again()?;
    eprintln!("{} s until all groups have run", INTERVAL.as_secs() * 2);
    measure(&server, &mut feed, INTERVAL * 2)?;
    eprintln!("{} s with rules", size.measured.as_secs());
    let with = measure(&server, &mut feed, size.measured)?;
    report(&size, &without, &with)
}

/// A program that runs the server on the machine's first core.
fn pinned(folder: &Path, skopos: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("on-one-core");
    let text = format!("#!/bin/sh\nexec taskset -c 0 '{}' \"$@\"\n", skopos.display());
    std::fs::write(&path, text).context("write a script")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(path)
}

/// All series, and how far their counters are.
struct Feed {
    labels: Vec<Labels>,
    scrapes: u64,
}

impl Feed {
    fn new(services: usize) -> Self {
        let labels = (0..services).flat_map(|s| (0..SERIES_OF_SERVICE).map(move |i| series(s, i)));
        Self { labels: labels.collect(), scrapes: 0 }
    }

    /// Sends one sample of every series.
    fn send(&mut self, sender: &mut Sender, at_ms: i64) -> Result<()> {
        let scrapes = self.scrapes;
        for (chunk, labels) in self.labels.chunks(REQUEST).enumerate() {
            let value = |i: usize| growth(chunk * REQUEST + i) * scrapes as f64;
            let samples = labels.iter().enumerate().map(|(i, labels)| (labels, value(i)));
            sender.write(&request(samples, at_ms))?;
        }
        self.scrapes += 1;
        Ok(())
    }
}

/// 50 routes × 5 codes × 4 instances of a service.
fn series(service: usize, i: usize) -> Labels {
    let (route, code, instance) =
        (i % 50, ["200", "201", "404", "500", "503"][i / 50 % 5], i / 250);
    let (service, route) =
        (format!("service-{service:03}"), format!("/api/v1/resource-{route:02}/:id"));
    let instance = format!("{service}-{instance}:8080");
    Labels::from_pairs([
        ("__name__", "http_requests_total"),
        ("instance", &*instance),
        ("job", &*service),
        ("method", "GET"),
        ("route", &*route),
        ("service", &*service),
        ("status_code", code),
    ])
}

/// What a series grows by from scrape to scrape: errors are few.
fn growth(i: usize) -> f64 {
    let is_error = i / 50 % 5 >= 3;
    (1 + i % 7) as f64 * if is_error { 0.01 } else { 10.0 }
}

fn rule_file(services: usize) -> String {
    let mut out = String::from("groups:\n");
    for service in 0..services {
        let s = format!("service=\"service-{service:03}\"");
        let all = format!("http_requests_total{{{s}}}");
        let errors = format!("http_requests_total{{{s},status_code=~\"5..\"}}");
        let rules = [
            ("record: service:requests:rate5m", format!("sum by (service) (rate({all}[5m]))")),
            ("record: service:errors:rate5m", format!("sum by (service) (rate({errors}[5m]))")),
            ("record: route:requests:rate5m", format!("sum by (service, route) (rate({all}[5m]))")),
            (
                "alert: HighErrorRate",
                format!("service:errors:rate5m{{{s}}} / service:requests:rate5m{{{s}}} > 0.01"),
            ),
            ("alert: NoTraffic", format!("sum(rate({all}[5m])) == 0")),
            (
                "alert: RouteFails",
                format!(
                    "sum by (route) (rate({errors}[5m])) / sum by (route) (rate({all}[5m])) > 0.5"
                ),
            ),
            ("alert: InstanceGone", format!("count(count by (instance) ({all})) < 4")),
            ("alert: CounterStands", format!("max by (instance) (increase({all}[5m])) == 0")),
            (
                "alert: TrafficRises",
                format!(
                    "service:requests:rate5m{{{s}}} > 3 * service:requests:rate5m{{{s}}} offset 3m"
                ),
            ),
            ("alert: Absent", format!("absent({all})")),
        ];
        assert_eq!(rules.len(), RULES_OF_SERVICE);
        out += &format!("- name: service-{service:03}\n  interval: 15s\n  rules:\n");
        for (kind, expr) in rules {
            out += &format!("  - {kind}\n    expr: '{expr}'\n");
            if kind.starts_with("alert") {
                out += "    for: 5m\n    labels: {severity: warning}\n";
            }
        }
    }
    out
}

/// What the server did in a stretch of time.
struct Measured {
    wall: f64,
    cpu: f64,
    evaluations: f64,
    missed: f64,
    failures: f64,
    /// Seconds that each slot of each group took.
    slots: Spread,
    /// Seconds of all groups in one interval.
    sums: Spread,
    samples: u64,
    /// The longest that sending one scrape of all series took.
    slowest_scrape: f64,
    memory_mb: f64,
}

/// Feeds the server for so long, one scrape per interval, and looks at its groups meanwhile.
fn measure(server: &Server, feed: &mut Feed, long: Duration) -> Result<Measured> {
    let count = |name: &str| server.metric(name);
    let names = [
        "skopos_rules_evaluations_total",
        "skopos_rules_iterations_missed_total",
        "skopos_rules_evaluation_failures_total",
    ];
    let before: Vec<f64> = names.iter().map(|name| count(name)).collect::<Result<_>>()?;
    let (cpu, began) = (server.cpu_seconds(), Instant::now());
    let is_over = AtomicBool::new(false);
    let (mut slots, mut sums) = (Spread::default(), Spread::default());
    let mut sender = server.sender();
    let fed = std::thread::scope(|scope| -> Result<(u64, f64)> {
        let feeding = scope.spawn(|| -> Result<(u64, f64)> {
            let (mut samples, mut slowest) = (0, 0.0_f64);
            let mut next = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                let at = Instant::now();
                feed.send(&mut sender, now_ms())?;
                slowest = slowest.max(at.elapsed().as_secs_f64());
                samples += feed.labels.len() as u64;
                next += INTERVAL;
                while Instant::now() < next && !is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            Ok((samples, slowest))
        });
        let mut next = began + INTERVAL;
        let looked = loop {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if let Err(error) = look(server, &mut slots, &mut sums) {
                break Err(error);
            }
            next += INTERVAL;
            if began.elapsed() >= long {
                break Ok(());
            }
        };
        is_over.store(true, Ordering::Relaxed);
        let fed = feeding.join().unwrap_or_else(|_| bail!("the sender panicked"));
        looked?;
        fed
    });
    let wall = began.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds() - cpu;
    let mut differences = Vec::new();
    for (name, before) in names.iter().zip(before) {
        differences.push(count(name)? - before);
    }
    let (samples, slowest_scrape) = fed?;
    Ok(Measured {
        wall,
        cpu,
        evaluations: differences[0],
        missed: differences[1],
        failures: differences[2],
        slots,
        sums,
        samples,
        slowest_scrape,
        memory_mb: server.memory_mb("VmRSS"),
    })
}

/// Notes how long the last slot of each group took.
fn look(server: &Server, slots: &mut Spread, sums: &mut Spread) -> Result<()> {
    let body = server.get_ok("/api/v1/rules?exclude_alerts=true")?;
    let answer: serde_json::Value = serde_json::from_slice(&body).context("read the rules")?;
    let groups = answer["data"]["groups"].as_array().context("the answer has no groups")?;
    let took: Vec<f64> = groups.iter().filter_map(|g| g["evaluationTime"].as_f64()).collect();
    if took.is_empty() {
        return Ok(());
    }
    sums.push(took.iter().sum());
    took.into_iter().for_each(|seconds| slots.push(seconds));
    Ok(())
}

fn report(size: &Size, without: &Measured, with: &Measured) -> Result<Section> {
    let mut section = Section::new("A thousand rules over a hundred thousand series, one core");
    let rules = size.services * RULES_OF_SERVICE;
    let due = (with.wall / INTERVAL.as_secs_f64()).floor() * rules as f64;
    if with.evaluations < due * 0.9 {
        bail!("{} evaluations, {due} were due", with.evaluations);
    }
    section.target(
        &format!("{rules} rules at 15 s"),
        "no missed iteration in 5 minutes on one core",
        format!("{} missed of {} evaluations", with.missed, with.evaluations),
        with.missed == 0.0 && with.failures == 0.0,
    );
    let share = |measured: &Measured| measured.cpu / measured.wall;
    let line = |what: &str, measured: &Measured| {
        vec![
            what.to_owned(),
            number(measured.wall),
            number(measured.samples as f64 / measured.wall),
            number(measured.evaluations / measured.wall),
            number(share(measured)),
            number(measured.memory_mb),
        ]
    };
    section.table(
        &["", "seconds", "samples/s in", "rules/s", "CPU-s per s", "RSS, MB"],
        &[line("without rules", without), line("with rules", with)],
    );
    let rules_cpu = (share(with) - share(without)).max(0.0);
    section.table(
        &["with rules", "p50", "p99", "most"],
        &[
            quantiles("slot of one group (ten rules), ms", &with.slots, 1e3),
            quantiles("all groups of one interval, s", &with.sums, 1.0),
        ],
    );
    section.say(&format!(
        "{} series in {} services, one sample each every 15 s by remote write (sent within {} s at the most); {} groups of {RULES_OF_SERVICE} rules: three recorded, seven alerts with `for: 5m`, windows of five minutes, \
         all of them full. In every interval raw selectors match each series 7.8 times, 5.8 of them with a window. The server is bound to one core (`taskset -c 0`), takes the samples and evaluates; the harness has the other cores. The rules' share is {} CPU-seconds per second, {} ms per rule. \
         Durations of slots are what `/api/v1/rules` says, looked at every 15 s.",
        size.services * SERIES_OF_SERVICE,
        size.services,
        number(with.slowest_scrape.max(without.slowest_scrape)),
        size.services,
        number(rules_cpu),
        number(rules_cpu * INTERVAL.as_secs_f64() / rules as f64 * 1e3),
    ));
    if with.failures > 0.0 {
        section.say(&format!("{} evaluations failed.", with.failures));
    }
    Ok(section)
}

fn quantiles(what: &str, spread: &Spread, scale: f64) -> Vec<String> {
    let of = |q: f64| number(spread.quantile(q) * scale);
    vec![what.to_owned(), of(0.5), of(0.99), of(1.0)]
}
