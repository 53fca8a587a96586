//! One line of JSON: a time, four fields of the context, four of the event.

use std::io;

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::measure::Bench;
use crate::sink;

const GROUP: &str = "JSON line, 4 + 4 fields";

/// One such event is less than the call of the function that it stands in.
pub const OFF: &str = "events that are off, a hundred in a row";
pub const OFF_EVENTS: u32 = 100;

fn line() {
    tracing::info!(
        order_id = "order-012",
        user_id = "user-789",
        amount = 99.99,
        currency = "USD",
        "order_placed"
    );
}

fn inside(dispatch: &Dispatch, bench: &mut Bench, name: &str, threads: usize) {
    let enter = || {
        std::mem::forget(tracing::dispatcher::set_default(dispatch));
        let span = tracing::info_span!(
            "request",
            request_id = "req-abc123",
            tenant = "t-1",
            region = "eu",
            shard = 7
        );
        std::mem::forget(span.entered());
    };
    bench.run(GROUP, name, threads, 100_000, || {
        enter();
        line
    });
    bench.run(OFF, name, threads, 1_000_000, || {
        enter();
        || {
            for _ in 0..OFF_EVENTS {
                tracing::debug!(order_id = "order-012", "off");
            }
        }
    });
}

pub fn run(bench: &mut Bench) {
    for threads in [1, 2, 4] {
        // With its redactor, and ids of a real trace; the line goes to a thread of its own, which is part of the cost.
        let (telemetry, layer) =
            skopos::Telemetry::builder(skopos::Service::new("order-service").version("1.2.3"))
                .format(skopos::LogFormat::Json)
                .output(io::sink())
                // The limit of a call site would cut the flood that is measured.
                .lines_per_second(0)
                .build()
                .expect("the default filter parses");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        inside(&dispatch, bench, "skopos, with redaction", threads);
        drop((dispatch, telemetry));

        // The same where the span around it goes to a collector, which takes a copy of each event.
        let collector = sink::collector();
        let (telemetry, layer) =
            skopos::Telemetry::builder(skopos::Service::new("order-service").version("1.2.3"))
                .from_lookup(|key| {
                    (key == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| collector.clone())
                })
                .format(skopos::LogFormat::Json)
                .output(io::sink())
                .lines_per_second(0)
                .build()
                .expect("the default filter parses");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        inside(&dispatch, bench, "skopos, with redaction, in an exported span", threads);
        drop((dispatch, telemetry));

        let layer = tracing_subscriber::fmt::layer().json().with_writer(io::sink);
        let filter = tracing_subscriber::EnvFilter::new("info");
        let subscriber = tracing_subscriber::registry().with(filter).with(layer);
        inside(&Dispatch::new(subscriber), bench, "tracing-subscriber json, no redaction", threads);
    }
}
