//! What a house demands of its rules: `alerts/annotation`, `promql/aggregate`, `promql/selector`, `rule/label`,
//! `rule/reject`, `rule/report`, and its own word on `rule/for` and `rule/name`.

use skopos_alerting::format_duration;
use skopos_model::LabelMatcher;
use skopos_promql::ExprKind;
use skopos_promql::ast::selectors;

use super::condition::is_heartbeat;
use crate::context::{Draft, Subject};
use crate::metric;
use crate::policy::{Demand, Policy};
use crate::shape::labels;
use crate::source::Text;

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some(policies) = &subject.options.policies else { return };
    for policy in &policies.0 {
        let rule = subject.rule;
        let is_kind = policy.alerting.is_none_or(|alerting| alerting == rule.is_alert);
        let is_named = policy.name.as_ref().is_none_or(|name| name.matches(&rule.name.value));
        if is_kind && is_named {
            let drafts = judge(subject, policy).into_iter();
            found.extend(drafts.map(|draft| draft.severity(policy.severity)));
        }
    }
}

fn judge(subject: &Subject<'_>, policy: &Policy) -> Vec<Draft> {
    let code = policy.code;
    let rule = subject.rule;
    match &policy.demand {
        Demand::Key { key, required, value } => {
            let (what, given) = match code {
                "rule/label" => ("label", rule.label(key)),
                _ => ("annotation", rule.annotation(key)),
            };
            let one = match (given, value) {
                (None, _) if *required => {
                    subject.about(code, format!("the {what} `{key}` is missing"))
                }
                (Some((_, text)), Some(value)) if !value.matches(&text.value) => {
                    let message = format!("`{key}` must match `{}`", value.value());
                    subject.finding(code, text.span(), message)
                }
                _ => return Vec::new(),
            };
            vec![one]
        }
        Demand::Name(value) if !value.matches(&rule.name.value) => {
            let message = format!("the name must match `{}`", value.value());
            vec![subject.about(code, message)]
        }
        Demand::Name(_) => Vec::new(),
        Demand::Reject(value) => {
            let texts = rule.labels.iter().chain(&rule.annotations).flat_map(|(k, v)| [k, v]);
            let bad = texts.filter(|text| value.matches(&text.value));
            let message = format!("nothing here may match `{}`", value.value());
            bad.map(|text: &Text| subject.finding(code, text.span(), message.clone())).collect()
        }
        Demand::For { min, max } => {
            let hold = rule.hold();
            let short = min
                .filter(|min| hold < *min)
                .map(|min| format!("at least {}", format_duration(min)));
            let long = max
                .filter(|max| hold > *max)
                .map(|max| format!("at most {}", format_duration(max)));
            let is_judged = rule.is_alert && !rule.ast().is_some_and(is_heartbeat);
            let Some(wanted) = short.or(long).filter(|_| is_judged) else { return Vec::new() };
            let span = rule.hold.as_ref().map_or(rule.name.span(), |(_, text)| text.span());
            vec![subject.finding(code, span, format!("`for` must be {wanted}"))]
        }
        Demand::Aggregate { metric, keep, strip } => {
            aggregations(subject, code, metric.as_ref(), keep, strip)
        }
        Demand::Selector { metric, labels } => selected(subject, code, metric.as_ref(), labels),
        Demand::Report(message) => vec![subject.about(code, message.clone())],
    }
}

fn aggregations(
    subject: &Subject<'_>,
    code: &'static str,
    metric: Option<&LabelMatcher>,
    keep: &[String],
    strip: &[String],
) -> Vec<Draft> {
    let Some(ast) = subject.rule.ast() else { return Vec::new() };
    let mut found = Vec::new();
    for expr in ast.descendants() {
        let ExprKind::Aggregate(aggregate) = &expr.kind else { continue };
        let reads = selectors(&aggregate.expr);
        let mut names = reads.iter().filter_map(|(_, s)| metric::name_of(s));
        if metric.is_some_and(|wanted| !names.any(|name| wanted.matches(name))) {
            continue;
        }
        // What was lost further in is told there.
        let (inner, outer) =
            (labels(&aggregate.expr, subject.records), labels(expr, subject.records));
        for label in keep.iter().filter(|l| inner.may_have(l) && !outer.may_have(l)) {
            let message = format!("`{}` must keep the label `{label}`", aggregate.op.as_str());
            found.push(subject.in_expr(code, expr.span, message));
        }
        for label in strip.iter().filter(|label| outer.may_have(label)) {
            let message = format!("`{}` must not keep the label `{label}`", aggregate.op.as_str());
            found.push(subject.in_expr(code, expr.span, message));
        }
    }
    found
}

fn selected(
    subject: &Subject<'_>,
    code: &'static str,
    metric: Option<&LabelMatcher>,
    wanted: &[String],
) -> Vec<Draft> {
    let Some(ast) = subject.rule.ast() else { return Vec::new() };
    let mut found = Vec::new();
    for (expr, selector) in selectors(ast) {
        let name = metric::name_of(selector).unwrap_or_default();
        if metric.is_some_and(|metric| !metric.matches(name)) {
            continue;
        }
        for label in wanted {
            if !selector.matchers.iter().any(|m| m.name() == label && !m.matches_empty()) {
                let message = format!("a selector of `{name}` must say which `{label}`");
                found.push(subject.in_expr(code, expr.span, message));
            }
        }
    }
    found
}
