//! Rate, errors and duration: one observation a request, shown under every name that it has.
//!
//! A finished request is counted in one histogram, by method, endpoint, status code and reason of failure. The metrics of the
//! guide, the latency of failures apart and the semantic conventions' names are views of it, so they cannot disagree and cost
//! one look-up together.

use std::collections::BTreeMap;

use http::{Method, StatusCode};

use crate::metrics::{
    Bounded, Family, Gauge, Histogram, HistogramSnapshot, Kind, LabelValue, Registry, Value, Visit,
    buckets,
};

/// What the endpoint label says when no route matched.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Reasons of failure that are kept apart.
const MOST_REASONS: usize = 20;

crate::labels! {
    pub(crate) struct RequestLabels { method: MethodLabel, endpoint: Bounded<200> }
}

crate::labels! {
    pub(crate) struct OutcomeLabels {
        method: MethodLabel,
        endpoint: Bounded<200>,
        status_code: StatusLabel,
        reason: Bounded<MOST_REASONS>,
    }
}

/// A method of RFC 9110 or 5789, or `_OTHER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MethodLabel(&'static str);

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> MethodLabel {
        const KNOWN: &[&str] =
            &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        MethodLabel(
            KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("_OTHER"),
        )
    }
}

impl LabelValue for MethodLabel {
    const LIMIT: usize = 10;

    fn label(&self) -> &str {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusLabel(pub(crate) StatusCode);

impl LabelValue for StatusLabel {
    const LIMIT: usize = 100;

    fn label(&self) -> &str {
        self.0.as_str()
    }
}

/// What is kept of requests of one outcome.
#[derive(Clone)]
pub(crate) struct Outcome {
    pub(crate) duration: Histogram,
    pub(crate) response_size: Histogram,
}

/// The HTTP metrics of a service.
#[derive(Clone)]
pub(crate) struct RedMetrics {
    pub(crate) outcomes: Family<OutcomeLabels, Outcome>,
    pub(crate) in_progress: Family<RequestLabels, Gauge>,
}

type Outcomes = Family<OutcomeLabels, Outcome>;

/// One outcome as it is read: method, endpoint, status code, reason of failure.
type Row<'a> = [&'a str; 4];

impl RedMetrics {
    pub(crate) fn register(registry: &Registry, prefix: &str) -> RedMetrics {
        let name = |name: &str| format!("{prefix}{name}");
        let requests = name("http_requests_total");
        let outcomes: Outcomes = Family::new(&requests, registry.series_limit(), || Outcome {
            duration: Histogram::new(buckets::HTTP),
            response_size: Histogram::new(buckets::BYTES),
        });
        // Registered as itself, this one tells of label values that did not fit.
        registry.register(&requests, "Total HTTP requests", Kind::Counter, || {
            Requests(outcomes.clone())
        });
        let in_progress =
            registry.gauge_family(&name("http_requests_in_progress"), "In-flight requests");

        let read = outcomes.clone();
        let durations = name("http_request_duration_seconds");
        registry.add_view(&durations, "Request duration", Kind::Histogram, move |visit| {
            histograms(&read, ["method", "endpoint"], |_| true, |outcome| &outcome.duration, visit);
        });
        let read = outcomes.clone();
        let failures = name("http_request_failure_duration_seconds");
        let help = "Duration of the requests that failed; the rest of http_request_duration_seconds did not";
        registry.add_view(&failures, help, Kind::Histogram, move |visit| {
            let failed = |[.., status, reason]: &Row<'_>| is_failure(status, reason);
            histograms(&read, ["method", "endpoint"], failed, |outcome| &outcome.duration, visit);
        });
        let read = outcomes.clone();
        let errors = name("http_request_errors_total");
        let help = "Requests that failed, marked ones among them, by reason";
        registry.add_view(&errors, help, Kind::Counter, move |visit| errors_of(&read, visit));
        let read = outcomes.clone();
        let sizes = name("http_response_size_bytes");
        let help = "Bytes of response bodies that were sent";
        registry.add_view(&sizes, help, Kind::Histogram, move |visit| {
            histograms(
                &read,
                ["method", "endpoint"],
                |_| true,
                |outcome| &outcome.response_size,
                visit,
            );
        });
        // With a prefix, which is for infrastructure, nothing may look like a service's own requests.
        if prefix.is_empty() {
            for text_only in [&requests, &durations, &failures, &errors, &sizes] {
                registry.do_not_push(text_only);
            }
            registry.do_not_push("http_requests_in_progress");
            register_semantic(registry, &outcomes, &in_progress);
        }
        RedMetrics { outcomes, in_progress }
    }
}

/// The same by the names of the semantic conventions, for OTLP.
fn register_semantic(
    registry: &Registry,
    outcomes: &Outcomes,
    in_progress: &Family<RequestLabels, Gauge>,
) {
    for (name, unit, help, of) in [
        (
            "http.server.request.duration",
            "s",
            "Duration of HTTP server requests.",
            (|outcome: &Outcome| outcome.duration.clone()) as fn(&Outcome) -> Histogram,
        ),
        (
            "http.server.response.body.size",
            "By",
            "Size of HTTP server response bodies.",
            |outcome: &Outcome| outcome.response_size.clone(),
        ),
    ] {
        let read = outcomes.clone();
        registry.add_pushed(name, unit, help, Kind::Histogram, move |visit| {
            read.each(&mut |labels, outcome| {
                let [method, endpoint, status, reason] = row(labels);
                let labels = [
                    ("http.request.method", method),
                    ("http.route", if endpoint == UNMATCHED { "" } else { endpoint }),
                    ("http.response.status_code", status),
                    ("error.type", reason),
                ];
                visit(&labels, Value::Histogram(of(outcome).snapshot()));
            });
        });
    }
    let read = in_progress.clone();
    let help = "Number of active HTTP server requests.";
    let name = "http.server.active_requests";
    registry.add_pushed(name, "{request}", help, Kind::UpDownCounter, move |visit| {
        read.each(&mut |labels, gauge| {
            let [method, endpoint, ..] = row(labels);
            let labels = [
                ("http.request.method", method),
                ("http.route", if endpoint == UNMATCHED { "" } else { endpoint }),
            ];
            visit(&labels, Value::Gauge(gauge.get()));
        });
    });
}

/// `http_requests_total`.
#[derive(Clone)]
struct Requests(Outcomes);

impl crate::metrics::Source for Requests {
    fn visit(&self, visit: Visit<'_>) {
        let mut counts: BTreeMap<[String; 3], u64> = BTreeMap::new();
        self.0.each(&mut |labels, outcome| {
            let [method, endpoint, status, _] = row(labels);
            *counts.entry([method, endpoint, status].map(str::to_owned)).or_default() +=
                outcome.duration.count();
        });
        for ([method, endpoint, status], count) in &counts {
            let labels = [("method", &**method), ("endpoint", endpoint), ("status_code", status)];
            visit(&labels, Value::Counter(*count));
        }
    }

    fn overflows(&self) -> Vec<(String, u64)> {
        self.0.folded()
    }
}

fn errors_of(outcomes: &Outcomes, visit: Visit<'_>) {
    let mut counts: BTreeMap<[String; 3], u64> = BTreeMap::new();
    outcomes.each(&mut |labels, outcome| {
        let [method, endpoint, status, reason] = row(labels);
        if is_failure(status, reason) {
            *counts.entry([method, endpoint, reason].map(str::to_owned)).or_default() +=
                outcome.duration.count();
        }
    });
    for ([method, endpoint, reason], count) in &counts {
        let labels = [("method", &**method), ("endpoint", endpoint), ("reason", reason)];
        visit(&labels, Value::Counter(*count));
    }
}

/// Shows the histograms of outcomes that are wanted, summed by method and endpoint.
fn histograms(
    outcomes: &Outcomes,
    names: [&str; 2],
    is_wanted: impl Fn(&Row<'_>) -> bool,
    of: fn(&Outcome) -> &Histogram,
    visit: Visit<'_>,
) {
    let mut sums: BTreeMap<[String; 2], HistogramSnapshot> = BTreeMap::new();
    outcomes.each(&mut |labels, outcome| {
        let row = row(labels);
        if !is_wanted(&row) {
            return;
        }
        let [method, endpoint, ..] = row;
        let snapshot = of(outcome).snapshot();
        match sums.get_mut(&[method, endpoint].map(str::to_owned)) {
            Some(sum) => sum.merge(snapshot),
            None => {
                sums.insert([method, endpoint].map(str::to_owned), snapshot);
            }
        }
    });
    for ([method, endpoint], sum) in sums {
        let [method_name, endpoint_name] = names;
        visit(&[(method_name, &*method), (endpoint_name, &*endpoint)], Value::Histogram(sum));
    }
}

fn row<'a>(labels: &[(&'a str, &'a str)]) -> Row<'a> {
    let mut values = labels.iter().map(|(_, value)| *value);
    std::array::from_fn(|_| values.next().unwrap_or_default())
}

/// Returns whether a request failed by our fault: with a reason of ours, and not by the caller going away.
fn is_failure(status: &str, reason: &str) -> bool {
    !reason.is_empty() && status != "499"
}
