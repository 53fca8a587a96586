//! Remote write through HTTP: what a Prometheus that sends to us is told, and what it finds again.

use skopos_ingest::remote_write::{encode, encode_v2};
use skopos_model::{
    Exemplar, Histogram, Labels, Metadata, MetricBatch, MetricType, STALE_NAN, Sample, SampleValue,
    SeriesSamples,
};

use crate::api::{Api, NOW, float, labels, series_samples};

async fn write(api: &Api, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let mut request = api.client.post(format!("{}/api/v1/write", api.base)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

fn of(series: Vec<SeriesSamples>) -> MetricBatch {
    MetricBatch { series, metadata: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read() {
    let api = Api::start().await;
    let mut total = series_samples("a_total{job=\"shop\"}", vec![float(15, 1.0), float(0, 3.0)]);
    total.exemplars.push(Exemplar {
        labels: Labels::from_pairs([("trace_id", "0af7")]),
        timestamp_ms: (NOW - 15) * 1000,
        value: 0.5,
    });
    let gone = series_samples("gone", vec![float(15, 1.0), float(0, STALE_NAN)]);
    let native = Histogram { count: 2.0, sum: 1.5, zero_count: 2.0, ..Histogram::default() };
    let native = SampleValue::Histogram(std::sync::Arc::new(native));
    let native = Sample { timestamp_ms: NOW * 1000, value: native };
    let metadata = vec![Metadata {
        metric: "a_total".into(),
        metric_type: MetricType::Counter,
        unit: String::new(),
        help: "All a's.".into(),
    }];
    let series = vec![total, gone, series_samples("native", vec![native])];
    let body = encode(&MetricBatch { series, metadata });
    assert_eq!(write(&api, &HEADERS, body).await, (204, String::new()));

    let value = async |query: &str| {
        let answer = api.ok("/api/v1/query", &[("query", query)]).await;
        answer["data"]["result"].clone()
    };
    assert_eq!(value("a_total").await[0]["value"][1], "3");
    assert_eq!(value("increase(a_total[1m])").await[0]["metric"]["job"], "shop");
    assert_eq!(value("gone").await, serde_json::json!([]));
    assert_eq!(value("last_over_time(gone[1m])").await[0]["value"][1], "1");
    assert_eq!(value("histogram_count(native)").await[0]["value"][1], "2");
    let answer = api.ok("/api/v1/metadata", &[]).await;
    assert_eq!(answer["data"]["a_total"][0]["help"], "All a's.");
    let (start, end) = ((NOW - 60).to_string(), NOW.to_string());
    let query = [("query", "a_total"), ("start", &*start), ("end", &*end)];
    let answer = api.ok("/api/v1/query_exemplars", &query).await;
    assert_eq!(answer["data"][0]["exemplars"][0]["labels"]["trace_id"], "0af7");

    let receipts = api.server.as_ref().unwrap().state().receipts.snapshot();
    let (_, accepted) = receipts["shop"].accepted.first_key_value().unwrap();
    assert_eq!(*accepted, 2);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_version_is_told_how_much_was_written() {
    let api = Api::start().await;
    let content_type = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let send = async |body: Vec<u8>| {
        let request = api.client.post(format!("{}/api/v1/write", api.base)).body(body);
        let request = request.header("content-type", content_type);
        let request = request.header("content-encoding", "snappy");
        let response = request.header("x-prometheus-remote-write-version", "2.0.0").send();
        let response = response.await.unwrap();
        let written = ["samples", "histograms", "exemplars"].map(|what| {
            let name = format!("x-prometheus-remote-write-{what}-written");
            response.headers()[name].to_str().unwrap().to_owned()
        });
        (response.status().as_u16(), written.join(" "), response.text().await.unwrap())
    };
    let mut total = series_samples("a_total{job=\"shop\"}", vec![float(15, 1.0), float(0, 3.0)]);
    total.start_timestamp_ms = Some((NOW - 60) * 1000);
    total.exemplars.push(Exemplar {
        labels: Labels::from_pairs([("trace_id", "0af7")]),
        timestamp_ms: (NOW - 15) * 1000,
        value: 0.5,
    });
    let native = Histogram { count: 2.0, sum: 1.5, zero_count: 2.0, ..Histogram::default() };
    let native = SampleValue::Histogram(std::sync::Arc::new(native));
    let native = Sample { timestamp_ms: NOW * 1000, value: native };
    let metadata = vec![Metadata {
        metric: "a_total".into(),
        metric_type: MetricType::Counter,
        unit: String::new(),
        help: "All a's.".into(),
    }];
    let series = vec![total, series_samples("native{job=\"shop\"}", vec![native])];
    let (status, written, text) = send(encode_v2(&MetricBatch { series, metadata })).await;
    assert_eq!((status, &*written, &*text), (204, "2 1 1", ""));
    let answer = api.ok("/api/v1/query", &[("query", "a_total + histogram_count(native)")]).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "5");
    let answer = api.ok("/api/v1/metadata", &[]).await;
    assert_eq!(answer["data"]["a_total"][0]["type"], "counter");

    // What is refused in part is counted in part.
    let future = series_samples("far{job=\"shop\"}", vec![float(-86_400, 1.0)]);
    let good = series_samples("good{job=\"shop\"}", vec![float(0, 1.0)]);
    let (status, written, text) = send(encode_v2(&of(vec![future, good]))).await;
    assert_eq!((status, &*written), (400, "1 0 0"), "{text}");
    assert!(text.contains("rejected 1 (far_future) of shop"), "{text}");
    // The first version under the name of the second is neither.
    let (status, written, _) =
        send(encode(&of(vec![series_samples("x", vec![float(0, 1.0)])]))).await;
    assert_eq!((status, &*written), (400, "0 0 0"));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_will_be_stored_is_a_400_and_the_rest_is_stored() {
    let api = Api::start().await;
    let future = series_samples("far{job=\"shop\"}", vec![float(-86_400, 1.0)]);
    let nameless = SeriesSamples::single(Labels::from_pairs([("job", "x")]), NOW * 1000, 1.0);
    let good = series_samples("good{job=\"shop\"}", vec![float(0, 1.0)]);
    let (status, text) = write(&api, &HEADERS, encode(&of(vec![future, nameless, good]))).await;
    assert_eq!(status, 400, "{text}");
    for part in ["rejected 1 (far_future) of shop", "rejected 1 (empty_name) of x"] {
        assert!(text.contains(part), "{text}");
    }
    let answer = api.ok("/api/v1/query", &[("query", "{job=~\".+\"}")]).await;
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    let metrics = api.client.get(format!("{}/metrics", api.base)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "skopos_ingest_accepted_items_total{signal=\"metrics\",sender=\"shop\"} 1",
        "skopos_ingest_rejected_items_total{signal=\"metrics\",sender=\"x\",reason=\"empty_name\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_tell_senders_whether_to_repeat() {
    let api = Api::with(|settings| settings.max_request_bytes = 1 << 20).await;
    let body = || encode(&of(vec![series_samples("up", vec![float(0, 1.0)])]));
    let with = |name: &'static str, value: &'static str| {
        let mut headers = HEADERS;
        for header in headers.iter_mut().filter(|(n, _)| *n == name) {
            header.1 = value;
        }
        headers
    };
    let large = vec![0_u8; 2 << 20];
    let large = snap(&large);
    for (headers, body, status, message) in [
        (HEADERS, b"not snappy".to_vec(), 400, "not a valid snappy block"),
        (HEADERS, Vec::new(), 400, "not a valid snappy block"),
        (HEADERS, snap(b"\x0a\x09"), 400, "not a valid remote-write message"),
        (HEADERS, large, 413, "limits.request_bytes = 1048576"),
        (HEADERS, vec![0; 2 << 20], 413, "limits.request_bytes = 1048576"),
        (with("content-encoding", "zstd"), body(), 415, "Content-Encoding snappy"),
        (
            with("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
            body(),
            415,
            "remote write 1.0",
        ),
        // A page in a browser can send such a form to a server on loopback.
        (with("content-type", "text/plain"), body(), 403, "header"),
    ] {
        let (got, text) = write(&api, &headers, body).await;
        assert_eq!(got, status, "{headers:?} {text}");
        assert!(text.contains(message) && text.ends_with('\n'), "{text}");
    }
    assert_eq!(write(&api, &HEADERS, snap(b"")).await.0, 204);
    let receipts = api.server.as_ref().unwrap().state().receipts.snapshot();
    let refused = &receipts["127.0.0.1"].refused_requests;
    let of = |reason: &str| {
        let found = refused.iter().find(|((_, r), _)| r == reason);
        found.map(|((transport, _), count)| (transport.as_str(), *count))
    };
    assert_eq!(of("corrupt_encoding"), Some(("remote_write", 2)));
    assert_eq!(of("malformed_protobuf"), Some(("remote_write", 1)));
    assert_eq!(of("request_bytes"), Some(("remote_write", 2)));
    assert_eq!(of("content_type"), Some(("remote_write", 1)));
    assert_eq!(of("content_encoding"), Some(("remote_write", 1)));
    assert_eq!(of("forbidden"), Some(("remote_write", 1)));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_server_asks_for_a_repeat() {
    let api = Api::with(|settings| settings.max_inflight_bytes = 2 << 10).await;
    let samples = (0..2_000).map(|ago| float(ago, ago as f64 + 0.1)).collect();
    let body = encode(&of(vec![series_samples("many", samples)]));
    let request = api.client.post(format!("{}/api/v1/write", api.base)).body(body);
    let request = HEADERS.iter().fold(request, |r, (name, value)| r.header(*name, *value));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    let small = encode(&of(vec![SeriesSamples::single(labels("up"), NOW * 1000, 1.0)]));
    assert_eq!(write(&api, &HEADERS, small).await.0, 204);
    api.stop().await;
}

fn snap(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}
