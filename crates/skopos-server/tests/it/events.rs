//! Filters, pages, counts and context of log records through HTTP, on data in memory, in blocks,
//! and half in each.

use serde_json::{Value, json};
use skopos_model::{Attributes, LogRecord, SeverityNumber, TraceId};

use crate::api::{Api, record};

/// 200 records of two services over 200 seconds.
fn records(from: i64, to: i64) -> Vec<(&'static str, LogRecord)> {
    let one = |i: i64| {
        let severity = match i % 10 {
            0 => SeverityNumber::ERROR,
            1 | 2 => SeverityNumber::WARN,
            3 => SeverityNumber::UNSPECIFIED,
            _ => SeverityNumber::INFO,
        };
        // Two share each time: pages must not depend on times being different.
        let mut record = record(200 - i / 2 * 2, severity, &format!("request {i} done"));
        record.attributes = Attributes::from_iter([("route", format!("/r{}", i % 3))]);
        record.attributes.set("n", i);
        if i % 50 == 0 {
            record.trace_id = TraceId([7; 16]);
        }
        (if i % 4 == 0 { "payment" } else { "order" }, record)
    };
    (from..to).map(one).collect()
}

async fn push(api: &Api, records: Vec<(&'static str, LogRecord)>) {
    for (service, record) in records {
        api.push_logs(service, vec![record]).await;
    }
}

/// The same data in memory, in blocks, and half in each.
async fn everywhere() -> Vec<(&'static str, Api)> {
    let head = Api::start().await;
    push(&head, records(0, 200)).await;
    let blocks = Api::with(|settings| settings.flush_bytes = 1).await;
    push(&blocks, records(0, 200)).await;
    blocks.flushed().await;
    let half = Api::with(|settings| settings.flush_bytes = 1).await;
    push(&half, records(0, 100)).await;
    half.flushed().await;
    let half = Api::reopen(half.close().await, |_| {}).await;
    push(&half, records(100, 200)).await;
    vec![("head", head), ("blocks", blocks), ("half", half)]
}

fn numbers(answer: &Value) -> Vec<i64> {
    let logs = answer["data"]["logs"].as_array().unwrap();
    logs.iter().map(|log| log["attributes"]["n"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_pages_counts_and_context() {
    for (place, api) in everywhere().await {
        filters(place, &api).await;
        pages(place, &api).await;
        counts(place, &api).await;
        context(place, &api).await;
        api.stop().await;
    }
}

async fn filters(place: &str, api: &Api) {
    for (filter, want) in [
        ("", 200),
        ("level>=error", 20),
        ("level>=warn service=payment", 20),
        ("level<error", 160),
        ("level!=error", 180),
        ("level=\"\"", 20),
        ("route=/r1", 67),
        ("route=/r*", 200),
        ("-route=/r1 n<10", 7),
        ("n>=190", 10),
        ("\"request 7 \"", 1),
        ("request*7*done", 38),
        ("body~\"^request [0-4] done$\"", 5),
        ("trace_id=07*", 4),
        ("has(trace_id)", 4),
        ("resource.host.name=h1 scope.name=lib", 200),
        ("host.name=h2 OR n=5", 1),
        ("absent!=x", 200),
        ("absent=x", 0),
        ("attributes.host.name=h1", 0),
    ] {
        let query = [("filter", filter), ("limit", "5000")];
        let answer = api.ok("/api/v1/logs", &query).await;
        assert_eq!(numbers(&answer).len(), want, "{place}: {filter}");
        let total = api.ok("/api/v1/logs/histogram", &[("filter", filter)]).await;
        assert_eq!(total["data"]["total"], want, "{place}: {filter}");
        let total = api.ok("/api/v1/logs/facets", &[("filter", filter)]).await;
        assert_eq!(total["data"]["total"], want, "{place}: {filter}");
    }
    // With the older parameters: all must hold.
    let query = [("filter", "level>=warn"), ("service", "payment"), ("attr", "route=/r0")];
    let answer = api.ok("/api/v1/logs", &query).await;
    assert_eq!(numbers(&answer), [192, 180, 132, 120, 72, 60, 12, 0], "{place}");
}

async fn pages(place: &str, api: &Api) {
    for direction in ["backward", "forward"] {
        let whole = [("direction", direction), ("limit", "5000")];
        let want = numbers(&api.ok("/api/v1/logs", &whole).await);
        assert_eq!(want.len(), 200);
        for limit in ["1", "7", "100", "200"] {
            let mut seen = Vec::new();
            let mut cursor = String::new();
            loop {
                let query =
                    [("direction", direction), ("limit", limit), ("cursor", cursor.as_str())];
                let answer = api.ok("/api/v1/logs", &query).await;
                seen.extend(numbers(&answer));
                match answer["data"]["next_cursor"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
                assert!(seen.len() < 500, "{place} {direction} {limit}: it ends");
                if limit == "1" && seen.len() == 20 {
                    seen.extend(&want[20..]);
                    break;
                }
            }
            assert_eq!(seen, want, "{place} {direction} {limit}");
        }
    }
    let (status, answer) = api.get("/api/v1/logs", &[("cursor", "zz")]).await;
    assert_eq!(status, 400, "{answer}");
}

async fn counts(place: &str, api: &Api) {
    let query = [("start", "now-200s"), ("end", "now"), ("buckets", "4")];
    let answer = api.ok("/api/v1/logs/histogram", &query).await;
    let data = &answer["data"];
    assert_eq!(data["step"], 50.0, "{place}");
    assert_eq!(data["buckets"], 4);
    let of = |severity: &str| {
        let series = data["series"].as_array().unwrap();
        series.iter().find(|s| s["severity"] == severity).unwrap()["counts"].clone()
    };
    assert_eq!(of("ERROR"), json!([5, 5, 5, 5]), "{place}: {data}");
    assert_eq!(of(""), json!([5, 5, 5, 5]), "{place}: {data}");
    assert_eq!(of("INFO"), json!([30, 30, 30, 30]), "{place}: {data}");
    assert_eq!(data["total"], 200);

    let query = [
        ("field", "route"),
        ("field", "severity"),
        ("field", "service"),
        ("field", "trace_id"),
        ("field", "host.name"),
        ("field", "absent"),
        ("limit", "2"),
        ("filter", "n<100"),
    ];
    let answer = api.ok("/api/v1/logs/facets", &query).await;
    let value = |value: &str, count: u64| json!({"value": value, "count": count});
    let facet = |field: &str, values: Vec<Value>, other: u64, missing: u64, distinct: u64| {
        json!({
            "field": field, "values": values, "other": other, "missing": missing,
            "distinct": distinct,
        })
    };
    assert_eq!(
        answer["data"],
        json!({"total": 100, "facets": [
            facet("route", vec![value("/r0", 34), value("/r1", 33)], 33, 0, 3),
            facet("severity", vec![value("INFO", 60), value("WARN", 20)], 10, 10, 3),
            facet("service", vec![value("order", 75), value("payment", 25)], 0, 0, 2),
            facet("trace_id", vec![value(&"07".repeat(16), 2)], 0, 98, 1),
            facet("host.name", vec![value("h1", 100)], 0, 0, 1),
            facet("absent", vec![], 0, 100, 0),
        ]}),
        "{place}"
    );
    let answer = api.ok("/api/v1/logs/facets", &[]).await;
    let facets = answer["data"]["facets"].as_array().unwrap();
    let names: Vec<_> = facets.iter().map(|f| f["field"].as_str().unwrap()).collect();
    // `n` is an id, and `host.name` has one value only.
    assert_eq!(names, ["service.name", "severity", "route"], "{place}");
}

async fn context(place: &str, api: &Api) {
    let answer = api.ok("/api/v1/logs", &[("filter", "n=100")]).await;
    let id = answer["data"]["logs"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/logs/{id}/context");
    let answer = api.ok(&path, &[("before", "3"), ("after", "2")]).await;
    let data = &answer["data"];
    let numbers = |logs: &Value| {
        let logs = logs.as_array().unwrap();
        logs.iter().map(|l| l["attributes"]["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    // The payment service has every fourth.
    assert_eq!(numbers(&data["before"]), [88, 92, 96], "{place}");
    assert_eq!(data["record"]["attributes"]["n"], 100, "{place}");
    assert_eq!(numbers(&data["after"]), [104, 108], "{place}");
    for (id, want) in [("0".repeat(32), 404), ("xyz".to_owned(), 400)] {
        let (status, _) = api.get(&format!("/api/v1/logs/{id}/context"), &[]).await;
        assert_eq!(status, want, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_under_way_when_records_arrive_stays_whole() {
    let api = Api::with(|settings| settings.flush_bytes = 1).await;
    push(&api, records(0, 100)).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for round in 0..100 {
        let query = [("limit", "9"), ("cursor", cursor.as_str())];
        let answer = api.ok("/api/v1/logs", &query).await;
        seen.extend(numbers(&answer));
        // New ones all the while, and the flusher at work.
        api.push_logs("new", vec![record(0, SeverityNumber::INFO, &format!("late {round}"))]).await;
        match answer["data"]["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let mut want: Vec<i64> = (0..100).collect();
    seen.sort_unstable();
    want.sort_unstable();
    assert_eq!(seen, want);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_filter_has_its_place_and_a_remedy() {
    let api = Api::start().await;
    for path in [
        "/api/v1/logs",
        "/api/v1/logs/histogram",
        "/api/v1/logs/facets",
        "/api/v1/logs/follow",
        "/api/v1/traces",
        "/api/v1/tail",
        "/api/v1/filter/check",
    ] {
        let (status, answer) = api.get(path, &[("filter", "a level>=eror")]).await;
        assert_eq!(status, 400, "{path}");
        assert_eq!(answer["status"], "error");
        assert_eq!(answer["position"], json!({"start": 9, "end": 13}), "{path}");
        assert_eq!(answer["suggestions"], json!(["error"]), "{path}");
        assert!(answer["error"].as_str().unwrap().contains("is no level"), "{answer}");
    }
    let answer = api.ok("/api/v1/filter/check", &[("filter", "a and service=x")]).await;
    assert_eq!(answer["data"]["filter"], "a service.name=x");
    for (path, query) in [
        ("/api/v1/logs/histogram", vec![("buckets", "0")]),
        ("/api/v1/logs/histogram", vec![("limit", "5")]),
        ("/api/v1/logs/facets", vec![("limit", "100000")]),
        ("/api/v1/traces", vec![("order", "fastest")]),
        ("/api/v1/traces", vec![("order", "slowest"), ("cursor", &"0".repeat(32))]),
        ("/api/v1/traces", vec![("service", "x")]),
        ("/api/v1/traces/xyz", vec![]),
        ("/api/v1/tail", vec![("signals", "metrics")]),
        ("/api/v1/tail", vec![("rate", "0")]),
        ("/api/v1/filter/complete", vec![("at", "x")]),
    ] {
        let (status, answer) = api.get(path, &query).await;
        assert_eq!(status, 400, "{path} {query:?}: {answer}");
        assert_eq!(answer["errorType"], "bad_data", "{answer}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_knows_the_data() {
    let api = Api::start().await;
    push(&api, records(0, 40)).await;
    let items = async |filter: &str| {
        let answer = api.ok("/api/v1/filter/complete", &[("filter", filter)]).await;
        let items = answer["data"]["items"].as_array().unwrap().clone();
        let text = |item: &Value| {
            format!(
                "{} {} {}",
                item["kind"].as_str().unwrap(),
                item["text"].as_str().unwrap(),
                item["count"]
            )
        };
        (items.iter().map(text).collect::<Vec<_>>(), answer["data"]["replace"].clone())
    };
    let (found, replace) = items("rou").await;
    assert_eq!(found, ["field route 40"]);
    assert_eq!(replace, json!({"start": 0, "end": 3}));
    let (found, _) = items("level>=warn route=").await;
    assert_eq!(found, ["value /r0 14", "value /r1 13", "value /r2 13"]);
    let (found, _) = items("service.name=").await;
    assert_eq!(found, ["value order 30", "value payment 10"]);
    let (found, _) = items("level=").await;
    assert_eq!(found[..2], ["value info 24", "value warn 8"]);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_has_a_budget() {
    let api = Api::with(|settings| settings.max_query_samples = 50).await;
    push(&api, records(0, 60)).await;
    for path in ["/api/v1/logs/histogram", "/api/v1/logs/facets"] {
        let (status, answer) = api.get(path, &[]).await;
        assert_eq!(status, 422, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("limits.query_samples"), "{answer}");
    }
    api.stop().await;
}
