//! Objectives through the server: history, slots, alerts, notes, reload, and a crash in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skopos_ingest::remote_write::encode;
use skopos_model::storage::Append;
use skopos_model::{Clock, MetricBatch, Sample, SampleValue, SignalBatch, SystemClock, Timestamp};
use skopos_server::ServerError;
use skopos_server::config::Settings;
use skopos_testkit::VirtualClock;
use skopos_testkit::fault_fs::FaultFs;
use tempfile::TempDir;

use crate::api::{Api, NOW, series_samples};
use crate::harness::{TestServer, eventually, settings, start};
use crate::openapi::{document, fits};
use crate::rules::Sink;

pub(crate) const OBJECTIVES: &str = r#"
slo: shop-availability
service: shop
owner: team-shop
description: Requests that the shop does not fail.
sli:
  bad: http_requests_total{job="shop",status_code=~"5.."}
  total: http_requests_total{job="shop"}
target: 99%
window: 1d
policy: {override: [sre-lead]}
runbook: runbooks/shop-availability.md
"#;

pub(crate) fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.yml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

pub(crate) fn with(path: &str) -> impl FnOnce(&mut Settings) + use<> {
    let path = path.to_owned();
    move |settings| {
        settings.slo_files = vec![path];
        settings.evaluation_interval = Duration::from_secs(1);
    }
}

/// Requests of a shop, one good one a second and one bad one in so many.
pub(crate) fn requests(from: i64, to: i64, one_bad_in: i64) -> [(&'static str, Vec<Sample>); 2] {
    let count = |label: &'static str, of: &dyn Fn(i64) -> i64| {
        let sample = |at: i64| Sample {
            timestamp_ms: at * 1000,
            value: SampleValue::Float(of(at - from) as f64),
        };
        (label, (from..=to).step_by(15).map(sample).collect())
    };
    [
        count("http_requests_total{job=\"shop\",status_code=\"200\"}", &|age| age),
        count("http_requests_total{job=\"shop\",status_code=\"500\"}", &|age| age / one_bad_in),
    ]
}

async fn data(api: &Api, path: &str, query: &[(&str, &str)], schema: &str) -> Value {
    let answer = api.ok(path, query).await;
    let document = document();
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    if let Err(why) = fits(&document, &schema, &answer, "answer") {
        panic!("{path}: {why}\n{answer:#}");
    }
    answer["data"].clone()
}

async fn send(api: &Api, method: &str, path: &str, body: &Value, schema: &str) -> Value {
    let request = api.client.request(method.parse().unwrap(), format!("{}{path}", api.base));
    let request = request.header("x-skopos-request", "test");
    let answer = request.body(body.to_string()).send().await.unwrap();
    let (status, answer) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 200, "{answer}");
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    fits(&document(), &schema, &answer, "answer").unwrap();
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_filled_in_and_every_answer_fits_its_schema() {
    let (_files, path) = file(OBJECTIVES);
    let api = Api::start().await;
    for (series, samples) in requests(NOW - 3 * 3600, NOW, 1_000) {
        api.push_samples(series, samples).await;
    }
    let api = Api::reopen(api.close().await, with(&path)).await;
    eventually("history is filled in", || async {
        let list = api.ok("/api/v1/slos", &[]).await;
        list["data"]["state"]["backfill"]["state"] == "done"
    })
    .await;
    let list = data(&api, "/api/v1/slos", &[("service", "shop")], "SloList").await;
    let status = &list["slos"][0];
    // 3 h less the 13 min 20 s that the last whole slice and quarters leave out at most.
    assert!((9_700.0..=10_811.0).contains(&status["total"].as_f64().unwrap()), "{status:#}");
    assert!((9.0..=10.0).contains(&status["bad"].as_f64().unwrap()), "{status:#}");
    let left = status["budget_remaining"].as_f64().unwrap();
    assert!((0.89..0.92).contains(&left), "{status:#}");
    assert_eq!(status["budget_minutes"], 14.4);
    let coverage = status["coverage"].as_f64().unwrap();
    assert!((0.11..0.13).contains(&coverage), "3 of 24 hours have data: {coverage}");
    assert!(
        data(&api, "/api/v1/slos", &[("service", "other")], "SloList").await["slos"] == json!([])
    );

    let deploy = json!({
        "kind": "deploy", "service": "shop", "text": "v2", "by": "ci",
        "start_ms": (NOW - 3600) * 1000,
    });
    let noted = send(&api, "POST", "/api/v1/slo/annotations", &deploy, "SloAnnotationAnswer").await;
    assert_eq!(noted["annotation"]["text"], "v2");
    let found = data(&api, "/api/v1/slo/annotations", &[], "SloAnnotations").await;
    assert_eq!(found["annotations"], json!([noted["annotation"]]));

    let one = data(&api, "/api/v1/slos/shop-availability", &[], "SloDetail").await;
    assert_eq!(one["slo"]["target"], 0.99);
    let spent = one["spenders"][0]["sentence"].as_str().unwrap();
    assert!(spent.starts_with("Deploy \"v2\" burned "), "{spent}");
    let chart = data(
        &api,
        "/api/v1/slos/shop-availability/chart",
        &[("start", "now-2h"), ("step", "5m")],
        "SloChart",
    );
    let chart = chart.await;
    let points = chart["points"].as_array().unwrap();
    assert!((24..=26).contains(&points.len()), "{}", points.len());
    assert_eq!(points[0]["burn_down"], 1.0);
    assert!(points.last().unwrap()["burn_down"].as_f64().unwrap() < 1.0);
    assert_eq!(chart["annotations"][0]["text"], "v2");

    let correction = json!({
        "slo": "shop-availability", "reason": "load test", "by": "kim",
        "start_ms": (NOW - 2 * 3600) * 1000, "end_ms": (NOW - 3600) * 1000,
    });
    let path = "/api/v1/slo/corrections";
    let noted = send(&api, "POST", path, &correction, "SloCorrectionAnswer").await;
    let id = noted["correction"]["id"].as_str().unwrap().to_owned();
    let one = data(&api, "/api/v1/slos/shop-availability", &[], "SloDetail").await;
    assert_eq!(one["budgets"][0]["corrections"][0]["reason"], "load test");
    assert!(one["budgets"][0]["total"].as_f64().unwrap() < 7_300.0, "an hour less: {one:#}");
    let path = format!("{path}/{id}");
    let revoked = send(&api, "DELETE", &path, &json!({}), "SloCorrectionAnswer").await;
    assert!(revoked["correction"]["revoked_ms"].is_i64());
    data(&api, "/api/v1/slo/corrections", &[("slo", "shop-availability")], "SloCorrections").await;

    let gate = data(&api, "/api/v1/slo/gate", &[("service", "shop")], "SloGateAnswer").await;
    assert_eq!((&gate["verdict"], &gate["exit_code"]), (&json!("go"), &json!(0)), "{gate:#}");
    let gate = data(&api, "/api/v1/slo/gate", &[("service", "nobody")], "SloGateAnswer").await;
    assert_eq!((&gate["verdict"], &gate["exit_code"]), (&json!("caution"), &json!(1)), "{gate:#}");
    let leave = json!({
        "service": "shop", "reason": "fix of the fault", "by": "sre-lead",
        "until_ms": (NOW + 3600) * 1000,
    });
    send(&api, "POST", "/api/v1/slo/overrides", &leave, "SloOverrideAnswer").await;
    let found = data(&api, "/api/v1/slo/overrides", &[], "SloOverrides").await;
    assert_eq!(found["overrides"][0]["by"], "sre-lead");
    let gate = data(&api, "/api/v1/slo/gate", &[("service", "shop")], "SloGateAnswer").await;
    assert_eq!(gate["override"]["reason"], "fix of the fault");
    data(&api, "/api/v1/slo/review", &[], "SloReviews").await;
    let init = data(&api, "/api/v1/slo/init", &[("service", "shop")], "SloInit").await;
    let text = init["text"].as_str().unwrap();
    assert!(
        text.contains("http_requests_total{job=\\\"shop\\\",status_code=~\\\"5..\\\"}"),
        "{text}"
    );
    skopos_alerting::slo::load(&[("init.yml", text)]).unwrap();
    refusals(&api).await;
    api.stop().await;
}

async fn refusals(api: &Api) {
    for (path, query, status, want) in [
        ("/api/v1/slos/nothing", vec![], 404, "there is no objective"),
        ("/api/v1/slos/nothing/chart", vec![], 404, "there is no objective"),
        ("/api/v1/slos/shop-availability/chart", vec![("step", "0")], 400, "step"),
        ("/api/v1/slos/shop-availability/chart", vec![("group", "region")], 400, "LABEL=VALUE"),
        ("/api/v1/slos/shop-availability/chart", vec![("group", "a=b")], 404, "no group"),
        ("/api/v1/slo/gate", vec![], 400, "`service` is missing"),
        ("/api/v1/slo/gate", vec![("servce", "x")], 400, "did you mean `service`?"),
        ("/api/v1/slo/review", vec![("slo", "x")], 404, "there is no objective"),
    ] {
        let (got, answer) = api.get(path, &query).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(want), "{answer}");
    }
    for (path, body, status, want) in [
        ("annotations", json!({"kind": "deploy"}), 400, "service"),
        ("annotations", json!({"kind": "party", "service": "a", "text": "b"}), 400, "deploy"),
        ("annotations", json!({"kind": "note", "service": " ", "text": "b"}), 400, "the service"),
        (
            "corrections",
            json!({"slo": "x", "start_ms": 1, "end_ms": 2, "reason": "r", "by": "b"}),
            404,
            "there is no objective",
        ),
        (
            "overrides",
            json!({"service": "shop", "reason": "r", "by": "intern", "until_ms": (NOW + 60) * 1000}),
            400,
            "sre-lead",
        ),
        (
            "overrides",
            json!({"service": "shop", "reason": "r", "by": "sre-lead", "until_ms": (NOW + 8 * 86_400) * 1000}),
            400,
            "7 days",
        ),
    ] {
        let request = api.client.post(format!("{}/api/v1/slo/{path}", api.base));
        let request = request.header("x-skopos-request", "test");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["message"].as_str().unwrap().contains(want), "{answer}");
    }
    let gone = api.client.delete(format!("{}/api/v1/slo/corrections/0", api.base));
    let gone = gone.header("x-skopos-request", "test");
    assert_eq!(gone.send().await.unwrap().status(), 404);
}

async fn push(server: &TestServer, from: i64, to: i64, one_bad_in: i64) {
    for (series, samples) in requests(from, to, one_bad_in) {
        let series = vec![series_samples(series, samples)];
        let batch = SignalBatch::Metrics(MetricBatch { series, metadata: vec![] });
        Append::append(&*server.server.state().store, batch).await.unwrap();
    }
}

pub(crate) async fn status(server: &TestServer) -> Value {
    server.get_json("/api/v1/slos").await["data"]["slos"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burn_pages_and_outlives_a_crash() {
    let (_files, path) = file(OBJECTIVES);
    let sink = Sink::start(&[]).await;
    let url = sink.url();
    let settings = |path: &str| {
        let (with, url) = (with(path), url.clone());
        move |settings: &mut Settings| {
            with(settings);
            settings.webhooks = vec![url];
        }
    };
    let server = TestServer::with(settings(&path)).await;
    let now = SystemClock::new().now().as_millis() / 1000;
    push(&server, now - 600, now, 3).await;
    let fired = || async {
        let alerts = server.server.state().rules.active_alerts();
        alerts.iter().any(|alert| alert.labels.value("alertname") == "SLOBurnFast")
    };
    eventually("the burn fires", fired).await;
    eventually("somebody is told", || async { sink.statuses() == ["firing"] }).await;
    let alerts = server.get_json("/api/v1/alerts").await;
    let alert = alerts["data"]["alerts"].as_array().unwrap().iter();
    let alert = alert.clone().find(|a| a["labels"]["alertname"] == "SLOBurnFast").unwrap();
    assert_eq!(alert["labels"]["slo"], "shop-availability");
    assert_eq!(alert["labels"]["owner"], "team-shop");
    assert!(alert["annotations"]["budget_left"].as_str().unwrap().ends_with('%'), "{alert:#}");
    let groups = server.get_json("/api/v1/rules").await;
    let group = &groups["data"]["groups"][0];
    assert_eq!(group["file"], path.as_str(), "an alert stands where its objective does");
    let remaining = server.series("slo:period_error_budget_remaining:ratio").await;
    assert!(remaining.values().next().unwrap().iter().any(|(_, left)| *left < 0.0));
    assert_eq!(server.get_json("/api/v1/slo/gate?service=shop").await["data"]["verdict"], "freeze");
    let before = status(&server).await;
    let note = json!({"kind": "deploy", "service": "shop", "text": "v2"});
    let noted = server.client.post(server.http("/api/v1/slo/annotations"));
    let noted = noted.header("x-skopos-request", "test");
    assert_eq!(noted.body(note.to_string()).send().await.unwrap().status(), 200);

    let folder = server.kill();
    let server = TestServer::reopen(folder, settings(&path)).await;
    // Slices that were not over yet are read again from the stored samples.
    eventually("all is counted again, once", || async {
        let after = status(&server).await;
        (&after["bad"], &after["total"]) == (&before["bad"], &before["total"])
    })
    .await;
    let notes = server.get_json("/api/v1/slo/annotations").await;
    assert_eq!(notes["data"]["annotations"][0]["text"], "v2");
    eventually("slots go on", || async {
        let list = server.get_json("/api/v1/slos").await;
        list["data"]["state"]["last_slot_ms"].is_i64()
    })
    .await;
    assert_eq!(sink.statuses(), ["firing"], "nobody is told twice");
    let after = status(&server).await;
    let counted = |status: &Value| (status["bad"].clone(), status["total"].clone());
    assert_eq!(counted(&after), counted(&before), "nothing is counted twice");
    server.stop().await;
}

/// What a sender brings long after its time is in the account some slots later, not at the next quarter of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn samples_that_come_late_are_counted_at_once() {
    let (_files, path) = file(OBJECTIVES);
    let server = TestServer::with(with(&path)).await;
    let now = SystemClock::new().now().as_millis() / 60_000 * 60;
    let write = async |is_wanted: &dyn Fn(i64) -> bool| {
        let series = requests(now - 3600, now, 3).into_iter().map(|(name, mut samples)| {
            samples.retain(|sample| is_wanted(sample.timestamp_ms / 1000));
            series_samples(name, samples)
        });
        let batch = MetricBatch { series: series.collect(), metadata: vec![] };
        let write = server.client.post(server.http("/api/v1/write")).body(encode(&batch));
        let write = write
            .header("x-skopos-request", "test")
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy");
        assert_eq!(write.send().await.unwrap().status(), 204);
    };
    let known = || async { (status(&server).await["coverage"].as_f64().unwrap() * 1440.0).round() };
    // Within ten minutes of any second of the present minute: older ones are looked for once a minute only.
    let is_late = |at: i64| (now - 510..now - 120).contains(&at);
    write(&|at| !is_late(at)).await;
    let counted = || async { status(&server).await["total"].clone() };
    eventually("what came is counted", || async { counted().await == 3600.0 + 1200.0 }).await;
    let before = known().await;
    assert!((52.0..=56.0).contains(&before), "{before} minutes: the silence shows");
    write(&is_late).await;
    eventually("the silence is filled", || async { known().await > 58.0 }).await;
    assert_eq!(counted().await, 4800.0, "no event is counted twice");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_mistake_is_refused_as_a_whole() {
    let (folder, path) = file("slo: a\ntarget: 100%\n");
    let data = tempfile::tempdir().unwrap();
    let mut refused = settings(data.path());
    with(&path)(&mut refused);
    let Err(ServerError::Rules(errors)) = start(refused).await else { panic!("it starts") };
    let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains(&format!("{path}:2:9")) && text.contains("no error budget"), "{text}");

    std::fs::write(&path, OBJECTIVES).unwrap();
    let server = TestServer::with(with(&folder.path().display().to_string())).await;
    assert_eq!(status(&server).await["slo"], "shop-availability");
    let reload = || async {
        let request = server.client.post(server.http("/-/reload"));
        let answer = request.header("x-skopos-request", "test").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let other = folder.path().join("other.yml");
    std::fs::write(&other, OBJECTIVES).unwrap();
    let (code, answer) = reload().await;
    assert_eq!(code, 400);
    assert!(answer["message"].as_str().unwrap().contains("exists already"), "{answer}");
    let list = server.get_json("/api/v1/slos").await;
    assert_eq!(list["data"]["slos"].as_array().unwrap().len(), 1, "the old ones go on");
    assert!(list["data"]["state"]["error"].as_str().unwrap().contains("shop.yml:"), "{list:#}");
    write_renamed(&other, "shop-availability", "shop-second");
    let (code, answer) = reload().await;
    assert_eq!((code, &answer["slos"]), (200, &json!(2)), "{answer}");
    let names: Vec<Value> = server.get_json("/api/v1/slos").await["data"]["slos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slo| slo["slo"].clone())
        .collect();
    assert_eq!(names, ["shop-second", "shop-availability"]);
    server.stop().await;
}

fn write_renamed(path: &Path, from: &str, to: &str) {
    std::fs::write(path, OBJECTIVES.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objective_without_data_is_a_problem() {
    let (_files, path) = file(OBJECTIVES);
    let clock = Arc::new(VirtualClock::new(Timestamp::from_secs(NOW)));
    let server = TestServer::on(&FaultFs::new(), &clock, with(&path)).await;
    let told = || async {
        let status = server.get_json("/api/v1/status").await;
        status["data"]["problems"].to_string()
    };
    assert!(!told().await.contains("shop-availability"), "it may take a while to arrive");
    clock.advance(Duration::from_secs(180));
    // History is looked through first.
    eventually("it is told", || async {
        told()
            .await
            .contains("objective shop-availability: nothing that it counts has ever arrived")
    })
    .await;
    server.stop().await;
}
