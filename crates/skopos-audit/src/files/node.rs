//! One tree for YAML, JSON and TOML, in which every value knows its place.
//!
//! Readers of file kinds look at these trees and never at a format, so that a Compose file in JSON
//! or a Collector configuration inside a ConfigMap is read like any other. Values are shared, never
//! copied: a YAML alias costs one pointer. With its aliases written out a document has at most
//! [`MAX_NODES`] values, nested at most [`MAX_DEPTH`] deep, so that whoever walks or copies one does bounded work.

use std::sync::Arc;

use super::text::Text;
use crate::Span;

/// The deepest nesting that is read; deeper files are reported as malformed.
pub const MAX_DEPTH: usize = 96;
/// The most values that are read of one file, those that aliases repeat counted again.
pub const MAX_NODES: usize = 400_000;

/// A value.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its bytes: the scalar with its quotes, or the collection from its first key or bracket.
    pub span: Span,
}

/// The kinds of values.
#[derive(Debug)]
pub enum NodeKind {
    /// Nothing, `~` or `null`.
    Null,
    /// A text, number or boolean; what it means is for the reader to say.
    Scalar {
        /// Its value.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// A list.
    Sequence(Vec<Arc<Node>>),
    /// Keys and values in the order of the file; merge keys are applied.
    Mapping(Vec<(Arc<Node>, Arc<Node>)>),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In quotes.
    Quoted,
    /// As a block (`|` or `>`): the bytes of its lines begin behind the header.
    Block,
}

static NULL: Node = Node { kind: NodeKind::Null, span: Span { start: 0, end: 0 } };

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar with its place.
    pub fn spanned(&self) -> Option<Text> {
        Some(Text::new(self.text()?, self.span))
    }

    /// Whether it is an empty value.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// `true`/`yes`/`on` or `false`/`no`/`off`.
    pub fn boolean(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        self.text()?.trim().parse().ok()
    }

    /// A whole number.
    pub fn integer(&self) -> Option<i64> {
        self.text()?.trim().parse().ok()
    }

    /// The value of a key; [`NodeKind::Null`] when there is none.
    pub fn get(&self, key: &str) -> &Node {
        self.find(key).unwrap_or(&NULL)
    }

    /// The value of a key, when the key is there.
    pub fn find(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| &**v)
    }

    /// Whether a key is there, even with an empty value.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The key itself, for its place.
    pub fn key(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text() == Some(key)).map(|(k, _)| &**k)
    }

    /// The value under a path of keys, `spec.template.spec`.
    pub fn at(&self, path: &str) -> &Node {
        path.split('.').fold(self, |node, key| node.get(key))
    }

    /// The text under a path of keys.
    pub fn text_at(&self, path: &str) -> Option<Text> {
        self.at(path).spanned()
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Arc<Node>] {
        match &self.kind {
            NodeKind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Arc<Node>, Arc<Node>)] {
        match &self.kind {
            NodeKind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Keys and values of a mapping from text to scalars.
    pub fn pairs(&self) -> Vec<(Text, Text)> {
        let pair = |(key, value): &(Arc<Node>, Arc<Node>)| {
            let value = match value.is_null() {
                true => Text::new("", value.span),
                false => value.spanned()?,
            };
            Some((key.spanned()?, value))
        };
        self.entries().iter().filter_map(pair).collect()
    }

    /// A list of texts, or a single text as a list of one.
    pub fn texts(&self) -> Vec<Text> {
        match self.spanned() {
            Some(text) => vec![text],
            None => self.items().iter().filter_map(|item| item.spanned()).collect(),
        }
    }

    /// Calls `visit` for each scalar with its path of keys (`a.b[0].c`), at most [`MAX_NODES`] times.
    pub fn walk(&self, visit: &mut dyn FnMut(&str, &Node)) {
        let mut left = MAX_NODES;
        self.walk_from(&mut String::new(), &mut left, visit);
    }

    fn walk_from(&self, path: &mut String, left: &mut usize, visit: &mut dyn FnMut(&str, &Node)) {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let length = path.len();
        match &self.kind {
            NodeKind::Null | NodeKind::Scalar { .. } => visit(path, self),
            NodeKind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    item.walk_from(path, left, visit);
                    path.truncate(length);
                }
            }
            NodeKind::Mapping(entries) => {
                for (key, value) in entries {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(key.text().unwrap_or("?"));
                    value.walk_from(path, left, visit);
                    path.truncate(length);
                }
            }
        }
    }

    /// The byte of the file behind the last scalar below: a block's own end is where the next begins.
    pub fn last_byte(&self) -> u32 {
        let below = match &self.kind {
            NodeKind::Null | NodeKind::Scalar { .. } => self.span.end,
            NodeKind::Sequence(items) => items.last().map_or(0, |item| item.last_byte()),
            NodeKind::Mapping(entries) => {
                entries.last().map_or(0, |(key, value)| key.last_byte().max(value.last_byte()))
            }
        };
        below.max(self.span.start)
    }
}
