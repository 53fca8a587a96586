//! How telemetry leaves: protocols, compression, headers, limits, and the company of other layers.

use std::sync::{Arc, Mutex};

use skopos::{Preset, Service, Telemetry};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, scoped, wait_until};

/// Sends one span and one line this way, and returns what the collector saw.
fn send(manner: Manner, variables: &[(&str, &str)]) -> Collector {
    let collector = Collector::start(manner);
    let endpoint = collector.endpoint();
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    all.extend(variables);
    let (telemetry, guard) = scoped(builder(&Output::default(), &all));
    tracing::info_span!("work", text = "x".repeat(100)).in_scope(|| tracing::info!("done"));
    drop(guard);
    telemetry.flush(PATIENCE);
    collector
}

const HEADERS: (&str, &str) =
    ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop,authorization=Bearer%20k");
const GZIP: (&str, &str) = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");

#[test]
fn every_protocol_with_and_without_compression() {
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let protocols = if cfg!(feature = "grpc") { vec![http, grpc] } else { vec![http] };
    for protocol in protocols {
        for manner in [Manner::Accepts, Manner::Busy(2)] {
            for is_compressed in [false, true] {
                let mut variables = vec![protocol, HEADERS];
                variables.extend(is_compressed.then_some(GZIP));
                let collector = send(manner, &variables);
                let case = (protocol.1, is_compressed);
                assert_eq!(collector.spans().len(), 1, "{case:?}");
                assert_eq!(collector.logs().len(), 1, "{case:?}");
                for headers in collector.headers() {
                    assert_eq!(
                        (&headers["x-tenant"], &headers["authorization"]),
                        (&"shop".parse().unwrap(), &"Bearer k".parse().unwrap())
                    );
                    assert_eq!(headers.contains_key("content-encoding"), is_compressed, "{case:?}");
                    let is_grpc = headers["content-type"] == "application/grpc";
                    assert_eq!(is_grpc, protocol == grpc);
                }
            }
        }
    }
}

#[cfg(feature = "grpc")]
#[test]
fn what_a_grpc_collector_refuses_is_counted_and_not_repeated() {
    let collector = Collector::start(Manner::Refuses);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
    tracing::info!("one");
    drop(guard);
    let report = telemetry.shutdown_blocking(PATIENCE);
    assert_eq!((report.logs_lost, report.timed_out, collector.requests()), (1, false, 1));
}

#[cfg(feature = "grpc")]
#[test]
fn shutting_down_is_bounded_when_a_grpc_collector_hangs_or_is_not_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hangs = Collector::start(Manner::Hangs);
    for endpoint in [hangs.endpoint(), format!("http://{closed}")] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
        tracing::info!("one");
        drop(guard);
        // On a current-thread runtime, where others deadlock.
        let (report, took) = crate::support::runtime().block_on(async {
            let started = tokio::time::Instant::now();
            let report = telemetry.shutdown(std::time::Duration::from_millis(300)).await;
            (report, started.elapsed())
        });
        assert!(took < std::time::Duration::from_secs(3), "{took:?}");
        assert_eq!(report.logs_lost, 1, "{report}");
    }
}

#[test]
fn limits_of_the_environment_hold() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
        ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
    ];
    let (telemetry, guard) = scoped(builder(&Output::default(), &variables));
    tracing::info_span!("work", a = "größer als", b = 2, c = 3, d = 4).in_scope(|| {
        tracing::info!(e = "größer als", f = 2, "done");
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let span = collector.span("work");
    let held = (span.attributes.len(), span.dropped_attributes_count);
    assert_eq!(held, (2, 3), "a to d and the target are five: {span:?}");
    assert_eq!(attribute(&span.attributes, "a").as_deref(), Some("größe"));
    let log = &collector.logs()[0];
    assert_eq!(log.attributes.len(), 3);
    assert_eq!(log.dropped_attributes_count, 4, "a to f and the target are seven");
    assert_eq!(attribute(&log.attributes, "a").as_deref(), Some("größe"));
}

/// A layer of somebody else.
#[derive(Clone, Default)]
struct Theirs(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Theirs {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().push(event.metadata().target().to_owned());
    }
}

#[test]
fn our_layers_live_with_theirs_on_one_subscriber() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (telemetry, _) = builder(&output, &variables).build().unwrap();
    let (below, above) = (Theirs::default(), Theirs::default());
    let subscriber = tracing_subscriber::registry()
        .with(below.clone())
        .with(telemetry.layers())
        .with(above.clone());
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("work");
        let _entered = span.enter();
        tracing::info!(target: "shop", "done");
        tracing::debug!(target: "shop", "not heard by anybody");
    });
    assert!(telemetry.flush(PATIENCE));
    wait_until(|| collector.spans().len() == 1);
    let line = &output.lines()[0];
    let span = collector.span("work");
    assert_eq!(line["trace_id"], crate::support::hex(&span.trace_id));
    for theirs in [below, above] {
        assert_eq!(*theirs.0.lock().unwrap(), ["shop"]);
    }
}

#[test]
fn presets_are_a_start_and_the_environment_wins() {
    for (preset, environment, expected) in [
        (Preset::Production, None, ("production", true, 1)),
        (Preset::Development, None, ("development", false, 2)),
        (Preset::Production, Some("staging"), ("staging", true, 1)),
    ] {
        let output = Output::default();
        let named = Telemetry::builder(Service::new("shop")).preset(preset);
        let built = named
            .from_lookup(|key| environment.filter(|_| key == "ENVIRONMENT").map(str::to_owned))
            .output(output.clone());
        let (telemetry, guard) = scoped(built);
        tracing::info!(target: "shop", "one");
        tracing::debug!(target: "shop", "two");
        drop(guard);
        assert!(telemetry.flush(PATIENCE));
        let text = output.text();
        let (environment, is_json, lines) = expected;
        assert_eq!((text.starts_with('{'), text.lines().count()), (is_json, lines), "{text}");
        assert!(!is_json || text.contains(&format!("\"environment\":\"{environment}\"")), "{text}");
    }
}
