//! `/api/v1/status/{buildinfo,runtimeinfo,flags,config}`, `/api/v1/alertmanagers`.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use skopos_promql::format::format_duration_ms;
use skopos_promql::plan::DEFAULT_LOOKBACK_MS;

use crate::config::format_duration;
use crate::state::SharedState;

/// The version of Prometheus whose API and PromQL this is. Clients (Grafana among them) look at
/// it to decide what they may ask.
const API_VERSION: &str = "3.14.0";

pub(super) async fn build_info() -> Json<Value> {
    Json(json!({"status": "success", "data": {
        "version": API_VERSION,
        "revision": concat!("skopos-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "Skopos",
        "skoposVersion": env!("CARGO_PKG_VERSION"),
    }}))
}

/// What Prometheus says of Go's runtime has no counterpart here and is left out.
pub(super) async fn runtime_info(State(state): State<SharedState>) -> Json<Value> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let settings = &state.settings;
    let metrics = &settings.retention_metrics;
    let mut retention = format_duration(metrics.age);
    if metrics.bytes > 0 {
        retention.push_str(&format!(" or {}B", metrics.bytes));
    }
    Json(json!({"status": "success", "data": {
        "startTime": state.started_at.to_string(),
        "serverTime": state.clock.now().to_string(),
        "hostname": hostname.trim(),
        "reloadConfigSuccess": true,
        "lastConfigTime": state.started_at.to_string(),
        "corruptionCount": 0,
        "storageRetention": retention,
    }}))
}

/// Flags of Prometheus that have a counterpart among our settings.
pub(super) async fn flags(State(state): State<SharedState>) -> Json<Value> {
    let settings = &state.settings;
    let limits = state.queries.limits();
    let features = if settings.experimental_queries { "promql-experimental-functions" } else { "" };
    Json(json!({"status": "success", "data": {
        "enable-feature": features,
        "query.lookback-delta": format_duration_ms(DEFAULT_LOOKBACK_MS),
        "query.max-concurrency": limits.max_concurrent.to_string(),
        "query.max-samples": limits.max_samples.to_string(),
        "query.timeout": format_duration(limits.timeout),
        "web.enable-remote-write-receiver": "true",
        "web.external-url": settings.external_url.clone().unwrap_or_default(),
        "web.listen-address": state.addresses.http.to_string(),
    }}))
}

/// The part of the configuration that Prometheus has too. Secrets have no place in it.
pub(super) async fn config(State(state): State<SharedState>) -> Json<Value> {
    let settings = &state.settings;
    let quoted = |text: &str| Value::from(text).to_string();
    let mut yaml = format!(
        "global:\n  scrape_interval: {}\n  scrape_timeout: {}\n  evaluation_interval: {}\n",
        format_duration(settings.scrape_interval),
        format_duration(settings.scrape_timeout),
        format_duration(settings.evaluation_interval),
    );
    if !settings.rule_files.is_empty() {
        yaml.push_str("rule_files:\n");
    }
    for file in &settings.rule_files {
        let _ = writeln!(yaml, "- {}", quoted(file));
    }
    let targets = state.targets.snapshot();
    if !targets.is_empty() {
        yaml.push_str("scrape_configs:\n");
    }
    let mut job = None;
    for target in &targets {
        if job != Some(&target.scrape_pool) {
            job = Some(&target.scrape_pool);
            let _ = write!(
                yaml,
                "- job_name: {}\n  scrape_interval: {}\n  scrape_timeout: {}\n  static_configs:\n  - targets:\n",
                quoted(&target.scrape_pool),
                format_duration(target.interval),
                format_duration(target.timeout),
            );
        }
        let _ = writeln!(yaml, "    - {}", quoted(target.labels.value("instance")));
    }
    Json(json!({"status": "success", "data": {"yaml": yaml}}))
}

/// The external Alertmanagers that alerts are handed to. Of their addresses only scheme, host and
/// port are told: the rest can hold a password.
pub(super) async fn alertmanagers(State(state): State<SharedState>) -> Json<Value> {
    let all = state.settings.alertmanagers.iter().filter_map(|url| origin(url.expose()));
    let active: Vec<Value> =
        all.map(|origin| json!({"url": format!("{origin}/api/v2/alerts")})).collect();
    Json(json!({"status": "success", "data": {
        "activeAlertmanagers": active,
        "droppedAlertmanagers": [],
    }}))
}

fn origin(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", uri.scheme_str()?, uri.host()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_are_told_without_what_may_be_secret() {
        for (url, want) in [
            ("http://user:pa55@am:9093/pa55?token=pa55", Some("http://am:9093")),
            ("https://am.example", Some("https://am.example")),
            ("am", None),
        ] {
            assert_eq!(super::origin(url).as_deref(), want, "{url}");
        }
    }
}
