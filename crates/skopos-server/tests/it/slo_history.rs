//! The history of objectives through the server: what is asked of a young store, and samples that come hours after
//! their time.

use serde_json::{Value, json};
use skopos_ingest::remote_write::encode;
use skopos_model::{Clock, MetricBatch, SeriesSamples, SystemClock};

use crate::api::{Api, NOW, series_samples};
use crate::harness::{TestServer, eventually};
use crate::slos::{OBJECTIVES, file, requests, status, with};

/// Queries that were run since the start: those of rules and objectives, for nobody else asks.
async fn queries(api: &Api) -> f64 {
    let metrics = api.client.get(format!("{}/metrics", api.base)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let ended = metrics.lines().filter(|line| line.starts_with("skopos_query_ended_total{"));
    ended.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn state(api: &Api) -> Value {
    api.ok("/api/v1/slos", &[]).await["data"]["state"].clone()
}

/// A thousand objectives over 30 days would be a quarter of a million queries.
#[tokio::test(flavor = "multi_thread")]
async fn a_young_store_is_not_asked_for_months() {
    let many: Vec<String> = (0..50)
        .map(|n| {
            let one = OBJECTIVES.replace("shop-availability", &format!("shop-{n}"));
            one.replace("http_requests_total", &format!("http_requests_{n}_total"))
        })
        .collect();
    let (_files, path) = file(&many.join("---"));
    let api = Api::with(with(&path)).await;
    let is_evaluated = async || state(&api).await["last_slot_ms"].is_i64();
    eventually("objectives are evaluated", is_evaluated).await;
    assert_eq!(state(&api).await["backfill"]["state"], "none", "there is nothing to compute back");
    // The alerts of the objectives are rules too: six of each.
    let at_a_slot = 50.0 * 2.0 + 50.0 * 6.0;
    let asked = queries(&api).await;
    assert!(asked <= at_a_slot, "an empty store was asked {asked} times");

    for (series, samples) in requests(NOW - 600, NOW, 3) {
        let series = series.replace("http_requests_total", "http_requests_7_total");
        api.push_samples(&series, samples).await;
    }
    let api = Api::reopen(api.close().await, with(&path)).await;
    let is_filled = async || state(&api).await["backfill"]["state"] == json!("done");
    eventually("history is filled in", is_filled).await;
    let asked = queries(&api).await;
    // Of ten minutes there is one chunk, or two.
    assert!(asked <= 2.0 * at_a_slot + 50.0 * 4.0, "a store of minutes was asked {asked} times");
    assert!(asked >= 100.0, "{asked}");
    let list = api.ok("/api/v1/slos", &[]).await;
    let seventh = list["data"]["slos"].as_array().unwrap().iter().find(|s| s["slo"] == "shop-7");
    // The clock stands still in a minute that is not over: slots would count what of it was seen so far.
    let total = seventh.unwrap()["total"].as_f64().unwrap();
    assert!((760.0..=800.0).contains(&total), "{total}");
    api.stop().await;
}

/// Whoever begins with an empty store and brings the past later finds it in the account.
#[tokio::test(flavor = "multi_thread")]
async fn samples_of_yesterday_are_counted_though_they_come_today() {
    let (_files, path) = file(OBJECTIVES);
    let server = TestServer::with(with(&path)).await;
    eventually("slots go on", || async {
        server.get_json("/api/v1/slos").await["data"]["state"]["last_slot_ms"].is_i64()
    })
    .await;
    let now = SystemClock::new().now().as_millis() / 60_000 * 60;
    let hours = 20;
    let series = requests(now - hours * 3600, now, 4).into_iter();
    let series = series.map(|(name, samples)| series_samples(name, samples)).collect();
    assert_eq!(write(&server, series).await, 204);
    eventually("all of it is counted", || async {
        let found = status(&server).await;
        (&found["total"], &found["bad"])
            == (&json!((hours * 4_500) as f64), &json!((hours * 900) as f64))
    })
    .await;
    let metrics = server.get_text("/metrics").await;
    let late = "skopos_slo_late_history_samples_total ";
    let late = metrics.lines().find_map(|line| line.strip_prefix(late)).unwrap();
    // Fourteen hours of two series, one sample in 15 s.
    let late: f64 = late.parse().unwrap();
    assert!((6_700.0..=6_740.0).contains(&late), "{late}");
    assert!(metrics.contains("skopos_slo_history_chunks_again_total"), "{metrics}");

    // What the store refuses, because it knows younger samples of the series, nobody has to read again.
    let [(good, mut samples), _] = requests(now - hours * 3600, now - hours * 3600 + 60, 4);
    samples.iter_mut().for_each(|sample| sample.timestamp_ms += 7_000);
    assert_eq!(write(&server, vec![series_samples(good, samples)]).await, 400);
    // Of what is stored, but older than what is kept, objectives count nothing: seconds taken for milliseconds.
    let mut seconds = requests(now - 60, now, 4)[0].1.clone();
    seconds.iter_mut().for_each(|sample| sample.timestamp_ms /= 1000);
    let series = "http_requests_total{job=\"shop\",status_code=\"404\"}";
    assert_eq!(write(&server, vec![series_samples(series, seconds)]).await, 204);
    let metrics = server.get_text("/metrics").await;
    let value = |name: &str| -> f64 {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        found.trim().parse().unwrap()
    };
    assert_eq!(value("skopos_slo_late_history_samples_total "), late);
    assert_eq!(value("skopos_slo_forgotten_samples_total "), 5.0);
    server.stop().await;
}

/// Sends series by remote write; the status of the answer.
async fn write(server: &TestServer, series: Vec<SeriesSamples>) -> u16 {
    let batch = MetricBatch { series, metadata: vec![] };
    let write = server.client.post(server.http("/api/v1/write")).body(encode(&batch));
    let write = write
        .header("x-skopos-request", "test")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy");
    write.send().await.unwrap().status().as_u16()
}
