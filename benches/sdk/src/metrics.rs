//! Counters, counters by a label of a closed set, and histograms.

use std::hint::black_box;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use skopos::metrics::Registry;

use crate::measure::Bench;

skopos::label_values! {
    enum Outcome { Approved => "approved", Declined => "declined", Failed => "failed" }
}
skopos::labels! {
    struct Labels { outcome: Outcome }
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct ClientLabels {
    outcome: ClientOutcome,
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelValue, Debug)]
enum ClientOutcome {
    Declined,
}

pub fn run(bench: &mut Bench) {
    let registry = Registry::new();
    let counter = registry.counter("a_total", "A.");
    let family = registry.counter_family::<Labels>("b_total", "B.");
    let histogram = registry.histogram("c_seconds", "C.", skopos::metrics::buckets::HTTP);
    let exponential = registry.exponential_histogram("d_seconds", "D.", &[1.0]);

    let client_counter = prometheus_client::metrics::counter::Counter::<u64>::default();
    let client_family = prometheus_client::metrics::family::Family::<
        ClientLabels,
        prometheus_client::metrics::counter::Counter,
    >::default();
    let bounds = || skopos::metrics::buckets::HTTP.iter().copied();
    let client_histogram = prometheus_client::metrics::histogram::Histogram::new(bounds());

    let recorder = Arc::new(
        metrics_exporter_prometheus::PrometheusBuilder::new()
            .set_buckets(skopos::metrics::buckets::HTTP)
            .expect("bounds")
            .build_recorder(),
    );
    let facade = |work: &dyn Fn()| metrics::with_local_recorder(&recorder, work);

    let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build();
    let meter = provider.meter("bench");
    let otel_counter = meter.u64_counter("a").build();
    let otel_histogram = meter.f64_histogram("c").with_boundaries(bounds().collect()).build();
    let attributes = [KeyValue::new("outcome", "declined")];
    let otel_bound = otel_counter.bind(&attributes);
    let otel_bound_histogram = otel_histogram.bind(&[]);

    for threads in [1, 2, 4] {
        let group = "counter, held";
        bench.run(group, "skopos", threads, 5_000_000, || {
            let counter = counter.clone();
            move || counter.inc()
        });
        bench.run(group, "prometheus-client", threads, 5_000_000, || {
            let counter = client_counter.clone();
            move || {
                counter.inc();
            }
        });
        bench.run(group, "metrics + exporter", threads, 5_000_000, || {
            let slot = std::cell::OnceCell::new();
            facade(&|| drop(slot.set(metrics::counter!("a"))));
            let counter = slot.into_inner().expect("a counter");
            move || counter.increment(1)
        });
        bench.run(group, "OpenTelemetry, bound", threads, 2_000_000, || {
            let bound = otel_bound.clone();
            move || bound.add(1)
        });
        bench.run(group, "OpenTelemetry, unbound, no attributes", threads, 1_000_000, || {
            let counter = otel_counter.clone();
            move || counter.add(1, &[])
        });

        let group = "counter, by a closed label";
        let labels = Labels { outcome: Outcome::Declined };
        bench.run(group, "skopos", threads, 3_000_000, || || family.inc(black_box(&labels)));
        let labels = ClientLabels { outcome: ClientOutcome::Declined };
        bench.run(group, "prometheus-client", threads, 1_000_000, || {
            || {
                client_family.get_or_create(black_box(&labels)).inc();
            }
        });
        bench.run(group, "metrics + exporter", threads, 300_000, || {
            let recorder = recorder.clone();
            move || {
                metrics::with_local_recorder(&recorder, || {
                    metrics::counter!("b", "outcome" => "declined").increment(1);
                });
            }
        });
        bench.run(group, "OpenTelemetry, unbound", threads, 1_000_000, || {
            || otel_counter.add(1, black_box(&attributes))
        });

        let group = "histogram, 12 buckets";
        bench.run(group, "skopos", threads, 2_000_000, || || histogram.observe(black_box(0.07)));
        bench.run(group, "skopos, exponential beside", threads, 2_000_000, || {
            || exponential.observe(black_box(0.07))
        });
        bench.run(group, "prometheus-client", threads, 1_000_000, || {
            || client_histogram.observe(black_box(0.07))
        });
        bench.run(group, "OpenTelemetry, bound", threads, 1_000_000, || {
            || otel_bound_histogram.record(black_box(0.07))
        });
        bench.run(group, "OpenTelemetry, unbound", threads, 1_000_000, || {
            || otel_histogram.record(black_box(0.07), &[])
        });
        // The facade keeps every observation until somebody scrapes: few, and a scrape after each round's.
        bench.run(group, "metrics + exporter (keeps every observation)", threads, 100_000, || {
            recorder.handle().run_upkeep();
            let slot = std::cell::OnceCell::new();
            facade(&|| drop(slot.set(metrics::histogram!("c"))));
            let histogram = slot.into_inner().expect("a histogram");
            move || histogram.record(black_box(0.07))
        });
    }
    exemplar(bench);
}

/// A histogram inside a sampled span: only ours has exemplars to write.
fn exemplar(bench: &mut Bench) {
    use tracing_subscriber::layer::SubscriberExt as _;
    let (telemetry, layer) = skopos::Telemetry::builder(skopos::Service::new("bench"))
        .output(std::io::sink())
        .build()
        .expect("the default filter parses");
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    let bounds = skopos::metrics::buckets::HTTP;
    let histogram = telemetry.registry().histogram("e_seconds", "E.", bounds);
    for threads in [1, 2, 4] {
        bench.run("histogram, 12 buckets", "skopos, with exemplar", threads, 500_000, || {
            // For the thread's life: what is measured is the observation.
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            std::mem::forget(tracing::info_span!("request").entered());
            || histogram.observe(black_box(0.07))
        });
    }
}
