//! Rule files as checks see them: every piece knows its place in the file.
//!
//! This reads what is there and skips what is not as it should be: whether a file may be loaded is
//! for `skopos_alerting::rules` to say, and it says so. A Kubernetes `PrometheusRule` is read too:
//! all but its `spec` is blanked, so that places stay what they are.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use skopos_alerting::parse_duration;
use skopos_alerting::rules::yaml::{self, Node, NodeKind};
use skopos_promql::{Expr, ParseOptions, Span};

use crate::comment::{self, Comment};

/// One rule file.
pub(crate) struct RuleFile {
    pub(crate) path: String,
    /// What Prometheus would be given: the text, or the text with all but `spec` blanked.
    pub(crate) text: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) comments: Vec<Comment>,
}

pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) interval: Option<(Duration, Text)>,
    pub(crate) rules: Vec<Rule>,
}

pub(crate) struct Rule {
    pub(crate) is_alert: bool,
    pub(crate) name: Text,
    pub(crate) expr: Option<Expression>,
    pub(crate) hold: Option<(Duration, Text)>,
    pub(crate) keep_firing_for: Option<(Duration, Text)>,
    /// Its own labels, then those of the group that it does not set itself.
    pub(crate) labels: Vec<(Text, Text)>,
    pub(crate) annotations: Vec<(Text, Text)>,
    pub(crate) span: Range<usize>,
}

pub(crate) struct Expression {
    pub(crate) text: Text,
    pub(crate) ast: Expr,
}

/// A scalar and where it stands.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    node: Rc<Node>,
}

impl Text {
    fn of(node: &Rc<Node>) -> Option<Self> {
        let value = match &node.kind {
            NodeKind::Scalar { text, .. } => text.clone(),
            NodeKind::Null => String::new(),
            _ => return None,
        };
        Some(Self { value, node: node.clone() })
    }

    /// Its bytes in the file.
    pub(crate) fn span(&self) -> Range<usize> {
        self.node.span.clone()
    }

    /// The bytes of the file that a piece of the value came from.
    pub(crate) fn place(&self, file: &str, piece: Span) -> Range<usize> {
        let start = self.node.source_offset(file, piece.start);
        let end = self.node.source_offset(file, piece.end).max(start);
        start..end
    }
}

impl Rule {
    pub(crate) fn label(&self, name: &str) -> Option<&(Text, Text)> {
        self.labels.iter().find(|(key, _)| key.value == name)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&(Text, Text)> {
        self.annotations.iter().find(|(key, _)| key.value == name)
    }

    pub(crate) fn hold(&self) -> Duration {
        self.hold.as_ref().map_or(Duration::ZERO, |(hold, _)| *hold)
    }

    pub(crate) fn ast(&self) -> Option<&Expr> {
        self.expr.as_ref().map(|expr| &expr.ast)
    }
}

impl RuleFile {
    pub(crate) fn read(path: &str, text: &str, language: &ParseOptions) -> Self {
        let text = prometheus_rule_spec(text).unwrap_or_else(|| text.to_owned());
        let mut file =
            Self { path: path.to_owned(), text, groups: Vec::new(), comments: Vec::new() };
        let Ok(Some(root)) = yaml::parse(&file.text) else {
            file.comments = comment::scan(&file.text, &[]);
            return file;
        };
        let mut opaque = Vec::new();
        scalars(&root, false, &mut opaque);
        file.comments = comment::scan(&file.text, &opaque);
        for node in entry(&root, "groups").into_iter().flat_map(|groups| list(&groups)) {
            file.groups.extend(group(&node, language));
        }
        file
    }
}

fn group(node: &Rc<Node>, language: &ParseOptions) -> Option<Group> {
    let name = Text::of(&entry(node, "name")?)?.value;
    let labels = pairs(node, "labels");
    let rules: Vec<Rule> = entry(node, "rules")
        .into_iter()
        .flat_map(|rules| list(&rules))
        .filter_map(|node| rule(&node, &labels, language))
        .collect();
    let interval = duration(node, "interval").filter(|(interval, _)| !interval.is_zero());
    Some(Group { name, interval, rules })
}

fn rule(node: &Rc<Node>, inherited: &[(Text, Text)], language: &ParseOptions) -> Option<Rule> {
    let given = |key| entry(node, key).filter(|n| !matches!(n.kind, NodeKind::Null));
    let (name, is_alert) = match (given("alert"), given("record")) {
        (Some(alert), None) => (alert, true),
        (None, Some(record)) => (record, false),
        _ => return None,
    };
    let name = Text::of(&name)?;
    let expr = given("expr").and_then(|node| Text::of(&node)).and_then(|text| {
        let ast = skopos_promql::parse(&text.value, language).ok()?;
        Some(Expression { text, ast })
    });
    let mut labels = pairs(node, "labels");
    for (key, value) in inherited {
        if !labels.iter().any(|(own, _)| own.value == key.value) {
            labels.push((key.clone(), value.clone()));
        }
    }
    Some(Rule {
        is_alert,
        name,
        expr,
        hold: duration(node, "for"),
        keep_firing_for: duration(node, "keep_firing_for"),
        labels,
        annotations: pairs(node, "annotations"),
        span: node.span.start..last_byte(node),
    })
}

fn entry(node: &Node, key: &str) -> Option<Rc<Node>> {
    let NodeKind::Mapping(pairs) = &node.kind else { return None };
    pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value.clone())
}

fn list(node: &Node) -> Vec<Rc<Node>> {
    match &node.kind {
        NodeKind::Sequence(items) => items.clone(),
        _ => Vec::new(),
    }
}

fn pairs(node: &Node, key: &str) -> Vec<(Text, Text)> {
    let Some(node) = entry(node, key) else { return Vec::new() };
    let NodeKind::Mapping(pairs) = &node.kind else { return Vec::new() };
    pairs.iter().filter_map(|(key, value)| Some((Text::of(key)?, Text::of(value)?))).collect()
}

fn duration(node: &Node, key: &str) -> Option<(Duration, Text)> {
    let text = Text::of(&entry(node, key)?)?;
    Some((parse_duration(&text.value).ok()?, text))
}

/// Where the last scalar below a node ends: a block's own end is where the next one begins.
fn last_byte(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Null | NodeKind::Scalar { .. } => node.span.end,
        NodeKind::Sequence(items) => {
            items.iter().map(|n| last_byte(n)).max().unwrap_or(node.span.start)
        }
        NodeKind::Mapping(pairs) => {
            let ends = pairs.iter().flat_map(|(k, v)| [last_byte(k), last_byte(v)]);
            ends.max().unwrap_or(node.span.start)
        }
    }
    .max(node.span.start)
}

/// The scalars in which a `#` is text, not a comment; in expressions it begins PromQL's own.
fn scalars(node: &Node, is_expr: bool, found: &mut Vec<Range<usize>>) {
    match &node.kind {
        NodeKind::Null => {}
        NodeKind::Scalar { .. } if is_expr => {}
        NodeKind::Scalar { .. } => found.push(node.span.clone()),
        NodeKind::Sequence(items) => items.iter().for_each(|item| scalars(item, false, found)),
        NodeKind::Mapping(pairs) => {
            for (key, value) in pairs {
                scalars(key, false, found);
                scalars(value, key.text() == Some("expr"), found);
            }
        }
    }
}

/// The text of a Kubernetes `PrometheusRule` with everything but its `spec` blanked, byte for byte.
fn prometheus_rule_spec(text: &str) -> Option<String> {
    if !text.contains("PrometheusRule") {
        return None;
    }
    let root = yaml::parse(text).ok()??;
    if entry(&root, "kind")?.text() != Some("PrometheusRule") {
        return None;
    }
    let spec = entry(&root, "spec")?;
    let end = last_byte(&spec);
    // Flow mappings and lists are closed by brackets behind their last scalar.
    let behind = text.get(end..).unwrap_or_default();
    let is_closing = |c: char| c.is_whitespace() || matches!(c, '}' | ']' | ',');
    let closing = &behind[..behind.find(|c| !is_closing(c)).unwrap_or(behind.len())];
    let end = end + closing.rfind(['}', ']']).map_or(0, |at| at + 1);
    let mut bytes = text.as_bytes().to_vec();
    for (at, byte) in bytes.iter_mut().enumerate() {
        let in_spec = (spec.span.start..end).contains(&at);
        if !in_spec && *byte != b'\n' {
            *byte = b' ';
        }
    }
    String::from_utf8(bytes).ok()
}
