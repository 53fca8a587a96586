//! Spans and their resource as they leave the SDK.

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
