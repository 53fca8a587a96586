//! How long it takes from sending a sample that makes an alert fire until its webhook was read.
//!
//! Every alert is a series of its own and a group of its own, routed without a wait. Samples are sent at
//! random times, so that they wait half an interval for the next evaluation on average; what comes
//! after that (evaluation, making state durable, delivery) is measured from the slot, which the
//! notification names as the alert's beginning.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use skopos_model::Labels;

use crate::random::Random;
use crate::report::{Section, number};
use crate::server::{Kind, Server};
use crate::sink::Sink;
use crate::spread::Spread;
use crate::{Setup, now_ms, request};

/// Evaluation interval of the rule.
const INTERVAL_MS: u64 = 1_000;
/// How long the last page is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const RULES: &str = "
groups:
- name: bench
  interval: 1s
  rules:
  - alert: Signal
    expr: bench_signal > 0
    labels: {severity: critical}
    annotations: {summary: 'signal {{ $labels.n }} is {{ $value }}'}
";

fn routing(sink: &Sink) -> String {
    format!(
        "route: {{receiver: pager, group_by: ['...'], group_wait: 0s, group_interval: 5m, repeat_interval: 4h}}\n\
         receivers: [{{name: pager, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        sink.address
    )
}

pub fn run(setup: &Setup) -> Result<Section> {
    let alerts = if setup.quick { 20 } else { 500 };
    let folder = tempfile::tempdir()?;
    let (rules, routes) = (folder.path().join("rules.yml"), folder.path().join("routes.yml"));
    let sink = Sink::start()?;
    std::fs::write(&rules, RULES)?;
    std::fs::write(&routes, routing(&sink))?;
    let settings = [
        ("SKOPOS__RULES__FILES", &*rules.to_string_lossy()),
        ("SKOPOS__NOTIFY__ALERTMANAGER_CONFIG", &*routes.to_string_lossy()),
    ];
    let (server, _) = Server::start_with(Kind::Skopos, setup, &settings)?;
    let mut sender = server.sender();
    let mut random = Random::new(5);
    let mut sent = HashMap::new();
    let mut acknowledged = Spread::default();
    for n in 0..alerts {
        // Five to an interval on average; their phases are spread evenly.
        std::thread::sleep(Duration::from_millis(random.below(INTERVAL_MS * 2 / 5)));
        let name = n.to_string();
        let labels = Labels::from_pairs([("__name__", "bench_signal"), ("n", &*name)]);
        let at = Instant::now();
        sender.write(&request(std::iter::once((&labels, 1.0)), now_ms()))?;
        acknowledged.push(at.elapsed().as_secs_f64() * 1e3);
        sent.insert(name, at);
    }
    let ended = Instant::now();
    while sink.len() < alerts {
        if ended.elapsed() > PATIENCE {
            bail!("{} of {alerts} notifications came", sink.len());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut whole, mut from_slot) = (Spread::default(), Spread::default());
    for arrival in sink.arrivals() {
        let alert = &arrival.body["alerts"][0];
        let name = alert["labels"]["n"].as_str().context("an alert has no number")?;
        let at = sent.remove(name).context("an alert was told twice")?;
        whole.push(arrival.at.duration_since(at).as_secs_f64() * 1e3);
        let slot = alert["startsAt"].as_str().context("an alert has no beginning")?;
        let slot = millis(slot).with_context(|| format!("{slot} is no time"))?;
        from_slot.push((arrival.at_ms - slot) as f64);
    }
    Ok(report(&whole, &from_slot, &acknowledged))
}

fn report(whole: &Spread, from_slot: &Spread, acknowledged: &Spread) -> Section {
    let mut section = Section::new("From a sample to its page");
    let interval = INTERVAL_MS as f64;
    section.target(
        "sample in → webhook out, p99",
        "< evaluation interval (1 s) + 100 ms",
        format!("{} ms", number(whole.quantile(0.99))),
        whole.quantile(0.99) < interval + 100.0,
    );
    let line = |what: &str, spread: &Spread| {
        let quantiles = [0.5, 0.9, 0.99, 1.0].map(|q| number(spread.quantile(q)));
        std::iter::once(what.to_owned()).chain(quantiles).collect()
    };
    section.table(
        &["milliseconds", "p50", "p90", "p99", "most"],
        &[
            line("sample sent → webhook read", whole),
            line("slot → webhook read", from_slot),
            line("sample sent → sample acknowledged", acknowledged),
        ],
    );
    section.say(&format!(
        "{} alerts of one rule, evaluated every second, each told in a notification of its own: `group_wait: 0s`, `group_by: ['...']`. Samples come at random times; \
         until the next slot they wait for {} ms on average, which is in the first line. Before the webhook is called, the alert and the intent to notify are on disk (fsync).",
        whole.len(),
        number(interval / 2.0)
    ));
    section
}

/// Milliseconds since the epoch of a time as the webhook writes it: `2024-05-06T07:08:09.123Z`.
fn millis(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days of the proleptic Gregorian calendar, with years that begin in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era_days = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    let days = era_days + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_notifications_are_read() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T12:34:56.7Z", 1_709_210_096_700),
            ("2026-11-23T00:01:02.003Z", 1_795_392_062_003),
        ] {
            assert_eq!(millis(text), Some(want), "{text}");
        }
        for text in ["", "2024-02-29", "2024-02-29T1:2Z", "x"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
