//! MET: metrics, as far as code says them; what their labels hold is in `labels`, who scrapes them in `scrape`.

use super::{first, runs, used};
use crate::fact::{Exposed, Metric, MetricKind, TracingRole};
use crate::files::Document;
use crate::{Case, FactKind, Place, Verdicts};

/// Packages that bring metrics by being there.
const LIBRARIES: &[&str] = &[
    "prometheus-client",
    "prom-client",
    "prometheus-fastapi-instrumentator",
    "prometheus-flask-exporter",
    "starlette-exporter",
    "starlette-prometheus",
    "django-prometheus",
    "express-prom-bundle",
    "fastify-metrics",
    "@willsoto/nestjs-prometheus",
    "opentelemetry-exporter-prometheus",
    "@opentelemetry/exporter-prometheus",
    "@opentelemetry/sdk-metrics",
    "@opentelemetry/exporter-metrics-*",
    "statsd",
    "datadog",
    "hot-shots",
    "aioprometheus",
    "logfire",
    "skopos",
    "prometheus",
    "metrics",
    "metrics-exporter-prometheus",
    "opentelemetry-prometheus",
    "axum-prometheus",
    "actix-web-prom",
    "github.com/prometheus/client_golang*",
    "go.opentelemetry.io/otel/sdk/metric",
    "go.opentelemetry.io/otel/metric",
    "github.com/VictoriaMetrics/metrics",
    "io.micrometer:micrometer-*",
    "io.prometheus:*",
    "io.quarkus:quarkus-micrometer*",
    "io.dropwizard.metrics:*",
    "org.springframework.boot:spring-boot-starter-actuator",
    "github.com/DataDog/datadog-go*",
    "github.com/armon/go-metrics",
    "github.com/docker/go-metrics",
    "github.com/rcrowley/go-metrics",
    "github.com/go-kit/kit/metrics",
    "github.com/uber-go/tally*",
    "go.opencensus.io/stats",
    "prometheus-async",
    "swagger-stats",
];

/// Whether a route is one that Prometheus asks, not a resource of the service that is called metrics.
fn is_for_scraping(path: &str) -> bool {
    let path = path.trim_matches('/');
    let has_parameters = path.contains(['{', ':', '<', '*', '(']);
    let is_first = path.split('/').count() <= 2;
    is_first && !has_parameters && (path == "metrics" || path.ends_with("/metrics"))
}

/// Agents that make the usual metrics once a wrapper starts them.
const AGENTS: &[&str] = &[
    "opentelemetry-distro",
    "@opentelemetry/auto-instrumentations-node",
    "ddtrace",
    "dd-trace",
    "newrelic",
    "elastic-apm",
    "elastic-apm-node",
];

fn metrics<'r>(case: &Case<'r>) -> impl Iterator<Item = (Place, &'r Metric)> {
    case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Metric(metric) => Some((file.place(fact.span), metric)),
        _ => None,
    })
}

fn has_metrics(case: &Case<'_>) -> bool {
    metrics(case).next().is_some() || case.any(|kind| matches!(kind, FactKind::MetricsExposed(_)))
}

pub(super) fn met001(case: &Case<'_>, out: &mut Verdicts) {
    let has_route =
        case.any(|kind| matches!(kind, FactKind::Route(route) if is_for_scraping(&route.path)));
    if has_metrics(case)
        || has_route
        || used::is_used(case, LIBRARIES)
        || used::is_imported(case, LIBRARIES)
        || used::is_named_and_used(case, &["metrics", "prometheus", "statsd"])
    {
        return;
    }
    if let Some((at, agent)) = runs::agent(case) {
        return out.mitigated(None, at, format!("no metric in code; {agent} makes the usual ones"));
    }
    let vendor = first(
        case,
        |k| matches!(k, FactKind::Tracing(t) if t.role == TracingRole::Vendor && !t.what.contains("sentry")),
    );
    if let Some(at) = vendor {
        return out.mitigated(None, at, "no metric in code; a vendor's agent makes the usual ones");
    }
    if let Some(at) = measured_outside(case) {
        return out.mitigated(None, at, "no metric in code; requests are measured outside of it");
    }
    let agent = used::idle(case, AGENTS).filter(used::Idle::may_be_started);
    if let Some(idle) = agent.or_else(|| used::idle(case, LIBRARIES)) {
        return idle.say("no metric is defined, nothing is exposed", out);
    }
    out.absent("no metric is defined, no library for metrics is used, nothing is exposed");
}

/// Where others measure the service's requests: a Collector that makes metrics of its spans, the proxy of a mesh.
fn measured_outside(case: &Case<'_>) -> Option<Place> {
    let has_spans = case.any(
        |kind| matches!(kind, FactKind::Tracing(t) if t.role != TracingRole::DevelopmentExporter),
    );
    let by_spans = super::collectors(case).filter(|_| has_spans).find_map(|(file, collector)| {
        let found = collector.connectors.iter().find(|c| c.id.starts_with("spanmetrics"))?;
        Some(file.place(found.id.span))
    });
    by_spans.or_else(|| {
        super::deployed::pods(case).into_iter().find_map(|pod| {
            let mesh = ["sidecar.istio.io/inject", "linkerd.io/inject"];
            let all = || pod.workload.annotations.iter().chain(&pod.resource.annotations);
            let (_, value) = all().find(|(key, value)| {
                mesh.contains(&key.as_str()) && matches!(value.value.as_str(), "true" | "enabled")
            })?;
            Some(pod.file.place(value.span))
        })
    })
}

const ACTUATOR: &str = "org.springframework.boot:spring-boot-starter-actuator";
const PROMETHEUS_REGISTRY: &str = "io.micrometer:micrometer-registry-prometheus*";

/// A dependency of the service, or of a `pom.xml` above it: Maven hands them down.
fn inherited(case: &Case<'_>, names: &[&str]) -> Option<Place> {
    case.dependency(names).or_else(|| {
        let root = &case.service?.root;
        let above = Case { service: None, ..*case };
        above.documents().find_map(|(file, _, document)| {
            let Document::Manifest(manifest) = document else { return None };
            let is_above = root.starts_with(crate::files::folder(&file.path));
            let is_pom = file.path.ends_with("pom.xml") && is_above;
            let found = manifest.dependencies.iter().filter(|_| is_pom).find(|d| {
                !d.is_dev
                    && names.iter().any(|name| match name.strip_suffix('*') {
                        Some(start) => d.name.starts_with(start),
                        None => d.name == *name,
                    })
            })?;
            Some(file.place(found.span))
        })
    })
}

/// Whether Spring Boot's settings show the metrics of Prometheus.
fn is_shown(case: &Case<'_>) -> bool {
    runs::environment(case).iter().any(|(_, key, value)| {
        let key = key.to_lowercase().replace(['_', '-'], ".");
        key.starts_with("management.endpoints.web.exposure.include")
            && (value.contains('*') || value.contains("prometheus"))
    })
}

/// Where Spring Boot offers metrics to Prometheus: the dependency that does it.
pub(super) fn actuator_offers(case: &Case<'_>) -> Option<Place> {
    inherited(case, &[ACTUATOR])?;
    inherited(case, &[PROMETHEUS_REGISTRY]).filter(|_| is_shown(case))
}

/// Whether the agent is told to export no metrics.
fn leaves_metrics_out(case: &Case<'_>) -> bool {
    runs::commands(case).iter().any(|(_, line)| line.contains("otel.metrics.exporter=none"))
        || runs::environment(case)
            .iter()
            .any(|(_, key, value)| key == "OTEL_METRICS_EXPORTER" && value == "none")
}

/// Spring Boot collects metrics and shows none of them until it is told to. Whether the case is one of it.
fn actuator(case: &Case<'_>, out: &mut Verdicts) -> bool {
    let Some(actuator) = inherited(case, &[ACTUATOR]) else { return false };
    let Some(registry) = inherited(case, &[PROMETHEUS_REGISTRY]) else {
        // Other registries push; so do OpenTelemetry's starter and agent.
        let pushes = [
            "io.micrometer:micrometer-registry-*",
            "io.opentelemetry.instrumentation:*",
            "org.springframework.boot:spring-boot-starter-opentelemetry",
        ];
        let shows = case.any(|kind| matches!(kind, FactKind::MetricsExposed(_)));
        let by_agent = runs::agent(case).is_some() && !leaves_metrics_out(case);
        if !shows && inherited(case, &pushes).is_none() && !by_agent {
            out.finding(actuator, "Actuator collects metrics and no registry hands them out: Prometheus needs `micrometer-registry-prometheus`, anything else a `micrometer-registry-…` of its own");
        }
        return true;
    };
    let settings = runs::environment(case);
    let elsewhere = case.dependency(&["org.springframework.cloud:spring-cloud-starter-config"]);
    let imports = settings.iter().any(|(_, key, value)| {
        key.starts_with("spring.config.import") && value.contains("configserver")
    });
    match (is_shown(case), elsewhere.is_some() || imports) {
        (true, _) => {}
        (false, true) => out.unknown(
            "whether /actuator/prometheus is exposed is said by a configuration server",
            "`management.endpoints.web.exposure.include` in the repository of the configuration",
        ),
        (false, false) => {
            out.finding(registry, "metrics are collected and not shown: Spring Boot exposes only health until `management.endpoints.web.exposure.include` names `prometheus`");
        }
    }
    true
}

pub(super) fn met002(case: &Case<'_>, out: &mut Verdicts) {
    if actuator(case, out) {
        return;
    }
    let Some((place, metric)) = metrics(case).next() else { return out.not_applicable() };
    let exposes = |kind: &FactKind| match kind {
        FactKind::MetricsExposed(exposed) => !matches!(exposed, Exposed::Multiprocess(_)),
        FactKind::Route(route) => {
            route.path.contains("metric") || route.path.contains("prometheus")
        }
        _ => false,
    };
    let pushes = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_METRICS_EXPORTER",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ];
    let managed = ["logfire", "skopos", "@willsoto/nestjs-prometheus"];
    if case.any(exposes) || used::is_used(case, &managed) || runs::agent(case).is_some() {
        return;
    }
    // Quarkus answers `/q/metrics`, or pushes, once a registry is there.
    let registries = [
        "io.quarkus:quarkus-micrometer-registry*",
        "io.quarkus:quarkus-micrometer-opentelemetry",
        "io.micrometer:micrometer-registry-*",
    ];
    if case.dependency(&["io.quarkus:quarkus-micrometer*"]).is_some()
        && case.dependency(&registries).is_some()
    {
        return;
    }
    if metric.library == "opentelemetry" && runs::variable(case, &pushes).is_some() {
        return;
    }
    out.finding(
        place,
        "metrics are defined, but nothing exposes or exports them: no endpoint, no exporter",
    );
}

pub(super) fn met003(case: &Case<'_>, out: &mut Verdicts) {
    if !has_metrics(case) {
        return out.not_applicable();
    }
    let is_duration = |metric: &Metric| {
        let name = metric.name.as_deref().unwrap_or_default().to_ascii_lowercase();
        let about = [
            "duration",
            "latency",
            "seconds",
            "response_time",
            "request_time",
            "elapsed",
            "millis",
            "_ms",
        ];
        matches!(metric.kind, MetricKind::Histogram | MetricKind::Summary | MetricKind::Automatic)
            && (name.is_empty() && metric.kind == MetricKind::Histogram
                || about.iter().any(|word| name.contains(word)))
    };
    let by_library = |kind: &FactKind| match kind {
        FactKind::MetricsExposed(Exposed::Middleware(_)) => true,
        FactKind::Tracing(tracing) => tracing.role == TracingRole::Instrumentation,
        _ => false,
    };
    let libraries = [
        "prometheus-fastapi-instrumentator",
        "starlette-exporter",
        "django-prometheus",
        "express-prom-bundle",
        "fastify-metrics",
        "skopos",
        "axum-prometheus",
        "actix-web-prom",
        "org.springframework.boot:spring-boot-starter-actuator",
        "io.quarkus:quarkus-micrometer*",
    ];
    if metrics(case).any(|(_, metric)| is_duration(metric))
        || runs::agent(case).is_some()
        || case.any(by_library)
        || used::is_used(case, &libraries)
    {
        return;
    }
    let place = metrics(case).next().map(|(place, _)| place);
    out.absent("no histogram of request durations: p99 cannot be asked").place = place;
}

pub(super) fn met006(case: &Case<'_>, out: &mut Verdicts) {
    let durations: Vec<(Place, &Metric)> = metrics(case)
        .filter(|(_, m)| {
            let name = m.name.as_deref().unwrap_or_default();
            m.kind == MetricKind::Histogram
                && m.library == "prometheus"
                && name.contains("request")
                && !m.labels.is_empty()
        })
        .collect();
    if durations.is_empty() {
        return out.not_applicable();
    }
    for (place, metric) in durations {
        let splits = metric.labels.iter().any(|(label, _)| {
            let label = label.to_ascii_lowercase();
            ["status", "code", "outcome", "result", "error", "success"]
                .iter()
                .any(|word| label.contains(word))
        });
        let name = metric.name.as_deref().unwrap_or("the histogram");
        if !splits && !name.contains("error") {
            out.finding(place, format!("{name} mixes fast errors into the latency of success: no label tells them apart"));
        }
    }
}

pub(super) fn met007(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::Metric(metric) = &fact.kind else { continue };
        // Facades and registries that look a metric up by its name make it once.
        if matches!(metric.library.as_str(), "metrics" | "micrometer" | "statsd" | "dropwizard") {
            continue;
        }
        if fact.scope.in_handler {
            let name = metric.name.as_deref().unwrap_or("a metric");
            out.finding(file.place(fact.span), format!("{name} is made anew for every request"));
        }
    }
}

pub(super) fn met010(case: &Case<'_>, out: &mut Verdicts) {
    let Some((_, _)) = metrics(case).find(|(_, m)| m.library == "prometheus") else {
        return out.not_applicable();
    };
    if case.any(|kind| matches!(kind, FactKind::MetricsExposed(Exposed::Multiprocess(_)))) {
        return;
    }
    if runs::variable(case, &["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"]).is_some() {
        return;
    }
    for (place, line) in runs::commands(case) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let workers = words.iter().enumerate().find_map(|(at, word)| {
            let value = match *word {
                "--workers" | "-w" => words.get(at + 1).copied(),
                _ => word.strip_prefix("--workers=").or_else(|| word.strip_prefix("-w")),
            };
            value?.parse::<u32>().ok()
        });
        let serves =
            line.contains("gunicorn") || line.contains("uvicorn") || line.contains("hypercorn");
        let cluster = line.contains("pm2") && line.contains("-i ");
        if (serves && workers.is_some_and(|n| n > 1)) || cluster {
            out.finding(place, "several processes serve, each with metrics of its own: a scrape sees one of them by chance");
            return;
        }
    }
}
