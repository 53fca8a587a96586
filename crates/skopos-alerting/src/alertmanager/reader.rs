//! Reads nodes and gathers what is wrong with them, and where secrets stand.
//!
//! Errors are turned into texts only at the end, when every secret is known: the line of one error
//! may hold a secret that is read after it.

use std::ops::Range;
use std::rc::Rc;

use super::{ConfigError, Located, Place, Source};
use crate::notify::template;
use crate::rules::nearest;
use crate::rules::yaml::{Node, NodeKind};

/// Errors reported for one file at most: beyond this it is something else.
const MAX_ERRORS: usize = 100;

pub(super) type Pair = (Rc<Node>, Rc<Node>);

#[derive(Default)]
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    problems: Vec<Problem>,
    secrets: Vec<Range<usize>>,
}

struct Problem {
    place: Place,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }

    /// The source with its secrets, and every error in order of its place.
    pub(super) fn finish(mut self, file: &str) -> (Source, Vec<ConfigError>) {
        self.secrets.extend(user_infos(self.text));
        let source = Source::new(file, self.text, self.secrets);
        let mut problems = self.problems;
        problems.sort_by_key(|problem| problem.place.start);
        let errors = problems
            .into_iter()
            .map(|p| source.error(p.place, p.code, p.message, p.hint))
            .collect();
        (source, errors)
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub(super) fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>) {
        self.error_with_hint(place, code, message, None);
    }

    pub(super) fn error_with_hint(
        &mut self,
        place: Place,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.problems.len() < MAX_ERRORS {
            self.problems.push(Problem { place, code, message: message.into(), hint });
        }
    }

    pub(super) fn error_on(&mut self, node: &Node, code: &'static str, message: impl Into<String>) {
        self.error(Place::from(&node.span), code, message);
    }

    /// Remembers that a scalar must not be shown.
    pub(super) fn secret(&mut self, node: &Node) {
        if !matches!(node.kind, NodeKind::Null) {
            self.secrets.push(node.span.clone());
        }
    }

    pub(super) fn secret_range(&mut self, range: Range<usize>) {
        self.secrets.push(range);
    }

    /// Remembers everything below a node as secret.
    pub(super) fn secrets_below(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Null => {}
            NodeKind::Scalar { .. } => self.secret(node),
            NodeKind::Sequence(items) => items.iter().for_each(|item| self.secrets_below(item)),
            NodeKind::Mapping(pairs) => {
                pairs.iter().for_each(|(_, value)| self.secrets_below(value));
            }
        }
    }

    /// The entries with known keys; unknown and repeated keys are errors, and the values of
    /// unknown ones count as secrets: nobody knows what was meant.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Rc<Node>,
        known: &[&str],
        what: &str,
    ) -> Vec<&'n Pair> {
        let mut fields: Vec<&Pair> = Vec::new();
        for pair in self.pairs(node, what) {
            let (key, value) = pair;
            let Some(name) = key.text() else {
                let message = format!("a key must be a text, found {}", key.kind_name());
                self.error_on(key, "unknown-key", message);
                continue;
            };
            if !known.contains(&name) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{what} has the keys {}", known.join(", ")),
                };
                let message = format!("unknown key {name:?} in {what}");
                self.secrets_below(value);
                self.error_with_hint((&key.span).into(), "unknown-key", message, Some(hint));
            } else if fields.iter().any(|(k, _)| k.text() == Some(name)) {
                self.error_on(key, "duplicate", format!("key {name:?} occurs twice"));
            } else {
                fields.push(pair);
            }
        }
        fields
    }

    pub(super) fn pairs<'n>(&mut self, node: &'n Rc<Node>, what: &str) -> &'n [Pair] {
        match &node.kind {
            NodeKind::Mapping(pairs) => pairs,
            NodeKind::Null => &[],
            _ => {
                let message = format!("{what} must be a mapping, found {}", node.kind_name());
                self.error_on(node, "value", message);
                &[]
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, name: &str) -> &'n [Rc<Node>] {
        match &node.kind {
            NodeKind::Sequence(items) => items,
            NodeKind::Null => &[],
            _ => {
                let message = format!("`{name}` must be a list, found {}", node.kind_name());
                self.error_on(node, "value", message);
                &[]
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => Some(text.clone()),
            NodeKind::Null => Some(String::new()),
            _ => {
                let message = format!("`{name}` must be a text, found {}", node.kind_name());
                self.error_on(node, "value", message);
                None
            }
        }
    }

    pub(super) fn texts(&mut self, node: &Node, name: &str) -> Vec<Located<String>> {
        let items = self.list(node, name);
        items.iter().filter_map(|item| self.located(item, name)).collect()
    }

    pub(super) fn map(
        &mut self,
        node: &Rc<Node>,
        name: &str,
    ) -> Vec<(Located<String>, Located<String>)> {
        let mut pairs = Vec::new();
        for (key, value) in self.pairs(node, &format!("`{name}`")) {
            let Some(key) = self.located(key, name) else { continue };
            let Some(value) = self.located(value, &key.value) else { continue };
            if pairs.iter().any(|(k, _): &(Located<String>, _)| k.value == key.value) {
                self.error(key.place, "duplicate", format!("{:?} occurs twice", key.value));
                continue;
            }
            pairs.push((key, value));
        }
        pairs
    }

    pub(super) fn switch(&mut self, node: &Node, name: &str) -> Option<bool> {
        // YAML 1.1 as Alertmanager reads it knows more words than two.
        let text = self.text(node, name)?;
        match text.as_str() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                Some(true)
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n"
            | "N" => Some(false),
            _ => {
                let message = format!("`{name}` must be true or false, found {text:?}");
                self.error_on(node, "value", message);
                None
            }
        }
    }

    /// A URL is checked for its scheme and host; the message does not show it.
    pub(super) fn check_url(&mut self, node: &Node, name: &str, url: &str) -> Option<()> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
        let message = match host {
            Some("") => format!("`{name}` names no host"),
            _ if url == "<secret>" || host == Some("<secret>") => {
                let message = format!("`{name}` was printed by a program that hides secrets");
                let hint = Some("use the original file".into());
                self.error_with_hint((&node.span).into(), "value", message, hint);
                return None;
            }
            Some(host) if !host.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                return Some(());
            }
            Some(_) => format!("`{name}` is not a URL: its host contains white space"),
            None => format!("`{name}` must begin with http:// or https://"),
        };
        self.error_on(node, "value", message);
        None
    }

    pub(super) fn check_template(&mut self, node: &Node, name: &str, text: &str) {
        if let Err(error) = template::check(text) {
            let start = node.source_offset(self.text, error.offset);
            let message = format!("template of `{name}`: {}", error.message);
            let place = Place { start, end: start + 1 };
            self.error_with_hint(place, "template", message, error.hint);
        }
    }
}

/// Places of user names and passwords in URLs, wherever those stand.
fn user_infos(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, sign)| {
        let start = at + sign.len();
        let rest = text.get(start..)?;
        let end = rest.find(['\n', ' ', '/', '?', '#']).unwrap_or(rest.len());
        let at_sign = rest.get(..end)?.rfind('@')?;
        Some(start..start + at_sign)
    })
}
