//! What a running server has seen of the services, told by the series that it keeps: which spans there were, which routes
//! were counted. Asking it is the caller's: nothing here opens a connection.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a server has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Whom it was asked of.
    pub address: String,
    /// Services that have sent anything, by name.
    pub services: BTreeMap<String, LiveService>,
}

/// What one service has sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveService {
    /// Names of its spans.
    pub spans: BTreeSet<String>,
    /// Whether spans beyond the server's limits were counted as one.
    pub is_folded: bool,
    /// Routes that its request metrics name.
    pub routes: BTreeSet<String>,
    /// Whether it counts requests without saying of which route.
    pub counts_without_route: bool,
}

/// Counted by Skopos, and by collectors, from spans.
const SPANS: &str = "traces_spanmetrics_calls_total";

/// Counted by Skopos from log records.
const LOGS: &str = "log_records_total";

/// Request metrics by their usual names: the guide's, Prometheus libraries', OpenTelemetry's, Micrometer's.
const REQUESTS: &[&str] = &[
    "http_requests_total",
    "http_request_duration_seconds_count",
    "http_request_duration_highr_seconds_count",
    "http_server_request_duration_seconds_count",
    "http_server_duration_milliseconds_count",
    "http_server_duration_seconds_count",
    "http_server_requests_seconds_count",
    "rpc_server_duration_milliseconds_count",
    "rpc_server_duration_seconds_count",
    "grpc_server_handled_total",
];

/// Labels that name a route, by those metrics.
const ROUTES: &[&str] =
    &["endpoint", "http_route", "route", "path", "handler", "uri", "rpc_method", "grpc_method"];

impl Live {
    /// The path to ask a Prometheus API for, with its query: every series that says who has sent what, of all time.
    pub fn query() -> (&'static str, Vec<(&'static str, String)>) {
        let names: Vec<&str> = [SPANS, LOGS].into_iter().chain(REQUESTS.iter().copied()).collect();
        let selector = format!("{{__name__=~\"{}\"}}", names.join("|"));
        ("/api/v1/series", vec![("match[]", selector), ("start", "0".to_owned())])
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// It is no answer to that question; in words.
    pub fn of_series(address: &str, answer: &Value) -> Result<Self, String> {
        let all = answer.get("data").and_then(Value::as_array).ok_or("no list of series")?;
        // Names and passwords in an address are nobody's to read.
        let shown = match address.split_once("://") {
            Some((scheme, rest)) => {
                format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
            }
            None => address.to_owned(),
        };
        let mut live = Self { address: shown, services: BTreeMap::new() };
        for series in all {
            let label = |name: &str| series.get(name).and_then(Value::as_str).unwrap_or_default();
            // `job` is `namespace/name` for what was pushed.
            let job = label("job").rsplit('/').next().unwrap_or_default();
            let service = Some(label("service_name")).filter(|name| !name.is_empty());
            let service = service.unwrap_or(job);
            if service.is_empty() {
                continue;
            }
            let of = live.services.entry(service.to_owned()).or_default();
            match label("__name__") {
                SPANS if label("span_name") == "other" => of.is_folded = true,
                SPANS => {
                    of.spans.insert(label("span_name").to_owned());
                }
                LOGS => {}
                _ => match ROUTES.iter().map(|name| label(name)).find(|route| !route.is_empty()) {
                    Some(route) => {
                        of.routes.insert(route.to_owned());
                    }
                    None => of.counts_without_route = true,
                },
            }
        }
        Ok(live)
    }

    /// What the services of these names have sent, together; none when there is no such service.
    pub(crate) fn of_names(&self, names: &BTreeSet<String>) -> Option<LiveService> {
        let mut found: Option<LiveService> = None;
        for (name, of) in &self.services {
            if names.contains(&plain(name)) {
                let all = found.get_or_insert_default();
                all.spans.extend(of.spans.iter().cloned());
                all.routes.extend(of.routes.iter().cloned());
                all.is_folded |= of.is_folded;
                all.counts_without_route |= of.counts_without_route;
            }
        }
        found
    }
}

/// A name without what people write in different ways.
pub(crate) fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.', ' '], "-")
}

/// Whether a path as it stands in code is what a server has seen: parameters are alike however they are written, and the
/// code may not know the prefix that it is mounted under.
pub(crate) fn is_route(code: &str, seen: &str) -> bool {
    let split = |path: &str| -> Vec<String> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        path.split('/').filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect()
    };
    let (mut code, seen) = (split(code), split(seen));
    let takes_rest = |part: &String| part.contains('*') || part.contains(":path");
    if code.last().is_some_and(takes_rest) {
        code.pop();
        return (0..seen.len().saturating_sub(code.len()) + 1)
            .any(|at| seen.get(at..at + code.len()).is_some_and(|part| are_alike(&code, part)));
    }
    if code.is_empty() {
        return seen.len() <= 1;
    }
    seen.len() >= code.len() && are_alike(&code, &seen[seen.len() - code.len()..])
}

fn are_alike(code: &[String], seen: &[String]) -> bool {
    // What is fixed in code has no other name anywhere; a parameter may be seen as itself or as any value.
    let is_open = |part: &str| part.starts_with([':', '{', '<', '[', '*', '$']);
    code.iter().zip(seen).all(|(code, seen)| code == seen || is_open(code))
}

/// The path that a span's name holds (`GET /orders/{id}`).
pub(crate) fn path_of(span: &str) -> Option<&str> {
    span.split_whitespace().find(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_alike_however_they_are_written() {
        for (code, seen) in [
            ("/orders/{order_id}", "/orders/{id}"),
            ("/orders/:id", "/api/v1/orders/{id}"),
            ("/orders/<int:id>/items", "/orders/42/items"),
            ("/files/{path:path}", "/files/a/b"),
            ("/", "/"),
        ] {
            assert!(is_route(code, seen), "{code} {seen}");
        }
        for (code, seen) in
            [("/orders", "/orders/{id}"), ("/pay", "/orders"), ("/a/b", "/b"), ("/", "/a/b")]
        {
            assert!(!is_route(code, seen), "{code} {seen}");
        }
    }

    #[test]
    fn series_say_who_has_sent_what() {
        let answer = serde_json::json!({"status": "success", "data": [
            {"__name__": SPANS, "service_name": "orders", "span_name": "GET /orders/{id}"},
            {"__name__": SPANS, "service_name": "orders", "span_name": "other"},
            {"__name__": "http_requests_total", "job": "shop/orders", "endpoint": "/orders/{id}"},
            {"__name__": "http_requests_total", "job": "stock"},
            {"__name__": LOGS, "service_name": "mailer"},
            {"__name__": LOGS},
        ]});
        let live = Live::of_series("http://me:secret@x", &answer).unwrap();
        assert_eq!(live.address, "http://x");
        assert_eq!(live.services.keys().collect::<Vec<_>>(), ["mailer", "orders", "stock"]);
        let orders = &live.services["orders"];
        assert!(orders.is_folded && orders.routes.contains("/orders/{id}"));
        assert_eq!(orders.spans.iter().collect::<Vec<_>>(), ["GET /orders/{id}"]);
        assert!(live.services["stock"].counts_without_route);
        assert!(Live::of_series("http://x", &serde_json::json!({"status": "error"})).is_err());
    }
}
