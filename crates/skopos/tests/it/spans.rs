//! Spans and their resource as they leave the SDK.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use skopos::{Service, Telemetry};
use tracing::field::Empty;

use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, scoped};

#[test]
fn the_resource_says_who_speaks_and_where() {
    let dev = Service::new("orders").version("1.4.0");
    let production = || dev.clone().environment("production");
    let prod = ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod");
    for (service, variables, expected) in [
        (dev.clone(), &[][..], "development"),
        (dev.clone(), &[("ENVIRONMENT", "staging")], "staging"),
        (production(), &[], "production"),
        (production(), &[("ENVIRONMENT", "staging")], "staging"),
        (production(), &[("ENVIRONMENT", "staging"), prod], "prod"),
        (dev.clone().attribute("deployment.environment", "qa"), &[], "qa"),
    ] {
        let collector = Collector::start(Manner::Accepts);
        let endpoint = collector.endpoint();
        let output = Output::default();
        let builder = Telemetry::builder(service)
            .from_lookup(|key| match key {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
                _ => variables.iter().find(|(name, _)| *name == key).map(|(_, v)| (*v).to_owned()),
            })
            .output(output.clone());
        let (telemetry, guard) = scoped(builder);
        tracing::info_span!("work").in_scope(|| tracing::info!("at work"));
        drop(guard);
        assert!(telemetry.flush(PATIENCE));

        let resources = collector.resources();
        assert_eq!(resources.len(), 2, "one of logs, one of spans");
        for resource in &resources {
            for (key, expected) in [
                ("service.name", "orders"),
                ("service.version", "1.4.0"),
                ("deployment.environment", expected),
                ("deployment.environment.name", expected),
            ] {
                let said = attribute(&resource.attributes, key);
                assert_eq!(said.as_deref(), Some(expected), "{key} with {variables:?}");
                let times = resource.attributes.iter().filter(|said| said.key == key).count();
                assert_eq!(times, 1, "{key}");
            }
        }
        assert_eq!(output.lines()[0]["environment"], expected, "the line says the same");
    }
}

#[test]
fn a_span_of_business_logic_leaves_with_attributes_status_and_events() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let span = tracing::info_span!(
        "process_order",
        order.id = "o-17",
        user.id = 42,
        order.total = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    );
    span.in_scope(|| {
        tracing::info!(order.total = 99.5, items = 3, gift = true, "order_completed");
        tracing::info_span!("charge_payment").in_scope(|| ());
    });
    span.record("order.total", 99.5);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", "card declined, token=cAnArY9Zx7Q");
    drop((span, guard));
    assert!(telemetry.flush(PATIENCE));

    let span = collector.span("process_order");
    for (key, expected) in [("order.id", "o-17"), ("user.id", "42")] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let total = attribute(&span.attributes, "order.total");
    assert_eq!(total.as_deref(), Some("DoubleValue(99.5)"));
    let status = span.status.clone().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    assert_eq!(status.message, "card declined, token=[REDACTED]");

    let [event] = span.events.as_slice() else { panic!("one event: {:?}", span.events) };
    assert_eq!(event.name, "order_completed");
    assert!(span.start_time_unix_nano <= event.time_unix_nano);
    assert!(event.time_unix_nano <= span.end_time_unix_nano);
    for (key, expected) in [("order.total", "DoubleValue(99.5)"), ("items", "3"), ("gift", "true")]
    {
        assert_eq!(attribute(&event.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let unharmed = collector.span("charge_payment");
    assert_eq!(unharmed.parent_span_id, span.span_id);
    assert_eq!(unharmed.status.unwrap_or_default().code(), StatusCode::Unset);
}

/// Runs a request that waits for another and returns what the collector has before and after its end.
fn begun_and_ended(variables: &[(&str, &str)]) -> (Vec<Span>, Vec<LogRecord>, Vec<Span>) {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    all.extend(variables);
    let (telemetry, guard) = scoped(builder(&Output::default(), &all));
    let span =
        tracing::info_span!("import", otel.kind = "consumer", token = "cAnArY9Zx7Q", rows = 3);
    span.in_scope(|| tracing::info_span!("parse").in_scope(|| ()));
    assert!(telemetry.flush(PATIENCE));
    let before = collector.spans();
    drop((span, guard));
    assert!(telemetry.flush(PATIENCE));
    (before, collector.logs(), collector.spans())
}

#[test]
fn in_development_a_request_is_told_when_it_begins() {
    let (before, records, spans) = begun_and_ended(&[("ENVIRONMENT", "development")]);
    let names: Vec<&str> = before.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["parse"], "the request itself has not ended");
    let [record] = records.as_slice() else { panic!("one beginning: {records:?}") };
    assert_eq!(record.event_name, "skopos.pending");
    for (key, expected) in [
        ("skopos.pending", "true"),
        ("span.name", "import"),
        ("span.kind", "consumer"),
        ("rows", "3"),
        ("token", "[REDACTED]"),
    ] {
        assert_eq!(attribute(&record.attributes, key).as_deref(), Some(expected), "{key}");
    }
    let ended: Vec<&Span> = spans.iter().filter(|span| span.name == "import").collect();
    let [ended] = ended.as_slice() else { panic!("told once as a span: {spans:?}") };
    assert_eq!((&record.trace_id, &record.span_id), (&ended.trace_id, &ended.span_id));
    assert_eq!(record.time_unix_nano, ended.start_time_unix_nano);
    assert_eq!(attribute(&ended.attributes, "skopos.pending"), None);
}

#[test]
fn elsewhere_a_beginning_is_told_only_on_request() {
    for (variables, expected) in [
        (&[("ENVIRONMENT", "production")][..], 0),
        (&[("ENVIRONMENT", "staging"), ("SKOPOS_PENDING_SPANS", "true")], 1),
        (&[("ENVIRONMENT", "development"), ("SKOPOS_PENDING_SPANS", "false")], 0),
        (&[("ENVIRONMENT", "development"), ("OTEL_TRACES_SAMPLER", "always_off")], 0),
        (&[("ENVIRONMENT", "development"), ("OTEL_LOGS_EXPORTER", "none")], 0),
    ] {
        assert_eq!(begun_and_ended(variables).1.len(), expected, "{variables:?}");
    }
}

#[test]
fn spans_are_lines_when_the_environment_asks_for_the_console() {
    let run = |exporter: &str, collector: Option<&Collector>| {
        let output = Output::default();
        let endpoint = collector.map(Collector::endpoint).unwrap_or_default();
        let mut variables = vec![("OTEL_TRACES_EXPORTER", exporter)];
        variables
            .extend((!endpoint.is_empty()).then_some(("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)));
        let (telemetry, guard) = scoped(builder(&output, &variables));
        let span = tracing::info_span!(
            "charge",
            amount = 3,
            token = "cAnArY9Zx7Q",
            otel.status_code = Empty
        );
        span.in_scope(|| tracing::info!("at work"));
        span.record("otel.status_code", "ERROR");
        drop((span, guard));
        assert!(telemetry.flush(PATIENCE));
        output.lines()
    };
    let lines = run("console", None);
    let [at_work, ended] = lines.as_slice() else { panic!("two lines: {lines:?}") };
    assert_eq!((&ended["target"], &ended["message"]), (&"skopos::span".into(), &"charge".into()));
    assert_eq!((&ended["status"], &ended["span.kind"]), (&"ERROR".into(), &"internal".into()));
    assert_eq!(
        (&ended["trace_id"], &ended["span_id"]),
        (&at_work["trace_id"], &at_work["span_id"])
    );
    assert!(ended["duration_ms"].is_number(), "{ended}");
    let attributes = ended["attributes"].as_str().unwrap();
    assert!(attributes.contains("amount=3") && attributes.contains("token=[REDACTED]"), "{ended}");

    let collector = Collector::start(Manner::Accepts);
    assert_eq!(run("otlp,console", Some(&collector)).len(), 2, "both");
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(run("console", Some(&collector)).len(), 2, "the console only");
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(run("none", None).len(), 1);
}

/// Fails to show itself, which `tracing` allows.
struct Unshowable;

impl std::fmt::Display for Unshowable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl std::fmt::Debug for Unshowable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl std::error::Error for Unshowable {}

#[test]
fn a_value_that_cannot_be_shown_costs_its_span_an_attribute_and_the_host_nothing() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (telemetry, guard) = scoped(builder(&output, &variables));
    let outer = tracing::info_span!("outer", order = 7, later = tracing::field::Empty);
    outer.in_scope(|| {
        let inner = tracing::info_span!("inner", order = 8, broken = %Unshowable);
        inner.in_scope(|| {
            tracing::info!(broken = ?Unshowable, "a field");
            tracing::info!("a message: {}", Unshowable);
            let error: &(dyn std::error::Error + 'static) = &Unshowable;
            tracing::error!(error, "an error");
            tracing::info!("sound");
        });
        outer.record("later", tracing::field::display(Unshowable));
    });
    drop((outer, guard));
    assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
    let messages: Vec<_> = output.lines().into_iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!((&messages[0], &messages[3]), (&"a field".into(), &"sound".into()));
    let (outer, inner) = (collector.span("outer"), collector.span("inner"));
    assert_eq!(attribute(&outer.attributes, "order").as_deref(), Some("7"));
    assert_eq!((inner.trace_id, inner.parent_span_id), (outer.trace_id, outer.span_id));
    let events: Vec<&str> = inner.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["sound"]);
}

/// An error that is its own cause, or one whose `Debug` fails, of which nobody asks anything.
struct Odd {
    is_own_cause: bool,
}

impl std::fmt::Display for Odd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("odd")
    }
}

impl std::fmt::Debug for Odd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_own_cause { formatter.write_str("Odd") } else { Err(std::fmt::Error) }
    }
}

impl std::error::Error for Odd {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.is_own_cause.then_some(self)
    }
}

/// The layer of `tracing-opentelemetry` follows causes without end, on the caller's thread.
#[test]
fn an_error_that_is_its_own_cause_holds_up_nobody() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (telemetry, guard) = scoped(builder(&output, &variables));
    tracing::info_span!("work").in_scope(|| {
        for is_own_cause in [true, false] {
            let error: &(dyn std::error::Error + 'static) = &Odd { is_own_cause };
            tracing::error!(error, is_own_cause, "failed");
        }
    });
    drop(guard);
    assert!(telemetry.shutdown_blocking(PATIENCE).is_complete());
    assert_eq!(output.lines().len(), 2);
    let events = collector.span("work").events;
    assert_eq!(events.len(), 1, "{events:?}");
    let told = ["error", "is_own_cause"].map(|key| attribute(&events[0].attributes, key));
    assert_eq!(told, [Some("odd".to_owned()), Some("false".to_owned())]);
}
