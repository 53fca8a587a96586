//! The canary: planted in every place that reaches a sink, found in none of their bytes.

use skopos::health::Health;
use skopos::redact::Redactor;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::support::{Collector, Manner, Output, PATIENCE, builder, runtime, scoped};

const CANARY: &str = "cAnArY9Zx7Q";

#[derive(Debug)]
#[expect(dead_code, reason = "read through Debug")]
struct Login {
    user: &'static str,
    password: Option<String>,
}

/// One sink redacted and the other not: <https://github.com/tokio-rs/tracing/issues/754> and what came of it.
#[test]
fn the_canary_reaches_no_sink() {
    let collector = Collector::start(Manner::Accepts);
    let output = Output::default();
    let endpoint = collector.endpoint();
    let redactor = Redactor::builder().deny("**.otp").build().unwrap();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("SKOPOS_PENDING_SPANS", "true")];
    let (telemetry, guard) = scoped(builder(&output, &variables).redact(redactor.clone()));

    let login = Login { user: "ann", password: Some(CANARY.to_owned()) };
    let span = tracing::info_span!(
        "login",
        otel.name = format!("login token={CANARY}"),
        password = CANARY,
        http.request.header.authorization = format!("Bearer {CANARY}"),
        later = Empty,
        access_token = Empty,
        card = 4_111_111_111_111_111_u64,
        ?login,
    );
    span.record("later", format!("postgres://app:{CANARY}@db/x"));
    span.record("access_token", CANARY);
    span.set_attribute("client_secret", CANARY);
    span.add_event(
        format!("event password={CANARY}"),
        vec![opentelemetry::KeyValue::new("cookie", CANARY)],
    );
    span.set_status(opentelemetry::trace::Status::error(format!("secret: {CANARY}")));
    span.in_scope(|| {
        tracing::info!(password = CANARY, api_key = %CANARY, otp = CANARY, ?login, "login with password={CANARY}");
        tracing::info!(user.otp = CANARY, request.body = CANARY, "Authorization: Bearer {CANARY}");
        tracing::info!(card = 4_111_111_111_111_111_u64, "paid with 4111 1111 1111 1111");
        let error = std::io::Error::other(format!("https://u:{CANARY}@host refused"));
        tracing::error!(error = &error as &dyn std::error::Error, "failed");
    });
    drop(span);
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let health = Health::builder()
        .redactor(redactor)
        .critical("db", || async { Err::<(), _>(format!("otp={CANARY} password={CANARY}")) })
        .build();
    let ready = runtime().block_on(health.ready());

    let sinks: [(&str, Vec<u8>); 4] = [
        ("lines", output.text().into_bytes()),
        ("otlp", collector.bytes()),
        ("health", ready.body.into_bytes()),
        ("metrics", telemetry.registry().encode(skopos::metrics::Format::OpenMetrics).into_bytes()),
    ];
    for (name, bytes) in &sinks {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(CANARY), "{name}: {text}");
        assert!(
            !text.contains("4111111111111111") && !text.contains("4111 1111"),
            "{name}: {text}"
        );
    }
    // The sinks did get what is no secret, and say that something was taken out.
    assert_eq!(output.lines().len(), 4);
    assert_eq!(collector.logs().len(), 5, "four lines, and that the span began");
    assert_eq!(collector.spans().len(), 1);
    for (name, bytes) in sinks.iter().take(3) {
        assert!(String::from_utf8_lossy(bytes).contains("[REDACTED]"), "{name}");
    }
    assert!(output.text().contains("ann"));
}
