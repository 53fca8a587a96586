//! Prometheus' HTTP API, so that promtool, Grafana and every other client of it work.
//!
//! Answers are exact: `{"status":"success","data":…}` with samples as `[seconds, "value"]`; errors
//! are `{"status":"error","errorType":…,"error":…}` with Prometheus' types and statuses. Unknown
//! parameters are ignored, as Prometheus does.

mod answer;
mod ast;
mod exemplars;
mod explain;
mod federate;
mod histogram;
mod metadata;
mod params;
mod print;
mod query;
mod rules;
mod series;
mod status;
mod targets;
mod why;

pub(super) use answer::{PrometheusError, nowhere};
use axum::handler::Handler;
use http::Method;

use super::Route;
use crate::auth::Scope;
use crate::state::SharedState;

const TAG: &str = "prometheus";

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(get_and_post("/api/v1/query", query::instant, |route| {
        route
            .summary("Evaluates PromQL at one time.")
            .required("query", "The expression.")
            .param("time", "RFC 3339 or Unix seconds; now by default.")
            .param("timeout", "A duration; can only shorten limits.query_timeout.")
            .param("lookback_delta", "How long a sample counts as current; 5m by default.")
            .param("limit", "At most so many series; 0 for all.")
            .param("stats", "Any value: tell what the query cost; `all`: for each step too.")
            .schema("PrometheusQuery")
    }));
    routes.extend(get_and_post("/api/v1/query_range", query::range, |route| {
        route
            .summary("Evaluates PromQL over a range of time.")
            .required("query", "The expression.")
            .required("start", "First time: RFC 3339 or Unix seconds.")
            .required("end", "Last time, inclusive.")
            .required("step", "Distance of points: a duration or seconds; 11,000 points at most.")
            .param("timeout", "A duration; can only shorten limits.query_timeout.")
            .param("lookback_delta", "How long a sample counts as current; 5m by default.")
            .param("limit", "At most so many series; 0 for all.")
            .param("stats", "Any value: tell what the query cost; `all`: for each step too.")
            .schema("PrometheusQuery")
    }));
    routes.extend(get_and_post("/api/v1/format_query", query::format, |route| {
        route
            .summary(
                "Writes an expression in one canonical form, over several lines when it is long.",
            )
            .required("query", "PromQL.")
    }));
    routes.extend(get_and_post("/api/v1/parse_query", query::parse_tree, |route| {
        route.summary("The syntax tree of an expression.").required("query", "PromQL.")
    }));
    routes.extend(get_and_post("/api/v1/skopos/explain", explain::explain, |route| {
        route
            .summary("The plan of a query, and what each of its operators costs.")
            .required("query", "The expression.")
            .param("time", "Of an instant query: RFC 3339 or Unix seconds; now by default.")
            .param("start", "Of a range query: its first time.")
            .param("end", "Of a range query: its last time.")
            .param("step", "Of a range query: the distance of points.")
            .param("analyze", "`false`: only plan, do not evaluate.")
            .param("timeout", "A duration; can only shorten limits.query_timeout.")
            .param("lookback_delta", "How long a sample counts as current; 5m by default.")
    }));
    routes.extend(get_and_post("/api/v1/query_exemplars", exemplars::exemplars, |route| {
        route
            .summary("Exemplars of the series that an expression reads.")
            .required("query", "The expression.")
            .param("start", "First time; all by default.")
            .param("end", "Last time; all by default.")
    }));
    routes.extend(get_and_post("/api/v1/series", series::series, |route| {
        selection(route.summary("Label sets of the series that match."))
    }));
    routes.extend(get_and_post("/api/v1/labels", series::label_names, |route| {
        selection(route.summary("Names of labels."))
    }));
    let rest = [
        selection(
            Route::get("/api/v1/label/{name}/values", Scope::Read, series::label_values)
                .summary("Values of a label."),
        ),
        Route::get("/api/v1/metadata", Scope::Read, metadata::metadata)
            .summary("Type, unit and help text of metrics.")
            .param("metric", "Only this metric.")
            .param("limit", "At most so many metrics.")
            .param("limit_per_metric", "At most so many declarations per metric."),
        Route::get("/api/v1/rules", Scope::Read, rules::rules)
            .summary("Rule groups with their state.")
            .param("type", "`alert` or `record`: only these rules.")
            .repeated("rule_name[]", "Only rules of this name.")
            .repeated("rule_group[]", "Only groups of this name.")
            .repeated("file[]", "Only groups of this file.")
            .param("exclude_alerts", "`true`: leave the alerts out."),
        Route::get("/api/v1/rules/why", Scope::Read, why::why)
            .summary(
                "Why an alert fires or does not: what its conditions return, what its selectors \
                 match, and what became of it in its last evaluations.",
            )
            .required("alert", "The alert's name.")
            .param("rule_group", "Only the rule of this group.")
            .param("time", "When to look at the conditions: RFC 3339, Unix seconds, now-15m; the last slot by default."),
        Route::get("/api/v1/alerts", Scope::Read, rules::alerts).summary("Active alerts."),
        Route::get("/api/v1/targets", Scope::Read, targets::targets)
            .summary("Scrape targets and their last scrapes.")
            .param("state", "`active`, `dropped` or `any`.")
            .param("scrapePool", "Only targets of this job."),
        Route::get("/api/v1/targets/metadata", Scope::Read, targets::metadata)
            .summary("Type, unit and help text of the metrics that targets expose.")
            .param("match_target", "A selector of targets by their labels; all by default.")
            .param("metric", "Only this metric.")
            .param("limit", "At most so many targets."),
        Route::get("/api/v1/alertmanagers", Scope::Read, status::alertmanagers)
            .summary("External Alertmanagers that alerts are handed to."),
        Route::get("/api/v1/status/buildinfo", Scope::Read, status::build_info)
            .summary("Version of the server, and of the API it speaks."),
        Route::get("/api/v1/status/runtimeinfo", Scope::Read, status::runtime_info)
            .summary("Since when the server runs, and on what."),
        Route::get("/api/v1/status/flags", Scope::Read, status::flags)
            .summary("The settings in force by the names of Prometheus' flags."),
        Route::get("/api/v1/status/config", Scope::Read, status::config)
            .summary("Intervals, rule files and scrape jobs in force, as Prometheus' YAML."),
        Route::get("/federate", Scope::Read, federate::federate)
            .summary("The newest samples of the series that match, as Prometheus text.")
            .repeated("match[]", "A series selector; several widen the selection.")
            .produces("text/plain"),
    ];
    routes.extend(rest.map(|route| route.tag(TAG)));
    routes
}

fn selection(route: Route) -> Route {
    route
        .repeated("match[]", "A series selector; several widen the selection.")
        .param("start", "Only series with samples from this time on.")
        .param("end", "Only series with samples up to this time.")
        .param("limit", "At most so many items; 0 for all.")
}

fn get_and_post<H, T>(
    path: &'static str,
    handler: H,
    document: impl Fn(Route) -> Route,
) -> [Route; 2]
where
    H: Handler<T, SharedState>,
    T: 'static,
{
    let route = |method| document(Route::new(method, path, Scope::Read, handler.clone()).tag(TAG));
    [route(Method::GET), route(Method::POST)]
}
