//! A page of `/metrics`, parsed.

use skopos_ingest::Limits;
use skopos_ingest::exposition::{ExpositionFormat, ExpositionOptions, parse};
use skopos_model::{SampleValue, SeriesSamples};

use crate::seen::Try;
use crate::shown::shown;

/// Series and their values.
pub(crate) struct Page {
    series: Vec<SeriesSamples>,
}

impl Page {
    /// Parses an answer; the error is a finding.
    pub(super) fn read(answer: &Try) -> Result<Page, String> {
        let answer =
            answer.as_ref().map_err(|reason| format!("/metrics gives no answer: {reason}"))?;
        match answer.status {
            200 => {}
            401 | 403 | 407 => {
                return Err(format!("/metrics wants credentials ({})", answer.status));
            }
            404 => return Err("there is no /metrics (404)".to_owned()),
            status => return Err(format!("/metrics answers {status}")),
        }
        if answer.is_cut {
            return Err("/metrics is longer than 16 MiB".to_owned());
        }
        let content_type = answer.header("content-type").unwrap_or_default();
        let format = ExpositionFormat::from_content_type(content_type).ok_or_else(|| {
            format!("/metrics has Content-Type {}, which is no metrics format", shown(content_type))
        })?;
        let limits = Limits::default();
        let page = parse(answer.body.as_bytes(), &ExpositionOptions::new(format, 0, &limits));
        let page = page.map_err(|error| format!("/metrics, {}", shown(&error.to_string())))?;
        Ok(Page { series: page.batch.series })
    }

    pub(super) fn all(&self) -> &[SeriesSamples] {
        &self.series
    }

    /// Series of this name with their values.
    pub(super) fn named<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a SeriesSamples, f64)> + 'a {
        let series = self.series.iter().filter(move |series| series.labels.metric_name() == name);
        series.filter_map(|series| Some((series, value(series)?)))
    }

    /// The sum of a metric over all its series.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|(_, value)| value).sum()
    }

    /// Names that hold one of these words, each once.
    pub(super) fn like(&self, words: &[&str]) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .series
            .iter()
            .map(|series| series.labels.metric_name())
            .filter(|name| words.iter().all(|word| name.contains(word)))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether an exemplar is of this trace.
    pub(super) fn has_exemplar(&self, trace_id: &str) -> bool {
        let mut exemplars = self.series.iter().flat_map(|series| &series.exemplars);
        exemplars.any(|exemplar| exemplar.labels.get("trace_id") == Some(trace_id))
    }
}

fn value(series: &SeriesSamples) -> Option<f64> {
    match series.samples.first()?.value {
        SampleValue::Float(value) => Some(value),
        SampleValue::Histogram(_) => None,
    }
}
