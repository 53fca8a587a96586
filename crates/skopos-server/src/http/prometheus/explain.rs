//! `/api/v1/skopos/explain`: what a query's plan is, and what each operator of it costs.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skopos_promql::{EvalParams, Operator};

use super::answer::PrometheusError;
use super::params;
use crate::http::params::Params;
use crate::query::Explained;
use crate::state::SharedState;

/// Explains an instant query, or a range query when `start`, `end` and `step` are given. Unless
/// `analyze=false`, the query is evaluated and each operator shows what it cost.
pub(super) async fn explain(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let params = Params::read(request).await?;
    let query = params::query(&params)?;
    let options = params::options(&params)?;
    let analyze = params::switch(&params, "analyze", true)?;
    let eval = if params.get("start").is_some() || params.get("end").is_some() {
        let (start_ms, end_ms, step_ms) = params::range(&params)?;
        EvalParams::range(start_ms, end_ms, step_ms)
    } else {
        let now = || state.clock.now().as_millis();
        EvalParams::instant(params::time_ms(&params, "time")?.unwrap_or_else(now))
    };
    let explained = state.queries.explain(query, eval, &options, analyze).await?;
    let data = document(&explained);
    Ok(Json(json!({"status": "success", "data": data})).into_response())
}

fn document(explained: &Explained) -> Value {
    let plan = &explained.explanation;
    let timings = &explained.timings;
    json!({
        "steps": plan.steps,
        "fetches": plan.fetches,
        "shared": plan.shared.iter().map(operator).collect::<Vec<_>>(),
        "root": operator(&plan.root),
        "text": plan.to_string(),
        "analyzed": explained.stats.is_some(),
        "series": explained.stats.as_ref().map(|stats| stats.series),
        "samples": explained.stats.as_ref().map(|stats| stats.samples),
        "timings": {
            "queued": timings.queued.as_secs_f64(),
            "prepare": timings.prepare.as_secs_f64(),
            "fetch": timings.fetch.as_secs_f64(),
            "evaluate": timings.evaluate.as_secs_f64(),
        },
    })
}

/// An operator; `start` and `end` are bytes of the query.
fn operator(of: &Operator) -> Value {
    let cost = of.cost.as_ref().map(|cost| {
        json!({
            "series": cost.series,
            "samples": cost.samples,
            "seconds": cost.time.as_secs_f64(),
            "calls": cost.calls,
        })
    });
    json!({
        "name": of.name,
        "start": of.span.start,
        "end": of.span.end,
        "once": of.once,
        "cost": cost,
        "children": of.children.iter().map(operator).collect::<Vec<_>>(),
    })
}
