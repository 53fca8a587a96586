//! What a query may use is bounded, and reaching a bound is an error that names it.

use std::sync::Arc;
use std::time::Duration;

use skopos_model::event::{EventSignal, Field, Predicate};
use skopos_model::storage::{BudgetLimit, ErrorKind, MemoryPool, QueryBudget};
use skopos_model::{SignalBatch, TimeRange, Timestamp};
use skopos_sql::{SqlError, SqlQuery};
use skopos_testkit::VirtualClock;
use skopos_testkit::generate::{Random, log_batch};

use crate::data::{Bench, Place, START_MS, shop};

fn many_logs() -> Vec<SignalBatch> {
    let mut random = Random::new(7);
    let time = Timestamp::from_millis(START_MS);
    (0..10).map(|_| SignalBatch::Logs(log_batch(&mut random, 1_000, time))).collect()
}

fn budget(limit: BudgetLimit) -> QueryBudget {
    QueryBudget::new(limit, Arc::new(VirtualClock::default()))
}

#[tokio::test]
async fn rows_read_are_bounded() {
    let bench = Bench::new(many_logs(), Place::Both).await;
    let limit = BudgetLimit { max_samples: 5_000, ..BudgetLimit::default() };
    let error = bench.ask(SqlQuery::new("SELECT count(*) FROM logs", budget(limit))).await;
    match error {
        Err(SqlError::Storage(error)) => {
            assert_eq!(error.kind, ErrorKind::ResourceExhausted);
            assert!(error.message.contains("max_samples = 5000"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    bench.close().await;
}

#[tokio::test]
async fn memory_is_bounded_and_others_go_on() {
    let bench = Bench::new(many_logs(), Place::Head).await;
    let sql = "SELECT body, attributes, count(*) FROM logs GROUP BY body, attributes ORDER BY 3";
    let pool = MemoryPool::new(1 << 20);
    let query = |max_bytes| {
        let limit = BudgetLimit { max_bytes, ..BudgetLimit::default() };
        let clock = Arc::new(VirtualClock::default());
        SqlQuery::new(sql, QueryBudget::in_pool(limit, clock, pool.clone()))
    };
    let error = bench.ask(query(256 << 10)).await.unwrap_err();
    assert!(matches!(error, SqlError::Memory { .. }), "{error:?}");
    assert!(error.to_string().contains("max_bytes = 262144"), "{error}");
    assert_eq!(pool.used_bytes(), 0, "all is given back");
    let error = bench.ask(query(1 << 30)).await.unwrap_err();
    assert!(error.to_string().contains("query_pool_bytes = 1048576"), "{error}");
    assert_eq!(pool.used_bytes(), 0, "all is given back");
    assert!(error.hint().is_some());
    assert!(bench.query(sql).await.is_ok());
    bench.close().await;
}

/// There are two threads: queries that kept theirs would keep everybody waiting.
#[tokio::test]
async fn a_join_past_its_deadline_gives_its_thread_back() {
    let bench = Bench::new(many_logs(), Place::Head).await;
    for sql in [
        "SELECT a.body || b.body FROM logs a CROSS JOIN logs b, logs c ORDER BY 1 LIMIT 5",
        "SELECT count(*) FROM logs a JOIN logs b ON a.body <> b.body JOIN logs c ON c.id > a.id",
        "SELECT max(u) FROM (SELECT unnest(range(0, 100000000)) AS u FROM logs)",
    ] {
        let clock = Arc::new(VirtualClock::default());
        let limit = BudgetLimit { timeout: Some(Duration::from_secs(5)), ..BudgetLimit::default() };
        let asked = bench.ask(SqlQuery::new(sql, QueryBudget::new(limit, clock.clone())));
        let advance = async {
            // The query is under way, or not yet: either way it is over once the clock has moved.
            tokio::time::sleep(Duration::from_millis(50)).await;
            clock.advance(Duration::from_secs(6));
        };
        let answer = tokio::join!(asked, advance).0;
        assert!(answer.is_err(), "{sql}: {answer:?}");
        assert!(bench.query("SELECT 1").await.is_ok(), "after {sql}");
    }
    bench.close().await;
}

#[tokio::test]
async fn a_query_that_reads_nothing_ends_at_its_deadline_too() {
    let bench = Bench::new(shop(), Place::Head).await;
    let clock = Arc::new(VirtualClock::default());
    let limit = BudgetLimit { timeout: Some(Duration::from_secs(5)), ..BudgetLimit::default() };
    let budget = QueryBudget::new(limit, clock.clone());
    let sql = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let asked = bench.ask(SqlQuery::new(sql, budget));
    let advance = async {
        // The query is under way, or not yet: either way it is over once the clock has moved.
        tokio::time::sleep(Duration::from_millis(50)).await;
        clock.advance(Duration::from_secs(6));
    };
    match tokio::join!(asked, advance).0 {
        Err(SqlError::Storage(error)) => assert_eq!(error.kind, ErrorKind::DeadlineExceeded),
        other => panic!("{other:?}"),
    }
    bench.close().await;
}

#[tokio::test]
async fn dropping_the_rows_stops_the_query() {
    let bench = Bench::new(many_logs(), Place::Both).await;
    let budget = QueryBudget::unlimited();
    let query = SqlQuery::new("SELECT * FROM logs a, logs b", budget.clone());
    let mut rows = bench.engine.run(query).await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    drop(rows);
    assert_eq!(budget.check().unwrap_err().kind, ErrorKind::Cancelled);
    // Closing waits for reads of the store: an endless one would hang here.
    bench.close().await;
}

#[tokio::test]
async fn a_limit_below_leaves_the_rest_of_the_query_its_budget() {
    let bench = Bench::new(many_logs(), Place::Both).await;
    let sql = "SELECT (SELECT count(*) FROM logs), body FROM (SELECT body FROM logs LIMIT 1) x \
               UNION ALL SELECT count(*), 'all' FROM logs WHERE body LIKE '%order%' OR severity >= 0";
    let table = bench.query(sql).await.unwrap();
    let mut counts: Vec<String> = table.rows().iter().map(|row| row[0].clone()).collect();
    counts.dedup();
    assert_eq!(counts, ["10000"]);
    bench.close().await;
}

#[tokio::test]
async fn answers_are_cut_at_most_rows() {
    let bench = Bench::new(many_logs(), Place::Both).await;
    for (most, rows, truncated) in
        [(0, 0, true), (10, 10, true), (9_999, 9_999, true), (10_000, 10_000, false)]
    {
        let query = SqlQuery::new("SELECT body FROM logs", QueryBudget::unlimited());
        let mut answer = bench.engine.run(query.max_rows(most)).await.unwrap();
        let mut found = 0;
        while let Some(batch) = answer.next().await {
            found += batch.unwrap().num_rows();
        }
        assert_eq!((found, answer.truncated()), (rows, truncated), "{most}");
    }
    bench.close().await;
}

#[tokio::test]
async fn tables_hold_only_what_the_query_is_about() {
    let bench = Bench::new(shop(), Place::Both).await;
    let count = |query: SqlQuery| async { bench.ask(query).await.unwrap().rows()[0].clone() };
    let sql = "SELECT (SELECT count(*) FROM logs) AS l, (SELECT count(*) FROM spans) AS s, \
               (SELECT count(*) FROM metrics) AS m";
    // An answer ends its budget: each query has its own.
    let all = || SqlQuery::new(sql, QueryBudget::unlimited());
    assert_eq!(count(all()).await, ["12", "8", "22"]);
    let minute = TimeRange::new(
        Timestamp::from_millis(START_MS + 60_000),
        Timestamp::from_millis(START_MS + 120_000),
    );
    assert_eq!(count(all().within(minute)).await, ["3", "3", "5"]);
    let payment = Predicate::Equals(Field::Service, "payment".into());
    assert_eq!(count(all().only(EventSignal::Logs, payment)).await, ["5", "8", "22"]);
    bench.close().await;
}
