//! What the SDK costs a service on its hot paths: a log line, a span, a counter, a request through the HTTP layer.
//!
//! Prints nanoseconds per operation, the median of several rounds. Run it on a quiet machine:
//! `cargo bench -p skopos`, or `-- request` for those with that word in their name. Lines go to a sink, spans to no collector.

use std::hint::black_box;
use std::time::Instant;

use axum::body::Body;
use http::Request;
use skopos::metrics::Bounded;
use skopos::{Service, Telemetry};
use tower_service::Service as _;
use tracing_subscriber::layer::SubscriberExt as _;

skopos::label_values! {
    enum Method { Card => "card", Invoice => "invoice" }
}
skopos::labels! {
    struct ClosedLabels { payment_method: Method }
}
skopos::labels! {
    struct OrderLabels { payment_method: Method, region: Bounded<16> }
}

const ROUNDS: usize = 7;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(name: &str, count: u32, mut operation: impl FnMut()) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..count {
                operation();
            }
            started.elapsed().as_nanos() as f64 / f64::from(count)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<44} {:>9.1} ns", rounds[ROUNDS / 2]);
}

fn main() {
    let (telemetry, layer) = Telemetry::builder(Service::new("bench").version("1"))
        .output(std::io::sink())
        .lines_per_second(0)
        .build()
        .expect("the default filter parses");
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);
    let registry = telemetry.registry();

    let counter = registry.counter("bench_total", "Bench.");
    measure("counter, held", 10_000_000, || counter.inc());
    let closed = registry.counter_family::<ClosedLabels>("closed_total", "Bench.");
    let labels = ClosedLabels { payment_method: Method::Invoice };
    measure("counter, by a closed label", 5_000_000, || closed.inc(black_box(&labels)));
    let family = registry.counter_family::<OrderLabels>("orders_total", "Orders.");
    let labels = OrderLabels { payment_method: Method::Card, region: Bounded::new("eu") };
    measure("counter, by labels", 2_000_000, || family.get(black_box(&labels)).inc());
    let histogram = registry.histogram("seconds", "Bench.", skopos::metrics::buckets::HTTP);
    measure("histogram, no span", 5_000_000, || histogram.observe(black_box(0.07)));

    let redactor = telemetry.redactor();
    measure("redact: clean text of 40 bytes", 1_000_000, || {
        black_box(redactor.redact_text(black_box("order placed for customer in region eu-1")));
    });
    measure("redact: name that is not denied", 1_000_000, || {
        black_box(redactor.redact_name(black_box("payment_method")));
    });
    measure("event, level off", 10_000_000, || tracing::debug!("off"));
    let line = || {
        tracing::info!(
            order_id = "o-1",
            user_id = "u-1",
            amount = 99.99,
            currency = "USD",
            "order placed"
        );
    };
    measure("JSON line, 4 fields", 200_000, line);
    let span = tracing::info_span!("request", request_id = "r-1", tenant = "t-1");
    span.in_scope(|| {
        measure("JSON line, 4 fields, ids and 2 span fields", 200_000, line);
        measure("histogram with exemplar", 1_000_000, || histogram.observe(black_box(0.07)));
    });
    measure("span, entered and closed", 100_000, || {
        tracing::info_span!("work", order_id = "o-1").in_scope(|| black_box(()));
    });

    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let serve = |name: &str, mut app: axum::Router| {
        measure(name, 20_000, || {
            let request = Request::get("/orders/1").body(Body::empty()).expect("a request");
            let response = runtime.block_on(app.call(request));
            black_box(response.is_ok());
        });
    };
    let app = axum::Router::new().route("/orders/{id}", axum::routing::get(|| async { "ok" }));
    serve("request, bare axum", app.clone());
    serve("request, with span, metrics and access line", app.layer(telemetry.http_layer()));
    drop(guard);
}
