//! `severity/route`: does the alert reach somebody, and a pager when it is for one?

use std::collections::BTreeSet;

use super::condition::is_heartbeat;
use crate::context::{Draft, Subject};
use crate::routes::Known;
use crate::shape::labels;
use crate::{Priority, Severity};

const CODE: &str = "severity/route";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let rule = subject.rule;
    let Some(routes) = subject.options.routes.as_ref().filter(|_| rule.is_alert) else { return };
    let Some(ast) = rule.ast() else { return };
    let shape = labels(ast, subject.records);
    let label = |name: &str| match rule.label(name) {
        Some((_, text)) if text.value.contains("{{") => Known::Open,
        Some((_, text)) => Known::Value(text.value.clone()),
        None if name == "alertname" => Known::Value(rule.name.value.clone()),
        None if shape.may_have(name) => Known::Open,
        None => Known::Value(String::new()),
    };
    let reached = routes.reached(&label);
    let priority = subject.priority();
    let place = rule.label("severity").map_or(rule.name.span(), |(_, text)| text.span());
    let names: BTreeSet<&str> = reached.iter().map(|r| r.receiver).collect();
    let listed = || names.iter().copied().collect::<Vec<_>>().join(", ");
    if !names.iter().any(|name| routes.tells(name)) {
        // A heartbeat may go nowhere; what is for nobody should.
        if priority != Some(Priority::Nobody) && !is_heartbeat(ast) {
            let message =
                format!("nobody is told: it is routed to {}, which has no integration", listed());
            let hint = "route its severity to a receiver that tells somebody";
            found.push(subject.finding(CODE, place, message).hint(hint));
        }
        return;
    }
    match priority {
        Some(Priority::P1) if names.iter().all(|name| routes.pages(name) == Some(false)) => {
            let message = format!("this pages, and reaches no pager: it is routed to {}", listed());
            let hint = "route P1 to PagerDuty, Opsgenie or another receiver that wakes people";
            found
                .push(subject.finding(CODE, place, message).hint(hint).severity(Severity::Warning));
        }
        Some(Priority::P2 | Priority::P3) => {
            let wakes = |r: &&crate::routes::Reached<'_>| {
                r.surely && routes.pages(r.receiver) == Some(true)
            };
            if let Some(pager) = reached.iter().find(wakes) {
                let message =
                    format!("only P1 pages, and this goes to the pager of {}", pager.receiver);
                let hint = "route P2 to chat and P3 to a ticket, or make it P1";
                found.push(
                    subject.finding(CODE, place, message).hint(hint).severity(Severity::Warning),
                );
            }
        }
        _ => {}
    }
}
