//! Query results as Prometheus' JSON, series by series.

use std::sync::Arc;

use serde_json::json;
use skopos_model::SampleValue;
use skopos_promql::value::{MatrixSeries, Value, VectorSample};

use super::answer::array;
use super::histogram::push_histogram;
use crate::http::json::{push_labels, push_seconds, push_string, push_value};
use crate::query::Answer;

type Pieces = Box<dyn Iterator<Item = String> + Send>;

/// The pieces of `{"resultType":…,"result":…,"stats":…}`.
pub(super) fn data(value: Value, stats: Option<String>) -> Pieces {
    let head = format!("{{\"resultType\":\"{}\",\"result\":", value.value_type().as_str());
    let result: Pieces = match value {
        Value::Scalar { timestamp_ms, value } => {
            let mut out = String::new();
            push_point(&mut out, timestamp_ms, |out| push_value(out, value));
            Box::new(std::iter::once(out))
        }
        Value::String { timestamp_ms, value } => {
            let mut out = String::new();
            push_point(&mut out, timestamp_ms, |out| push_string(out, &value));
            Box::new(std::iter::once(out))
        }
        Value::Vector(samples) => Box::new(array(samples, push_vector_sample)),
        Value::Matrix(series) => {
            let series = series
                .into_iter()
                .enumerate()
                .flat_map(|(i, series)| series_pieces(if i > 0 { "," } else { "" }, series));
            Box::new(std::iter::once("[".to_owned()).chain(series).chain(["]".to_owned()]))
        }
    };
    let tail = stats.map_or("}".to_owned(), |stats| format!(",\"stats\":{stats}}}"));
    Box::new(std::iter::once(head).chain(result).chain(std::iter::once(tail)))
}

/// What a query cost, in Prometheus' shape; `per_step` tells the samples of each step.
pub(super) fn stats(answer: &Answer, per_step: bool) -> String {
    let timings = &answer.timings;
    let cost = answer.result.stats.queryable.clone().unwrap_or_default();
    let work = timings.fetch + timings.evaluate;
    let mut stats = json!({
        "timings": {
            "evalTotalTime": work.as_secs_f64(),
            "resultSortTime": 0.0,
            "queryPreparationTime": (timings.prepare + timings.fetch).as_secs_f64(),
            "innerEvalTime": timings.evaluate.as_secs_f64(),
            "execQueueTime": timings.queued.as_secs_f64(),
            "execTotalTime": timings.total().as_secs_f64(),
        },
        "samples": {
            "totalQueryableSamples": cost.total,
            "samplesRead": cost.read,
            "peakSamples": cost.peak,
        },
    });
    if per_step {
        let list = |steps: &[(i64, u64)]| -> serde_json::Value {
            steps.iter().map(|(at, samples)| json!([seconds(*at), samples])).collect()
        };
        stats["samples"]["totalQueryableSamplesPerStep"] = list(&cost.per_step);
        stats["samples"]["samplesReadPerStep"] = list(&cost.read_per_step);
    }
    stats.to_string()
}

/// Seconds as a JSON number, whole ones without a fraction.
fn seconds(ms: i64) -> serde_json::Value {
    if ms % 1000 == 0 { json!(ms / 1000) } else { json!(ms as f64 / 1000.0) }
}

fn push_point(out: &mut String, timestamp_ms: i64, push: impl FnOnce(&mut String)) {
    out.push('[');
    push_seconds(out, timestamp_ms);
    out.push(',');
    push(out);
    out.push(']');
}

fn push_vector_sample(out: &mut String, sample: &VectorSample) {
    out.push_str("{\"metric\":");
    push_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.push_str(",\"value\":");
            push_point(out, sample.timestamp_ms, |out| push_value(out, *value));
        }
        SampleValue::Histogram(histogram) => {
            out.push_str(",\"histogram\":");
            push_point(out, sample.timestamp_ms, |out| push_histogram(out, histogram));
        }
    }
    out.push('}');
}

/// Samples written at a time: raw range vectors may have millions.
const SAMPLES_PER_PIECE: usize = 4_096;

/// The pieces of one series: `{"metric":{…},"values":[…],"histograms":[…]}`. Floats and histograms
/// stand apart; a kind that does not occur is left out.
fn series_pieces(separator: &'static str, series: MatrixSeries) -> impl Iterator<Item = String> {
    let MatrixSeries { labels, samples } = series;
    let mut head = String::from(separator);
    head.push_str("{\"metric\":");
    push_labels(&mut head, &labels);
    let samples = Arc::new(samples);
    let kinds = ["values", "histograms"].into_iter().flat_map(move |kind| {
        let wanted =
            move |value: &SampleValue| matches!(value, SampleValue::Float(_)) == (kind == "values");
        let first = samples.iter().position(|sample| wanted(&sample.value));
        let chunks = first.map_or(0..0, |first| first..samples.len()).step_by(SAMPLES_PER_PIECE);
        let samples = Arc::clone(&samples);
        chunks.map(move |from| {
            let opens = Some(from) == first;
            let mut out = if opens { format!(",\"{kind}\":[") } else { String::new() };
            let to = samples.len().min(from + SAMPLES_PER_PIECE);
            for (i, sample) in samples.iter().enumerate().take(to).skip(from) {
                if !wanted(&sample.value) {
                    continue;
                }
                if Some(i) != first {
                    out.push(',');
                }
                push_point(&mut out, sample.timestamp_ms, |out| match &sample.value {
                    SampleValue::Float(value) => push_value(out, *value),
                    SampleValue::Histogram(histogram) => push_histogram(out, histogram),
                });
            }
            if to == samples.len() {
                out.push(']');
            }
            out
        })
    });
    std::iter::once(head).chain(kinds).chain(std::iter::once("}".to_owned()))
}

#[cfg(test)]
mod tests {
    use skopos_model::{Histogram, Labels, Sample};

    use super::*;

    #[test]
    fn long_series_come_in_pieces() {
        let histogram = SampleValue::Histogram(Arc::new(Histogram::default()));
        for (count, histogram_every) in
            [(0, 0), (1, 0), (1, 1), (4_096, 0), (10_000, 3), (9_000, 1)]
        {
            let samples: Vec<Sample> = (0..count)
                .map(|i| {
                    let is_histogram = histogram_every > 0 && i % histogram_every == 0;
                    let float = SampleValue::Float(i as f64);
                    let value = if is_histogram { histogram.clone() } else { float };
                    Sample { timestamp_ms: i * 1000, value }
                })
                .collect();
            let floats =
                samples.iter().filter(|s| matches!(s.value, SampleValue::Float(_))).count();
            let series = MatrixSeries { labels: Labels::empty(), samples };
            let pieces: Vec<String> = series_pieces("", series).collect();
            assert!(pieces.iter().all(|piece| piece.len() < 40 * SAMPLES_PER_PIECE));
            let value: serde_json::Value = serde_json::from_str(&pieces.concat()).unwrap();
            let len = |kind: &str| value[kind].as_array().map(Vec::len);
            let some = |n: usize| (n > 0).then_some(n);
            assert_eq!(len("values"), some(floats));
            assert_eq!(len("histograms"), some(count as usize - floats));
        }
    }
}
