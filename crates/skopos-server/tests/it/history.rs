//! When alerts were active, as the API tells it from what rules recorded.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{Api, NOW};

const PATH: &str = "/api/v1/skopos/alerts/history";

/// What a rule records of an alert: `ALERTS` in its states and `ALERTS_FOR_STATE`, every 10 s from `since` to `until`,
/// both in seconds before now; it fires from `fires` on.
async fn incident(api: &Api, labels: &str, since: i64, fires: i64, until: i64) {
    let times: Vec<i64> = (until..=since).rev().step_by(10).collect();
    let active_at = (NOW - since) as f64;
    let of = |keep: &dyn Fn(i64) -> bool, value: f64| -> Vec<(i64, f64)> {
        times.iter().filter(|ago| keep(**ago)).map(|ago| (*ago, value)).collect()
    };
    let state = |state: &str| format!("ALERTS{{{labels},alertstate=\"{state}\"}}");
    let (pending, firing) = (of(&|ago| ago > fires, 1.0), of(&|ago| ago <= fires, 1.0));
    for (word, samples) in [("pending", pending), ("firing", firing)] {
        if !samples.is_empty() {
            api.push(&state(word), &samples).await;
        }
    }
    api.push(&format!("ALERTS_FOR_STATE{{{labels}}}"), &of(&|_| true, active_at)).await;
}

fn ago(text: &Value) -> Option<i64> {
    let at: jiff::Timestamp = text.as_str()?.parse().unwrap();
    Some(NOW - at.as_second())
}

/// Name, and seconds before now: active, fired, ended, acknowledged.
type Told = (String, [Option<i64>; 4]);

fn told(answer: &Value) -> Vec<Told> {
    let incidents = answer["data"]["incidents"].as_array().unwrap();
    let times = ["active_at", "fired_at", "ended_at", "acknowledged_at"];
    let one = |each: &Value| {
        let name = each["labels"]["alertname"].as_str().unwrap().to_owned();
        (name, times.map(|time| ago(&each[time])))
    };
    incidents.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_of_days_are_told_newest_first() {
    let dc = BTreeMap::from([("dc".to_owned(), "eu".to_owned())]);
    let api = Api::with(|settings| settings.external_labels = dc).await;
    // Over midnight of the reading, which goes a day at a time.
    incident(&api, "alertname=\"Down\",job=\"a\"", 86_460, 86_430, 86_340).await;
    incident(&api, "alertname=\"Down\",job=\"a\"", 600, 570, 300).await;
    incident(&api, "alertname=\"Slow\"", 200, 0, 150).await;
    api.push("ALERTS_ACKNOWLEDGED{alertname=\"Down\",job=\"a\",dc=\"eu\"}", &[(500, 70.0)]).await;

    let day = told(&api.ok(PATH, &[]).await);
    let slow = ("Slow".to_owned(), [Some(200), None, Some(140), None]);
    let down = ("Down".to_owned(), [Some(600), Some(570), Some(290), Some(500)]);
    let before = ("Down".to_owned(), [Some(86_460), Some(86_430), Some(86_330), None]);
    assert_eq!(day[..2], [slow.clone(), down.clone()]);
    // What of it lies in the day: it fired before that, at a moment that is not known here.
    assert_eq!(day[2].1[0], Some(86_460));
    assert_eq!(told(&api.ok(PATH, &[("since", "3d")]).await), [slow, down.clone(), before.clone()]);

    let of_down = api.ok(PATH, &[("since", "3d"), ("rule", "Down"), ("limit", "1")]).await;
    assert_eq!(told(&of_down), std::slice::from_ref(&down));
    assert_eq!(of_down["data"]["more"], 1);
    let newest = &of_down["data"]["incidents"][0];
    assert_eq!(newest["labels"], json!({"alertname": "Down", "job": "a"}));
    assert_eq!(newest["response_seconds"], 70.0);
    let fingerprint = newest["fingerprint"].as_str().unwrap();
    let same = api.ok(PATH, &[("since", "3d"), ("fingerprint", fingerprint)]).await;
    assert_eq!(told(&same), [down, before]);
    let none = api.ok(PATH, &[("rule", "a\"} or vector(1) #")]).await;
    assert!(told(&none).is_empty(), "{none}");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named() {
    let api = Api::start().await;
    for (name, value) in [
        ("since", "0s"),
        ("since", "32d"),
        ("limit", "0"),
        ("limit", "1001"),
        ("to", "soon"),
        ("rul", "A"),
    ] {
        let (status, answer) = api.get(PATH, &[(name, value)]).await;
        assert_eq!(status, 400, "{name}={value}");
        assert!(answer["message"].as_str().unwrap().contains(name), "{answer}");
    }
    api.stop().await;
}
