//! `/api/v1/query_exemplars`.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use skopos_model::storage::{SelectHints, SeriesExemplars, SeriesSelect};
use skopos_model::{Exemplar, Labels};
use skopos_promql::ast::selectors;
use skopos_promql::parser::parse;

use super::answer::{PrometheusError, Remarks, array, success};
use super::params;
use crate::http::json::{push_labels, push_seconds, push_value};
use crate::http::params::Params;
use crate::query::{QueryClass, QueryError};
use crate::state::SharedState;

pub(super) async fn exemplars(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let (start_ms, end_ms) = params::window(&params)?;
    let query = params::query(&params)?;
    let expr = parse(query, &state.queries.limits().language).map_err(QueryError::from)?;
    let mut selects: Vec<SeriesSelect> = Vec::new();
    for (_, selector) in selectors(&expr) {
        let select = SeriesSelect {
            matchers: selector.matchers.clone(),
            start_ms,
            end_ms,
            hints: SelectHints::default(),
        };
        if !selects.contains(&select) {
            selects.push(select);
        }
    }
    let read = state.queries.begin(query, None, QueryClass::Interactive).await?;
    let found = read.run(async {
        // A series that two selectors name is answered once.
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for select in &selects {
            for series in state.store.exemplars(select, read.budget()).await? {
                if !series.exemplars.is_empty() {
                    found.insert(series.labels, series.exemplars);
                }
            }
        }
        Ok(found)
    });
    let found = found.await?.into_iter();
    let series: Vec<_> =
        found.map(|(labels, exemplars)| SeriesExemplars { labels, exemplars }).collect();
    Ok(success(&headers, array(series, push_exemplars), Remarks::default()))
}

fn push_exemplars(out: &mut String, series: &SeriesExemplars) {
    out.push_str("{\"seriesLabels\":");
    push_labels(out, &series.labels);
    out.push_str(",\"exemplars\":[");
    for (i, exemplar) in series.exemplars.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"labels\":" } else { "{\"labels\":" });
        push_labels(out, &exemplar.labels);
        out.push_str(",\"value\":");
        push_value(out, exemplar.value);
        out.push_str(",\"timestamp\":");
        push_seconds(out, exemplar.timestamp_ms);
        out.push('}');
    }
    out.push_str("]}");
}
