//! Jobs and messages: traces that are linked, ids that go on, and every end counted.

use std::sync::Mutex;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use skopos::ResultExt as _;
use skopos::metrics::Format;

use crate::exposition::parse;
use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, runtime, scoped};

type Headers = Vec<(String, String)>;

fn pairs(headers: &Headers) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[test]
fn a_message_is_linked_to_its_sender_and_keeps_the_request_id() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let sent: Mutex<Headers> = Mutex::default();
    runtime().block_on(async {
        let publish = telemetry.publish("nats", "orders");
        publish
            .run(|headers| async {
                sent.lock().unwrap().extend(headers);
                Ok::<(), std::io::Error>(())
            })
            .await
            .unwrap();
        let headers = sent.lock().unwrap().clone();
        let packed = telemetry
            .consume("nats", "orders")
            .sent_by(pairs(&headers))
            .run(async {
                tracing::info!("packing");
                tokio::task::yield_now().await;
                let onward = skopos::propagation_headers();
                assert!(onward.iter().any(|(name, _)| *name == "x-request-id"));
                Ok::<u8, std::io::Error>(7)
            })
            .await;
        assert_eq!(packed.unwrap(), 7);
        let child = telemetry.consume("nats", "orders").sent_by(pairs(&headers)).as_child();
        child.run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
        // Headers from a stranger harm nothing.
        let stranger = vec![
            ("TraceParent".to_owned(), "nonsense".to_owned()),
            ("x-request-id".to_owned(), "bad id\n".to_owned()),
            ("baggage".to_owned(), "a=1\r\nevil: 1".to_owned()),
        ];
        telemetry
            .consume("nats", "orders")
            .sent_by(pairs(&stranger))
            .run(async {
                assert!(skopos::propagation_headers().iter().all(|(name, _)| *name != "baggage"));
                assert_ne!(skopos::current_request_id().unwrap(), "bad id\n");
                Ok::<(), std::io::Error>(())
            })
            .await
            .unwrap();
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let sender = collector.span("publish orders");
    assert_eq!(sender.kind, 4, "producer");
    let spans = collector.spans();
    let received: Vec<_> = spans.iter().filter(|span| span.name == "process orders").collect();
    let [linked, child, stranger] = received.as_slice() else { panic!("{received:?}") };
    assert_ne!(linked.trace_id, sender.trace_id, "a trace of its own");
    let [link] = linked.links.as_slice() else { panic!("{:?}", linked.links) };
    assert_eq!((&link.trace_id, &link.span_id), (&sender.trace_id, &sender.span_id));
    assert_eq!((&child.trace_id, &child.parent_span_id), (&sender.trace_id, &sender.span_id));
    assert!(stranger.links.is_empty() && stranger.parent_span_id.is_empty());
    for (key, value) in [
        ("messaging.system", "nats"),
        ("messaging.destination.name", "orders"),
        ("messaging.operation.type", "process"),
    ] {
        assert_eq!((linked.kind, attribute(&linked.attributes, key).as_deref()), (5, Some(value)));
    }
    let id =
        &sent.lock().unwrap().iter().find(|(name, _)| name == "x-request-id").unwrap().1.clone();
    let lines = output.lines();
    let packing = lines.iter().find(|line| line["message"] == "packing").unwrap();
    assert_eq!(packing["request_id"], **id);
}

#[test]
fn every_end_of_a_job_is_counted() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let running = |telemetry: &skopos::Telemetry| {
        let text = telemetry.registry().encode(Format::Prometheus);
        parse(&text, Format::Prometheus).series[r#"tasks_in_progress{task="sweep"}"#]
    };
    runtime().block_on(async {
        let good = telemetry.job("sweep").run(async {
            assert_eq!(running(&telemetry), 1.0);
            Ok::<(), String>(())
        });
        good.await.unwrap();
        let bad = telemetry.job("sweep").run(async { Err::<(), _>("token=cAnArY9Zx7Q is bad") });
        bad.await.unwrap_err();
        let wrong = telemetry.job("sweep").run(async {
            skopos::mark_failed("nothing_swept");
            Ok::<(), String>(())
        });
        wrong.await.unwrap();
        let panics = telemetry.job("sweep").run(async {
            let nothing: Option<u8> = std::hint::black_box(None);
            nothing.map(|_| ()).ok_or("none").expect("a panic");
            Ok::<(), String>(())
        });
        let caught = tokio::spawn(panics).await;
        assert!(caught.unwrap_err().is_panic());
        // One that is dropped half-way.
        let mut dropped = Box::pin(telemetry.job("sweep").run(async {
            std::future::pending::<()>().await;
            Ok::<(), String>(())
        }));
        std::future::poll_fn(|context| {
            assert!(dropped.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(dropped);
        assert_eq!(running(&telemetry), 0.0);
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let text = telemetry.registry().encode(Format::Prometheus);
    let series = parse(&text, Format::Prometheus).series;
    let count = |outcome: &str| {
        series[&format!("task_duration_seconds_count{{outcome=\"{outcome}\",task=\"sweep\"}}")]
    };
    assert_eq!((count("success"), count("failure")), (1.0, 4.0));
    let spans = collector.spans();
    let kinds: Vec<Option<String>> = spans
        .iter()
        .filter(|span| span.status.clone().unwrap_or_default().code() == StatusCode::Error)
        .map(|span| attribute(&span.attributes, "error.type"))
        .collect();
    assert_eq!(kinds.len(), 4, "{spans:?}");
    for kind in ["nothing_swept", "panic", "failed_or_dropped"] {
        assert!(kinds.iter().any(|found| found.as_deref() == Some(kind)), "{kind}: {kinds:?}");
    }
    let lines = output.lines();
    let failed: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(failed.len(), 1, "{lines:?}");
    assert_eq!(failed[0]["error"], "token=[REDACTED] is bad");
    assert!(!String::from_utf8_lossy(&collector.bytes()).contains("cAnArY"));
}

#[test]
fn an_error_is_recorded_on_the_span_in_which_it_happened() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let span = tracing::info_span!("charge");
    span.in_scope(|| {
        let _ = "x".parse::<u8>().record_err();
        let _ = "7".parse::<u8>().record_err();
    });
    drop((span, guard));
    assert!(telemetry.flush(PATIENCE));
    let span = collector.span("charge");
    let status = span.status.clone().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (StatusCode::Error, "invalid digit found in string")
    );
    let kind = attribute(&span.attributes, "error.type").unwrap();
    assert!(kind.ends_with("ParseIntError"), "{kind}");
    let [event] = span.events.as_slice() else { panic!("{:?}", span.events) };
    assert_eq!(event.name, "exception");
}

#[test]
fn a_rate_of_traces_holds_whatever_the_load() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(
        builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).traces_per_second(0.01),
    );
    for _ in 0..1000 {
        let parent = tracing::info_span!("parent");
        parent.in_scope(|| tracing::info_span!("child").in_scope(|| ()));
    }
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "one trace, whole: {spans:?}");
    assert_eq!(spans[0].trace_id, spans[1].trace_id);
}
