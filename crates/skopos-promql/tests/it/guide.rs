//! The guide's alert rules and SLO queries, verbatim from the fixtures, on values computed by
//! hand.

use std::path::Path;

use skopos_promql::promqltest;
use skopos_promql::{ParseOptions, parse};

/// The expressions of a fixture: the values of `expr:` keys, or of any key when `any_key`.
/// Understands just the two styles the fixtures use, plain and block scalars.
fn expressions(file: &str, any_key: bool) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guide").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim_start().split_once(':') else { continue };
        if key != "expr" && !any_key {
            continue;
        }
        if value.trim() == "|" {
            let body = lines[i + 1..]
                .iter()
                .take_while(|l| l.len() - l.trim_start().len() > indent)
                .map(|l| l.trim());
            found.push(body.collect::<Vec<_>>().join(" "));
        } else if !any_key {
            found.push(value.trim().to_owned());
        }
    }
    found
}

fn check(load: &str, cases: &[(&str, &str)]) {
    let mut script = format!("{load}\n");
    for (query, want) in cases {
        script.push_str(&format!("eval instant at 2h {query}\n{want}\n\n"));
    }
    let report = promqltest::run(&script).unwrap();
    assert_eq!(report.cases.len(), cases.len());
    for case in report.cases {
        assert_eq!(case.failure, None, "{}", case.query);
    }
}

/// Each minute 95 requests succeed and 5 fail. Of 100 requests 90 take up to 1 s, 5 up to 2.5 s,
/// 5 up to 5 s; and 80 take up to 0.2 s, for the SLO query that asks for such a bound.
const BAD: &str = "load 1m
  http_requests_total{status_code=\"200\", method=\"GET\"} 0+57x120
  http_requests_total{status_code=\"200\", method=\"POST\"} 0+38x120
  http_requests_total{status_code=\"500\", method=\"GET\"} 0+4x120
  http_requests_total{status_code=\"503\", method=\"GET\"} 0+1x120
  http_request_duration_seconds_bucket{le=\"0.2\", i=\"a\"} 0+80x120
  http_request_duration_seconds_bucket{le=\"1\", i=\"a\"} 0+90x120
  http_request_duration_seconds_bucket{le=\"2.5\", i=\"a\"} 0+95x120
  http_request_duration_seconds_bucket{le=\"5\", i=\"a\"} 0+100x120
  http_request_duration_seconds_bucket{le=\"+Inf\", i=\"a\"} 0+100x120
  http_request_duration_seconds_count{i=\"a\"} 0+100x120
";

/// No failure, no slow request.
const GOOD: &str = "load 1m
  http_requests_total{status_code=\"200\"} 0+100x120
  http_requests_total{status_code=\"500\"} 0+0x120
  http_request_duration_seconds_bucket{le=\"0.2\"} 0+100x120
  http_request_duration_seconds_bucket{le=\"+Inf\"} 0+100x120
  http_request_duration_seconds_count 0+100x120
";

/// The counters stand still.
const IDLE: &str = "load 1m
  http_requests_total{status_code=\"200\"} 100x120
  http_requests_total{status_code=\"500\"} 3x120
";

#[test]
fn alert_rules_fire_and_rest_as_computed_by_hand() {
    let rules = expressions("rules.yml", false);
    let [errors, latency, no_traffic, fast, slow] = rules.as_slice() else {
        panic!("{rules:?}");
    };
    let rules = [errors, latency, no_traffic, fast, slow].map(String::as_str);
    let wants = |values: [&'static str; 5]| rules.iter().copied().zip(values).collect::<Vec<_>>();
    // 5 % of requests fail; the 99th of 100 requests is 4/5 into the bucket from 2.5 to 5.
    check(BAD, &wants(["  {} 0.05", "  {} 4.5", "", "  {} 0.05", "  {} 0.05"]));
    check(GOOD, &wants([""; 5]));
    // 0 / 0 is NaN, and NaN is above nothing.
    check(IDLE, &wants(["", "", "  {} 0", "", ""]));
}

#[test]
fn slo_queries_give_the_share_of_good_events() {
    let queries = expressions("slo-queries.yml", true);
    let [availability, latency] = queries.as_slice() else { panic!("{queries:?}") };
    check(BAD, &[(availability, "  {} 0.95"), (latency, "  {} 0.8")]);
    check(GOOD, &[(availability, "  {} 1"), (latency, "  {} 1")]);
}

#[test]
fn the_anti_examples_parse() {
    let rules = expressions("anti-examples.yml", false);
    assert_eq!(rules.len(), 2);
    for rule in rules {
        parse(&rule, &ParseOptions::default()).unwrap();
    }
}
