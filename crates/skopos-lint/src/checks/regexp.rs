//! `promql/regexp`: regular expressions that say no more than a text would, or less than they seem to.

use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};
use skopos_promql::ast::selectors;
use skopos_promql::{Expr, Span};

use crate::Severity;
use crate::context::{Draft, Subject};

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Draft>) {
    let Some((ast, text)) = subject.rule.expr.as_ref().map(|e| (&e.ast, e.text.value.as_str()))
    else {
        return;
    };
    for (expr, selector) in selectors(ast) {
        for matcher in selector.matchers.iter().filter(|m| m.name() != METRIC_NAME) {
            let Some((message, hint)) = judge(matcher) else { continue };
            let at = place(matcher, expr, text).unwrap_or(expr.span);
            let draft = subject.in_expr("promql/regexp", at, message).hint(hint);
            // What selects nothing is more than a matter of style.
            let selects_nothing = matcher.op() == MatchOp::NotRegex && matcher.value() == ".*";
            found.push(if selects_nothing { draft.severity(Severity::Warning) } else { draft });
        }
    }
}

fn judge(matcher: &LabelMatcher) -> Option<(String, String)> {
    let (name, value) = (matcher.name(), matcher.value());
    let (plain, negative) = match matcher.op() {
        MatchOp::Regex => ("=", false),
        MatchOp::NotRegex => ("!=", true),
        _ => return None,
    };
    match (value, negative) {
        (".*", false) => {
            return Some((
                format!("`{name}=~\".*\"` holds for every series"),
                format!("leave it out, or ask for a label that is there: `{name}!=\"\"`"),
            ));
        }
        (".*", true) => {
            return Some((
                format!("`{name}!~\".*\"` holds for no series"),
                format!("for series without the label write `{name}=\"\"`"),
            ));
        }
        (".+", _) => {
            let same = if negative { "=" } else { "!=" };
            return Some((
                format!("`{name}{}\".+\"` asks whether the label is there", matcher.op().as_str()),
                format!("write `{name}{same}\"\"`"),
            ));
        }
        _ => {}
    }
    if value.starts_with('^') || (value.ends_with('$') && !value.ends_with("\\$")) {
        let bare = value.trim_start_matches('^').trim_end_matches('$');
        return Some((
            "matchers are anchored at both ends already".into(),
            format!("write `{name}{}{bare:?}`", matcher.op().as_str()),
        ));
    }
    let is_literal = !value.is_empty()
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | ' '));
    is_literal.then(|| {
        (
            "a plain text needs no regular expression".into(),
            format!("write `{name}{plain}{value:?}`"),
        )
    })
}

/// Where the matcher is written, within its selector.
fn place(matcher: &LabelMatcher, expr: &Expr, text: &str) -> Option<Span> {
    let within = expr.span.text(text);
    let mut from = 0;
    while let Some(at) = within[from..].find(matcher.name()).map(|at| at + from) {
        from = at + matcher.name().len();
        let rest =
            within[from..].trim_start().strip_prefix('"').unwrap_or(within[from..].trim_start());
        let Some(rest) = rest.trim_start().strip_prefix(matcher.op().as_str()) else { continue };
        let value = rest.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let close = value[1..]
            .match_indices(quote)
            .map(|(i, _)| i + 1)
            .find(|i| !value[..*i].ends_with('\\'))?;
        let end = within.len() - value.len() + close + 1;
        return Some(Span::new(expr.span.start + at, expr.span.start + end));
    }
    None
}
