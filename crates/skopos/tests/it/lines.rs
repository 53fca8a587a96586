//! The JSON line: byte-exact, no key twice, always valid.

use std::collections::HashSet;

use proptest::prelude::*;
use skopos::LogFormat;

use crate::support::{Output, PATIENCE, builder, scoped};

fn lines_of(log: impl FnOnce()) -> String {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[("OTEL_SDK_DISABLED", "true")]));
    log();
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    output.text()
}

/// Flat, and no key twice: <https://github.com/tokio-rs/tracing/issues/2670>, `/3390`.
#[test]
fn golden_lines() {
    let text = lines_of(|| {
        tracing::info!(target: "shop", order_id = "o-1", amount = 99.99, count = 2, ok = true, "order placed");
        tracing::error!(target: "shop", error = "no \"route\"\n\tto host \u{1b}[31m", "payment failed");
        let span = tracing::info_span!("order", order_id = "o-2", step = "reserve");
        let _entered = span.enter();
        tracing::warn!(target: "shop", step = "charge", level = "high", version = 7, r#type = "t", huge = u64::MAX, nan = f64::NAN, whole = 1.0, "again");
    });
    let base = r#""service":"order-service","version":"1.2.3","environment":"production""#;
    let expected = [
        format!(
            r#"{{"timestamp":"2025-11-22T14:00:00.123456Z","level":"INFO",{base},"target":"shop","message":"order placed","order_id":"o-1","amount":99.99,"count":2,"ok":true}}"#
        ),
        format!(
            r#"{{"timestamp":"2025-11-22T14:00:00.123456Z","level":"ERROR",{base},"target":"shop","message":"payment failed","error":"no \"route\"\n\tto host \u001b[31m"}}"#
        ),
        format!(
            r#"{{"timestamp":"2025-11-22T14:00:00.123456Z","level":"WARN",{base},"target":"shop","message":"again","order_id":"o-2","step":"charge","event.level":"high","event.version":7,"type":"t","huge":18446744073709551615,"nan":"NaN","whole":1.0}}"#
        ),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn fields_recorded_later_and_errors_with_their_causes() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "charge failed")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let text = lines_of(|| {
        let span = tracing::info_span!("s", late = tracing::field::Empty, twice = 1);
        span.record("late", "yes");
        span.record("twice", 2);
        let error = Outer(std::io::Error::other("connection reset"));
        span.in_scope(|| tracing::error!(error = &error as &dyn std::error::Error, "x"));
    });
    assert!(text.contains(r#""late":"yes""#) || text.contains(r#""twice":2"#), "{text}");
    assert!(text.contains(r#""twice":2,"late":"yes""#), "{text}");
    assert!(text.contains(r#""error":"charge failed: connection reset""#), "{text}");
}

#[test]
fn a_value_that_logs_while_it_is_formatted_is_logged_too() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("inner");
            write!(formatter, "chatty")
        }
    }
    let text = lines_of(|| {
        tracing::info!(value = ?Chatty, "outer");
        tracing::info!("after");
    });
    assert!(
        text.contains("\"outer\"")
            && text.contains("\"value\":\"chatty\"")
            && text.contains("\"after\""),
        "{text}"
    );
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["message"] != "inner" || line.get("value").is_none());
    }
}

#[test]
fn long_values_are_cut_and_many_fields_bounded() {
    for (count, expected) in
        [(20_000, "(40000 bytes in all)"), (50_000, "(more than 65536 bytes in all)")]
    {
        let text = lines_of(|| tracing::info!(long = "ä".repeat(count), "x"));
        assert!(text.len() < 20_000);
        assert!(text.contains(expected), "{}", &text[text.floor_char_boundary(text.len() - 200)..]);
        let _: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    }
}

#[test]
fn the_filter_keeps_talkative_libraries_at_warn_and_debug_out_of_production() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        // INFO is the default, in production and elsewhere.
        (&[], &["app-info", "hyper-warn"]),
        (&[("ENVIRONMENT", "development")], &["app-info", "hyper-warn"]),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=dev")],
            &["app-info", "hyper-warn"],
        ),
        (
            &[("ENVIRONMENT", "development"), ("RUST_LOG", "debug")],
            &["app-info", "app-debug", "hyper-warn"],
        ),
        (&[("ENVIRONMENT", "development"), ("RUST_LOG", "warn")], &["hyper-warn"]),
        (&[("RUST_LOG", "debug")], &["app-info", "hyper-warn"]),
        (
            &[("RUST_LOG", "debug"), ("SKOPOS_ALLOW_DEBUG", "true")],
            &["app-info", "app-debug", "hyper-warn"],
        ),
        (
            &[
                ("RUST_LOG", "warn,hyper=debug"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=dev"),
            ],
            &["hyper-debug", "hyper-warn"],
        ),
        (&[("RUST_LOG", "off")], &["hyper-warn"]),
        (&[("RUST_LOG", "not a filter==")], &["app-info", "hyper-warn"]),
    ];
    for (variables, expected) in cases {
        let output = Output::default();
        let (telemetry, guard) = scoped(builder(&output, variables));
        tracing::info!(target: "app", "app-info");
        tracing::debug!(target: "app", "app-debug");
        tracing::debug!(target: "hyper::proto", "hyper-debug");
        tracing::warn!(target: "hyper::proto", "hyper-warn");
        drop(guard);
        telemetry.flush(PATIENCE);
        let seen: Vec<String> = output
            .lines()
            .iter()
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(seen, *expected, "{variables:?}");
    }
}

#[test]
fn a_directive_about_a_span_holds_inside_of_it() {
    let dev = ("ENVIRONMENT", "development");
    for (filter, expected) in [
        ("error,[order]=debug", &["inside"][..]),
        ("error,[order{vip=true}]=debug", &["inside"]),
        ("error,[order{vip=false}]=debug", &[]),
        ("error", &[]),
    ] {
        let output = Output::default();
        let (telemetry, guard) = scoped(builder(&output, &[dev, ("RUST_LOG", filter)]));
        tracing::info_span!("order", vip = true).in_scope(|| tracing::debug!("inside"));
        tracing::debug!("outside");
        drop(guard);
        telemetry.flush(PATIENCE);
        let seen: Vec<String> = output
            .lines()
            .iter()
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(seen, expected, "{filter}");
    }
}

/// Asked for since <https://github.com/tokio-rs/tracing/issues/1481>.
#[test]
fn traces_do_not_depend_on_the_log_filter_and_ids_are_on_every_line() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    tracing::info!("outside");
    let span = tracing::info_span!("work");
    let trace = span.in_scope(|| {
        tracing::info!("inside");
        tracing::info_span!("deeper").in_scope(|| tracing::info!("deep"));
        skopos::current_trace_id().unwrap()
    });
    drop(guard);
    telemetry.flush(PATIENCE);
    let lines = output.lines();
    assert!(lines[0].get("trace_id").is_none());
    assert_eq!(
        (lines[1]["trace_id"].as_str(), lines[2]["trace_id"].as_str()),
        (Some(&*trace), Some(&*trace))
    );
    assert_ne!(lines[1]["span_id"], lines[2]["span_id"]);

    let output = Output::default();
    let (_telemetry, _guard) = scoped(builder(&output, &[("RUST_LOG", "error")]));
    let span = tracing::info_span!("work");
    assert!(span.in_scope(skopos::current_trace_id).is_some());
}

#[test]
fn pretty_lines_cannot_drive_the_terminal() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]).format(LogFormat::Pretty));
    tracing::info!(target: "shop", order_id = "o\u{1b}[2J", "order placed");
    drop(guard);
    telemetry.flush(PATIENCE);
    assert_eq!(output.text(), "14:00:00.123 INFO  order placed order_id=o\\u{1b}[2J shop\n");
}

fn check_line(line: &str) -> serde_json::Map<String, serde_json::Value> {
    let parsed: serde_json::Value = serde_json::from_str(line).expect(line);
    let object = parsed.as_object().unwrap().clone();
    // The map has each key once; the text must not have more.
    let keys: Vec<String> = serde_json::from_str::<Keys>(line).unwrap().0;
    let unique: HashSet<&String> = keys.iter().collect();
    assert_eq!(unique.len(), keys.len(), "{line}");
    object
}

/// The keys of an object, repeats included.
struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Keys;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<String, serde_json::Value>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_comes_back_from_the_line(message in any::<String>(), value in any::<String>(), number in any::<f64>()) {
        let text = lines_of(|| {
            let span = tracing::info_span!("s", value = "outer", number = 1);
            let _entered = span.enter();
            tracing::info!(value, number, value2 = %value, timestamp = "x", trace_id = "y", service = "z", "{}", message);
        });
        prop_assert_eq!(text.lines().count(), 1);
        let line = check_line(text.trim_end_matches('\n'));
        // Random text may hold what looks like a secret; all else comes back as it was.
        let shown = skopos::redact::Redactor::default();
        prop_assert_eq!(line["message"].as_str().unwrap(), &*shown.redact_text(&message).text);
        prop_assert_eq!(line["value"].as_str().unwrap(), &*shown.redact_value("value", &value));
        prop_assert_eq!(line["event.timestamp"].as_str(), Some("x"));
        if number.is_finite() {
            // Read by the standard library: the JSON parser rounds the last digit.
            let shown = text.rsplit_once("\"number\":").unwrap().1;
            let shown = shown.split([',', '}']).next().unwrap();
            prop_assert_eq!(shown.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
        prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
    }
}

#[test]
fn an_id_of_an_events_own_neither_vanishes_nor_takes_the_place_of_the_requests() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    tracing::info_span!("request", request_id = "r-1").in_scope(|| {
        tracing::info!(request_id = "r-1", "the same");
        tracing::info!(request_id = "spoofed", "another");
        tracing::info!(request_id = 7, "a number");
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let lines = output.lines();
    assert!(lines.iter().all(|line| line["request_id"] == "r-1"), "{lines:?}");
    let own: Vec<_> = lines.iter().map(|line| line.get("event.request_id").cloned()).collect();
    assert_eq!(own, [None, Some("spoofed".into()), Some(7.into())]);
}

#[test]
fn of_a_huge_value_no_more_is_looked_at_than_may_be_shown() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    // Redacting all of it would take seconds on the caller's thread.
    let text = "password=hunter2 ".repeat(2_000_000);
    tracing::info!(text, debug = ?text, "huge {text}");
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let line = &output.lines()[0];
    for name in ["text", "debug", "message"] {
        let shown = line[name].as_str().unwrap();
        assert!(shown.contains("password=[REDACTED]"), "{name}");
        assert!(shown.ends_with("… (more than 65536 bytes in all)"), "{name}: {}", shown.len());
        assert!(shown.len() < 9_000 && !shown.contains("hunter2"), "{name}");
    }
}

#[test]
fn of_a_text_that_is_cut_off_no_half_secret_is_shown() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    // What is looked at ends within the password; the redacted rest is short enough to be shown whole.
    let secret = "x".repeat(65_489);
    let text = format!("order o-1 was paid by ann, token={secret} postgres://app:cAnArY9Zx7Q@db/x");
    tracing::info!(text, debug = ?text, "{text}");
    // A card number has gaps.
    let card = format!("token={} and paid by card with 4111 1111 1111 1111", "x".repeat(65_500));
    tracing::info!(card, "card");
    // One word as long as all of it: its beginning is shown.
    tracing::info!(body = "y".repeat(100_000), "body");
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let lines = output.lines();
    for name in ["text", "debug", "message"] {
        let shown = lines[0][name].as_str().unwrap();
        assert!(shown.contains("order o-1 was paid by ann"), "{name}: {shown}");
        assert!(!shown.contains("postgres") && !shown.contains("cA"), "{name}: {shown}");
        assert!(shown.ends_with("… (more than 65536 bytes in all)"), "{name}: {shown}");
    }
    let card = lines[1]["card"].as_str().unwrap();
    assert!(card.starts_with("token=[REDACTED]") && !card.contains("4111"), "{card}");
    assert!(lines[2]["body"].as_str().unwrap().starts_with(&"y".repeat(8_000)));
}
