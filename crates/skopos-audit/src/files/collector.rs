//! OpenTelemetry Collector configurations: components, pipelines, and what of the data they take out.

use std::sync::Arc;

use super::node::Node;
use super::text::Text;
use crate::Span;

/// A Collector configuration; a layer of one may lack parts.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    /// `receivers`.
    pub receivers: Vec<Component>,
    /// `processors`.
    pub processors: Vec<Component>,
    /// `exporters`.
    pub exporters: Vec<Component>,
    /// `connectors`: exporters of one pipeline and receivers of another.
    pub connectors: Vec<Component>,
    /// `extensions`.
    pub extensions: Vec<Component>,
    /// `service.pipelines`.
    pub pipelines: Vec<Pipeline>,
    /// Whether it has a `service` of its own: without, it is a layer of another file.
    pub is_whole: bool,
    /// The bytes it was read from.
    pub span: Span,
}

/// A component: `kind` or `kind/name`, and its settings.
#[derive(Clone, Debug)]
pub struct Component {
    /// As written.
    pub id: Text,
    /// Its settings.
    pub settings: Arc<Node>,
}

/// A pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// As written: `traces`, `metrics/internal`.
    pub id: Text,
    /// Names of receivers.
    pub receivers: Vec<Text>,
    /// Names of processors, in their order.
    pub processors: Vec<Text>,
    /// Names of exporters.
    pub exporters: Vec<Text>,
    /// All of it, from its name.
    pub span: Span,
}

/// Something that a processor takes out or makes unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A key of attributes; `*` at the end stands for any rest.
    Key(String),
    /// Whatever is not on a list.
    AllBut(Vec<String>),
    /// Values that match patterns, under any key.
    Values,
}

impl Component {
    /// The kind: what stands before the `/`.
    pub fn kind(&self) -> &str {
        kind(&self.id)
    }

    /// What the processor takes out, each with its place.
    pub fn takes_out(&self) -> Vec<(Taken, Span)> {
        let mut found = Vec::new();
        match self.kind() {
            "attributes" | "resource" => {
                let actions = self.settings.get("actions").items().iter();
                for action in actions.chain(self.settings.get("attributes").items()) {
                    let is_taken = action.get("action").text().is_some_and(|a| {
                        matches!(
                            a.to_ascii_lowercase().as_str(),
                            "delete" | "hash" | "update" | "upsert"
                        )
                    });
                    // `update` to a fixed value masks; from another attribute it does not.
                    let keeps = action.has("from_attribute") || action.has("from_context");
                    let key = action.get("key").text().or_else(|| action.get("pattern").text());
                    let action_name =
                        action.get("action").text().unwrap_or_default().to_ascii_lowercase();
                    let masks = matches!(action_name.as_str(), "delete" | "hash") || !keeps;
                    if let (true, true, Some(key)) = (is_taken, masks, key) {
                        found.push((Taken::Key(key.to_owned()), action.span));
                    }
                }
            }
            "redaction" => {
                let allows_all = self.settings.get("allow_all_keys").boolean() == Some(true);
                let allowed = self.settings.get("allowed_keys");
                if !allows_all {
                    let keys = allowed.texts().into_iter().map(|text| text.value).collect();
                    found.push((Taken::AllBut(keys), self.id.span));
                }
                for pattern in self.settings.get("blocked_key_patterns").texts() {
                    let key =
                        pattern.trim_matches(['^', '$']).replace(".*", "*").replace("(?i)", "");
                    found.push((Taken::Key(key), pattern.span));
                }
                if self.settings.has("blocked_values") {
                    found.push((Taken::Values, self.settings.get("blocked_values").span));
                }
            }
            "transform" | "filter" => {
                self.settings.walk(&mut |_, node| {
                    if let Some(text) = node.text() {
                        found.extend(statement(text).into_iter().map(|taken| (taken, node.span)));
                    }
                });
            }
            _ => {}
        }
        found
    }
}

/// What an OTTL statement takes out: `delete_key(attributes, "x")`, `set(attributes["x"], "***")`, …
fn statement(text: &str) -> Vec<Taken> {
    let mut found = Vec::new();
    let text = text.trim();
    let name = text.split('(').next().unwrap_or_default().trim();
    let quoted: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
    match name {
        "delete_key" => found.extend(quoted.first().map(|key| Taken::Key((*key).to_owned()))),
        "delete_matching_keys" => {
            found.extend(
                quoted
                    .first()
                    .map(|key| Taken::Key(key.trim_start_matches("(?i)").replace(".*", "*"))),
            );
        }
        "keep_keys" | "keep_matching_keys" => {
            found.push(Taken::AllBut(quoted.iter().map(|key| (*key).to_owned()).collect()));
        }
        "replace_all_patterns" => found.push(Taken::Values),
        "replace_pattern" | "set" => {
            let target = text.split(['(', ',']).nth(1).unwrap_or_default();
            let key = target.split('"').nth(1);
            let is_body = target.trim() == "body" || target.contains("log.body");
            match key {
                Some(key) if target.contains("attributes[") => {
                    found.push(Taken::Key(key.to_owned()));
                }
                _ if is_body && name == "replace_pattern" => found.push(Taken::Values),
                _ => {}
            }
        }
        _ => {}
    }
    found
}

impl Taken {
    /// Whether it takes out this key.
    pub fn covers(&self, key: &str) -> bool {
        let key = key.to_lowercase();
        match self {
            Self::Key(pattern) => {
                let pattern = pattern.to_lowercase();
                let parts: Vec<&str> = pattern.split('*').collect();
                match parts.as_slice() {
                    [whole] => *whole == key,
                    ["", middle, ""] => key.contains(middle),
                    [start, ""] => key.starts_with(start),
                    ["", end] => key.ends_with(end),
                    _ => pattern
                        .split(['*', '(', ')', '|'])
                        .any(|part| part.len() > 2 && key.contains(part)),
                }
            }
            Self::AllBut(kept) => !kept.iter().any(|name| name.to_lowercase() == key),
            Self::Values => false,
        }
    }
}

impl Pipeline {
    /// `traces`, `metrics`, `logs` or `profiles`.
    pub fn signal(&self) -> &str {
        kind(&self.id)
    }
}

/// What stands before the `/` of a component's or pipeline's name.
pub fn kind(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

/// Whether a document is a Collector configuration, or a layer of one.
pub fn is_collector(root: &Node) -> bool {
    let is_part = |key: &str| !root.get(key).entries().is_empty();
    let has_pipelines = !root.at("service.pipelines").entries().is_empty();
    has_pipelines || (is_part("receivers") && is_part("exporters"))
}

/// Reads a configuration.
pub fn read(root: &Node) -> Collector {
    let components = |key: &str| -> Vec<Component> {
        let entries = root.get(key).entries().iter();
        entries
            .filter_map(|(id, node)| Some(Component { id: id.spanned()?, settings: node.clone() }))
            .collect()
    };
    let pipelines = root.at("service.pipelines").entries().iter().filter_map(|(id, node)| {
        let id = id.spanned()?;
        Some(Pipeline {
            receivers: node.get("receivers").texts(),
            processors: node.get("processors").texts(),
            exporters: node.get("exporters").texts(),
            span: Span { start: id.span.start, end: node.last_byte().max(id.span.end) },
            id,
        })
    });
    Collector {
        receivers: components("receivers"),
        processors: components("processors"),
        exporters: components("exporters"),
        connectors: components("connectors"),
        extensions: components("extensions"),
        pipelines: pipelines.collect(),
        is_whole: root.has("service"),
        span: Span { start: root.span.start, end: root.last_byte() },
    }
}

impl Collector {
    /// A processor by its name.
    pub fn processor(&self, id: &str) -> Option<&Component> {
        self.processors.iter().find(|component| component.id.value == id)
    }

    /// Where the pipelines of a signal take out a key; none when one of them lets it pass.
    pub fn takes_out(&self, signal: &str, key: &str) -> Option<Span> {
        let mut place = None;
        for pipeline in self.pipelines.iter().filter(|pipeline| pipeline.signal() == signal) {
            let taken = pipeline.processors.iter().filter_map(|id| self.processor(id));
            let found = taken
                .flat_map(Component::takes_out)
                .find(|(taken, _)| taken.covers(key))
                .map(|(_, span)| span);
            place = Some(found?);
        }
        place
    }

    /// Whether anything is taken out in any pipeline.
    pub fn redacts(&self) -> Option<Span> {
        let used = self.pipelines.iter().flat_map(|pipeline| &pipeline.processors);
        used.filter_map(|id| self.processor(id)).flat_map(Component::takes_out).next().map(|f| f.1)
    }
}

/// Reads any bytes as a Collector configuration, for the fuzzer.
pub fn fuzz_audit_collector(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        if is_collector(&document) {
            let collector = read(&document);
            let _ = (collector.redacts(), collector.takes_out("traces", "user.email"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_take_out_what_all_of_a_signal_take_out() {
        let text = r#"
receivers: {otlp: {}}
processors:
  attributes/pii: {actions: [{key: user.email, action: delete}, {key: a, action: insert, value: 1}]}
  transform:
    log_statements: [{context: log, statements: ['delete_key(attributes, "password")']}]
  redaction: {allow_all_keys: true, blocked_key_patterns: [".*token.*"]}
exporters: {otlp: {}}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [attributes/pii, redaction], exporters: [otlp]}
    logs: {receivers: [otlp], processors: [transform], exporters: [otlp]}
    logs/raw: {receivers: [otlp], processors: [], exporters: [otlp]}
"#;
        let found = crate::files::yaml::read(text);
        assert!(is_collector(&found.documents[0]));
        let collector = read(&found.documents[0]);
        assert!(collector.takes_out("traces", "user.email").is_some());
        assert!(collector.takes_out("traces", "access_token").is_some());
        assert!(collector.takes_out("traces", "a").is_none());
        assert!(collector.takes_out("logs", "password").is_none(), "logs/raw lets it pass");
        assert!(collector.redacts().is_some());
    }
}
