//! What a service sends that objectives can be made of.

use skopos_alerting::slo::{
    DURATION_HISTOGRAMS, Observed, REQUEST_COUNTERS, SERVER_SPANS, SPAN_CALLS, SPAN_LATENCY,
};
use skopos_model::{Labels, Timestamp};
use skopos_promql::value::Value;

use crate::query::{QueryEngine, QueryError, QueryOptions};

/// Labels that carry a service's name, the plainest first.
const SERVICE_LABELS: [&str; 3] = ["service", "service_name", "job"];
/// How far back is looked.
const LOOK_BACK: &str = "6h";

/// Looks a service up among the metrics of the last hours.
pub(crate) async fn observe(
    queries: &QueryEngine,
    service: &str,
    now: Timestamp,
) -> Result<Observed, QueryError> {
    let look = Look { queries, now };
    let mut observed = Observed { service: service.to_owned(), ..Observed::default() };
    'found: for (metric, status) in REQUEST_COUNTERS {
        for label in SERVICE_LABELS {
            let which = format!("{status}!=\"\"");
            if let Some(value) = look.service(metric, label, service, &which).await? {
                observed.selector = Some((label.to_owned(), value));
                observed.requests = Some((metric.to_owned(), status.to_owned()));
                break 'found;
            }
        }
    }
    'classic: for metric in DURATION_HISTOGRAMS {
        let bucket = format!("{metric}_bucket");
        for label in look.labels(&observed) {
            let Some(value) = look.service(&bucket, label, service, "le!=\"\"").await? else {
                continue;
            };
            let own = format!("{label}={}", quoted(&value));
            let bounds = look.values(&bucket, &own, "le").await?;
            let mut bounds: Vec<f64> = bounds.iter().filter_map(|le| le.parse().ok()).collect();
            bounds.sort_by(f64::total_cmp);
            observed.durations = Some((metric.to_owned(), bounds));
            observed.selector = Some((label.to_owned(), value));
            break 'classic;
        }
    }
    if observed.durations.is_none() {
        'native: for metric in DURATION_HISTOGRAMS {
            for label in look.labels(&observed) {
                let value = look.service(metric, label, service, "le=\"\"").await?;
                if let Some(value) = value {
                    observed.native_durations = Some(metric.to_owned());
                    observed.selector = Some((label.to_owned(), value));
                    break 'native;
                }
            }
        }
    }
    if observed.selector.is_none() {
        look.spans(&mut observed).await?;
    }
    Ok(observed)
}

struct Look<'a> {
    queries: &'a QueryEngine,
    now: Timestamp,
}

impl Look<'_> {
    /// Labels to look under: both objectives select the service by the same one.
    fn labels(&self, observed: &Observed) -> Vec<&'static str> {
        let is_used = |label: &&str| {
            observed.selector.as_ref().is_none_or(|(used, _)| used.as_str() == *label)
        };
        SERVICE_LABELS.into_iter().filter(is_used).collect()
    }

    /// A service that sends spans alone: what is derived from those of requests to it.
    async fn spans(&self, observed: &mut Observed) -> Result<(), QueryError> {
        let (label, (kind, server)) = ("service_name", SERVER_SPANS);
        let which = format!("{kind}={}", quoted(server));
        let found = self.service(SPAN_CALLS, label, &observed.service, &which).await?;
        let Some(value) = found else { return Ok(()) };
        let own = format!("{label}={},{which}", quoted(&value));
        let bounds = self.values(&format!("{SPAN_LATENCY}_bucket"), &own, "le").await?;
        let bounds: Vec<f64> = bounds.iter().filter_map(|le| le.parse().ok()).collect();
        observed.requests = Some((SPAN_CALLS.to_owned(), "status_code".to_owned()));
        observed.durations = (!bounds.is_empty()).then(|| (SPAN_LATENCY.to_owned(), bounds));
        observed.only = Some((kind.to_owned(), server.to_owned()));
        observed.selector = Some((label.to_owned(), value));
        Ok(())
    }

    /// The value of a label under which a metric of a service is found: its name, or its name behind
    /// a namespace.
    async fn service(
        &self,
        metric: &str,
        label: &str,
        service: &str,
        which: &str,
    ) -> Result<Option<String>, QueryError> {
        let pattern = quoted(&format!("(.+/)?{}", escaped(service)));
        let found = self.values(metric, &format!("{label}=~{pattern},{which}"), label).await?;
        let exact = found.iter().find(|value| *value == service);
        Ok(exact.or(found.first()).cloned())
    }

    async fn values(
        &self,
        metric: &str,
        which: &str,
        label: &str,
    ) -> Result<Vec<String>, QueryError> {
        let query =
            format!("group by ({label}) (present_over_time({metric}{{{which}}}[{LOOK_BACK}]))");
        let options = QueryOptions::default();
        let answer = self.queries.instant(&query, self.now.as_millis(), &options).await?;
        let Value::Vector(found) = answer.result.value else { return Ok(Vec::new()) };
        let value = |labels: &Labels| labels.value(label).to_owned();
        Ok(found.iter().map(|sample| value(&sample.labels)).collect())
    }
}

/// A text as a string of PromQL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text that means itself in a regular expression.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '_' && c != '/' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
