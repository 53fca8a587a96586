//! Random queries answer the same with and without push-down, wherever the data is.

use std::fmt::Write as _;

use skopos_model::storage::QueryBudget;
use skopos_model::{SignalBatch, Timestamp};
use skopos_sql::SqlQuery;
use skopos_testkit::generate::{MetricGenerator, Random, log_batch, trace_batch};

use crate::data::{Bench, PLACES, START_MS};

fn telemetry(random: &mut Random) -> Vec<SignalBatch> {
    let mut metrics = MetricGenerator::new(random.next_u64(), 21, START_MS, 15_000).in_order();
    let mut batches = Vec::new();
    for i in 0..8 {
        let time = Timestamp::from_millis(START_MS + i * 2_000);
        batches.push(SignalBatch::Logs(log_batch(random, 60, time)));
        batches.push(SignalBatch::Traces(trace_batch(random, 8, time)));
        batches.push(SignalBatch::Metrics(metrics.next_batch()));
    }
    batches
}

fn time(random: &mut Random) -> String {
    let nanos = START_MS * 1_000_000 + random.below(20_000_000_000) as i64;
    let op = random.pick(&[">", ">=", "<", "<=", "="]);
    match random.below(4) {
        0 => format!("time {op} to_timestamp_nanos({nanos})"),
        1 => format!("to_timestamp_millis({}) {op} time", nanos / 1_000_000),
        2 => format!("time {op} '{}'", Timestamp(nanos)),
        _ => format!(
            "time BETWEEN to_timestamp_nanos({nanos}) AND to_timestamp_nanos({})",
            nanos + 5_000_000_000
        ),
    }
}

fn text_condition(random: &mut Random, column: &str, values: &[&str]) -> String {
    let value = random.pick(values).replace('\'', "''");
    match random.below(8) {
        0 => format!("{column} <> '{value}'"),
        1 => format!("{column} IN ('{value}', '{}')", random.pick(values)),
        2 => format!("{column} NOT IN ('{value}', '{}')", random.pick(values)),
        3 => format!("{column} LIKE '%{}%'", value.chars().skip(1).take(4).collect::<String>()),
        4 => format!("{column} ~ '{}'", value.chars().take(3).collect::<String>()),
        5 => format!("{column} IS NOT NULL"),
        _ => format!("{column} = '{value}'"),
    }
}

const SERVICES: [&str; 5] = ["order-service", "payment-service", "inventory-service", "none", ""];
const BODIES: [&str; 5] = ["order placed for order 7", "pool timeout", "12", "Card declined", ""];
const HEX: [&str; 3] = [
    "01010101010101010101010101010101",
    "05050505050505050505050505050505",
    "0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A",
];

fn condition(random: &mut Random, table: &str, depth: u32) -> String {
    if depth > 0 && random.one_in(3) {
        let op = random.pick(&["AND", "OR", "AND NOT"]);
        let (one, two) = (condition(random, table, depth - 1), condition(random, table, depth - 1));
        return format!("({one} {op} {two})");
    }
    let compare = ["=", "<>", "<", "<=", ">", ">="];
    match (table, random.below(10)) {
        (_, 0 | 1) => time(random),
        ("logs", 2) => format!("severity {} {}", random.pick(&compare), random.below(24)),
        ("logs", 3) => {
            let level = random.pick(&["ERROR", "INFO", "DEBUG", "FATAL", "error", ""]);
            format!("level {} '{level}'", random.pick(&["=", "<>"]))
        }
        ("logs", 4) => text_condition(random, "body", &BODIES),
        ("logs", 5) => text_condition(random, "event_name", &["order.placed", "", "other"]),
        ("logs", 6) => {
            let key =
                random.pick(&["order.id", "amount", "ratio", "retry", "nested", "http.route"]);
            let values = ["7", "12.5", "NaN", "-0.0", "1e300", "true", "/stock", "", "Infinity"];
            text_condition(random, &format!("attributes->>'{key}'"), &values)
        }
        ("spans", 2) => {
            format!("duration {} {}", random.pick(&compare), random.below(50_000_000))
        }
        ("spans", 3) => format!("duration_ms {} {}", random.pick(&compare), random.below(50)),
        ("spans", 4) => text_condition(random, "name", &["GET /stock", "validate", "POST /orders"]),
        ("spans", 5) => text_condition(random, "kind", &["server", "client", "internal", ""]),
        ("spans", 6) => text_condition(random, "status", &["ERROR", "UNSET", "OK"]),
        ("spans", 7) => text_condition(random, "parent_span_id", &["0000000000000000"]),
        ("logs" | "spans", 8) => text_condition(random, "trace_id", &HEX),
        ("logs" | "spans", 9) => {
            let key = random.pick(&["service.name", "deployment.environment.name", "nothing"]);
            text_condition(random, &format!("resource->>'{key}'"), &["production", "order-service"])
        }
        ("logs" | "spans", _) => text_condition(random, "service", &SERVICES),
        (_, 2..=4) => {
            let names = ["http_requests_total", "up", "process_open_fds", "nothing", ""];
            text_condition(random, "metric", &names)
        }
        (_, 5) => format!("value {} {}", random.pick(&compare), random.below(1000)),
        (_, 6) => text_condition(random, "labels->>'region'", &["eu", "us", ""]),
        _ => {
            let name = random.pick(&["job", "instance", "__name__", "le"]);
            text_condition(random, &format!("labels->>'{name}'"), &SERVICES)
        }
    }
}

fn query(random: &mut Random) -> String {
    let table = *random.pick(&["logs", "spans", "metrics"]);
    let mut sql = match (random.below(5), table) {
        (0, _) => format!("SELECT count(*) FROM {table}"),
        (1, "metrics") => format!("SELECT metric, count(*), max(time) FROM {table}"),
        (1, _) => format!("SELECT service, count(*), max(time), min(id) FROM {table}"),
        // The time alone: rows of the same time may stand in any order.
        (2, _) => format!("SELECT time AS t FROM {table}"),
        (_, "metrics") => "SELECT time, metric, labels, value, histogram FROM metrics".to_owned(),
        _ => format!("SELECT * FROM {table}"),
    };
    let group = match sql.split_once(", count(*)") {
        Some((start, _)) => format!(" GROUP BY {}", start.trim_start_matches("SELECT ")),
        None => String::new(),
    };
    if !random.one_in(6) {
        let _ = write!(sql, " WHERE {}", condition(random, table, 2));
        if random.one_in(2) {
            let _ = write!(sql, " AND {}", condition(random, table, 1));
        }
    }
    sql.push_str(&group);
    if sql.contains(" AS t ") {
        let direction = random.pick(&["", " DESC"]);
        let _ = write!(sql, " ORDER BY t{direction} LIMIT {}", 1 + random.below(40));
    }
    sql
}

#[tokio::test]
async fn random_queries_answer_the_same_with_and_without_push_down() {
    let mut found = 0;
    for seed in [1_u64, 2] {
        let mut random = Random::new(seed);
        let batches = telemetry(&mut random);
        let mut benches = Vec::new();
        for place in PLACES {
            benches.push(Bench::new(batches.clone(), place).await);
        }
        for i in 0..60 {
            let sql = query(&mut random);
            let plain = SqlQuery::new(&sql, QueryBudget::unlimited()).without_push_down();
            let plain = benches[0].ask(plain).await;
            for (bench, place) in benches.iter().zip(PLACES) {
                let pushed = bench.query(&sql).await;
                let what = format!("seed {seed}, query {i}, {place:?}: {sql}");
                match (&plain, pushed) {
                    (Ok(plain), Ok(pushed)) => {
                        assert_eq!(sorted(pushed.rows()), sorted(plain.rows()), "{what}");
                        found += usize::from(!plain.rows().is_empty());
                    }
                    (Err(plain), Err(pushed)) => {
                        assert_eq!(pushed.to_string(), plain.to_string(), "{what}");
                    }
                    (plain, pushed) => panic!("{what}: {plain:?} but {pushed:?}"),
                }
            }
        }
        for bench in benches {
            bench.close().await;
        }
    }
    assert!(found > 120, "only {found} queries found anything");
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}
