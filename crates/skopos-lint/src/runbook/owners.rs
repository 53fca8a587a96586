//! The file of owners: who may own an alert, and whom an escalation reaches.
//!
//! ```yaml
//! team-shop: {schedule: "https://…/schedules/shop"}   # reached by a schedule
//! team-payments:                                      # known, no schedule of its own
//! ```
//!
//! A plain list of names does too, and either may stand under a key `owners`.

use std::collections::BTreeMap;

use skopos_alerting::rules::nearest;
use skopos_alerting::rules::yaml::{self, Node, NodeKind};

/// Who exists, and who has a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners(BTreeMap<String, bool>);

/// A file of owners that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersError {
    /// Byte offset of the place.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for OwnersError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OwnersError {}

/// Words that stand before a schedule.
const SCHEDULES: [&str; 4] = ["schedule", "oncall", "on_call", "pager"];

impl Owners {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, OwnersError> {
        let root = yaml::parse(text)
            .map_err(|error| OwnersError { offset: error.offset, message: error.message })?;
        let Some(root) = root else { return Ok(Self::default()) };
        Self::read(&root)
    }

    fn read(node: &Node) -> Result<Self, OwnersError> {
        let mut owners = BTreeMap::new();
        match &node.kind {
            NodeKind::Null => {}
            NodeKind::Sequence(items) => {
                for item in items {
                    let Some(name) = item.text() else {
                        return Err(wrong(item, "a list of owners holds names"));
                    };
                    owners.insert(name.to_owned(), false);
                }
            }
            NodeKind::Mapping(pairs) => {
                if let [(key, value)] = &**pairs
                    && key.text() == Some("owners")
                {
                    return Self::read(value);
                }
                for (key, value) in pairs {
                    let Some(name) = key.text() else {
                        return Err(wrong(key, "a name must be a text"));
                    };
                    owners.insert(name.to_owned(), has_schedule(value));
                }
            }
            NodeKind::Scalar { .. } => {
                return Err(wrong(node, "owners are a mapping from names, or a list of names"));
            }
        }
        Ok(Self(owners))
    }

    /// Whether somebody of this name exists, whatever the case.
    pub fn knows(&self, name: &str) -> bool {
        self.0.keys().any(|known| known.eq_ignore_ascii_case(name.trim()))
    }

    /// The name that was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.0.keys().map(String::as_str))
    }

    /// Whether the file speaks of schedules at all.
    pub fn have_schedules(&self) -> bool {
        self.0.values().any(|has| *has)
    }

    /// Whether a schedule reaches this one.
    pub fn is_on_call(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// The owners that a text names, as whole words.
    pub fn named_in(&self, text: &str) -> impl Iterator<Item = &str> {
        let text = text.to_lowercase();
        self.0.keys().map(String::as_str).filter(move |name| {
            let name = name.to_lowercase();
            let spaced = name.replace(['-', '_'], " ");
            has_word(&text, &name) || has_word(&text, &spaced)
        })
    }

    /// Those of `names` that exist, as the file writes them.
    pub fn known<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let is_named = |known: &&String| names.iter().any(|name| name.eq_ignore_ascii_case(known));
        self.0.keys().filter(is_named).map(String::as_str)
    }
}

fn wrong(node: &Node, message: &str) -> OwnersError {
    OwnersError {
        offset: node.span.start,
        message: format!("{message}, found {}", node.kind_name()),
    }
}

fn has_schedule(value: &Node) -> bool {
    let NodeKind::Mapping(pairs) = &value.kind else { return false };
    pairs.iter().any(|(key, value)| {
        let is_empty = matches!(value.kind, NodeKind::Null) || value.text() == Some("");
        key.text().is_some_and(|key| SCHEDULES.contains(&key)) && !is_empty
    })
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_file() {
        for text in ["a: {schedule: s}\nb:\n", "owners:\n  a: {oncall: x}\n  b: {}\n"] {
            let owners = Owners::parse(text).unwrap();
            assert!(owners.knows("A") && owners.knows("b") && !owners.knows("c"));
            assert!(owners.is_on_call("a") && !owners.is_on_call("b"), "{text}");
        }
        assert!(Owners::parse("[a, b]").unwrap().knows("b"));
        assert_eq!(Owners::parse("").unwrap(), Owners::default());
        assert!(Owners::parse("just a text").is_err());
    }

    #[test]
    fn names_are_found_as_whole_words() {
        let owners = Owners::parse("[team-shop, incident-lead]").unwrap();
        let named = |text: &str| owners.named_in(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            named("On call, Team-Shop: now; then the incident lead."),
            ["incident-lead", "team-shop"]
        );
        assert!(named("team-shopping, xteam-shop").is_empty());
    }
}
