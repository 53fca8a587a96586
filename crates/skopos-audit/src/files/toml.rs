//! TOML as the tree that YAML and JSON are read into.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::node::{MAX_DEPTH, Node, NodeKind, Style};

/// Reads a text: what can be read, and what cannot.
pub fn read(text: &str) -> (Arc<Node>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let problem = |error: &toml::de::Error| {
        let message = error.message().lines().next().unwrap_or_default();
        Problem::new(error.span().unwrap_or(0..0), message)
    };
    let problems = errors.iter().take(20).map(problem).collect();
    let root = mapping(table.get_ref(), 0);
    (Arc::new(Node { kind: root, span: table.span().into() }), problems)
}

fn mapping(table: &DeTable<'_>, depth: usize) -> NodeKind {
    let mut entries: Vec<(Arc<Node>, Arc<Node>)> = table
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().to_string();
            let kind = NodeKind::Scalar { text: name, style: Style::Plain };
            let key = Node { kind, span: key.span().into() };
            (Arc::new(key), node(value, depth + 1))
        })
        .collect();
    // The parser sorts keys; readers want the order of the file.
    entries.sort_by_key(|(key, _)| key.span.start);
    NodeKind::Mapping(entries)
}

fn node(value: &Spanned<DeValue<'_>>, depth: usize) -> Arc<Node> {
    let scalar = |text: String, style| NodeKind::Scalar { text, style };
    let kind = match value.get_ref() {
        _ if depth > MAX_DEPTH => NodeKind::Null,
        DeValue::String(text) => scalar(text.to_string(), Style::Quoted),
        DeValue::Integer(number) => scalar(number.as_str().to_owned(), Style::Plain),
        DeValue::Float(number) => scalar(number.as_str().to_owned(), Style::Plain),
        DeValue::Boolean(yes) => scalar(yes.to_string(), Style::Plain),
        DeValue::Datetime(time) => scalar(time.to_string(), Style::Plain),
        DeValue::Array(items) => {
            NodeKind::Sequence(items.iter().map(|item| node(item, depth + 1)).collect())
        }
        DeValue::Table(table) => mapping(table, depth + 1),
    };
    Arc::new(Node { kind, span: value.span().into() })
}

/// Reads any bytes as TOML, for the fuzzer.
pub fn fuzz_audit_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (root, _) = read(&text);
    root.walk(&mut |_, node| assert!(node.span.end as usize <= text.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn keys_keep_order_and_lines() {
        let text = "[package]\nname = \"x\"\n\n[dependencies]\nb = \"1\"\na = { version = \"2\", features = [\"f\"] }\n";
        let (root, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(root.at("dependencies.a.version").text(), Some("2"));
        assert_eq!(Lines::of(text).line(root.at("dependencies.a.version").span.start), 6);
        let names: Vec<_> =
            root.get("dependencies").entries().iter().filter_map(|(k, _)| k.text()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn what_is_broken_is_said_and_the_rest_read() {
        let text = "[a]\nx = 1\ny = \n[b]\nz = 2\n";
        let (root, problems) = read(text);
        assert_eq!(problems.len(), 1);
        assert_eq!(Lines::of(text).line(problems[0].span.start), 3);
        assert_eq!(root.at("b.z").text(), Some("2"));
    }
}
