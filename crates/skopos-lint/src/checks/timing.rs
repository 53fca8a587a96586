//! `alerts/for`, `rule/for` and `group/interval`: how long, and how often.

use std::time::Duration;

use skopos_alerting::format_duration;
use skopos_promql::ast::{BinaryOp, functions};
use skopos_promql::{Expr, ExprKind, Span};

use super::burn::is_burn_rate;
use super::condition::is_heartbeat;
use crate::Priority;
use crate::context::{Draft, Subject};
use crate::source::RuleFile;

/// Beyond this an instant query finds the last evaluation's samples no more.
const LOOKBACK: Duration = Duration::from_secs(300);

pub(super) fn hold(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let fields = [("for", &subject.rule.hold), ("keep_firing_for", &subject.rule.keep_firing_for)];
    for (name, field) in fields {
        let Some((duration, text)) = field else { continue };
        if duration.is_zero() && !text.value.is_empty() {
            let message = format!("`{name}: {}` says what holds without it", text.value);
            found.push(subject.finding("alerts/for", text.span(), message).hint("remove the line"));
        }
    }
    if let (Some((hold, text)), Some((interval, _))) = (&subject.rule.hold, &subject.group.interval)
        && !hold.is_zero()
        && hold < interval
    {
        let message = format!(
            "`for: {}` is shorter than the group's interval {}: the alert fires at the second evaluation, after {1}",
            text.value,
            format_duration(*interval)
        );
        let hint = format!("write `for: {}` or shorten the interval", format_duration(*interval));
        found.push(subject.finding("alerts/for", text.span(), message).hint(hint));
    }
}

pub(super) fn spike(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let shortest = subject.options.shortest_for;
    let rule = subject.rule;
    let Some(ast) = rule.ast().filter(|_| rule.is_alert && rule.hold() < shortest) else { return };
    let exempt = is_heartbeat(ast)
        || subject.priority() == Some(Priority::Nobody)
        || is_burn_rate(subject)
        || is_multi_window(ast)
        || smooths(ast, shortest);
    if exempt {
        return;
    }
    let wanted = format_duration(shortest);
    let draft = match &rule.hold {
        Some((hold, text)) if !hold.is_zero() => {
            let message = format!("`for: {}` lets a spike of that length alert", text.value);
            subject.finding("rule/for", text.span(), message)
        }
        _ => subject.about("rule/for", "without `for` a single evaluation alerts"),
    };
    let hint = format!(
        "write `for: {wanted}` or more; if it must be faster, say why: `# skopos:ignore rule/for REASON`"
    );
    found.push(draft.hint(hint));
}

/// Two conditions over windows of different length: the short one ends it, the long one is no spike.
fn is_multi_window(ast: &Expr) -> bool {
    ast.descendants().into_iter().any(|e| {
        let ExprKind::Binary(b) = &e.kind else { return false };
        let windows = |e: &Expr| longest_window(e);
        b.op == BinaryOp::And
            && matches!((windows(&b.lhs), windows(&b.rhs)), (Some(a), Some(b)) if a != b)
    })
}

/// Whether everything it reads is averaged or counted over far longer than a spike: a window of twelve
/// times the shortest `for` (an hour) moves too slowly for one.
fn smooths(ast: &Expr, shortest: Duration) -> bool {
    let least = i64::try_from(shortest.as_millis()).unwrap_or(i64::MAX).saturating_mul(12);
    let windows: Vec<Option<i64>> = skopos_promql::ast::selectors(ast)
        .into_iter()
        .map(|(expr, _)| match &expr.kind {
            ExprKind::Matrix { range, .. } => range.literal_ms(),
            _ => None,
        })
        .collect();
    // What asks for the newest sample or the highest does not smooth.
    let extremes = functions(ast).iter().any(|(_, f)| {
        matches!(f.name, "irate" | "max_over_time" | "min_over_time" | "last_over_time" | "changes")
    });
    !windows.is_empty() && !extremes && windows.iter().all(|w| w.is_some_and(|ms| ms >= least))
}

fn longest_window(ast: &Expr) -> Option<i64> {
    let windows = ast.descendants().into_iter().filter_map(|e| match &e.kind {
        ExprKind::Matrix { range, .. } => range.literal_ms(),
        ExprKind::Subquery(subquery) => subquery.range.literal_ms(),
        _ => None,
    });
    windows.max()
}

pub(super) fn interval(f: usize, g: usize, file: &RuleFile, found: &mut Vec<Draft>) {
    let Some((interval, text)) = &file.groups[g].interval else { return };
    if *interval <= LOOKBACK {
        return;
    }
    let code = "group/interval";
    let severity = crate::Check::find(code).map_or(crate::Severity::Warning, |c| c.severity);
    let message = format!(
        "every {} is rarer than the 5m that queries look back: between evaluations the group's series are gone",
        text.value
    );
    let hint = Some("write `interval: 5m` or less".to_owned());
    let span = text.place(&file.text, Span::new(0, text.value.len()));
    found.push(Draft { code, severity, file: f, about: Some((g, None)), span, message, hint });
}
