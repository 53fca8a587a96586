//! SQL through HTTP: formats, errors with their place, limits, budgets.

use serde_json::{Value, json};
use skopos_model::{SeverityNumber, Span, SpanId, TraceId};

use crate::api::{Api, NOW, ago, record};

const PATH: &str = "/api/v1/sql";

/// 60 records of two services, a trace, a series.
async fn shop() -> Api {
    let api = Api::start().await;
    for service in ["checkout", "payment"] {
        let one = |i: i64| {
            let severity = if i % 10 == 0 { SeverityNumber::ERROR } else { SeverityNumber::INFO };
            let mut record = record(i, severity, &format!("request {i}, \"done\""));
            record.attributes.set("n", i);
            record.trace_id = TraceId([u8::from(i == 10); 16]);
            record
        };
        api.push_logs(service, (1..=30).map(one).collect()).await;
    }
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        name: "POST /orders".into(),
        start_time: ago(10),
        end_time: ago(8),
        ..Span::default()
    };
    api.push_spans("checkout", vec![span]).await;
    api.push("up{job=\"checkout\"}", &[(30, 1.0), (15, 0.0)]).await;
    api
}

async fn post(api: &Api, body: &Value) -> (u16, Value) {
    let request = api.client.post(format!("{}{PATH}", api.base)).json(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_come_by_get_form_and_json() {
    let api = shop().await;
    let sql = "SELECT service, count(*) AS n FROM logs WHERE level = 'ERROR' GROUP BY service \
               ORDER BY service";
    let want = json!([
        {"name": "service", "type": "text", "values": ["checkout", "payment"]},
        {"name": "n", "type": "integer", "values": [3, 3]},
    ]);
    let (_, by_get) = api.get(PATH, &[("query", sql)]).await;
    let (_, by_form) = api.post(PATH, &[("query", sql), ("format", "json")]).await;
    let (_, by_json) = post(&api, &json!({"query": sql, "limit": 10})).await;
    for answer in [by_get, by_form, by_json] {
        assert_eq!(answer["status"], "success", "{answer}");
        assert_eq!(answer["data"]["columns"], want);
        assert_eq!(answer["data"]["rows"], 2);
        assert_eq!(answer["data"]["truncated"], false);
        assert!(answer["data"]["elapsed_ms"].is_u64());
    }
    let join =
        "SELECT l.service, s.duration_ms FROM logs l JOIN spans s USING (trace_id) ORDER BY 1";
    let (_, answer) = post(&api, &json!({"query": join})).await;
    assert_eq!(answer["data"]["columns"][1]["values"], json!([2000, 2000]), "{answer}");
    let metrics = "SELECT labels->>'job' AS job, avg(value) AS up FROM metrics WHERE metric = 'up' GROUP BY 1";
    let (_, answer) = post(&api, &json!({"query": metrics})).await;
    assert_eq!(answer["data"]["columns"][0]["values"], json!(["checkout"]), "{answer}");
    assert_eq!(answer["data"]["columns"][1]["values"], json!([0.5]));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_bounded_by_limit_window_and_filter() {
    let api = shop().await;
    let sql = "SELECT body FROM logs";
    for (body, rows, truncated) in [
        (json!({"query": sql}), 60, false),
        (json!({"query": sql, "limit": 7}), 7, true),
        (json!({"query": sql, "limit": "60"}), 60, false),
        (json!({"query": sql, "start": "now-10s"}), 20, false),
        (json!({"query": sql, "start": NOW - 20, "end": NOW - 10}), 20, false),
        (json!({"query": sql, "filter": "level>=error service.name=payment"}), 3, false),
        (json!({"query": sql, "filter": "n=5"}), 2, false),
    ] {
        let (status, answer) = post(&api, &body).await;
        assert_eq!(status, 200, "{body}: {answer}");
        assert_eq!(answer["data"]["rows"], rows, "{body}");
        assert_eq!(answer["data"]["truncated"], truncated, "{body}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stream_as_csv_ndjson_and_arrow() {
    let api = shop().await;
    let sql = "SELECT time, body, attributes->>'n' AS n FROM logs WHERE service = 'payment' ORDER BY time LIMIT 2";
    let fetch = async |format: &str| {
        let body = json!({"query": sql, "format": format});
        let request = api.client.post(format!("{}{PATH}", api.base)).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        (content_type, response.bytes().await.unwrap())
    };
    let (content_type, csv) = fetch("csv").await;
    assert_eq!(content_type, "text/csv; charset=utf-8");
    assert_eq!(
        std::str::from_utf8(&csv).unwrap(),
        "time,body,n\r\n2023-11-14T22:12:50Z,\"request 30, \"\"done\"\"\",30\r\n\
         2023-11-14T22:12:51Z,\"request 29, \"\"done\"\"\",29\r\n"
    );
    let (content_type, lines) = fetch("ndjson").await;
    assert_eq!(content_type, "application/x-ndjson");
    let rows: Vec<Value> = std::str::from_utf8(&lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["n"], "30");
    let (content_type, arrow) = fetch("arrow").await;
    assert_eq!(content_type, skopos_sql::encode::ARROW_STREAM);
    let mut reader = skopos_sql::encode::ArrowReader::new();
    reader.feed(&arrow);
    assert_eq!(reader.batch().unwrap().unwrap().num_rows(), 2);
    while reader.batch().unwrap().is_some() {}
    reader.end().unwrap();
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_have_a_place_and_a_hint() {
    let api = shop().await;
    for (body, status, error, position, hint) in [
        (
            json!({"query": "SELECT body,\n bdy FROM logs"}),
            400,
            "there is no column \"bdy\"",
            json!({"line": 2, "column": 2}),
            "did you mean body?",
        ),
        (
            json!({"query": "SELECT * FROM log"}),
            400,
            "there is no table \"log\"",
            json!({"line": 1, "column": 15}),
            "did you mean logs? Tables are logs, spans, metrics",
        ),
        (json!({"query": "DELETE FROM logs"}), 400, "DELETE FROM is refused", json!(null), ""),
        (json!({"query": "SELEC 1"}), 400, "Expected", json!({"line": 1, "column": 1}), ""),
        (json!({"query": "SELECT 1/0"}), 422, "Divide by zero", json!(null), ""),
        (json!({"query": "SELECT 1", "filter": "(("}), 400, "filter: ", json!(null), ""),
        (json!({"query": "SELECT 1", "limit": "x"}), 400, "`limit`", json!(null), ""),
        (json!({"query": "SELECT 1", "limt": 1}), 400, "did you mean `limit`?", json!(null), ""),
        (json!({"query": "SELECT 1", "start": 2, "end": 1}), 400, "`start` lies", json!(null), ""),
        (json!({"query": ["SELECT 1"]}), 400, "`query`", json!(null), ""),
        (json!({}), 400, "`query` is missing", json!(null), ""),
        (json!(["SELECT 1"]), 400, "no JSON object", json!(null), ""),
    ] {
        let (got, answer) = post(&api, &body).await;
        assert_eq!(got, status, "{body}: {answer}");
        assert_eq!(answer["status"], "error");
        assert!(answer["error"].as_str().unwrap().contains(error), "{body}: {answer}");
        assert_eq!(answer["position"], position, "{body}: {answer}");
        if !hint.is_empty() {
            assert_eq!(answer["hint"], hint, "{body}");
        }
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_its_budget_is_refused_by_name_and_others_go_on() {
    let api = Api::with(|settings| {
        settings.max_query_samples = 10;
        settings.max_query_bytes = Some(100_000);
    })
    .await;
    api.push_logs("s", (1..=40).map(|i| record(i, SeverityNumber::INFO, "text")).collect()).await;
    let (status, answer) = post(&api, &json!({"query": "SELECT count(*) FROM logs"})).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("limits.query_samples = 10"), "{answer}");
    let sort = "SELECT * FROM generate_series(1, 1000000) t ORDER BY 1 DESC";
    let (status, answer) = post(&api, &json!({"query": sort, "format": "csv"})).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("limits.query_bytes = 100000"), "{answer}");
    let (status, _) = post(&api, &json!({"query": "SELECT 1"})).await;
    assert_eq!(status, 200);
    api.stop().await;
}
