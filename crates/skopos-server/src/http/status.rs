//! `GET /api/v1/status`: the server in one look, for people on call and for the UI's ingest line.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use skopos_alerting::{AlertState, GroupView};
use skopos_store::StoreStats;

use super::Route;
use crate::auth::Scope;
use crate::error::ApiError;
use crate::state::{AppState, SharedState};
use crate::status::{self, PerSignal, Severity};

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/status", Scope::Read, status)
            .summary(
                "The server in one look: addresses, ingest, what is stored, rules, problems and \
                 what to do about them.",
            )
            .tag("skopos")
            .schema("StatusAnswer"),
    ]
}

async fn status(State(state): State<SharedState>) -> Result<Json<Value>, ApiError> {
    // Asks the operating system, which may take its time with a sick disk.
    let answer = tokio::task::spawn_blocking(move || answer(&state)).await;
    answer.map(Json).map_err(|error| ApiError::internal(error.to_string()))
}

fn answer(state: &AppState) -> Value {
    let (stats, health) = (state.folder.stats(), state.folder.health());
    let problems = status::problems(state, &health, &stats.disk);
    let unhealthy = problems.iter().any(|problem| problem.severity == Severity::Error);
    let ingest = if !health.open {
        "closed"
    } else if health.disk_failure.is_some() {
        "too little disk space"
    } else if !health.wal_writable {
        "write-ahead log failed"
    } else if health.head_full {
        "head full"
    } else {
        "ok"
    };
    let totals = status::totals(&stats);
    let rates = state.rates.per_second(state.clock.monotonic(), totals);
    let named = |[samples, logs, spans]: PerSignal| json!({"samples": samples, "logs": logs, "spans": spans});
    let problems: Vec<Value> = problems
        .iter()
        .map(|p| json!({"severity": p.severity.as_str(), "what": p.what, "remedy": p.remedy}))
        .collect();
    let now = state.clock.now();
    json!({"status": "success", "data": {
        "version": env!("CARGO_PKG_VERSION"),
        "state": if unhealthy { "unhealthy" } else { "ok" },
        "started_at": state.started_at.to_string(),
        "uptime_seconds": now.since(state.started_at).as_secs_f64(),
        "addresses": {
            "http": state.addresses.http.to_string(),
            "otlp_grpc": state.addresses.otlp_grpc.to_string(),
            "otlp_http": state.addresses.otlp_http.to_string(),
        },
        "ingest": ingest,
        "totals": named(totals),
        "rates": {"samples": rates[0], "logs": rates[1], "spans": rates[2]},
        "head_series": stats.head.series,
        "disk": disk(state, &stats),
        "memory": {
            "used": status::resident_bytes(),
            "budget": state.memory_bytes,
            "head": stats.head_bytes,
            "head_limit": stats.max_head_bytes,
        },
        "rules": rules(&state.rules.groups()),
        "problems": problems,
    }})
}

/// Bytes on disk, by what they hold; `null` for what the system does not tell.
fn disk(state: &AppState, stats: &StoreStats) -> Value {
    let [metrics, logs, traces] = stats.blocks.bytes;
    let known = |bytes: u64| (stats.disk.total_bytes > 0).then_some(bytes);
    json!({
        "path": state.settings.data_dir.to_string_lossy(),
        "free": known(stats.disk.free_bytes),
        "total": known(stats.disk.total_bytes),
        "floor": stats.disk.floor_bytes,
        "metrics": metrics,
        "logs": logs,
        "traces": traces,
        "wal": stats.wal.bytes,
        "state_log": stats.state_log.bytes,
    })
}

fn rules(groups: &[GroupView]) -> Value {
    let rules = || groups.iter().flat_map(|group| &group.rules);
    let failing = rules().filter(|rule| rule.health == skopos_alerting::Health::Err).count();
    let alerts = |wanted: AlertState| {
        let alerts = rules().filter_map(|rule| rule.alerting.as_ref()).flat_map(|a| &a.alerts);
        alerts.filter(|alert| alert.state == wanted).count()
    };
    json!({
        "loaded": rules().count(),
        "failing": failing,
        "firing": alerts(AlertState::Firing),
        "pending": alerts(AlertState::Pending),
    })
}
