//! Java's metrics and tracing: Micrometer, Prometheus' client, OpenTelemetry.

use crate::FactKind;
use crate::fact::{Exposed, Field, Metric, MetricKind, MetricUse, Tracing, TracingRole};
use crate::lang::classify::Classify;
use crate::lang::ir::{Call, Expr};
use crate::lang::shared::{chain, root};

pub(super) fn metrics(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let function = call.at.function;
    let text = call.positional(0).and_then(Expr::text).map(str::to_owned);
    let object = call.object().to_lowercase();
    let is_registry = object.ends_with("registry") || object.ends_with("metrics");
    match name {
        "builder"
            if full.contains("micrometer")
                || matches!(
                    call.object(),
                    "Counter" | "Timer" | "Gauge" | "DistributionSummary"
                ) && text.is_some() =>
        {
            let kind = match call.object().rsplit('.').next().unwrap_or_default() {
                "Timer" | "DistributionSummary" => MetricKind::Histogram,
                "Gauge" => MetricKind::Gauge,
                _ => MetricKind::Counter,
            };
            define(c, call, "micrometer", kind, text.clone(), Vec::new());
        }
        "counter" | "timer" | "gauge" | "summary" if is_registry && text.is_some() => {
            let kind = match name {
                "timer" | "summary" => MetricKind::Histogram,
                "gauge" => MetricKind::Gauge,
                _ => MetricKind::Counter,
            };
            define(c, call, "micrometer", kind, text.clone(), Vec::new());
            // `registry.counter("orders", "user", id)`: keys and values in turn.
            let labels: Vec<Field> = call
                .args
                .get(1..)
                .unwrap_or_default()
                .chunks(2)
                .filter_map(|pair| Some((pair.first()?.value.text()?, &pair.get(1)?.value)))
                .flat_map(|(key, value)| c.module.fields(Some(key), value, function))
                .collect();
            if !labels.is_empty() {
                let metric = text.clone().unwrap_or_default();
                c.push(
                    call.span,
                    call.at,
                    FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
                );
            }
        }
        "counterBuilder" | "gaugeBuilder" | "histogramBuilder" | "upDownCounterBuilder" => {
            let kind = match name {
                "gaugeBuilder" => MetricKind::Gauge,
                "histogramBuilder" => MetricKind::Histogram,
                _ => MetricKind::Counter,
            };
            define(c, call, "opentelemetry", kind, text.clone(), Vec::new());
        }
        "register" => {
            let links = chain(c, call);
            let first = links.last().map(|link| link.callee.clone()).unwrap_or_default();
            let kinds = [
                ("Counter.build", MetricKind::Counter),
                ("Gauge.build", MetricKind::Gauge),
                ("Histogram.build", MetricKind::Histogram),
                ("Summary.build", MetricKind::Summary),
            ];
            let kind = kinds.iter().find(|(start, _)| first == *start).map(|(_, kind)| *kind);
            let texts = |wanted: &str| -> Vec<(String, crate::Span)> {
                let links = links.iter().filter(|link| link.name() == wanted);
                links.flat_map(|link| link.args.iter().flat_map(|arg| arg.value.texts())).collect()
            };
            if let Some(kind) = kind {
                let named = texts("name").first().map(|(text, _)| text.clone());
                define(
                    c,
                    call,
                    "prometheus",
                    kind,
                    named.or_else(|| texts("build").first().map(|(t, _)| t.clone())),
                    texts("labelNames"),
                );
            }
        }
        "Timed" | "Counted" => {
            define(c, call, "micrometer", MetricKind::Histogram, text.clone(), Vec::new())
        }
        _ => {}
    }
    if name == "tag"
        && matches!(
            root(c, call).object().rsplit('.').next(),
            Some("Counter" | "Timer" | "Gauge" | "DistributionSummary")
        )
        && let (Some(key), Some(value)) =
            (call.positional(0).and_then(Expr::text), call.positional(1))
    {
        let metric =
            root(c, call).positional(0).and_then(Expr::text).unwrap_or_default().to_owned();
        let labels = c.module.fields(Some(key), value, function);
        c.push(
            call.span,
            call.at,
            FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
        );
    }
    if name == "labels" || name == "labelValues" {
        let metric = call.object().rsplit('.').next().unwrap_or_default().to_owned();
        let labels: Vec<Field> =
            call.args.iter().flat_map(|arg| c.module.fields(None, &arg.value, function)).collect();
        c.push(
            call.span,
            call.at,
            FactKind::MetricUse(MetricUse { metric, labels, success_only: false }),
        );
    }
    let exposed = match full {
        _ if full.starts_with("io.prometheus.client") && name == "HTTPServer" => {
            Some(Exposed::Pulled("HTTPServer".into()))
        }
        _ if full.starts_with("io.prometheus") && name == "MetricsServlet" => {
            Some(Exposed::Pulled("MetricsServlet".into()))
        }
        _ if full.contains("TextFormat.write") => Some(Exposed::Pulled("TextFormat".into())),
        _ if name == "scrape" => Some(Exposed::Pulled(call.callee.clone())),
        _ if full.contains("OtlpGrpcMetricExporter") || full.contains("OtlpHttpMetricExporter") => {
            Some(Exposed::Pushed("OTLP".into()))
        }
        _ => None,
    };
    if let Some(exposed) = exposed {
        c.push(call.span, call.at, FactKind::MetricsExposed(exposed));
    }
}

/// A metric is defined by a call.
fn define(
    c: &mut Classify<'_>,
    call: &Call,
    library: &str,
    kind: MetricKind,
    name: Option<String>,
    labels: Vec<(String, crate::Span)>,
) {
    c.push(
        call.span,
        call.at,
        FactKind::Metric(Metric { library: library.into(), kind, name, labels }),
    );
}

pub(super) fn tracing(c: &mut Classify<'_>, call: &Call, full: &str) {
    let name = call.name();
    let role = match full {
        _ if full.ends_with("SdkTracerProvider.builder") => Some(TracingRole::Provider),
        _ if full.contains("AutoConfiguredOpenTelemetrySdk") => Some(TracingRole::Provider),
        _ if full.contains("OtlpGrpcSpanExporter") || full.contains("OtlpHttpSpanExporter") => {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("ZipkinSpanExporter") || full.contains("JaegerGrpcSpanExporter") => {
            Some(TracingRole::Exporter)
        }
        _ if full.contains("LoggingSpanExporter") || full.contains("SimpleSpanProcessor.") => {
            Some(TracingRole::DevelopmentExporter)
        }
        _ if name == "spanBuilder" || name == "nextSpan" => Some(TracingRole::Span),
        "WithSpan" | "NewSpan" | "Observed" => Some(TracingRole::Span),
        _ if name == "inject" || (name == "extract" && call.callee.contains("ropagator")) => {
            Some(TracingRole::Propagation)
        }
        _ => None,
    };
    if let Some(role) = role {
        c.push(call.span, call.at, FactKind::Tracing(Tracing { role, what: call.callee.clone() }));
    }
    let is_attribute = name == "setAttribute" && {
        let object = call.object().to_lowercase();
        object.contains("span")
            || c.made_on(call).is_some_and(|made| made.to_lowercase().contains("span"))
    };
    let is_tag = name == "tag" && call.object().to_lowercase().contains("span");
    let is_baggage = name == "put" && call.callee.contains("Baggage");
    if (is_attribute || is_tag || is_baggage)
        && let (Some(key), Some(value)) =
            (call.positional(0).and_then(Expr::text), call.positional(1))
    {
        for field in c.module.fields(Some(key), value, call.at.function) {
            c.push(call.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    // What OpenTracing takes with a moment of a span: a mapping of names and values.
    let is_moment = name == "log" && call.object().to_lowercase().contains("span");
    if let Some(value) = call.positional(0).filter(|_| is_moment) {
        for field in c.module.fields(None, value, call.at.function) {
            c.push(call.span, call.at, FactKind::SpanAttribute(field));
        }
    }
    let names_service = call.args.first().is_some_and(|arg| {
        arg.value.text() == Some("service.name")
            || arg.value.path().is_some_and(|path| path.ends_with("SERVICE_NAME"))
    });
    if names_service {
        let value = call.positional(1).and_then(Expr::text).map(str::to_owned);
        c.push(call.span, call.at, FactKind::ServiceName(value));
    }
}
