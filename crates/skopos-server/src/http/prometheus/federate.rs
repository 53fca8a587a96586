//! `/federate`: the newest sample of each series that matches, as Prometheus text with its time, for
//! another Prometheus to scrape. Native histograms have no form in that text and are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use skopos_model::storage::{QueryBudget, SampleBuffer, SelectHints, SeriesSelect, SeriesSet};
use skopos_model::{Labels, METRIC_NAME, is_stale};
use skopos_promql::format::format_general;
use skopos_promql::parser::parse_selector;
use skopos_promql::plan::DEFAULT_LOOKBACK_MS;

use crate::error::ApiError;
use crate::http::params::Params;
use crate::query::{QueryClass, QueryError};
use crate::state::SharedState;

/// The newest samples by metric and series.
type Newest = BTreeMap<String, BTreeMap<Labels, (i64, f64)>>;

pub(super) async fn federate(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::read(request).await?;
    let now_ms = state.clock.now().as_millis();
    let window = (now_ms - DEFAULT_LOOKBACK_MS + 1, now_ms);
    let mut selects = Vec::new();
    for text in params.all("match[]") {
        let selector = parse_selector(text).map_err(|error| {
            ApiError::bad_request(format!("invalid parameter \"match[]\": {error}"))
        })?;
        selects.push(SeriesSelect {
            matchers: selector.matchers,
            start_ms: window.0,
            end_ms: window.1,
            hints: SelectHints::default(),
        });
    }
    let read = state.queries.begin("federate", None, QueryClass::Interactive).await?;
    let work = read.run(async {
        let mut newest = Newest::new();
        for select in &selects {
            let set = state.store.select(select, read.budget()).await?;
            read.budget().charge_series(set.series.len() as u64)?;
            let budget = read.budget().clone();
            let look = move || look(&set, window, newest, &budget);
            newest = read.on_blocking_pool(look).await??;
        }
        read.on_blocking_pool(move || text(&newest)).await
    });
    let body = work.await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response())
}

fn look(
    set: &SeriesSet,
    (from_ms, to_ms): (i64, i64),
    mut newest: Newest,
    budget: &QueryBudget,
) -> Result<Newest, QueryError> {
    let mut buffer = SampleBuffer::default();
    for series in &set.series {
        buffer.clear();
        series.samples.decode(from_ms, to_ms, &mut buffer)?;
        budget.charge_samples(buffer.len() as u64)?;
        let (Some(time), Some(value)) = (buffer.timestamps.last(), buffer.values.last()) else {
            continue;
        };
        if is_stale(*value) || buffer.histogram(buffer.len() - 1).is_some() {
            continue;
        }
        // The text holds about as much again as the labels.
        budget.charge_bytes(2 * series.labels.size_bytes() as u64 + 64)?;
        let metric = newest.entry(series.labels.metric_name().to_owned()).or_default();
        metric.insert(series.labels.clone(), (*time, *value));
    }
    Ok(newest)
}

fn text(newest: &Newest) -> String {
    let mut out = String::new();
    for (name, series) in newest {
        // A name that needs quotes stands in braces; in a declaration it stands alone.
        let alone = Labels::from_pairs([(METRIC_NAME, name)]).to_string();
        let shown = alone.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let _ = writeln!(out, "# TYPE {} untyped", shown.unwrap_or(&alone));
        series.iter().for_each(|(labels, newest)| push_series(&mut out, labels, *newest));
    }
    out
}

fn push_series(out: &mut String, labels: &Labels, (time_ms, value): (i64, f64)) {
    // Who scrapes this with honor_labels must see that there is no instance.
    let instance = if labels.get("instance").is_none() { "instance=\"\"" } else { "" };
    let mut series = labels.to_string();
    if !instance.is_empty() {
        match series.strip_suffix('}') {
            Some(open) => series = format!("{open},{instance}}}"),
            None => series = format!("{series}{{{instance}}}"),
        }
    }
    let _ = writeln!(out, "{series} {} {time_ms}", format_general(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_samples_are_grouped_by_metric() {
        let mut newest = Newest::new();
        for (pairs, value) in [
            (vec![("__name__", "b"), ("instance", "x:1"), ("q", "a\"b")], 1e30),
            (vec![("__name__", "a")], f64::NAN),
            (vec![("A", "1"), ("__name__", "b"), ("instance", "w:1")], f64::INFINITY),
            (vec![("__name__", "c.d"), ("e", "f")], 0.5),
        ] {
            let labels = Labels::from_pairs(pairs);
            let metric = newest.entry(labels.metric_name().to_owned()).or_default();
            metric.insert(labels, (1_000, value));
        }
        let want = "# TYPE a untyped\na{instance=\"\"} NaN 1000\n\
            # TYPE b untyped\nb{A=\"1\", instance=\"w:1\"} +Inf 1000\n\
            b{instance=\"x:1\", q=\"a\\\"b\"} 1e+30 1000\n\
            # TYPE \"c.d\" untyped\n{\"c.d\", e=\"f\",instance=\"\"} 0.5 1000\n";
        assert_eq!(text(&newest), want);
    }
}
