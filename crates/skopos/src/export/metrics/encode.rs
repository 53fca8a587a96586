//! A reading of the registry as an OTLP request.
//!
//! Series are told under the names that they have on `/metrics`, so that pull and push agree, and what the semantic
//! conventions name otherwise under those names. With delta temporality the last reading that was taken is kept, and the
//! difference to it is told; a counter that began anew is told whole.

use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as ProtoExemplar, ExponentialHistogram,
    ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric as ProtoMetric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::super::logs::scope;
use crate::clock::{Clock, unix_nanos};
use crate::config::{Pushing, Temporality};
use crate::metrics::source::{Metric, Pushed, unit_of};
use crate::metrics::{Exemplar, ExponentialSnapshot, HistogramSnapshot, Kind, Registry, Value};

/// Buckets of an exponential histogram at most, as OpenTelemetry's SDKs have it.
const MOST_BUCKETS: usize = 160;

/// Reads the registry again and again.
pub(super) struct Collection {
    registry: Registry,
    resource: Resource,
    pushing: Pushing,
    clock: Clock,
    started: SystemTime,
    /// What was taken last, by metric and labels; kept for differences only.
    taken: HashMap<String, Value>,
    taken_at: SystemTime,
    /// What was read last and may yet be taken.
    read: HashMap<String, Value>,
    read_at: SystemTime,
}

impl Collection {
    pub(super) fn new(
        registry: Registry,
        resource: Resource,
        pushing: Pushing,
        clock: Clock,
    ) -> Collection {
        let started = clock.now();
        Collection {
            registry,
            resource,
            pushing,
            clock,
            started,
            taken: HashMap::new(),
            taken_at: started,
            read: HashMap::new(),
            read_at: started,
        }
    }

    /// Encodes the present state; returns how many data points it has.
    pub(super) fn read(&mut self) -> (Vec<u8>, u64) {
        self.read.clear();
        self.read_at = self.clock.now();
        let mut points = 0;
        let mut scopes: Vec<(Option<String>, Vec<ProtoMetric>)> = Vec::new();
        for (name, metric) in self.registry.metrics() {
            let Some(pushed) = metric.pushed.clone() else { continue };
            let encoded = self.metric(&name, &metric, &pushed);
            let Some((encoded, count)) = encoded else { continue };
            points += count;
            match scopes.iter_mut().find(|(scope, _)| *scope == pushed.scope) {
                Some((_, metrics)) => metrics.push(encoded),
                None => scopes.push((pushed.scope, vec![encoded])),
            }
        }
        let scope_metrics = scopes.into_iter().map(|(name, metrics)| ScopeMetrics {
            scope: Some(name.map_or_else(scope, |name| InstrumentationScope {
                name,
                ..InstrumentationScope::default()
            })),
            metrics,
            ..ScopeMetrics::default()
        });
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: scope_metrics.collect(),
                ..ResourceMetrics::default()
            }],
        };
        (request.encode_to_vec(), points)
    }

    /// The collector has what was read last.
    pub(super) fn was_taken(&mut self) {
        if self.pushing.temporality == Temporality::Delta {
            std::mem::swap(&mut self.taken, &mut self.read);
            self.taken_at = self.read_at;
        }
    }

    fn metric(
        &mut self,
        name: &str,
        metric: &Metric,
        pushed: &Pushed,
    ) -> Option<(ProtoMetric, u64)> {
        let is_delta = self.pushing.temporality == Temporality::Delta
            && matches!(metric.kind, Kind::Counter | Kind::Histogram);
        let mut numbers: Vec<NumberDataPoint> = Vec::new();
        let mut histograms: Vec<HistogramDataPoint> = Vec::new();
        let mut exponentials: Vec<ExponentialHistogramDataPoint> = Vec::new();
        let mut points = Points {
            since: unix_nanos(if is_delta { self.taken_at } else { self.started }),
            until: unix_nanos(self.read_at),
            exemplars_since: unix_nanos(self.taken_at),
            exemplars: self.pushing.exemplars,
        };
        let is_whole = self.registry.read(name, metric, &mut |labels, value| {
            let told = if is_delta {
                let key = series_key(name, labels);
                let told = difference(&value, self.taken.get(&key));
                // A series that nothing was told of yet began after the others' last push.
                self.read.insert(key, value);
                let Some(told) = told else { return };
                told
            } else {
                value
            };
            match told {
                Value::Histogram(histogram) => match &histogram.exponential {
                    Some(buckets) => {
                        exponentials.push(points.exponential(labels, &histogram, buckets));
                    }
                    None => histograms.push(points.histogram(labels, histogram)),
                },
                Value::Counter(count) => {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    numbers.push(points.number(labels, number_data_point::Value::AsInt(count)));
                }
                Value::Sum(value) | Value::Gauge(value) => {
                    numbers.push(points.number(labels, number_data_point::Value::AsDouble(value)))
                }
            }
        });
        if is_delta && !is_whole {
            // What could not be read this time is not new the next time.
            for (key, value) in self.taken.iter().filter(|(key, _)| is_key_of(key, name)) {
                self.read.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        let count = numbers.len() + histograms.len() + exponentials.len();
        let temporality = if is_delta {
            AggregationTemporality::Delta
        } else {
            AggregationTemporality::Cumulative
        } as i32;
        let data = match metric.kind {
            _ if count == 0 => return None,
            Kind::Gauge => {
                numbers.iter_mut().for_each(|point| point.start_time_unix_nano = 0);
                Data::Gauge(Gauge { data_points: numbers })
            }
            Kind::Counter | Kind::UpDownCounter => Data::Sum(Sum {
                data_points: numbers,
                aggregation_temporality: temporality,
                is_monotonic: metric.kind == Kind::Counter,
            }),
            // All series of a metric are made alike.
            Kind::Histogram if histograms.is_empty() => {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: exponentials,
                    aggregation_temporality: temporality,
                })
            }
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: histograms,
                aggregation_temporality: temporality,
            }),
        };
        let unit = pushed.unit.clone();
        let unit = unit.or_else(|| unit_of(name).map(|(_, code)| code.to_owned()));
        let metric = ProtoMetric {
            name: pushed.name.clone().unwrap_or_else(|| name.to_owned()),
            description: metric.help.clone(),
            unit: unit.unwrap_or_default(),
            data: Some(data),
            ..ProtoMetric::default()
        };
        Some((metric, u64::try_from(count).unwrap_or(u64::MAX)))
    }
}

/// Labels cannot be told from each other by their text alone, so lengths stand before them.
fn series_key(name: &str, labels: &[(&str, &str)]) -> String {
    let mut key = name.to_owned();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        key.push_str(&format!("\u{1}{}:{text}", text.len()));
    }
    key
}

/// Whether a key of [`series_key`] is of this metric.
fn is_key_of(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('\u{1}'))
}

/// Returns what was added since, or nothing where nothing was.
fn difference(now: &Value, before: Option<&Value>) -> Option<Value> {
    match (now, before) {
        (Value::Counter(now), Some(Value::Counter(before))) => {
            let added = now.checked_sub(*before).unwrap_or(*now);
            (added > 0).then_some(Value::Counter(added))
        }
        (Value::Sum(now), Some(Value::Sum(before))) => {
            let added = if now >= before { now - before } else { *now };
            (added > 0.0).then_some(Value::Sum(added))
        }
        (Value::Histogram(now), Some(Value::Histogram(before))) => {
            let mut added = now.clone();
            for (count, before) in added.counts.iter_mut().zip(&before.counts) {
                *count = count.saturating_sub(*before);
            }
            added.sum -= before.sum;
            if let (Some(now), Some(before)) = (&now.exponential, &before.exponential) {
                added.exponential = Some(now.since(before));
            }
            (added.count() > 0).then_some(Value::Histogram(added))
        }
        (now, _) => Some(now.clone()),
    }
}

/// What the points of one metric have in common.
struct Points {
    since: u64,
    until: u64,
    /// Exemplars that were told already are not told again.
    exemplars_since: u64,
    exemplars: bool,
}

impl Points {
    fn number(&self, labels: &[(&str, &str)], value: number_data_point::Value) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.since,
            time_unix_nano: self.until,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        histogram: HistogramSnapshot,
    ) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.since,
            time_unix_nano: self.until,
            count: histogram.count(),
            sum: Some(histogram.sum),
            exemplars: self.exemplars(&histogram),
            bucket_counts: histogram.counts,
            explicit_bounds: histogram.bounds,
            ..HistogramDataPoint::default()
        }
    }

    fn exponential(
        &self,
        labels: &[(&str, &str)],
        histogram: &HistogramSnapshot,
        buckets: &ExponentialSnapshot,
    ) -> ExponentialHistogramDataPoint {
        let scale = buckets.scale_for(MOST_BUCKETS);
        let side = |side: &[(i32, u64)]| {
            let (offset, bucket_counts) = ExponentialSnapshot::dense(side, scale);
            Some(Buckets { offset, bucket_counts })
        };
        ExponentialHistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.since,
            time_unix_nano: self.until,
            // Not-a-number has no bucket here: the count is that of the buckets.
            count: buckets.count(),
            sum: Some(histogram.sum),
            scale,
            zero_count: buckets.zero,
            positive: side(&buckets.positive),
            negative: side(&buckets.negative),
            exemplars: self.exemplars(histogram),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    fn exemplars(&self, histogram: &HistogramSnapshot) -> Vec<ProtoExemplar> {
        if !self.exemplars {
            return Vec::new();
        }
        let told = histogram.exemplars.iter().flatten().map(proto_exemplar);
        told.filter(|exemplar| exemplar.time_unix_nano >= self.exemplars_since).collect()
    }
}

fn proto_exemplar(exemplar: &Exemplar) -> ProtoExemplar {
    ProtoExemplar {
        time_unix_nano: (exemplar.time * 1e9) as u64,
        span_id: exemplar.span.to_bytes().to_vec(),
        trace_id: exemplar.trace.to_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..ProtoExemplar::default()
    }
}

fn attributes(labels: &[(&str, &str)]) -> Vec<KeyValue> {
    // An empty value is no label, as in Prometheus.
    let present = labels.iter().filter(|(_, value)| !value.is_empty());
    present
        .map(|(name, value)| KeyValue {
            key: (*name).to_owned(),
            value: Some(AnyValue {
                value: Some(match value.parse::<u16>() {
                    // By convention a status code is a number; nothing else of ours is.
                    Ok(code) if *name == "http.response.status_code" => {
                        any_value::Value::IntValue(i64::from(code))
                    }
                    _ => any_value::Value::StringValue((*value).to_owned()),
                }),
            }),
            ..KeyValue::default()
        })
        .collect()
}
