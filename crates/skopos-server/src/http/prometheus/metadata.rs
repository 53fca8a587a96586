//! `/api/v1/metadata`.

use axum::extract::{Request, State};
use axum::response::Response;
use skopos_model::Metadata;

use super::answer::{PrometheusError, Remarks, success};
use super::params;
use crate::http::json::push_string;
use crate::http::params::Params;
use crate::state::SharedState;

pub(super) async fn metadata(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let limit = params::limit(&params, "limit")?;
    let limit_per_metric = params::limit(&params, "limit_per_metric")?;
    let declared = state.store.metadata(params.get("metric")).await?;
    let mut metrics: Vec<Vec<Metadata>> = Vec::new();
    for item in declared {
        match metrics.last_mut() {
            Some(group) if group[0].metric == item.metric => group.push(item),
            _ => metrics.push(vec![item]),
        }
    }
    if limit > 0 {
        metrics.truncate(limit);
    }
    let pieces = metrics.into_iter().enumerate().map(move |(i, mut group)| {
        if limit_per_metric > 0 {
            group.truncate(limit_per_metric);
        }
        let mut out = String::from(if i > 0 { "," } else { "" });
        push_group(&mut out, &group);
        out
    });
    let pieces = std::iter::once("{".to_owned()).chain(pieces).chain(["}".to_owned()]);
    Ok(success(&headers, pieces, Remarks::default()))
}

fn push_group(out: &mut String, group: &[Metadata]) {
    push_string(out, group.first().map_or("", |item| item.metric.as_str()));
    out.push_str(":[");
    for (i, item) in group.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"type\":" } else { "{\"type\":" });
        push_string(out, item.metric_type.as_str());
        out.push_str(",\"help\":");
        push_string(out, &item.help);
        out.push_str(",\"unit\":");
        push_string(out, &item.unit);
        out.push('}');
    }
    out.push(']');
}
