//! The contract of [`ScanEvents`](skopos_store::scan::ScanEvents): predicates, order, limits, traces, services, following.

mod visit;

use std::sync::Arc;

use regex::Regex;
use skopos_model::event::{
    Comparison, EventOrder, EventScan, EventSignal, Field, LogEvent, Predicate, SpanRecord,
};
use skopos_model::storage::{BudgetLimit, ErrorKind, QueryBudget};
use skopos_model::{LogBatch, TimeRange, Timestamp, TraceBatch, TraceId};
use skopos_store::event;
use skopos_store::scan::{Followed, Follower};

use super::compare::{rows, scan};
use super::{FullStore, NOW, append_logs, append_traces};
use crate::VirtualClock;
use crate::generate::{Random, log_batch, trace_batch};

/// Runs all cases of the contract for reading events.
pub async fn scan_suite<S: FullStore>(make: impl AsyncFn(Arc<VirtualClock>) -> S) {
    let fresh = async || make(Arc::new(VirtualClock::default())).await;
    everything_comes_back_as_it_was(&fresh().await).await;
    predicates_mean_what_the_model_says(&fresh().await).await;
    order_limit_range_and_projection(&fresh().await).await;
    equal_times_come_in_order_of_arrival(&fresh().await).await;
    traces_are_found_by_id(&fresh().await).await;
    services_and_operations_of_a_range(&fresh().await).await;
    follow_has_no_gap_and_no_repeat(&fresh().await).await;
    visit::signals_are_followed_in_one_order_of_arrival(&fresh().await).await;
    visit::a_visit_shows_every_event_once(&fresh().await).await;
    visit::pages_hold_every_event_once(&fresh().await).await;
    budgets_stop_a_scan(&fresh().await).await;
}

const SIGNALS: [EventSignal; 2] = [EventSignal::Logs, EventSignal::Spans];

/// Batches of both signals over half a minute.
fn batches(seed: u64, count: i64) -> Vec<(LogBatch, TraceBatch)> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|i| {
            // Not in time order: senders are not.
            let time = Timestamp(NOW.0 - (i * 7 % 30) * 1_000_000_000);
            (
                log_batch(&mut random, 1 + i as usize * 3 % 11, time),
                trace_batch(&mut random, 2, time),
            )
        })
        .collect()
}

async fn fill<S: FullStore>(store: &S, batches: &[(LogBatch, TraceBatch)]) {
    for (logs, traces) in batches {
        append_logs(store, logs.clone()).await;
        append_traces(store, traces.clone()).await;
    }
}

fn all(signal: EventSignal) -> EventScan {
    EventScan::new(signal, TimeRange::ALL)
}

async fn everything_comes_back_as_it_was<S: FullStore>(store: &S) {
    let batches = batches(1, 60);
    fill(store, &batches).await;
    let budget = QueryBudget::unlimited();
    let mut want: Vec<String> = batches
        .iter()
        .flat_map(|(logs, _)| &logs.groups)
        .flat_map(|g| g.records.iter().map(|r| format!("{:?} {:?} {r:?}", g.resource, g.scope)))
        .collect();
    let mut found = Vec::new();
    for batch in store.scan(&all(EventSignal::Logs), &budget).await.expect("scan") {
        for log in event::logs(&batch).expect("logs read back") {
            assert_eq!(log.id.time(), log.record.time);
            found.push(format!("{:?} {:?} {:?}", log.resource, log.scope, log.record));
        }
    }
    want.sort();
    found.sort();
    assert_eq!(found, want);

    let mut want: Vec<String> = batches
        .iter()
        .flat_map(|(_, traces)| &traces.groups)
        .flat_map(|g| g.spans.iter().map(|s| format!("{:?} {:?} {s:?}", g.resource, g.scope)))
        .collect();
    let mut found = Vec::new();
    for batch in store.scan(&all(EventSignal::Spans), &budget).await.expect("scan") {
        for span in event::spans(&batch).expect("spans read back") {
            assert_eq!(span.id.time(), span.span.start_time);
            found.push(format!("{:?} {:?} {:?}", span.resource, span.scope, span.span));
        }
    }
    want.sort();
    found.sort();
    assert_eq!(found, want);
}

/// Conditions on every field, alone and together.
pub fn conditions() -> Vec<Predicate> {
    use Predicate::{All, Any, Compare, Contains, Equals, Exists, Matches, Not};
    let attribute = |key: &str| Field::Attribute(key.into());
    let regex = |text: &str| Regex::new(text).expect("valid expression");
    let not = |p: Predicate| Not(Box::new(p));
    let trace = "07".repeat(16);
    vec![
        Equals(Field::Service, "payment-service".into()),
        not(Equals(Field::Service, "payment-service".into())),
        Equals(Field::Service, String::new()),
        Contains(Field::Service, "PAY".into()),
        Exists(Field::Name),
        Equals(Field::Name, "order.placed".into()),
        Matches(Field::Name, regex("^(GET|POST) ")),
        Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0),
        Compare(Field::Severity, Comparison::Less, 9.0),
        Equals(Field::Severity, "18".into()),
        Equals(Field::Severity, "ERROR".into()),
        Exists(Field::Severity),
        Contains(Field::Body, "DECLINED".into()),
        Contains(Field::Body, String::new()),
        Matches(Field::Body, regex("timeout for order [0-4]+$")),
        Exists(Field::Body),
        Equals(Field::Body, String::new()),
        Equals(Field::TraceId, trace.clone()),
        Equals(Field::TraceId, "nonsense".into()),
        not(Equals(Field::TraceId, trace)),
        Exists(Field::TraceId),
        not(Exists(Field::SpanId)),
        Exists(Field::ParentSpanId),
        Matches(Field::SpanId, regex("^[0-7]")),
        Equals(Field::Kind, "server".into()),
        Equals(Field::Status, "ERROR".into()),
        not(Equals(Field::Status, "ERROR".into())),
        Contains(Field::StatusMessage, "card".into()),
        Compare(Field::Duration, Comparison::Greater, 0.025),
        Compare(Field::Duration, Comparison::LessOrEqual, 0.01),
        Equals(Field::Scope, "shop".into()),
        Equals(attribute("http.route"), "/orders".into()),
        Equals(attribute("order.id"), "42".into()),
        Compare(attribute("order.id"), Comparison::Less, 100.0),
        Compare(attribute("amount"), Comparison::GreaterOrEqual, 50.0),
        Exists(attribute("amount")),
        not(Exists(attribute("amount"))),
        Exists(attribute("ratio")),
        Compare(attribute("ratio"), Comparison::Greater, 1.0),
        Equals(attribute("ratio"), "NaN".into()),
        // A float, not the text that stands for it in JSON.
        Equals(attribute("ratio"), "inf".into()),
        Equals(attribute("retry"), "true".into()),
        Contains(attribute("nested"), "zwei".into()),
        Exists(attribute("payload")),
        // Bytes print as JSON, in quotes.
        Matches(attribute("payload"), regex("^\".*\"$")),
        Compare(attribute("http.response.status_code"), Comparison::GreaterOrEqual, 500.0),
        Equals(attribute("deployment.environment.name"), "production".into()),
        Exists(attribute("absent")),
        Equals(Field::ResourceAttribute("service.name".into()), "payment-service".into()),
        Equals(Field::ResourceAttribute("order.id".into()), "42".into()),
        Compare(Field::EventAttribute("order.id".into()), Comparison::Less, 100.0),
        Equals(Field::EventAttribute("deployment.environment.name".into()), "production".into()),
        Exists(Field::ScopeAttribute("absent".into())),
        Contains(Field::Text, "Pool".into()),
        Contains(Field::Text, "card".into()),
        Contains(Field::Text, "stock \"".into()),
        Contains(Field::Text, "/PAY/{id}\n".into()),
        Matches(Field::Text, regex("(?is)order.*[0-4]")),
        not(Contains(Field::Text, "post".into())),
        Any((1..9).map(|n| Equals(Field::TraceId, format!("{n:02x}").repeat(16))).collect()),
        All(vec![]),
        Any(vec![]),
        All(vec![
            Equals(Field::Service, "order-service".into()),
            Any(vec![
                Compare(Field::Severity, Comparison::Greater, 12.0),
                Equals(Field::Kind, "client".into()),
            ]),
        ]),
        Any(vec![Contains(Field::Body, "pool".into()), Contains(Field::Body, "stock".into())]),
        Any(vec![
            Equals(Field::Service, "order-service".into()),
            Equals(Field::Service, "inventory-service".into()),
        ]),
    ]
}

async fn predicates_mean_what_the_model_says<S: FullStore>(store: &S) {
    fill(store, &batches(2, 80)).await;
    let budget = QueryBudget::unlimited();
    for signal in SIGNALS {
        let everything = store.scan(&all(signal), &budget).await.expect("scan");
        let mut hits = 0;
        let conditions = conditions();
        for (i, predicate) in conditions.iter().enumerate() {
            // Alone, and together with the next.
            for extra in [None, conditions.get(i + 1)] {
                let predicates: Vec<_> =
                    [Some(predicate), extra].into_iter().flatten().cloned().collect();
                let want = wanted(signal, &everything, &predicates);
                let found = scan(store, &EventScan { predicates, ..all(signal) }).await;
                assert_eq!(found, want, "{signal:?} {predicate:?} {extra:?}");
                hits += usize::from(!want.is_empty());
            }
        }
        assert!(hits > 20, "the conditions find something: {hits} of {signal:?}");
    }
}

/// What `Predicate::matches` accepts, in the given order.
fn wanted(
    signal: EventSignal,
    everything: &[arrow_array::RecordBatch],
    predicates: &[Predicate],
) -> Vec<String> {
    let mut want = Vec::new();
    for batch in everything {
        match signal {
            EventSignal::Logs => {
                for log in event::logs(batch).expect("logs read back") {
                    let event = LogEvent {
                        resource: &log.resource,
                        scope: &log.scope,
                        record: &log.record,
                    };
                    if predicates.iter().all(|p| p.matches(&event)) {
                        want.push(format!("{log:?}"));
                    }
                }
            }
            EventSignal::Spans => {
                for span in event::spans(batch).expect("spans read back") {
                    let event = SpanRecord {
                        resource: &span.resource,
                        scope: &span.scope,
                        span: &span.span,
                    };
                    if predicates.iter().all(|p| p.matches(&event)) {
                        want.push(format!("{span:?}"));
                    }
                }
            }
        }
    }
    want
}

async fn order_limit_range_and_projection<S: FullStore>(store: &S) {
    fill(store, &batches(3, 120)).await;
    let budget = QueryBudget::unlimited();
    for signal in SIGNALS {
        let oldest_first = scan(store, &all(signal)).await;
        let mut newest_first = oldest_first.clone();
        newest_first.reverse();
        let ids: Vec<_> = oldest_first.iter().map(|row| &row[..60]).collect();
        assert!(ids.is_sorted(), "ids ascend");
        for limit in [0, 1, 7, 100, 100_000] {
            for (order, want) in
                [(EventOrder::OldestFirst, &oldest_first), (EventOrder::NewestFirst, &newest_first)]
            {
                let found =
                    scan(store, &EventScan { limit: Some(limit), order, ..all(signal) }).await;
                assert_eq!(found, want[..limit.min(want.len())], "{order:?} {limit}");
            }
        }
        let start = Timestamp(NOW.0 - 10_000_000_000);
        let parts = [
            TimeRange::new(Timestamp::MIN, start),
            TimeRange::new(start, NOW),
            TimeRange::new(NOW, Timestamp::MAX),
        ];
        let mut pieces = Vec::new();
        for range in parts {
            let piece = scan(store, &EventScan::new(signal, range)).await;
            assert!(!piece.is_empty());
            pieces.extend(piece);
        }
        assert_eq!(pieces, oldest_first, "adjacent ranges have every event once");

        let columns = vec!["service".to_owned(), "time".to_owned()];
        let projected = EventScan { projection: Some(columns), limit: Some(5), ..all(signal) };
        let batches = store.scan(&projected, &budget).await.expect("scan");
        let count: usize = batches.iter().map(|b| b.num_rows()).sum();
        assert_eq!(count, 5);
        let schema = batches[0].schema();
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["service", "time"]);
        let unknown = EventScan { projection: Some(vec!["nope".into()]), ..all(signal) };
        let error = store.scan(&unknown, &budget).await.expect_err("no such column");
        assert_eq!(error.kind, ErrorKind::InvalidInput);
    }
}

async fn equal_times_come_in_order_of_arrival<S: FullStore>(store: &S) {
    let mut random = Random::new(8);
    for _ in 0..60 {
        let mut logs = log_batch(&mut random, 3, NOW);
        logs.groups.iter_mut().flat_map(|g| &mut g.records).for_each(|r| r.time = NOW);
        append_logs(store, logs).await;
    }
    let arrived = scan(store, &all(EventSignal::Logs)).await;
    assert_eq!(arrived.len(), 180);
    let mut newest_first = arrived.clone();
    newest_first.reverse();
    for limit in [1, 3, 10, 100] {
        for (order, want) in
            [(EventOrder::OldestFirst, &arrived), (EventOrder::NewestFirst, &newest_first)]
        {
            let limited = EventScan { limit: Some(limit), order, ..all(EventSignal::Logs) };
            assert_eq!(scan(store, &limited).await, want[..limit], "{order:?} {limit}");
        }
    }
}

async fn traces_are_found_by_id<S: FullStore>(store: &S) {
    let batches = batches(4, 40);
    fill(store, &batches).await;
    let budget = QueryBudget::unlimited();
    let spans = || batches.iter().flat_map(|(_, t)| &t.groups).flat_map(|g| &g.spans);
    for id in spans().map(|span| span.trace_id).step_by(7) {
        let mut want: Vec<_> = spans().filter(|s| s.trace_id == id).map(|s| s.span_id).collect();
        let mut found = Vec::new();
        let mut times = Vec::new();
        for batch in store.trace(id, &budget).await.expect("trace") {
            for span in event::spans(&batch).expect("spans read back") {
                assert_eq!(span.span.trace_id, id);
                found.push(span.span.span_id);
                times.push(span.span.start_time);
            }
        }
        assert!(times.is_sorted());
        want.sort();
        found.sort();
        assert_eq!(found, want);
    }
    for unknown in [TraceId([9; 16]), TraceId::INVALID] {
        assert!(store.trace(unknown, &budget).await.expect("trace").is_empty());
    }
}

async fn services_and_operations_of_a_range<S: FullStore>(store: &S) {
    let mut random = Random::new(5);
    append_traces(store, trace_batch(&mut random, 5, NOW)).await;
    let mut logs = log_batch(&mut random, 30, Timestamp(NOW.0 - 60_000_000_000));
    logs.groups.retain(|g| g.resource.service_name() == "inventory-service");
    append_logs(store, logs).await;
    let everyone = ["inventory-service", "order-service", "payment-service"];
    assert_eq!(store.services(TimeRange::ALL).await.expect("services"), everyone);
    let before = TimeRange::new(Timestamp::MIN, NOW);
    assert_eq!(store.services(before).await.expect("services"), everyone[..1]);
    let between = TimeRange::new(Timestamp(NOW.0 - 30_000_000_000), NOW);
    assert!(store.services(between).await.expect("services").is_empty());
    let mut traced = Vec::new();
    for service in everyone {
        if !store.operations(service, TimeRange::ALL).await.expect("operations").is_empty() {
            traced.push(service);
        }
    }
    assert_eq!(store.span_services(TimeRange::ALL).await.expect("services"), traced);
    assert!(store.span_services(before).await.expect("services").is_empty(), "only logs");

    let operations = store.operations("order-service", TimeRange::ALL).await.expect("operations");
    let shown: Vec<_> = operations.iter().map(|(n, k)| format!("{n} {k}")).collect();
    for want in ["GET /stock client", "POST /orders server", "POST /pay/{id} client"] {
        assert!(shown.iter().any(|s| s == want), "{want} in {shown:?}");
    }
    assert!(operations.is_sorted_by(|a, b| a < b), "sorted, each once");
    assert!(store.operations("order-service", before).await.expect("operations").is_empty());
    assert!(store.operations("nobody", TimeRange::ALL).await.expect("operations").is_empty());
}

async fn next_rows(follower: &mut Follower, signal: EventSignal) -> Vec<String> {
    match follower.next().await.expect("the store is open") {
        Followed::Batch(of, batch) => {
            assert_eq!(of, signal);
            rows(signal, &[batch])
        }
        Followed::Missed(n) => panic!("missed {n}"),
    }
}

async fn follow_has_no_gap_and_no_repeat<S: FullStore>(store: &S) {
    let batches = batches(6, 40);
    let (before, after) = batches.split_at(15);
    fill(store, before).await;
    let errors = Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0);
    for (signal, predicates) in [
        (EventSignal::Logs, vec![]),
        (EventSignal::Logs, vec![errors]),
        (EventSignal::Spans, vec![]),
    ] {
        let wanted = EventScan { predicates, ..all(signal) };
        let budget = QueryBudget::unlimited();
        let (snapshot, mut follower) = store.follow(&wanted, &budget).await.expect("follow");
        let mut seen = rows(signal, &snapshot);
        assert_eq!(seen, scan(store, &wanted).await);
        fill(store, after).await;
        let mut want = scan(store, &wanted).await;
        while seen.len() < want.len() {
            seen.extend(next_rows(&mut follower, signal).await);
        }
        seen.sort();
        want.sort();
        assert_eq!(seen, want);
    }
    let unknown = EventScan { projection: Some(vec!["nope".into()]), ..all(EventSignal::Logs) };
    let error = store.follow(&unknown, &QueryBudget::unlimited()).await.err();
    assert_eq!(error.map(|e| e.kind), Some(ErrorKind::InvalidInput));
}

async fn budgets_stop_a_scan<S: FullStore>(store: &S) {
    fill(store, &batches(7, 10)).await;
    let limit = BudgetLimit { max_samples: 3, ..BudgetLimit::default() };
    let budget = QueryBudget::new(limit, Arc::new(VirtualClock::default()));
    let error = store.scan(&all(EventSignal::Logs), &budget).await.expect_err("too many events");
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(error.message.contains("max_samples"), "{error}");
}
