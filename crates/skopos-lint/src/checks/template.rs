//! `alerts/template`: values in labels, templates that are nowhere, and labels that the expression
//! does not leave.

use skopos_alerting::template::{Template, Use, UseKind};
use skopos_promql::ValueType;

use crate::Severity;
use crate::context::{Draft, Subject};
use crate::shape::labels;
use crate::source::Text;

const CODE: &str = "alerts/template";

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    if !subject.rule.is_alert {
        return;
    }
    for (name, text) in &subject.rule.labels {
        for one in uses(text) {
            if one.kind == UseKind::Value {
                let message = format!(
                    "label `{}` changes with the value: every evaluation is another alert, and `for` never ends",
                    name.value
                );
                let hint = "say the value in an annotation";
                let draft = subject.in_text(CODE, text, one.offset, message).hint(hint);
                found.push(draft.severity(Severity::Error));
            }
        }
    }
    for (_, text) in subject.rule.labels.iter().chain(&subject.rule.annotations) {
        let Ok(template) = Template::parse(&text.value) else { continue };
        for (name, offset) in template.undefined() {
            let message = format!(
                "there is no template `{name}`: an error message stands in place of the text"
            );
            let hint =
                "rule files share no templates: `define` it in the same text, or write it out";
            let draft = subject.in_text(CODE, text, offset, message).hint(hint);
            found.push(draft.severity(Severity::Error));
        }
    }
    let Some(ast) = subject.rule.ast() else { return };
    if ast.value_type() != ValueType::Vector {
        return;
    }
    let shape = labels(ast, subject.records);
    for (_, text) in subject.rule.labels.iter().chain(&subject.rule.annotations) {
        for one in uses(text) {
            let UseKind::Label(label) = &one.kind else { continue };
            if shape.may_have(label) || label == "__name__" {
                continue;
            }
            let is_own = subject.rule.label(label).is_some() || label == "alertname";
            let by = shape.taken_by(label).map(|span| subject.quote(span));
            let message = match by {
                Some(by) => format!("the alert has no label `{label}`: `{by}` has left it out"),
                None => format!("the alert has no label `{label}`"),
            };
            let hint = match is_own {
                true => {
                    "`$labels` has the labels of the expression's element, not those of the rule"
                        .into()
                }
                false => format!("keep `{label}` in the expression, or take it out of the text"),
            };
            found.push(subject.in_text(CODE, text, one.offset, message).hint(hint));
        }
    }
}

/// What a text uses; nothing when it does not parse (the loader says so).
pub(super) fn uses(text: &Text) -> Vec<Use> {
    Template::parse(&text.value).map(|template| template.uses()).unwrap_or_default()
}
