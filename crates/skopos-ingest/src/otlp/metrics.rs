//! Metrics: OTLP's data points into Prometheus series.
//!
//! | OTLP | series |
//! |---|---|
//! | gauge, non-monotonic sum | `name` |
//! | monotonic sum | `name_total` |
//! | histogram | `name_bucket{le}`, `name_count`, `name_sum` when there is one |
//! | exponential histogram | `name` with native histogram samples |
//! | summary | `name{quantile}`, `name_sum`, `name_count` |
//! | resource | labels `job` and `instance` on every series; the rest in `target_info` |
//!
//! `job` is `service.namespace/service.name`, without a namespace just the name, and
//! `unknown_service` without a name. Minimum and maximum of histograms have no place in Prometheus
//! and are left out. A point flagged "no recorded value" becomes the stale marker on each of its
//! series. Delta points keep their values and are marked [`Temporality::Delta`]; the store adds
//! them up.

mod exemplars;
mod exponential;
mod points;
mod target_info;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use skopos_model::{
    Exemplar, Labels, METRIC_NAME, Metadata, MetricBatch, MetricType, Resource, Sample,
    SampleValue, Scope, SeriesSamples, Temporality,
};

use super::OtlpOptions;
use super::attributes::{Converter, label_text, timestamp};
use super::naming::{Kind, NameTranslation, unit_name};
use crate::report::{Ingested, MetricScope, Refusal};

/// How metrics become series. The default is Prometheus 3's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Names of metrics and labels.
    pub names: NameTranslation,
    /// Resource attributes that become labels of every series (Prometheus'
    /// `promote_resource_attributes`). Default: none.
    pub promote_resource_attributes: Vec<String>,
    /// Whether the scope becomes labels `otel_scope_name`, `otel_scope_version`,
    /// `otel_scope_schema_url` and `otel_scope_<attribute>` (Prometheus'
    /// `promote_scope_metadata`). Default: no, so two scopes that report the same metric with the
    /// same attributes share a series.
    pub promote_scope: bool,
    /// Whether `target_info` is written for each resource. Default: yes.
    pub target_info: bool,
}

impl Default for Translation {
    fn default() -> Self {
        Self {
            names: NameTranslation::default(),
            promote_resource_attributes: Vec::new(),
            promote_scope: false,
            target_info: true,
        }
    }
}

/// Flag of a point that says "this series ended".
const NO_RECORDED_VALUE: u32 = 1;

pub(super) fn convert(
    request: ExportMetricsServiceRequest,
    options: &OtlpOptions,
) -> Ingested<MetricBatch> {
    let mut writer = Writer::new(options);
    for sender in request.resource_metrics {
        let resource = writer.converter.resource(sender.resource, sender.schema_url);
        writer.start_resource(&resource);
        for scoped in sender.scope_metrics {
            writer.name_scope(&resource, scoped.scope.as_ref().map_or("", |scope| &scope.name));
            if options.translation.promote_scope {
                let scope = writer.converter.scope(scoped.scope, scoped.schema_url);
                writer.start_scope(&scope);
            }
            for metric in scoped.metrics {
                writer.metric(metric);
            }
        }
        writer.target_info(&resource);
    }
    let scopes = writer.scopes;
    Ingested { scopes, ..writer.converter.tally.finish(writer.batch) }
}

/// Labels of a point: sorted by name, unique, no empty value, without the metric's name.
type Pairs = Vec<(Arc<str>, String)>;

struct Writer<'a> {
    converter: Converter<'a>,
    translation: &'a Translation,
    batch: MetricBatch,
    /// Label names by attribute name; `None` where nothing of the name can stay.
    label_names: HashMap<Box<str>, Option<Arc<str>>>,
    declared: HashSet<String>,
    /// Labels that every series of the resource has (promoted attributes, `job`, `instance`).
    resource_labels: Pairs,
    scope_labels: Pairs,
    /// Service and name of the scope, when it has one and it is no label.
    scope_name: Option<(Arc<str>, Arc<str>)>,
    scopes: Vec<MetricScope>,
    /// First and last point of the resource, milliseconds.
    span_ms: Option<(i64, i64)>,
}

/// What the samples of one data point share.
#[derive(Clone, Copy)]
struct Point {
    timestamp_ms: i64,
    start_timestamp_ms: Option<i64>,
    temporality: Temporality,
    /// The stale marker instead of values.
    stale: bool,
}

impl<'a> Writer<'a> {
    fn new(options: &'a OtlpOptions) -> Self {
        Self {
            converter: Converter::new(options),
            translation: &options.translation,
            batch: MetricBatch::default(),
            label_names: HashMap::new(),
            declared: HashSet::new(),
            resource_labels: Pairs::new(),
            scope_labels: Pairs::new(),
            scope_name: None,
            scopes: Vec::new(),
            span_ms: None,
        }
    }

    fn start_resource(&mut self, resource: &Resource) {
        let mut pairs = Pairs::new();
        for key in &self.translation.promote_resource_attributes {
            if let Some(value) = resource.attributes.get(key)
                && let Some(name) = self.label_name(key)
            {
                merge(&mut pairs, name, label_text(value));
            }
        }
        for (name, value) in target_labels(resource) {
            replace(&mut pairs, name.into(), value);
        }
        self.resource_labels = pairs;
        self.scope_labels.clear();
        self.span_ms = None;
    }

    fn name_scope(&mut self, resource: &Resource, scope: &str) {
        self.scope_name = (!scope.is_empty() && !self.translation.promote_scope)
            .then(|| (resource.service_name().into(), scope.into()));
    }

    fn start_scope(&mut self, scope: &Scope) {
        let mut pairs = Pairs::new();
        for (key, value) in scope.attributes.iter() {
            if let Some(name) = self.label_name(&format!("otel_scope_{key}")) {
                merge(&mut pairs, name, label_text(value));
            }
        }
        for (name, value) in [
            ("otel_scope_name", &scope.name),
            ("otel_scope_version", &scope.version),
            ("otel_scope_schema_url", &scope.schema_url),
        ] {
            replace(&mut pairs, name.into(), value.clone());
        }
        self.scope_labels = pairs;
    }

    fn metric(&mut self, metric: Metric) {
        let Some(data) = metric.data else {
            self.converter.tally.adjust("empty_metric", 1, || {
                format!("metric `{}` has no data of a known kind", short(&metric.name))
            });
            return;
        };
        let (kind, metric_type, points) = match &data {
            Data::Gauge(gauge) => (Kind::Gauge, MetricType::Gauge, gauge.data_points.len()),
            Data::Sum(sum) if sum.is_monotonic => {
                (Kind::Counter, MetricType::Counter, sum.data_points.len())
            }
            Data::Sum(sum) => (Kind::Other, MetricType::Gauge, sum.data_points.len()),
            Data::Histogram(h) => (Kind::Other, MetricType::Histogram, h.data_points.len()),
            Data::ExponentialHistogram(h) => {
                (Kind::Other, MetricType::Histogram, h.data_points.len())
            }
            Data::Summary(s) => (Kind::Other, MetricType::Summary, s.data_points.len()),
        };
        let family = match self.family(&metric.name, &metric.unit, kind) {
            Ok(family) => family,
            Err(refusal) => return self.converter.tally.reject(refusal, points.max(1) as u64),
        };
        if let Some((service, scope)) = self.scope_name.as_ref().filter(|_| points > 0) {
            let (service, scope) = (Arc::clone(service), Arc::clone(scope));
            self.scopes.push(MetricScope { metric: family.clone(), service, scope });
        }
        if points > 0 && self.declared.insert(family.clone()) {
            let help = self.converter.name_text("description", metric.description);
            self.batch.metadata.push(Metadata {
                metric: family.clone(),
                metric_type,
                unit: unit_name(&metric.unit),
                help,
            });
        }
        let outcome = match data {
            Data::Gauge(gauge) => {
                self.numbers(&family, gauge.data_points, Temporality::Cumulative, false);
                Ok(())
            }
            Data::Sum(sum) => temporality(sum.aggregation_temporality).map(|temporality| {
                self.numbers(&family, sum.data_points, temporality, sum.is_monotonic);
            }),
            Data::Histogram(histogram) => temporality(histogram.aggregation_temporality)
                .map(|temporality| self.histograms(&family, histogram.data_points, temporality)),
            Data::ExponentialHistogram(histogram) => temporality(histogram.aggregation_temporality)
                .map(|temporality| self.exponentials(&family, histogram.data_points, temporality)),
            Data::Summary(summary) => {
                self.summaries(&family, summary.data_points);
                Ok(())
            }
        };
        if let Err(refusal) = outcome
            && points > 0
        {
            let message = format!("metric `{}`: {}", short(&metric.name), refusal.message);
            self.converter.tally.reject(Refusal::new(refusal.reason, message), points as u64);
        }
    }

    fn family(&self, name: &str, unit: &str, kind: Kind) -> Result<String, Refusal> {
        let max = self.converter.limits.label_name_bytes;
        if name.len() > max {
            return Err(Refusal::limit("label_name_bytes", max, name.len(), "metric name"));
        }
        if unit.len() > max {
            return Err(Refusal::limit("label_name_bytes", max, unit.len(), "unit"));
        }
        let family = self.translation.names.metric_name(name, unit, kind);
        if family.is_empty() {
            return Err(Refusal::new(
                "empty_name",
                format!("metric name `{name}` holds no letter"),
            ));
        }
        Ok(family)
    }

    /// Runs `write` for one data point and counts it as rejected when that refuses.
    fn point(&mut self, family: &str, write: impl FnOnce(&mut Self) -> Result<(), Refusal>) {
        if let Err(Refusal { reason, message }) = write(self) {
            let message = format!("metric `{}`: {message}", short(family));
            self.converter.tally.reject(Refusal::new(reason, message), 1);
        }
    }

    /// The times and flags of a data point.
    fn times(
        &mut self,
        time_unix_nano: u64,
        start_time_unix_nano: u64,
        flags: u32,
        temporality: Temporality,
    ) -> Result<Point, Refusal> {
        if time_unix_nano == 0 {
            return Err(Refusal::new("missing_timestamp", "data point has no time"));
        }
        let time = timestamp(time_unix_nano, "time of a data point")?;
        let start_timestamp_ms = match start_time_unix_nano {
            0 => None,
            start if start > time_unix_nano => {
                self.converter.tally.adjust("start_after_time", 1, || {
                    "start time lies after the point's time and is ignored".to_owned()
                });
                None
            }
            start => Some(timestamp(start, "start time of a data point")?.as_millis()),
        };
        let stale = flags & NO_RECORDED_VALUE != 0;
        // The marker stands for itself in every temporality: nothing is to be added up.
        let temporality = if stale { Temporality::Cumulative } else { temporality };
        Ok(Point { timestamp_ms: time.as_millis(), start_timestamp_ms, temporality, stale })
    }

    /// The labels of a data point. Attributes whose names become the same label are joined with
    /// `;` in the order of their names.
    fn labels(&mut self, mut attributes: Vec<KeyValue>) -> Result<Pairs, Refusal> {
        let max = self.converter.limits.labels_per_series;
        let found = attributes.len();
        if found > max {
            return Err(Refusal::limit("labels_per_series", max, found, "data point"));
        }
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        let common = self.resource_labels.len() + self.scope_labels.len();
        let mut pairs = Pairs::with_capacity(attributes.len() + common);
        let mut attributes = attributes.into_iter().peekable();
        while let Some(KeyValue { key, value, .. }) = attributes.next() {
            if attributes.peek().is_some_and(|next| next.key == key) {
                continue; // of a repeated name the last value counts
            }
            let value = self.converter.label_value(&key, value);
            match self.label_name(&key) {
                Some(name) => merge(&mut pairs, name, value),
                None => self.converter.tally.adjust("invalid_label_name", 1, || {
                    format!("attribute `{}` cannot be a label and is left out", short(&key))
                }),
            }
        }
        for (name, value) in self.scope_labels.iter().chain(&self.resource_labels) {
            replace(&mut pairs, name.clone(), value.clone());
        }
        pairs.retain(|(_, value)| !value.is_empty());
        self.check(&pairs)?;
        Ok(pairs)
    }

    fn check(&self, pairs: &Pairs) -> Result<(), Refusal> {
        let limits = self.converter.limits;
        if pairs.len() > limits.labels_per_series {
            let max = limits.labels_per_series;
            return Err(Refusal::limit("labels_per_series", max, pairs.len(), "data point"));
        }
        for (name, value) in pairs {
            if name.len() > limits.label_name_bytes {
                let (max, found) = (limits.label_name_bytes, name.len());
                return Err(Refusal::limit("label_name_bytes", max, found, "label name"));
            }
            if value.len() > limits.label_value_bytes {
                let (max, found) = (limits.label_value_bytes, value.len());
                let what = format!("value of label `{name}`");
                return Err(Refusal::limit("label_value_bytes", max, found, &what));
            }
        }
        Ok(())
    }

    fn label_name(&mut self, key: &str) -> Option<Arc<str>> {
        if let Some(name) = self.label_names.get(key) {
            return name.clone();
        }
        let name = self.translation.names.label_name(key).map(Arc::from);
        self.label_names.insert(key.into(), name.clone());
        name
    }

    fn push(&mut self, labels: Labels, point: Point, value: SampleValue, exemplars: Vec<Exemplar>) {
        let at = point.timestamp_ms;
        self.span_ms =
            Some(self.span_ms.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        self.batch.series.push(SeriesSamples {
            labels,
            samples: vec![Sample { timestamp_ms: at, value }],
            temporality: point.temporality,
            start_timestamp_ms: point.start_timestamp_ms,
            exemplars,
        });
    }
}

fn temporality(number: i32) -> Result<Temporality, Refusal> {
    match number {
        1 => Ok(Temporality::Delta),
        2 => Ok(Temporality::Cumulative),
        _ => Err(Refusal::new("unspecified_temporality", "neither delta nor cumulative is said")),
    }
}

/// `job` and, when the resource says so, `instance`.
fn target_labels(resource: &Resource) -> Vec<(&'static str, String)> {
    let text = |key: &str| resource.attributes.get(key).map(label_text).unwrap_or_default();
    let (namespace, name) = (text("service.namespace"), text("service.name"));
    let name = if name.is_empty() { "unknown_service".to_owned() } else { name };
    let job = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
    vec![("job", job), ("instance", text("service.instance.id"))]
}

/// Adds a label; an earlier one of the same name keeps its value, the new one joined on.
fn merge(pairs: &mut Pairs, name: Arc<str>, value: String) {
    match pairs.binary_search_by(|(n, _)| n.cmp(&name)) {
        Ok(at) => {
            let joined = &mut pairs[at].1;
            if !joined.is_empty() && !value.is_empty() {
                joined.push(';');
            }
            joined.push_str(&value);
        }
        Err(at) => pairs.insert(at, (name, value)),
    }
}

/// Sets a label; an empty value leaves an earlier one alone.
fn replace(pairs: &mut Pairs, name: Arc<str>, value: String) {
    if value.is_empty() {
        return;
    }
    match pairs.binary_search_by(|(n, _)| n.cmp(&name)) {
        Ok(at) => pairs[at].1 = value,
        Err(at) => pairs.insert(at, (name, value)),
    }
}

/// The labels of one series of a family: `suffix` on the name, perhaps `le` or `quantile`.
fn series(family: &str, suffix: &str, pairs: &Pairs, extra: Option<(&str, &str)>) -> Labels {
    let name: Cow<'_, str> =
        if suffix.is_empty() { family.into() } else { format!("{family}{suffix}").into() };
    let own = |key: &str| key == METRIC_NAME || extra.is_some_and(|(name, _)| key == name);
    let mut all: Vec<(&str, &str)> = Vec::with_capacity(pairs.len() + 2);
    all.push((METRIC_NAME, &name));
    all.extend(extra);
    let others = pairs.iter().map(|(name, value)| (&**name, value.as_str()));
    all.extend(others.filter(|(name, _)| !own(name)));
    all.sort_unstable_by(|a, b| a.0.cmp(b.0));
    Labels::from_sorted_pairs(all.into_iter())
}

/// The beginning of a name for a message.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(100)]
}
