//! A span with one attribute, entered and closed, and sent on; whoever has a choice of sampling keeps all.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::measure::Bench;
use crate::sink;

const GROUP: &str = "span, begun, entered, ended and exported";
const COUNT: u32 = 50_000;

fn span() {
    tracing::info_span!("charge", order_id = "order-012").in_scope(|| std::hint::black_box(()));
}

/// Takes spans and forgets them.
#[derive(Debug)]
struct Forget;

impl SpanExporter for Forget {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        std::hint::black_box(batch);
        Ok(())
    }
}

struct Drain;

impl fastrace::collector::Reporter for Drain {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        std::hint::black_box(spans);
    }
}

pub fn run(bench: &mut Bench) {
    fastrace::set_reporter(Drain, fastrace::collector::Config::default());
    for threads in [1, 2, 4] {
        // Ours goes the whole way: encoded, over a socket, to a collector that forgets it; the others' exporters do nothing.
        let collector = sink::collector();
        let (telemetry, layer) = skopos::Telemetry::builder(skopos::Service::new("bench"))
            .from_lookup(|key| {
                (key == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| collector.clone())
            })
            .without_lines()
            .build()
            .expect("the default filter parses");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        bench.run(GROUP, "skopos, over OTLP", threads, COUNT, || {
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            span
        });
        drop((dispatch, telemetry));

        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(Forget).build())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
        let filter = tracing_subscriber::EnvFilter::new("info");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(filter).with(layer));
        bench.run(GROUP, "tracing-opentelemetry, exporter that forgets", threads, COUNT, || {
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            span
        });

        bench.run(
            GROUP,
            "fastrace (an API of its own), reporter that forgets",
            threads,
            COUNT,
            || {
                || {
                    let root =
                        fastrace::Span::root("charge", fastrace::collector::SpanContext::random())
                            .with_property(|| ("order_id", "order-012"));
                    let _guard = root.set_local_parent();
                }
            },
        );
    }
}
