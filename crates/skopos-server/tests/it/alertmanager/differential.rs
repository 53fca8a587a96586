//! The same rules, the same `alertmanager.yml` and the same samples in Debian's Prometheus with
//! Debian's Alertmanager and in Skopos: the same alerts, groups and notifications.
//!
//! The rules and the routing stand in `testdata/alerting`. Time is real, so the story goes in steps:
//! each changes samples or silences on both sides at once, waits until both have told what the step
//! is about, and compares everything that can be seen. Times and addresses are left out, nothing
//! else. What one group tells in one step comes from one rule, so that no look of either side can
//! fall between two of its alerts. Annotations do not change while alerts fire: Prometheus would tell
//! Alertmanager a minute later.

mod normal;
mod sides;

use std::time::Duration;

use serde_json::{Value, json};
use skopos_ingest::remote_write::encode;
use skopos_model::{Clock as _, MetricBatch, STALE_NAN, Sample, SystemClock};

use super::tools::Tool;
use crate::api::series_samples;
use normal::first_difference;
use sides::{Debian, Side, Sinks, Skopos};

/// How long a step may take; far more than it does, for machines that do much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens at the beginning of a step.
enum Act {
    /// Sets series: `name{labels} value`, `name{labels} stale`.
    Samples(&'static str),
    /// Silences the alerts of a name.
    Silence(&'static str),
    /// Ends that silence.
    Unsilence,
}

struct Step {
    what: &'static str,
    acts: &'static [Act],
    /// What each side must have told last in this step, no more: `path: status alert(service or
    /// node) …`, with `~` before what is over.
    told: &'static [&'static str],
    /// What `ALERTS` must say for the step to be over: `alert/state`, each once.
    alerts: &'static [&'static str],
}

const STORY: &[Step] = &[
    Step {
        what: "alerts of several receivers; one inhibits, one waits",
        acts: &[Act::Samples(
            r#"probe_success{service="checkout"} 0
               probe_success{service="search"} 1
               errors{service="checkout", zone="eu"} 12
               errors{service="search", zone="eu"} 30
               errors{service="mail", zone="ap"} 7
               requests{service="checkout", zone="eu"} 100
               requests{service="search", zone="eu"} 450
               requests{service="mail", zone="ap"} 96
               latency_seconds{service="search"} 0.1
               queue_depth{queue="letters"} 3
               disk_free_ratio{node="a"} 0.05
               disk_free_ratio{node="b"} 0.01234
               disk_free_ratio{node="c"} 0.5"#,
        )],
        told: &[
            "/audit: firing Outage(checkout)",
            "/pager: firing Outage(checkout)",
            "/zone: firing HighErrorRate(search)",
            "/rest: firing HighErrorRate(mail)",
            "/default/0: firing ErrorsInManyPlaces()",
            "/default/1: firing ErrorsInManyPlaces()",
            "/disks: firing DiskFull(a)",
        ],
        alerts: &[
            "DiskFull/firing",
            "ErrorsInManyPlaces/firing",
            "HighErrorRate/firing",
            "Outage/firing",
            "Patient/pending",
        ],
    },
    Step {
        what: "what was inhibited is told; a disk is over; a muted route says nothing",
        acts: &[Act::Samples(
            r#"probe_success{service="checkout"} 1
               queue_depth{queue="letters"} 20
               disk_free_ratio{node="b"} 0.5"#,
        )],
        told: &[
            "/audit: resolved ~Outage(checkout)",
            "/pager: resolved ~Outage(checkout)",
            "/zone: firing HighErrorRate(checkout) HighErrorRate(search)",
            "/rest: firing HighErrorRate(checkout) HighErrorRate(mail)",
            "/disks: firing DiskFull(a)",
        ],
        alerts: &[
            "DiskFull/firing",
            "ErrorsInManyPlaces/firing",
            "Flapping/firing",
            "HighErrorRate/firing",
            "Patient/pending",
        ],
    },
    Step {
        what: "a silenced alert says nothing; one of two is over; one is kept firing",
        acts: &[
            Act::Silence("Slow"),
            Act::Samples(
                r#"latency_seconds{service="search"} 0.9
                   errors{service="mail", zone="ap"} 1
                   queue_depth{queue="letters"} 2"#,
            ),
        ],
        told: &["/rest: firing HighErrorRate(checkout) ~HighErrorRate(mail)"],
        alerts: &[
            "DiskFull/firing",
            "ErrorsInManyPlaces/firing",
            "HighErrorRate/firing",
            "Patient/pending",
            "Slow/firing",
        ],
    },
    Step {
        what: "the silence ends",
        acts: &[Act::Unsilence],
        told: &["/audit: firing Slow(search)"],
        alerts: &[
            "DiskFull/firing",
            "ErrorsInManyPlaces/firing",
            "HighErrorRate/firing",
            "Patient/pending",
            "Slow/firing",
        ],
    },
    Step {
        what: "all is over; one receiver does not want to know, one series has ended",
        acts: &[Act::Samples(
            r#"errors{service="search", zone="eu"} stale
               errors{service="checkout", zone="eu"} 0
               latency_seconds{service="search"} 0.2
               queue_depth{queue="letters"} 0
               disk_free_ratio{node="a"} 0.9"#,
        )],
        told: &[
            "/audit: resolved ~Slow(search)",
            "/zone: resolved ~HighErrorRate(checkout) ~HighErrorRate(search)",
            "/rest: resolved ~HighErrorRate(checkout)",
            "/default/0: resolved ~ErrorsInManyPlaces()",
            "/disks: resolved ~DiskFull(a)",
        ],
        alerts: &[],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rules_and_samples_make_the_same_alerts_groups_and_payloads() {
    let prometheus = Tool::find("prometheus", "SKOPOS_PROMETHEUS", "prometheus").await;
    let alertmanager =
        Tool::find("prometheus-alertmanager", "SKOPOS_ALERTMANAGER", "prometheus-alertmanager");
    let (Some(prometheus), Some(alertmanager)) = (prometheus, alertmanager.await) else { return };
    let sinks = Sinks::start().await;
    let skopos = Skopos::start(&sinks).await;
    let debian = Debian::start(&prometheus, &alertmanager, &sinks).await;
    let sides: [&dyn Side; 2] = [&debian, &skopos];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut compared = 0;
    let mut silences = Vec::new();
    for step in STORY {
        let begins = sinks.len();
        for act in step.acts {
            match act {
                Act::Samples(text) => {
                    let body = encode(&samples(text));
                    for side in sides {
                        write(&client, side.prometheus(), body.clone()).await;
                    }
                }
                Act::Silence(name) => {
                    for side in sides {
                        silences.push(silence(&client, side.alertmanager(), name).await);
                    }
                }
                Act::Unsilence => {
                    for (side, id) in sides.iter().zip(silences.drain(..)) {
                        let url = format!("{}/api/v2/silence/{id}", side.alertmanager());
                        let request = client.delete(url).header("x-skopos-request", "test");
                        assert_eq!(request.send().await.unwrap().status(), 200);
                    }
                }
            }
        }
        reach(&client, &sinks, begins, step, sides).await;
        for side in sides {
            assert_eq!(last(&sinks, begins, side), sorted(step.told), "{}", step.what);
        }
        let (theirs, ours) = (sinks.told(begins, sides[0]), sinks.told(begins, sides[1]));
        agree(step, "notifications", &theirs, &ours);
        compared += theirs.as_object().map_or(0, serde_json::Map::len);
    }
    // Nothing comes afterwards, and nothing came to receivers that were to hear nothing.
    let ends = sinks.len();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(sinks.len(), ends, "told after the end: {:?}", sinks.texts(ends));
    for side in sides {
        for path in ["/muted", "/team"] {
            assert_eq!(sinks.count(side, path), 0, "{}{path}", side.name());
        }
        assert_eq!(sinks.count(side, "/default/1"), 1, "it does not want to know of ends");
    }
    assert!(compared >= 19, "{compared} notifications were compared");
    println!("{compared} last notifications of groups are alike, in {} steps", STORY.len());
}

/// Waits until both sides have told what the step is about and show the same.
async fn reach(
    client: &reqwest::Client,
    sinks: &Sinks,
    begins: usize,
    step: &Step,
    sides: [&dyn Side; 2],
) {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    loop {
        let mut missing = Vec::new();
        for side in sides {
            let told = last(sinks, begins, side);
            let named = side.name();
            missing.extend(
                step.told
                    .iter()
                    .filter(|want| !told.contains(&(**want).to_owned()))
                    .map(|want| format!("{named} has not told `{want}` last; it told {told:?}")),
            );
            let alerts = normal::alert_states(&ask(client, side.prometheus(), ALERTS).await);
            if alerts != step.alerts {
                missing.push(format!("{named} has the alerts {alerts:?}, not {:?}", step.alerts));
            }
        }
        if missing.is_empty() {
            for (what, of, path, normal) in normal::VIEWS {
                let base = |side: &dyn Side| match of {
                    normal::Of::Prometheus => side.prometheus().to_owned(),
                    normal::Of::Alertmanager => side.alertmanager().to_owned(),
                };
                let theirs = normal(&ask(client, &base(sides[0]), path).await);
                let ours = normal(&ask(client, &base(sides[1]), path).await);
                if let Some(why) = first_difference(what, &theirs, &ours) {
                    missing.push(format!("{what}: {why}\ntheirs {theirs:#}\nours {ours:#}"));
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        let waited = clock.monotonic().saturating_sub(began);
        assert!(waited < PATIENCE, "{}:\n{}", step.what, missing.join("\n"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const ALERTS: &str = "/api/v1/query?query=ALERTS";

fn agree(step: &Step, what: &str, theirs: &Value, ours: &Value) {
    if let Some(why) = first_difference(what, theirs, ours) {
        panic!("{}: {why}\ntheirs {theirs:#}\nours {ours:#}", step.what);
    }
}

/// The last notification of each path and group since a step began, in words.
fn last(sinks: &Sinks, begins: usize, side: &dyn Side) -> Vec<String> {
    let told = sinks.told(begins, side);
    let told = told.as_object().into_iter().flatten();
    let mut words: Vec<String> = told
        .map(|(place, body)| {
            let path = place.split(' ').next().unwrap_or_default();
            format!("{path}: {}", normal::in_words(body))
        })
        .collect();
    words.sort();
    words
}

fn sorted(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.sort();
    words
}

fn samples(text: &str) -> MetricBatch {
    let now = SystemClock::new().now().as_millis();
    let series = text.lines().map(str::trim).map(|line| {
        let (series, value) = line.rsplit_once(' ').expect("series and value");
        let value = match value {
            "stale" => STALE_NAN,
            number => number.parse().expect("a number"),
        };
        series_samples(series, vec![Sample::float(now, value)])
    });
    MetricBatch { series: series.collect(), metadata: vec![] }
}

async fn write(client: &reqwest::Client, base: &str, body: Vec<u8>) {
    let request = client.post(format!("{base}/api/v1/write")).body(body);
    let request = request
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 204, "{base}");
}

/// Silences the alerts of a name for an hour; returns the silence's id.
async fn silence(client: &reqwest::Client, base: &str, alert: &str) -> String {
    let now = SystemClock::new().now();
    let silence = json!({
        "matchers": [{"name": "alertname", "value": alert, "isRegex": false, "isEqual": true}],
        "startsAt": now.to_string(),
        "endsAt": now.saturating_add(Duration::from_secs(3_600)).to_string(),
        "createdBy": "ada",
        "comment": "differential",
    });
    let request = client.post(format!("{base}/api/v2/silences")).json(&silence);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{base}");
    let made: Value = response.json().await.unwrap();
    made["silenceID"].as_str().expect("an id").to_owned()
}

async fn ask(client: &reqwest::Client, base: &str, path: &str) -> Value {
    client.get(format!("{base}{path}")).send().await.unwrap().json().await.unwrap()
}
