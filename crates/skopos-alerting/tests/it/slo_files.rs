//! Specifications: what is read, what is refused and where, and that what is written reads back.

use std::time::Duration;

use skopos_alerting::slo::{self, Budgeting, Count, Indicator, Role, Slo, SloSet, Window};

use crate::fuzzing;

fn load(text: &str) -> SloSet {
    slo::load(&[("slo.yml", text)]).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

const NATIVE: &str = include_str!("../../corpus/slo_file/native.yml");
const OPENSLO: &str = include_str!("../../corpus/slo_file/openslo.yml");

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn ten_lines_suffice() {
    let set = load(
        "slo: a\nservice: s\nowner: o\nsli:\n  bad: bad_total\n  total: all_total\ntarget: 99.9%\nwindow: 30d\nrunbook: r.md\n",
    );
    let slo = &set.slos[0];
    assert_eq!((slo.budget(), slo.budget_minutes()), (0.001, 43.2));
    let alerts: Vec<_> =
        slo.alerts.burn.iter().map(|a| (&*a.name, &*a.severity, a.factor)).collect();
    assert_eq!(
        alerts,
        [
            ("SLOBurnFast", "P1", 14.4),
            ("SLOBurnMedium", "P1", 6.0),
            ("SLOBurnSlow", "P2", 3.0),
            ("SLOBurnTrend", "P3", 1.0)
        ]
    );
    assert_eq!(slo.alerts.absent.as_ref().map(|a| a.after), Some(minutes(5)));
}

#[test]
fn the_native_form_is_read_whole() {
    let set = load(NATIVE);
    let names: Vec<&str> = set.slos.iter().map(|slo| &*slo.name).collect();
    assert_eq!(names, ["checkout-availability", "checkout-latency", "native", "guide", "probe"]);
    let [availability, latency, native, guide, probe] = &set.slos[..] else { panic!() };
    assert_eq!(availability.group_by, ["region"]);
    assert_eq!(availability.policy.override_by, ["sre-lead"]);
    assert_eq!(latency.line, 14);
    let Indicator::Latency { threshold, .. } = &latency.indicator else { panic!() };
    assert_eq!(*threshold, 0.3);
    assert_eq!(latency.window.to_string(), "quarter (Europe/Athens)");
    assert!(
        matches!(latency.budgeting, Budgeting::Timeslices { slice, .. } if slice == minutes(5))
    );
    let fast = &latency.alerts.burn[0];
    // Three per cent of 90 days within two hours.
    assert_eq!((fast.factor, fast.short, fast.hold), (32.4, Some(minutes(10)), minutes(2)));
    assert_eq!(latency.alerts.burn.len(), 3);
    assert!(matches!(native.indicator, Indicator::NativeLatency { threshold: 1.0, .. }));
    let Indicator::Events { role: Role::Bad, part: Count::Counter(bad), .. } = &guide.indicator
    else {
        panic!("{:?}", guide.indicator)
    };
    assert_eq!(bad, r#"http_requests_total{status_code=~"5.."}"#);
    let alerts: Vec<_> = guide.alerts.burn.iter().map(|a| (&*a.name, a.factor, a.hold)).collect();
    assert_eq!(alerts, [("SLOFastBurn", 14.4, minutes(2)), ("SLOSlowBurn", 10.0, minutes(15))]);
    assert!(probe.alerts.burn.is_empty() && probe.alerts.absent.is_none());
}

#[test]
fn openslo_is_read_across_files() {
    let objects: Vec<&str> = OPENSLO.split("---\n").collect();
    let files: Vec<(&str, &str)> = objects.iter().map(|text| ("x.yml", *text)).collect();
    let set = slo::load(&files).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let names: Vec<&str> = set.slos.iter().map(|slo| &*slo.name).collect();
    assert_eq!(names, ["checkout-works", "checkout-works-most-of-the-time", "queue"]);
    let [works, most, queue] = &set.slos[..] else { panic!() };
    assert_eq!(
        (&*works.owner, works.target, &works.group_by[..]),
        ("team-payments", 0.999, &["region".to_string()][..])
    );
    assert_eq!(works.labels["team"], "payments,web");
    assert_eq!(works.policy.caution_below, 0.3);
    assert!(matches!(works.budgeting, Budgeting::Timeslices { good: 0.95, .. }));
    assert_eq!(most.target, 0.9999);
    let Indicator::Events { role: Role::Good, part, total } = &works.indicator else { panic!() };
    assert_eq!(part, &Count::Counter(r#"ok_total{a="b"}"#.into()));
    assert_eq!(total, &Count::Counter("all_total".into()));
    let alert = &works.alerts.burn[0];
    assert_eq!(
        (alert.factor, alert.long, alert.short, alert.hold),
        (14.4, minutes(60), None, minutes(5))
    );
    let Indicator::Ratio { role: Role::Good, query } = &queue.indicator else { panic!() };
    assert_eq!(query, "(max(queue_depth)\n) <= bool 100");
    assert_eq!(queue.window.to_string(), "month (America/New_York)");
}

/// A native objective with one part replaced or added.
fn with(replaced: &str, by: &str) -> String {
    let base = "slo: a\nservice: s\nowner: o\nsli: {bad: bad_total, total: all_total}\ntarget: 99.9%\nwindow: 30d\nrunbook: r.md\n";
    let line = base.lines().find(|line| line.starts_with(replaced));
    match line {
        Some(line) => base.replace(&format!("{line}\n"), by),
        None => format!("{base}{by}"),
    }
}

#[test]
fn mistakes_are_refused_with_place_and_hint() {
    let mut wrong = String::new();
    // What is written, where the error stands, what it says.
    for (text, place, message) in [
        (with("target", "target: 100%\n"), (5, 9), "leaves no error budget"),
        (with("target", "target: 1\n"), (5, 9), "leaves no error budget"),
        (with("target", "target: 99.9\n"), (5, 9), "write `99.9%`"),
        (with("target", "target: 0\n"), (5, 9), "above 0"),
        (with("target", "target: most\n"), (5, 9), "must be a share"),
        (with("target", "target: 90%\n"), (1, 1), "the fast burn alert cannot fire"),
        (with("target", "target: 90%\nalerts: {fast: P1}\n"), (6, 1), "`alerts: {fast: off}`"),
        (with("owner", ""), (1, 1), "needs `owner`"),
        (with("runbook", ""), (1, 1), "needs `runbook`"),
        (with("runbook", "runbook: ''\n"), (7, 10), "must not be empty"),
        (with("window", "window: 30 days\n"), (6, 9), "not a duration"),
        (with("window", "window: 2y\n"), (6, 9), "cannot be kept"),
        (with("window", "window: 30d\ncalendar: month\n"), (7, 11), "only one of"),
        (with("window", "calendar: decade\n"), (6, 11), "no unit of the calendar"),
        (with("window", "calendar: month\ntz: Mars/Olympus\n"), (7, 5), "no time zone"),
        (with("x", "alert: guide\n"), (8, 1), "did you mean `alerts`?"),
        (with("x", "alerts: prometheus\n"), (8, 9), "no set of alerts"),
        (with("x", "alerts: {fast: {budget: 2%, factor: 3}}\n"), (8, 25), "only one of"),
        (with("x", "alerts: {fast: {long: 60d}}\n"), (8, 1), "beyond the objective's window"),
        (with("x", "budgeting: timeslice\n"), (8, 12), "did you mean `timeslices`?"),
        (with("x", "budgeting: {timeslices: {slice: 2m}}\n"), (8, 33), "choose 1m, 3m, 5m or 15m"),
        (with("x", "budgeting: {timeslices: {slice: 15m}}\n"), (1, 1), "narrower than a slice"),
        (with("x", "group_by: [le]\n"), (8, 12), "no label to group by"),
        (with("x", "group_by: [a, service]\n"), (8, 15), "the alerts of an objective carry one"),
        (with("x", "group_by: [alertname]\n"), (8, 12), "name and state"),
        (with("x", "group_by: [sloth_id]\n"), (8, 12), "recorded series"),
        (with("x", "group_by: [a]\nlabels: {a: b}\n"), (9, 10), "is grouped by it"),
        (
            with(
                "sli",
                "sli: {bad: 'sum by (owner) (rate(a[1m]))', total: 'sum by (owner) (rate(b[1m]))'}\n",
            ),
            (4, 6),
            "\"owner\" is no label to group by",
        ),
        (with("x", "labels: {a-b: c}\n"), (8, 10), "no label's name"),
        (with("x", "labels: {severity: c}\n"), (8, 10), "carry one of their own"),
        (with("x", "labels: {team: a, slo: c}\n"), (8, 19), "carry one of their own"),
        (with("x", "labels: {sloth_id: c}\n"), (8, 10), "recorded series"),
        (with("x", "labels: {alertname: c}\n"), (8, 10), "name and state"),
        (with("x", "labels: {__a: c}\n"), (8, 10), "Prometheus' own"),
        (with("x", "alerts: {fast: P9}\n"), (8, 16), "no severity"),
        (with("x", "alerts: {fast: {severity: p0}}\n"), (8, 27), "no severity"),
        (with("x", "alerts: {absent: P4}\n"), (8, 18), "no severity"),
        (with("slo", "slo: ..\n"), (1, 6), "no name"),
        (with("slo", "slo: a/b\n"), (1, 6), "no name"),
        (with("slo", "slo: -a\n"), (1, 6), "no name"),
        (with("slo", "slo: \"a\\u0007b\"\n"), (1, 6), "no name"),
        (with("service", "service: \"a\\u001b[31m\"\n"), (2, 10), "control character"),
        (with("owner", "\towner: o\n"), (3, 1), "indented by a tab"),
        (with("sli", "sli: {bad: 'a{', total: b}\n"), (4, 15), "not PromQL"),
        (with("sli", "sli: {bad: a, good: b, total: c}\n"), (4, 21), "only one of"),
        (with("sli", "sli: {bad: a}\n"), (4, 6), "needs `total`"),
        (with("sli", "sli: {bad: 'max(a)', total: b}\n"), (4, 13), "over which window"),
        (with("sli", "sli: {histogram: a_bucket, le: 1s}\n"), (4, 18), "without `_bucket`"),
        (with("sli", "sli: {histogram: a, le: soon}\n"), (4, 25), "write `300ms`"),
        (with("sli", "sli: {histogram: a, good_ratio: b}\n"), (4, 6), "mixes"),
        (with("sli", "sli: {good_ratio: avg(up)}\n"), (4, 1), "ratio_timeslices"),
        (with("slo", "slo: a b\n"), (1, 6), "no name"),
        (format!("{}---\n{}", with("x", ""), with("x", "")), (9, 1), "exists already: slo.yml:1"),
        (
            with("x", "policy: {caution_below: 5%, freeze_below: 10%}\n"),
            (8, 9),
            "must not be above",
        ),
        (with("x", "policy: {caution_below: -5%}\n"), (8, 25), "from 0% to 100%"),
        (with("x", "policy: {freeze_below: -2000%}\n"), (8, 24), "from -1000% to 100%"),
        (with("x", "policy: {go_after: 10s}\n"), (8, 20), "1m at least and 1d at most"),
        (with("x", "policy: {go_after: soon}\n"), (8, 20), "`go_after`: "),
        ("a: [1\n".into(), (1, 4), ""),
        ("just text\n".into(), (1, 1), "must be a mapping"),
        ("apiVersion: openslo/v2\nkind: SLO\n".into(), (1, 13), "openslo/v1"),
        (
            OPENSLO.replace("indicatorRef: requests", "indicatorRef: request"),
            (12, 17),
            "no SLI named",
        ),
        (
            OPENSLO.replace("skopos/runbook: runbooks/checkout.md", "x: y"),
            (4, 3),
            "needs a runbook",
        ),
        (OPENSLO.replace("duration: 28d", "duration: 28x"), (14, 15), "not a duration"),
        (
            OPENSLO.replace("2026-01-01 00:00:00", "2026-01-05 00:00:00"),
            (62, 60),
            "midnight of its first day",
        ),
        (OPENSLO.replace("\"guide\"", "\"fastest\""), (54, 94), "no set of alerts"),
        (OPENSLO.replace("    timeSliceTarget: 0.95\n", ""), (18, 5), "needs `timeSliceTarget`"),
        (OPENSLO.replace("severity: page", "severity: P9"), (49, 13), "no severity"),
        (OPENSLO.replace("skopos/policy", "skopos/polcy"), (9, 19), "there is no annotation"),
        (OPENSLO.replace("team: [payments", "severity: [payments"), (5, 12), "of their own"),
        (OPENSLO.replace("op: lte", "op: eq"), (65, 10), "no comparison"),
        (OPENSLO.replace("type: Prometheus", "type: Datadog"), (33, 33), "cannot be read"),
    ] {
        let Err(errors) = slo::load(&[("slo.yml", &text)]) else { panic!("accepted:\n{text}") };
        let shown = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let found = errors.iter().any(|error| {
            (error.line, error.column) == place && error.to_string().contains(message)
        });
        if !found {
            wrong.push_str(&format!("{message:?} at {place:?}, but\n{shown}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_mistake_of_every_file_is_told() {
    let first = with("target", "target: 100%\n").replace("owner: o\n", "");
    let second = with("window", "window: x\n");
    let errors = slo::load(&[("one.yml", &first), ("two.yml", &second)]).unwrap_err();
    let found: Vec<_> = errors.iter().map(|e| (&*e.file, e.code)).collect();
    assert_eq!(found, [("one.yml", "missing-key"), ("one.yml", "target"), ("two.yml", "value")]);
}

#[test]
fn what_is_written_reads_back() {
    let mut set = load(NATIVE).slos;
    set.extend(load(OPENSLO).slos);
    for slo in &set {
        let read = |text: &str| {
            let again = load(text).slos.remove(0);
            let same = Slo { line: slo.line, file: slo.file.clone(), ..Slo::clone(&again) };
            assert_eq!(same, **slo, "{text}");
        };
        read(&slo::to_native(slo));
    }
    // What OpenSLO has no words for: histograms, thresholds, slices without events.
    for empty in ["good", "bad"] {
        let more = format!("budgeting: {{timeslices: {{slice: 5m, good: 95%, empty: {empty}}}}}\n");
        set.extend(load(&with("x", &more)).slos);
    }
    for sli in ["{histogram: 'h{a=\"b\"}', le: 300ms}", "{histogram: h, le: 2, native: true}"] {
        for budgeting in ["occurrences", "ratio_timeslices"] {
            let sli = format!("sli: {sli}\nbudgeting: {budgeting}\n");
            set.extend(load(&with("sli", &sli)).slos);
        }
    }
    for slo in &set {
        let written = slo::to_openslo(slo);
        let again = load(&written).slos.remove(0);
        let same = Slo { line: slo.line, file: slo.file.clone(), ..Slo::clone(&again) };
        assert_eq!(same, **slo, "{written}");
    }
    let Window::Rolling(length) = set[0].window else { panic!() };
    assert_eq!(length, minutes(30 * 24 * 60));
}

#[test]
fn fuzz_slo_files() {
    fuzzing::run("slo_file", slo::fuzz_slo_file);
}

#[test]
fn fuzz_slo_records() {
    for file in ["quarter", "day"] {
        let data = std::fs::read(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/slo_records").join(file),
        );
        // The first version's bytes must be read by every later one.
        let (key, data) = (format!("{}/1", &file[..1]), data.unwrap());
        let ledger = slo::restore_ledger(
            Duration::from_secs(60),
            20 * 86_400_000,
            [(key.as_str(), data.as_slice())].into_iter(),
        );
        assert!(ledger.covered_until().is_some(), "{file}");
    }
    fuzzing::run("slo_records", slo::fuzz_slo_records);
}

/// The guide's two queries, word for word, are objectives, and are counted exactly.
#[test]
fn the_guides_queries_are_objectives() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guide");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let (objectives, queries) = (read("slo.yml"), read("slo-queries.yml"));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for key in ["availability_query: |", "latency_query: |"] {
        let query = queries.split_once(key).unwrap().1;
        let indented = query.lines().skip(1).take_while(|line| line.starts_with("  "));
        let query: Vec<&str> = indented.collect();
        assert_eq!(query.len(), 2);
        assert!(words(&objectives).contains(&words(&query.join(" "))), "{query:?}");
    }
    let set = load(&objectives);
    let counters: Vec<(Role, &Count, &Count)> = set
        .slos
        .iter()
        .map(|slo| match &slo.indicator {
            Indicator::Events { role, part, total } => (*role, part, total),
            other => panic!("{other:?}"),
        })
        .collect();
    let counter = |text: &str| Count::Counter(text.into());
    assert_eq!(
        counters,
        [
            (
                Role::Bad,
                &counter(r#"http_requests_total{status_code=~"5.."}"#),
                &counter("http_requests_total")
            ),
            (
                Role::Good,
                &counter(r#"http_request_duration_seconds_bucket{le="0.2"}"#),
                &counter("http_request_duration_seconds_count")
            ),
        ]
    );
    assert_eq!(set.slos[0].budget_minutes(), 43.2);
    for slo in &set.slos {
        assert!(folder.join(&slo.runbook).exists(), "{}", slo.runbook);
    }
}
