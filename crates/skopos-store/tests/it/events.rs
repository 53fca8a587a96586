//! Events in Arrow: the documented schemas, merging, and followers that cannot keep up.

use std::sync::Arc;

use skopos_model::event::{EventScan, EventSignal, Field, Predicate};
use skopos_model::storage::{ErrorKind, QueryBudget};
use skopos_model::{
    AnyValue, Clock, EventId, LogBatch, LogRecord, Resource, Scope, SignalBatch, TimeRange,
};
use skopos_store::event::{self, LogBuilder};
use skopos_store::head::{Head, HeadConfig};
use skopos_store::scan::Followed;
use skopos_testkit::VirtualClock;
use skopos_testkit::conformance::compare::rows;
use skopos_testkit::generate::{Random, log_batch};

fn logs(random: &mut Random, n: usize) -> SignalBatch {
    SignalBatch::Logs(log_batch(random, n, VirtualClock::default().now()))
}

fn append(head: &Head, batch: SignalBatch) {
    head.apply(head.prepare(batch).batch);
}

fn all() -> EventScan {
    EventScan::new(EventSignal::Logs, TimeRange::ALL)
}

/// Other crates, SQL and stored files lean on names and types: a change here is a change of format.
#[test]
fn schemas_are_as_documented() {
    let shown = |schema: arrow_schema::SchemaRef| {
        let fields = schema.fields().iter();
        fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join("\n")
    };
    let (logs, spans) = (shown(event::log_schema()), shown(event::span_schema()));
    for column in ["id FixedSizeBinary(16)", "severity UInt8", "body Utf8", "exact Utf8"] {
        assert!(logs.lines().any(|line| line == column), "{column} in\n{logs}");
    }
    for column in ["duration UInt64", "events Utf8", "kind Dictionary(Int32, Utf8)"] {
        assert!(spans.lines().any(|line| line == column), "{column} in\n{spans}");
    }
    assert_eq!((logs.lines().count(), spans.lines().count()), (23, 29));
}

#[test]
fn one_by_one_and_all_at_once_read_the_same() {
    let mut random = Random::new(1);
    let LogBatch { groups } = log_batch(&mut random, 500, VirtualClock::default().now());
    let config = HeadConfig { segment_rows: 128, ..HeadConfig::default() };
    let heads = [0, 1].map(|_| Head::new(config.clone(), Arc::new(VirtualClock::default())));
    append(&heads[0], SignalBatch::Logs(LogBatch { groups: groups.clone() }));
    for group in groups {
        for record in group.records {
            let group = skopos_model::ScopedLogs {
                resource: Arc::clone(&group.resource),
                scope: Arc::clone(&group.scope),
                records: vec![record],
            };
            append(&heads[1], SignalBatch::Logs(LogBatch { groups: vec![group] }));
        }
    }
    let [at_once, one_by_one] = heads.map(|head| {
        let batches = head.scan(&all(), &QueryBudget::unlimited()).unwrap();
        rows(EventSignal::Logs, &batches)
    });
    assert_eq!(at_once.len(), 500);
    assert_eq!(one_by_one, at_once);
}

#[tokio::test]
async fn a_slow_follower_is_told_how_many_it_missed() {
    let config = HeadConfig { follow_ring_bytes: 100_000, ..HeadConfig::default() };
    let head = Head::new(config, Arc::new(VirtualClock::default()));
    let mut random = Random::new(2);
    append(&head, logs(&mut random, 10));
    let (snapshot, mut follower) = head.follow(&[all()], &QueryBudget::unlimited()).unwrap();
    assert_eq!(rows(EventSignal::Logs, &snapshot[0]).len(), 10);
    for _ in 0..200 {
        append(&head, logs(&mut random, 20));
    }
    let Some(Followed::Missed(missed)) = follower.next().await else {
        panic!("the ring is too small for all of it")
    };
    assert!((20..4000).contains(&missed), "{missed}");
    let mut seen = 0;
    while seen + missed < 4000 {
        match follower.next().await {
            Some(Followed::Batch(_, batch)) => seen += batch.num_rows() as u64,
            other => panic!("nothing more is missed: {other:?}"),
        }
    }
    assert_eq!(seen + missed, 4000, "every event is either seen or counted");

    // Once caught up it misses nothing, and it ends with the store.
    append(&head, logs(&mut random, 3));
    assert!(matches!(follower.next().await, Some(Followed::Batch(_, b)) if b.num_rows() == 3));
    drop(head);
    assert!(follower.next().await.is_none());
}

#[tokio::test]
async fn a_follower_gets_only_what_it_asked_for() {
    let head = Head::new(HeadConfig::default(), Arc::new(VirtualClock::default()));
    let wanted = EventScan {
        predicates: vec![Predicate::Equals(Field::Service, "payment-service".into())],
        projection: Some(vec!["service".into(), "id".into()]),
        ..all()
    };
    let (_, mut follower) = head.follow(&[wanted], &QueryBudget::unlimited()).unwrap();
    let mut random = Random::new(3);
    let batch = log_batch(&mut random, 100, VirtualClock::default().now());
    let of_payment = |g: &&skopos_model::ScopedLogs| g.resource.service_name() == "payment-service";
    let want: usize = batch.groups.iter().filter(of_payment).map(|g| g.records.len()).sum();
    append(&head, SignalBatch::Logs(batch));
    let Some(Followed::Batch(_, batch)) = follower.next().await else { panic!("a batch comes") };
    assert_eq!(batch.num_rows(), want);
    assert_eq!(batch.schema().field(0).name(), "service");
}

#[test]
fn projected_batches_are_not_read_as_records() {
    let mut builder = LogBuilder::default();
    let record = LogRecord { body: AnyValue::from("x"), ..LogRecord::default() };
    builder.push(EventId(1), &Resource::default(), &Scope::default(), &record);
    assert_eq!(builder.len(), 1);
    let batch = builder.finish();
    assert_eq!(event::logs(&batch).unwrap()[0].record, record);
    let error = event::logs(&batch.project(&[0, 1]).unwrap()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("observed_time"), "{error}");
    assert!(event::spans(&batch).is_err());
}
