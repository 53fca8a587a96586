//! Our cardinality API: how many series there are, of what, since when, and who was refused; and
//! Prometheus' `/api/v1/status/tsdb`.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use skopos_store::cardinality::{
    CardinalityQuery, CardinalityReport, LabelCounts, MetricCounts, SeriesCounts, ValueCounts,
};
use skopos_store::{OnLimit, SeriesLimits, SeriesRefusal};

use super::Route;
use super::params::Params;
use super::prometheus::PrometheusError;
use crate::auth::Scope;
use crate::query::QueryClass;
use crate::state::SharedState;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1_000;
/// Prometheus' default for `/api/v1/status/tsdb`.
const DEFAULT_TSDB_LIMIT: usize = 10;
/// Prometheus' bound for `/api/v1/status/tsdb`.
const MAX_TSDB_LIMIT: usize = 10_000;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/cardinality", Scope::Read, cardinality)
            .summary(
                "Series per metric and label, per label of a metric, or per value of a label, now \
                 and 24 hours ago; limits, and who went beyond them.",
            )
            .tag("cardinality")
            .param("metric", "Only this metric, with its labels.")
            .param("label", "The values of this label, of all metrics or of `metric`.")
            .param("limit", "At most so many rows of each kind, up to 1,000; 20 by default.")
            .schema("CardinalityAnswer"),
        Route::get("/api/v1/status/tsdb", Scope::Read, tsdb)
            .summary("Prometheus' statistics about the head: the largest metrics and labels.")
            .tag("prometheus")
            .param("limit", "At most so many rows of each kind, up to 10,000; 10 by default.")
            .schema("TsdbStatus"),
    ]
}

async fn cardinality(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    params.check_names(&["metric", "label", "limit"], &[])?;
    let query = CardinalityQuery {
        metric: params.get("metric").map(str::to_owned),
        label: params.get("label").map(str::to_owned),
        limit: limit(&params, DEFAULT_LIMIT, MAX_LIMIT)?,
    };
    let read = state.queries.begin("cardinality", None, QueryClass::Interactive).await?;
    let report =
        read.run(async { Ok(state.cardinality.cardinality(&query, read.budget()).await?) }).await?;
    let refusals = state.cardinality.refusals();
    let refusals = refusals
        .iter()
        .filter(|refusal| query.metric.as_ref().is_none_or(|metric| *metric == refusal.metric))
        .map(print_refusal)
        .collect();
    Ok(Json(json!({"status": "success", "data": print(&report, refusals)})))
}

fn print(report: &CardinalityReport, refusals: Vec<Value>) -> Value {
    json!({
        "at": report.at.to_string(),
        "total": print_counts(&report.total),
        "created": report.created,
        "removed": report.removed,
        "metrics": report.metrics.iter().map(print_metric).collect::<Vec<_>>(),
        "metrics_total": report.metrics_total,
        "labels": report.labels.iter().map(print_label).collect::<Vec<_>>(),
        "labels_total": report.labels_total,
        "values": report.values.iter().map(print_value).collect::<Vec<_>>(),
        "values_total": report.values_total,
        "limits": print_limits(&report.limits),
        "refusals": refusals,
    })
}

fn print_counts(counts: &SeriesCounts) -> Value {
    json!({"series": counts.series, "active": counts.active, "day_ago": counts.day_ago})
}

fn print_metric(row: &MetricCounts) -> Value {
    json!({
        "metric": row.metric,
        "series": row.counts.series,
        "active": row.counts.active,
        "day_ago": row.counts.day_ago,
        "label": row.label,
        "label_values": row.label_values,
    })
}

fn print_label(row: &LabelCounts) -> Value {
    json!({
        "label": row.label,
        "values": row.values,
        "values_day_ago": row.values_day_ago,
        "series": row.counts.series,
        "active": row.counts.active,
        "day_ago": row.counts.day_ago,
        "id_like": row.id_like,
        "examples": row.examples,
    })
}

fn print_value(row: &ValueCounts) -> Value {
    json!({
        "value": row.value,
        "series": row.counts.series,
        "active": row.counts.active,
        "day_ago": row.counts.day_ago,
    })
}

fn print_limits(limits: &SeriesLimits) -> Value {
    json!({
        "head_series": limits.head_series,
        "metric_series": limits.metric_series,
        "labels_per_series": limits.labels_per_series,
        "label_name_bytes": limits.label_name_bytes,
        "label_value_bytes": limits.label_value_bytes,
        "on_limit": match limits.on_limit {
            OnLimit::Refuse => "refuse",
            OnLimit::Fold => "fold",
        },
    })
}

fn print_refusal(refusal: &SeriesRefusal) -> Value {
    json!({
        "reason": refusal.reason,
        "limit": refusal.limit,
        "action": refusal.action.as_str(),
        "metric": refusal.metric,
        "label": refusal.label,
        "first_value": refusal.first_value,
        "job": refusal.sender.job,
        "service": refusal.sender.service,
        "scope": refusal.sender.scope,
        "samples": refusal.samples,
        "first_at": refusal.first_at.to_string(),
        "last_at": refusal.last_at.to_string(),
    })
}

async fn tsdb(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, PrometheusError> {
    let params = Params::read(request).await?;
    let limit = limit(&params, DEFAULT_TSDB_LIMIT, MAX_TSDB_LIMIT)?;
    let read = state.queries.begin("status/tsdb", None, QueryClass::Interactive).await?;
    let status =
        read.run(async { Ok(state.cardinality.tsdb_status(limit, read.budget()).await?) }).await?;
    let rows = |rows: &[(String, u64)]| -> Vec<Value> {
        rows.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    };
    Ok(Json(json!({"status": "success", "data": {
        "headStats": {
            "numSeries": status.series,
            "numLabelPairs": status.label_pairs,
            "chunkCount": status.chunks,
            // An empty head of Prometheus says the ends of the time scale, the wrong way round.
            "minTime": status.min_time_ms.unwrap_or(i64::MAX),
            "maxTime": status.max_time_ms.unwrap_or(i64::MIN),
        },
        "seriesCountByMetricName": rows(&status.series_by_metric),
        "labelValueCountByLabelName": rows(&status.values_by_label),
        "memoryInBytesByLabelName": rows(&status.bytes_by_label),
        "seriesCountByLabelValuePair": rows(&status.series_by_pair),
    }})))
}

fn limit(params: &Params, default: usize, most: usize) -> Result<usize, PrometheusError> {
    let wanted = format!("a whole number from 1 to {most}");
    let parse = |text: &str| text.parse().ok().filter(|n| (1..=most).contains(n));
    Ok(params.parsed("limit", &wanted, parse)?.unwrap_or(default))
}
