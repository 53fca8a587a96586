//! What a tick writes: samples, exemplars, metadata.

use skopos_model::{
    Exemplar, Labels, Metadata, MetricBatch, MetricType, STALE_NAN, Sample, SeriesSamples,
    SpanKind, StatusCode, Temporality,
};

use super::emit::Plan;
use super::metrics::{DerivedMetrics, Logs, Operation};
use super::tally::{Example, SEVERITIES};
use super::{BOUNDS, BUCKETS, CALLS, DEBUG_IN_PRODUCTION, LATENCY, LOG_RECORDS};

/// How far the clock may be set back for counts to wait until it has caught up. Silence for longer
/// would hide errors from alerts.
const CLOCK_PATIENCE_MS: i64 = 60_000;

/// The label sets of an operation, made once.
#[derive(Debug)]
pub(super) struct OperationLabels {
    calls: Labels,
    buckets: Vec<Labels>,
    sum: Labels,
    count: Labels,
}

/// The label sets of a service's log counters.
#[derive(Debug)]
pub(super) struct LogLabels {
    by_severity: Vec<Labels>,
    debug: Labels,
}

impl OperationLabels {
    pub(super) fn new(service: &str, name: &str, kind: SpanKind, status: StatusCode) -> Self {
        let with = |metric: &str, le: &str| {
            Labels::from_pairs([
                ("__name__", metric),
                ("le", le),
                ("service_name", service),
                ("span_kind", kind_text(kind)),
                ("span_name", name),
                ("status_code", status_text(status)),
            ])
        };
        let bucket = format!("{LATENCY}_bucket");
        Self {
            calls: with(CALLS, ""),
            buckets: BOUNDS.iter().chain(&["+Inf"]).map(|le| with(&bucket, le)).collect(),
            sum: with(&format!("{LATENCY}_sum"), ""),
            count: with(&format!("{LATENCY}_count"), ""),
        }
    }
}

impl LogLabels {
    pub(super) fn new(service: &str) -> Self {
        let of = |severity: &&str| {
            Labels::from_pairs([
                ("__name__", LOG_RECORDS),
                ("service_name", service),
                ("severity", severity),
            ])
        };
        Self {
            by_severity: SEVERITIES.iter().map(of).collect(),
            debug: Labels::from_pairs([
                ("__name__", DEBUG_IN_PRODUCTION),
                ("service_name", service),
            ]),
        }
    }
}

impl DerivedMetrics {
    /// The samples of a tick at `now_ms`. After they are stored call [`stored`](Self::stored); when
    /// they could not be, just tick again later: values are sums since the start, so a tick that
    /// was missed loses nothing.
    ///
    /// Nothing comes when the clock has not gone on since the last tick: counts wait until it has
    /// caught up, or, when it was set back by more than a minute, go on at the new time at once.
    pub fn tick(&mut self, now_ms: i64) -> MetricBatch {
        self.planned_ms = None;
        if now_ms < self.ticked_ms.saturating_sub(CLOCK_PATIENCE_MS) {
            self.ticked_ms = now_ms.saturating_sub(2);
        }
        let zero_ms = self.ticked_ms.saturating_add(1);
        let mut out = MetricBatch::default();
        if now_ms <= zero_ms {
            return out;
        }
        self.planned_ms = Some(now_ms);
        let mut writer = Writer { out: &mut out.series, zero_ms, now_ms, has_births: false };
        for service in self.services.values_mut() {
            for operation in service.names.values_mut().flatten() {
                writer.operation(operation);
            }
            if let Some(logs) = &mut service.logs {
                writer.logs(logs);
            }
        }
        if writer.has_births {
            out.metadata = metadata();
        }
        out
    }

    /// The samples of the last tick are stored.
    pub fn stored(&mut self) {
        if let Some(now_ms) = self.planned_ms.take() {
            self.settle();
            self.ticked_ms = now_ms;
        }
    }
}

struct Writer<'a> {
    out: &'a mut Vec<SeriesSamples>,
    zero_ms: i64,
    now_ms: i64,
    has_births: bool,
}

impl Writer<'_> {
    fn operation(&mut self, operation: &mut Operation) {
        let Operation { total, emission, labels, .. } = operation;
        let plan = emission.plan(total.spans, self.zero_ms, self.now_ms);
        if plan == Plan::Skip {
            return;
        }
        self.push(&labels.calls, plan, total.spans as f64, Vec::new());
        let mut cumulative = 0;
        for at in 0..BUCKETS {
            cumulative += total.buckets.get(at).copied().unwrap_or(0);
            let example = total.examples.get_mut(at).and_then(Option::take);
            let exemplars = example.map(|e| self.exemplar(&e)).into_iter().collect();
            if let Some(labels) = labels.buckets.get(at) {
                self.push(labels, plan, cumulative as f64, exemplars);
            }
        }
        self.push(&labels.sum, plan, seconds(total.sum_nanos), Vec::new());
        self.push(&labels.count, plan, total.spans as f64, Vec::new());
    }

    fn logs(&mut self, logs: &mut Logs) {
        let Logs { total, labels, by_severity, debug } = logs;
        let counters = by_severity.iter_mut().zip(total.by_severity).zip(&labels.by_severity);
        let debug = ((debug, total.debug_in_production), &labels.debug);
        for ((emission, count), labels) in counters.chain([debug]) {
            // A severity nobody used has no series.
            if count > 0 {
                let plan = emission.plan(count, self.zero_ms, self.now_ms);
                self.push(labels, plan, count as f64, Vec::new());
            }
        }
    }

    fn push(&mut self, labels: &Labels, plan: Plan, value: f64, exemplars: Vec<Exemplar>) {
        let (samples, start_timestamp_ms) = match plan {
            Plan::Skip => return,
            Plan::End => (vec![Sample::float(self.now_ms, STALE_NAN)], None),
            Plan::Value { born_ms, zero_ms } => {
                self.has_births |= zero_ms.is_some();
                let zero = zero_ms.map(|zero_ms| Sample::float(zero_ms, 0.0));
                let now = Sample::float(self.now_ms, value);
                (zero.into_iter().chain([now]).collect(), Some(born_ms))
            }
        };
        self.out.push(SeriesSamples {
            labels: labels.clone(),
            samples,
            temporality: Temporality::Cumulative,
            start_timestamp_ms,
            exemplars,
        });
    }

    /// Stands at the span's end, but never later than the sample it explains.
    fn exemplar(&self, example: &Example) -> Exemplar {
        let labels = Labels::from_pairs([
            ("trace_id", example.trace_id.to_string()),
            ("span_id", example.span_id.to_string()),
        ]);
        let timestamp_ms = example.end_time.as_millis().min(self.now_ms);
        Exemplar { labels, timestamp_ms, value: seconds(u128::from(example.nanos)) }
    }
}

fn seconds(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

fn metadata() -> Vec<Metadata> {
    let one = |metric: &str, metric_type, unit: &str, help: &str| Metadata {
        metric: metric.to_owned(),
        metric_type,
        unit: unit.to_owned(),
        help: help.to_owned(),
    };
    let counter = MetricType::Counter;
    vec![
        one(CALLS, counter, "", "Spans by operation, derived at ingest."),
        one(
            LATENCY,
            MetricType::Histogram,
            "seconds",
            "Durations of spans by operation, derived at ingest.",
        ),
        one(LOG_RECORDS, counter, "", "Log records stored, by service and severity."),
        one(
            DEBUG_IN_PRODUCTION,
            counter,
            "",
            "DEBUG and TRACE log records sent by services in production.",
        ),
    ]
}

/// The kind as span metrics of the field spell it.
fn kind_text(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "SPAN_KIND_UNSPECIFIED",
        SpanKind::Internal => "SPAN_KIND_INTERNAL",
        SpanKind::Server => "SPAN_KIND_SERVER",
        SpanKind::Client => "SPAN_KIND_CLIENT",
        SpanKind::Producer => "SPAN_KIND_PRODUCER",
        SpanKind::Consumer => "SPAN_KIND_CONSUMER",
    }
}

fn status_text(status: StatusCode) -> &'static str {
    match status {
        StatusCode::Unset => "STATUS_CODE_UNSET",
        StatusCode::Ok => "STATUS_CODE_OK",
        StatusCode::Error => "STATUS_CODE_ERROR",
    }
}
