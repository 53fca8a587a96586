//! YAML with positions: a small tree whose every node knows its line, and a strict way to take it
//! apart ([`Fields`]) in which a key nobody asked for is an error with the nearest known name.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// The value.
    pub value: Yaml,
}

/// A YAML value; scalars other than null keep their text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Spot, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spot {
    pub name: String,
    pub line: u64,
    pub column: u64,
}

/// What is wrong with a YAML document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub line: u64,
    pub column: u64,
    pub message: String,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyYaml)
    }
}

struct AnyYaml;

impl<'de> Visitor<'de> for AnyYaml {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Yaml, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let spot = Spot {
                line: key.referenced.line(),
                column: key.referenced.column(),
                name: key.value,
            };
            map.push((spot, entries.next_value()?));
        }
        Ok(Yaml::Map(map))
    }
}

/// Reads a document. An empty one is an empty map.
pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(blank) {
        return Ok(Node { line: 1, column: 1, value: Yaml::Map(Vec::new()) });
    }
    serde_saphyr::from_str::<Node>(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let message = error.without_snippet().to_string();
        YamlError { line, column, message }
    })
}

impl Node {
    /// An error at this place.
    pub(crate) fn error(&self, message: impl Into<String>) -> YamlError {
        YamlError { line: self.line, column: self.column, message: message.into() }
    }

    /// A scalar's text.
    pub(crate) fn scalar(&self) -> Result<&str, YamlError> {
        match &self.value {
            Yaml::Scalar(text) => Ok(text),
            Yaml::Null => Ok(""),
            Yaml::List(_) => Err(self.error("expected a single value, found a list")),
            Yaml::Map(_) => Err(self.error("expected a single value, found a map")),
        }
    }

    /// A list's items; nothing is an empty list.
    pub(crate) fn list(&self) -> Result<&[Node], YamlError> {
        match &self.value {
            Yaml::List(items) => Ok(items),
            Yaml::Null => Ok(&[]),
            _ => Err(self.error("expected a list")),
        }
    }

    /// A map's entries; nothing is an empty map.
    pub(crate) fn map(&self) -> Result<&[(Spot, Node)], YamlError> {
        match &self.value {
            Yaml::Map(entries) => Ok(entries),
            Yaml::Null => Ok(&[]),
            _ => Err(self.error("expected a map")),
        }
    }

    /// A list of scalars; a single scalar counts as a list of one.
    pub(crate) fn texts(&self) -> Result<Vec<String>, YamlError> {
        match &self.value {
            Yaml::Scalar(text) => Ok(vec![text.clone()]),
            _ => self.list()?.iter().map(|n| n.scalar().map(str::to_owned)).collect(),
        }
    }

    /// Starts taking a map apart.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, YamlError> {
        Ok(Fields { entries: self.map()?.iter().map(Some).collect(), asked: Vec::new() })
    }
}

/// A map being taken apart.
pub(crate) struct Fields<'a> {
    entries: Vec<Option<&'a (Spot, Node)>>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The value under `name`, if it is there.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        let slot = self.entries.iter_mut().find(|e| e.is_some_and(|(k, _)| k.name == name))?;
        slot.take().map(|(_, node)| node)
    }

    /// Every key must have been asked for by now.
    pub(crate) fn finish(self) -> Result<(), YamlError> {
        match self.entries.into_iter().flatten().next() {
            None => Ok(()),
            Some((spot, _)) => Err(YamlError {
                line: spot.line,
                column: spot.column,
                message: unknown_key(&spot.name, self.asked.iter().copied()),
            }),
        }
    }
}

/// The message for a key nobody knows.
pub(crate) fn unknown_key<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(hint) => format!("unknown key `{name}`, did you mean `{hint}`?"),
        None => format!("unknown key `{name}`"),
    }
}

/// The known name with the fewest edits to `name`, when there is one that resembles it.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + name.len().max(candidate.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance by the two-row method.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_lines() {
        let node = parse("a:\n  - x\n  - 15\nb: {c: true}\n").unwrap();
        let entries = node.map().unwrap();
        assert_eq!((entries[1].0.name.as_str(), entries[1].0.line), ("b", 4));
        let list = entries[0].1.list().unwrap();
        assert_eq!((list[1].scalar().unwrap(), list[1].line), ("15", 3));
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_name() {
        let node = parse("job_name: x\nscrape_intervall: 5s\n").unwrap();
        let mut fields = node.fields().unwrap();
        fields.take("job_name");
        fields.take("scrape_interval");
        let error = fields.finish().unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.message.contains("did you mean `scrape_interval`?"), "{}", error.message);
    }

    #[test]
    fn broken_yaml_has_a_place() {
        let error = parse("a: 1\nb: [\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        assert!(parse("# nothing\n\n").unwrap().map().unwrap().is_empty());
    }
}
