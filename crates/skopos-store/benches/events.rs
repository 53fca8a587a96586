//! What log records and spans cost: processor time until they are in merged blocks, bytes there, and
//! the look-up of a trace.
//!
//! `cargo bench -p skopos-store --bench events`: lines and traces as eight services of a shop leave
//! them, from a fixed seed, flushed eight times and merged by fours, on a real folder. What is random
//! in them is what it is in `cargo xtask bench store logs traces`, which is the comparison: a trace id
//! in about four lines or ten spans, a span id in each. Processor time of the process, all threads, from
//! `/proc/self/stat`, so Linux only. `SKOPOS_BENCH_RECORDS` sets how many (default 400,000 of each).

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use skopos_model::storage::{Append, QueryBudget};
use skopos_model::{
    Attributes, LogBatch, LogRecord, Resource, ScopedLogs, ScopedSpans, SeverityNumber,
    SignalBatch, Span, SpanId, SpanKind, Timestamp, TraceBatch, TraceId,
};
use skopos_store::scan::ScanEvents;
use skopos_store::{BlockConfig, Store, StoreConfig, SyncPolicy};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::{Random, resource};

const NOW_MS: i64 = 1_700_000_000_000;
const SERVICES: [&str; 8] =
    ["gateway", "orders", "catalog", "search", "carts", "accounts", "payments", "reviews"];
const ROUTES: [&str; 4] = ["/api/orders/{id}", "/api/catalog/{id}", "/api/cart", "/api/search"];
const STATEMENTS: [&str; 3] = [
    "SELECT id, status, total FROM orders WHERE id = $1",
    "SELECT * FROM products WHERE category = $1 ORDER BY rank LIMIT 50",
    "UPDATE carts SET updated_at = now() WHERE customer_id = $1",
];
const PER_REQUEST: usize = 512;
const FLUSHES: usize = 8;
const SPANS_PER_TRACE: usize = 10;
const LOOK_UPS: usize = 1_000;

fn main() {
    let records = std::env::var("SKOPOS_BENCH_RECORDS").ok().and_then(|n| n.parse().ok());
    let records: usize = records.unwrap_or(400_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let senders: Vec<Arc<Resource>> = SERVICES.iter().map(|name| resource(name)).collect();
    runtime.block_on(logs(records, &senders));
    runtime.block_on(spans(records, &senders));
}

fn open(folder: &Path) -> Store {
    let config = StoreConfig {
        sync: SyncPolicy::Interval(std::time::Duration::from_secs(1)),
        blocks: BlockConfig { automatic: false, ..BlockConfig::default() },
        max_head_bytes: 8 << 30,
        ..StoreConfig::new(folder)
    };
    let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(NOW_MS)));
    Store::open(config, clock).expect("a store")
}

async fn logs(records: usize, senders: &[Arc<Resource>]) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut lines = Lines { random: Random::new(1), now_ns: (NOW_MS - 3_600_000) * 1_000_000 };
    // Two lines are of one service and one of another.
    let mut waiting: Vec<Vec<LogRecord>> = vec![Vec::new(); senders.len()];
    let mut batches = Vec::new();
    let mut made = 0;
    while made < records {
        for (service, line) in lines.request() {
            waiting[service].push(line);
            made += 1;
            if waiting[service].len() >= PER_REQUEST {
                let (resource, records) =
                    (Arc::clone(&senders[service]), std::mem::take(&mut waiting[service]));
                let group = ScopedLogs { resource, scope: Arc::default(), records };
                batches.push(SignalBatch::Logs(LogBatch { groups: vec![group] }));
            }
        }
    }
    load("log records", &store, batches, folder.path()).await;
}

struct Lines {
    random: Random,
    now_ns: i64,
}

impl Lines {
    /// The lines of one request, and of work in the background now and then.
    fn request(&mut self) -> Vec<(usize, LogRecord)> {
        let mut lines = Vec::new();
        let (trace, id) = (TraceId(self.random.bytes()), self.random.below(1 << 23));
        let route = *self.random.pick(&ROUTES);
        let path = route.replace("{id}", &id.to_string());
        let took = self.random.below(200_000) as f64 / 1e3;
        let service = 1 + self.random.below(7) as usize;
        let customer = format!("cus_{:08x}", self.random.below(200_000));
        let address = format!("203.{}.{}.7", self.random.below(4), self.random.below(256));
        let of = |pairs: &[(&str, &str)]| Attributes::from_iter(pairs.iter().copied());
        let took_text = took.to_string();
        for (at, body, attributes) in [
            (
                service,
                format!("order {id} loaded for {customer}"),
                of(&[("customer.id", &customer)]),
            ),
            (
                service,
                format!("query finished in {took:.2} ms"),
                of(&[
                    ("db.system.name", "postgresql"),
                    ("db.query.text", *self.random.pick(&STATEMENTS)),
                    ("thread.name", &format!("worker-{}", self.random.below(16))),
                ]),
            ),
            (
                0,
                format!("GET {path} 200 {took:.1}ms"),
                of(&[
                    ("http.request.method", "GET"),
                    ("url.path", &path),
                    ("http.route", route),
                    ("http.response.status_code", "200"),
                    ("duration_ms", &took_text),
                    ("client.address", &address),
                ]),
            ),
        ] {
            let span = SpanId(self.random.bytes());
            lines.push((at, self.line(body, attributes, Some((trace, span)))));
        }
        if self.random.one_in(2) {
            let body = format!("job {} finished", self.random.below(1 << 24));
            let thread = format!("worker-{}", self.random.below(16));
            let service = self.random.below(8) as usize;
            lines.push((service, self.line(body, of(&[("thread.name", &thread)]), None)));
        }
        lines
    }

    fn line(
        &mut self,
        body: String,
        attributes: Attributes,
        trace: Option<(TraceId, SpanId)>,
    ) -> LogRecord {
        self.now_ns += self.random.below(9_200_000) as i64;
        let time = Timestamp(self.now_ns);
        let (trace_id, span_id) = trace.unwrap_or_default();
        LogRecord {
            time,
            observed_time: time,
            severity: SeverityNumber(9),
            severity_text: "INFO".into(),
            body: body.as_str().into(),
            attributes,
            trace_id,
            span_id,
            ..LogRecord::default()
        }
    }
}

async fn spans(records: usize, senders: &[Arc<Resource>]) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut random = Random::new(2);
    let mut waiting: Vec<Vec<Span>> = vec![Vec::new(); senders.len()];
    let (mut batches, mut ids) = (Vec::new(), Vec::new());
    let mut now_ns = (NOW_MS - 3_600_000) * 1_000_000;
    while ids.len() * SPANS_PER_TRACE < records {
        now_ns += random.below(40_000_000) as i64;
        let id = TraceId(random.bytes());
        ids.push(id);
        for (service, span) in trace(&mut random, id, now_ns) {
            waiting[service].push(span);
        }
        for (resource, waiting) in senders.iter().zip(&mut waiting) {
            if waiting.len() >= PER_REQUEST {
                let (resource, spans) = (Arc::clone(resource), std::mem::take(waiting));
                let group = ScopedSpans { resource, scope: Arc::default(), spans };
                batches.push(SignalBatch::Traces(TraceBatch { groups: vec![group] }));
            }
        }
    }
    load("spans", &store, batches, folder.path()).await;

    // What waits at the end has not been sent.
    let sent = ids.len() * 9 / 10;
    let mut took = Vec::new();
    let (cpu, mut found) = (cpu_seconds(), 0);
    for _ in 0..LOOK_UPS {
        let id = ids[random.below(sent as u64) as usize];
        let began = Instant::now();
        let batches = store.trace(id, &QueryBudget::unlimited()).await.expect("a trace");
        took.push(began.elapsed().as_secs_f64() * 1e3);
        found += batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    assert!(found > LOOK_UPS * SPANS_PER_TRACE * 9 / 10, "{found} spans found");
    took.sort_by(f64::total_cmp);
    println!(
        "trace by id: {:.2} ms of processor, {:.2} ms at the median, {:.2} ms p99, of {LOOK_UPS}",
        (cpu_seconds() - cpu) * 1e3 / LOOK_UPS as f64,
        took[LOOK_UPS / 2],
        took[LOOK_UPS * 99 / 100],
    );
}

/// An entry, and three calls that are handled elsewhere with a query each.
fn trace(random: &mut Random, trace_id: TraceId, start_ns: i64) -> Vec<(usize, Span)> {
    let took_ns = 1_000_000 + random.below(120_000_000) as i64;
    let route = *random.pick(&ROUTES);
    let root = SpanId(random.bytes());
    let mut spans = Vec::new();
    let mut add =
        |random: &mut Random, service, (span_id, parent_span_id), kind, name: &str, from, to| {
            let path = route.replace("{id}", &random.below(1 << 23).to_string());
            let worker = format!("worker-{}", random.below(16));
            let attributes = match kind {
                SpanKind::Internal => vec![
                    ("db.system.name", "postgresql"),
                    ("db.query.text", *random.pick(&STATEMENTS)),
                    ("server.address", "db.shop.internal"),
                    ("thread.name", &*worker),
                ],
                _ => vec![
                    ("http.request.method", "GET"),
                    ("http.route", route),
                    ("url.path", &*path),
                    ("http.response.status_code", "200"),
                    ("thread.name", &*worker),
                ],
            };
            spans.push((
                service,
                Span {
                    trace_id,
                    span_id,
                    parent_span_id,
                    name: name.into(),
                    kind,
                    start_time: Timestamp(from),
                    end_time: Timestamp(to),
                    attributes: Attributes::from_iter(attributes),
                    ..Span::default()
                },
            ));
        };
    let name = format!("GET {route}");
    let end = start_ns + took_ns;
    add(random, 0, (root, SpanId::INVALID), SpanKind::Server, &name, start_ns, end);
    let third = took_ns / 3;
    for call in 0..3 {
        let service = 1 + random.below(7) as usize;
        let from = start_ns + call * third + random.below(third as u64 / 8) as i64;
        let to = from + third - third / 8;
        let [client, server, query] = [0; 3].map(|_| SpanId(random.bytes()));
        add(random, 0, (client, root), SpanKind::Client, "GET", from, to);
        add(random, service, (server, client), SpanKind::Server, &name, from + 9_000, to - 9_000);
        add(
            random,
            service,
            (query, server),
            SpanKind::Internal,
            "SELECT",
            from + 50_000,
            to - 50_000,
        );
    }
    spans
}

/// Sends, flushes and merges, and says what it took.
async fn load(what: &str, store: &Store, batches: Vec<SignalBatch>, folder: &Path) {
    let rows: usize = batches.iter().map(SignalBatch::len).sum();
    let each = batches.len().div_ceil(FLUSHES).max(1);
    let began = cpu_seconds();
    let mut batches = batches.into_iter().peekable();
    let mut flushing = 0.0;
    while batches.peek().is_some() {
        for batch in batches.by_ref().take(each) {
            store.append(batch).await.expect("append");
        }
        let before = cpu_seconds();
        store.flush().await.expect("flush");
        flushing += cpu_seconds() - before;
    }
    let flushed = bytes_of(&folder.join("default/blocks"));
    let before = cpu_seconds();
    store.maintain().await.expect("maintain");
    let merging = cpu_seconds() - before;
    let merged = bytes_of(&folder.join("default/blocks"));
    let per = |n: f64| n / rows as f64;
    println!(
        "{rows} {what}: {:.2} µs of processor each ({:.2} flushing, {:.2} merging); {:.2} bytes each \
         flushed, {:.2} merged",
        per((cpu_seconds() - began) * 1e6),
        per(flushing * 1e6),
        per(merging * 1e6),
        per(flushed as f64),
        per(merged as f64),
    );
    if let Some(keep) = std::env::var_os("SKOPOS_BENCH_KEEP") {
        let to = Path::new(&keep).join(what.replace(' ', "-"));
        std::fs::create_dir_all(&to).expect("a folder for what is kept");
        for entry in std::fs::read_dir(folder.join("default/blocks")).expect("blocks") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("blocks");
    files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
}

/// Processor seconds of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: utime and stime are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok());
    (ticks(11).unwrap_or(f64::NAN) + ticks(12).unwrap_or(f64::NAN)) / 100.0
}
