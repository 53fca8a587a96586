//! Prometheus' HTTP API through HTTP: exact answers, errors, limits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skopos_model::{
    BucketSpan, Exemplar, Histogram, Labels, Metadata, MetricBatch, MetricType, STALE_NAN, Sample,
    SampleValue,
};

use crate::api::{Api, NOW, float, series_samples};
use crate::harness::{TestServer, eventually};

/// Seconds before now, as the API takes times.
fn at(ago: i64) -> String {
    (NOW - ago).to_string()
}

async fn body(api: &Api, path_and_query: &str) -> (u16, String) {
    let response = api.client.get(format!("{}{path_and_query}", api.base)).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_exact_to_the_byte() {
    let api = Api::start().await;
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e21, 0.1];
    let samples = values.iter().zip([50, 40, 30, 20, 10, 0]).map(|(v, ago)| float(ago, *v));
    api.push_samples("odd{job=\"a\\\"b\"}", samples.collect()).await;
    let quiet_nan = f64::from_bits(0x7ff8_0000_0000_1234);
    api.push("payload", &[(10, quiet_nan), (5, STALE_NAN)]).await;

    for (path, want) in [
        (
            "/api/v1/query?query=odd",
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"odd","job":"a\"b"},"value":[1700000000,"0.1"]}]}}"#,
        ),
        (
            "/api/v1/query?query=odd[1m]",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"odd","job":"a\"b"},"values":[[1699999950,"NaN"],[1699999960,"+Inf"],[1699999970,"-Inf"],[1699999980,"-0"],[1699999990,"1e+21"],[1700000000,"0.1"]]}]}}"#,
        ),
        (
            "/api/v1/query?query=odd&time=1699999950.5",
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"odd","job":"a\"b"},"value":[1699999950.500,"NaN"]}]}}"#,
        ),
        (
            "/api/v1/query?query=odd&time=2023-11-14T22:12:40Z",
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"odd","job":"a\"b"},"value":[1699999960,"+Inf"]}]}}"#,
        ),
        (
            "/api/v1/query_range?query=odd&start=1699999970&end=1699999990&step=10",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"odd","job":"a\"b"},"values":[[1699999970,"-Inf"],[1699999980,"-0"],[1699999990,"1e+21"]]}]}}"#,
        ),
        (
            "/api/v1/query_range?query=1&start=1&end=2.5&step=1s",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"1"]]}]}}"#,
        ),
        (
            "/api/v1/query?query=1%2B1&time=7",
            r#"{"status":"success","data":{"resultType":"scalar","result":[7,"2"]}}"#,
        ),
        (
            "/api/v1/query?query=%22a%5Cnb%22&time=7.25",
            r#"{"status":"success","data":{"resultType":"string","result":[7.250,"a\nb"]}}"#,
        ),
        (
            "/api/v1/query?query=absent_metric",
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        ),
        // The stale marker ends the series; its payload is not a value.
        (
            "/api/v1/query?query=payload",
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        ),
        (
            "/api/v1/query?query=payload[1m]",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"payload"},"values":[[1699999990,"NaN"]]}]}}"#,
        ),
    ] {
        assert_eq!(body(&api, path).await, (200, want.to_owned()), "{path}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_prometheus_types_and_statuses() {
    let api = Api::start().await;
    api.push("a{x=\"1\"}", &[(0, 1.0)]).await;
    api.push("a{x=\"2\"}", &[(0, 1.0)]).await;
    api.push("b{y=\"1\"}", &[(0, 1.0)]).await;
    api.push("b{y=\"2\"}", &[(0, 1.0)]).await;
    let range = "/api/v1/query_range";
    let instant = "/api/v1/query";
    for (path, query, status, kind, message) in [
        (instant, vec![], 400, "bad_data", "invalid parameter \"query\""),
        (instant, vec![("query", "sum(")], 400, "bad_data", "parse error"),
        (instant, vec![("query", "raet(a[5m])")], 400, "bad_data", "did you mean \"rate\"?"),
        (
            instant,
            vec![("query", "a"), ("time", "soon")],
            400,
            "bad_data",
            "invalid parameter \"time\": cannot parse \"soon\" to a valid timestamp",
        ),
        (
            instant,
            vec![("query", "a"), ("timeout", "x")],
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (instant, vec![("query", "a"), ("limit", "-1")], 400, "bad_data", "\"limit\""),
        (instant, vec![("query", "a"), ("lookback_delta", "0")], 400, "bad_data", "lookback_delta"),
        (instant, vec![("query", "a * on() b")], 422, "execution", "many-to-many"),
        (
            range,
            vec![("query", "a"), ("end", "2"), ("step", "1")],
            400,
            "bad_data",
            "invalid parameter \"start\"",
        ),
        (
            range,
            vec![("query", "a"), ("start", "2"), ("end", "1"), ("step", "1")],
            400,
            "bad_data",
            "end timestamp must not be before start time",
        ),
        (
            range,
            vec![("query", "a"), ("start", "1"), ("end", "2"), ("step", "0")],
            400,
            "bad_data",
            "zero or negative query resolution step widths are not accepted",
        ),
        (
            range,
            vec![("query", "a"), ("start", "1"), ("end", "2"), ("step", "-5")],
            400,
            "bad_data",
            "zero or negative query resolution step widths are not accepted",
        ),
        (
            range,
            vec![("query", "a"), ("start", "0"), ("end", "11001"), ("step", "1")],
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing",
        ),
        (
            range,
            vec![("query", "a[5m]"), ("start", "0"), ("end", "1"), ("step", "1")],
            400,
            "bad_data",
            "must be Scalar or instant Vector",
        ),
        ("/api/v1/series", vec![], 400, "bad_data", "no match[] parameter provided"),
        ("/api/v1/series", vec![("match[]", "{")], 400, "bad_data", "match[]"),
        (
            "/api/v1/series",
            vec![("match[]", "a"), ("start", "2"), ("end", "1")],
            400,
            "bad_data",
            "end timestamp",
        ),
        ("/api/v1/targets", vec![("state", "lost")], 400, "bad_data", "state"),
    ] {
        let (got, answer) = api.get(path, &query).await;
        assert_eq!(
            (got, &answer["errorType"]),
            (status, &json!(kind)),
            "{path} {query:?} {answer}"
        );
        assert_eq!(answer["status"], "error");
        let text = answer["error"].as_str().unwrap();
        assert!(text.contains(message), "{path} {query:?}\n got {text}\nwant {message}");
    }
    // The largest range that is allowed.
    let query = [("query", "vector(1)"), ("start", "0"), ("end", "11000"), ("step", "1")];
    let answer = api.ok(range, &query).await;
    assert_eq!(answer["data"]["result"][0]["values"].as_array().unwrap().len(), 11_001);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_named_with_the_query() {
    let api = Api::with(|settings| settings.max_query_samples = 10).await;
    let samples: Vec<_> = (0..20).rev().map(|i| (i * 60, 1.0)).collect();
    api.push("m", &samples).await;
    let (status, answer) = api.get("/api/v1/query", &[("query", "sum_over_time(m[15m])")]).await;
    assert_eq!((status, &answer["errorType"]), (422, &json!("execution")));
    let text = answer["error"].as_str().unwrap();
    assert!(
        text.contains("limits.query_samples = 10") && text.contains("sum_over_time(m[15m])"),
        "{text}"
    );

    let (status, answer) = api.get("/api/v1/query", &[("query", "m"), ("timeout", "0")]).await;
    assert_eq!((status, &answer["errorType"]), (503, &json!("timeout")), "{answer}");
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("its timeout parameter") && text.contains("query: m"), "{text}");
    // The server is unharmed.
    api.ok("/api/v1/query", &[("query", "m")]).await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_limits_and_warnings() {
    let api = Api::start().await;
    for job in ["a", "b", "c"] {
        api.push(&format!("up{{job=\"{job}\"}}"), &[(0, 1.0)]).await;
    }
    let (status, answer) = api.post("/api/v1/query", &[("query", "up"), ("limit", "2")]).await;
    assert_eq!(status, 200);
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 2);
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    let (_, answer) = api.post("/api/v1/query", &[("query", "up"), ("limit", "3")]).await;
    assert!(answer.get("warnings").is_none());

    let (start, end) = (at(60), at(0));
    let form =
        [("query", "up"), ("start", &*start), ("end", &*end), ("step", "30"), ("limit", "1")];
    let (status, answer) = api.post("/api/v1/query_range", &form).await;
    assert_eq!(status, 200);
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));

    // Remarks of the evaluator arrive.
    let answer = api.ok("/api/v1/query", &[("query", "quantile(2, up)")]).await;
    assert!(answer["warnings"][0].as_str().unwrap().contains("quantile value should be between"));
    let answer = api.ok("/api/v1/query", &[("query", "rate(up[5m])")]).await;
    assert!(answer.get("warnings").is_none());

    let answer = api.ok("/api/v1/format_query", &[("query", "sum   by(job)( up ) /2")]).await;
    assert_eq!(answer["data"], "sum by (job) (up) / 2");
    // How long a sample counts can be shortened.
    api.push("old", &[(120, 1.0)]).await;
    let count = async |delta: &str| {
        let query = [("query", "old"), ("lookback_delta", delta)];
        let answer = api.ok("/api/v1/query", &query).await;
        answer["data"]["result"].as_array().unwrap().len()
    };
    assert_eq!(count("5m").await, 1);
    assert_eq!(count("60").await, 0);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_labels_and_values() {
    let api = Api::start().await;
    api.push("up{job=\"a\",zone=\"eu\"}", &[(7200, 1.0), (60, 1.0)]).await;
    api.push("up{job=\"b\"}", &[(60, 1.0)]).await;
    api.push("req{job=\"a\",code=\"500\"}", &[(60, 1.0)]).await;
    api.push("{\"http.status\"=\"x\",__name__=\"dotted\"}", &[(60, 1.0)]).await;

    let answer = api.ok("/api/v1/series", &[("match[]", "up"), ("match[]", "{job=\"a\"}")]).await;
    assert_eq!(
        answer["data"],
        json!([
            {"__name__": "req", "job": "a", "code": "500"},
            {"__name__": "up", "job": "a", "zone": "eu"},
            {"__name__": "up", "job": "b"},
        ])
    );
    let (status, answer) =
        api.post("/api/v1/series", &[("match[]", "{__name__=~\".+\"}"), ("limit", "1")]).await;
    assert_eq!((status, answer["data"].as_array().unwrap().len()), (200, 1));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));

    let names = json!(["__name__", "code", "http.status", "job", "zone"]);
    assert_eq!(api.ok("/api/v1/labels", &[]).await["data"], names);
    let (_, answer) = api.post("/api/v1/labels", &[("match[]", "up{job=\"b\"}")]).await;
    assert_eq!(answer["data"], json!(["__name__", "job"]));

    let values = async |name: &str, query: &[(&str, &str)]| {
        api.ok(&format!("/api/v1/label/{name}/values"), query).await["data"].clone()
    };
    assert_eq!(values("job", &[]).await, json!(["a", "b"]));
    assert_eq!(values("job", &[("match[]", "req")]).await, json!(["a"]));
    assert_eq!(values("__name__", &[("limit", "2")]).await, json!(["dotted", "req"]));
    assert_eq!(values("http.status", &[]).await, json!(["x"]));
    assert_eq!(values("U__http_2e_status", &[]).await, json!(["x"]));
    assert_eq!(values("nope", &[]).await, json!([]));
    // The times of Go's clients for "from the beginning to the end".
    let all =
        [("start", "-292273086-05-16T16:47:06Z"), ("end", "292277025-08-18T07:12:54.999999999Z")];
    assert_eq!(values("job", &all).await, json!(["a", "b"]));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_exemplars_build_info_and_targets() {
    let api = Api::start().await;
    let declared = |metric: &str, help: &str| Metadata {
        metric: metric.into(),
        metric_type: MetricType::Counter,
        unit: String::new(),
        help: help.into(),
    };
    let mut series = series_samples("req_total{job=\"a\"}", vec![float(10, 1.0)]);
    series.exemplars = vec![Exemplar {
        labels: Labels::from_pairs([("trace_id", "ab")]),
        timestamp_ms: NOW * 1000 - 9_500,
        value: 0.25,
    }];
    let metadata = vec![
        declared("b_total", "B"),
        declared("req_total", "one"),
        declared("req_total", "two \"q\""),
    ];
    api.push_metrics(MetricBatch { series: vec![series], metadata }).await;

    let answer = api.ok("/api/v1/metadata", &[]).await;
    assert_eq!(
        answer["data"],
        json!({
            "b_total": [{"type": "counter", "help": "B", "unit": ""}],
            "req_total": [
                {"type": "counter", "help": "one", "unit": ""},
                {"type": "counter", "help": "two \"q\"", "unit": ""},
            ],
        })
    );
    let answer = api.ok("/api/v1/metadata", &[("limit", "1")]).await;
    assert_eq!(answer["data"].as_object().unwrap().len(), 1);
    let query = [("metric", "req_total"), ("limit_per_metric", "1")];
    let answer = api.ok("/api/v1/metadata", &query).await;
    assert_eq!(answer["data"]["req_total"].as_array().unwrap().len(), 1);

    let (start, end) = (at(60), at(0));
    let form =
        [("query", "sum(rate(req_total[5m])) / req_total"), ("start", &*start), ("end", &end)];
    let want = json!([{
        "seriesLabels": {"__name__": "req_total", "job": "a"},
        "exemplars": [{"labels": {"trace_id": "ab"}, "value": "0.25", "timestamp": 1_699_999_990.5}],
    }]);
    let (status, answer) = api.post("/api/v1/query_exemplars", &form).await;
    assert_eq!((status, &answer["data"]), (200, &want));
    let later = at(5);
    let query = [("query", "req_total"), ("start", &*later)];
    assert_eq!(api.ok("/api/v1/query_exemplars", &query).await["data"], json!([]));

    let answer = api.ok("/api/v1/status/buildinfo", &[]).await;
    assert!(answer["data"]["version"].as_str().unwrap().starts_with("3."));
    let answer = api.ok("/api/v1/targets", &[]).await;
    assert_eq!(answer["data"]["activeTargets"], json!([]));
    assert_eq!(answer["data"]["droppedTargets"], json!([]));
    let answer = api.ok("/api/v1/targets", &[("state", "active")]).await;
    assert!(answer["data"].get("droppedTargets").is_none());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_beside_floats() {
    let api = Api::start().await;
    let histogram = Histogram {
        schema: 1,
        count: 3.0,
        sum: 4.5,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        ..Histogram::default()
    };
    let value = SampleValue::Histogram(Arc::new(histogram));
    let samples = vec![float(30, 7.0), Sample { timestamp_ms: NOW * 1000, value }];
    api.push_samples("h", samples).await;
    let want = json!({"count": "3", "sum": "4.5", "buckets": [
        [0, "0.7071067811865475", "1", "1"], [0, "1", "1.414213562373095", "2"],
    ]});
    let near = |a: &Value, b: &Value| -> bool {
        let number = |v: &Value| v.as_str().unwrap().parse::<f64>().unwrap();
        (number(a) - number(b)).abs() < 1e-12
    };
    let answer = api.ok("/api/v1/query", &[("query", "h")]).await;
    let got = &answer["data"]["result"][0]["histogram"];
    assert_eq!(got[0], NOW);
    for (got, want) in
        got[1]["buckets"].as_array().unwrap().iter().zip(want["buckets"].as_array().unwrap())
    {
        assert_eq!(got[0], want[0]);
        assert!((1..4).all(|i| near(&got[i], &want[i])), "{got} {want}");
    }
    let answer = api.ok("/api/v1/query", &[("query", "h[1m]")]).await;
    let series = &answer["data"]["result"][0];
    assert_eq!(series["values"], json!([[NOW - 30, "7"]]));
    assert_eq!(series["histograms"].as_array().unwrap().len(), 1);
    assert_eq!(series["histograms"][0][1]["count"], "3");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_stream_and_compress() {
    let api = Api::start().await;
    for i in 0..60 {
        let samples: Vec<_> = (0..120).rev().map(|t| (t * 15, f64::from(i) + t as f64)).collect();
        api.push(&format!("many{{n=\"{i}\"}}"), &samples).await;
    }
    let (start, end) = (at(1785), at(0));
    let query = [("query", "many"), ("start", &*start), ("end", &*end), ("step", "1")];
    let plain = api.ok("/api/v1/query_range", &query).await;
    assert_eq!(plain["data"]["result"].as_array().unwrap().len(), 60);
    let request = api.client.get(format!("{}/api/v1/query_range", api.base)).query(&query);
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text)
        .unwrap();
    assert!(bytes.len() * 5 < text.len(), "{} of {}", bytes.len(), text.len());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain);
    api.stop().await;
}

/// The guide's alert rules (§6, §7) and SLO queries (§7) on hand-made traffic.
#[tokio::test(flavor = "multi_thread")]
async fn the_guides_queries() {
    let api = Api::start().await;
    // Ten requests a second over 30 days, 2 % of them failing; sampled every ten minutes, and
    // every 15 s in the last hour.
    let month = 30 * 86_400;
    let mut times: Vec<i64> = (3600..=month + 600).rev().step_by(600).collect();
    times.extend((0..3600).rev().filter(|ago| ago % 15 == 0));
    let since = |ago: i64| (month + 600 - ago) as f64;
    for (series, per_second) in [
        ("http_requests_total{status_code=\"200\"}", 9.8),
        ("http_requests_total{status_code=\"503\"}", 0.2),
        ("http_request_duration_seconds_bucket{le=\"0.2\"}", 9.0),
        ("http_request_duration_seconds_bucket{le=\"1\"}", 9.5),
        ("http_request_duration_seconds_bucket{le=\"5\"}", 10.0),
        ("http_request_duration_seconds_bucket{le=\"+Inf\"}", 10.0),
        ("http_request_duration_seconds_count", 10.0),
    ] {
        let samples: Vec<_> = times.iter().map(|ago| (*ago, since(*ago) * per_second)).collect();
        api.push(series, &samples).await;
    }
    let guide = |file: &str| {
        let path = format!("{}/../../examples/guide/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let value = async |query: &str| {
        let answer = api.ok("/api/v1/query", &[("query", query)]).await;
        let result = answer["data"]["result"].as_array().unwrap().clone();
        assert!(result.len() <= 1, "{query}: {result:?}");
        result.first().map(|v| v["value"][1].as_str().unwrap().parse::<f64>().unwrap())
    };
    let near = |got: Option<f64>, want: f64| got.is_some_and(|got| (got - want).abs() < 1e-6);

    let rules = skopos_alerting::rules::load(&[("rules.yml", &guide("rules.yml"))]).unwrap();
    let mut seen = Vec::new();
    for rule in rules.groups.iter().flat_map(|group| &group.rules) {
        seen.push((rule.name.clone(), value(rule.expr.as_str()).await));
    }
    let of =
        |name: &str| seen.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name}")).1;
    assert!(near(of("HighErrorRate"), 0.02), "{seen:?}");
    // 99 % lies in the bucket (1, 5]: 1 + 4 · (9.9 − 9.5) / 0.5.
    assert!(near(of("HighLatency"), 4.2), "{seen:?}");
    assert_eq!(of("NoTraffic"), None);
    assert!(near(of("SLOFastBurn"), 0.02), "{seen:?}");
    assert!(near(of("SLOSlowBurn"), 0.02), "{seen:?}");

    // A rate extrapolates the month's ends alike for good and bad, so the shares are exact.
    let queries = guide("slo-queries.yml");
    for (key, want) in [("availability_query", 0.98), ("latency_query", 0.9)] {
        let (_, rest) = queries.split_once(&format!("{key}: |\n")).unwrap();
        let lines = rest.lines().take_while(|line| line.starts_with("  "));
        let query: String = lines.map(|line| format!("{line}\n")).collect();
        let got = value(&query).await;
        assert!(near(got, want), "{key}: {got:?}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extreme_times_harm_nothing() {
    let api = Api::start().await;
    api.push("up", &[(60, 1.0), (0, 1.0)]).await;
    let (far, past) = ("1e300", "-1e300");
    let deep = "(".repeat(10_000);
    let instant = "/api/v1/query";
    let range = "/api/v1/query_range";
    for (path, query) in [
        (instant, vec![("query", "up"), ("time", far)]),
        (instant, vec![("query", "up"), ("time", past)]),
        (instant, vec![("query", "up"), ("time", past), ("lookback_delta", "1e18")]),
        (instant, vec![("query", "up offset 290y"), ("time", past)]),
        (instant, vec![("query", "up offset -290y"), ("time", far)]),
        (instant, vec![("query", "rate(up[290y] offset 290y)"), ("time", past)]),
        (instant, vec![("query", "up @ 9e15")]),
        (instant, vec![("query", "up @ -9e15 offset 290y")]),
        (instant, vec![("query", "max_over_time(up[290y:1y])"), ("time", past)]),
        (instant, vec![("query", &deep)]),
        (range, vec![("query", "up"), ("start", past), ("end", far), ("step", "1e15")]),
        (range, vec![("query", "up"), ("start", past), ("end", far), ("step", "1ms")]),
        (range, vec![("query", "rate(up[290y])"), ("start", past), ("end", far), ("step", "1y")]),
        ("/api/v1/series", vec![("match[]", "up"), ("start", past), ("end", far)]),
        ("/api/v1/query_exemplars", vec![("query", "up"), ("start", past), ("end", far)]),
    ] {
        let (status, answer) = api.get(path, &query).await;
        assert!([200, 400, 422].contains(&status), "{query:?}: {status} {answer}");
    }
    api.ok("/api/v1/query", &[("query", "up")]).await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_query_gives_its_place_back() {
    let api = Api::with(|settings| settings.max_concurrent_queries = 1).await;
    for i in 0..50 {
        let samples: Vec<_> = (0..240).rev().map(|t| (t * 15, 1.0)).collect();
        api.push(&format!("m{{n=\"{i}\"}}"), &samples).await;
    }
    // Six subqueries, each over an hour more than the last: seconds.
    let heavy = (0..6)
        .fold("m".to_owned(), |inner, _| format!("quantile_over_time(0.9, {inner}[1h:100ms])"));
    let engine = &api.server.as_ref().unwrap().state().queries;
    let options = skopos_server::query::QueryOptions::default();
    tokio::select! {
        answer = engine.instant(&heavy, NOW * 1000, &options) => panic!("too soon: {answer:?}"),
        () = crate::harness::eventually("it runs", || async { engine.stats().running == 1 }) => {}
    }
    // The only place is free again long before the query could have ended by itself.
    let query = [("query", "count(m)")];
    let answer = tokio::time::timeout(Duration::from_secs(5), api.ok("/api/v1/query", &query));
    let answer = answer.await.expect("the place is given back");
    assert_eq!(answer["data"]["result"][0]["value"][1], "50");
    assert_eq!(engine.stats().running, 0);
    api.stop().await;
}

/// Debian's promtool reads our answers. Set SKOPOS_PROMTOOL, or have `promtool` in the path.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_reads_us() {
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if std::process::Command::new(&promtool).arg("--version").output().is_err() {
        println!("skipped: {promtool} is not installed");
        return;
    }
    let api = Api::start().await;
    api.push("up{job=\"a\"}", &[(60, 1.0), (0, f64::NAN)]).await;
    api.push("up{job=\"b\"}", &[(60, 2.0), (0, 3.0)]).await;
    let (start, end) = (at(60), at(0));
    let base = api.base.clone();
    for (arguments, want) in [
        (
            vec!["query", "instant", "--time", &end, &base, "up"],
            vec!["up{job=\"a\"} => NaN @[1700000000]", "up{job=\"b\"} => 3 @[1700000000]"],
        ),
        (
            vec!["query", "range", "--start", &start, "--end", &end, "--step", "60s", &base, "up"],
            vec!["up{job=\"b\"} =>", "2 @[1699999940]", "3 @[1700000000]"],
        ),
        (
            vec!["query", "series", "--match", "up", "--start", &start, "--end", &end, &base],
            vec!["{__name__=\"up\", job=\"a\"}", "{__name__=\"up\", job=\"b\"}"],
        ),
        (vec!["query", "labels", "--start", &start, "--end", &end, &base, "job"], vec!["a\nb"]),
    ] {
        let mut command = tokio::process::Command::new(&promtool);
        let output = command.args(&arguments).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{errors}");
        for want in want {
            assert!(text.contains(want), "{arguments:?}\n got {text}\nwant {want}");
        }
    }
    let mut command = tokio::process::Command::new(&promtool);
    let output = command.args(["query", "instant", &base, "sum("]).output().await.unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("bad_data") && errors.contains("parse error"), "{errors}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_alerts() {
    const RULES: &str = "
groups:
- name: first
  interval: 50ms
  limit: 9
  rules:
  - record: one
    expr: vector(1)
    labels: {kind: test}
  - alert: Always
    expr: vector(7) > 1
    keep_firing_for: 1m
    labels: {severity: page}
    annotations: {summary: 'value {{ $value }}'}
- name: second
  interval: 50ms
  rules:
  - alert: Never
    expr: vector(0) > 1
    for: 5m
";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml").to_string_lossy().into_owned();
    std::fs::write(&file, RULES).unwrap();
    let files = vec![file.clone()];
    let server = TestServer::with(|settings| settings.rule_files = files).await;
    let names = async |query: &str| -> Vec<String> {
        let answer = server.get_json(&format!("/api/v1/rules{query}")).await;
        let groups = answer["data"]["groups"].as_array().unwrap().clone();
        let rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap().clone());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    eventually("all rules were evaluated", async || {
        let answer = server.get_json("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().unwrap();
        let mut rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap());
        // A group's own time is set when its slot is over, after its last rule's.
        let over = |g: &Value| g["lastEvaluation"].as_str().unwrap().starts_with("20");
        groups.len() == 2 && groups.iter().all(over) && rules.all(|rule| rule["health"] == "ok")
    })
    .await;
    let answer = server.get_json("/api/v1/rules").await;
    let group = &answer["data"]["groups"][0];
    assert_eq!((&group["name"], &group["limit"]), (&json!("first"), &json!(9)));
    assert_eq!((&group["interval"], &group["file"]), (&json!(0.05), &json!(file)));
    assert!(group["lastEvaluation"].as_str().unwrap().starts_with("20"));
    let (record, alert) = (&group["rules"][0], &group["rules"][1]);
    assert_eq!(record["type"], "recording");
    assert_eq!(
        (&record["query"], &record["labels"]),
        (&json!("vector(1)"), &json!({"kind": "test"}))
    );
    assert!(record.get("alerts").is_none());
    for (field, want) in [
        ("type", json!("alerting")),
        ("state", json!("firing")),
        ("query", json!("vector(7) > 1")),
        ("duration", json!(0.0)),
        ("keepFiringFor", json!(60.0)),
        ("labels", json!({"severity": "page"})),
        ("annotations", json!({"summary": "value {{ $value }}"})),
    ] {
        assert_eq!(alert[field], want, "{field}");
    }
    let never = &answer["data"]["groups"][1]["rules"][0];
    assert_eq!((&never["state"], &never["alerts"]), (&json!("inactive"), &json!([])));
    assert_eq!(never["duration"], 300.0);

    let alerts = server.get_json("/api/v1/alerts").await["data"]["alerts"].clone();
    assert_eq!(alerts, alert["alerts"]);
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    assert_eq!(alerts[0]["labels"], json!({"alertname": "Always", "severity": "page"}));
    assert_eq!(alerts[0]["annotations"], json!({"summary": "value 7"}));
    assert_eq!((&alerts[0]["state"], &alerts[0]["value"]), (&json!("firing"), &json!("7e+00")));
    assert!(alerts[0]["activeAt"].as_str().unwrap().ends_with('Z'));

    for (query, want) in [
        ("?type=alert", vec!["Always", "Never"]),
        ("?type=record", vec!["one"]),
        ("?rule_name[]=one&rule_name[]=Never", vec!["one", "Never"]),
        ("?rule_group[]=second", vec!["Never"]),
        ("?file[]=other.yml", vec![]),
    ] {
        assert_eq!(names(query).await, want, "{query}");
    }
    let answer = server.get_json("/api/v1/rules?exclude_alerts=true").await;
    assert_eq!(answer["data"]["groups"][0]["rules"][1]["alerts"], json!([]));
    server.stop().await;
}
