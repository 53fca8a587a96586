//! The two objectives that the guide starts with, written from what a service sends: availability and
//! latency.

use std::fmt::Write as _;

use skopos_promql::format_value;

use super::export::quoted;

/// What a service sends, as far as it matters. Callers look it up among the labels and metrics of the
/// last hours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The service's name.
    pub service: String,
    /// The label that carries it on its metrics, with its value: `job`, `service`, `service_name`.
    pub selector: Option<(String, String)>,
    /// A counter of requests, and the label of their status.
    pub requests: Option<(String, String)>,
    /// A classic histogram of durations in seconds, without `_bucket`, and its bounds.
    pub durations: Option<(String, Vec<f64>)>,
    /// A native histogram of durations in seconds.
    pub native_durations: Option<String>,
    /// What else a metric counts only requests with: the label and value of server spans.
    pub only: Option<(String, String)>,
}

/// The counter that the server derives from spans, for services that send nothing else.
pub const SPAN_CALLS: &str = "traces_spanmetrics_calls_total";
/// The histogram that it derives from them.
pub const SPAN_LATENCY: &str = "traces_spanmetrics_latency";
/// Of spans those that are requests to the service.
pub const SERVER_SPANS: (&str, &str) = ("span_kind", "SPAN_KIND_SERVER");

/// Names of counters of requests, the guide's first, each with the label of its status.
pub const REQUEST_COUNTERS: [(&str, &str); 5] = [
    ("http_requests_total", "status_code"),
    ("http_requests_total", "status"),
    ("http_requests_total", "code"),
    ("http_server_request_duration_seconds_count", "http_response_status_code"),
    ("grpc_server_handled_total", "grpc_code"),
];

/// Names of histograms of durations, the guide's first.
pub const DURATION_HISTOGRAMS: [&str; 3] = [
    "http_request_duration_seconds",
    "http_server_request_duration_seconds",
    "rpc_server_duration_seconds",
];

/// The owner until somebody is named.
pub(super) const NOBODY: &str = "nobody yet";

/// The threshold that the guide names, in seconds.
const GUIDE_THRESHOLD: f64 = 0.2;

/// Writes the file. It is valid once somebody put owner and runbook right; what the service does not
/// send is said in a comment.
pub fn init_text(observed: &Observed) -> String {
    let service = &observed.service;
    let name: String = service
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    let name = match name.trim_matches(['-', '_', '.']) {
        "" => "service",
        name => name,
    };
    let selector = |more: Option<String>| {
        let own =
            observed.selector.as_ref().map(|(label, value)| format!("{label}={}", quoted(value)));
        let only =
            observed.only.as_ref().map(|(label, value)| format!("{label}={}", quoted(value)));
        let matchers: Vec<String> = [own, only, more].into_iter().flatten().collect();
        if matchers.is_empty() { String::new() } else { format!("{{{}}}", matchers.join(",")) }
    };
    let mut out = format!(
        "# The guide's two starting objectives for {service}, from what it sends. Check the targets with those who use it,\n\
         # put an owner and runbooks in, and serve it: skopos serve --slo FILE\n"
    );
    let head = |out: &mut String, kind: &str, description: &str| {
        let _ = write!(
            out,
            "slo: {name}-{kind}\nservice: {}\nowner: {}\ndescription: {}\n",
            quoted(service),
            quoted(NOBODY),
            quoted(description)
        );
    };
    let tail = |out: &mut String, kind: &str, target: &str| {
        let _ = write!(out, "target: {target}\nwindow: 30d\nrunbook: runbooks/{name}-{kind}.md\n");
    };
    match &observed.requests {
        Some((metric, label)) => {
            head(&mut out, "availability", "Requests that the service does not fail.");
            let is_bad = match label.as_str() {
                _ if metric == SPAN_CALLS => "STATUS_CODE_ERROR",
                "grpc_code" => "Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss",
                _ => "5..",
            };
            let bad = selector(Some(format!("{label}=~\"{is_bad}\"")));
            let all = selector(None);
            let _ = write!(
                out,
                "sli:\n  bad: {}\n  total: {}\n",
                quoted(&format!("{metric}{bad}")),
                quoted(&format!("{metric}{all}"))
            );
            tail(&mut out, "availability", "99.9%");
        }
        None => out.push_str(
            "# No counter of requests was found (http_requests_total), so there is no availability objective.\n",
        ),
    }
    let latency = match (&observed.durations, &observed.native_durations) {
        (Some((metric, bounds)), _) => nearest_bound(bounds).map(|bound| (metric, bound, false)),
        (None, Some(metric)) => Some((metric, GUIDE_THRESHOLD, true)),
        (None, None) => None,
    };
    match latency {
        Some((metric, bound, is_native)) => {
            out.push_str("---\n");
            if bound != GUIDE_THRESHOLD {
                let _ = writeln!(
                    out,
                    "# The guide asks for 200 ms; the histogram has no such bound, and this is its nearest."
                );
            }
            head(&mut out, "latency", "Requests that are answered soon enough.");
            let histogram = quoted(&format!("{metric}{}", selector(None)));
            let _ = write!(out, "sli:\n  histogram: {histogram}\n  le: {}\n", format_value(bound));
            if is_native {
                out.push_str("  native: true\n");
            }
            tail(&mut out, "latency", "99%");
        }
        None => out.push_str(
            "# No histogram of durations was found (http_request_duration_seconds), so there is no latency objective.\n",
        ),
    }
    out
}

/// The finite bound nearest to the guide's threshold, by ratio.
fn nearest_bound(bounds: &[f64]) -> Option<f64> {
    let finite = bounds.iter().copied().filter(|bound| bound.is_finite() && *bound > 0.0);
    finite.min_by(|a, b| {
        let distance = |bound: f64| (bound / GUIDE_THRESHOLD).ln().abs();
        distance(*a).total_cmp(&distance(*b))
    })
}
