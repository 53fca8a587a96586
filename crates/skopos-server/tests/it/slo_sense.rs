//! Objectives that cannot be what was meant, through the server: the guide's latency query over a histogram without
//! that bucket, and more good events than events.

use serde_json::Value;
use skopos_model::{Sample, SampleValue};

use crate::api::{Api, NOW};
use crate::harness::eventually;
use crate::openapi::{document, fits};
use crate::slos::{file, with};

const OBJECTIVES: &str = r#"
slo: guide-latency
service: api
owner: team-api
sli:
  good_ratio: |
    sum(rate(http_request_duration_seconds_bucket{le="0.2"}[30d]))
    / sum(rate(http_request_duration_seconds_count[30d]))
target: 99.9%
window: 30d
runbook: runbooks/slo-slow-burn.md
---
slo: turned-round
service: shop
owner: team-shop
sli: {good: all_total, total: good_total}
target: 99%
window: 30d
runbook: runbooks/slo-slow-burn.md
"#;

fn counter(each: f64) -> Vec<Sample> {
    let sample = |at: i64| Sample {
        timestamp_ms: (NOW - 3600 + at * 15) * 1000,
        value: SampleValue::Float(at as f64 * each),
    };
    (0..=240).map(sample).collect()
}

async fn problems(api: &Api) -> Vec<String> {
    let status = api.ok("/api/v1/status", &[]).await;
    let problems = status["data"]["problems"].as_array().unwrap().iter();
    problems.map(|problem| problem.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_told_everywhere_and_is_not_go() {
    let (_files, path) = file(OBJECTIVES);
    let api = Api::start().await;
    for (le, each) in [("0.1", 5.0), ("0.25", 8.0), ("0.3", 9.0), ("+Inf", 10.0)] {
        let series = format!("http_request_duration_seconds_bucket{{job=\"api\",le=\"{le}\"}}");
        api.push_samples(&series, counter(each)).await;
    }
    for (series, each) in [
        ("http_request_duration_seconds_count{job=\"api\"}", 10.0),
        ("good_total{job=\"shop\"}", 5.0),
        ("all_total{job=\"shop\"}", 10.0),
    ] {
        api.push_samples(series, counter(each)).await;
    }
    let api = Api::reopen(api.close().await, with(&path)).await;
    eventually("the problems are known", || async {
        let list = api.ok("/api/v1/slos", &[]).await;
        let slos = list["data"]["slos"].as_array().unwrap();
        slos.len() == 2 && slos.iter().all(|slo| slo["problem"].is_string())
    })
    .await;
    let list = api.ok("/api/v1/slos", &[]).await;
    let schema = serde_json::json!({"$ref": "#/components/schemas/SloList"});
    fits(&document(), &schema, &list, "answer").unwrap();
    let of = |name: &str| -> Value {
        let slos = list["data"]["slos"].as_array().unwrap();
        slos.iter().find(|slo| slo["slo"] == name).unwrap().clone()
    };
    let (latency, turned) = (of("guide-latency"), of("turned-round"));
    let missing = "its histogram has no bucket le=\"0.2\"; there are 0.1, 0.25, 0.3";
    assert_eq!(latency["problem"], missing);
    assert_eq!((&latency["health"], &latency["good_ratio"]), (&"no_data".into(), &Value::Null));
    assert!(latency["sentence"].as_str().unwrap().contains(missing), "{latency:#}");
    let more = "there are more good events than events";
    assert!(turned["problem"].as_str().unwrap().starts_with(more), "{turned:#}");
    assert_eq!((&turned["health"], &turned["error"]), (&"warning".into(), &Value::Null));

    for (service, says) in [("api", missing), ("shop", more)] {
        let gate = api.ok("/api/v1/slo/gate", &[("service", service)]).await["data"].clone();
        assert_eq!((&gate["verdict"], &gate["exit_code"]), (&"caution".into(), &1.into()));
        assert!(gate["sentence"].as_str().unwrap().contains(says), "{gate:#}");
    }
    // In the list of what is wrong, at once: nobody has to wait for two minutes without data.
    let found = problems(&api).await.join("\n");
    assert!(found.contains("cannot be relied on"), "{found}");
    for says in ["guide-latency", "no bucket le=", "turned-round", more] {
        assert!(found.contains(says), "{says}: {found}");
    }
    api.stop().await;
}
