//! From the text of an `alertmanager.yml` to a [`Config`], or to everything that is wrong with it.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use super::{Config, ConfigError, Place, RawInhibitRule, RawRoute, tables};
use crate::rules::yaml::{self, Node, NodeKind};

/// Reads a configuration. `file` is only used for messages and as the place relative paths are
/// meant from.
pub fn load(file: &str, text: &str) -> Result<Config, Vec<ConfigError>> {
    let mut reader = Reader::new(text);
    let read = reader.config();
    let (source, errors) = reader.finish(file);
    match read {
        Some(config) if errors.is_empty() => Ok(Config { source: Arc::new(source), ..config }),
        _ => Err(errors),
    }
}

/// Reads arbitrary bytes as a configuration; for fuzzing. Errors must lie in the file.
pub fn fuzz_alertmanager_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load("fuzz.yml", text) {
        Ok(config) => drop(config.source.redacted()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let lines = text.split('\n').count();
                assert!((1..=lines).contains(&error.line), "{error:?}");
                let length = error.snippet.chars().count();
                assert!(error.column >= 1 && error.column <= length + 1, "{error:?}");
                let _ = error.to_string();
            }
        }
    }
}

impl Reader<'_> {
    fn config(&mut self) -> Option<Config> {
        let root = match yaml::parse(self.text) {
            Ok(root) => root,
            Err(error) => {
                self.hide_all_but_keys();
                let place = Place { start: error.offset, end: error.offset + 1 };
                self.error(place, "yaml", error.message);
                return None;
            }
        };
        let Some(root) = root.filter(|root| !matches!(root.kind, NodeKind::Null)) else {
            self.error(Place::default(), "missing-key", "the configuration needs a `route`");
            return None;
        };
        if !matches!(root.kind, NodeKind::Mapping(_)) {
            self.hide_all_but_keys();
        }
        let top = self.fields(&root, &tables::names(tables::TOP.fields), tables::TOP.what);
        let of = |name: &str| {
            let mut found = top.iter().filter(|(key, _)| key.text() == Some(name));
            found.next().map(|(_, value)| value).filter(|v| !matches!(v.kind, NodeKind::Null))
        };
        let global = match of("global") {
            Some(node) => self.section(node, &tables::GLOBAL),
            None => Default::default(),
        };
        let globals = self.globals(&global);
        let receivers = match of("receivers") {
            Some(node) => self.receivers(node, &globals),
            None => Vec::new(),
        };
        let mut intervals = Vec::new();
        for key in ["mute_time_intervals", "time_intervals"] {
            let Some(node) = of(key) else { continue };
            for node in self.list(node, key).to_vec() {
                intervals.extend(self.time_interval(&node));
            }
        }
        let mut names = HashSet::new();
        for interval in &intervals {
            if !names.insert(interval.name.value.clone()) {
                let message = format!("time interval {:?} occurs twice", interval.name.value);
                self.error(interval.name.place, "duplicate", message);
            }
        }
        let inhibit_rules = match of("inhibit_rules") {
            Some(node) => self.inhibit_rules(node),
            None => Vec::new(),
        };
        let route = match of("route") {
            Some(node) => {
                let route = self.route(node, 0);
                self.check_routes(&route, &receivers, &intervals);
                route
            }
            None => {
                let place = Place { start: root.span.start, end: root.span.start + 1 };
                self.error(place, "missing-key", "the configuration needs a `route`");
                RawRoute::default()
            }
        };
        let templates = match of("templates") {
            Some(node) => self.texts(node, "templates"),
            None => Vec::new(),
        };
        (!self.has_problems()).then(|| Config {
            source: Arc::default(),
            resolve_timeout: global.duration("resolve_timeout").unwrap_or(Duration::from_secs(300)),
            templates,
            route,
            inhibit_rules,
            receivers,
            time_intervals: intervals,
        })
    }

    fn inhibit_rules(&mut self, node: &Rc<Node>) -> Vec<RawInhibitRule> {
        let rules = self.list(node, "inhibit_rules").to_vec();
        rules.iter().map(|rule| self.inhibit_rule(rule)).collect()
    }

    /// Hides what the lines of an unreadable file say: without a tree nobody knows which of it is
    /// secret. What stays is the key that a line begins with.
    fn hide_all_but_keys(&mut self) {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let content = line.trim_start_matches([' ', '-']);
            let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let shown = content.split_once(':').map_or("", |(key, _)| key);
            let kept = if is_key(shown) { shown.len() } else { 0 };
            let end = at + line.trim_end().len();
            let start = (at + line.len() - content.len() + kept).min(end);
            self.secret_range(start..end);
            at += line.len();
        }
    }
}
