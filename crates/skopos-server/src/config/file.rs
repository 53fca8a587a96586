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
    /// Reads a file's text. All mistakes are reported, not only the first.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<ConfigError>> {
        let at = |line: u64, column: u64, message: String| ConfigError {
            place: format!("{}:{line}:{column}", path.display()),
            message,
        };
        let from_yaml = |e: YamlError| at(e.line, e.column, e.message);
        let document = yaml::parse(text).map_err(|e| vec![from_yaml(e)])?;
        let mut errors = Vec::new();
        let mut values = Vec::new();
        let sections = document.map().map_err(|e| vec![from_yaml(e)])?;
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
                let origin = Origin::File { path: path.to_owned(), line: node.line };
                match items {
                    Ok(items) => values.push((key, Value { items, origin })),
                    Err(error) => errors.push(from_yaml(error)),
                }
            }
        }
        if errors.is_empty() { Ok(Self { path: path.to_owned(), values }) } else { Err(errors) }
    }
}

pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(hint) => format!("unknown {what} `{name}`, did you mean `{hint}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}
