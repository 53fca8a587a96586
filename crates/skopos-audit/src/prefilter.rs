//! Which files of code are worth parsing: those in which a literal occurs that some rule lives on.
//!
//! Parsing is what an audit costs; most files of most repositories say nothing about logging, metrics, tracing, health
//! or serving. A literal too many costs time; one too few costs findings: when in doubt, add it.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::Language;

/// Literals of any language, matched without case.
const COMMON: &[&str] = &[
    "log",
    "print",
    "metric",
    "counter",
    "histogram",
    "gauge",
    "prometheus",
    "telemetry",
    "otel",
    "trace",
    "span",
    "health",
    "ready",
    "live",
    "server",
    "listen",
    "route",
    "http",
    "grpc",
    "sentry",
    "signal",
    "sigterm",
    "statsd",
    "newrelic",
    "elasticapm",
    "elastic-apm",
    "datadog",
    "hot-shots",
    // Types with fields that must not be printed.
    "password",
    "passwd",
    "secret",
    "cvv",
    "cvc",
    "cardnum",
    "card_num",
];

const PYTHON: &[&str] = &[
    "fastapi",
    "flask",
    "django",
    "starlette",
    "aiohttp",
    "celery",
    "argparse",
    "typer",
    "click",
    "urlpatterns",
];
const JAVASCRIPT: &[&str] = &[
    "console.",
    "express",
    "fastify",
    "nest",
    "koa",
    "hapi",
    "pino",
    "winston",
    "bunyan",
    "process.",
    "axios",
    "fetch(",
    "react",
    "vue",
    "createapp",
    "commander",
    "bullmq",
    "kafka",
];
const RUST: &[&str] =
    &["axum", "actix", "rocket", "tonic", "hyper", "warp", "clap", "dbg!", "fn main", "skopos"];
const GO: &[&str] = &[
    "package main",
    "gin.",
    "echo.",
    "chi.",
    "fmt.",
    "zap",
    "cobra",
    "os.exit",
    "mux",
    "pubsub",
    "amqp",
];
const JAVA: &[&str] = &[
    "spring",
    "system.out",
    "slf4j",
    "micrometer",
    "quarkus",
    "controller",
    "kafka",
    "@path",
    // What a class that is logged whole prints.
    "tostring",
    "jakarta",
    "javax",
];

struct Filters {
    python: AhoCorasick,
    javascript: AhoCorasick,
    rust: AhoCorasick,
    go: AhoCorasick,
    java: AhoCorasick,
}

static FILTERS: LazyLock<Filters> = LazyLock::new(|| {
    let build = |own: &[&str]| {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(COMMON.iter().chain(own))
            .expect("a few literals: a unit test builds them")
    };
    Filters {
        python: build(PYTHON),
        javascript: build(JAVASCRIPT),
        rust: build(RUST),
        go: build(GO),
        java: build(JAVA),
    }
});

/// Whether a file may hold a fact.
pub(crate) fn is_interesting(language: Language, text: &str) -> bool {
    let filter = match language {
        Language::Python => &FILTERS.python,
        Language::JavaScript | Language::TypeScript => &FILTERS.javascript,
        Language::Rust => &FILTERS.rust,
        Language::Go => &FILTERS.go,
        Language::Java => &FILTERS.java,
        Language::Other => return false,
    };
    filter.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_say_nothing_are_skipped() {
        assert!(is_interesting(Language::Python, "import logging\n"));
        assert!(is_interesting(Language::JavaScript, "Console.log(1)"));
        assert!(!is_interesting(Language::Python, "def area(a, b):\n    return a * b\n"));
        assert!(!is_interesting(Language::Other, "println!()"));
    }
}
