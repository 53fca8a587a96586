//! `target_info`: what is known about a resource, as one series to join with.

use skopos_model::{Metadata, MetricType, Resource, SampleValue, Temporality};

use super::{Pairs, Point, Writer, merge, replace, series, target_labels};
use crate::otlp::attributes::label_text;

/// Half of PromQL's look-back: samples this close keep the series visible all the way.
const INTERVAL_MS: i64 = 150_000;
/// Most samples per request, against senders whose points span years.
const MAX_SAMPLES: i64 = 100;
/// Attributes that make `job` and `instance` already.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

impl Writer<'_> {
    /// Writes `target_info` over the time that the resource's points cover; nothing when the
    /// resource has no further attributes or no point was taken.
    pub(super) fn target_info(&mut self, resource: &Resource) {
        let Some((first, last)) = self.span_ms.take().filter(|_| self.translation.target_info)
        else {
            return;
        };
        let mut pairs = Pairs::new();
        let mut sorted: Vec<_> = resource.attributes.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        for (key, value) in sorted {
            if !IDENTIFYING.contains(&key)
                && let Some(name) = self.label_name(key)
            {
                merge(&mut pairs, name, label_text(value));
            }
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if pairs.is_empty() {
            return;
        }
        for (name, value) in target_labels(resource) {
            replace(&mut pairs, name.into(), value);
        }
        if let Err(refusal) = self.check(&pairs) {
            self.converter
                .tally
                .adjust(refusal.reason, 1, || format!("target_info left out: {}", refusal.message));
            return;
        }
        if self.declared.insert("target_info".to_owned()) {
            self.batch.metadata.push(Metadata {
                metric: "target_info".to_owned(),
                metric_type: MetricType::Info,
                unit: String::new(),
                help: "Target metadata".to_owned(),
            });
        }
        let labels = series("target_info", "", &pairs, None);
        let oldest = last.saturating_sub(INTERVAL_MS * MAX_SAMPLES);
        let mut at = first.max(oldest);
        while at <= last {
            let point = Point {
                timestamp_ms: at,
                start_timestamp_ms: None,
                temporality: Temporality::Cumulative,
                stale: false,
            };
            self.push(labels.clone(), point, SampleValue::Float(1.0), Vec::new());
            at = if at < last { last.min(at + INTERVAL_MS) } else { break };
        }
        self.span_ms = None;
    }
}
