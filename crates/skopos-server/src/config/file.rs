//! [`ConfigFile`]: `skopos.yaml` as read, every value with its line.

use std::path::{Path, PathBuf};

use super::keys::{KEYS, Key};
use super::{ConfigError, Origin, Value};
use crate::yaml::{self, YamlError, nearest};

/// A configuration file: known keys with their texts and lines. What the texts mean is decided
/// by [`resolve`](super::resolve).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFile {
    /// Where it came from.
    pub path: PathBuf,
    pub(super) values: Vec<(&'static Key, Value)>,
}

impl ConfigFile {
    /// Reads a file's text. All mistakes of its form are reported, not only the first.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<ConfigError>> {
        let (file, errors) = Self::parse_what_is_right(path, text);
        if errors.is_empty() { Ok(file) } else { Err(errors) }
    }

    /// Reads what can be read of a file's text, beside all mistakes of its form.
    pub(super) fn parse_what_is_right(path: &Path, text: &str) -> (Self, Vec<ConfigError>) {
        let mut file = Self { path: path.to_owned(), values: Vec::new() };
        let errors = file.read(text).unwrap_or_else(|error| vec![error]);
        (file, errors)
    }

    /// Takes the values over and returns mistakes that cost one key or section; fails when there is
    /// nothing to take.
    fn read(&mut self, text: &str) -> Result<Vec<ConfigError>, ConfigError> {
        let path = self.path.clone();
        let at = |line: u64, column: u64, message: String| ConfigError {
            place: format!("{}:{line}:{column}", path.display()),
            message,
        };
        let from_yaml = |e: YamlError| at(e.line, e.column, e.message);
        let document = yaml::parse(text).map_err(from_yaml)?;
        let mut errors = Vec::new();
        let sections = document.map().map_err(from_yaml)?;
        for (section, body) in sections {
            let known = KEYS.iter().filter_map(|key| key.name.split_once('.'));
            if !known.clone().any(|(s, _)| s == section.name) {
                let message = unknown("section", &section.name, known.map(|(s, _)| s));
                errors.push(at(section.line, section.column, message));
                continue;
            }
            let entries = match body.map() {
                Ok(entries) => entries,
                Err(error) => {
                    errors.push(from_yaml(error));
                    continue;
                }
            };
            for (name, node) in entries {
                let full = format!("{}.{}", section.name, name.name);
                let Some(key) = Key::named(&full) else {
                    let siblings = known.clone().filter(|(s, _)| *s == section.name);
                    let message = unknown("key", &name.name, siblings.map(|(_, k)| k));
                    errors.push(at(name.line, name.column, message));
                    continue;
                };
                let items = if key.is_list() {
                    node.texts()
                } else {
                    node.scalar().map(|text| vec![text.to_owned()])
                };
                let origin =
                    Origin::File { path: path.clone(), line: node.line, column: node.column };
                match items {
                    Ok(items) => self.values.push((key, Value { items, origin })),
                    Err(error) => errors.push(from_yaml(error)),
                }
            }
        }
        Ok(errors)
    }
}

pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(hint) => format!("unknown {what} `{name}`, did you mean `{hint}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}
