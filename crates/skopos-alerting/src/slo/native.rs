//! The native form of an objective: ten lines suffice.

mod alerts;
mod policy;
mod sli;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::indicator::Mistake;
use super::load::{check_target, check_whole, line_of, report, share};
use super::names::{self, check_name, check_text};
use super::{Budgeting, Policy, Slo, SloId};
use crate::rules::hash_pieces;
use crate::rules::load::{Fields, Reader, texts};
use crate::rules::yaml::{Node, NodeKind};

pub(super) use alerts::alerts_of;
pub(super) use policy::policy_of;
pub(super) use sli::read_indicator;
pub(super) use window::{check_rolling, check_slice, read_budgeting, read_zone};

const KEYS: &[&str] = &[
    "slo",
    "service",
    "owner",
    "description",
    "sli",
    "target",
    "window",
    "calendar",
    "tz",
    "budgeting",
    "group_by",
    "alerts",
    "policy",
    "runbook",
    "labels",
];

/// Identity of the objective of a name.
pub(super) fn id_of(name: &str) -> SloId {
    SloId(hash_pieces(["slo", name]) as u64)
}

/// A value that is there and is not nothing.
fn given<'n>(fields: &Fields<'n>, key: &str) -> Option<&'n Rc<Node>> {
    fields.get(key).map(|(_, value)| *value).filter(|v| !matches!(v.kind, NodeKind::Null))
}

/// Reads one objective; mistakes are reported, and any makes it none.
pub(super) fn read(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Slo> {
    let before = reader.errors.len();
    let fields = reader.fields(node, KEYS, "an objective")?;
    let name = required(reader, node, &fields, "slo", "a name of its own");
    if let (Some(name), Some(at)) = (&name, given(&fields, "slo")) {
        check_name(reader, at, name);
    }
    let service = required(reader, node, &fields, "service", "the service that it is about");
    let owner = required(reader, node, &fields, "owner", "somebody who answers for it");
    let runbook =
        required(reader, node, &fields, "runbook", "a runbook: what to do when its budget burns");
    let (indicator, mut group_by) = match given(&fields, "sli") {
        Some(sli) => sli::read_indicator(reader, sli).unzip(),
        None => {
            missing(reader, node, "sli", "what it counts");
            (None, None)
        }
    };
    if let Some(list) = given(&fields, "group_by") {
        group_by = Some(read_group_by(reader, list));
    } else if let (Some(by), Some(sli)) = (&group_by, given(&fields, "sli")) {
        names::check_groups_of(reader, sli, by, &BTreeMap::new());
    }
    names::check_labels(reader, &fields, group_by.as_deref().unwrap_or_default());
    let target = match given(&fields, "target") {
        Some(at) => share(reader, at, "target").and_then(|t| check_target(reader, at, t)),
        None => {
            missing(reader, node, "target", "a target, such as 99.9%");
            None
        }
    };
    let window = window::read_window(reader, node, &fields);
    let budgeting = match given(&fields, "budgeting") {
        Some(at) => window::read_budgeting(reader, at, target),
        None => Some(Budgeting::Occurrences),
    };
    let alerts = match (target, &window) {
        (Some(target), Some(window)) => {
            alerts::read_alerts(reader, given(&fields, "alerts"), target, window.nominal())
        }
        _ => None,
    };
    let policy = match given(&fields, "policy") {
        Some(at) => policy::read_policy(reader, at),
        None => Some(Policy::default()),
    };
    let labels = texts(reader.labels(&fields, "labels"));
    let description = given(&fields, "description").and_then(|at| reader.string(at, "description"));
    if reader.errors.len() > before {
        return None;
    }
    let name = name?;
    let slo = Slo {
        id: id_of(&name),
        name,
        service: service?,
        owner: owner?,
        description: description.unwrap_or_default(),
        indicator: indicator?,
        target: target?,
        window: window?,
        budgeting: budgeting?,
        group_by: group_by.unwrap_or_default(),
        alerts: alerts?,
        policy: policy?,
        runbook: runbook?,
        labels,
        file: reader.path.to_string(),
        line: line_of(reader, node),
    };
    let at = |key| fields.get(key).map_or(node, |(key, _)| *key);
    check_whole(reader, &slo, at("alerts"), at("sli"));
    (reader.errors.len() == before).then_some(slo)
}

fn missing(reader: &mut Reader<'_>, node: &Node, key: &str, what: &str) {
    reader.error_on(node, "missing-key", format!("an objective needs `{key}`: {what}"));
}

fn required(
    reader: &mut Reader<'_>,
    node: &Node,
    fields: &Fields<'_>,
    key: &str,
    what: &str,
) -> Option<String> {
    let Some(value) = given(fields, key) else {
        missing(reader, node, key, what);
        return None;
    };
    let text = reader.string(value, key)?;
    if text.trim().is_empty() {
        reader.error_on(value, "value", format!("`{key}` must not be empty: {what}"));
        return None;
    }
    let text = text.trim();
    check_text(reader, value, key, text);
    Some(text.to_string())
}

/// A text of PromQL through one of the readers of [`indicator`].
fn promql<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    read: impl FnOnce(&str, &skopos_promql::ParseOptions) -> Result<T, Mistake>,
) -> Option<T> {
    let text = reader.string(node, key)?;
    let language = reader.language;
    match read(&text, language) {
        Ok(found) => Some(found),
        Err(mistake) => {
            report(reader, node, mistake);
            None
        }
    }
}

fn read_group_by(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let mut found = BTreeSet::new();
    for item in reader.list(node, "group_by") {
        let Some(name) = reader.string(item, "group_by") else { continue };
        if names::check_group(reader, item, &name) && !found.insert(name.clone()) {
            reader.error_on(item, "duplicate", format!("{name:?} occurs twice"));
        }
    }
    found.into_iter().collect()
}
