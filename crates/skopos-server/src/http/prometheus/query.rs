//! `/api/v1/query`, `/api/v1/query_range`, `/api/v1/format_query`, `/api/v1/parse_query`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use skopos_promql::parser::parse;
use skopos_promql::value::Value;

use super::answer::{PrometheusError, Remarks, TRUNCATED, success, truncate};
use super::params::{self, Stats};
use super::print;
use crate::http::json::push_string;
use crate::http::params::Params;
use crate::query::{Answer, QueryError};
use crate::state::SharedState;

pub(super) async fn instant(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let query = params::query(&params)?;
    let (options, stats) = params::options_and_stats(&params)?;
    let time_ms = match params::time_ms(&params, "time")? {
        Some(time_ms) => time_ms,
        None => state.clock.now().as_millis(),
    };
    let limit = params::limit(&params, "limit")?;
    let answer = state.queries.instant(query, time_ms, &options).await?;
    Ok(respond(&headers, answer, query, limit, stats))
}

pub(super) async fn range(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let (start_ms, end_ms, step_ms) = params::range(&params)?;
    let query = params::query(&params)?;
    let (options, stats) = params::options_and_stats(&params)?;
    let limit = params::limit(&params, "limit")?;
    let answer = state.queries.range(query, start_ms, end_ms, step_ms, &options).await?;
    Ok(respond(&headers, answer, query, limit, stats))
}

pub(super) async fn format(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let query = params::query(&params)?;
    let expr = parse(query, &state.queries.limits().language).map_err(QueryError::from)?;
    let mut out = String::new();
    push_string(&mut out, &expr.pretty());
    Ok(success(&headers, std::iter::once(out), Remarks::default()))
}

pub(super) async fn parse_tree(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let query = params::query(&params)?;
    let expr = parse(query, &state.queries.limits().language).map_err(QueryError::from)?;
    let tree = super::ast::tree(&expr).to_string();
    Ok(success(&headers, std::iter::once(tree), Remarks::default()))
}

fn respond(
    headers: &HeaderMap,
    answer: Answer,
    query: &str,
    limit: usize,
    stats: Stats,
) -> Response {
    let stats = (stats != Stats::None).then(|| print::stats(&answer, stats == Stats::PerStep));
    let Answer { mut result, .. } = answer;
    let mut remarks = Remarks {
        warnings: result.annotations.warnings(query),
        infos: result.annotations.infos(query),
    };
    let truncated = match &mut result.value {
        Value::Vector(samples) => truncate(samples, limit),
        Value::Matrix(series) => truncate(series, limit),
        Value::Scalar { .. } | Value::String { .. } => false,
    };
    if truncated {
        remarks.warnings.push(TRUNCATED.to_owned());
    }
    success(headers, print::data(result.value, stats), remarks)
}
