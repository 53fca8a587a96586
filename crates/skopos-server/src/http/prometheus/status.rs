//! `/api/v1/targets`, `/api/v1/status/buildinfo`.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Map, Value, json};

use super::answer::PrometheusError;
use super::rules::{labels, time};
use crate::config::format_duration;
use crate::http::params::{Params, invalid};
use crate::scrape::TargetStatus;
use crate::state::SharedState;

/// The version of Prometheus whose API and PromQL this is. Clients (Grafana among them) look at
/// it to decide what they may ask.
const API_VERSION: &str = "3.14.0";

pub(super) async fn targets(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    let (active, dropped) = match params.get("state").unwrap_or("any").to_lowercase().as_str() {
        "any" => (true, true),
        "active" => (true, false),
        "dropped" => (false, true),
        other => return Err(invalid("state", other, "active, dropped or any").into()),
    };
    let mut data = Map::new();
    if active {
        let pool = params.get("scrapePool");
        let targets = state.targets.snapshot().into_iter();
        let targets = targets.filter(|t| pool.is_none_or(|pool| pool == t.scrape_pool));
        data.insert("activeTargets".into(), targets.map(|t| target(&t)).collect());
    }
    if dropped {
        // Static targets are never dropped.
        data.insert("droppedTargets".into(), json!([]));
        data.insert("droppedTargetCounts".into(), json!({}));
    }
    Ok(Json(json!({"status": "success", "data": data})))
}

fn target(target: &TargetStatus) -> Value {
    json!({
        "discoveredLabels": labels(&target.discovered_labels),
        "labels": labels(&target.labels),
        "scrapePool": target.scrape_pool,
        "scrapeUrl": target.scrape_url,
        "globalUrl": target.scrape_url,
        "lastError": target.last_error,
        "lastScrape": time(target.last_scrape),
        "lastScrapeDuration": target.last_scrape_duration.as_secs_f64(),
        "health": target.health.as_str(),
        "scrapeInterval": format_duration(target.interval),
        "scrapeTimeout": format_duration(target.timeout),
    })
}

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
