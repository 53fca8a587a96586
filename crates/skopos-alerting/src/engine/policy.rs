//! What a rule does when it has no data or cannot be evaluated. Prometheus' rule files have no
//! words for that, so it is said beside them, for alerts by name.
//!
//! Without a policy a rule behaves as in Prometheus, but that an error never resolves anything.

use std::str::FromStr;

use skopos_model::{Labels, Timestamp};

use super::alert::Instance;
use crate::rules::{Rule, glob_matches};
use crate::template::{NoQueries, Template, TemplateData};

/// The label by which an alert says that it fires for want of data or because of an error.
pub const REASON_LABEL: &str = "reason";

/// What a result without anything means where a selector that is needed matched no series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoData {
    /// That nothing is wrong, as in Prometheus: pending alerts go, firing ones resolve.
    #[default]
    Ok,
    /// Nothing: alerts stay what they are.
    Keep,
    /// Alerts stay what they are, and an alert with the label `reason="no_data"` begins.
    Alert,
}

/// What an error means: the query failed, or two results have the same labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing: alerts stay what they are and go on being sent.
    #[default]
    Keep,
    /// Alerts stay what they are, and an alert with the label `reason="error"` begins.
    Alert,
}

/// A policy is none of the known words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is none of {known}")]
pub struct UnknownPolicy {
    /// What was found.
    pub found: String,
    /// The words there are.
    pub known: &'static str,
}

impl NoData {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Keep => "keep",
            Self::Alert => "alert",
        }
    }
}

impl FromStr for NoData {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = "ok, keep, alert";
        [Self::Ok, Self::Keep, Self::Alert]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| UnknownPolicy { found: text.into(), known })
    }
}

impl OnError {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Alert => "alert",
        }
    }
}

impl FromStr for OnError {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = "keep, alert";
        [Self::Keep, Self::Alert]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| UnknownPolicy { found: text.into(), known })
    }
}

/// Policies for alerts by name. Of several that match, the first decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Shell patterns over names of alerts, and what no data means for them.
    pub no_data: Vec<(String, NoData)>,
    /// Shell patterns over names of alerts, and what errors mean for them.
    pub on_error: Vec<(String, OnError)>,
}

/// What holds for one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulePolicy {
    /// What no data means.
    pub no_data: NoData,
    /// What errors mean.
    pub on_error: OnError,
}

impl Policies {
    /// What holds for alerts of this name.
    pub fn of(&self, alert: &str) -> RulePolicy {
        RulePolicy { no_data: first(&self.no_data, alert), on_error: first(&self.on_error, alert) }
    }
}

fn first<T: Copy + Default>(policies: &[(String, T)], alert: &str) -> T {
    let found = policies.iter().find(|(pattern, _)| glob_matches(pattern, alert));
    found.map(|(_, policy)| *policy).unwrap_or_default()
}

/// The alert that stands for a rule without a result. It has the rule's labels and those of its
/// annotations that are plain text (a template would speak of a value that is not there), and a
/// summary that says what is wrong.
pub(super) fn stand_in(rule: &Rule, reason: &str, summary: String) -> Instance {
    let data = TemplateData { value: f64::NAN, ..TemplateData::default() };
    let mut labels = Labels::empty().to_builder();
    let mut annotations = std::collections::BTreeMap::new();
    if let Some(spec) = rule.alerting() {
        for (name, template) in &spec.label_templates {
            labels.set(name, &template.expand(&data, &NoQueries(Timestamp::from_millis(0))));
        }
        let plain = spec.annotation_templates.iter().filter(|(_, text)| text.is_plain_text());
        annotations.extend(plain.map(|(name, text)| (name.clone(), Template::source(text).into())));
    }
    labels.set("alertname", &rule.name).set(REASON_LABEL, reason);
    annotations.insert("summary".into(), summary);
    Instance { labels: labels.build(), annotations, value: f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_matches_decides() {
        let policies = Policies {
            no_data: vec![("Batch*".into(), NoData::Keep), ("*".into(), NoData::Alert)],
            on_error: vec![("X".into(), OnError::Alert)],
        };
        let of = |name: &str| (policies.of(name).no_data, policies.of(name).on_error);
        assert_eq!(of("BatchLate"), (NoData::Keep, OnError::Keep));
        assert_eq!(of("X"), (NoData::Alert, OnError::Alert));
        assert_eq!(Policies::default().of("X"), RulePolicy::default());
        assert_eq!("alert".parse(), Ok(NoData::Alert));
        let error = "warn".parse::<OnError>().unwrap_err();
        assert_eq!(error.to_string(), "\"warn\" is none of keep, alert");
    }
}
