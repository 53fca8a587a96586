//! Memory divided over head, queries and caches: a query beyond its share ends by name, and others
//! go on.

use std::sync::Arc;

use skopos_model::MetricBatch;
use skopos_server::query::QueryClass;

use crate::api::{Api, NOW, float, series_samples};

/// Sixty-four series with a sample every 15 s for an hour.
async fn wide(memory_limit: u64) -> Arc<Api> {
    let api = Api::with(|settings| settings.memory_limit = Some(memory_limit)).await;
    let series = (0..64).map(|i| {
        let samples = (0..240).map(|n| float(3600 - n * 15, n as f64)).collect();
        series_samples(&format!("wide{{i=\"{i}\"}}"), samples)
    });
    api.push_metrics(MetricBatch { series: series.collect(), metadata: vec![] }).await;
    Arc::new(api)
}

/// Steps of a second over the last so many seconds.
async fn range(api: &Api, query: &str, seconds: i64) -> (u16, serde_json::Value) {
    let (start, end) = ((NOW - seconds).to_string(), NOW.to_string());
    let query = [("query", query), ("start", &start), ("end", &end), ("step", "1")];
    api.get("/api/v1/query_range", &query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_beyond_its_share_ends_by_name_and_others_go_on() {
    // A quarter for queries together, 4 MiB; half of that for one.
    let api = wide(16 << 20).await;
    let others = {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            for _ in 0..40 {
                assert_eq!(range(&api, "wide{i=\"7\"}", 600).await.0, 200);
            }
        })
    };
    for _ in 0..10 {
        let (status, answer) = range(&api, "wide + 1", 10_000).await;
        assert_eq!((status, answer["errorType"].as_str()), (422, Some("execution")), "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("limits.query_bytes = 2097152"), "{error}");
        assert!(error.contains("wide + 1"), "the query is named: {error}");
    }
    others.await.unwrap();
    let server = api.server.as_ref().unwrap();
    assert_eq!(server.state().queries.memory().used_bytes(), 0, "all of it is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_together_hold_no_more_than_their_share() {
    let api = wide(16 << 20).await;
    let queries = Arc::clone(&api.server.as_ref().unwrap().state().queries);
    let hold = async |bytes: u64| {
        let read = queries.begin("held", None, QueryClass::Interactive).await.unwrap();
        read.budget().charge_bytes(bytes).unwrap();
        read
    };
    let (first, second) = (hold(2 << 20).await, hold((2 << 20) - (64 << 10)).await);
    let (status, answer) = range(&api, "wide", 1_000).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert_eq!(status, 422, "{answer}");
    assert!(error.contains("the queries' share of memory.limit = 4194304"), "{error}");
    assert_eq!(range(&api, "wide{i=\"7\"}", 60).await.0, 200, "what fits goes on");

    let page = api.client.get(format!("{}/metrics", api.base)).send().await.unwrap();
    let page = page.text().await.unwrap();
    let value = |line: &str| {
        let rest = page.lines().find_map(|found| found.strip_prefix(line));
        rest.unwrap_or_else(|| panic!("{line} in {page}")).trim().parse::<f64>().unwrap()
    };
    for (share, bytes) in
        [("total", 16 << 20), ("head", 8 << 20), ("queries", 4 << 20), ("caches", 2 << 20)]
    {
        let line = format!("skopos_memory_limit_bytes{{share=\"{share}\"}}");
        assert_eq!(value(&line), f64::from(bytes), "{share}");
    }
    assert_eq!(value("skopos_memory_used_bytes{share=\"queries\"}"), 4_128_768.0);
    assert!(value("skopos_memory_used_bytes{share=\"head\"}") > 10_000.0);
    assert!(value("skopos_memory_refused_queries_total") >= 1.0);

    drop((first, second));
    assert_eq!(range(&api, "wide", 1_000).await.0, 200);
}
