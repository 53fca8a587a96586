//! From a query's result to what a rule makes of it: recorded series, or alerts with expanded
//! templates. Needs no state, so the server may do it on a blocking thread without any lock.

use std::collections::{BTreeMap, HashSet};

use skopos_model::{Labels, METRIC_NAME, SampleValue};

use super::alert::Instance;
use super::history::ReadStats;
use crate::rules::{Rule, RuleKind};
use crate::template::{TemplateData, TemplateHost};

/// Why a rule has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalFailure {
    /// The query failed.
    #[error("{0}")]
    Query(String),
    /// Two elements have the same labels once the rule's labels are set.
    #[error(
        "vector contains metrics with the same labelset after applying {kind} labels: {labels}"
    )]
    DuplicateLabels {
        /// `alert` or `rule`.
        kind: &'static str,
        /// The label set.
        labels: Labels,
    },
    /// The rule makes more than its group allows.
    #[error("exceeded limit of {limit} with {found} {what}")]
    LimitExceeded {
        /// The group's limit.
        limit: usize,
        /// How many there were.
        found: usize,
        /// `alerts` or `series`.
        what: &'static str,
    },
}

/// What a rule made of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    pub(crate) outcome: Outcome,
    /// Whether any sample that the rule reads arrived since the restart.
    pub(crate) fresh: bool,
    /// What the query read, when that is known.
    pub(crate) read: Option<ReadStats>,
}

impl Evaluated {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, fresh: true, read: None }
    }

    /// Says what the query read, so that a rule whose selectors match nothing can be told from one
    /// whose condition does not hold.
    #[must_use]
    pub fn with_read(mut self, read: ReadStats) -> Self {
        self.read = Some(read);
        self
    }

    /// Says that nothing of what the rule reads has arrived since the restart: an empty result is
    /// then silence and not good news. Matters only while
    /// [`Engine::awaits_fresh_data`](super::Engine::awaits_fresh_data).
    #[must_use]
    pub fn without_fresh_data(mut self) -> Self {
        self.fresh = false;
        self
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Series(Vec<(Labels, SampleValue)>),
    Alerts(Vec<Instance>),
}

impl Outcome {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Series(series) => series.len(),
            Self::Alerts(instances) => instances.len(),
        }
    }
}

impl Rule {
    /// Applies the rule to the elements its expression returned (a scalar is one element without
    /// labels). Expands templates, which may query through `host`.
    pub fn apply(
        &self,
        elements: Vec<(Labels, SampleValue)>,
        external_labels: &BTreeMap<String, String>,
        external_url: &str,
        host: &dyn TemplateHost,
    ) -> Result<Evaluated, EvalFailure> {
        let RuleKind::Alerting(spec) = &self.kind else { return self.record(elements) };
        let mut seen = HashSet::with_capacity(elements.len());
        let mut instances = Vec::with_capacity(elements.len());
        let mut data = TemplateData {
            external_labels: external_labels.clone(),
            external_url: external_url.into(),
            ..TemplateData::default()
        };
        for (labels, value) in elements {
            // Prometheus gives templates 0 for a histogram.
            data.value = match value {
                SampleValue::Float(value) => value,
                SampleValue::Histogram(_) => 0.0,
            };
            data.labels = labels;
            let mut builder = data.labels.to_builder();
            builder.remove(METRIC_NAME);
            for (name, template) in &spec.label_templates {
                builder.set(name, &template.expand(&data, host));
            }
            builder.set("alertname", &self.name);
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err(EvalFailure::DuplicateLabels { kind: "alert", labels });
            }
            let annotations = spec
                .annotation_templates
                .iter()
                .map(|(name, template)| (name.clone(), template.expand(&data, host)))
                .collect();
            instances.push(Instance { labels, annotations, value: data.value });
        }
        Ok(Evaluated::new(Outcome::Alerts(instances)))
    }

    fn record(&self, elements: Vec<(Labels, SampleValue)>) -> Result<Evaluated, EvalFailure> {
        let mut seen = HashSet::with_capacity(elements.len());
        let mut series = Vec::with_capacity(elements.len());
        for (labels, value) in elements {
            let mut builder = labels.to_builder();
            builder.set(METRIC_NAME, &self.name);
            for (name, value) in &self.labels {
                builder.set(name, value);
            }
            let labels = builder.build();
            if !seen.insert(labels.clone()) {
                return Err(EvalFailure::DuplicateLabels { kind: "rule", labels });
            }
            series.push((labels, value));
        }
        Ok(Evaluated::new(Outcome::Series(series)))
    }
}
