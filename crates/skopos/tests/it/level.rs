//! The log level changed while the service runs, in each of the three ways, and back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use skopos::{LogLevelError, Telemetry};
use tower::ServiceExt as _;

use crate::support::{Output, PATIENCE, builder, runtime, scoped, wait_until};

const DEV: &[(&str, &str)] = &[("ENVIRONMENT", "development"), ("OTEL_SDK_DISABLED", "true")];
const MINUTE: Duration = Duration::from_secs(60);

/// One call site, asked again after each change: its interest must not be kept from before.
fn say_debug(message: &str) {
    tracing::debug!(target: "shop", "{message}");
    tracing::debug!(target: "hyper", "talk");
}

fn messages(output: &Output, target: &str) -> Vec<String> {
    let lines = output.lines();
    let of_target = lines.iter().filter(|line| line["target"] == target);
    of_target.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn debug_is_on_for_as_long_as_it_was_asked_for() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, DEV));
    say_debug("before");
    let level = telemetry.set_log_level("debug", MINUTE).unwrap();
    assert_eq!((level.usual.as_str(), level.temporary.as_deref()), ("info", Some("debug")));
    assert!(level.until.is_some());
    say_debug("while");
    telemetry.set_log_level("error", MINUTE).unwrap();
    tracing::warn!(target: "shop", "not even this");
    assert!(telemetry.reset_log_level() && !telemetry.reset_log_level());
    say_debug("after");
    assert_eq!(telemetry.log_level().temporary, None);
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    assert_eq!(messages(&output, "shop"), ["while"]);
    assert_eq!(messages(&output, "hyper"), [""; 0], "talkative libraries stay at WARN");
    let changed = "log level changed for a while";
    assert_eq!(messages(&output, "skopos"), [changed, changed, "log level restored"]);
}

#[test]
fn it_ends_by_itself_and_says_so() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, DEV));
    telemetry.set_log_level("debug", Duration::from_secs(1)).unwrap();
    wait_until(|| telemetry.log_level().temporary.is_none());
    say_debug("after");
    wait_until(|| output.text().contains("the time was up"));
    drop(guard);
    assert_eq!(messages(&output, "shop"), [""; 0]);
}

#[test]
fn production_refuses_debug_unless_it_is_allowed() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[("OTEL_SDK_DISABLED", "true")]));
    for filter in ["debug", "trace", "info,shop=debug"] {
        let refused = telemetry.set_log_level(filter, MINUTE);
        assert!(matches!(refused, Err(LogLevelError::BelowFloor { .. })), "{filter}: {refused:?}");
    }
    telemetry.set_log_level("warn", MINUTE).unwrap();
    say_debug("never");
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    assert!(!output.text().contains("never"));
    assert_eq!(output.text().matches("DEBUG is off in production").count(), 3);

    let output = Output::default();
    let allowed = [("OTEL_SDK_DISABLED", "true"), ("SKOPOS_ALLOW_DEBUG", "1")];
    let (telemetry, guard) = scoped(builder(&output, &allowed));
    telemetry.set_log_level("debug", MINUTE).unwrap();
    say_debug("for once");
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    assert_eq!(messages(&output, "shop"), ["for once"]);
}

#[test]
fn what_cannot_be_set_is_an_error() {
    let (telemetry, _guard) = scoped(builder(&Output::default(), DEV));
    for filter in ["", "shop=loud", "a=b=c"] {
        let error = telemetry.set_log_level(filter, MINUTE);
        assert!(matches!(error, Err(LogLevelError::Filter { .. })), "{filter}: {error:?}");
    }
    let spans = telemetry.set_log_level("[order]=debug", MINUTE);
    assert!(matches!(spans, Err(LogLevelError::FollowsSpans { .. })), "{spans:?}");
    for duration in [Duration::ZERO, skopos::LONGEST_CHANGE + MINUTE] {
        let error = telemetry.set_log_level("debug", duration);
        assert!(matches!(error, Err(LogLevelError::Duration { .. })), "{error:?}");
    }
    assert_eq!(telemetry.log_level().temporary, None);
}

fn ask(telemetry: &Telemetry, method: Method, path: &str, body: &str) -> (u16, serde_json::Value) {
    let router = telemetry.admin_router();
    runtime().block_on(async {
        let request =
            Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    })
}

#[test]
fn over_http_by_operators() {
    const PATH: &str = "/admin/log-level";
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, DEV));
    let (status, body) = ask(&telemetry, Method::GET, PATH, "");
    let expected = r#"{"filter":"info","until":null,"usual":"info"}"#;
    assert_eq!((status, body.to_string().as_str()), (200, expected));
    let (status, body) = ask(&telemetry, Method::PUT, PATH, r#"{"filter":"debug","seconds":60}"#);
    assert_eq!((status, body["filter"].as_str()), (200, Some("debug")));
    assert!(body["until"].as_str().unwrap().ends_with('Z'));
    let (_, body) = ask(&telemetry, Method::DELETE, PATH, "");
    assert_eq!(body["until"], serde_json::Value::Null);
    for (body, says) in [
        ("debug", "no JSON"),
        ("{}", "`filter` is missing"),
        (r#"{"filter":"debug","seconds":"x"}"#, "no whole number"),
        (r#"{"filter":"debug","seconds":0}"#, "from 1 second to 24 hours"),
        (r#"{"filter":"shop=loud"}"#, "does not parse"),
    ] {
        let (status, answer) = ask(&telemetry, Method::PUT, PATH, body);
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let (status, _) = ask(&telemetry, Method::PUT, PATH, &" ".repeat(100_000));
    assert_eq!(status, 413);
    let (status, body) = ask(&telemetry, Method::GET, "/version", "");
    let told = (status, &body["service"], &body["version"]);
    assert_eq!(told, (200, &"order-service".into(), &"1.2.3".into()));

    let (production, _guard) = scoped(builder(&output, &[("OTEL_SDK_DISABLED", "true")]));
    let (status, body) = ask(&production, Method::PUT, PATH, r#"{"filter":"debug"}"#);
    assert_eq!(status, 403);
    assert!(body["error"].as_str().unwrap().contains("SKOPOS_ALLOW_DEBUG"), "{body}");
}

#[test]
fn a_flood_of_one_call_site_is_cut_and_counted() {
    let output = Output::default();
    let seconds = Arc::new(AtomicU64::new(100));
    let now = seconds.clone();
    let clock = move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed));
    let (telemetry, guard) = scoped(builder(&output, DEV).clock(clock).lines_per_second(10));
    let flood = || {
        for _ in 0..25 {
            tracing::warn!(target: "shop", "flood");
            tracing::info!(target: "skopos::access", "request finished");
        }
        tracing::info!(target: "shop", "calm");
    };
    flood();
    seconds.store(101, Ordering::Relaxed);
    flood();
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let lines = output.lines();
    let count = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    assert_eq!((count("flood"), count("calm"), count("request finished")), (20, 2, 50));
    let told: Vec<u64> =
        lines.iter().filter_map(|line| line["suppressed_lines"].as_u64()).collect();
    assert_eq!(told, [15, 15], "on the first line of the next second, and when it was flushed");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["level"], &last["message"]),
        (&"WARN".into(), &"log lines suppressed".into())
    );
    assert!(last["call_site"].as_str().unwrap().contains("level.rs:"), "{last}");
    let metrics = telemetry.registry().encode(skopos::metrics::Format::Prometheus);
    assert!(metrics.contains("skopos_log_lines_suppressed_total 30"), "{metrics}");
    let all = r#"skopos_log_events_total{level="WARN",target="shop"} 50"#;
    assert!(metrics.contains(all), "events are counted all the same: {metrics}");
}

#[test]
fn the_limit_comes_from_the_environment_and_can_be_off() {
    for (limit, expected) in [("3", 3), ("0", 2_000), ("many", 1_000)] {
        let output = Output::default();
        let mut variables = DEV.to_vec();
        variables.push(("SKOPOS_LOG_RATE_LIMIT", limit));
        let (telemetry, guard) = scoped(builder(&output, &variables));
        for _ in 0..2_000 {
            tracing::info!(target: "shop", "flood");
        }
        drop(guard);
        assert!(telemetry.flush(PATIENCE));
        assert_eq!(messages(&output, "shop").len(), expected, "{limit}");
    }
}
