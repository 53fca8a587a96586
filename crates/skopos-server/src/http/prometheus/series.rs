//! `/api/v1/series`, `/api/v1/labels`, `/api/v1/label/{name}/values`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::HeaderMap;
use skopos_model::Labels;

use super::answer::{PrometheusError, Remarks, array, success, truncate};
use super::params;
use crate::error::ApiError;
use crate::http::json::{push_labels, push_string};
use crate::http::params::{Params, shown};
use crate::query::QueryClass;
use crate::state::SharedState;

pub(super) async fn series(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    if params.get("match[]").is_none() {
        return Err(ApiError::bad_request("no match[] parameter provided").into());
    }
    let selects = params::selects(&params)?;
    let limit = params::limit(&params, "limit")?;
    let timeout = params::options(&params)?.timeout;
    let read = state.queries.begin("series", timeout, QueryClass::Interactive).await?;
    let found = read.run(async {
        let mut found: Vec<Labels> = Vec::new();
        for select in &selects {
            let set = state.store.select(select, read.budget()).await?;
            found.extend(set.series.into_iter().map(|series| series.labels));
        }
        if selects.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        Ok(found)
    });
    let mut found = found.await?;
    let remarks = Remarks::truncated(truncate(&mut found, limit));
    Ok(success(&headers, array(found, push_labels), remarks))
}

pub(super) async fn label_names(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let params = Params::read(request).await?;
    let selects = params::selects(&params)?;
    let timeout = params::options(&params)?.timeout;
    let read = state.queries.begin("labels", timeout, QueryClass::Interactive).await?;
    let names = read.run(async { Ok(state.store.label_names(&selects, read.budget()).await?) });
    texts(&headers, names.await?, &params)
}

pub(super) async fn label_values(
    State(state): State<SharedState>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PrometheusError> {
    let headers = request.headers().clone();
    let Ok(Path(name)) = name else {
        let message = "invalid label name: it is not UTF-8 after percent-decoding";
        return Err(ApiError::bad_request(message).into());
    };
    let params = Params::read(request).await?;
    let name = match name.strip_prefix("U__") {
        Some(escaped) => unescape(escaped).unwrap_or(name),
        None => name,
    };
    if name.is_empty() {
        let name = shown(&name);
        return Err(ApiError::bad_request(format!("invalid label name: {name:?}")).into());
    }
    let selects = params::selects(&params)?;
    let timeout = params::options(&params)?.timeout;
    let read = state.queries.begin("label values", timeout, QueryClass::Interactive).await?;
    let values =
        read.run(async { Ok(state.store.label_values(&name, &selects, read.budget()).await?) });
    texts(&headers, values.await?, &params)
}

fn texts(
    headers: &HeaderMap,
    mut texts: Vec<String>,
    params: &Params,
) -> Result<Response, PrometheusError> {
    let limit = params::limit(params, "limit")?;
    let remarks = Remarks::truncated(truncate(&mut texts, limit));
    let items = array(texts, |out: &mut String, text: &String| push_string(out, text));
    Ok(success(headers, items, remarks))
}

/// A name in Prometheus' "values" escaping, the part after `U__`: `_2e_` is a dot, `__` an
/// underscore. `None` when it is not of that form.
fn unescape(escaped: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (code, after) = rest.split_once('_')?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if code.is_empty() || code.len() > 6 || !code.bytes().all(lower_hex) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        for (escaped, want) in [
            ("http_2e_status", Some("http.status")),
            ("a__b", Some("a_b")),
            ("_1f600_", Some("😀")),
            ("plain", Some("plain")),
            ("a_", None),
            ("a_zz_", None),
            ("a_d800_", None),
        ] {
            assert_eq!(unescape(escaped).as_deref(), want, "{escaped}");
        }
    }
}
