//! Rule files in Prometheus' schema: groups of recording and alerting rules.
//!
//! [`load`] checks everything at once and reports every error with its place in the file;
//! a set with any error does not load, so the rules that run go on running.
//!
//! Identity: a group is named by its file's base name and its own name, a rule by its group, its
//! kind, its name and its labels as written. Restarts, moved folders, reordering and edits of
//! expression, durations and annotations keep it, and with it the state of its alerts.

mod depends;
mod expression;
mod glob;
pub(crate) mod load;
mod parts;
mod reads;
mod report;
mod suggest;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use expression::Expression;
pub use glob::glob_matches;
pub use load::{fuzz_rule_file, load, load_with};
pub use parts::Part;
pub use reads::Selector;
pub use report::{CheckReport, RuleError};
pub use suggest::nearest;

use crate::template::Template;

/// All groups of all files, in the order given.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// The groups.
    pub groups: Vec<Arc<RuleGroup>>,
}

impl RuleSet {
    /// Number of rules in all groups.
    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }
}

/// Rules evaluated one after another in the same slot.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Its identity.
    pub id: GroupId,
    /// The file it stands in, as given to [`load`].
    pub file: String,
    /// Its name, unique within the file.
    pub name: String,
    /// How often it is evaluated; the server's evaluation interval when absent.
    pub interval: Option<Duration>,
    /// How far behind the slot the data is read.
    pub query_offset: Option<Duration>,
    /// Most alerts or series one rule may produce; 0 for no limit.
    pub limit: usize,
    /// The rules, in order of evaluation.
    pub rules: Vec<Arc<Rule>>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its identity.
    pub id: RuleId,
    /// The alert's name, or the recorded metric's.
    pub name: String,
    /// What it asks.
    pub expr: Expression,
    /// Labels as written, the group's included (the rule's own win). Empty values remove a label.
    /// Templates in alerting rules, plain text in recording rules.
    pub labels: BTreeMap<String, String>,
    /// What it does with the answer.
    pub kind: RuleKind,
    /// Line of the rule in its file, from 1.
    pub line: usize,
}

/// What a rule does with its expression's result.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Stores it as new series.
    Recording,
    /// Makes alerts of it.
    Alerting(AlertSpec),
}

/// What only alerting rules have.
#[derive(Clone, Debug, Default)]
pub struct AlertSpec {
    /// How long the expression must return an element before its alert fires.
    pub hold: Duration,
    /// How long an alert goes on firing after the expression stopped returning its element.
    pub keep_firing_for: Duration,
    /// Templates of texts for humans.
    pub annotations: BTreeMap<String, String>,
    /// The labels' templates, parsed.
    pub(crate) label_templates: BTreeMap<String, Template>,
    /// The annotations' templates, parsed.
    pub(crate) annotation_templates: BTreeMap<String, Template>,
}

impl Rule {
    /// The alerting part, if this is an alerting rule.
    pub fn alerting(&self) -> Option<&AlertSpec> {
        match &self.kind {
            RuleKind::Alerting(spec) => Some(spec),
            RuleKind::Recording => None,
        }
    }

    /// Whether a template of this rule runs queries, so that expanding it may take long.
    pub fn queries_in_templates(&self) -> bool {
        self.alerting().is_some_and(|spec| {
            let templates = spec.label_templates.values().chain(spec.annotation_templates.values());
            templates.into_iter().any(Template::runs_queries)
        })
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}

pub(crate) use identity;

identity!(
    /// Names a group across restarts; printed as 16 hexadecimal digits.
    GroupId
);
identity!(
    /// Names a rule across restarts; printed as 16 hexadecimal digits.
    RuleId
);

/// Hashes pieces of text so that they cannot run together.
pub(crate) fn hash_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for piece in pieces {
        hasher.update(piece.as_bytes());
        hasher.update(&[0xff]);
    }
    hasher.digest128()
}
