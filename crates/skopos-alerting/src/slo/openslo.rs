//! OpenSLO v1 as objectives.
//!
//! Objects refer to each other by kind and name, across files. What OpenSLO has no words for (owner, runbook,
//! multi-window alerts, policy, groups) stands in annotations of the SLO that begin with `skopos/`,
//! in the native form. An SLO with several objectives becomes several, named `slo-objective`.
//! A threshold metric becomes a share per minute: each minute is good or bad.

mod alerts;
mod sli;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::indicator::Indicator;
use super::load::{check_target, check_whole, error_with_hint, line_of, share};
use super::names;
use super::native::{self, id_of};
use super::{Policy, Slo, tidy};
use crate::rules::load::{Fields, Reader, texts};
use crate::rules::yaml::{self, Node, NodeKind};

/// The version read.
pub(super) const API_VERSION: &str = "openslo/v1";

const OBJECT_KEYS: &[&str] = &["apiVersion", "kind", "metadata", "spec"];
const METADATA_KEYS: &[&str] = &["name", "displayName", "labels", "annotations"];
const SLO_KEYS: &[&str] = &[
    "description",
    "service",
    "indicator",
    "indicatorRef",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
];
const OBJECTIVE_KEYS: &[&str] = &[
    "displayName",
    "op",
    "value",
    "target",
    "targetPercent",
    "timeSliceTarget",
    "timeSliceWindow",
    "indicator",
    "indicatorRef",
    "compositeWeight",
];
const KINDS: &[&str] = &[
    "SLO",
    "SLI",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
    "DataSource",
    "Service",
];

/// What OpenSLO has no words for, in annotations that begin with `skopos/`.
const ANNOTATIONS: [&str; 7] =
    ["alerts", "budgeting", "group-by", "owner", "policy", "runbook", "sli"];

/// Whether a document says that it is OpenSLO.
pub(super) fn is_openslo(node: &Node) -> bool {
    let NodeKind::Mapping(pairs) = &node.kind else { return false };
    pairs.iter().any(|(key, value)| {
        key.text() == Some("apiVersion") && value.text().is_some_and(|v| v.starts_with("openslo"))
    })
}

/// All objects of all files.
#[derive(Default)]
pub(super) struct Objects {
    /// By kind and name: the file and the object.
    named: BTreeMap<(String, String), (usize, Rc<Node>)>,
    slos: Vec<(usize, Rc<Node>)>,
}

fn given<'n>(fields: &Fields<'n>, key: &str) -> Option<&'n Rc<Node>> {
    fields.get(key).map(|(_, value)| *value).filter(|v| !matches!(v.kind, NodeKind::Null))
}

/// A value of a mapping, without checks.
fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Rc<Node>> {
    let NodeKind::Mapping(pairs) = &node.kind else { return None };
    pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
}

fn name_of(node: &Node) -> Option<&str> {
    entry(entry(node, "metadata")?, "name")?.text()
}

impl Objects {
    /// Notes an object for reading once all are known.
    pub(super) fn collect(&mut self, reader: &mut Reader<'_>, file: usize, node: &Rc<Node>) {
        let version = entry(node, "apiVersion").and_then(|v| v.text()).unwrap_or_default();
        if version != API_VERSION {
            let at = entry(node, "apiVersion").unwrap_or(node).clone();
            let message = format!("OpenSLO version {version:?} is not read");
            error_with_hint(reader, &at, "value", message, format!("write `{API_VERSION}`"));
            return;
        }
        let Some(kind) = entry(node, "kind").and_then(|kind| kind.text()) else {
            return reader.error_on(node, "missing-key", "an object of OpenSLO needs a `kind`");
        };
        if !KINDS.contains(&kind) {
            let at = entry(node, "kind").unwrap_or(node).clone();
            let hint = format!("OpenSLO v1 has {}", KINDS.join(", "));
            return error_with_hint(reader, &at, "value", format!("unknown kind {kind:?}"), hint);
        }
        if kind == "SLO" {
            return self.slos.push((file, node.clone()));
        }
        let Some(name) = name_of(node) else {
            return reader.error_on(
                node,
                "missing-key",
                format!("this {kind} needs `metadata.name`"),
            );
        };
        let key = (kind.to_string(), name.to_string());
        if self.named.insert(key, (file, node.clone())).is_some() {
            reader.error_on(node, "duplicate", format!("{kind} {name:?} exists already"));
        }
    }

    /// Reads every SLO with what it refers to.
    pub(super) fn read(self, readers: &mut [Reader<'_>]) -> Vec<(usize, Rc<Node>, Slo)> {
        let mut found = Vec::new();
        for (file, node) in &self.slos {
            let slos = Read { objects: &self, readers, file: *file }.slo(node);
            found.extend(slos.into_iter().map(|slo| (*file, node.clone(), slo)));
        }
        found
    }
}

/// Reads one SLO. `file` is the file whose nodes are being read.
struct Read<'a, 'r> {
    objects: &'a Objects,
    readers: &'a mut [Reader<'r>],
    file: usize,
}

impl<'r> Read<'_, 'r> {
    fn reader(&mut self) -> &mut Reader<'r> {
        &mut self.readers[self.file]
    }

    fn error_count(&self) -> usize {
        self.readers.iter().map(|reader| reader.errors.len()).sum()
    }

    fn text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = given(fields, key)?;
        self.reader().string(node, key)
    }

    fn missing(&mut self, node: &Node, key: &str, what: &str) {
        self.reader().error_on(node, "missing-key", format!("{what} needs `{key}`"));
    }

    /// An object given in place or by reference; what is read then may lie in another file.
    fn resolve<T>(
        &mut self,
        kind: &str,
        inline: Option<&Rc<Node>>,
        reference: Option<&Rc<Node>>,
        read: impl FnOnce(&mut Self, &Rc<Node>) -> Option<T>,
    ) -> Option<T> {
        let Some(reference) = reference else { return read(self, inline?) };
        let name = self.reader().string(reference, "a reference")?;
        match self.objects.named.get(&(kind.to_string(), name.clone())) {
            Some((file, node)) => {
                let here = std::mem::replace(&mut self.file, *file);
                let found = read(self, &node.clone());
                self.file = here;
                found
            }
            None => {
                let message = format!("there is no {kind} named {name:?}");
                let hint = "it must be in one of the files that are read";
                error_with_hint(self.reader(), reference, "value", message, hint);
                None
            }
        }
    }

    fn slo(&mut self, node: &Rc<Node>) -> Vec<Slo> {
        let before = self.error_count();
        let found = self.try_slo(node, before);
        if self.error_count() > before { Vec::new() } else { found.unwrap_or_default() }
    }

    fn try_slo(&mut self, node: &Rc<Node>, before: usize) -> Option<Vec<Slo>> {
        let object = self.reader().fields(node, OBJECT_KEYS, "an object of OpenSLO")?;
        let Some(metadata_at) = given(&object, "metadata") else {
            self.missing(node, "metadata", "an SLO");
            return None;
        };
        let metadata = self.reader().fields(metadata_at, METADATA_KEYS, "`metadata`")?;
        let Some(name_at) = given(&metadata, "name") else {
            self.missing(metadata_at, "name", "`metadata`");
            return None;
        };
        let name = self.text(&metadata, "name")?;
        names::check_name(self.reader(), name_at, &name);
        let annotations = self.reader().labels(&metadata, "annotations");
        for (key, (_, at)) in &annotations {
            let ours = key.strip_prefix("skopos/");
            if ours.is_some_and(|key| !ANNOTATIONS.contains(&key)) {
                let message = format!("there is no annotation {key:?}");
                let known = ANNOTATIONS.map(|key| format!("skopos/{key}")).join(", ");
                error_with_hint(self.reader(), at, "name", message, format!("known: {known}"));
            }
        }
        let mut labels = open_labels(self.reader(), &metadata);
        let note = |key: &str| annotations.get(&format!("skopos/{key}"));
        // A label that says who owns it says so to us.
        let owner_label = labels.remove("owner");
        let owner = note("owner").map(|(text, _)| text.clone()).or(owner_label);
        let runbook = note("runbook").map(|(text, _)| text.clone());
        for (key, found) in [("owner", &owner), ("runbook", &runbook)] {
            if found.as_ref().is_none_or(|text| text.trim().is_empty()) {
                let message =
                    format!("an objective needs an {key}").replace("an runbook", "a runbook");
                let hint = format!("add the annotation `skopos/{key}` to `metadata`");
                error_with_hint(self.reader(), metadata_at, "missing-key", message, hint);
            }
        }
        let Some(spec_at) = given(&object, "spec") else {
            self.missing(node, "spec", "an SLO");
            return None;
        };
        let spec = self.reader().fields(spec_at, SLO_KEYS, "`spec`")?;
        let Some(service) = self.text(&spec, "service") else {
            self.missing(spec_at, "service", "`spec`");
            return None;
        };
        let said = [("service", Some(&service)), ("owner", owner.as_ref())];
        for (key, text) in said.into_iter().chain([("runbook", runbook.as_ref())]) {
            let at = if key == "service" { spec_at } else { metadata_at };
            names::check_text(self.reader(), at, key, text.map_or("", |text| text));
        }
        let description = self.text(&spec, "description").unwrap_or_default();
        let window = self.window(spec_at, &spec)?;
        let method = self.text(&spec, "budgetingMethod").unwrap_or_else(|| "Occurrences".into());
        let Some(objectives_at) = given(&spec, "objectives") else {
            self.missing(spec_at, "objectives", "`spec`");
            return None;
        };
        let objectives = self.reader().list(objectives_at, "objectives").to_vec();
        if objectives.is_empty() {
            self.reader().error_on(objectives_at, "value", "`objectives` must not be empty");
        }
        let group_by = match note("group-by") {
            Some((text, _)) => text.split(',').map(|l| l.trim().to_string()).collect(),
            None => Vec::new(),
        };
        let policy = match note("policy") {
            Some((text, at)) => self.in_annotation(text, &at.clone(), native::policy_of)?,
            None => Policy::default(),
        };
        let several = objectives.len() > 1;
        let groups_at = note("group-by").map(|(_, at)| at.clone());
        let mut slos = Vec::new();
        for (index, at) in objectives.iter().enumerate() {
            let fields = self.reader().fields(at, OBJECTIVE_KEYS, "an objective")?;
            if let Some(weight) = given(&fields, "compositeWeight") {
                let hint = "write one SLO for each part: a budget that several share says nobody's";
                error_with_hint(
                    self.reader(),
                    weight,
                    "value",
                    "composite objectives are not supported",
                    hint,
                );
            }
            let target = self.target(at, &fields)?;
            let inline = given(&fields, "indicator").or_else(|| given(&spec, "indicator"));
            let reference = given(&fields, "indicatorRef").or_else(|| given(&spec, "indicatorRef"));
            if inline.is_none() && reference.is_none() {
                self.missing(spec_at, "indicator", "`spec`");
                return None;
            }
            let condition = self.condition(&fields);
            if given(&fields, "op").is_some() && condition.is_none() {
                return None;
            }
            let inline_at = inline.or(reference)?.clone();
            let (mut indicator, mut by) =
                self.resolve("SLI", inline, reference, |read, node| {
                    read.indicator(node, condition)
                })?;
            if let Some((text, sli_at)) = note("sli") {
                (indicator, by) =
                    self.in_annotation(text, &sli_at.clone(), native::read_indicator)?;
            }
            let is_threshold = matches!(indicator, Indicator::Ratio { .. });
            let mut budgeting =
                self.budgeting(&method, spec_at, &spec, (at, &fields), is_threshold)?;
            if let Some((text, budgeting_at)) = note("budgeting") {
                budgeting = self.in_annotation(text, &budgeting_at.clone(), |reader, node| {
                    native::read_budgeting(reader, node, Some(target))
                })?;
            }
            let alerts = match note("alerts") {
                Some((text, alerts_at)) => {
                    let period = window.nominal();
                    self.in_annotation(text, &alerts_at.clone(), |reader, node| {
                        native::alerts_of(reader, node, target, period)
                    })?
                }
                None => self.alerts(given(&spec, "alertPolicies"), target, window.nominal())?,
            };
            let display = self.text(&fields, "displayName").map(|name| slug(&name));
            let suffix =
                display.filter(|n| !n.is_empty()).unwrap_or_else(|| (index + 1).to_string());
            let name = if several { format!("{name}-{suffix}") } else { name.clone() };
            let slo = Slo {
                id: id_of(&name),
                name,
                service: service.clone(),
                owner: owner.clone().unwrap_or_default(),
                description: description.clone(),
                indicator,
                target,
                window: window.clone(),
                budgeting,
                group_by: if group_by.is_empty() { by } else { group_by.clone() },
                alerts,
                policy: policy.clone(),
                runbook: runbook.clone().unwrap_or_default(),
                labels: labels.clone(),
                file: self.reader().path.to_string(),
                line: line_of(self.reader(), node),
            };
            let groups_at = groups_at.as_ref().unwrap_or(&inline_at);
            names::check_groups_of(self.reader(), groups_at, &slo.group_by, &slo.labels);
            check_whole(self.reader(), &slo, at, &inline_at);
            slos.push(slo);
        }
        (self.error_count() == before).then_some(slos)
    }

    /// Reads a native piece out of an annotation; its mistakes stand at the annotation.
    fn in_annotation<T>(
        &mut self,
        text: &str,
        at: &Rc<Node>,
        read: impl FnOnce(&mut Reader<'_>, &Rc<Node>) -> Option<T>,
    ) -> Option<T> {
        let reader = self.reader();
        let mut ids = HashMap::new();
        let (path, language) = (reader.path, reader.language);
        let mut inner = Reader { path, text, language, errors: Vec::new(), group_ids: &mut ids };
        let parsed = yaml::parse(text);
        let found = match parsed {
            Ok(Some(node)) => read(&mut inner, &node),
            Ok(None) => None,
            Err(error) => {
                inner.error(error.offset, 1, "yaml", error.message);
                None
            }
        };
        if found.is_none() && inner.errors.is_empty() {
            inner.error(0, 1, "value", "the annotation says nothing");
        }
        let errors = std::mem::take(&mut inner.errors);
        let found = found.filter(|_| errors.is_empty());
        for error in errors {
            let hint = error.hint.unwrap_or_else(|| "the annotation holds the native form".into());
            error_with_hint(self.reader(), at, error.code, error.message, hint);
        }
        found
    }

    fn target(&mut self, at: &Node, fields: &Fields<'_>) -> Option<f64> {
        let (node, scale) = match (given(fields, "target"), given(fields, "targetPercent")) {
            (Some(node), None) => (node, 1.0),
            (None, Some(node)) => (node, 100.0),
            (Some(_), Some(node)) => {
                let message = "only one of `target` and `targetPercent` may be set";
                self.reader().error_on(node, "conflict", message);
                return None;
            }
            (None, None) => {
                self.missing(at, "target", "an objective");
                return None;
            }
        };
        let share = share(self.reader(), node, "target")?;
        check_target(self.reader(), node, tidy(share / scale))
    }

    /// The comparison of a threshold metric.
    fn condition(&mut self, fields: &Fields<'_>) -> Option<(&'static str, f64)> {
        let op = self.text(fields, "op")?;
        let value = self.text(fields, "value")?;
        let op = match op.as_str() {
            "lte" => "<=",
            "lt" => "<",
            "gte" => ">=",
            "gt" => ">",
            other => {
                let at = given(fields, "op")?;
                let message = format!("{other:?} is no comparison");
                error_with_hint(self.reader(), at, "value", message, "choose lte, gte, lt or gt");
                return None;
            }
        };
        let value = value.parse::<f64>().ok().filter(|v| v.is_finite());
        if value.is_none() {
            let at = given(fields, "value")?;
            self.reader().error_on(at, "value", "`value` must be a number");
        }
        Some((op, value?))
    }
}

/// A name for people as a part of a name.
fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let dashed: String = text.chars().map(plain).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Labels may have lists of values; these are joined by commas.
fn open_labels(reader: &mut Reader<'_>, metadata: &Fields<'_>) -> BTreeMap<String, String> {
    let Some(node) = given(metadata, "labels") else { return BTreeMap::new() };
    let NodeKind::Mapping(pairs) = &node.kind else {
        return texts(reader.labels(metadata, "labels"));
    };
    let mut labels = BTreeMap::new();
    for (key, value) in pairs {
        let Some(name) = reader.string(key, "a label") else { continue };
        let text = match &value.kind {
            NodeKind::Sequence(items) => {
                let texts: Vec<&str> = items.iter().filter_map(|item| item.text()).collect();
                Some(texts.join(","))
            }
            _ => reader.string(value, &name),
        };
        let Some(text) = text else { continue };
        names::check_text(reader, value, &name, &text);
        if name == "owner" || names::check_label(reader, key, &name) {
            labels.insert(name, text);
        }
    }
    labels
}
