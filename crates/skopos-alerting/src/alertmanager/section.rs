//! A mapping that was read by a schema: known keys with values of known kinds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Located, Place, Secret};

/// A value of a [`Section`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, a template, a path or a URL without secrets.
    Text(String),
    /// A secret text or URL.
    Secret(Secret),
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// A duration.
    Duration(Duration),
    /// A list of texts.
    Texts(Vec<Located<String>>),
    /// Names and texts, in the order written.
    Map(Vec<(Located<String>, Located<String>)>),
    /// A mapping with keys of its own.
    Section(Section),
    /// A list of such mappings.
    Sections(Vec<Section>),
    /// Anything; texts in it may be templates.
    Any(serde_json::Value),
}

/// The keys that were given, with their values. Keys given as null count as not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Where the mapping stands.
    pub place: Place,
    pub(super) entries: BTreeMap<&'static str, Entry>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) value: Value,
}

impl Section {
    /// Whether the key was given.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The names of the keys that were given.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.entries.keys().copied()
    }

    /// Where the key stands; the section itself when it was not given.
    pub(super) fn key_place(&self, key: &str) -> Place {
        self.entries.get(key).map_or(self.place, |entry| entry.key)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// A text that is not empty.
    pub(super) fn filled(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A secret that is not empty.
    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        match self.get(key) {
            Some(Value::Secret(secret)) if !secret.expose().is_empty() => Some(secret.clone()),
            _ => None,
        }
    }

    pub(super) fn switch(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Switch(on)) => Some(*on),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A duration; zero counts as not given.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key) {
            Some(Value::Duration(duration)) if !duration.is_zero() => Some(*duration),
            _ => None,
        }
    }

    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(Value::Texts(items)) => items.iter().map(|item| item.value.clone()).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn map(&self, key: &str) -> &[(Located<String>, Located<String>)] {
        match self.get(key) {
            Some(Value::Map(pairs)) => pairs,
            _ => &[],
        }
    }

    pub(super) fn section(&self, key: &str) -> Option<&Section> {
        match self.get(key) {
            Some(Value::Section(section)) => Some(section),
            _ => None,
        }
    }

    pub(super) fn sections(&self, key: &str) -> &[Section] {
        match self.get(key) {
            Some(Value::Sections(sections)) => sections,
            _ => &[],
        }
    }

    /// Whether the key holds something: a text or secret that is not empty, or anything else.
    pub(super) fn is_filled(&self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::Secret(secret)) => !secret.expose().is_empty(),
            Some(_) => true,
        }
    }
}
