//! Limits of series through HTTP: what senders are told, what is counted, what the view shows.

use serde_json::{Value, json};
use skopos_ingest::remote_write::encode;
use skopos_model::{MetricBatch, SeriesSamples};

use crate::api::{Api, NOW, float, series_samples};

fn requests(users: std::ops::Range<usize>) -> Vec<SeriesSamples> {
    let of = |user: usize| {
        let series =
            format!("requests_total{{job=\"eu/shop\",path=\"/pay\",user=\"u-{user:05}\"}}");
        series_samples(&series, vec![float(0, 1.0)])
    };
    users.map(of).collect()
}

async fn write(api: &Api, series: Vec<SeriesSamples>) -> (u16, String) {
    let body = encode(&MetricBatch { series, metadata: vec![] });
    let request = api.client.post(format!("{}/api/v1/write", api.base)).body(body);
    let request = request
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy");
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A gauge with one label in OTLP/JSON.
fn otlp(user: &str) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [text("service.name", "cart")]},
        "scopeMetrics": [{"scope": {"name": "cart.meter"}, "metrics": [
            {"name": "requests_total", "gauge": {"dataPoints": [{
                "timeUnixNano": (NOW * 1_000_000_000).to_string(),
                "asDouble": 1,
                "attributes": [text("user", user)],
            }]}},
        ]}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_operators_and_users_are_told_who_added_which_label() {
    let api = Api::with(|settings| settings.series_limits.metric_series = 30).await;
    assert_eq!(write(&api, requests(0..30)).await.0, 204);
    let (status, text) = write(&api, requests(20..33)).await;
    assert_eq!(status, 400, "{text}");
    for part in [
        "rejected 3 (metric_series) of shop",
        "requests_total",
        "label \"user\"",
        "\"u-00030\"",
        "limits.metric_series = 30",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Those that were known are stored; sent alone they are no error.
    assert_eq!(write(&api, requests(0..30)).await.0, 204);

    let url = api.server.as_ref().unwrap().addresses().otlp_http;
    let post = api.client.post(format!("http://{url}/v1/metrics")).json(&otlp("u-99999"));
    let answer: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1", "{answer}");
    let text = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(text.contains("(metric_series) of cart") && text.contains("u-99999"), "{text}");
    assert!(text.contains("scope=\"cart.meter\""), "{text}");

    let answer = api.ok("/api/v1/cardinality", &[("limit", "2")]).await;
    let data = &answer["data"];
    assert_eq!(data["metrics"][0]["metric"], "requests_total");
    assert_eq!(data["metrics"][0]["label"], "user");
    assert_eq!(data["metrics"][0]["series"], 30);
    assert_eq!(data["total"]["day_ago"], Value::Null);
    assert_eq!(data["labels"][0]["label"], "user");
    assert_eq!(data["labels"][0]["id_like"], true);
    assert_eq!(data["labels"].as_array().unwrap().len(), 2);
    assert_eq!(data["limits"]["metric_series"], 30);
    let refusals = data["refusals"].as_array().unwrap();
    let summary = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("service"), text("scope"), text("first_value"), row["samples"].as_u64().unwrap())
    };
    let want = [("shop", "", "u-00030", 3), ("cart", "cart.meter", "u-99999", 1)];
    let want = want.map(|(service, scope, value, n)| {
        (service.to_owned(), scope.to_owned(), value.to_owned(), n)
    });
    assert_eq!(refusals.iter().map(summary).collect::<Vec<_>>(), want);
    let of_metric = api.ok("/api/v1/cardinality", &[("metric", "requests_total")]).await;
    assert_eq!(of_metric["data"]["labels"][0]["values"], 30);
    assert_eq!(of_metric["data"]["refusals"].as_array().unwrap().len(), 2);
    let both = [("metric", "requests_total"), ("label", "path")];
    let values = api.ok("/api/v1/cardinality", &both).await;
    assert_eq!(values["data"]["values"][0]["value"], "/pay");
    assert_eq!(values["data"]["values"][0]["series"], 30);

    let receipts = api.ok("/api/v1/skopos/receipts", &[]).await;
    let sender = |name: &str| {
        let senders = receipts["senders"].as_array().unwrap();
        senders.iter().find(|sender| sender["sender"] == name).unwrap().clone()
    };
    assert_eq!(sender("shop")["accepted"]["metrics"], 70);
    assert_eq!(sender("shop")["rejected"][0]["reason"], "metric_series");
    assert!(sender("cart")["rejected"][0]["message"].as_str().unwrap().contains("user"));
    let beyond = &sender("cart")["rejected"][0]["metrics"][0];
    assert_eq!(beyond["metric"], "requests_total", "{beyond}");
    assert_eq!((&beyond["scope"], &beyond["label"]), (&json!("cart.meter"), &json!("user")));
    assert_eq!(sender("shop")["folded"], json!([]));

    let metrics = api.client.get(format!("{}/metrics", api.base)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let head = data["total"]["series"].as_u64().unwrap();
    for line in [
        "skopos_store_refused_series_samples_total{reason=\"metric_series\"} 4".to_owned(),
        "skopos_store_refused_series_samples_total{reason=\"head_series\"} 0".to_owned(),
        "signal=\"metrics\",sender=\"shop\",reason=\"metric_series\"} 3".to_owned(),
        format!("\nprometheus_tsdb_head_series {head}"),
        format!("\nskopos_store_head_series {head}"),
        format!("\nskopos_store_series_created_total {head}"),
        "\nskopos_store_series_removed_total 0".to_owned(),
        "\nskopos_store_folded_samples_total 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    api.stop().await;
}

/// A counter of `cart` with one series per user, in OTLP/JSON.
fn counters(name: &str, users: std::ops::Range<usize>) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let point = |user: usize| {
        let user = format!("u-{user:05}");
        json!({
            "timeUnixNano": (NOW * 1_000_000_000).to_string(),
            "startTimeUnixNano": ((NOW - 60) * 1_000_000_000).to_string(),
            "asDouble": 1,
            "attributes": [text("user", &user)],
        })
    };
    let points: Vec<Value> = users.map(point).collect();
    json!({"resourceMetrics": [{
        "resource": {"attributes": [text("service.name", "cart")]},
        "scopeMetrics": [{"scope": {"name": "cart.meter"}, "metrics": [{
            "name": name,
            "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points},
        }]}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_and_values_that_are_too_long_are_told_like_every_refusal() {
    let api = Api::with(|settings| {
        settings.series_limits.metric_series = 5;
        settings.series_limits.on_limit = skopos_store::OnLimit::Fold;
    })
    .await;
    let url = format!("http://{}/v1/metrics", api.server.as_ref().unwrap().addresses().otlp_http);
    let post = async |body: Value| -> Value {
        api.client.post(&url).json(&body).send().await.unwrap().json().await.unwrap()
    };
    let told = post(counters("orders_total", 0..8)).await;
    // A warning: everything is stored.
    assert!(
        told["partialSuccess"]["rejectedDataPoints"].is_null()
            || told["partialSuccess"]["rejectedDataPoints"] == "0",
        "{told}"
    );
    let message = told["partialSuccess"]["errorMessage"].as_str().unwrap();
    for part in [
        "adjusted 3 (metric_series) of cart",
        "orders_total",
        "user=\"other\"",
        "scope=\"cart.meter\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let mut long = counters("visits_total", 0..1);
    long["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0]["attributes"] =
        json!([text("stack", &"x".repeat(5_000))]);
    let told = post(long).await;
    assert_eq!(told["partialSuccess"]["rejectedDataPoints"], "1", "{told}");

    let answer = api.ok("/api/v1/cardinality", &[]).await;
    let rows: Vec<[&str; 5]> = answer["data"]["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            ["metric", "action", "reason", "label", "scope"].map(|k| row[k].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["orders_total", "folded", "metric_series", "user", "cart.meter"],
            ["visits_total", "refused", "label_value_bytes", "stack", "cart.meter"],
        ]
    );
    let receipts = api.ok("/api/v1/skopos/receipts", &[]).await;
    let senders = receipts["senders"].as_array().unwrap();
    let cart = senders.iter().find(|sender| sender["sender"] == "cart").unwrap();
    assert_eq!(cart["folded"][0]["metric"], "orders_total", "{cart}");
    assert_eq!(
        (&cart["folded"][0]["samples"], &cart["folded"][0]["label"]),
        (&json!(3), &json!("user"))
    );
    assert_eq!(cart["rejected"][0]["metrics"][0]["metric"], "visits_total", "{cart}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tsdb_status_is_that_of_prometheus() {
    let api = Api::start().await;
    assert_eq!(write(&api, requests(0..5)).await.0, 204);
    let answer = api.ok("/api/v1/status/tsdb", &[("limit", "1")]).await;
    assert_eq!(
        answer,
        json!({"status": "success", "data": {
            "headStats": {
                "numSeries": 5,
                "numLabelPairs": 8,
                "chunkCount": 0,
                "minTime": NOW * 1000,
                "maxTime": NOW * 1000,
            },
            "seriesCountByMetricName": [{"name": "requests_total", "value": 5}],
            "labelValueCountByLabelName": [{"name": "user", "value": 5}],
            "memoryInBytesByLabelName": [{"name": "user", "value": 35}],
            "seriesCountByLabelValuePair": [{"name": "__name__=requests_total", "value": 5}],
        }})
    );
    for (path, query) in [
        ("/api/v1/status/tsdb", ("limit", "x")),
        ("/api/v1/cardinality", ("limit", "1001")),
        ("/api/v1/cardinality", ("metrics", "up")),
    ] {
        let (status, answer) = api.get(path, &[query]).await;
        assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")), "{path} {answer}");
    }
    api.stop().await;
}
