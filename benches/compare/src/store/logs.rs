//! Logs: how fast they go in, how large they lie on disk, how fast a word is found.
//!
//! Raw means what the services would print as JSON, one line a record; the same lines go to `zstd
//! -3`, which is what is measured against, and as OTLP to Skopos. Two senders with a connection
//! each; requests of 512 records of one service, as an SDK's batches are.

mod data;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

use crate::Setup;
use crate::otlp::{self, Attribute, Service};
use crate::report::{Section, mb, number, ratio};
use crate::server::{Kind, Server, bytes_of, drop_cached, encode};
use crate::spread::Spread;
use data::{Line, Lines};

const RECORDS_PER_REQUEST: usize = 512;
const SENDERS: usize = 2;
/// Bytes of a line, about; only the number of lines depends on it.
const LINE_BYTES: u64 = 430;
const HOURS: i64 = 6;

/// How records travel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

/// What went in and what it cost.
struct Loaded {
    records: u64,
    raw_bytes: u64,
    sent_bytes: u64,
    cpu: f64,
    /// Until the server was at rest.
    settled: f64,
    wall: Duration,
    refusals: usize,
    start_s: i64,
    end_s: i64,
}

pub fn run(setup: &Setup) -> Result<Section> {
    let raw_bytes = if setup.quick { 50_000_000 } else { 2_000_000_000 };
    let folder = tempfile::Builder::new().prefix("skopos-bench-raw-").tempdir()?;
    let compressed = folder.path().join("raw.zst");
    let mut section = Section::new("Logs");

    let (server, _) = Server::start(Kind::Skopos, setup)?;
    let json = load(&server, raw_bytes / 10, Form::Json, None)?;
    drop(server);
    let (mut server, _) = Server::start(Kind::Skopos, setup)?;
    let loaded = load(&server, raw_bytes, Form::Protobuf, Some(&compressed))?;
    let peak = server.memory_mb("VmHWM");
    server.flush_by_restart("logs")?;
    let on_disk = bytes_of(&server.data(), |path| path.contains("/blocks/"))? as f64;
    let zstd = std::fs::metadata(&compressed).context("look at zstd's file")?.len() as f64;
    sizes(&mut section, &loaded, &json, on_disk, zstd, peak);
    search(&mut section, &mut server, &loaded, &compressed, setup)?;
    Ok(section)
}

fn sizes(
    section: &mut Section,
    loaded: &Loaded,
    json: &Loaded,
    on_disk: f64,
    zstd: f64,
    peak: f64,
) {
    let raw = loaded.raw_bytes as f64;
    let rate = |loaded: &Loaded| loaded.raw_bytes as f64 / 1e6 / loaded.settled;
    section.target(
        "logs in",
        "≥ 30 MB/s per core",
        format!(
            "{} MB/s of raw lines per CPU-second, flushes and merges included",
            number(rate(loaded))
        ),
        rate(loaded) >= 30.0,
    );
    section.target(
        "size on disk",
        "≥ 12 × smaller than raw JSON",
        format!("{} × smaller; zstd −3 is {} ×", number(raw / on_disk), number(raw / zstd)),
        raw / on_disk >= 12.0,
    );
    let row = |name: &str, loaded: &Loaded| {
        vec![
            name.to_owned(),
            number(loaded.raw_bytes as f64 / 1e6 / loaded.cpu),
            number(rate(loaded)),
            number(loaded.sent_bytes as f64 / 1e6 / loaded.cpu),
            number(loaded.records as f64 / 1e3 / loaded.cpu),
            number(loaded.raw_bytes as f64 / 1e6 / loaded.wall.as_secs_f64()),
            loaded.refusals.to_string(),
        ]
    };
    section.say(&format!(
        "{:.2} M records, {} MB of raw lines ({:.0} bytes each). Per processor second of the server, until the last acknowledgement and until at rest:\n",
        loaded.records as f64 / 1e6,
        mb(raw),
        raw / loaded.records as f64
    ));
    section.table(
        &[
            "sent as",
            "raw MB/CPU-s",
            "at rest",
            "sent MB/CPU-s",
            "k records/CPU-s",
            "raw MB/s",
            "refused for the moment",
        ],
        &[row("OTLP protobuf", loaded), row("OTLP JSON (a tenth as many)", json)],
    );
    section.say("On disk:\n");
    let size = |name: &str, bytes: f64| {
        vec![name.to_owned(), mb(bytes), ratio(raw, bytes), number(bytes / loaded.records as f64)]
    };
    section.table(
        &["", "MB", "raw ÷ it", "bytes a record"],
        &[
            size("raw lines", raw),
            size("the same as OTLP protobuf", loaded.sent_bytes as f64),
            size("raw lines, zstd −3", zstd),
            size("Skopos, flushed and merged by its policy", on_disk),
        ],
    );
    section.say(&format!("Most memory while they came in: {} MB resident.\n", number(peak)));
}

fn search(
    section: &mut Section,
    server: &mut Server,
    loaded: &Loaded,
    compressed: &Path,
    setup: &Setup,
) -> Result<()> {
    let rounds = if setup.quick { 2 } else { 7 };
    let words = [("absent", data::ABSENT), ("rare", data::RARE), ("common", data::COMMON)];
    let mut rows = Vec::new();
    for (what, word) in words {
        let path = format!(
            "/api/v1/logs?contains={}&start={}&end={}&limit=100",
            encode(word),
            loaded.start_s,
            loaded.end_s
        );
        server.stop()?;
        server.drop_page_cache()?;
        server.start_again()?;
        let (cold, found) = ask(server, &path)?;
        let before = server.cpu_seconds();
        let mut warm = Spread::default();
        for _ in 0..rounds {
            warm.push(ask(server, &path)?.0);
        }
        let cpu = (server.cpu_seconds() - before) / rounds as f64;
        check_found(what, found)?;
        let count = count(server, loaded, word)?;
        drop_cached(compressed);
        let limit = format!("grep -F -m 100 -- {word}");
        let (grep_cold, ..) = grep(compressed, &limit)?;
        let (grep_warm, grep_cpu, lines) = grep(compressed, &limit)?;
        check_found(what, lines)?;
        let (grep_count, ..) = grep(compressed, &format!("grep -F -c -- {word}"))?;
        if what == "absent" {
            let for_10_gb = warm.median() * 10e9 / loaded.raw_bytes as f64;
            section.target(
                "search for an absent word, 10 GB warm",
                "< 1 s",
                format!(
                    "{} s, extrapolated from {} s over {} GB",
                    number(for_10_gb),
                    number(warm.median()),
                    number(loaded.raw_bytes as f64 / 1e9)
                ),
                for_10_gb < 1.0,
            );
        }
        rows.push(vec![
            format!("{what} (`{word}`)"),
            number(warm.median() * 1e3),
            number(cold * 1e3),
            number(cpu * 1e3),
            number(grep_warm * 1e3),
            number(grep_cold * 1e3),
            number(grep_cpu * 1e3),
            ratio(grep_warm, warm.median()),
            count.map_or("–".to_owned(), |(seconds, found)| {
                format!("{} ({found})", number(seconds * 1e3))
            }),
            number(grep_count * 1e3),
        ]);
        eprintln!("logs: {what}: {:.3} s warm, grep {grep_warm:.3} s", warm.median());
    }
    let head = [
        "newest 100 lines with a word",
        "warm, ms",
        "cold, ms",
        "CPU, ms",
        "zstdcat, grep −m 100: warm",
        "cold",
        "CPU, ms",
        "faster",
        "histogram of all, ms (found)",
        "zstdcat, grep −c",
    ];
    section.table(&head, &rows);
    section.say(&format!(
        "Warm: median of {rounds} after the first. Cold: the first after a restart, files dropped from the page cache. Skopos ignores case and answers with \
         the newest 100 as JSON; grep is told to look for fixed bytes and may stop at the first 100 lines."
    ));
    Ok(())
}

fn check_found(what: &str, found: u64) -> Result<()> {
    let expected = match what {
        "absent" => 0,
        "rare" => data::RARE_LINES,
        _ => 100,
    };
    if found != expected {
        bail!("{found} lines with the {what} word, not {expected}");
    }
    Ok(())
}

/// Asks once: seconds, and how many records came.
fn ask(server: &Server, path: &str) -> Result<(f64, u64)> {
    let began = Instant::now();
    let body = server.get_ok(path)?;
    let took = began.elapsed().as_secs_f64();
    let answer: serde_json::Value = serde_json::from_slice(&body).context("read records")?;
    let found = answer["data"]["logs"].as_array().context("no list of records")?.len() as u64;
    Ok((took, found))
}

/// Counts all matching records over time, where the server has that: seconds, and how many.
fn count(server: &Server, loaded: &Loaded, word: &str) -> Result<Option<(f64, u64)>> {
    let path = format!(
        "/api/v1/logs/histogram?contains={}&start={}&end={}&buckets=60",
        encode(word),
        loaded.start_s,
        loaded.end_s
    );
    let mut last = None;
    for _ in 0..2 {
        let began = Instant::now();
        let answer = server.get(&path)?;
        let took = began.elapsed().as_secs_f64();
        if answer.status != 200 {
            eprintln!("logs: no histogram: {}", String::from_utf8_lossy(&answer.body));
            return Ok(None);
        }
        let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
        last = Some((took, answer["data"]["total"].as_u64().context("no total")?));
    }
    Ok(last)
}

/// `zstdcat | grep`: seconds, processor seconds, lines.
fn grep(file: &Path, grep: &str) -> Result<(f64, f64, u64)> {
    // The shell tells its children's times when all is over; grep's answer goes before.
    let script = format!("zstdcat \"$0\" | LC_ALL=C {grep}; times");
    let began = Instant::now();
    let output = Command::new("bash").args(["-c", &script]).arg(file).output();
    let took = began.elapsed().as_secs_f64();
    let text = String::from_utf8(output.context("run zstdcat | grep")?.stdout)?;
    let lines: Vec<&str> = text.lines().collect();
    let times = lines.last().context("bash says no times")?;
    let cpu = times.split_whitespace().filter_map(shell_seconds).sum();
    // Without the two lines of `times`.
    Ok((took, cpu, lines.len() as u64 - 2))
}

/// `0m1.234s`.
fn shell_seconds(text: &str) -> Option<f64> {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m')?;
    Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
}

fn load(server: &Server, raw_bytes: u64, form: Form, raw_to: Option<&PathBuf>) -> Result<Loaded> {
    let end_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() as i64 - 60;
    let start_s = end_s - HOURS * 3_600;
    let mut zstd = raw_to.map(|path| compressor(path)).transpose()?;
    let before = server.cpu_seconds();
    let began = Instant::now();
    let (queue, bodies) = sync_channel::<Vec<u8>>(8);
    let bodies = Mutex::new(bodies);
    let mut made = (0, 0, 0);
    let sent: Vec<Result<usize>> = std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|_| scope.spawn(|| send(server, &bodies, form))).collect();
        let lines = Lines::new(start_s * 1_000_000_000, HOURS * 3_600, raw_bytes / LINE_BYTES);
        let produced = produce(lines, raw_bytes, form, zstd.as_mut(), queue);
        let joined = senders.into_iter().map(|sender| sender.join());
        let mut sent: Vec<_> =
            joined.map(|sent| sent.unwrap_or_else(|_| Err(anyhow!("a sender panicked")))).collect();
        match produced {
            Ok(produced) => made = produced,
            // A sender that ended is the reason, when there is one.
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
    if let Some(mut zstd) = zstd {
        drop(zstd.stdin.take());
        if !zstd.wait()?.success() {
            bail!("zstd failed");
        }
    }
    server.settle();
    let settled = server.cpu_seconds() - before;
    let (records, raw_bytes, sent_bytes) = made;
    eprintln!(
        "logs: {records} records, {} MB raw, {cpu:.1} s of processor, {settled:.1} at rest, {:.0} s",
        mb(raw_bytes as f64),
        wall.as_secs_f64()
    );
    // The last line may lie a little beyond, by the dice.
    let end_s = end_s + 60;
    Ok(Loaded { records, raw_bytes, sent_bytes, cpu, settled, wall, refusals, start_s, end_s })
}

fn compressor(path: &Path) -> Result<Child> {
    let mut command = Command::new("zstd");
    command.args(["-3", "-q", "-f", "-o"]).arg(path).stdin(Stdio::piped());
    command.spawn().context("start zstd (a Debian package of that name)")
}

fn send(server: &Server, bodies: &Mutex<Receiver<Vec<u8>>>, form: Form) -> Result<usize> {
    let mut sender = server.sender();
    let content_type = if form == Form::Json { otlp::JSON } else { otlp::PROTOBUF };
    loop {
        let body = bodies.lock().map_err(|_| anyhow!("a sender panicked"))?.recv();
        let Ok(body) = body else { return Ok(sender.refusals) };
        sender.otlp("logs", content_type, &body)?;
    }
}

/// Records, bytes of lines, bytes of requests.
fn produce(
    mut lines: Lines,
    raw_bytes: u64,
    form: Form,
    zstd: Option<&mut Child>,
    queue: SyncSender<Vec<u8>>,
) -> Result<(u64, u64, u64)> {
    let services = otlp::services();
    let mut raw_to = zstd.and_then(|child| child.stdin.as_mut());
    let mut waiting: Vec<Vec<Line>> = services.iter().map(|_| Vec::new()).collect();
    let mut text = String::new();
    let (mut records, mut raw, mut sent) = (0, 0, 0);
    let mut ship = |lines: &mut Vec<Line>, service: &Service| {
        let body = match form {
            Form::Protobuf => protobuf(lines, service),
            Form::Json => json(lines, service),
        };
        lines.clear();
        sent += body.len() as u64;
        queue.send(body).map_err(|_| anyhow!("nobody sends any more"))
    };
    // As many lines as were planned, or the rare ones would not all come.
    for _ in 0..raw_bytes / LINE_BYTES {
        let line = lines.next();
        let before = text.len();
        data::print(&line, &services, &mut text);
        raw += (text.len() - before) as u64;
        records += 1;
        if text.len() > 1 << 20 {
            if let Some(to) = &mut raw_to {
                to.write_all(text.as_bytes()).context("write to zstd")?;
            }
            text.clear();
        }
        let at = line.service;
        waiting[at].push(line);
        if waiting[at].len() >= RECORDS_PER_REQUEST {
            ship(&mut waiting[at], &services[at])?;
        }
    }
    for (lines, service) in waiting.iter_mut().zip(&services) {
        if !lines.is_empty() {
            ship(lines, service)?;
        }
    }
    if let Some(to) = &mut raw_to {
        to.write_all(text.as_bytes()).context("write to zstd")?;
    }
    Ok((records, raw, sent))
}

fn protobuf(lines: &[Line], service: &Service) -> Vec<u8> {
    let record = |line: &Line| LogRecord {
        time_unix_nano: line.time_ns as u64,
        observed_time_unix_nano: line.time_ns as u64,
        severity_number: line.severity.0,
        severity_text: line.severity.1.to_owned(),
        body: otlp::text(&line.message),
        attributes: otlp::attributes(&line.attributes),
        trace_id: line.trace.map(|(trace, _)| trace.to_vec()).unwrap_or_default(),
        span_id: line.trace.map(|(_, span)| span.to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    };
    let log_records = lines.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = otlp::resource(service);
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn json(lines: &[Line], service: &Service) -> Vec<u8> {
    use std::fmt::Write;
    let mut out = String::from(r#"{"resourceLogs":[{"resource":{"attributes":["#);
    let pairs = [
        ("service.name", service.name),
        ("service.instance.id", &service.instance),
        ("service.version", "1.42.0"),
        ("deployment.environment.name", otlp::ENVIRONMENT),
    ];
    for (i, (key, value)) in pairs.into_iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let _ = write!(out, r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    }
    out.push_str(r#"]},"scopeLogs":[{"logRecords":["#);
    for (i, line) in lines.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        let (number, text) = line.severity;
        let time = line.time_ns;
        let _ = write!(
            out,
            r#"{{"timeUnixNano":"{time}","observedTimeUnixNano":"{time}","severityNumber":{number},"severityText":"{text}","body":{{"stringValue":"#
        );
        data::print_text(&line.message, &mut out);
        out.push('}');
        if let Some((trace, span)) = &line.trace {
            let (trace, span) = (otlp::hex(trace), otlp::hex(span));
            let _ = write!(out, r#","traceId":"{trace}","spanId":"{span}""#);
        }
        out.push_str(r#","attributes":["#);
        for (i, (key, value)) in line.attributes.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            let _ = write!(out, r#"{{"key":"{key}","value":{{"#);
            let _ = match value {
                Attribute::Integer(number) => write!(out, r#""intValue":"{number}""#),
                Attribute::Float(number) => write!(out, r#""doubleValue":{number}"#),
                Attribute::Fixed(text) => {
                    out.push_str("\"stringValue\":");
                    data::print_text(text, &mut out);
                    Ok(())
                }
                Attribute::Text(text) => {
                    out.push_str("\"stringValue\":");
                    data::print_text(text, &mut out);
                    Ok(())
                }
            };
            out.push_str("}}");
        }
        out.push_str("]}");
    }
    out.push_str("]}]}]}");
    out.into_bytes()
}
