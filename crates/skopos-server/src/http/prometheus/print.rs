//! Query results as Prometheus' JSON, series by series.

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
        Value::Matrix(series) => Box::new(array(series, push_series)),
    };
    let tail = stats.map_or("}".to_owned(), |stats| format!(",\"stats\":{stats}}}"));
    Box::new(std::iter::once(head).chain(result).chain(std::iter::once(tail)))
}

/// What a query cost, in Prometheus' names as far as they fit.
pub(super) fn stats(answer: &Answer) -> String {
    let timings = &answer.timings;
    let cost = &answer.result.stats;
    let work = timings.fetch + timings.evaluate;
    json!({
        "timings": {
            "evalTotalTime": work.as_secs_f64(),
            "resultSortTime": 0.0,
            "queryPreparationTime": (timings.prepare + timings.fetch).as_secs_f64(),
            "innerEvalTime": timings.evaluate.as_secs_f64(),
            "execQueueTime": timings.queued.as_secs_f64(),
            "execTotalTime": timings.total().as_secs_f64(),
        },
        "samples": {
            "totalQueryableSamples": cost.samples,
            "peakSamples": cost.samples,
        },
        "series": cost.series,
        "steps": cost.steps,
    })
    .to_string()
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

fn push_series(out: &mut String, series: &MatrixSeries) {
    out.push_str("{\"metric\":");
    push_labels(out, &series.labels);
    // Floats and histograms stand apart; a kind that does not occur is left out.
    let mut open = ",\"values\":[";
    for sample in &series.samples {
        if let SampleValue::Float(value) = &sample.value {
            out.push_str(open);
            open = ",";
            push_point(out, sample.timestamp_ms, |out| push_value(out, *value));
        }
    }
    if open == "," {
        out.push(']');
    }
    open = ",\"histograms\":[";
    for sample in &series.samples {
        if let SampleValue::Histogram(histogram) = &sample.value {
            out.push_str(open);
            open = ",";
            push_point(out, sample.timestamp_ms, |out| push_histogram(out, histogram));
        }
    }
    if open == "," {
        out.push(']');
    }
    out.push('}');
}
