//! Reading without holding, page by page, and both signals at once.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use skopos_model::event::{Comparison, EventOrder, EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{TimeRange, Timestamp};
use skopos_store::event;
use skopos_store::scan::{EventRows, Followed};

use super::{SIGNALS, all, batches, conditions, fill};
use crate::conformance::compare::{rows, scan};
use crate::conformance::{FullStore, NOW, append_logs};
use crate::generate::{Random, log_batch};

pub(super) async fn signals_are_followed_in_one_order_of_arrival<S: FullStore>(store: &S) {
    let batches = batches(9, 30);
    let (before, after) = batches.split_at(10);
    fill(store, before).await;
    let errors = Predicate::Compare(Field::Severity, Comparison::GreaterOrEqual, 17.0);
    let scans =
        [EventScan { predicates: vec![errors], ..all(EventSignal::Logs) }, all(EventSignal::Spans)];
    let budget = QueryBudget::unlimited();
    let (stored, mut follower) = store.follow_all(&scans, &budget).await.expect("follow");
    let mut seen: Vec<(u64, String)> = Vec::new();
    for (signal, batches) in SIGNALS.into_iter().zip(&stored) {
        assert_eq!(rows(signal, batches), scan(store, &scans[signal as usize]).await);
    }
    fill(store, after).await;
    let mut want = 0;
    for (signal, stored) in SIGNALS.into_iter().zip(&stored) {
        let now = scan(store, &scans[signal as usize]).await;
        want += now.len() - rows(signal, stored).len();
    }
    while seen.len() < want {
        let Followed::Batch(signal, batch) = follower.next().await.expect("the store is open")
        else {
            panic!("nothing is missed")
        };
        let ids = match signal {
            EventSignal::Logs => {
                event::logs(&batch).expect("logs").iter().map(|l| l.id).collect::<Vec<_>>()
            }
            EventSignal::Spans => {
                event::spans(&batch).expect("spans").iter().map(|s| s.id).collect()
            }
        };
        // The lower half of an id counts arrivals.
        seen.extend(
            ids.into_iter().zip(rows(signal, &[batch])).map(|(id, row)| (id.0 as u64, row)),
        );
    }
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "one order of arrival");
}

pub(super) async fn a_visit_shows_every_event_once<S: FullStore>(store: &S) {
    fill(store, &batches(10, 20)).await;
    let budget = QueryBudget::unlimited();
    let start = Timestamp(NOW.0 - 20_000_000_000);
    let conditions = conditions();
    for signal in SIGNALS {
        for range in [TimeRange::ALL, TimeRange::new(start, NOW)] {
            for i in (0..conditions.len()).step_by(5) {
                let predicates = conditions[i..(i + 1 + i % 2).min(conditions.len())].to_vec();
                let wanted = EventScan {
                    predicates,
                    limit: Some(1),
                    range,
                    ..EventScan::new(signal, range)
                };
                let shown = visited(store, &wanted, &budget).await;
                let mut seen = rows(signal, &shown);
                let mut want = scan(store, &EventScan { limit: None, ..wanted.clone() }).await;
                seen.sort();
                want.sort();
                assert_eq!(seen, want, "{signal:?} {:?}", wanted.predicates);
                // With fewer columns the same rows.
                let columns = Some(vec!["service".to_owned(), "id".to_owned()]);
                let few = EventScan { projection: columns, ..wanted };
                let few = visited(store, &few, &budget).await;
                assert_eq!(few.iter().map(RecordBatch::num_rows).sum::<usize>(), want.len());
                assert!(few.iter().all(|batch| batch.num_columns() == 2));
            }
        }
    }
    // It ends when the visitor has enough, and with the visitor's error.
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let once = Box::new(move |_: &EventRows<'_>| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(ControlFlow::Break(()))
    });
    store.visit(&all(EventSignal::Logs), &budget, once).await.expect("visit");
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let fails = Box::new(|_: &EventRows<'_>| {
        Err(StorageError::new(ErrorKind::Cancelled, "the visitor has gone"))
    });
    let error = store.visit(&all(EventSignal::Logs), &budget, fails).await.expect_err("fails");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let unknown = EventScan { projection: Some(vec!["nope".into()]), ..all(EventSignal::Logs) };
    let never = Box::new(|_: &EventRows<'_>| Ok(ControlFlow::Continue(())));
    let error = store.visit(&unknown, &budget, never).await.expect_err("no such column");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}

async fn visited<S: FullStore>(
    store: &S,
    wanted: &EventScan,
    budget: &QueryBudget,
) -> Vec<RecordBatch> {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&shown);
    let visitor = Box::new(move |events: &EventRows<'_>| {
        taken.lock().unwrap_or_else(PoisonError::into_inner).push(events.to_batch()?);
        Ok(ControlFlow::Continue(()))
    });
    store.visit(wanted, budget, visitor).await.expect("visit");
    std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(super) async fn pages_hold_every_event_once<S: FullStore>(store: &S) {
    let mut random = Random::new(12);
    for _ in 0..30 {
        // Many of the same time: only ids tell them apart.
        let mut logs = log_batch(&mut random, 5, NOW);
        let records = logs.groups.iter_mut().flat_map(|g| &mut g.records);
        records.for_each(|r| r.time = Timestamp(r.time.0 / 400_000_000 * 400_000_000));
        append_logs(store, logs).await;
    }
    for order in [EventOrder::OldestFirst, EventOrder::NewestFirst] {
        let whole = EventScan { order, ..all(EventSignal::Logs) };
        let want = scan(store, &whole).await;
        for limit in [1, 4, 149, 150, 151] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let page = EventScan { limit: Some(limit), after, ..whole.clone() };
                let batches = store.scan(&page, &QueryBudget::unlimited()).await.expect("scan");
                let page = rows(EventSignal::Logs, &batches);
                let logs = batches.iter().flat_map(|batch| event::logs(batch).expect("logs"));
                after = logs.last().map(|log| log.id);
                seen.extend(page);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, want, "{order:?} {limit}");
        }
        // A visit knows it too.
        let some = EventScan { limit: Some(7), ..whole.clone() };
        let batches = store.scan(&some, &QueryBudget::unlimited()).await.expect("scan");
        let last = batches.iter().flat_map(|b| event::logs(b).expect("logs")).last().map(|l| l.id);
        let rest = EventScan { after: last, ..whole };
        let shown = visited(store, &rest, &QueryBudget::unlimited()).await;
        let count: usize = shown.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(count + 7, want.len());
    }
}
