//! `rule/owner`: whom to ask about an alert.

use super::condition::is_heartbeat;
use crate::Priority;
use crate::context::{Draft, Subject};
use crate::runbook::link;
use crate::suppress::owner_by_comment;

/// Labels and annotations that name an owner.
const NAMES: [&str; 4] = ["owner", "team", "squad", "service_owner"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let rule = subject.rule;
    if !rule.is_alert || rule.ast().is_some_and(is_heartbeat) {
        return;
    }
    let given = NAMES.iter().find_map(|name| {
        let either = rule.label(name).or_else(|| rule.annotation(name));
        either.filter(|(_, owner)| !owner.value.trim().is_empty())
    });
    if let Some((_, owner)) = given {
        let is_template = owner.value.contains("{{");
        let owners = subject.options.owners.as_ref().filter(|_| !is_template);
        if let Some(owners) = owners.filter(|owners| !owners.knows(&owner.value)) {
            let message = format!("nobody knows the owner {:?}", owner.value);
            let draft = subject.finding("rule/owner", owner.span(), message);
            let hint = match owners.nearest(&owner.value) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "add it to the file of owners".into(),
            };
            found.push(draft.hint(hint).severity(crate::Severity::Warning));
        }
        return;
    }
    let (_, group, index) = subject.at;
    let by_comment = owner_by_comment(subject.file, group, index).is_some();
    if by_comment || subject.priority() == Some(Priority::Nobody) || link::owner(subject).is_some()
    {
        return;
    }
    let hint = "add a label `owner` (or `team`), or name the owner in the runbook";
    found.push(subject.about("rule/owner", "nobody is named who owns this alert").hint(hint));
}
