//! Rules over history: what a replay by range queries finds is what a running server would have
//! done, evaluation by evaluation.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use skopos_alerting::backtest::{BacktestOptions, BacktestReport, History, Verdict, backtest};
use skopos_alerting::template::NoQueries;
use skopos_alerting::{AlertState, Engine, SavedState, Schedule, Settings, rules};
use skopos_model::storage::QueryBudget;
use skopos_model::{Labels, SampleValue, Timestamp};
use skopos_promql::promqltest::{Store, parse_series};
use skopos_promql::{EvalParams, MatrixSeries, ParseOptions, Plan, Value, evaluate, parse};

use crate::fuzzing::Random;

/// History in memory; counts the queries.
struct Memory {
    store: Store,
    queries: Cell<usize>,
}

impl Memory {
    /// Series in the test notation, a sample each minute.
    fn of(series: &[&str]) -> Self {
        let mut store = Store::default();
        for line in series {
            let (labels, points) = parse_series(line).unwrap();
            for (i, point) in points.into_iter().enumerate() {
                if let Some(value) = point {
                    store.insert(&labels, i as i64 * 60_000, value);
                }
            }
        }
        Self { store, queries: Cell::new(0) }
    }

    fn evaluate(&self, expr: &str, params: EvalParams) -> Value {
        let expr = parse(expr, &ParseOptions::default()).unwrap();
        let plan = Plan::new(&expr, params).unwrap();
        let data = plan.selects().iter().map(|select| self.store.select(select)).collect();
        evaluate(&plan, data, &QueryBudget::unlimited()).unwrap().value
    }
}

impl History for Memory {
    fn range(
        &self,
        expr: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<MatrixSeries>, String> {
        if expr.contains("forbidden") {
            return Err("too much".into());
        }
        self.queries.set(self.queries.get() + 1);
        match self.evaluate(expr, EvalParams::range(start_ms, end_ms, step_ms)) {
            Value::Matrix(series) => Ok(series),
            other => Err(format!("{other:?}")),
        }
    }
}

fn replay(rules: &str, history: &Memory, hours: i64) -> BacktestReport {
    let set = rules::load(&[("r.yml", rules)]).unwrap_or_else(|e| panic!("{}", e[0]));
    let options = BacktestOptions {
        start: Timestamp::from_secs(0),
        end: Timestamp::from_secs(hours * 3600),
        evaluation_interval: Duration::from_secs(60),
        only: None,
        language: ParseOptions::default(),
    };
    backtest(&set, history, &options)
}

#[test]
fn verdicts_say_how_noisy_a_rule_is() {
    let history = Memory::of(&[
        "once 0x60 9x30 0x600",
        "always 9x700",
        "never 0x700",
        "short 0x60 9x2 0x600",
        // Ten minutes up, ten minutes down.
        "flaps 9x9 0x9 9x9 0x9 9x9 0x9 9x9 0x9 9x9 0x9 9x9 0x600",
        // Every hour for five minutes.
        "hourly 9x5 0x53 9x5 0x53 9x5 0x53 9x5 0x53 9x5 0x53 9x5 0x400",
    ]);
    let rule = |name: &str, hold: &str| {
        format!("  - {{alert: {name}, expr: {name} > 5, for: {hold}, labels: {{severity: P1}}}}\n")
    };
    let mut text = String::from("groups:\n- name: g\n  rules:\n");
    for (name, hold) in [
        ("once", "5m"),
        ("always", "5m"),
        ("never", "0s"),
        ("short", "5m"),
        ("flaps", "2m"),
        ("hourly", "1m"),
        ("forbidden", "0s"),
    ] {
        text.push_str(&rule(name, hold));
    }
    let report = replay(&text, &history, 11);
    let verdicts: Vec<_> = report
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.verdict, rule.firings.len()))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("once", Verdict::Unclear, 1),
            ("always", Verdict::Constant, 1),
            ("never", Verdict::Silent, 0),
            ("short", Verdict::Silent, 0),
            ("flaps", Verdict::Flapping, 6),
            ("hourly", Verdict::Noisy, 6),
            ("forbidden", Verdict::Failed, 0),
        ]
    );
    let once = &report.rules[0];
    assert!((once.firing_seconds - 31.0 * 60.0).abs() <= 6.0 * 60.0, "{once:?}");
    assert!(once.firings[0].labels.contains("alertname=\"once\""));
    let always = &report.rules[1].firings[0];
    assert_eq!(always.until_ms, None);
    let short = &report.rules[3];
    assert_eq!(short.pending_only, 1);
    assert!(short.advice().unwrap().contains("`for` was never reached"));
    assert!(report.rules[2].advice().unwrap().contains("returned nothing"));
    assert_eq!(report.rules[6].error.as_deref(), Some("too much"));
    // One query per rule: eleven hours of minutes are one stretch.
    assert_eq!(history.queries.get(), 6);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rules"][4]["verdict"], "flapping");
}

#[test]
fn recorded_series_need_not_be_stored() {
    let history = Memory::of(&["x{job=\"a\"} 0x60 9x60 0x300", "x{job=\"b\"} 0x400"]);
    let rules = "
groups:
- name: g
  rules:
  - {record: 'job:x:max', expr: max by (job) (x), labels: {kind: recorded}}
  - {alert: High, expr: 'job:x:max > 5', for: 5m}
  - {alert: Was, expr: 'max_over_time(job:x:max[10m]) > 5 unless job:x:max > 5'}
";
    let report = replay(rules, &history, 5);
    let high = &report.rules[0];
    assert_eq!(high.firings.len(), 1, "{high:?}");
    assert!(
        high.firings[0].labels.contains("job=\"a\"")
            && high.firings[0].labels.contains("kind=\"recorded\"")
    );
    assert_eq!(report.rules[1].firings.len(), 1, "{:?}", report.rules[1]);
}

#[test]
fn a_replay_equals_a_running_server_on_random_history() {
    const RULES: &str = "
groups:
- name: quick
  interval: 90s
  query_offset: 1m
  rules:
  - {alert: Level, expr: m > 6, for: 4m, keep_firing_for: 3m, labels: {severity: '{{ $value }}'}}
  - {alert: Pair, expr: 'm > 5 and on (i) n > 5'}
- name: slow
  interval: 5m
  rules:
  - {alert: Rate, expr: 'sum(rate(c[7m])) > 0.04', for: 10m}
  - {alert: Gone, expr: 'absent(m{i=\"0\"})'}
  - {alert: Scalar, expr: 'vector(time() % 1800) > 900'}
";
    let mut random = Random(11);
    for round in 0..4 {
        let mut lines = Vec::new();
        for i in 0..3 {
            for name in ["m", "n", "c"] {
                let mut line = format!("{name}{{i=\"{i}\"}}");
                let mut counter = 0;
                for _ in 0..400 {
                    let gap = random.below(12) == 0;
                    counter += random.below(6);
                    let value = if name == "c" { counter } else { random.below(10) };
                    line += &if gap { " _x7".to_string() } else { format!(" {value}x3") };
                }
                lines.push(line);
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let history = Memory::of(&lines);
        let report = replay(RULES, &history, 26);
        let (mut expected, mut total) = (BTreeMap::new(), 0);
        for (name, since, until) in by_instants(RULES, &history, 26) {
            expected.entry(name).or_insert_with(Vec::new).push((since, until));
            total += 1;
        }
        for rule in &report.rules {
            let mut found: Vec<_> = rule.firings.iter().map(|f| (f.since_ms, f.until_ms)).collect();
            found.sort_unstable();
            let mut wanted = expected.remove(&rule.name).unwrap_or_default();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "round {round}, {}", rule.name);
        }
        assert!(total > 5, "round {round} tests nothing");
    }
}

/// Every firing as (alert, since, until), evaluated slot by slot with instant queries.
fn by_instants(text: &str, history: &Memory, hours: i64) -> Vec<(String, i64, Option<i64>)> {
    let set = rules::load(&[("r.yml", text)]).unwrap();
    let settings = Settings { restart_hold: false, ..Settings::default() };
    let start = Timestamp::from_secs(0);
    let (mut engine, _) = Engine::restore(settings, &set, &SavedState::default(), start);
    let mut firings: Vec<(String, i64, Option<i64>)> = Vec::new();
    for group in &set.groups {
        let schedule = Schedule::new(group.id, group.interval.unwrap());
        for rule in &group.rules {
            let mut open: BTreeMap<Labels, usize> = BTreeMap::new();
            let mut slot = schedule.first(start);
            while slot <= Timestamp::from_secs(hours * 3600) {
                let at = slot.saturating_sub(group.query_offset.unwrap_or_default());
                let params = EvalParams::instant(at.as_millis());
                let Value::Vector(samples) = history.evaluate(rule.expr.as_str(), params) else {
                    panic!("no vector")
                };
                let elements: Vec<(Labels, SampleValue)> =
                    samples.into_iter().map(|s| (s.labels, s.value)).collect();
                let result = rule.apply(elements, &BTreeMap::new(), "", &NoQueries(slot));
                let step = engine.step(rule.id, slot, result, Duration::ZERO);
                for change in step.transitions {
                    if change.to == Some(AlertState::Firing) {
                        open.insert(change.labels, firings.len());
                        firings.push((rule.name.clone(), slot.as_millis(), None));
                    } else if change.from == Some(AlertState::Firing)
                        && let Some(i) = open.remove(&change.labels)
                    {
                        firings[i].2 = Some(slot.as_millis());
                    }
                }
                slot = slot.saturating_add(schedule.interval());
            }
        }
    }
    firings
}
