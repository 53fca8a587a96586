//! `severity/missing` and `severity/unknown`: who is told, and how fast must they be?

use super::condition::is_heartbeat;
use crate::context::{Draft, Subject};

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    if !subject.rule.is_alert || subject.rule.ast().is_some_and(is_heartbeat) {
        return;
    }
    let known = subject.options.severities.names().join(", ");
    let Some((_, severity)) = subject.rule.label("severity").filter(|(_, s)| !s.value.is_empty())
    else {
        let message = "without a severity nobody knows whether to get up";
        let hint = format!("add `labels: {{ severity: … }}`, one of {known}");
        found.push(subject.about("severity/missing", message).hint(hint));
        return;
    };
    // What a template makes is known only when it fires.
    if subject.priority().is_none() && !severity.value.contains("{{") {
        let message =
            format!("severity {:?} says neither page, nor chat, nor ticket", severity.value);
        let hint =
            format!("use one of {known}, or give it a meaning: --severity {}=P2", severity.value);
        found.push(subject.finding("severity/unknown", severity.span(), message).hint(hint));
    }
}
