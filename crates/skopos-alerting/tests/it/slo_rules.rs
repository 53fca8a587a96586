//! Rules for plain Prometheus: they fire when sloth's fire, promtool accepts them, and they agree with the
//! engine.

use std::collections::BTreeSet;
use std::process::Command;

use skopos_alerting::slo::rules::{alert_rules, prometheus_rules};
use skopos_model::{Labels, SampleValue};
use skopos_promql::promqltest::Store;

use crate::slo_world::{DAY, HOUR, MINUTE, Rules, START, World, instant, set_of};

const SLOTH: &str = include_str!("../../testdata/slo/sloth-getting-started.yml");
const EVERY_FORM: &str = include_str!("../../corpus/slo_file/native.yml");
const OPENSLO: &str = include_str!("../../corpus/slo_file/openslo.yml");

/// The objective that sloth's file was made of.
const GETTING_STARTED: &str = r#"
slo: myservice-requests-availability
service: myservice
owner: myteam
runbook: runbooks/myservice.md
sli:
  bad: sum(rate(http_request_duration_seconds_count{job="myservice",code=~"(5..|429)"}[{{.window}}]))
  total: sum(rate(http_request_duration_seconds_count{job="myservice"}[{{.window}}]))
target: 99.9%
window: 30d
"#;

/// When something was wrong, in minutes after the third day, and which share of requests failed.
const OUTAGES: [(i64, i64, f64); 7] = [
    // A blip, a total outage, a bad hour, a bad evening, a trickle.
    (30, 2, 0.5),
    (120, 20, 1.0),
    (420, 60, 0.03),
    (720, 180, 0.01),
    (1140, 600, 0.004),
    // Traffic that fails just at the borders of the page and the ticket.
    (2000, 60, 0.0144),
    (2200, 300, 0.003),
];

/// Minutes between samples: two within the shortest window.
const SCRAPE: i64 = 2;
/// Minutes between evaluations.
const EVALUATION: i64 = 6;

fn outages() -> Store {
    let mut store = Store::default();
    let names = [("200", 0), ("503", 1), ("429", 2)];
    let labels = names.map(|(code, _)| {
        let name = ("__name__", "http_request_duration_seconds_count");
        Labels::from_pairs([name, ("job", "myservice"), ("code", code)])
    });
    let mut counters = [1e6, 10.0, 20.0];
    for minute in (0..=3 * 1440 + 2700).step_by(SCRAPE as usize) {
        let since = minute - 3 * 1440;
        let share =
            OUTAGES.iter().find(|(start, length, _)| (*start..start + length).contains(&since));
        let share = share.map_or(0.0, |(_, _, share)| *share);
        // Traffic has a daily course.
        let course = (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
        let requests = (120_000.0 + 60_000.0 * course).round();
        let bad = (requests * share).round();
        counters[0] += requests - bad;
        counters[1] += (bad / 3.0).floor();
        counters[2] += bad - (bad / 3.0).floor();
        for (labels, value) in labels.iter().zip(counters) {
            store.insert(labels, START + minute * MINUTE, SampleValue::Float(value));
        }
    }
    store
}

/// The slots at which any of some alerts fires.
fn firing(
    rules: &mut Rules,
    mut store: Store,
    of_interest: &[(&str, &[(&str, &str)])],
) -> Vec<BTreeSet<i64>> {
    let mut found = vec![BTreeSet::new(); of_interest.len()];
    let mut minute = 3 * 1440;
    while minute <= 3 * 1440 + 2700 {
        let slot = START + minute * MINUTE;
        rules.step(&mut store, slot);
        for alert in rules.engine.active_alerts() {
            for (at, (name, labels)) in of_interest.iter().enumerate() {
                let is_it = alert.labels.value("alertname") == *name
                    && labels.iter().all(|(name, value)| alert.labels.value(name) == *value);
                if is_it && alert.fired_at.is_some() {
                    found[at].insert(minute - 3 * 1440);
                }
            }
        }
        minute += EVALUATION;
    }
    found
}

#[test]
fn they_fire_when_sloths_fire() {
    let begin = START + 3 * DAY;
    let name = "MyServiceHighErrorRate";
    let theirs = firing(
        &mut Rules::of(SLOTH, begin),
        outages(),
        &[(name, &[("sloth_severity", "page")]), (name, &[("sloth_severity", "ticket")])],
    );
    let text = prometheus_rules(&set_of(GETTING_STARTED).slos);
    let ours = firing(
        &mut Rules::of(&text, begin),
        outages(),
        &[
            ("SLOBurnFast", &[]),
            ("SLOBurnMedium", &[]),
            ("SLOBurnSlow", &[]),
            ("SLOBurnTrend", &[]),
        ],
    );
    let page: BTreeSet<i64> = ours[0].union(&ours[1]).copied().collect();
    let ticket: BTreeSet<i64> = ours[2].union(&ours[3]).copied().collect();
    assert_eq!(page, theirs[0]);
    assert_eq!(ticket, theirs[1]);
    // They did fire, and rest, more than once.
    for found in [&page, &ticket, &ours[0], &ours[1], &ours[2], &ours[3]] {
        assert!(found.len() > 3 && found.len() < 445, "{found:?}");
    }
    let gaps = |slots: &BTreeSet<i64>| {
        let slots: Vec<i64> = slots.iter().copied().collect();
        slots.windows(2).filter(|pair| pair[1] - pair[0] > EVALUATION).count()
    };
    assert!(gaps(&page) >= 1, "{page:?}");
    println!("page {} slots, ticket {} slots", page.len(), ticket.len());
}

#[test]
fn promtool_accepts_what_is_generated() {
    let mut slos = set_of(EVERY_FORM).slos;
    slos.extend(set_of(OPENSLO).slos);
    slos.extend(set_of(GETTING_STARTED).slos);
    let text = prometheus_rules(&slos);
    let ours = skopos_alerting::rules::load(&[("generated.yml", &text)]);
    let ours = ours.unwrap_or_else(|errors| panic!("{}", errors[0]));
    let promtool = std::env::var("SKOPOS_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let path = std::env::temp_dir().join(format!("skopos-slo-rules-{}.yml", std::process::id()));
    std::fs::write(&path, &text).unwrap();
    let Ok(output) = Command::new(&promtool).args(["check", "rules"]).arg(&path).output() else {
        println!("skipped: {promtool} is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{} rules found", ours.rule_count())), "{said}");
    // It does refuse what is wrong.
    std::fs::write(&path, text.replace("avg_over_time", "avrg_over_time")).unwrap();
    let output = Command::new(&promtool).args(["check", "rules"]).arg(&path).output().unwrap();
    assert!(!output.status.success());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn texts_of_people_break_no_template() {
    let text = GETTING_STARTED
        .replace("owner: myteam", "owner: 'a {{ b }} \"c\" \\'")
        .replace("runbooks/myservice.md", "'https://x/{{y'");
    let set = set_of(&text);
    let rules = alert_rules(&set).unwrap();
    let mut rules = Rules::new(rules, START);
    let mut store = Store::default();
    rules.step(&mut store, START + MINUTE);
    rules.step(&mut store, START + HOUR);
    let alerts = rules.engine.active_alerts();
    assert_eq!(alerts.len(), 1, "no data is told");
    assert_eq!(alerts[0].labels.value("owner"), "a {{ b }} \"c\" \\");
    assert_eq!(alerts[0].annotations["runbook"], "https://x/{{y");
}

/// What the engine records, and what the rules make of the same samples, lie as close together as
/// extrapolation and borders of slices allow.
#[test]
fn recorded_series_are_those_of_the_engine() {
    for more in [
        "",
        "budgeting: {timeslices: {slice: 5m, good: 99%}}\n",
        "budgeting: {ratio_timeslices: {slice: 5m}}\n",
    ] {
        let text = format!("{GETTING_STARTED}{more}");
        let start = START + 3 * DAY + 60 * MINUTE;
        let mut world = World::new(&text, MINUTE, start);
        world.store = outages();
        world.backfill(start, 4 * DAY);
        let mut plain = outages();
        let mut rules = Rules::of(&prometheus_rules(&world.set.slos), start);
        let mut slot = start + 2 * MINUTE;
        let end = START + 3 * DAY + 170 * MINUTE;
        while slot <= end {
            world.slot(slot);
            rules.step(&mut plain, slot);
            slot += 2 * MINUTE;
        }
        let id = "{sloth_id=\"myservice-requests-availability\"}";
        for (metric, tolerance) in [
            ("slo:sli_error:ratio_rate1h", 0.05),
            ("slo:sli_bad:increase1h", 0.05),
            ("slo:objective:ratio", 0.0),
            ("slo:error_budget:ratio", 0.0),
            ("slo:time_period:days", 0.0),
            ("slo:sli_data:present", 0.0),
        ] {
            let value = |store: &Store| {
                let found = instant(store, &format!("{metric}{id}"), end);
                let [(labels, SampleValue::Float(value))] = &found[..] else {
                    panic!("{more} {metric}: {found:?}")
                };
                (labels.clone(), *value)
            };
            let (exact, recorded) = (value(&world.store), value(&plain));
            assert_eq!(exact.0, recorded.0, "{metric}");
            let distance = (exact.1 - recorded.1).abs();
            // Of twelve slices two may lie on borders.
            let tolerance = match (more.is_empty(), metric) {
                (false, "slo:sli_error:ratio_rate1h") => 2.0 / 12.0,
                (false, "slo:sli_bad:increase1h") => 2.0,
                _ => tolerance * exact.1.abs(),
            };
            assert!(distance <= tolerance, "{more} {metric}: {exact:?} {recorded:?}");
        }
    }
}
