//! Inhibition: alerts that keep others quiet while they fire.
//!
//! A target is inhibited while a source fires that has the same values in the labels of `equal`, a missing
//! label being empty. An alert that matches both sides of a rule is not inhibited by another that
//! does: else two of them would silence each other, or one itself.

use std::collections::{BTreeSet, HashMap};

use skopos_model::Labels;

use super::matcher::{Matcher, all_match};

/// An inhibition rule.
#[derive(Clone, Debug, Default)]
pub struct InhibitRule {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The alerts that inhibit.
    pub source: Vec<Matcher>,
    /// The alerts that are inhibited.
    pub target: Vec<Matcher>,
    /// Labels whose values both must share.
    pub equal: Vec<String>,
}

impl InhibitRule {
    fn shared(&self, labels: &Labels) -> Vec<String> {
        self.equal.iter().map(|name| labels.value(name).to_owned()).collect()
    }
}

/// The alerts that may inhibit, by the rules under which they do. Whether one fires is for the
/// caller to say.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// For each rule: shared values → alerts.
    by_rule: Vec<HashMap<Vec<String>, BTreeSet<Labels>>>,
}

impl Sources {
    pub(super) fn new<'a>(rules: &[InhibitRule], alerts: impl Iterator<Item = &'a Labels>) -> Self {
        let mut sources = Self { by_rule: vec![HashMap::new(); rules.len()] };
        alerts.for_each(|labels| sources.insert(rules, labels));
        sources
    }

    pub(super) fn insert(&mut self, rules: &[InhibitRule], labels: &Labels) {
        for (rule, sources) in rules.iter().zip(&mut self.by_rule) {
            if all_match(&rule.source, labels) {
                sources.entry(rule.shared(labels)).or_default().insert(labels.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, rules: &[InhibitRule], labels: &Labels) {
        for (rule, sources) in rules.iter().zip(&mut self.by_rule) {
            let shared = rule.shared(labels);
            if let Some(alerts) = sources.get_mut(&shared) {
                alerts.remove(labels);
                if alerts.is_empty() {
                    sources.remove(&shared);
                }
            }
        }
    }

    /// The first source of each rule that inhibits an alert.
    pub(super) fn inhibiting<'a>(
        &'a self,
        rules: &[InhibitRule],
        labels: &Labels,
        fires: impl Fn(&Labels) -> bool,
    ) -> BTreeSet<&'a Labels> {
        let mut found = BTreeSet::new();
        for (rule, sources) in rules.iter().zip(&self.by_rule) {
            if !all_match(&rule.target, labels) {
                continue;
            }
            let is_both = all_match(&rule.source, labels);
            let Some(sources) = sources.get(&rule.shared(labels)) else { continue };
            let mutes =
                |source: &&Labels| fires(source) && !(is_both && all_match(&rule.target, source));
            found.extend(sources.iter().find(mutes));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::matcher::parse_matchers;

    fn rule(source: &str, target: &str, equal: &[&str]) -> InhibitRule {
        InhibitRule {
            name: None,
            source: parse_matchers(source).unwrap(),
            target: parse_matchers(target).unwrap(),
            equal: equal.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split(',').map(|pair| pair.split_once('=').unwrap()))
    }

    #[test]
    fn sources_mute_targets_that_share_labels() {
        for (rules, firing, target, want) in [
            (vec![rule("s=1", "t=1", &["e"])], "s=1,e=x", "t=1,e=x", true),
            (vec![rule("s=1", "t=1", &["e"])], "s=1,e=x", "t=1,e=y", false),
            (vec![rule("s=1", "t=1", &[])], "s=1,e=x", "t=1,e=y", true),
            // A missing label is the empty one.
            (vec![rule("s=1", "t=1", &["e"])], "s=1", "t=1", true),
            (vec![rule("s=1", "t=1", &["e"])], "s=1", "t=1,e=x", false),
            (vec![rule("s=1", "t=1", &["e"])], "x=1,e=x", "t=1,e=x", false),
            (vec![rule("s=1", "t=1", &["e"])], "s=1,e=x", "u=1,e=x", false),
            // An alert on both sides is not inhibited by another on both sides, nor by itself …
            (vec![rule("s=1", "t=1", &["e"])], "s=1,t=1,e=x", "s=1,t=1,e=x", false),
            (vec![rule("s=1", "t=1", &["e"])], "s=1,t=1,e=x,n=2", "s=1,t=1,e=x", false),
            // … but by one that is a source only, and inhibits one that is a target only.
            (vec![rule("s=1", "t=1", &["e"])], "s=1,e=x", "s=1,t=1,e=x", true),
            (vec![rule("s=1", "t=1", &["e"])], "s=1,t=1,e=x", "t=1,e=x", true),
            (vec![rule("a=1", "t=1", &[]), rule("s=1", "t=1", &[])], "s=1", "t=1", true),
        ] {
            let firing = labels(firing);
            let mut sources = Sources::new(&rules, [&firing].into_iter());
            let target = labels(target);
            let muted = |sources: &Sources, fires: bool| {
                !sources.inhibiting(&rules, &target, |_| fires).is_empty()
            };
            assert_eq!(muted(&sources, true), want, "{firing} on {target}");
            assert!(!muted(&sources, false), "what does not fire does not inhibit");
            sources.remove(&rules, &firing);
            assert!(!muted(&sources, true), "what is gone does not inhibit");
            assert!(sources.by_rule.iter().all(HashMap::is_empty));
        }
    }
}
