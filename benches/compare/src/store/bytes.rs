//! Bytes per sample after compaction: six hours of several hosts' node-exporters, in all three.
//!
//! Each host plays a stretch of its own of the recording, one scrape each 15 s on the clock that we
//! set, starting at a time that is a multiple of six hours and some days past. All get the same
//! requests in the same order. Then each is brought to rest in the state that its own compaction
//! leads to: Skopos flushes four times, as it does within some hours, and merges by its own policy;
//! Prometheus' head is moved past the data by a few later samples of another series, so that it
//! writes and merges its blocks; VictoriaMetrics is told to merge all parts.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use skopos_model::{Labels, MetricBatch, SeriesSamples};

use crate::Setup;
use crate::recording::Recording;
use crate::report::{Section, mb, number, ratio};
use crate::server::{Kind, Sender, Server, bytes_of};

const SCRAPE_MS: i64 = 15_000;
const SIX_HOURS_S: i64 = 6 * 3_600;
/// Scrapes of a host that go into one request.
const PER_REQUEST: usize = 20;
/// Flushes of Skopos on the way.
const FLUSHES: usize = 4;

struct Played {
    hosts: usize,
    scrapes: usize,
    start_s: i64,
    samples: u64,
}

/// Where a system's bytes are.
struct Footprint {
    kind: Kind,
    /// Samples, series and what finds them.
    data: u64,
    /// What is kept beside until the next restart or for good: logs, caches, heads.
    beside: u64,
    detail: String,
}

pub fn run(setup: &Setup) -> Result<Section> {
    let (hosts, scrapes) = if setup.quick { (2, 240) } else { (8, 1_440) };
    let recording = Recording::get(&setup.cache, hosts * scrapes)?;
    let mut servers = Vec::new();
    for kind in Kind::here(setup) {
        servers.push(Server::start(kind, setup)?.0);
    }
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() as i64;
    // Far enough in the past that what moves Prometheus' head is in the past too.
    let start_s = now_s / SIX_HOURS_S * SIX_HOURS_S - 4 * SIX_HOURS_S;
    let mut played = Played { hosts, scrapes, start_s, samples: 0 };
    play(&recording, &mut played, &mut servers)?;
    check_counts(&recording, &played, &servers)?;
    let mut found = Vec::new();
    for server in &mut servers {
        eprintln!("bytes: {} comes to rest", server.kind.name());
        found.push(match server.kind {
            Kind::Skopos => skopos(server)?,
            Kind::Prometheus => prometheus(server, &played)?,
            Kind::VictoriaMetrics => victoria_metrics(server)?,
        });
    }
    check_counts(&recording, &played, &servers)?;
    Ok(report(&recording, &played, &found))
}

fn report(recording: &Recording, played: &Played, found: &[Footprint]) -> Section {
    let mut section = Section::new("Bytes per sample");
    let per_sample = |footprint: &Footprint| footprint.data as f64 / played.samples as f64;
    let of = |kind| found.iter().find(|footprint| footprint.kind == kind).map(per_sample);
    if let Some(ours) = of(Kind::Skopos) {
        let wanted =
            [(Kind::Prometheus, "≤ Prometheus'"), (Kind::VictoriaMetrics, "≤ VictoriaMetrics'")];
        for (kind, wanted) in wanted {
            if let Some(theirs) = of(kind) {
                let measured =
                    format!("{} against {}, {}", number(ours), number(theirs), ratio(ours, theirs));
                section.target("bytes per sample", wanted, measured, ours <= theirs);
            }
        }
        if let Some(theirs) = of(Kind::VictoriaMetrics) {
            section.target(
                "aim",
                "0.8 × VictoriaMetrics'",
                ratio(ours, theirs),
                ours <= 0.8 * theirs,
            );
        }
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|footprint| {
            vec![
                footprint.kind.name().to_owned(),
                number(per_sample(footprint)),
                mb(footprint.data as f64),
                mb(footprint.beside as f64),
                footprint.detail.clone(),
            ]
        })
        .collect();
    let head =
        ["system", "bytes per sample", "data and index, MB", "log and caches beside, MB", "of it"];
    section.table(&head, &rows);
    section.say(&format!(
        "{} hosts, {} series each, {} scrapes each 15 s apart, {:.2} M samples: every host plays another stretch of a recording of Debian's \
         prometheus-node-exporter. The scrapes are real, but 100–200 ms apart, so counters grow by less between two of them than they would \
         in 15 s: all three find that easier. All three answer with the same number of samples before and after.",
        played.hosts,
        recording.labels.len(),
        played.scrapes,
        played.samples as f64 / 1e6
    ));
    section
}

fn play(recording: &Recording, played: &mut Played, servers: &mut [Server]) -> Result<()> {
    let labels: Vec<Vec<Labels>> = (0..played.hosts)
        .map(|host| {
            let of_host = |labels: &Labels| {
                let mut builder = labels.to_builder();
                builder.set("instance", &format!("node-{host:02}:9100")).set("job", "node");
                builder.build()
            };
            recording.labels.iter().map(of_host).collect()
        })
        .collect();
    let mut senders: Vec<Sender> = servers.iter().map(Server::sender).collect();
    let flush_each = (played.scrapes / FLUSHES).next_multiple_of(PER_REQUEST);
    for first in (0..played.scrapes).step_by(PER_REQUEST) {
        if first > 0 && first % flush_each == 0 {
            // By restarts, because only these change a setting.
            for (server, sender) in servers.iter_mut().zip(&mut senders) {
                if server.kind == Kind::Skopos {
                    server.flush_by_restart("samples")?;
                    *sender = server.sender();
                }
            }
        }
        for (host, labels) in labels.iter().enumerate() {
            let series = stretch(recording, labels, played, host, first);
            let batch = MetricBatch { series, metadata: Vec::new() };
            played.samples += batch.sample_count() as u64;
            let body = skopos_ingest::remote_write::encode(&batch);
            for sender in &mut senders {
                sender.write(&body)?;
            }
        }
    }
    Ok(())
}

fn stretch(
    recording: &Recording,
    labels: &[Labels],
    played: &Played,
    host: usize,
    first: usize,
) -> Vec<SeriesSamples> {
    let last = (first + PER_REQUEST).min(played.scrapes);
    // Hosts are not scraped at the same moment.
    let offset_ms = 1_700 * host as i64 + 300;
    let mut all = Vec::new();
    for (i, labels) in labels.iter().enumerate() {
        let mut series = SeriesSamples::single(labels.clone(), 0, 0.0);
        series.samples.clear();
        for scrape in first..last {
            if let Some(value) = recording.value(i, host * played.scrapes + scrape) {
                let at = played.start_s * 1_000 + offset_ms + scrape as i64 * SCRAPE_MS;
                series.samples.push(skopos_model::Sample::float(at, value));
            }
        }
        if !series.samples.is_empty() {
            all.push(series);
        }
    }
    all
}

/// Nobody may have lost any.
fn check_counts(recording: &Recording, played: &Played, servers: &[Server]) -> Result<()> {
    let end_s = played.start_s + SIX_HOURS_S + 60;
    let names: BTreeSet<&str> = recording.labels.iter().map(Labels::metric_name).collect();
    for server in servers {
        if server.kind == Kind::VictoriaMetrics {
            server.get_ok("/internal/force_flush")?;
        }
        let mut held = 0.0;
        for name in &names {
            // By name: without it series of different names would become one.
            let query = format!(r#"sum(count_over_time({name}{{job="node"}}[7h]))"#);
            held += server.query(&query, end_s)?;
        }
        if held != played.samples as f64 {
            bail!("{} holds {held} of {} samples", server.kind.name(), played.samples);
        }
    }
    Ok(())
}

fn skopos(server: &mut Server) -> Result<Footprint> {
    server.flush_by_restart("samples")?;
    let blocks = |wanted: &str| {
        bytes_of(&server.data(), |path| path.contains("/blocks/") && path.contains(wanted))
    };
    let (data, chunks, series) = (blocks("")?, blocks("-chunks")?, blocks("-series")?);
    let beside = bytes_of(&server.data(), |path| !path.contains("/blocks/"))?;
    let detail = format!(
        "{} blocks; chunks {} MB, series {} MB",
        number(server.metric("skopos_store_blocks")?),
        mb(chunks as f64),
        mb(series as f64)
    );
    Ok(Footprint { kind: server.kind, data, beside, detail })
}

fn prometheus(server: &Server, played: &Played) -> Result<Footprint> {
    let end_s = played.start_s + SIX_HOURS_S;
    let mut sender = server.sender();
    // Twelve hours more of one series; blocks of two hours follow as the head moves on.
    for at in (end_s..end_s + 2 * SIX_HOURS_S).step_by(600) {
        let labels = Labels::from_pairs([("__name__", "skopos_bench_clock")]);
        let series = vec![SeriesSamples::single(labels, at * 1_000, 1.0)];
        let batch = MetricBatch { series, metadata: Vec::new() };
        sender.write(&skopos_ingest::remote_write::encode(&batch))?;
    }
    let began = Instant::now();
    loop {
        let head_s = server.metric("prometheus_tsdb_head_min_time_seconds")?;
        if head_s >= end_s as f64 {
            break;
        }
        if began.elapsed() > Duration::from_secs(240) {
            bail!("Prometheus' head stays at {head_s}");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    server.settle();
    let (mut data, mut index, mut count) = (0, 0, 0);
    for entry in std::fs::read_dir(server.data()).context("read Prometheus' folder")? {
        let path = entry?.path();
        // A block is a folder with a `meta.json`; those after our data hold the clock only.
        let Ok(meta) = std::fs::read(path.join("meta.json")) else { continue };
        let meta: serde_json::Value = serde_json::from_slice(&meta).context("read meta.json")?;
        if meta["minTime"].as_i64().is_some_and(|at| at < end_s * 1_000) {
            data += bytes_of(&path, |_| true)?;
            index += bytes_of(&path, |path| path.ends_with("/index"))?;
            count += 1;
        }
    }
    let head = |path: &str| path.contains("/wal/") || path.contains("/chunks_head/");
    let beside = bytes_of(&server.data(), head)?;
    let detail = format!("{count} blocks; index {} MB", mb(index as f64));
    Ok(Footprint { kind: server.kind, data, beside, detail })
}

fn victoria_metrics(server: &Server) -> Result<Footprint> {
    server.get_ok("/internal/force_flush")?;
    server.get_ok("/internal/force_merge")?;
    std::thread::sleep(Duration::from_secs(5));
    server.settle();
    let of = |folder: &str| below(&server.data(), folder);
    let (samples, index) = (of("data")?, of("indexdb")?);
    let beside = bytes_of(&server.data(), |_| true)? - samples - index;
    let detail = format!("index {} MB", mb(index as f64));
    Ok(Footprint { kind: server.kind, data: samples + index, beside, detail })
}

fn below(folder: &Path, name: &str) -> Result<u64> {
    bytes_of(&folder.join(name), |_| true)
}
