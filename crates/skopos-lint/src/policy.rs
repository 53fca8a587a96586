//! A house's own demands on its rules: which labels and annotations there must be, what must not stand in them, what
//! aggregations must keep.
//!
//! ```yaml
//! policies:
//! - { check: rule/label, key: team, required: true, value: "shop|payments" }
//! - { check: alerts/annotation, key: dashboard, required: true, name: "High.*", severity: error }
//! - { check: promql/aggregate, keep: [job], strip: [instance] }
//! ```
//!
//! Expressions are RE2's and anchored. Every policy may name the rules it is for: `kind` (`alerting`, `recording`) and
//! `name`; and how much it weighs: `severity`.

use std::time::Duration;

use skopos_alerting::parse_duration;
use skopos_alerting::rules::nearest;
use skopos_alerting::rules::yaml::{self, Node, NodeKind};
use skopos_model::{LabelMatcher, MatchOp};

use crate::{Check, Severity};

/// The policies of a file.
#[derive(Clone, Debug, Default)]
pub struct Policies(pub(crate) Vec<Policy>);

/// A file of policies that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Byte offset of the place.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PolicyError {}

/// One demand and whom it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    /// Only alerting rules, or only recording ones.
    pub(crate) alerting: Option<bool>,
    pub(crate) name: Option<LabelMatcher>,
    pub(crate) demand: Demand,
}

#[derive(Clone, Debug)]
pub(crate) enum Demand {
    /// A label or an annotation.
    Key { key: String, required: bool, value: Option<LabelMatcher> },
    /// The rule's name.
    Name(LabelMatcher),
    /// Nothing like this in labels and annotations, keys or values.
    Reject(LabelMatcher),
    /// `for`, from and to.
    For { min: Option<Duration>, max: Option<Duration> },
    /// Labels that every aggregation must keep, or must not.
    Aggregate { metric: Option<LabelMatcher>, keep: Vec<String>, strip: Vec<String> },
    /// Labels that selectors must ask for.
    Selector { metric: Option<LabelMatcher>, labels: Vec<String> },
    /// Every rule that this is for is found, with these words.
    Report(String),
}

/// What each check of a policy may say, beside what all may.
const KEYS: [(&str, &[&str]); 8] = [
    ("alerts/annotation", &["key", "required", "value"]),
    ("promql/aggregate", &["metric", "keep", "strip"]),
    ("promql/selector", &["metric", "labels"]),
    ("rule/for", &["min", "max"]),
    ("rule/label", &["key", "required", "value"]),
    ("rule/name", &["value"]),
    ("rule/reject", &["value"]),
    ("rule/report", &["message"]),
];
const ALL_MAY: [&str; 4] = ["check", "severity", "kind", "name"];

impl Policies {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let root = yaml::parse(text)
            .map_err(|error| PolicyError { offset: error.offset, message: error.message })?;
        let Some(root) = root else { return Ok(Self::default()) };
        let NodeKind::Mapping(pairs) = &root.kind else {
            return Err(wrong(&root, "a file of policies is a mapping with the key `policies`"));
        };
        let mut policies = Vec::new();
        for (key, value) in pairs {
            if key.text() != Some("policies") {
                return Err(wrong(key, "a file of policies has the one key `policies`"));
            }
            let NodeKind::Sequence(items) = &value.kind else {
                return Err(wrong(value, "`policies` is a list"));
            };
            for item in items {
                policies.push(Entry::read(item)?.policy()?);
            }
        }
        Ok(Self(policies))
    }
}

fn wrong(node: &Node, message: impl Into<String>) -> PolicyError {
    PolicyError { offset: node.span.start, message: message.into() }
}

/// A policy's fields, their names checked.
struct Entry<'n> {
    code: &'static str,
    node: &'n Node,
    fields: Vec<(&'n str, &'n Node)>,
}

impl<'n> Entry<'n> {
    fn read(node: &'n Node) -> Result<Self, PolicyError> {
        let NodeKind::Mapping(pairs) = &node.kind else {
            return Err(wrong(node, "a policy is a mapping"));
        };
        let fields: Vec<(&str, &Node)> =
            pairs.iter().filter_map(|(key, value)| Some((key.text()?, &**value))).collect();
        let check = fields.iter().find(|(key, _)| *key == "check").map(|(_, value)| *value);
        let check = check.ok_or_else(|| wrong(node, "a policy names its `check`"))?;
        let name = check.text().unwrap_or_default();
        let Some((code, own)) = KEYS.iter().find(|(code, _)| *code == name) else {
            let codes = KEYS.map(|(code, _)| code);
            let hint = match nearest(name, codes) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("checks with policies are {}", codes.join(", ")),
            };
            return Err(wrong(check, format!("no check {name:?} takes a policy; {hint}")));
        };
        for (key, _) in pairs {
            let written = key.text().unwrap_or_default();
            if !own.contains(&written) && !ALL_MAY.contains(&written) {
                let known = own.iter().chain(&ALL_MAY).copied().collect::<Vec<_>>().join(", ");
                return Err(wrong(key, format!("unknown key {written:?}; {code} has {known}")));
            }
        }
        Ok(Self { code, node, fields })
    }

    fn policy(&self) -> Result<Policy, PolicyError> {
        let demand = match self.code {
            "alerts/annotation" | "rule/label" => Demand::Key {
                key: self.needed("key", self.text("key")?)?,
                required: self.text("required")?.as_deref() == Some("true"),
                value: self.regex("value")?,
            },
            "rule/name" => Demand::Name(self.needed("value", self.regex("value")?)?),
            "rule/reject" => Demand::Reject(self.needed("value", self.regex("value")?)?),
            "rule/for" => Demand::For { min: self.duration("min")?, max: self.duration("max")? },
            "promql/aggregate" => Demand::Aggregate {
                metric: self.regex("metric")?,
                keep: self.list("keep")?,
                strip: self.list("strip")?,
            },
            "promql/selector" => {
                Demand::Selector { metric: self.regex("metric")?, labels: self.list("labels")? }
            }
            _ => Demand::Report(self.needed("message", self.text("message")?)?),
        };
        let severity = match self.text("severity")? {
            None => Check::find(self.code).map_or(Severity::Warning, |check| check.severity),
            Some(name) => Severity::from_name(&name)
                .ok_or_else(|| wrong(self.node, "`severity` is info, warning or error"))?,
        };
        let alerting = match self.text("kind")?.as_deref() {
            None => (self.code == "alerts/annotation").then_some(true),
            Some("alerting") => Some(true),
            Some("recording") => Some(false),
            Some(_) => return Err(wrong(self.node, "`kind` is alerting or recording")),
        };
        Ok(Policy { code: self.code, severity, alerting, name: self.regex("name")?, demand })
    }

    fn get(&self, key: &str) -> Option<&'n Node> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, PolicyError> {
        value.ok_or_else(|| wrong(self.node, format!("{} needs `{key}`", self.code)))
    }

    fn text(&self, key: &str) -> Result<Option<String>, PolicyError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let text = node.text().ok_or_else(|| wrong(node, format!("`{key}` is a text")))?;
        Ok(Some(text.to_owned()))
    }

    fn regex(&self, key: &str) -> Result<Option<LabelMatcher>, PolicyError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let matcher = LabelMatcher::new(key, MatchOp::Regex, &text);
        matcher.map(Some).map_err(|error| wrong(self.node, format!("`{key}`: {error}")))
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, PolicyError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let duration = parse_duration(&text);
        duration.map(Some).map_err(|error| wrong(self.node, format!("`{key}`: {error}")))
    }

    fn list(&self, key: &str) -> Result<Vec<String>, PolicyError> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let NodeKind::Sequence(items) = &node.kind else {
            return Err(wrong(node, format!("`{key}` is a list of labels")));
        };
        let texts = items.iter().map(|item| {
            let text = item.text().ok_or_else(|| wrong(item, "a label is a text"));
            text.map(str::to_owned)
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            ("policies:\n- {check: rule/labels, key: a}\n", "did you mean `rule/label`?"),
            ("policies:\n- {check: rule/label}\n", "needs `key`"),
            ("policies:\n- {check: rule/label, key: a, vlaue: b}\n", "unknown key \"vlaue\""),
            ("policies:\n- {check: rule/name, value: \"(\"}\n", "invalid regular expression"),
            ("policies:\n- {check: rule/for, min: 5}\n", "not a duration"),
            (
                "policies:\n- {check: rule/report, message: x, severity: bad}\n",
                "info, warning or error",
            ),
            ("policies: {}\n", "is a list"),
            ("rules: []\n", "one key `policies`"),
        ];
        for (text, want) in cases {
            let error = Policies::parse(text).unwrap_err();
            assert!(error.message.contains(want), "{text}: {error}");
            assert!(error.offset <= text.len());
        }
        assert_eq!(Policies::parse("").unwrap().0.len(), 0);
    }
}
