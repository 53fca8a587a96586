//! TRC: tracing and propagation.

use super::{runs, used};
use crate::fact::{Outbound, Tracing, TracingRole};
use crate::files::Document;
use crate::{Case, Fact, FactKind, File, Guard, Language, Place, Verdicts};

/// Packages of distributed tracing. Rust's `tracing` is logging.
const LIBRARIES: &[&str] = &[
    "opentelemetry-sdk",
    "opentelemetry-distro",
    "opentelemetry-instrumentation*",
    "opentelemetry-exporter-otlp*",
    "opentelemetry",
    "@opentelemetry/sdk-*",
    "@opentelemetry/auto-instrumentations-node",
    "@opentelemetry/instrumentation*",
    "@vercel/otel",
    "tracing-opentelemetry",
    "opentelemetry_sdk",
    "opentelemetry-otlp",
    "skopos",
    "logfire",
    "ddtrace",
    "dd-trace",
    "newrelic",
    "elastic-apm",
    "elastic-apm-node",
    "traceloop-sdk",
    "@traceloop/node-server-sdk",
    "langtrace-python-sdk",
    "@langtrase/typescript-sdk",
    "azure-monitor-opentelemetry",
    "go.opentelemetry.io/otel/sdk",
    "go.opentelemetry.io/otel",
    "go.opentelemetry.io/otel/trace",
    "go.opentelemetry.io/contrib*",
    "gopkg.in/DataDog/dd-trace-go*",
    "github.com/DataDog/dd-trace-go*",
    "io.opentelemetry:*",
    "io.opentelemetry.instrumentation:*",
    "io.micrometer:micrometer-tracing*",
    "io.quarkus:quarkus-opentelemetry",
    "org.springframework.cloud:spring-cloud-starter-sleuth*",
    "org.springframework.cloud:spring-cloud-sleuth*",
    "org.springframework.cloud:spring-cloud-starter-zipkin",
    "org.springframework.cloud:spring-cloud-gcp-starter-trace",
    "com.google.cloud:spring-cloud-gcp-starter-trace",
    "io.quarkus:quarkus-smallrye-opentracing",
    "io.opentracing.contrib:*",
    "io.zipkin.brave:*",
    "com.amazonaws:aws-xray-recorder-sdk*",
    "com.datadoghq:dd-trace*",
    "opencensus-ext-*",
    "py_zipkin",
    "py-zipkin",
    "splunk-opentelemetry",
    "@splunk/otel",
    "@google-cloud/trace-agent",
    "applicationinsights",
    "zipkin",
    "zipkin-instrumentation-*",
    "opentelemetry-jaeger",
    "opentelemetry-zipkin",
    "go.opencensus.io",
    "org.springframework.boot:spring-boot-starter-opentelemetry",
    "org.springframework.boot:spring-boot-starter-zipkin",
    "fastrace-opentelemetry",
    "jaeger-client",
    "opentracing",
    "cloud.google.com/go/profiler/trace",
    "aws-xray-sdk",
    "aws-xray-sdk-core",
    "github.com/opentracing/opentracing-go",
    "go.opencensus.io/trace",
    "github.com/openzipkin/zipkin-go*",
    "go.elastic.co/apm*",
    "github.com/newrelic/go-agent*",
    "com.newrelic.agent.java:*",
    "github.com/instana/go-sensor*",
    "com.instana:*",
    "@instana/*",
    "instana",
    "com.dynatrace.oneagent.sdk.java:*",
    "@dynatrace/oneagent-sdk",
    "appdynamics",
    "org.apache.skywalking:*",
    "github.com/apache/skywalking-go*",
    "skywalking-backend-js",
    "apache-skywalking",
    "co.elastic.apm:*",
    "com.microsoft.azure:applicationinsights*",
    "github.com/uber/jaeger-client-go",
];

fn tracing<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Fact, &'r Tracing)> {
    case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Tracing(tracing) => Some((file, fact, tracing)),
        _ => None,
    })
}

/// Where the SDK is set up in code.
fn provider(case: &Case<'_>) -> Option<Place> {
    let mut found = tracing(case).filter(|(_, _, t)| t.role == TracingRole::Provider);
    found.next().map(|(file, fact, _)| file.place(fact.span))
}

fn is_managed(case: &Case<'_>) -> bool {
    tracing(case).any(|(_, _, t)| t.role == TracingRole::Vendor || t.what == "logfire")
        || runs::agent(case).is_some()
        || used::is_used(case, &["skopos", "logfire"])
}

pub(super) fn trc001(case: &Case<'_>, out: &mut Verdicts) {
    let sets_up = tracing(case).any(|(_, _, t)| t.role != TracingRole::DevelopmentExporter);
    if sets_up
        || runs::agent(case).is_some()
        || used::is_used(case, LIBRARIES)
        || used::is_imported(case, LIBRARIES)
    {
        return;
    }
    if let Some(idle) = used::idle(case, LIBRARIES) {
        return idle.say("no span is made", out);
    }
    out.absent("no distributed tracing: no OpenTelemetry or vendor package, no span, no agent");
}

pub(super) fn trc002(case: &Case<'_>, out: &mut Verdicts) {
    let Some(place) = provider(case) else { return out.not_applicable() };
    let exports = tracing(case).any(|(_, _, t)| t.role == TracingRole::Exporter);
    let variables = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_TRACES_EXPORTER",
    ];
    if !exports && !is_managed(case) && runs::variable(case, &variables).is_none() {
        out.finding(place, "the tracing SDK is set up without an exporter, and no OTEL_EXPORTER_OTLP_ENDPOINT is set anywhere");
    }
}

pub(super) fn trc003(case: &Case<'_>, out: &mut Verdicts) {
    let Some(place) = provider(case) else { return out.not_applicable() };
    let named = case.any(|kind| matches!(kind, FactKind::ServiceName(_)));
    let variables = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "DD_SERVICE"];
    if !named
        && runs::variable(case, &variables).is_none()
        && runs::agent(case).is_none()
        && !used::is_used(case, &["skopos"])
    {
        out.finding(place, "service.name is not set: every span is of `unknown_service`");
    }
}

/// Whether a host is somebody else's.
fn is_foreign(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    // Inside of a cluster nobody writes https before a name that comes from somewhere.
    if scheme.ends_with("https") && (host.starts_with("{}") || host.starts_with('%')) {
        return true;
    }
    let is_inner = !host.contains('.')
        || host.starts_with("{}")
        || host.contains(".svc")
        || host.ends_with(".local")
        || host.ends_with(".internal")
        || host.starts_with("127.")
        || host.starts_with("10.")
        || host.starts_with("192.168.");
    !is_inner
}

/// Whether a call goes to another service of the house, as far as its address or its names say: what comes from users or
/// goes to somebody's product is no hop of a trace.
fn is_of_the_house(outbound: &Outbound, path: &str) -> bool {
    const OTHERS: [&str; 30] = [
        "notification",
        "notifications",
        "notifier",
        "webhook",
        "webhooks",
        "hook",
        "oauth",
        "oauth2",
        "sso",
        "oidc",
        "saml",
        "slack",
        "discord",
        "telegram",
        "github",
        "google",
        "telemetry",
        "analytics",
        "geolocation",
        "captcha",
        "stripe",
        "external",
        "realm",
        "ocsp",
        "hub",
        "tracking",
        "usage",
        "preview",
        "download",
        "token",
    ];
    const OURS: [&str; 16] = [
        "svc", "service", "services", "addr", "address", "upstream", "backend", "internal", "host",
        "hostname", "gateway", "peer", "env", "settings", "environ", "getenv",
    ];
    let has = |text: &str, names: &[&str]| {
        crate::sensitive::words(text).iter().any(|word| names.contains(&word.as_str()))
    };
    if outbound.url.as_deref().is_some_and(|url| url.contains("://")) {
        return true;
    }
    !has(path, &OTHERS) && !has(&outbound.target, &OTHERS) && has(&outbound.target, &OURS)
}

pub(super) fn trc004(case: &Case<'_>, out: &mut Verdicts) {
    let instruments = tracing(case).any(|(_, _, t)| {
        let what = t.what.to_ascii_lowercase();
        t.role == TracingRole::Instrumentation
            && [
                "httpx", "requests", "aiohttp", "urllib", "auto", "http", "undici", "register",
                "fetch", "axios", "reqwest", "otelhttp",
            ]
            .iter()
            .any(|client| what.contains(client))
    });
    let libraries = [
        "@opentelemetry/auto-instrumentations-node",
        "@opentelemetry/instrumentation-http",
        "@opentelemetry/instrumentation-undici",
        "opentelemetry-instrumentation-httpx",
        "opentelemetry-instrumentation-requests",
        "opentelemetry-instrumentation-aiohttp-client",
        "go.opentelemetry.io/contrib/instrumentation/net/http*",
        "reqwest-middleware",
        "reqwest-tracing",
        "io.opentelemetry.instrumentation:*",
        "io.micrometer:micrometer-tracing*",
        "org.springframework.boot:spring-boot-starter-opentelemetry",
        "@vercel/otel",
    ];
    if is_managed(case) {
        return;
    }
    let by_library = instruments || used::is_used(case, &libraries);
    let health = ["/health", "/live", "/ready", "/ping", "localhost"];
    for (file, fact) in case.facts() {
        let FactKind::Outbound(outbound) = &fact.kind else { continue };
        let url = outbound.url.as_deref().unwrap_or_default();
        // Go's instrumentation takes the context from the request: one made without has none.
        let is_instrumented =
            by_library && !(outbound.client == "net/http" && fact.scope.in_handler);
        let counts = fact.scope.function.is_some() && fact.scope.guard != Guard::Development;
        if outbound.has_context
            || outbound.client != "grpc" && !is_of_the_house(outbound, &file.path)
            || is_instrumented
            || is_foreign(url)
            || !counts
            || health.iter().any(|word| url.contains(word))
        {
            continue;
        }
        out.finding(
            file.place(fact.span),
            format!(
                "this call by {} hands on neither traceparent nor a request id",
                outbound.client
            ),
        );
    }
}

pub(super) fn trc005(case: &Case<'_>, out: &mut Verdicts) {
    let libraries = [
        "opentelemetry-instrumentation-kafka*",
        "opentelemetry-instrumentation-pika",
        "opentelemetry-instrumentation-celery",
        "opentelemetry-instrumentation-confluent-kafka",
        "@opentelemetry/auto-instrumentations-node",
        "@opentelemetry/instrumentation-kafkajs",
        "@opentelemetry/instrumentation-amqplib",
        "opentelemetry-instrumentation-aiokafka",
    ];
    if used::is_used(case, &libraries) || is_managed(case) {
        return;
    }
    for (file, fact) in case.facts() {
        let FactKind::Message(message) = &fact.kind else { continue };
        if !message.has_context {
            let does = if message.published { "published" } else { "consumed" };
            out.finding(
                file.place(fact.span),
                format!("a message is {does} ({}) without its context", message.broker),
            );
        }
    }
}

pub(super) fn trc006(case: &Case<'_>, out: &mut Verdicts) {
    if provider(case).is_none()
        && case.dependency(LIBRARIES).is_none()
        && runs::agent(case).is_none()
    {
        return out.not_applicable();
    }
    if let Some((place, switch)) = never_switched_on(case) {
        let message = format!(
            "the code traces only with {switch}, which this does not set: it can trace, and is deployed not to"
        );
        out.finding(place, message);
    }
    // A switch of the house's own switches what reads it: code, or a setting that takes its value.
    let settings = runs::environment(case);
    let is_read = |switch: &str| {
        let reads = |kind: &FactKind| matches!(kind, FactKind::Environment(key) if key == switch);
        case.any(reads)
            || settings.iter().any(|(_, _, value)| value.contains(&format!("${{{switch}")))
    };
    for (place, key, value) in settings.clone() {
        let is_own = !key.starts_with("OTEL_") && !key.starts_with("DD_");
        let value = value.trim().to_ascii_lowercase();
        let off = (key == "OTEL_SDK_DISABLED" && value == "true")
            || (key == "OTEL_TRACES_EXPORTER" && value == "none")
            || (matches!(
                key.as_str(),
                "DD_TRACE_ENABLED"
                    | "ENABLE_TRACING"
                    | "TRACING_ENABLED"
                    | "OTEL_ENABLED"
                    | "ENABLE_OTEL"
            ) && matches!(value.as_str(), "false" | "0" | "no" | "off"))
            || (matches!(key.as_str(), "DISABLE_TRACING" | "TRACING_DISABLED")
                && matches!(value.as_str(), "true" | "1"))
            || (key == "OTEL_TRACES_SAMPLER" && value == "always_off");
        let environment = crate::files::environment::Environment::of_path(&place.path);
        if off && environment.may_be_production() && (!is_own || is_read(&key)) {
            out.finding(
                place,
                format!("{key}={value}: the code can trace, and is deployed not to"),
            );
        }
    }
}

/// A manifest of Kubernetes that runs the service without the variable that its code waits for.
fn never_switched_on(case: &Case<'_>) -> Option<(Place, String)> {
    let switches = ["ENABLE_TRACING", "TRACING_ENABLED", "ENABLE_OTEL", "OTEL_ENABLED"];
    let switch = case.facts().find_map(|(_, fact)| match &fact.kind {
        FactKind::Environment(key) if switches.contains(&key.as_str()) => Some(key.clone()),
        _ => None,
    })?;
    let is_taken = |path: &str| {
        let Some((_, folder)) = path.rsplit_once("components/") else { return true };
        let name = folder.split('/').next().unwrap_or_default();
        case.repository.files.iter().flat_map(|file| &file.documents).any(|(_, document)| {
            matches!(document, Document::Kustomization(k)
                if k.takes.iter().any(|taken| taken.trim_end_matches('/').ends_with(name)))
        })
    };
    let is_set = runs::environment(case)
        .iter()
        .any(|(place, key, _)| *key == switch && is_taken(&place.path));
    let pods = super::deployed::pods(case);
    let first =
        pods.iter().find(|pod| pod.container.image.is_some() && is_taken(&pod.file.path))?;
    (!is_set).then(|| (first.file.place(first.container.span), switch))
}

pub(super) fn trc007(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact, tracing) in tracing(case) {
        let counts = matches!(fact.scope.guard, Guard::Always | Guard::Production);
        if tracing.role == TracingRole::DevelopmentExporter && counts {
            let what = tracing.what.rsplit('.').next().unwrap_or(&tracing.what);
            out.finding(
                file.place(fact.span),
                format!("{what} in production: each span is handled while a request waits"),
            );
        }
    }
}

pub(super) fn trc008(case: &Case<'_>, out: &mut Verdicts) {
    let old = [
        ("opentracing", "opentelemetry-api"),
        ("opencensus", "opentelemetry-sdk"),
        ("jaeger-client", "opentelemetry-exporter-otlp"),
        ("opentelemetry-exporter-jaeger", "opentelemetry-exporter-otlp"),
        ("opentelemetry-ext-", "opentelemetry-instrumentation-*"),
        ("@opentelemetry/exporter-jaeger", "@opentelemetry/exporter-trace-otlp-proto"),
        ("@opentelemetry/node", "@opentelemetry/sdk-trace-node"),
        ("@opentelemetry/tracing", "@opentelemetry/sdk-trace-base"),
        ("@opentelemetry/exporter-collector", "@opentelemetry/exporter-trace-otlp-proto"),
        ("@opencensus/", "@opentelemetry/sdk-node"),
        ("opentelemetry-jaeger", "opentelemetry-otlp"),
        ("go.opencensus.io", "go.opentelemetry.io/otel"),
        ("github.com/opentracing/", "go.opentelemetry.io/otel"),
        ("github.com/uber/jaeger-client-go", "go.opentelemetry.io/otel"),
        ("go.opentelemetry.io/otel/exporters/jaeger", "go.opentelemetry.io/otel/exporters/otlp"),
        ("io.opentracing", "io.opentelemetry:opentelemetry-api"),
        ("io.jaegertracing", "io.opentelemetry:opentelemetry-exporter-otlp"),
        ("io.opencensus", "io.opentelemetry:opentelemetry-api"),
    ];
    let mut is_told = false;
    for (file, _, document) in case.documents() {
        let Document::Manifest(manifest) = document else { continue };
        for dependency in manifest.dependencies.iter().filter(|d| !d.is_dev) {
            let found = old.iter().find(|(name, _)| {
                let bounded = name.ends_with(['-', '/'])
                    || name.starts_with("io.")
                    || name.starts_with("opencensus");
                dependency.name == *name || (bounded && dependency.name.starts_with(name))
            });
            if let Some((_, new)) = found {
                is_told = true;
                out.finding(
                    file.place(dependency.span),
                    format!("{} is no longer maintained: {new} has its place", dependency.name),
                );
            }
        }
    }
    // Go's imports name the package in full; a manifest may be made when the image is built, or not be here.
    let bridged =
        |kind: &FactKind| matches!(kind, FactKind::Import(name) if name.contains("bridge/open"));
    if is_told || case.any(bridged) {
        return;
    }
    let found = case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::Import(name) if file.language == Some(Language::Go) => {
            let (_, new) =
                old.iter().find(|(old, _)| old.contains('.') && name.starts_with(old))?;
            Some((file.place(fact.span), name, new))
        }
        _ => None,
    });
    if let Some((place, name, new)) = found {
        out.finding(place, format!("{name} is no longer maintained: {new} has its place"));
    }
}

pub(super) fn trc009(case: &Case<'_>, out: &mut Verdicts) {
    let preloads = runs::commands(case).iter().any(|(_, line)| {
        ["--require", "-r ", "--import", "--loader", "opentelemetry-instrument", "ddtrace-run"]
            .iter()
            .any(|flag| line.contains(flag))
    });
    if preloads || runs::agent(case).is_some() {
        return;
    }
    let frameworks =
        ["express", "fastify", "koa", "@nestjs/core", "http", "node:http", "@hapi/hapi"];
    for file in case.files().filter(|file| file.role == crate::Role::Production) {
        let imports: Vec<(&Fact, &str)> = file
            .facts
            .iter()
            .filter_map(|fact| match &fact.kind {
                FactKind::Import(name) => Some((fact, name.as_str())),
                _ => None,
            })
            .collect();
        let sets_up = |name: &str| {
            let last = name
                .rsplit('/')
                .next()
                .unwrap_or(name)
                .split('.')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let own = name.starts_with('.')
                && matches!(
                    last.as_str(),
                    "tracing"
                        | "instrumentation"
                        | "otel"
                        | "telemetry"
                        | "tracer"
                        | "instrument"
                        | "opentelemetry"
                );
            own || matches!(
                name,
                "dd-trace" | "dd-trace/init" | "newrelic" | "elastic-apm-node/start"
            )
        };
        let setup = imports.iter().position(|(_, name)| sets_up(name));
        let framework = imports.iter().position(|(_, name)| {
            frameworks.iter().any(|f| name == f || name.starts_with(&format!("{f}.")))
        });
        if let (Some(setup), Some(framework)) = (setup, framework)
            && framework < setup
        {
            let (fact, name) = imports[setup];
            out.finding(
                file.place(fact.span),
                format!(
                    "`{name}` comes after {}: what is loaded already is not instrumented",
                    imports[framework].1
                ),
            );
        }
    }
}
