//! What Prometheus promises of whoever generates alerts (its alert-generator specification), played
//! on a clock that stands still: rules over series in memory, evaluated with PromQL, what they write
//! read by the rules after them, and every slot's states, series and sends as one text.
//!
//! Each case below is data: rules, samples, and the slots at which anything changed or was sent.
//! Samples come every 15 s, groups are evaluated every 30 s, as in the specification's suite.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use skopos_alerting::template::TemplateHost;
use skopos_alerting::{AlertState, EvalFailure, ReadStats, SentAlert};
use skopos_model::storage::{QueryBudget, SelectedSeries, SeriesSet};
use skopos_model::{Labels, Sample, SampleValue, Timestamp};
use skopos_promql::value::Value;
use skopos_promql::{EvalParams, ParseOptions, Plan};

use crate::harness::{World, seconds, settings};

/// Series by labels, samples by time.
#[derive(Default)]
struct Data(BTreeMap<Labels, BTreeMap<i64, Sample>>);

impl Data {
    /// `name{labels} 3 5 0x2 9`: a sample every 15 s; `0xN` repeats the last one N times. What
    /// stands before the first space that follows a `}` is the series.
    fn load(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (series, values) = line.split_once("} ").expect("series and values");
            let expr = skopos_promql::parse_selector(&format!("{series}}}")).expect("a selector");
            let pairs = expr.matchers.iter().map(|m| (m.name().to_owned(), m.value().to_owned()));
            let labels = Labels::from_pairs(pairs);
            let mut time = 0;
            let mut last = 0.0;
            for word in values.split_whitespace() {
                let times = word.strip_prefix("0x").map_or(1, |times| times.parse().unwrap());
                if !word.starts_with("0x") {
                    last = word.parse().unwrap();
                }
                for _ in 0..times {
                    self.put(labels.clone(), Sample::float(time, last));
                    time += 15_000;
                }
            }
        }
    }

    fn put(&mut self, labels: Labels, sample: Sample) {
        self.0.entry(labels).or_default().insert(sample.timestamp_ms, sample);
    }

    /// Evaluates a query at one time; says how many series each of some selectors matches.
    fn query(&self, query: &str, at: Timestamp) -> Result<Vec<(Labels, SampleValue)>, String> {
        let expr =
            skopos_promql::parse(query, &ParseOptions::default()).map_err(|e| e.to_string())?;
        let plan =
            Plan::new(&expr, EvalParams::instant(at.as_millis())).map_err(|e| e.to_string())?;
        let sets = plan.selects().iter().map(|select| {
            let matching = self.0.iter().filter(|(labels, _)| {
                select.matchers.iter().all(|m| m.matches(labels.value(m.name())))
            });
            let series = matching.map(|(labels, samples)| {
                let range = samples.range(select.start_ms..=select.end_ms);
                let samples: Vec<Sample> = range.map(|(_, sample)| sample.clone()).collect();
                SelectedSeries { labels: labels.clone(), samples: Arc::new(samples) }
            });
            SeriesSet { series: series.collect() }
        });
        let result = skopos_promql::evaluate(&plan, sets.collect(), &QueryBudget::unlimited());
        match result.map_err(|error| error.to_string())?.value {
            Value::Vector(samples) => {
                Ok(samples.into_iter().map(|s| (s.labels, s.value)).collect())
            }
            Value::Scalar { value, .. } => Ok(vec![(Labels::empty(), SampleValue::Float(value))]),
            other => Err(format!("{:?}", other.value_type())),
        }
    }
}

struct Host<'a>(&'a Data, Timestamp);

impl TemplateHost for Host<'_> {
    fn now(&self) -> Timestamp {
        self.1
    }

    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        let float = |value| match value {
            SampleValue::Float(value) => value,
            SampleValue::Histogram(_) => f64::NAN,
        };
        Ok(self.0.query(expr, self.1)?.into_iter().map(|(l, v)| (l, float(v))).collect())
    }
}

/// Plays a rule file over data, a slot every 30 s, and writes down the slots at which a state changed
/// or something was sent.
fn play(rules: &str, data: &str, until: i64) -> String {
    let mut world = World::new(rules, settings());
    let mut store = Data::default();
    store.load(data);
    let mut before = String::new();
    let mut out = String::new();
    for second in (0..=until).step_by(30) {
        let slot = seconds(second);
        let mut sent = Vec::new();
        for group in world.set.groups.clone() {
            for wave in group.waves() {
                for rule in wave.into_iter().map(|at| &group.rules[at]) {
                    let found = store.query(rule.expr.as_str(), slot).map_err(EvalFailure::Query);
                    let result = found.and_then(|found| {
                        rule.apply(found, &BTreeMap::new(), "http://x", &Host(&store, slot))
                    });
                    let result = result.map(|r| r.with_read(ReadStats::default()));
                    let step = world.engine.step(rule.id, slot, result, Duration::ZERO);
                    assert_eq!(step.error, None, "{}", rule.name);
                    sent.extend(step.sends);
                    let Some(commit) = step.commit else { continue };
                    for series in &commit.samples {
                        for sample in &series.samples {
                            store.put(series.labels.clone(), sample.clone());
                        }
                    }
                    world.log.commit(commit);
                }
            }
        }
        let states = states(&world, &store, slot);
        if states != before || !sent.is_empty() {
            let _ = write!(out, "{}:{:02}", second / 60, second % 60);
            if states != before {
                let _ = write!(out, " {}", if states.is_empty() { "nothing" } else { &states });
            }
            if !sent.is_empty() {
                sent.sort_by(|a, b| a.labels.cmp(&b.labels));
                let sent: Vec<String> = sent.iter().map(|s| said(s, slot)).collect();
                let _ = write!(out, " -> {}", sent.join(", "));
            }
            out.push('\n');
        }
        before = states;
    }
    out
}

/// The active alerts with their values; what `ALERTS` says must be the same, to the label.
fn states(world: &World, store: &Data, slot: Timestamp) -> String {
    let mut words = Vec::new();
    let mut series = Vec::new();
    for alert in world.engine.active_alerts() {
        let mut labels = alert.labels.to_builder();
        labels.set("__name__", "ALERTS").set("alertstate", alert.state.as_str());
        series.push(labels.build());
        let since = alert.active_at.as_millis() / 1000;
        let state = if alert.state == AlertState::Firing { "firing" } else { "pending" };
        words.push(format!("{}={} {state}({since})", name(&alert.labels), alert.value));
        let mut started = alert.labels.to_builder();
        started.set("__name__", "ALERTS_FOR_STATE");
        let started = store.0[&started.build()].get(&slot.as_millis());
        assert_eq!(started, Some(&Sample::float(slot.as_millis(), since as f64)));
    }
    series.sort();
    let found = store.query("ALERTS", slot).unwrap();
    assert!(found.iter().all(|(_, value)| *value == SampleValue::Float(1.0)));
    let mut found: Vec<Labels> = found.into_iter().map(|(labels, _)| labels).collect();
    found.sort();
    assert_eq!(found, series, "at {slot}");
    words.join(" ")
}

fn name(labels: &Labels) -> String {
    let variant = labels.get("variant").map(|v| format!("/{v}")).unwrap_or_default();
    format!("{}{variant}", labels.value("alertname"))
}

/// `A(480..720) text`: since when it fires and when it ends, with `~` for what is over.
fn said(sent: &SentAlert, slot: Timestamp) -> String {
    let over = if sent.resolved { "~" } else { "" };
    let second = |time: Timestamp| time.as_millis() / 1000;
    if !sent.resolved {
        assert!(sent.ends_at > slot, "what fires must not end before it is said");
    }
    let text = sent.annotations.get("text").map(|t| format!(" {t}")).unwrap_or_default();
    format!(
        "{over}{}({}..{}){text}",
        name(&sent.labels),
        second(sent.starts_at),
        second(sent.ends_at)
    )
}

fn check(rules: &str, data: &str, until: i64, want: &str) {
    let found = play(rules, data, until);
    let lines = want.lines().map(str::trim).filter(|line| !line.is_empty());
    let want: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(found == want, "found:\n{found}\nwanted:\n{want}");
}

/// The specification's resend interval on a 30 s grid: the first slot that is *more than* a minute
/// later, so 90 s.
#[test]
fn pending_firing_resolved_and_again() {
    check(
        "groups:
- name: PendingAndFiringAndResolved
  interval: 30s
  rules:
  - alert: A
    expr: source{alertname=\"A\"} > 10
    for: 6m
    labels: {foo: bar}
    annotations: {text: 'is {{ $value }} {{ .Value }}'}
",
        "source{alertname=\"A\"} 3 5 0x2 9 0x3 11 0x12 15 0x31 19 0x15 9 0x19 15 0x44 8 0x15",
        2_900,
        "2:00 A=11 pending(120)
         5:30 A=15 pending(120)
         8:00 A=15 firing(120) -> A(480..720) is 15 15
         9:30 -> A(480..810) is 15 15
         11:00 -> A(480..900) is 15 15
         12:30 -> A(480..990) is 15 15
         13:30 A=19 firing(120)
         14:00 -> A(480..1080) is 19 19
         15:30 -> A(480..1170) is 19 19
         17:00 -> A(480..1260) is 19 19
         17:30 nothing -> ~A(480..1050) is 19 19
         19:00 -> ~A(480..1050) is 19 19
         20:30 -> ~A(480..1050) is 19 19
         22:00 -> ~A(480..1050) is 19 19
         22:30 A=15 pending(1350)
         28:30 A=15 firing(1350) -> A(1710..1950) is 15 15
         30:00 -> A(1710..2040) is 15 15
         31:30 -> A(1710..2130) is 15 15
         33:00 -> A(1710..2220) is 15 15
         33:30 nothing -> ~A(1710..2010) is 15 15
         35:00 -> ~A(1710..2010) is 15 15
         36:30 -> ~A(1710..2010) is 15 15
         38:00 -> ~A(1710..2010) is 15 15
         39:30 -> ~A(1710..2010) is 15 15
         41:00 -> ~A(1710..2010) is 15 15
         42:30 -> ~A(1710..2010) is 15 15
         44:00 -> ~A(1710..2010) is 15 15
         45:30 -> ~A(1710..2010) is 15 15
         47:00 -> ~A(1710..2010) is 15 15
",
    );
}

#[test]
fn pending_that_goes_is_never_sent_and_what_holds_never_begins() {
    check(
        "groups:
- name: PendingAndResolved_AlwaysInactive
  interval: 30s
  rules:
  - {alert: Pending, expr: 'source{alertname=\"Pending\"} > 10', for: 3m}
  - {alert: Inactive, expr: 'source{alertname=\"Inactive\"} > 99', for: 3m}
",
        "source{alertname=\"Pending\"} 3 5 0x2 9 0x3 11 0x10 9
         source{alertname=\"Inactive\"} 3 5 0x2 9 0x3 11 0x10 9",
        900,
        "2:00 Pending=11 pending(120)
         5:00 nothing
",
    );
    // No more data is the same as a condition that does not hold: after the lookback of 5 minutes.
    check(
        "groups:
- name: g
  interval: 30s
  rules:
  - {alert: Pending, expr: 'source{alertname=\"Pending\"} > 10', for: 30m}
",
        "source{alertname=\"Pending\"} 11 0x4",
        600,
        "0:00 Pending=11 pending(0)
         6:00 nothing
",
    );
}

#[test]
fn zero_and_small_for() {
    check(
        "groups:
- name: ZeroFor_SmallFor
  interval: 30s
  rules:
  - alert: Zero
    expr: source{alertname=\"Zero\"} > 10
    annotations:
      text: '{{ define \"t\" }}{{.arg0}} {{.arg1}} {{.arg2}}: {{ with query \"source{for=''template''}\" }}{{ . | sortByLabel \"id\" | first | label \"id\" }},{{ range $v := sortByLabel \"id\" . }}{{ . | label \"id\" }}:{{ . | value }},{{ end }}{{ end }}{{ end }}{{ template \"t\" (args \"foo\" \"bar\" 99) }} {{humanize 1048576}} {{humanize1024 1048576}} {{humanizeDuration 135.3563}} {{humanizePercentage 0.959}} {{humanizeTimestamp 1643114203}}'
  - alert: Small
    expr: source{alertname=\"Small\"} > 13
    for: 15s
    annotations:
      text: '{{title \"this part\"}} {{toUpper \"is testing\"}} {{toLower \"THE STRINGS\"}}. {{ stripPort \"[::1]:6006\"}} {{ stripPort \"127.0.0.1:4004\"}}. {{parseDuration \"2h10m15s\"}}. {{if match \"[0-9]+\" \"1234\"}}{{reReplaceAll \"r.*d\" \"replaced\" \"rpld text\"}}{{end}}. {{if match \"[0-9]+$\" \"1234a\"}}WRONG{{end}}.'
",
        "source{alertname=\"Zero\"} 3 5 0x2 9 0x3 15 0x5 9 0x71 11 0x4 9
         source{alertname=\"Small\"} 3 5 0x2 9 0x3 15 0x5 9 0x71 11 0x4 9
         source{for=\"template\", id=\"102\"} 2 0x27 4 0x200
         source{for=\"template\", id=\"101\"} 1 0x27 2 0x200
         source{for=\"template\", id=\"103\"} 3 0x27 6 0x200",
        1_500,
        "2:00 Zero=15 firing(120) Small=15 pending(120) -> Zero(120..360) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         2:30 Zero=15 firing(120) Small=15 firing(120) -> Small(150..390) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. .
         3:30 nothing -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         5:00 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         6:30 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         8:00 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         9:30 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         11:00 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         12:30 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         14:00 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         15:30 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         17:00 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         18:30 -> ~Small(150..210) This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ., ~Zero(120..210) foo bar 99: 101,101:1,102:2,103:3, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         21:30 Zero=11 firing(1290) -> Zero(1290..1530) foo bar 99: 101,101:2,102:4,103:6, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         23:00 nothing -> ~Zero(1290..1380) foo bar 99: 101,101:2,102:4,103:6, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
         24:30 -> ~Zero(1290..1380) foo bar 99: 101,101:2,102:4,103:6, 1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC
",
    );
}

#[test]
fn new_alerts_of_a_rule_and_rules_that_read_alerts_above_them() {
    check(
        "groups:
- name: NewAlerts_OrderCheck
  interval: 30s
  rules:
  - alert: One
    expr: source{rulegroup=\"x\"} > 10
    for: 3m
    labels: {foo: bar}
  - alert: Two
    expr: (ALERTS{alertstate=\"firing\", alertname=\"One\", foo=\"bar\", variant=\"one\"} + ignoring(variant) ALERTS{alertstate=\"firing\", alertname=\"One\", foo=\"bar\", variant=\"two\"}) == 2
    labels: {foo: baz, ba_dum: tss}
    annotations: {text: 'was {{$labels.alertname}}, foo was {{.Labels.foo}}'}
",
        "source{rulegroup=\"x\", variant=\"one\"} 1 0x7 11 0x39 9
         source{rulegroup=\"x\", variant=\"two\"} 1 0x15 11 0x31 9",
        720,
        "2:00 One/one=11 pending(120)
         4:00 One/one=11 pending(120) One/two=11 pending(240)
         5:00 One/one=11 firing(120) One/two=11 pending(240) -> One/one(300..540)
         6:30 -> One/one(300..630)
         7:00 One/one=11 firing(120) One/two=11 firing(240) Two=2 firing(420) -> One/two(420..660), Two(420..660) was One, foo was bar
         8:00 -> One/one(300..720)
         8:30 -> One/two(420..750), Two(420..750) was One, foo was bar
         9:30 -> One/one(300..810)
         10:00 -> One/two(420..840), Two(420..840) was One, foo was bar
         11:00 -> One/one(300..900)
         11:30 -> One/two(420..930), Two(420..930) was One, foo was bar
         12:00 nothing -> ~One/one(300..720), ~One/two(420..720), ~Two(420..720) was One, foo was bar
",
    );
}

/// Rules see what those above them wrote in the same slot, of those below only what was there
/// before; recorded series included.
#[test]
fn a_rule_sees_of_those_below_it_only_the_slot_before() {
    check(
        "groups:
- name: Order
  interval: 30s
  rules:
  - {alert: ReadsBelow, expr: 'ALERTS{alertname=\"Base\", alertstate=\"firing\"} == 1'}
  - {alert: ReadsRecordBelow, expr: 'source:doubled > 20'}
  - {record: 'source:doubled', expr: 'source{alertname=\"Base\"} * 2'}
  - {alert: ReadsRecordAbove, expr: 'source:doubled > 20'}
  - {alert: Base, expr: 'source{alertname=\"Base\"} > 10'}
  - {alert: ReadsAbove, expr: 'ALERTS{alertname=\"Base\", alertstate=\"firing\"} == 1'}
",
        "source{alertname=\"Base\"} 1 0x3 11 0x3 1 0x3",
        150,
        "1:00 ReadsRecordAbove=22 firing(60) Base=11 firing(60) ReadsAbove=1 firing(60) -> Base(60..300), ReadsAbove(60..300), ReadsRecordAbove(60..300)
         1:30 ReadsBelow=1 firing(90) ReadsRecordBelow=22 firing(90) ReadsRecordAbove=22 firing(60) Base=11 firing(60) ReadsAbove=1 firing(60) -> ReadsBelow(90..330), ReadsRecordBelow(90..330)
         2:00 ReadsBelow=1 firing(90) ReadsRecordBelow=22 firing(90) -> ~Base(60..120), ~ReadsAbove(60..120), ~ReadsRecordAbove(60..120)
         2:30 nothing -> ~ReadsBelow(90..150), ~ReadsRecordBelow(90..150)
",
    );
}
