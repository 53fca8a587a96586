//! What counting and searching over a million log records and a million spans costs, in memory and
//! in blocks: the reads behind the histogram, the facets, pages of logs and the search for traces.
//!
//! `cargo bench -p skopos-store --bench counts`. Each line names its work and the best of three runs.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use skopos_model::event::{Comparison, EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{Append, QueryBudget};
use skopos_model::{SignalBatch, TimeRange, Timestamp};
use skopos_store::event::{FacetCounter, KeyCounter, SeverityCounts};
use skopos_store::scan::{EventRows, ScanEvents};
use skopos_store::{BlockConfig, Store, StoreConfig, SyncPolicy};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::{Random, log_batch, trace_batch};

const NOW_MS: i64 = 1_700_000_000_000;
const EVENTS: usize = 1_000_000;
const BATCH: usize = 1_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn best<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut fastest = f64::MAX;
    let mut answer = None;
    for _ in 0..3 {
        let started = Instant::now();
        answer = Some(work());
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    println!("  {what}: {:.1} ms", fastest * 1e3);
    answer.expect("it ran")
}

/// Counts into a value and hands it back.
async fn fold<T: Send + 'static>(
    store: &Store,
    scan: &EventScan,
    state: T,
    mut add: impl FnMut(&mut T, &EventRows<'_>) + Send + 'static,
) -> T {
    let shared = Arc::new(Mutex::new(Some(state)));
    let taken = Arc::clone(&shared);
    let visitor = Box::new(move |events: &EventRows<'_>| {
        let mut state = taken.lock().unwrap_or_else(PoisonError::into_inner);
        add(state.as_mut().expect("there while visited"), events);
        Ok(ControlFlow::Continue(()))
    });
    store.visit(scan, &QueryBudget::unlimited(), visitor).await.expect("visit");
    shared.lock().unwrap_or_else(PoisonError::into_inner).take().expect("still there")
}

fn columns(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

fn measure(runtime: &tokio::runtime::Runtime, store: &Store) {
    let start = Timestamp::from_millis(NOW_MS - 1_000_000);
    let logs = |predicates: Vec<Predicate>| EventScan {
        predicates,
        ..EventScan::new(EventSignal::Logs, TimeRange::ALL)
    };
    let errors = || Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0);
    let text = |text: &str| Predicate::Contains(Field::Text, text.to_owned());
    for (what, predicates) in [
        ("histogram of all records", vec![]),
        ("histogram of level>=error", vec![errors()]),
        ("histogram of \"pool timeout\"", vec![text("pool timeout")]),
        ("histogram of an absent word", vec![text("absentword")]),
        (
            "histogram of order.id>400",
            vec![Predicate::Compare(
                Field::Attribute("order.id".into()),
                Comparison::Greater,
                400.0,
            )],
        ),
    ] {
        let scan = EventScan { projection: columns(&SeverityCounts::COLUMNS), ..logs(predicates) };
        let total = best(what, || {
            let step = std::time::Duration::from_secs(20);
            let counts = SeverityCounts::new(start, step, 60);
            let add = |counts: &mut SeverityCounts, events: &EventRows<'_>| {
                counts.add(events).expect("count");
            };
            runtime.block_on(fold(store, &scan, counts, add)).total()
        });
        println!("    {total} records");
    }
    for (what, fields) in [
        ("facets service, severity", vec![Field::Service, Field::Severity]),
        (
            "facets service, severity, http.route, order.id",
            vec![
                Field::Service,
                Field::Severity,
                Field::Attribute("http.route".into()),
                Field::Attribute("order.id".into()),
            ],
        ),
    ] {
        let names = FacetCounter::new(fields.clone(), QueryBudget::unlimited());
        let scan =
            EventScan { projection: columns(&names.columns(EventSignal::Logs)), ..logs(vec![]) };
        best(what, || {
            let counter = FacetCounter::new(fields.clone(), QueryBudget::unlimited());
            let add = |counter: &mut FacetCounter, events: &EventRows<'_>| {
                counter.add(events).expect("count");
            };
            runtime.block_on(fold(store, &scan, counter, add)).finish(10)
        });
    }
    let scan = EventScan { projection: columns(&KeyCounter::COLUMNS), ..logs(vec![]) };
    best("names of attributes of all records", || {
        let add = |keys: &mut KeyCounter, events: &EventRows<'_>| keys.add(events).expect("count");
        runtime.block_on(fold(store, &scan, KeyCounter::default(), add)).keys().len()
    });
    let page = |predicates, signal| EventScan {
        predicates,
        order: EventOrder::NewestFirst,
        limit: Some(100),
        ..EventScan::new(signal, TimeRange::ALL)
    };
    for (what, predicates) in
        [("newest 100 records", vec![]), ("newest 100 of level>=error", vec![errors()])]
    {
        let scan = page(predicates, EventSignal::Logs);
        best(what, || {
            runtime.block_on(store.scan(&scan, &QueryBudget::unlimited())).expect("scan")
        });
    }
    let failed = vec![
        Predicate::Equals(Field::Status, "ERROR".into()),
        Predicate::Compare(Field::Duration, Comparison::Greater, 0.045),
    ];
    for (what, predicates) in [
        ("newest 320 spans", vec![]),
        ("newest 320 of status=error duration>45ms", failed.clone()),
        ("newest 320 spans with an absent word", vec![text("absentword")]),
    ] {
        let scan = EventScan {
            projection: columns(&["id", "trace_id"]),
            limit: Some(320),
            ..page(predicates, EventSignal::Spans)
        };
        best(what, || {
            runtime.block_on(store.scan(&scan, &QueryBudget::unlimited())).expect("scan")
        });
    }
    // Twenty traces by id, as a search gathers their summaries.
    let scan = EventScan { limit: Some(400), ..page(failed, EventSignal::Spans) };
    let batches = runtime.block_on(store.scan(&scan, &QueryBudget::unlimited())).expect("scan");
    let mut ids: Vec<String> = Vec::new();
    for batch in &batches {
        for span in skopos_store::event::spans(batch).expect("spans") {
            ids.push(span.span.trace_id.to_string());
        }
    }
    ids.dedup();
    ids.truncate(20);
    let wanted = ids.into_iter().map(|id| Predicate::Equals(Field::TraceId, id)).collect();
    let scan = EventScan {
        predicates: vec![Predicate::Any(wanted)],
        projection: columns(&["trace_id", "service", "name", "time", "duration"]),
        ..EventScan::new(EventSignal::Spans, TimeRange::ALL)
    };
    let spans = best("spans of twenty traces", || {
        let add = |count: &mut usize, events: &EventRows<'_>| *count += events.len();
        runtime.block_on(fold(store, &scan, 0, add))
    });
    println!("    {spans} spans");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(NOW_MS)));
    let config = StoreConfig {
        sync: SyncPolicy::Interval(std::time::Duration::from_secs(1)),
        blocks: BlockConfig { automatic: false, ..BlockConfig::default() },
        max_head_bytes: 8 << 30,
        ..StoreConfig::new(folder.path())
    };
    let store = Store::open(config, clock).expect("a store");
    let mut random = Random::new(1);
    let mut spans = 0;
    for i in 0..EVENTS / BATCH {
        let time = Timestamp::from_millis(NOW_MS - (EVENTS / BATCH - i) as i64 * 1000);
        let logs = SignalBatch::Logs(log_batch(&mut random, BATCH, time));
        runtime.block_on(store.append(logs)).expect("append");
        let traces = trace_batch(&mut random, BATCH * 2 / 11, time);
        spans += traces.groups.iter().map(|g| g.spans.len()).sum::<usize>();
        runtime.block_on(store.append(SignalBatch::Traces(traces))).expect("append");
    }
    println!("{EVENTS} records, {spans} spans in memory");
    measure(&runtime, &store);
    runtime.block_on(store.flush()).expect("flush");
    println!("in blocks");
    measure(&runtime, &store);
}
