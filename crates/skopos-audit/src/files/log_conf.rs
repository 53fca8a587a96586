//! Python's logging configuration in a file of its own: `logging.conf` as `fileConfig` and servers read it, and the mapping
//! of `dictConfig` in YAML. What it says is what a file of Logback says, so it becomes the same document.

use super::log_xml::{Appender, LogXml};
use super::node::Node;
use super::text::{Text, lines};
use crate::Span;

/// Whether a path is that of such a file in sections.
pub fn is_log_conf(path: &str) -> bool {
    let name = super::name(path).to_ascii_lowercase();
    let is_ini = [".conf", ".ini", ".cfg"].iter().any(|ending| name.ends_with(ending));
    is_ini && name.contains("log") && !name.contains("logrotate") && !name.contains("logstash")
}

/// Keys of one section, with their values.
struct Section<'t> {
    name: &'t str,
    pairs: Vec<(&'t str, Text)>,
}

impl Section<'_> {
    fn get(&self, key: &str) -> Option<&Text> {
        self.pairs.iter().find(|(own, _)| own.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }
}

/// Reads sections; none when they are not those of a logging configuration.
pub fn read(text: &str) -> Option<LogXml> {
    let sections = sections(text);
    let find = |name: &str| sections.iter().find(|section| section.name == name);
    find("loggers")?;
    find("handlers")?;
    let mut found =
        LogXml { system: "logging", span: Span::new(0, text.len()), ..LogXml::default() };
    for section in &sections {
        if section.name == "logger_root" {
            found.root.extend(section.get("level").map(|level| (level.clone(), None)));
        } else if section.name.starts_with("logger_") {
            let name = section.get("qualname").map(|name| name.value.clone()).unwrap_or_default();
            found.loggers.extend(section.get("level").map(|level| (name, level.clone(), None)));
        } else if let Some(name) = section.name.strip_prefix("handler_") {
            let formatter = section.get("formatter");
            let formatter = formatter.and_then(|of| find(&format!("formatter_{}", of.value)));
            let made = |key: &str| formatter.and_then(|formatter| formatter.get(key)).cloned();
            let name = Text::new(name, section.pairs.first().map_or(found.span, |(_, t)| t.span));
            found.add(name, made("class"), made("format"));
        }
    }
    Some(found)
}

/// Reads the mapping of `dictConfig`; none when it is none.
pub fn read_mapping(root: &Node) -> Option<LogXml> {
    let is_one = root.has("version") && root.has("formatters") && root.has("handlers");
    if !is_one || !(root.has("root") || root.has("loggers")) {
        return None;
    }
    let span = Span { start: root.span.start, end: root.last_byte() };
    let mut found = LogXml { system: "logging", span, ..LogXml::default() };
    found.root.extend(root.text_at("root.level").map(|level| (level, None)));
    for (name, handler) in root.get("handlers").entries() {
        let formatter = handler.get("formatter").text().unwrap_or_default();
        let formatter = root.get("formatters").get(formatter);
        let class =
            ["()", "class", "factory"].iter().find_map(|key| formatter.find(key)?.spanned());
        let name = name.spanned().unwrap_or_else(|| Text::new("", span));
        found.add(name, class, formatter.find("format").and_then(Node::spanned));
    }
    Some(found)
}

impl LogXml {
    fn add(&mut self, name: Text, layout: Option<Text>, pattern: Option<Text>) {
        // A formatter that writes JSON says so in its class, or its pattern is JSON.
        let is_structured = layout.as_ref().is_some_and(|class| {
            let lower = class.to_ascii_lowercase();
            ["json", "logstash", "ecs", "structlog", "stackdriver"]
                .iter()
                .any(|w| lower.contains(w))
        }) || pattern.as_ref().is_some_and(|p| {
            p.trim_matches(['"', '\'', ' ']).starts_with('{') && p.contains("%(") && p.contains(':')
        });
        let correlation =
            pattern.as_ref().filter(|pattern| super::log_xml::names_correlation(pattern));
        self.correlation = self.correlation.take().or_else(|| correlation.cloned());
        self.appenders.push(Appender { name, layout, is_structured, pattern, profile: None });
    }
}

/// Takes a file apart; lines that begin with a space go on with the value before.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    for (at, line) in lines(text) {
        let shown = line.trim();
        if shown.is_empty() || shown.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = shown.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push(Section { name: name.trim(), pairs: Vec::new() });
            continue;
        }
        let Some(section) = found.last_mut() else { continue };
        if line.starts_with([' ', '\t'])
            && let Some((_, value)) = section.pairs.last_mut()
        {
            value.value.push('\n');
            value.value.push_str(shown);
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']) else { continue };
        let start = at + key.len() + 1 + (value.len() - value.trim_start().len());
        let value = value.trim();
        section.pairs.push((key.trim(), Text::new(value, start..start + value.len())));
    }
    found
}

/// Reads any bytes as a logging configuration, for the fuzzer.
pub fn fuzz_audit_log_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for appender in read(&text).into_iter().flat_map(|found| found.appenders) {
        assert!(appender.name.span.end as usize <= text.len());
        assert!(appender.pattern.is_none_or(|pattern| pattern.span.end as usize <= text.len()));
    }
    for root in super::yaml::read(&text).documents {
        let _ = read_mapping(&root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_have_the_form_of_their_formatter() {
        let text = "[loggers]\nkeys=root\n[handlers]\nkeys=a,b\n[formatters]\nkeys=json,plain\n\
            [logger_root]\nlevel=DEBUG\nhandlers=a\n[handler_a]\nclass=StreamHandler\nformatter=json\n\
            [handler_b]\nformatter=plain\n[formatter_json]\nformat={\"time\": \"%(asctime)s\",\n  \"trace\": \"%(otelTraceID)s\"}\n\
            [formatter_plain]\nformat=%(asctime)s %(message)s\n";
        let found = read(text).unwrap();
        let forms: Vec<(&str, bool)> =
            found.appenders.iter().map(|a| (&*a.name, a.is_structured)).collect();
        assert_eq!(forms, [("a", true), ("b", false)]);
        assert!(found.correlation.is_some());
        assert_eq!(found.root[0].0.value, "DEBUG");
        assert!(read("[server]\nlog = /var/log\n").is_none());
    }
}
