//! `skopos::testing` as a service's own tests use it.

use skopos::redact::{Canary, Redactor};
use skopos::testing::Capture;
use skopos::{Service, Telemetry};
use tower::ServiceExt as _;
use tracing::Level;

use crate::support::runtime;

#[test]
fn logs_spans_and_metrics_of_one_request() {
    let capture = Capture::start();
    let orders = capture.registry().counter("orders_placed_total", "Orders placed.");
    let app: axum::Router = axum::Router::new()
        .route(
            "/orders/{id}",
            axum::routing::get(async move || {
                orders.inc();
                tracing::info_span!("charge", amount = 5)
                    .in_scope(|| tracing::info!(order_id = "o-1", "order placed"));
            }),
        )
        .layer(capture.telemetry().http_layer());
    runtime().block_on(async {
        let request = http::Request::get("/orders/7").header("x-request-id", "r-1");
        app.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    });
    let line = capture.assert_logged(Level::INFO, "order placed");
    assert_eq!((line.request_id.as_deref(), line.field("order_id")), (Some("r-1"), Some("o-1")));
    let (server, charge) = (capture.assert_span("GET /orders/{id}"), capture.assert_span("charge"));
    assert_eq!((server.kind, charge.parent_span_id), ("server", Some(server.span_id.clone())));
    assert_eq!((line.trace_id, line.span_id), (Some(server.trace_id), Some(charge.span_id)));
    capture.assert_metric("orders_placed_total", &[], 1.0);
    let labels = [("status_code", "200"), ("method", "GET"), ("endpoint", "/orders/{id}")];
    capture.assert_metric("http_requests_total", &labels, 1.0);
    capture.assert_no_errors();
    let snapshot = capture.snapshot();
    for part in [
        "INFO it::testing: order placed amount=5 order_id=o-1\n",
        "INFO skopos::access: request finished method=GET path=/orders/7",
        "span GET /orders/{id} [server] ",
        "\n  span charge [internal] ",
        "\n    event order placed\n",
        "\norders_placed_total 1\n",
    ] {
        assert!(snapshot.contains(part), "{part} in\n{snapshot}");
    }
}

#[test]
fn captures_of_parallel_tests_do_not_mix() {
    std::thread::scope(|scope| {
        for index in 0..8 {
            scope.spawn(move || {
                let capture = Capture::start();
                for _ in 0..50 {
                    tracing::info!(index, "mine");
                    std::thread::yield_now();
                }
                let logs = capture.logs();
                let mine = index.to_string();
                assert_eq!(logs.len(), 50);
                assert!(logs.iter().all(|log| log.field("index") == Some(&mine)));
            });
        }
    });
}

#[test]
fn a_canary_is_looked_for_in_every_sink_by_the_rules_of_the_service() {
    let canary = Canary::new("testing");
    let leak = |redactor: Option<Redactor>| {
        let mut builder = Telemetry::builder(Service::new("shop"));
        if let Some(redactor) = redactor {
            builder = builder.redact(redactor);
        }
        let capture = Capture::with(builder);
        tracing::info_span!("work", loyalty = canary.as_str()).in_scope(|| tracing::info!("done"));
        capture
    };
    leak(Some(Redactor::builder().deny("**.loyalty").build().unwrap())).assert_absent(&canary);
    let leaking = std::panic::catch_unwind(|| leak(None).assert_absent(&canary)).unwrap_err();
    let message = leaking.downcast_ref::<String>().unwrap();
    assert!(message.contains("the log leaks the canary"), "{message}");
}

#[test]
fn failed_assertions_show_what_there_is() {
    for (check, expected) in [
        (
            (|capture| drop(capture.assert_logged(Level::WARN, "placed"))) as fn(&Capture),
            "INFO it::testing: placed",
        ),
        (|capture| drop(capture.assert_span("other")), "no span \"other\" has ended"),
        (|capture| capture.assert_metric("a_total", &[], 1.0), "a_total[] is None"),
        (
            |capture| {
                tracing::error!("down");
                capture.assert_no_errors()
            },
            "ERROR it::testing: down",
        ),
    ] {
        let failed = std::panic::catch_unwind(|| {
            let capture = Capture::start();
            tracing::info!("placed");
            check(&capture);
        });
        let failed = failed.unwrap_err();
        let message = failed.downcast_ref::<String>().unwrap();
        assert!(message.contains(expected), "{message}");
    }
}
