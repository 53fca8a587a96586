//! From YAML to rules: strict about keys, complete about errors.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::METRIC_NAME;
use skopos_promql::ParseOptions;

use super::expression::ExpressionError;
use super::yaml::{self, Node, NodeKind};
use super::{
    AlertSpec, Expression, GroupId, Rule, RuleError, RuleGroup, RuleId, RuleKind, RuleSet,
    hash_pieces, nearest,
};
use crate::duration::parse_duration;
use crate::template::Template;

const FILE_KEYS: &[&str] = &["groups"];
const GROUP_KEYS: &[&str] = &["name", "interval", "query_offset", "limit", "labels", "rules"];
const RULE_KEYS: &[&str] =
    &["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// Errors reported for one file at most: beyond this it is not a rule file.
const MAX_ERRORS_PER_FILE: usize = 100;

/// Reads rule files given as (path, text). Either every rule of every file is valid, or all
/// errors of all files are returned.
pub fn load(files: &[(&str, &str)]) -> Result<RuleSet, Vec<RuleError>> {
    load_with(files, &ParseOptions::default())
}

/// Like [`load`], with a say in which parts of PromQL the rules may use.
pub fn load_with(
    files: &[(&str, &str)],
    language: &ParseOptions,
) -> Result<RuleSet, Vec<RuleError>> {
    let mut set = RuleSet::default();
    let mut errors = Vec::new();
    let mut group_ids = HashMap::new();
    for (path, text) in files {
        let mut reader =
            Reader { path, text, language, errors: Vec::new(), group_ids: &mut group_ids };
        let groups = reader.file();
        set.groups.extend(groups.into_iter().map(Arc::new));
        reader.errors.sort_by_key(|e| (e.line, e.column));
        errors.append(&mut reader.errors);
    }
    if errors.is_empty() { Ok(set) } else { Err(errors) }
}

/// Reads arbitrary bytes as a rule file; for fuzzing. Positions of errors must lie in the file.
pub fn fuzz_rule_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(errors) = load(&[("fuzz.yml", text)]) {
        for error in errors {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "{error:?}");
            let length = error.snippet.chars().count();
            assert!(error.column >= 1 && error.column <= length + 1, "{error:?}");
            let _ = error.to_string();
        }
    }
}

/// Reads nodes as what they should be and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) language: &'a ParseOptions,
    pub(crate) errors: Vec<RuleError>,
    /// How often a group's identity was seen: equal names in equal base names are told apart.
    pub(crate) group_ids: &'a mut HashMap<u64, usize>,
}

/// The entries of a mapping by key: the key's node and the value's.
pub(crate) type Fields<'n> = BTreeMap<&'n str, (&'n Rc<Node>, &'n Rc<Node>)>;

impl Reader<'_> {
    pub(crate) fn error(
        &mut self,
        at: usize,
        length: usize,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.error_with_hint(at, length, code, message, None);
    }

    pub(crate) fn error_with_hint(
        &mut self,
        at: usize,
        length: usize,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.errors.len() >= MAX_ERRORS_PER_FILE {
            return;
        }
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line_start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line_text = self.text[line_start..].split('\n').next().unwrap_or("");
        let snippet = line_text.trim_end_matches('\r').to_string();
        let column = self.text[line_start..at].chars().count() + 1;
        let left = (snippet.chars().count() + 1).saturating_sub(column).max(1);
        self.errors.push(RuleError {
            file: self.path.into(),
            line: self.text[..at].matches('\n').count() + 1,
            column: column.min(snippet.chars().count() + 1),
            width: length.clamp(1, left),
            code,
            message: message.into(),
            hint,
            snippet,
        });
    }

    pub(crate) fn error_on(&mut self, node: &Node, code: &'static str, message: impl Into<String>) {
        let raw = self.text.get(node.span.clone()).unwrap_or("");
        let length = raw.trim_end().split('\n').next().unwrap_or("").chars().count();
        self.error(node.span.start, length, code, message);
    }

    fn file(&mut self) -> Vec<RuleGroup> {
        let root = match yaml::parse(self.text) {
            Ok(root) => root,
            Err(error) => {
                self.error(error.offset, 1, "yaml", error.message);
                return Vec::new();
            }
        };
        let Some(root) = root else { return Vec::new() };
        if matches!(root.kind, NodeKind::Null) {
            return Vec::new();
        }
        let Some(fields) = self.fields(&root, FILE_KEYS, "a rule file") else { return Vec::new() };
        let Some((_, groups)) = fields.get("groups") else { return Vec::new() };
        let mut names = HashSet::new();
        let mut loaded = Vec::new();
        for node in self.list(groups, "groups") {
            if let Some(group) = self.group(node, &mut names) {
                loaded.push(group);
            }
        }
        loaded
    }

    fn group(&mut self, node: &Rc<Node>, names: &mut HashSet<String>) -> Option<RuleGroup> {
        let fields = self.fields(node, GROUP_KEYS, "a rule group")?;
        let name = match fields.get("name") {
            None => {
                self.error_on(node, "missing-key", "a rule group needs a name");
                String::new()
            }
            Some((_, value)) => {
                let name = self.string(value, "name").unwrap_or_default();
                if name.is_empty() {
                    self.error_on(value, "value", "a group's name must not be empty");
                } else if !names.insert(name.clone()) {
                    let message = format!("group {name:?} occurs twice in this file");
                    self.error_on(value, "duplicate", message);
                }
                name
            }
        };
        let interval = self.duration(&fields, "interval");
        // Prometheus reads 0 as "not given".
        let interval = interval.filter(|d| !d.is_zero());
        let query_offset = self.duration(&fields, "query_offset");
        let limit = self.limit(&fields);
        let labels = self.labels(&fields, "labels");
        let id = self.group_id(&name);
        let mut rule_ids = HashMap::new();
        let mut rules = Vec::new();
        if let Some((_, list)) = fields.get("rules") {
            for node in self.list(list, "rules") {
                if let Some(rule) = self.rule(node, id, &labels, &mut rule_ids) {
                    rules.push(Arc::new(rule));
                }
            }
        }
        let file = self.path.to_string();
        Some(RuleGroup { id, file, name, interval, query_offset, limit, rules })
    }

    fn group_id(&mut self, name: &str) -> GroupId {
        let base = self.path.rsplit(['/', '\\']).next().unwrap_or(self.path);
        let plain = hash_pieces(["group", base, name]) as u64;
        let seen = self.group_ids.entry(plain).or_insert(0);
        *seen += 1;
        match *seen {
            1 => GroupId(plain),
            n => GroupId(hash_pieces(["group", base, name, &n.to_string()]) as u64),
        }
    }

    fn rule(
        &mut self,
        node: &Rc<Node>,
        group: GroupId,
        group_labels: &BTreeMap<String, (String, Rc<Node>)>,
        seen: &mut HashMap<u64, usize>,
    ) -> Option<Rule> {
        let fields = self.fields(node, RULE_KEYS, "a rule")?;
        let given = |key| fields.get(key).filter(|(_, v)| !matches!(v.kind, NodeKind::Null));
        let (name_node, is_alert) = match (given("alert"), given("record")) {
            (Some((_, alert)), None) => (*alert, true),
            (None, Some((_, record))) => (*record, false),
            (Some(_), Some((key, _))) => {
                let message = "only one of `record` and `alert` may be set";
                self.error_on(key, "conflict", message);
                return None;
            }
            (None, None) => {
                self.error_on(node, "missing-key", "a rule needs `record` or `alert`");
                return None;
            }
        };
        let name = self.string(name_node, if is_alert { "alert" } else { "record" })?;
        self.check_name(name_node, &name, is_alert);
        let expr = match given("expr") {
            Some((_, value)) => self.expression(value),
            None => {
                self.error_on(name_node, "missing-key", format!("rule {name:?} needs an `expr`"));
                None
            }
        };
        if !is_alert {
            for key in ["for", "keep_firing_for", "annotations"] {
                if let Some((node, _)) = given(key) {
                    let message = format!("`{key}` has no meaning in a recording rule");
                    self.error_on(node, "conflict", message);
                }
            }
        }
        let own = self.labels(&fields, "labels");
        let mut labels = group_labels.clone();
        labels.extend(own);
        let kind = match is_alert {
            false => RuleKind::Recording,
            true => {
                let annotations = self.labels(&fields, "annotations");
                RuleKind::Alerting(AlertSpec {
                    hold: self.duration(&fields, "for").unwrap_or_default(),
                    keep_firing_for: self.duration(&fields, "keep_firing_for").unwrap_or_default(),
                    label_templates: self.templates(&labels),
                    annotation_templates: self.templates(&annotations),
                    annotations: texts(annotations),
                })
            }
        };
        let labels = texts(labels);
        let id = rule_id(group, is_alert, &name, &labels, seen);
        let line = self.text[..node.span.start.min(self.text.len())].matches('\n').count() + 1;
        Some(Rule { id, name, expr: expr?, labels, kind, line })
    }

    fn check_name(&mut self, node: &Node, name: &str, is_alert: bool) {
        let what = if is_alert { "alert" } else { "recorded metric" };
        if name.is_empty() {
            self.error_on(node, "name", format!("the {what}'s name must not be empty"));
        } else if !is_alert && name.contains(['{', '}']) {
            let message = format!("{name:?} is no metric name: it contains braces");
            let hint = Some("labels of a recording rule stand under `labels`".into());
            self.error_with_hint(node.span.start, name.chars().count(), "name", message, hint);
        }
    }

    fn expression(&mut self, node: &Node) -> Option<Expression> {
        let text = self.string(node, "expr")?;
        match Expression::parse(&text, self.language) {
            Ok(expression) => Some(expression),
            Err(ExpressionError { offset, length, message, hint }) => {
                let start = node.source_offset(self.text, offset);
                self.error_with_hint(start, length, "promql", message, hint);
                None
            }
        }
    }

    fn templates(
        &mut self,
        texts: &BTreeMap<String, (String, Rc<Node>)>,
    ) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        for (name, (text, node)) in texts {
            match Template::parse(text) {
                Ok(template) => drop(templates.insert(name.clone(), template)),
                Err(error) => {
                    let start = node.source_offset(self.text, error.offset);
                    let message = format!("template of {name:?}: {}", error.message);
                    self.error_with_hint(start, 1, "template", message, error.hint);
                }
            }
        }
        templates
    }

    /// The entries of a mapping with known keys; unknown and repeated keys are errors.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Rc<Node>,
        known: &[&str],
        what: &str,
    ) -> Option<Fields<'n>> {
        let NodeKind::Mapping(pairs) = &node.kind else {
            let message = format!("{what} must be a mapping, found {}", node.kind_name());
            self.error_on(node, "value", message);
            return None;
        };
        let mut fields = Fields::new();
        for (key, value) in pairs {
            let Some(name) = key.text() else {
                self.error_on(
                    key,
                    "unknown-key",
                    format!("a key must be a text, found {}", key.kind_name()),
                );
                continue;
            };
            if !known.contains(&name) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{what} has the keys {}", known.join(", ")),
                };
                let message = format!("unknown key {name:?} in {what}");
                let width = name.chars().count();
                self.error_with_hint(key.span.start, width, "unknown-key", message, Some(hint));
            } else if fields.insert(name, (key, value)).is_some() {
                self.error_on(key, "duplicate", format!("key {name:?} occurs twice"));
            }
        }
        Some(fields)
    }

    pub(crate) fn list<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Rc<Node>] {
        match &node.kind {
            NodeKind::Sequence(items) => items,
            NodeKind::Null => &[],
            _ => {
                let message = format!("`{key}` must be a list, found {}", node.kind_name());
                self.error_on(node, "value", message);
                &[]
            }
        }
    }

    pub(crate) fn string(&mut self, node: &Node, key: &str) -> Option<String> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => Some(text.clone()),
            NodeKind::Null => Some(String::new()),
            _ => {
                let message = format!("`{key}` must be a text, found {}", node.kind_name());
                self.error_on(node, "value", message);
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, fields: &Fields<'_>, key: &str) -> Option<Duration> {
        let (_, node) = fields.get(key)?;
        if matches!(node.kind, NodeKind::Null) {
            return None;
        }
        let text = self.string(node, key)?;
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.error_on(node, "value", format!("`{key}`: {error}"));
                None
            }
        }
    }

    fn limit(&mut self, fields: &Fields<'_>) -> usize {
        let Some((_, node)) = fields.get("limit") else { return 0 };
        let text = self.string(node, "limit").unwrap_or_default();
        match text.parse::<i64>() {
            // Prometheus takes a negative limit for none.
            Ok(limit) => usize::try_from(limit).unwrap_or(0),
            Err(_) if matches!(node.kind, NodeKind::Null) => 0,
            Err(_) => {
                self.error_on(
                    node,
                    "value",
                    format!("`limit` must be a whole number, found {text:?}"),
                );
                0
            }
        }
    }

    /// A mapping of label or annotation names to texts, with the nodes of the texts.
    pub(crate) fn labels(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
    ) -> BTreeMap<String, (String, Rc<Node>)> {
        let mut labels = BTreeMap::new();
        let Some((_, node)) = fields.get(key) else { return labels };
        if matches!(node.kind, NodeKind::Null) {
            return labels;
        }
        let NodeKind::Mapping(pairs) = &node.kind else {
            let message = format!("`{key}` must be a mapping, found {}", node.kind_name());
            self.error_on(node, "value", message);
            return labels;
        };
        for (name_node, value_node) in pairs {
            let Some(name) = self.string(name_node, "a name") else { continue };
            let Some(value) = self.string(value_node, &name) else { continue };
            if name.is_empty() {
                self.error_on(name_node, "name", "a name must not be empty");
            } else if key == "labels" && name == METRIC_NAME {
                let message =
                    format!("label {METRIC_NAME:?} cannot be set: it is the metric's name");
                self.error_on(name_node, "name", message);
            } else if labels.insert(name.clone(), (value, value_node.clone())).is_some() {
                self.error_on(name_node, "duplicate", format!("{name:?} occurs twice"));
            }
        }
        labels
    }
}

pub(crate) fn texts(labels: BTreeMap<String, (String, Rc<Node>)>) -> BTreeMap<String, String> {
    labels.into_iter().map(|(name, (text, _))| (name, text)).collect()
}

/// The rule's identity; equal rules of a group are told apart by their order.
fn rule_id(
    group: GroupId,
    is_alert: bool,
    name: &str,
    labels: &BTreeMap<String, String>,
    seen: &mut HashMap<u64, usize>,
) -> RuleId {
    let group = group.to_string();
    let kind = if is_alert { "alert" } else { "record" };
    let mut pieces = vec![kind, &group, name];
    pieces.extend(labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    let plain = hash_pieces(pieces.iter().copied()) as u64;
    let count = seen.entry(plain).or_insert(0);
    *count += 1;
    if *count == 1 {
        return RuleId(plain);
    }
    let ordinal = format!("#{count}");
    pieces.push(&ordinal);
    RuleId(hash_pieces(pieces) as u64)
}
