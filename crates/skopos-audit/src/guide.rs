//! What the guide asks to look for, entry by entry, and the rules that find it.
//!
//! `docs/audit/guide.md` is written from here; a test fails on an entry without a rule.

use std::fmt::Write as _;

use crate::Rule;

/// An entry of one of the guide's two tables.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The row: a gap or an anti-pattern.
    pub row: &'static str,
    /// What to look for, in the guide's words.
    pub entry: &'static str,
    /// The rules that find it.
    pub rules: &'static [&'static str],
}

const fn entry(row: &'static str, entry: &'static str, rules: &'static [&'static str]) -> Entry {
    Entry { row, entry, rules }
}

/// The table of detection patterns, each row taken apart.
pub const DETECTION: &[Entry] = &[
    entry("No structured logging", "`print(` for logging", &["LOG002"]),
    entry("No structured logging", "`logging.basicConfig()` with no formatter", &["LOG003"]),
    entry("No structured logging", "bare string log messages", &["LOG005", "LOG004"]),
    entry("No structured logging", "no structlog/pino in deps", &["LOG001"]),
    entry("No metrics", "no prometheus_client/opentelemetry.metrics in deps", &["MET001"]),
    entry("No metrics", "no `/metrics` endpoint", &["MET002"]),
    entry("No metrics", "no Counter/Histogram/Gauge definitions", &["MET001", "MET003"]),
    entry("No tracing", "no opentelemetry packages", &["TRC001"]),
    entry("No tracing", "no tracer/span usage", &["TRC001"]),
    entry("No tracing", "no traceparent propagation", &["TRC004"]),
    entry("No tracing", "no OTEL_EXPORTER_OTLP_ENDPOINT", &["TRC002"]),
    entry("No health checks", "no `/health`, `/healthz`, `/ready` endpoints", &["HLT001"]),
    entry("No health checks", "no K8s probe config", &["HLT002"]),
    entry("No health checks", "no HEALTHCHECK in Dockerfile", &["HLT003"]),
    entry("No alerting", "no alert rules in repo", &["ALR001"]),
    entry("No alerting", "no PagerDuty/OpsGenie/Alertmanager references", &["ALR001", "ALR011"]),
    entry("No alerting", "no runbook directory", &["ALR003"]),
    entry("Dangerous logging", "password in log strings", &["SEC001"]),
    entry("Dangerous logging", "token in log strings", &["SEC001"]),
    entry("Dangerous logging", "secret in log strings", &["SEC001"]),
    entry("Dangerous logging", "authorization in log strings", &["SEC003"]),
    entry("Dangerous logging", "request.body logged unredacted", &["SEC004"]),
    entry("Dangerous logging", "DEBUG level in prod config", &["LOG010"]),
];

/// The table of anti-patterns.
pub const ANTI_PATTERNS: &[Entry] = &[
    entry("`print()` for logging", "use structlog (Python) or pino (Node.js)", &["LOG002"]),
    entry(
        "Logging request/response bodies",
        "log only metadata: method, path, status, duration",
        &["SEC004"],
    ),
    entry(
        "User IDs as metric labels",
        "use labels with bounded values only",
        &["MET004", "MET005"],
    ),
    entry(
        "Alerting on CPU/memory directly",
        "alert on user-facing symptoms (error rate, latency)",
        &["ALR004"],
    ),
    entry("No `for` duration on alerts", "minimum `for: 5m` on nearly all alerts", &["ALR002"]),
    entry(
        "Health check that checks everything",
        "liveness: no deps; readiness: critical deps with timeouts",
        &["HLT004"],
    ),
    entry("SLO of 100%", "start at 99.9% and adjust based on reality", &["ALR010"]),
    entry(
        "Logging at DEBUG in production",
        "INFO minimum in production, DEBUG only in dev",
        &["LOG010", "LOG011"],
    ),
    entry(
        "No correlation ID propagation",
        "inject X-Request-ID at the edge, propagate everywhere",
        &["LOG007", "TRC004"],
    ),
    entry("Metrics endpoint behind auth", "exclude /metrics from auth middleware", &["MET008"]),
];

/// The page: every entry with its rules, then every rule.
pub fn page() -> String {
    let mut out = String::from(
        "# What the guide asks to look for, and which rule finds it\n\n\
         Written from `crates/skopos-audit/src/guide.rs` and the pages in `crates/skopos-audit/rules/`. `skopos audit --explain CODE`\n\
         prints a rule's page.\n",
    );
    for (title, table) in [("Detection patterns", DETECTION), ("Anti-patterns", ANTI_PATTERNS)] {
        let _ = writeln!(out, "\n## {title}\n\n| row | entry | rules |\n|---|---|---|");
        for Entry { row, entry, rules } in table {
            let _ = writeln!(out, "| {row} | {entry} | {} |", rules.join(", "));
        }
    }
    out.push_str(
        "\n## Rules\n\n| rule | finds | severity | pillar | guide | fix |\n|---|---|---|---|---|---|\n",
    );
    for rule in Rule::all() {
        let preview = if rule.preview { " (preview)" } else { "" };
        let _ = writeln!(
            out,
            "| [{0}](../../crates/skopos-audit/rules/{0}.md) | {1}{preview} | {2} | {3} | {4} | {5} |",
            rule.code,
            rule.title,
            rule.severity,
            rule.pillar.as_str(),
            rule.guide,
            if crate::fix::rules().any(|code| code == rule.code) { "yes" } else { "" },
        );
    }
    out
}
