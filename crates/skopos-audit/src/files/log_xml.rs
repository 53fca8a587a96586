//! Logback and Log4j 2 in XML: levels, and what lines look like.

use std::collections::HashMap;

use super::Problem;
use super::text::Text;
use crate::Span;

/// A logging configuration.
#[derive(Clone, Debug, Default)]
pub struct LogXml {
    /// `logback` or `log4j2`.
    pub system: &'static str,
    /// Where log lines go and how they look.
    pub appenders: Vec<Appender>,
    /// Level of the root logger, with the Spring profile it holds for.
    pub root: Vec<(Text, Option<String>)>,
    /// Levels of other loggers: name, level, profile.
    pub loggers: Vec<(String, Text, Option<String>)>,
    /// Files that are included.
    pub includes: Vec<Text>,
    /// What puts a trace id or a correlation id into lines.
    pub correlation: Option<Text>,
    /// What masks secrets: a pattern's `replace`, a masking layout.
    pub masks: Option<Text>,
    /// Where it stands.
    pub span: Span,
}

/// An appender.
#[derive(Clone, Debug, Default)]
pub struct Appender {
    /// Its name.
    pub name: Text,
    /// The class or element of its encoder or layout.
    pub layout: Option<Text>,
    /// Whether its lines are JSON.
    pub is_structured: bool,
    /// Its pattern.
    pub pattern: Option<Text>,
    /// The Spring profile it holds for.
    pub profile: Option<String>,
}

/// Whether a path is one of these files.
pub fn is_log_xml(path: &str) -> bool {
    let name = super::name(path);
    name.ends_with(".xml")
        && ["logback", "log4j2", "log4j"].iter().any(|start| name.starts_with(start))
}

/// Reads a configuration.
pub fn read(text: &str) -> Result<LogXml, Problem> {
    let document = parse(text)?;
    let root = document.root_element();
    let is_log4j = root.tag_name().name().eq_ignore_ascii_case("Configuration")
        && (root.tag_name().name().starts_with('C')
            || root.descendants().any(|n| n.tag_name().name() == "Loggers"));
    let mut found = LogXml {
        system: if is_log4j { "log4j2" } else { "logback" },
        span: root.range().into(),
        ..LogXml::default()
    };
    let mut profiles: HashMap<roxmltree::NodeId, Option<&str>> = HashMap::new();
    for node in root.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let profile = match name.eq_ignore_ascii_case("springProfile") {
            true => node.attribute("name"),
            // In the order of the document: what is around was seen before.
            false => node.parent().and_then(|parent| profiles.get(&parent.id()).copied().flatten()),
        };
        profiles.insert(node.id(), profile);
        let profile = profile.map(str::to_owned);
        match name {
            "root" | "Root" => {
                found.root.extend(attribute(node, "level").map(|level| (level, profile.clone())));
            }
            "logger" | "Logger" | "AsyncLogger" => {
                let logger = node.attribute("name").unwrap_or_default().to_owned();
                let level = attribute(node, "level");
                found.loggers.extend(level.map(|level| (logger, level, profile.clone())));
            }
            "AsyncRoot" => {
                found.root.extend(attribute(node, "level").map(|level| (level, profile.clone())));
            }
            "include" => {
                let what = attribute(node, "resource").or_else(|| attribute(node, "file"));
                found.includes.extend(what);
            }
            "appender" => found.appenders.push(logback_appender(node, profile.clone())),
            _ => {}
        }
        if is_log4j && node.parent_element().is_some_and(|p| p.tag_name().name() == "Appenders") {
            found.appenders.push(log4j_appender(node, profile));
        }
        let value = attribute(node, "class").filter(|class| is_mask(class));
        let masks = match name {
            "replace" => Some(Text::new("replace", node.range())),
            _ if is_mask(name) => Some(Text::new(name, node.range())),
            _ => value,
        };
        let pattern = || attribute(node, "pattern").filter(|p| p.contains("%replace"));
        let text = || {
            let text = node.text().filter(|text| text.contains("%replace"))?;
            Some(Text::new(text, node.range()))
        };
        found.masks = found.masks.or(masks).or_else(pattern).or_else(text);
        let own = node.attributes().map(|a| (a.value(), a.range_value()));
        let mut texts = own.chain(node.text().map(|text| (text, node.range())));
        let mut id = || texts.find(|(text, _)| names_correlation(text));
        found.correlation =
            found.correlation.or_else(|| id().map(|(text, range)| Text::new(text.trim(), range)));
    }
    Ok(found)
}

fn parse(text: &str) -> Result<roxmltree::Document<'_>, Problem> {
    // DTDs stay refused: they bring entities that grow.
    let options = roxmltree::ParsingOptions { nodes_limit: 200_000, ..Default::default() };
    roxmltree::Document::parse_with_options(text, options).map_err(|error| {
        let place = error.pos();
        let row = usize::try_from(place.row).unwrap_or(1).saturating_sub(1);
        let at = super::text::lines(text).nth(row).map_or(text.len(), |(at, _)| at);
        Problem::new(at..at, format!("not XML: {error}"))
    })
}

fn is_mask(name: &str) -> bool {
    let name = name.to_lowercase();
    ["masking", "maskingpattern", "redact", "sanitiz", "valuemask"].iter().any(|w| name.contains(w))
}

fn attribute(node: roxmltree::Node<'_, '_>, name: &str) -> Option<Text> {
    let attribute = node.attribute_node(name)?;
    Some(Text::new(attribute.value(), attribute.range_value()))
}

fn is_json(layout: &str) -> bool {
    let layout = layout.to_lowercase();
    ["json", "logstash", "ecs", "gelf", "stackdriver", "otlp", "opentelemetry", "structuredlog"]
        .iter()
        .any(|word| layout.contains(word))
}

fn logback_appender(node: roxmltree::Node<'_, '_>, profile: Option<String>) -> Appender {
    let class = attribute(node, "class");
    let mut found = Appender {
        name: attribute(node, "name").unwrap_or_default(),
        is_structured: class.as_deref().is_some_and(is_json),
        profile,
        ..Appender::default()
    };
    for child in below(node) {
        let name = child.tag_name().name();
        if matches!(name, "encoder" | "layout") {
            let class = attribute(child, "class");
            found.is_structured |= class.as_deref().is_some_and(is_json);
            found.layout = class.or(found.layout);
        }
        if name == "pattern" && found.pattern.is_none() {
            let text = child.text().unwrap_or_default().trim();
            found.pattern = Some(Text::new(text, child.range()));
        }
    }
    found.is_structured |= writes_json(&found);
    found
}

/// The elements of an appender, as many as one may have: appenders inside of appenders would be read again and again.
fn below<'a, 'i>(node: roxmltree::Node<'a, 'i>) -> impl Iterator<Item = roxmltree::Node<'a, 'i>> {
    node.descendants().filter(roxmltree::Node::is_element).skip(1).take(1_000)
}

fn log4j_appender(node: roxmltree::Node<'_, '_>, profile: Option<String>) -> Appender {
    let mut found = Appender {
        name: attribute(node, "name").unwrap_or_default(),
        profile,
        ..Appender::default()
    };
    found.is_structured = is_json(node.tag_name().name());
    for child in below(node) {
        let name = child.tag_name().name();
        if name.ends_with("Layout") {
            found.is_structured |= is_json(name);
            found.layout = Some(Text::new(name, child.range()));
            found.pattern = attribute(child, "pattern").or(found.pattern);
        }
        if name == "Pattern" {
            let text = child.text().unwrap_or_default().trim();
            found.pattern = Some(Text::new(text, child.range()));
        }
    }
    found.is_structured |= writes_json(&found);
    found
}

/// Whether an appender's pattern writes JSON.
fn writes_json(appender: &Appender) -> bool {
    appender.pattern.as_ref().is_some_and(|p| p.trim_start().starts_with('{'))
}

impl Appender {
    /// Whether its lines carry a trace id or a correlation id.
    pub fn has_correlation(&self) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| names_correlation(pattern))
    }
}

/// Whether a pattern or a value of one takes an id from the context of a request.
pub(super) fn names_correlation(text: &str) -> bool {
    let text = text.to_lowercase();
    ["%x{", "%mdc", "traceid", "trace_id", "correlation", "requestid", "request_id", "%x "]
        .iter()
        .any(|word| text.contains(word))
}

/// Reads any bytes as a logging configuration, for the fuzzer.
pub fn fuzz_audit_log_xml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match read(&text) {
        Ok(found) => {
            for appender in &found.appenders {
                assert!(appender.name.span.end as usize <= text.len());
            }
        }
        Err(problem) => assert!(problem.span.end as usize <= text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logback_with_profiles() {
        let text = r#"<configuration>
  <include resource="org/springframework/boot/logging/logback/base.xml"/>
  <appender name="JSON" class="ch.qos.logback.core.ConsoleAppender">
    <encoder class="net.logstash.logback.encoder.LogstashEncoder"/>
  </appender>
  <springProfile name="dev"><appender name="T" class="a.ConsoleAppender"><encoder><pattern>%d %X{traceId} %m%n</pattern></encoder></appender></springProfile>
  <root level="DEBUG"><appender-ref ref="JSON"/></root>
</configuration>"#;
        let found = read(text).unwrap();
        assert_eq!(found.system, "logback");
        assert!(found.appenders[0].is_structured && !found.appenders[1].is_structured);
        assert!(found.appenders[1].has_correlation());
        assert_eq!(found.appenders[1].profile.as_deref(), Some("dev"));
        let level = &found.root[0].0;
        assert_eq!(&text[level.span.start as usize..level.span.end as usize], "DEBUG");
    }

    #[test]
    fn log4j2_layouts() {
        let text = r#"<Configuration><Appenders>
<Console name="A"><JsonTemplateLayout eventTemplateUri="x"/></Console>
<Console name="B"><PatternLayout pattern="%d %m%n"/></Console>
</Appenders><Loggers><Root level="info"/></Loggers></Configuration>"#;
        let found = read(text).unwrap();
        assert_eq!(found.system, "log4j2");
        let structured: Vec<bool> = found.appenders.iter().map(|a| a.is_structured).collect();
        assert_eq!(structured, [true, false]);
        assert!(!found.appenders[1].has_correlation());
    }

    #[test]
    fn broken_xml_says_where() {
        let problem = read("<a>\n<b>\n</a>").unwrap_err();
        assert!(problem.span.start > 0, "{problem:?}");
    }
}
