//! The checks, one file per subject; what each finds and why stands on its page in `rules/`.

mod annotation;
mod burn;
mod cause;
mod condition;
mod counter;
mod fragile;
mod impossible;
mod load;
mod nan;
mod owner;
mod policy;
mod regexp;
mod repository;
mod route;
mod severity;
mod slo;
mod template;
mod timing;

pub(crate) use condition::is_heartbeat;

use crate::context::{Context, Draft, Records, Subject};

/// A check of one rule.
type RuleCheck = fn(&Subject<'_>, &mut Vec<Draft>);

const RULE_CHECKS: [RuleCheck; 17] = [
    annotation::check,
    cause::check,
    condition::comparison,
    condition::threshold,
    counter::check,
    fragile::check,
    impossible::check,
    nan::check,
    owner::check,
    policy::check,
    regexp::check,
    route::check,
    crate::runbook::link::check,
    severity::check,
    template::check,
    timing::hold,
    timing::spike,
];

/// Runs everything.
pub(crate) fn run(context: &mut Context<'_>) {
    let mut found = Vec::new();
    load::check(context, &mut found);
    let records = Records::of(&context.files);
    let subjects = subjects(context, &records);
    for subject in &subjects {
        for check in RULE_CHECKS {
            check(subject, &mut found);
        }
    }
    for (f, file) in context.files.iter().enumerate() {
        (0..file.groups.len()).for_each(|g| timing::interval(f, g, file, &mut found));
    }
    repository::check(&subjects, &mut found);
    slo::check(&subjects, &mut found);
    drop(subjects);
    drop(records);
    context.drafts = found;
}

/// Every rule of every file.
fn subjects<'a>(context: &'a Context<'_>, records: &'a Records<'a>) -> Vec<Subject<'a>> {
    let mut all = Vec::new();
    for (f, file) in context.files.iter().enumerate() {
        for (g, group) in file.groups.iter().enumerate() {
            for (r, rule) in group.rules.iter().enumerate() {
                let (options, pages) = (context.options, context.pages);
                all.push(Subject { options, pages, records, file, group, rule, at: (f, g, r) });
            }
        }
    }
    all
}
