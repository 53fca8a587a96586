//! `runbook/*` in rule files: does the alert link a page, is it there, does it help?

use crate::checks::is_heartbeat;
use crate::context::{Draft, Subject};
use crate::runbook::{Fetched, Runbook, is_url};
use crate::source::Text;
use crate::{Priority, Severity};

/// Annotations that link the page.
const NAMES: [&str; 3] = ["runbook_url", "runbook", "runbook_link"];

pub(crate) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    if !subject.rule.is_alert {
        return;
    }
    let Some(link) = link(subject) else {
        missing(subject, found);
        return;
    };
    // What a template makes is known only when it fires.
    if link.value.contains("{{") {
        return;
    }
    match page(subject, link) {
        Answer::Page(name, text) => judge(subject, link, &name, &text, found),
        Answer::NotFound => {
            let message = format!("there is no page {:?}", link.value.trim());
            let hint = format!(
                "`skopos runbook new {}` begins one; paths are looked up beside the rule file and in --runbooks",
                subject.rule.name.value
            );
            found.push(subject.finding("runbook/not-found", link.span(), message).hint(hint));
        }
        Answer::Unreadable(error) => {
            let message = format!("the page cannot be read: {error}");
            found.push(subject.finding("runbook/not-found", link.span(), message));
        }
        Answer::Fetched(Fetched::NotAsked) => {
            let message = "unverified: addresses are not fetched";
            let hint =
                "--online fetches them; --runbooks DIR reads pages by the last part of the address";
            found.push(subject.finding("runbook/unverified", link.span(), message).hint(hint));
        }
        Answer::Fetched(Fetched::Found(None)) => {}
        Answer::Fetched(Fetched::Found(Some(text))) => {
            judge(subject, link, link.value.trim(), &text, found);
        }
        Answer::Fetched(Fetched::Missing(status)) => {
            let message = format!("the page is not there: {status}");
            found.push(subject.finding("runbook/not-found", link.span(), message));
        }
        Answer::Fetched(Fetched::Failed(why)) => {
            let message = format!("unverified: {why}");
            let draft = subject.finding("runbook/unverified", link.span(), message);
            found.push(draft.severity(Severity::Warning));
        }
    }
}

/// The link as written.
fn link<'a>(subject: &Subject<'a>) -> Option<&'a Text> {
    let rule = subject.rule;
    let found = NAMES.iter().find_map(|name| rule.annotation(name).or_else(|| rule.label(name)));
    found.map(|(_, link)| link).filter(|link| !link.value.trim().is_empty())
}

fn missing(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let is_heartbeat = subject.rule.ast().is_some_and(is_heartbeat);
    let priority = subject.priority();
    if is_heartbeat || priority == Some(Priority::Nobody) {
        return;
    }
    let message = "whoever is woken finds no runbook";
    let hint = format!(
        "link one in the annotation `runbook_url`; `skopos runbook new {}` begins it",
        subject.rule.name.value
    );
    let draft = subject.about("runbook/missing", message).hint(hint);
    // The guide wants one for every alert; nobody should be paged without.
    found.push(match priority {
        Some(Priority::P1) => draft.severity(Severity::Error),
        _ => draft,
    });
}

enum Answer {
    /// A local page, by a name that people find it by.
    Page(String, String),
    NotFound,
    Unreadable(String),
    Fetched(Fetched),
}

fn page(subject: &Subject<'_>, link: &Text) -> Answer {
    let written = link.value.trim();
    // A fragment names a place within the page.
    let target =
        if is_url(written) { written } else { written.split('#').next().unwrap_or(written) };
    match subject.pages.page(&subject.file.path, target) {
        Ok(Some(text)) => Answer::Page(target.to_owned(), text),
        Ok(None) if is_url(written) => Answer::Fetched(subject.pages.fetch(written)),
        Ok(None) => Answer::NotFound,
        Err(error) => Answer::Unreadable(error),
    }
}

fn judge(subject: &Subject<'_>, link: &Text, name: &str, text: &str, found: &mut Vec<Draft>) {
    for problem in Runbook::parse(text).problems(subject.options.owners.as_ref()) {
        let message = format!("{name}:{}: {}", problem.line, problem.message);
        found.push(subject.finding(problem.code, link.span(), message).hint(problem.hint));
    }
}

/// Who owns the linked page, when it can be read without the network.
pub(crate) fn owner(subject: &Subject<'_>) -> Option<String> {
    let link = link(subject)?;
    let target = link.value.trim().split('#').next().unwrap_or_default();
    let text = subject.pages.page(&subject.file.path, target).ok()??;
    Runbook::parse(&text).owner
}
