//! Spans: how fast they go in, how fast a trace is found among ten million, how soon a new one is.
//!
//! Ten spans a trace over four of eight services, five or six attributes each; requests of 512 spans
//! of one service by OTLP protobuf, from two senders.

mod data;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use crate::Setup;
use crate::otlp;
use crate::random::Random;
use crate::report::{Section, mb, number};
use crate::server::{Kind, Sender, Server, bytes_of};
use crate::spread::Spread;
use data::{SPANS, Spans, trace_id};

const SENDERS: usize = 2;
const HOURS: i64 = 2;

pub fn run(setup: &Setup) -> Result<Section> {
    let traces: u64 = if setup.quick { 20_000 } else { 1_000_000 };
    let (mut server, _) = Server::start(Kind::Skopos, setup)?;
    let mut section = Section::new("Traces");
    let spans = (traces * SPANS) as f64;
    let loaded = load(&server, traces)?;
    let peak = server.memory_mb("VmHWM");
    let (fresh, fresh_logs) = visible(&server, setup)?;
    server.flush_by_restart("spans")?;
    let on_disk = bytes_of(&server.data(), |path| path.contains("/blocks/"))? as f64;
    let rate = spans / 1e3 / loaded.settled;
    section.target(
        "spans in",
        "≥ 50 k/s per core",
        format!("{} k per CPU-second, flushes and merges included", number(rate)),
        rate >= 50.0,
    );
    let looked_up = look_up(&mut server, traces, setup)?;
    let (warm, what) = (&looked_up.warm, format!("{} M spans", number(spans / 1e6)));
    let p99 = warm.quantile(0.99);
    section.target(
        "trace by id",
        "p99 < 20 ms over 10 M spans",
        format!("{} ms over {what}", number(p99)),
        p99 < 20.0,
    );
    let worst = fresh.quantile(1.0) / 1e3;
    section.target(
        "visible after ingest",
        "< 1 s",
        format!("{} s at worst of {}", number(worst), fresh.len()),
        worst < 1.0,
    );
    section.table(
        &[
            "in",
            "k spans/CPU-s",
            "at rest",
            "sent MB/CPU-s",
            "k spans/s",
            "refused for the moment",
            "most RSS, MB",
        ],
        &[vec![
            "OTLP protobuf".into(),
            number(spans / 1e3 / loaded.cpu),
            number(rate),
            number(loaded.sent_bytes as f64 / 1e6 / loaded.cpu),
            number(spans / 1e3 / loaded.wall.as_secs_f64()),
            loaded.refusals.to_string(),
            number(peak),
        ]],
    );
    let sent = loaded.sent_bytes as f64;
    section.say(&format!(
        "On disk, flushed and merged by policy: {} MB in {} blocks, {} bytes a span ({} as sent).\n",
        mb(on_disk),
        number(server.metric("skopos_store_blocks")?),
        number(on_disk / spans),
        number(sent / spans)
    ));
    let line = |name: &str, spread: &Spread, cpu: Option<f64>| {
        vec![
            name.to_owned(),
            number(spread.median()),
            number(spread.quantile(0.99)),
            number(spread.quantile(1.0)),
            cpu.map_or("–".into(), number),
            spread.len().to_string(),
        ]
    };
    section.table(
        &["milliseconds", "p50", "p99", "worst", "CPU", "times"],
        &[
            line("trace by id, warm", warm, Some(looked_up.warm_cpu_ms)),
            line(
                "trace by id, first of each after a restart, page cache dropped",
                &looked_up.cold,
                None,
            ),
            line("an id that nobody has", &looked_up.absent, None),
            line("acknowledged until readable, spans", &fresh, None),
            line("acknowledged until readable, log records", &fresh_logs, None),
        ],
    );
    section.say(
        "By `GET /api/traces/{id}`: whole HTTP answers with all ten spans, one client; ids at random over all that was sent.",
    );
    Ok(section)
}

struct Loaded {
    sent_bytes: u64,
    cpu: f64,
    settled: f64,
    wall: Duration,
    refusals: usize,
}

fn load(server: &Server, traces: u64) -> Result<Loaded> {
    let start_ns = now_ns()? - (HOURS * 3_600 + 60) * 1_000_000_000;
    let before = server.cpu_seconds();
    let began = Instant::now();
    let (queue, bodies) = sync_channel::<Vec<u8>>(8);
    let bodies = Mutex::new(bodies);
    let mut sent_bytes = 0;
    let sent: Vec<Result<usize>> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(|| send(server, &bodies))).collect();
        let produced = produce(traces, start_ns, queue);
        let joined = senders.into_iter().map(|sender| sender.join());
        let mut sent: Vec<_> =
            joined.map(|sent| sent.unwrap_or_else(|_| Err(anyhow!("a sender panicked")))).collect();
        match produced {
            Ok(bytes) => sent_bytes = bytes,
            Err(error) => sent.push(Err(error)),
        }
        sent
    });
    let mut refusals = 0;
    for sent in sent {
        refusals += sent?;
    }
    let wall = began.elapsed();
    let cpu = server.cpu_seconds() - before;
    server.settle();
    let settled = server.cpu_seconds() - before;
    eprintln!(
        "traces: {traces} traces, {cpu:.1} s of processor, {settled:.1} at rest, {:.0} s",
        wall.as_secs_f64()
    );
    Ok(Loaded { sent_bytes, cpu, settled, wall, refusals })
}

fn send(server: &Server, bodies: &Mutex<Receiver<Vec<u8>>>) -> Result<usize> {
    let mut sender = server.sender();
    loop {
        let body = bodies.lock().map_err(|_| anyhow!("a sender panicked"))?.recv();
        let Ok(body) = body else { return Ok(sender.refusals) };
        sender.otlp("traces", otlp::PROTOBUF, &body)?;
    }
}

fn produce(traces: u64, start_ns: i64, queue: SyncSender<Vec<u8>>) -> Result<u64> {
    let mut spans = Spans::default();
    let step_ns = HOURS * 3_600 * 1_000_000_000 / traces as i64;
    let mut sent = 0;
    let mut ship = |body: Vec<u8>| {
        sent += body.len() as u64;
        queue.send(body).map_err(|_| anyhow!("nobody sends any more"))
    };
    for trace in 0..traces {
        spans.add(trace, start_ns + trace as i64 * step_ns);
        while let Some(body) = spans.full() {
            ship(body)?;
        }
    }
    spans.rest().into_iter().try_for_each(&mut ship)?;
    Ok(sent)
}

struct LookedUp {
    warm: Spread,
    warm_cpu_ms: f64,
    cold: Spread,
    absent: Spread,
}

fn look_up(server: &mut Server, traces: u64, setup: &Setup) -> Result<LookedUp> {
    let (times, cold_times) = if setup.quick { (100, 20) } else { (2_000, 200) };
    let mut random = Random::new(0x100c);
    server.stop()?;
    server.drop_page_cache()?;
    server.start_again()?;
    let mut found = LookedUp {
        warm: Spread::default(),
        warm_cpu_ms: 0.0,
        cold: Spread::default(),
        absent: Spread::default(),
    };
    for _ in 0..cold_times {
        found.cold.push(ask(server, random.below(traces), true)?);
    }
    // Unmeasured, until the page cache has what it needs.
    for _ in 0..times / 4 {
        ask(server, random.below(traces), true)?;
    }
    let before = server.cpu_seconds();
    for _ in 0..times {
        found.warm.push(ask(server, random.below(traces), true)?);
    }
    found.warm_cpu_ms = (server.cpu_seconds() - before) * 1e3 / times as f64;
    for _ in 0..times / 4 {
        found.absent.push(ask(server, traces + random.below(1 << 40), false)?);
    }
    Ok(found)
}

/// Asks for a trace, which must be whole or must not be there: milliseconds.
fn ask(server: &Server, trace: u64, is_there: bool) -> Result<f64> {
    let path = format!("/api/traces/{}", otlp::hex(&trace_id(trace)));
    let began = Instant::now();
    let answer = server.get(&path)?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).context("read a trace")?;
    let spans = body["data"][0]["spans"].as_array().map_or(0, Vec::len) as u64;
    if (spans == SPANS) != is_there || (answer.status == 404) == is_there {
        bail!("trace {trace}: status {}, {spans} spans", answer.status);
    }
    Ok(took)
}

/// Milliseconds from an acknowledgement until the data is in an answer: spans, log records.
fn visible(server: &Server, setup: &Setup) -> Result<(Spread, Spread)> {
    let times = if setup.quick { 10 } else { 200 };
    let mut sender = server.sender();
    let (mut spans, mut logs) = (Spread::default(), Spread::default());
    for i in 0..times {
        // Ids beyond those that are loaded, and beyond those that nobody has.
        let trace = (1 << 50) + i;
        let id = otlp::hex(&trace_id(trace));
        send_one(&mut sender, trace)?;
        spans.push(until(server, &format!("/api/traces/{id}"), "\"spans\"")?);
        sender.otlp("logs", otlp::PROTOBUF, &data::log_of(trace, now_ns()?))?;
        let path = format!("/api/v1/logs?trace_id={id}");
        logs.push(until(server, &path, "fresh record")?);
    }
    Ok((spans, logs))
}

fn send_one(sender: &mut Sender, trace: u64) -> Result<()> {
    let mut spans = Spans::default();
    spans.add(trace, now_ns()?);
    for body in spans.rest() {
        sender.otlp("traces", otlp::PROTOBUF, &body)?;
    }
    Ok(())
}

fn until(server: &Server, path: &str, sign: &str) -> Result<f64> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        let answer = server.get(path)?;
        if answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(sign) {
            return Ok(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    bail!("{path} stays without {sign}")
}

fn now_ns() -> Result<i64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as i64)
}
