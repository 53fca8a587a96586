//! Exemplars: labels `trace_id` and `span_id`, then as many filtered attributes as OpenMetrics'
//! 128 characters allow. One that cannot be kept never costs its data point.

use opentelemetry_proto::tonic::metrics::v1::Exemplar as ProtoExemplar;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value;
use skopos_model::{Exemplar, LabelsBuilder};

use super::Writer;
use crate::otlp::attributes::{span_id, timestamp, trace_id};
use crate::report::Refusal;

/// OpenMetrics' bound on the names and values of an exemplar's labels, in characters.
const MAX_LABEL_CHARS: usize = 128;

impl Writer<'_> {
    pub(super) fn exemplars(
        &mut self,
        mut protos: Vec<ProtoExemplar>,
        point_ms: i64,
    ) -> Vec<Exemplar> {
        let (max, found) = (self.converter.limits.exemplars_per_point, protos.len());
        if found > max {
            self.converter.tally.adjust("exemplars_per_point", (found - max) as u64, || {
                format!("exemplars dropped: limit `exemplars_per_point` is {max}, found {found}")
            });
            // The last ones are the newest.
            protos.drain(..found - max);
        }
        let mut exemplars = Vec::with_capacity(protos.len());
        for proto in protos {
            match self.exemplar(proto, point_ms) {
                Ok(exemplar) => exemplars.push(exemplar),
                Err(refusal) => self.converter.tally.adjust("invalid_exemplar", 1, || {
                    format!("exemplar dropped: {}", refusal.message)
                }),
            }
        }
        exemplars
    }

    fn exemplar(&mut self, proto: ProtoExemplar, point_ms: i64) -> Result<Exemplar, Refusal> {
        let value = match proto.value {
            Some(Value::AsDouble(value)) => value,
            Some(Value::AsInt(value)) => value as f64,
            None => return Err(Refusal::new("no_value", "no value")),
        };
        let timestamp_ms = match proto.time_unix_nano {
            0 => point_ms,
            nanos => timestamp(nanos, "time of an exemplar")?.as_millis(),
        };
        let trace_id = trace_id(&proto.trace_id)?;
        let span_id = span_id(&proto.span_id)?;
        let mut labels = LabelsBuilder::default();
        let mut chars = 0;
        for (name, id, valid) in [
            ("trace_id", trace_id.to_string(), trace_id.is_valid()),
            ("span_id", span_id.to_string(), span_id.is_valid()),
        ] {
            if valid {
                chars += name.len() + id.len();
                labels.set(name, &id);
            }
        }
        for pair in proto.filtered_attributes {
            let value = self.converter.label_value(&pair.key, pair.value);
            let Some(name) = self.label_name(&pair.key) else { continue };
            let needed = name.chars().count() + value.chars().count();
            if labels.get(&name).is_some() {
                continue;
            }
            if chars + needed > MAX_LABEL_CHARS {
                self.converter.tally.adjust("exemplar_labels", 1, || {
                    format!("attribute `{name}` of an exemplar left out: at most {MAX_LABEL_CHARS} characters")
                });
                continue;
            }
            chars += needed;
            labels.set(&name, &value);
        }
        Ok(Exemplar { labels: labels.build(), timestamp_ms, value })
    }
}
