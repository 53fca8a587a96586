//! Names, labels and severities that an objective writes: what may be written, and what is taken already.
//!
//! Names stand in series, rule groups, commands, addresses and file names. Labels that the alerts of an objective set
//! themselves would be overwritten without a word, and groups by them could not be told apart: every alert of
//! the objective would fail, and with it the page.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::indicator::is_group_label;
use super::load::error_with_hint;
use crate::rules::load::{Fields, Reader};
use crate::rules::yaml::{Node, NodeKind};

/// Bytes of a name at most.
const LONGEST_NAME: usize = 200;

/// Names go into labels, file names and commands.
pub(super) fn check_name(reader: &mut Reader<'_>, node: &Node, name: &str) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_name = bytes.iter().copied().all(is_plain)
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.len() <= LONGEST_NAME;
    if !is_name {
        let message = format!("{name:?} is no name for an objective");
        let hint = format!(
            "use letters and digits of ASCII, and `-`, `_`, `.` between them, at most {LONGEST_NAME}"
        );
        error_with_hint(reader, node, "name", message, hint);
    }
}

/// Refuses texts that would garble a terminal or a log.
pub(super) fn check_text(reader: &mut Reader<'_>, node: &Node, key: &str, text: &str) {
    if let Some(odd) = text.chars().find(|c| c.is_control()) {
        let message = format!("`{key}` holds the control character {odd:?}");
        error_with_hint(reader, node, "value", message, "leave it out");
    }
}

/// Why a label cannot be set by people, nor be grouped by.
fn taken(name: &str) -> Option<&'static str> {
    match name {
        "severity" | "slo" | "service" | "owner" => {
            Some("the alerts of an objective carry one of their own")
        }
        "alertname" | "alertstate" => Some("the alert's name and state stand in it"),
        "sloth_id" | "sloth_slo" | "sloth_service" | "sloth_window" => {
            Some("the recorded series of an objective carry one of their own")
        }
        name if name.starts_with("__") => Some("labels with `__` are Prometheus' own"),
        _ => None,
    }
}

/// Refuses labels by which groups cannot be told apart.
pub(super) fn check_group(reader: &mut Reader<'_>, node: &Node, name: &str) -> bool {
    if !is_group_label(name) {
        reader.error_on(node, "name", format!("{name:?} is no label to group by"));
    } else if let Some(why) = taken(name) {
        let message = format!("{name:?} is no label to group by: {why}");
        let hint = "group by another label, or write an objective for each of its values";
        error_with_hint(reader, node, "name", message, hint);
    } else {
        return true;
    }
    false
}

/// Refuses a label's name that Prometheus refuses, or that something else is written into.
pub(super) fn check_label(reader: &mut Reader<'_>, node: &Node, name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let message = format!("{name:?} is no label's name");
        let hint = "use letters, digits and `_`; the first is no digit";
        error_with_hint(reader, node, "name", message, hint);
    } else if let Some(why) = taken(name) {
        let message = format!("label {name:?} cannot be set: {why}");
        error_with_hint(reader, node, "name", message, "choose another name");
    } else {
        return true;
    }
    false
}

/// Checks the names of the native form's `labels`, and that none of them is grouped by.
pub(super) fn check_labels(reader: &mut Reader<'_>, fields: &Fields<'_>, group_by: &[String]) {
    let Some((_, node)) = fields.get("labels") else { return };
    let NodeKind::Mapping(pairs) = &node.kind else { return };
    for (key, value) in pairs {
        let Some(name) = key.text() else { continue };
        if check_label(reader, key, name) {
            check_not_grouped(reader, key, name, group_by);
        }
        check_text(reader, value, name, value.text().unwrap_or_default());
    }
}

fn check_not_grouped(reader: &mut Reader<'_>, node: &Node, name: &str, group_by: &[String]) {
    if group_by.iter().any(|label| label == name) {
        let message = format!("label {name:?} cannot be set: the objective is grouped by it");
        error_with_hint(reader, node, "conflict", message, "leave one of the two out");
    }
}

/// The same for labels whose places are known only as a whole.
pub(super) fn check_groups_of(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    group_by: &[String],
    labels: &BTreeMap<String, String>,
) {
    for name in group_by {
        if check_group(reader, node, name) && labels.contains_key(name) {
            check_not_grouped(reader, node, name, group_by);
        }
    }
}

/// Refuses severities that nobody has: of `P1`, `P2`, … there are three. Other words are the severity table's matter.
pub(super) fn check_severity(reader: &mut Reader<'_>, node: &Node, text: &str) -> bool {
    let level = text.trim().strip_prefix(['P', 'p']).filter(|rest| !rest.is_empty());
    let level = level.filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let is_known = level.is_none_or(|level| matches!(level, "1" | "2" | "3"));
    let is_word = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if is_known && is_word {
        return true;
    }
    let message = format!("{text:?} is no severity");
    let hint = "write P1 (pages), P2 or P3, or a word of `alerting.severities` such as critical";
    error_with_hint(reader, node, "value", message, hint);
    false
}
