//! MET: metrics, as far as code says them.

use std::collections::BTreeSet;

use super::{first, runs, used};
use crate::fact::{Exposed, Field, Metric, MetricKind, TracingRole};
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
        if !shows && inherited(case, &pushes).is_none() && runs::agent(case).is_none() {
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

/// Whether a label's name says that its values have no bound.
fn is_unbounded(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let exact = [
        "user_id",
        "userid",
        "user",
        "username",
        "user_name",
        "email",
        "user_email",
        "session_id",
        "sessionid",
        "session",
        "request_id",
        "requestid",
        "req_id",
        "correlation_id",
        "trace_id",
        "traceid",
        "span_id",
        "order_id",
        "orderid",
        "customer_id",
        "customerid",
        "account_id",
        "accountid",
        "transaction_id",
        "transactionid",
        "payment_id",
        "invoice_id",
        "cart_id",
        "ip",
        "ip_address",
        "client_ip",
        "remote_addr",
        "remote_ip",
        "uuid",
        "guid",
        "timestamp",
        "message",
        "error_message",
        "errormessage",
        "exception_message",
        "query",
        "sql",
        "token",
        "phone",
        "device_id",
        "deviceid",
        "message_id",
        "job_id",
        "task_id",
        "product_id",
        "productid",
        "item_id",
        "document_id",
        "user_agent",
        "useragent",
        "enduser_id",
        "client_address",
        "url_full",
        "full_url",
        "uid",
        "member_id",
    ];
    exact.contains(&name.as_str())
}

/// Whether what flows into a label has no bound, although its name says nothing.
fn unbounded_source(field: &Field) -> Option<String> {
    field.sources.iter().find_map(|source| {
        let last = source.path.trim_end_matches("()").rsplit('.').next().unwrap_or_default();
        let is_error = source.wrapped.first().is_some_and(|w| w == "str" || w == "String")
            && matches!(last, "e" | "err" | "exc" | "error" | "ex")
            || matches!(source.path.as_str(), "err.message" | "error.message" | "e.message");
        let object = source.path.rsplit('.').nth(1).unwrap_or_default();
        let is_id = last == "id"
            && ["user", "order", "customer", "account", "session", "request", "req", "cart"]
                .contains(&object);
        let bounded = source.wrapped.iter().any(|w| {
            matches!(w.rsplit('.').next(), Some("len" | "bool" | "bucket" | "type" | "normalize"))
        });
        let by_name = is_unbounded(last) && last != "message" && last != "user" && last != "query";
        (!bounded && !source.only_truth && (is_error || is_id || by_name))
            .then(|| source.path.clone())
    })
}

pub(super) fn met004(case: &Case<'_>, out: &mut Verdicts) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (file, fact) in case.facts() {
        match &fact.kind {
            FactKind::Metric(metric) => {
                for (label, span) in metric.labels.iter().filter(|(label, _)| is_unbounded(label)) {
                    seen.insert(label.clone());
                    out.finding(
                        file.place(*span),
                        format!("label `{label}` has no bound: each value is a series of its own"),
                    );
                }
            }
            FactKind::MetricUse(used) => {
                for field in &used.labels {
                    let by_name = field
                        .name
                        .as_deref()
                        .filter(|name| is_unbounded(name) && !seen.contains(*name));
                    let is_fixed = field.sources.is_empty();
                    if let Some(name) = by_name.filter(|_| !is_fixed) {
                        out.finding(
                            file.place(field.span),
                            format!(
                                "label `{name}` has no bound: each value is a series of its own"
                            ),
                        );
                    } else if let Some(path) = unbounded_source(field)
                        && !field.name.as_deref().is_some_and(|name| seen.contains(name))
                        && raw_path(field).is_none()
                    {
                        out.finding(
                            file.place(field.span),
                            format!("`{path}` as a label value has no bound"),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

/// The raw path of a request that flows into a label, unless a route's pattern does too.
fn raw_path(field: &Field) -> Option<String> {
    let is_raw = |path: &str| {
        let plain = path.trim_start_matches("this.");
        [
            "request.url.path",
            "request.path",
            "req.path",
            "req.url",
            "req.originalUrl",
            "request.url",
            "scope.path",
            "ctx.path",
            "ctx.url",
            "ctx.request.path",
            "r.URL.Path",
            "req.URL.Path",
            "request.raw.url",
            "request.full_path",
            "request.originalUrl",
            "c.Request.URL.Path",
            "r.RequestURI",
            "uri.path()",
            "req.uri().path()",
            "request.uri().path()",
            "request.getRequestURI()",
            "c.Path()",
            "getServletPath()",
            "getRequestURI()",
            "getRequestURL()",
            "getPathInfo()",
        ]
        .iter()
        .any(|raw| plain == *raw || plain.ends_with(&format!(".{raw}")))
    };
    let is_pattern = |path: &str| {
        path.contains("route")
            || path.contains("template")
            || path.contains("endpoint.")
            || path.contains("url_rule")
    };
    if field.sources.iter().any(|s| is_pattern(&s.path) || s.origins.iter().any(|o| is_pattern(o)))
    {
        return None;
    }
    field.sources.iter().find_map(|source| {
        let passes = source.wrapped.iter().all(|w| {
            matches!(
                w.rsplit('.').next(),
                Some(
                    "str"
                        | "String"
                        | "toString"
                        | "to_string"
                        | "to_owned"
                        | "format"
                        | "toLowerCase"
                        | "lower"
                )
            )
        });
        let raw = std::iter::once(&source.path).chain(&source.origins).find(|path| is_raw(path))?;
        (passes && !source.only_truth).then(|| raw.clone())
    })
}

pub(super) fn met005(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::MetricUse(used) = &fact.kind else { continue };
        for field in &used.labels {
            if let Some(path) = raw_path(field) {
                out.finding(
                    file.place(field.span),
                    format!("`{path}` as a label value: every id in a path is a series of its own"),
                );
            }
        }
    }
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
