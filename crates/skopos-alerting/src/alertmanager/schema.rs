//! What may stand in a mapping, and the reading of one by that.

use std::rc::Rc;
use std::time::Duration;

use super::reader::Reader;
use super::section::{Entry, Section, Value};
use super::{Located, Place, Secret};
use crate::duration::parse_duration;
use crate::rules::yaml::{Node, NodeKind};

/// The form of a key's value.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text as it is.
    Text,
    /// A text in which `{{ }}` is expanded for each notification.
    Template,
    /// A text that is never shown.
    Secret,
    /// An HTTP URL.
    Url,
    /// An HTTP URL that is never shown.
    SecretUrl,
    /// A file.
    Path,
    Switch,
    /// A whole number.
    Number,
    /// `30s`, `5m`, or as Go writes it, `1.5h`.
    Duration,
    /// `host:port`
    HostPort,
    /// One of these words.
    Choice(&'static [&'static str]),
    Texts,
    /// A list of texts that are never shown.
    SecretTexts,
    /// A mapping of names to texts.
    TextMap,
    /// A mapping of names to templates.
    TemplateMap,
    /// A mapping of header names to lists of texts that are never shown.
    SecretListMap,
    /// A mapping of header names to mappings of `values`, `secrets`, `files`.
    Headers,
    Object(&'static Schema),
    Objects(&'static Schema),
    /// Anything.
    Any,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// A mapping's keys.
pub(super) struct Schema {
    /// What it is, for messages: `a slack receiver`.
    pub(super) what: &'static str,
    pub(super) fields: &'static [Field],
}

/// Writes a table of fields.
macro_rules! fields {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$($crate::alertmanager::schema::Field { name: $name, kind: $kind }),*]
    };
}
pub(super) use fields;

/// Deepest nesting of values that may be anything.
const MAX_ANY_DEPTH: usize = 20;

impl Reader<'_> {
    /// Reads a mapping; mistakes are reported, what is right is kept.
    pub(super) fn section(&mut self, node: &Rc<Node>, schema: &Schema) -> Section {
        let place = Place::from(&node.span);
        let mut section = Section { place, ..Section::default() };
        let names: Vec<&str> = schema.fields.iter().map(|field| field.name).collect();
        for (key, value) in self.fields(node, &names, schema.what) {
            let Some(field) = schema.fields.iter().find(|f| key.text() == Some(f.name)) else {
                continue;
            };
            if matches!(value.kind, NodeKind::Null) {
                continue;
            }
            if let Some(value) = self.value(value, field) {
                let key = Place::from(&key.span);
                section.entries.insert(field.name, Entry { key, value });
            }
        }
        section
    }

    fn value(&mut self, node: &Rc<Node>, field: &Field) -> Option<Value> {
        let name = field.name;
        Some(match field.kind {
            Kind::Text | Kind::Path => Value::Text(self.text(node, name)?),
            Kind::Template => {
                let text = self.text(node, name)?;
                self.check_template(node, name, &text);
                Value::Text(text)
            }
            Kind::Secret => {
                self.secret(node);
                Value::Secret(Secret::new(self.text(node, name)?))
            }
            Kind::Url => {
                let url = self.text(node, name)?;
                self.check_url(node, name, &url)?;
                Value::Text(url)
            }
            Kind::SecretUrl => {
                self.secret(node);
                let url = self.text(node, name)?;
                self.check_url(node, name, &url)?;
                Value::Secret(Secret::new(url))
            }
            Kind::Switch => Value::Switch(self.switch(node, name)?),
            Kind::Number => {
                let text = self.text(node, name)?;
                match text.parse() {
                    Ok(number) => Value::Number(number),
                    Err(_) => {
                        let message = format!("`{name}` must be a whole number, found {text:?}");
                        self.error_on(node, "value", message);
                        return None;
                    }
                }
            }
            Kind::Duration => Value::Duration(self.duration(node, name)?),
            Kind::HostPort => {
                let text = self.text(node, name)?;
                let valid = text.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty());
                if !text.is_empty() && !valid {
                    let message = format!("`{name}` must be host:port, found {text:?}");
                    self.error_on(node, "value", message);
                    return None;
                }
                Value::Text(text)
            }
            Kind::Choice(words) => {
                let text = self.text(node, name)?;
                if !words.contains(&text.as_str()) {
                    let known: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
                    let message =
                        format!("`{name}` must be one of {}, found {text:?}", known.join(", "));
                    self.error_on(node, "value", message);
                    return None;
                }
                Value::Text(text)
            }
            Kind::Texts => Value::Texts(self.texts(node, name)),
            Kind::SecretTexts => {
                self.secrets_below(node);
                Value::Texts(self.texts(node, name))
            }
            Kind::TextMap => Value::Map(self.map(node, name)),
            Kind::TemplateMap => {
                let pairs = self.map(node, name);
                if let NodeKind::Mapping(nodes) = &node.kind {
                    for (_, value) in nodes {
                        if let Some(text) = value.text() {
                            self.check_template(value, name, text);
                        }
                    }
                }
                Value::Map(pairs)
            }
            Kind::SecretListMap => {
                self.secrets_below(node);
                let mut pairs = Vec::new();
                for (key, value) in self.pairs(node, name).to_vec() {
                    let Some(key) = self.located(&key, name) else { continue };
                    for item in self.texts(&value, name) {
                        pairs.push((key.clone(), item));
                    }
                }
                Value::Map(pairs)
            }
            Kind::Headers => Value::Sections(self.headers(node, name)),
            Kind::Object(schema) => Value::Section(self.section(node, schema)),
            Kind::Objects(schema) => {
                let items = self.list(node, name).to_vec();
                Value::Sections(items.iter().map(|item| self.section(item, schema)).collect())
            }
            Kind::Any => Value::Any(self.any(node, name, 0)),
        })
    }

    /// `http_headers`: one section per header, its name under the key `name`.
    fn headers(&mut self, node: &Rc<Node>, name: &'static str) -> Vec<Section> {
        let mut headers = Vec::new();
        for (key, value) in self.pairs(node, name).to_vec() {
            let Some(header) = self.text(&key, name) else { continue };
            let mut section = self.section(&value, &super::tables::HEADER);
            let entry = Entry { key: Place::from(&key.span), value: Value::Text(header) };
            section.entries.insert("name", entry);
            headers.push(section);
        }
        headers
    }

    fn any(&mut self, node: &Rc<Node>, name: &str, depth: usize) -> serde_json::Value {
        if depth > MAX_ANY_DEPTH {
            self.error_on(node, "value", format!("`{name}` is nested too deeply"));
            return serde_json::Value::Null;
        }
        match &node.kind {
            NodeKind::Null => serde_json::Value::Null,
            NodeKind::Scalar { text, .. } => {
                self.check_template(node, name, text);
                match (node.is_unquoted(), text.as_str()) {
                    (true, "true") => true.into(),
                    (true, "false") => false.into(),
                    (true, number) => match number.parse::<i64>() {
                        Ok(number) => number.into(),
                        Err(_) => text.clone().into(),
                    },
                    _ => text.clone().into(),
                }
            }
            NodeKind::Sequence(items) => {
                items.iter().map(|item| self.any(item, name, depth + 1)).collect()
            }
            NodeKind::Mapping(pairs) => {
                let mut map = serde_json::Map::new();
                for (key, value) in pairs {
                    if let Some(key) = self.text(key, name) {
                        map.insert(key, self.any(value, name, depth + 1));
                    }
                }
                map.into()
            }
        }
    }

    pub(super) fn duration(&mut self, node: &Node, name: &str) -> Option<Duration> {
        let text = self.text(node, name)?;
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => match go_duration(&text) {
                Some(duration) => Some(duration),
                None => {
                    self.error_on(node, "value", format!("`{name}`: {error}"));
                    None
                }
            },
        }
    }

    pub(super) fn located(&mut self, node: &Node, name: &str) -> Option<Located<String>> {
        let place = Place::from(&node.span);
        self.text(node, name).map(|value| Located { value, place })
    }
}

/// A duration as Go writes it: decimal numbers with units from `ns` to `h`.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * size;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_gos_form() {
        for (text, want) in [
            ("1.5h", Some(5400.0)),
            ("1m30s", Some(90.0)),
            ("250ms", Some(0.25)),
            ("", None),
            ("5", None),
            ("h", None),
            ("1e400h", None),
        ] {
            assert_eq!(go_duration(text).map(|d| d.as_secs_f64()), want, "{text}");
        }
    }
}
