//! `/api/v1/targets`, `/api/v1/targets/metadata`.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Map, Value, json};
use skopos_model::storage::{SelectHints, SeriesSelect};
use skopos_model::{LabelMatcher, METRIC_NAME, Metadata};
use skopos_promql::parser::parse_selector;

use super::answer::PrometheusError;
use super::params as notation;
use super::rules::{labels, time};
use crate::config::format_duration;
use crate::error::ApiError;
use crate::http::params::{Params, invalid};
use crate::query::QueryClass;
use crate::scrape::TargetStatus;
use crate::state::SharedState;

/// Endings of the series that one declared metric consists of.
const SUFFIXES: [&str; 6] = ["", "_bucket", "_count", "_sum", "_total", "_created"];

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

/// Declarations are kept by metric, not by target: a target has those of which it has series.
pub(super) async fn metadata(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    let limit = notation::limit(&params, "limit")?;
    let wanted: Vec<LabelMatcher> = match params.get("match_target") {
        None => Vec::new(),
        Some(text) => {
            let selector = parse_selector(text).map_err(|error| {
                let message = format!("invalid parameter \"match_target\": {error}");
                ApiError::bad_request(message)
            })?;
            selector.matchers
        }
    };
    let declared = state.store.metadata(params.get("metric")).await?;
    let targets = state.targets.snapshot().into_iter();
    let mut targets: Vec<TargetStatus> = targets
        .filter(|target| wanted.iter().all(|m| m.matches(target.labels.value(m.name()))))
        .collect();
    if limit > 0 {
        targets.truncate(limit);
    }
    let read = state.queries.begin("targets' metadata", None, QueryClass::Interactive).await?;
    let rows = read.run(async {
        let mut rows = Vec::new();
        for target in &targets {
            let matchers =
                target.labels.iter().map(|(name, value)| LabelMatcher::equal(name, value));
            let now_ms = state.clock.now().as_millis();
            let select = SeriesSelect {
                matchers: matchers.collect(),
                start_ms: now_ms - skopos_promql::plan::DEFAULT_LOOKBACK_MS,
                end_ms: now_ms,
                hints: SelectHints::default(),
            };
            let names = state.store.label_values(METRIC_NAME, &[select], read.budget()).await?;
            let names: HashSet<String> = names.into_iter().collect();
            let own = declared.iter().filter(|item| exposes(&names, item));
            rows.extend(own.map(|item| {
                json!({
                    "target": labels(&target.labels),
                    "metric": item.metric,
                    "type": item.metric_type.as_str(),
                    "help": item.help,
                    "unit": item.unit,
                })
            }));
        }
        Ok(rows)
    });
    Ok(Json(json!({"status": "success", "data": rows.await?})))
}

fn exposes(names: &HashSet<String>, item: &Metadata) -> bool {
    SUFFIXES.iter().any(|suffix| names.contains(&format!("{}{suffix}", item.metric)))
}
