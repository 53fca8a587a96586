//! What both sides show, without what must differ: times, addresses, ids.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Whose API is asked.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Prometheus,
    Alertmanager,
}

type Normal = fn(&Value) -> Value;

/// Everything about alerts that either side shows.
pub(super) const VIEWS: [(&str, Of, &str, Normal); 5] = [
    ("ALERTS", Of::Prometheus, super::ALERTS, vector),
    ("alerts of rules", Of::Prometheus, "/api/v1/alerts", rule_alerts),
    ("rules", Of::Prometheus, "/api/v1/rules", rules),
    ("alerts", Of::Alertmanager, "/api/v2/alerts", alerts),
    ("groups", Of::Alertmanager, "/api/v2/alerts/groups", groups),
];

/// `alert/state` of every series of `ALERTS`, each once.
pub(super) fn alert_states(answer: &Value) -> Vec<String> {
    let mut states: Vec<String> = items(&answer["data"]["result"])
        .map(|series| {
            let label = |name: &str| series["metric"][name].as_str().unwrap_or("?");
            format!("{}/{}", label("alertname"), label("alertstate"))
        })
        .collect();
    states.sort();
    states.dedup();
    states
}

/// Label sets with values, in order.
fn vector(answer: &Value) -> Value {
    sorted(items(&answer["data"]["result"]).map(|s| json!([s["metric"], s["value"][1]])))
}

fn rule_alerts(answer: &Value) -> Value {
    sorted(items(&answer["data"]["alerts"]).map(rule_alert))
}

fn rule_alert(alert: &Value) -> Value {
    pick(alert, &["labels", "annotations", "state", "value"])
}

/// Rules in the order of their files. Health is left out: a rule that is blind is `unknown` here
/// and `ok` there.
fn rules(answer: &Value) -> Value {
    let groups = items(&answer["data"]["groups"]).map(|group| {
        let rules = items(&group["rules"]).map(|rule| {
            let mut out = pick(
                rule,
                &[
                    "name",
                    "query",
                    "type",
                    "labels",
                    "annotations",
                    "duration",
                    "state",
                    "lastError",
                    "keepFiringFor",
                ],
            );
            // Labels that there are none of are left out by one and empty by the other.
            if out["labels"].is_null() {
                out["labels"] = json!({});
            }
            out["alerts"] = sorted(items(&rule["alerts"]).map(rule_alert));
            out
        });
        let mut out = pick(group, &["name", "interval"]);
        out["rules"] = rules.collect();
        out
    });
    sorted(groups)
}

fn alerts(answer: &Value) -> Value {
    sorted(items(answer).map(alert))
}

fn alert(alert: &Value) -> Value {
    let mut out = pick(alert, &["labels", "annotations", "fingerprint"]);
    let receivers = items(&alert["receivers"]).map(|receiver| receiver["name"].clone());
    out["receivers"] = sorted(receivers);
    out["url"] = without_host(&alert["generatorURL"]);
    let status = &alert["status"];
    out["status"] = pick(status, &["state", "inhibitedBy"]);
    out["silences"] = items(&status["silencedBy"]).count().into();
    out
}

/// Groups with their alerts in the order of notifications.
fn groups(answer: &Value) -> Value {
    let groups = items(answer).map(|group| {
        let alerts: Vec<Value> = items(&group["alerts"]).map(alert).collect();
        json!({"labels": group["labels"], "receiver": group["receiver"]["name"], "alerts": sorted(alerts.into_iter())})
    });
    sorted(groups)
}

/// A payload of the webhook. Every field stays; times only say whether there is one.
pub(super) fn payload(body: &Value) -> Value {
    let mut out = body.clone();
    out["externalURL"] = Value::Null;
    for alert in out["alerts"].as_array_mut().into_iter().flatten() {
        for time in ["startsAt", "endsAt"] {
            alert[time] = match alert[time].as_str() {
                Some("0001-01-01T00:00:00Z") => "never".into(),
                Some(text) if text.parse::<jiff::Timestamp>().is_ok() => "a time".into(),
                _ => json!({"no time": alert[time]}),
            };
        }
        alert["generatorURL"] = without_host(&alert["generatorURL"]);
    }
    out
}

/// `firing Alert(service) ~Alert(service)`: the alerts by name and service or node, with `~` before
/// what is over.
pub(super) fn in_words(body: &Value) -> String {
    let mut words: Vec<(bool, String)> = items(&body["alerts"])
        .map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str();
            let of = label("service").or(label("node")).unwrap_or_default();
            let text = format!("{}({of})", label("alertname").unwrap_or("?"));
            match alert["status"] == "resolved" {
                true => (true, format!("~{text}")),
                false => (false, text),
            }
        })
        .collect();
    words.sort();
    let words: Vec<String> = words.into_iter().map(|(_, text)| text).collect();
    format!("{} {}", body["status"].as_str().unwrap_or("?"), words.join(" "))
}

/// Path and query of an address: the host is each side's own.
fn without_host(url: &Value) -> Value {
    let url = url.as_str().unwrap_or_default();
    let at = url.find("://").and_then(|scheme| Some(scheme + 3 + url[scheme + 3..].find('/')?));
    at.map_or(Value::Null, |at| url[at..].into())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Some fields; 3 and 3.0 are one number.
fn pick(value: &Value, names: &[&str]) -> Value {
    let field = |name: &str| match value[name].as_f64() {
        Some(number) => number.into(),
        None => value[name].clone(),
    };
    names.iter().map(|name| ((*name).to_owned(), field(name))).collect()
}

fn sorted(values: impl Iterator<Item = Value>) -> Value {
    let by_text: BTreeMap<String, Value> = values
        .enumerate()
        // Equal ones stay two.
        .map(|(at, value)| (format!("{value} {at:06}"), value))
        .collect();
    by_text.into_values().collect()
}

/// Where two values differ first, and how.
pub(super) fn first_difference(at: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let missing = |name: &String, side: &str| Some(format!("{at}.{name} only {side}"));
            if let Some(name) = a.keys().find(|name| !b.contains_key(*name)) {
                return missing(name, "theirs");
            }
            if let Some(name) = b.keys().find(|name| !a.contains_key(*name)) {
                return missing(name, "ours");
            }
            a.iter().find_map(|(name, value)| {
                first_difference(&format!("{at}.{name}"), value, &b[name])
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| first_difference(&format!("{at}[{i}]"), a, b))
        }
        _ if theirs == ours => None,
        _ => Some(format!("{at}: theirs {theirs}, ours {ours}")),
    }
}

#[test]
fn differences_are_found_where_they_are() {
    let theirs = json!({"a": [1, {"b": 2}], "c": null});
    assert_eq!(first_difference("x", &theirs, &theirs.clone()), None);
    for (ours, want) in [
        (json!({"a": [1, {"b": 3}], "c": null}), "x.a[1].b: theirs 2, ours 3"),
        (json!({"a": [1, {"b": 2}]}), "x.c only theirs"),
        (json!({"a": [1, {"b": 2}], "c": null, "d": 1}), "x.d only ours"),
        (json!({"a": [1], "c": null}), "x.a: theirs [1,{\"b\":2}], ours [1]"),
    ] {
        assert_eq!(first_difference("x", &theirs, &ours).as_deref(), Some(want));
    }
    assert_eq!(pick(&json!({"a": 3, "b": 1}), &["a", "c"]), json!({"a": 3.0, "c": null}));
    let body = json!({
        "externalURL": "http://here", "status": "firing",
        "alerts": [{"startsAt": "2024-01-01T00:00:00Z", "endsAt": "soon", "generatorURL": "http://h:1/graph?x"}],
    });
    let found = payload(&body);
    assert_eq!(found["alerts"][0]["generatorURL"], "/graph?x");
    assert_eq!(found["alerts"][0]["startsAt"], "a time");
    assert_eq!(found["alerts"][0]["endsAt"], json!({"no time": "soon"}));
}
