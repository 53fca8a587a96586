//! Alertmanager configurations: receivers, what they notify by, and which of them routes reach.

use super::node::Node;
use super::text::Text;
use crate::Span;

/// An Alertmanager configuration.
#[derive(Clone, Debug, Default)]
pub struct Alertmanager {
    /// Its receivers.
    pub receivers: Vec<Receiver>,
    /// Receivers that routes name, in order.
    pub routed: Vec<Text>,
    /// Where `route` stands.
    pub route: Option<Span>,
    /// Where it stands.
    pub span: Span,
}

/// A receiver.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// Its name.
    pub name: Text,
    /// What it notifies by: `pagerduty`, `slack`, …
    pub integrations: Vec<Text>,
    /// Addresses that can only be examples.
    pub placeholders: Vec<Text>,
}

/// Whether a document is an Alertmanager configuration.
pub fn is_alertmanager(root: &Node) -> bool {
    let is_receiver = |node: &Node| {
        node.has("name")
            && node.entries().iter().all(|(key, _)| {
                key.text().is_some_and(|key| key == "name" || key.ends_with("_configs"))
            })
    };
    let receivers = root.get("receivers").items();
    root.get("route").has("receiver") && root.has("receivers")
        || (!receivers.is_empty() && receivers.iter().all(|node| is_receiver(node)))
}

/// Reads a configuration.
pub fn read(root: &Node) -> Alertmanager {
    let mut routed = Vec::new();
    route(root.get("route"), 0, &mut routed);
    Alertmanager {
        receivers: root.get("receivers").items().iter().map(|node| receiver(node)).collect(),
        routed,
        route: root.key("route").map(|key| key.span),
        span: Span { start: root.span.start, end: root.last_byte() },
    }
}

fn route(node: &Node, depth: usize, found: &mut Vec<Text>) {
    if depth > 40 || found.len() > 2_000 {
        return;
    }
    found.extend(node.text_at("receiver"));
    for child in node.get("routes").items() {
        route(child, depth + 1, found);
    }
}

fn receiver(node: &Node) -> Receiver {
    let mut found = Receiver {
        name: node.text_at("name").unwrap_or_else(|| Text::new("", node.span)),
        ..Receiver::default()
    };
    for (key, value) in node.entries() {
        let Some(key) = key.spanned() else { continue };
        let kind = key.strip_suffix("_configs").or_else(|| key.strip_suffix("Configs"));
        let (Some(kind), false) = (kind, value.items().is_empty()) else { continue };
        found.integrations.push(Text::new(kind, key.span));
        value.walk(&mut |_, node| {
            let Some(text) = node.spanned() else { return };
            if is_placeholder(&text) {
                found.placeholders.push(text);
            }
        });
    }
    found
}

/// Whether an address or key is one that only examples have.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.to_lowercase();
    let host = text.split("://").nth(1).unwrap_or(&text);
    let host = host.split(['/', ':', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let is_example = ["example.com", "example.org", "example.net", "example.invalid"]
        .iter()
        .any(|name| host == *name || host.ends_with(&format!(".{name}")));
    is_example
        || [
            "changeme",
            "your-",
            "<your",
            "xxxxxxxx",
            "todo",
            "replace_me",
            "replace-me",
            "/t00000000/",
        ]
        .iter()
        .any(|word| text.contains(word))
}

impl Alertmanager {
    /// A receiver by name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name.value == name)
    }
}

/// Reads any bytes as Alertmanager's configuration, for the fuzzer.
pub fn fuzz_audit_alertmanager(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        let _ = (is_alertmanager(&document), read(&document));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_and_who_is_reached() {
        let text = "route:\n  receiver: default\n  routes: [{receiver: pager}]\nreceivers:\n- name: default\n- name: pager\n  pagerduty_configs: [{routing_key_file: /k}]\n  email_configs: [{to: a@example.com}]\n";
        let found = crate::files::yaml::read(text);
        assert!(is_alertmanager(&found.documents[0]));
        let config = read(&found.documents[0]);
        assert_eq!(config.routed.len(), 2);
        assert!(config.receiver("default").unwrap().integrations.is_empty());
        let pager = config.receiver("pager").unwrap();
        assert_eq!(pager.integrations.len(), 2);
        assert_eq!(pager.placeholders[0].value, "a@example.com");
    }
}
