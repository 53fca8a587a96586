//! Puts the expressions of recording rules in the place of the series that they record.
//!
//! Only selectors that name nothing but the metric are replaced: what a further condition selects of
//! a result cannot be said inside it. Others read what is stored, as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_promql::ast::selectors;
use skopos_promql::{Expr, ExprKind, ParseOptions};

use super::BacktestOptions;
use crate::duration::format_duration;
use crate::rules::RuleSet;

/// Recorded series may be made of recorded series, to this depth.
const MAX_DEPTH: usize = 8;

/// Longest expression that inlining may make, bytes.
const MAX_LENGTH: usize = 1 << 18;

/// Finest resolution at which the past of a recorded series is computed anew.
const FINEST: Duration = Duration::from_secs(60);

/// What recording rules record.
pub(super) struct Recorded {
    by_name: BTreeMap<String, Recording>,
    language: ParseOptions,
}

struct Recording {
    expr: String,
    interval: Duration,
}

impl Recorded {
    /// Those of a set. Several rules that record one name stand beside each other with `or`.
    pub(super) fn of(set: &RuleSet, options: &BacktestOptions) -> Self {
        let mut by_name: BTreeMap<String, Recording> = BTreeMap::new();
        for group in &set.groups {
            let interval = group.interval.unwrap_or(options.evaluation_interval).max(FINEST);
            for rule in group.rules.iter().filter(|rule| rule.alerting().is_none()) {
                let mut expr = format!("({})", rule.expr.as_str());
                for (name, value) in &rule.labels {
                    expr = format!(
                        "label_replace({expr}, {name:?}, {:?}, \"\", \"\")",
                        literal(value)
                    );
                }
                by_name
                    .entry(rule.name.clone())
                    .and_modify(|known| known.expr = format!("({} or {expr})", known.expr))
                    .or_insert(Recording { expr, interval });
            }
        }
        Self { by_name, language: options.language }
    }

    /// The expression with everything recorded computed anew.
    pub(super) fn inlined(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for _ in 0..MAX_DEPTH {
            let next = self.once(&text)?;
            if next == text {
                return Ok(text);
            }
            if next.len() > MAX_LENGTH {
                return Err("the recording rules it reads make too long an expression".into());
            }
            text = next;
        }
        Err("the recording rules it reads refer to each other in a circle".into())
    }

    fn once(&self, text: &str) -> Result<String, String> {
        let expr = skopos_promql::parse(text, &self.language).map_err(|error| error.message)?;
        let mut places: Vec<_> = selectors(&expr)
            .into_iter()
            .filter_map(|(node, selector)| {
                let name = selector.name.as_deref()?;
                let is_plain = selector.matchers.len() == 1
                    && selector.at.is_none()
                    && selector.mode.is_none();
                let recording = self.by_name.get(name).filter(|_| is_plain)?;
                let range = node.span.start..node.span.end;
                let with = replacement(node, text.get(range.clone())?, name, recording)?;
                Some((range, with))
            })
            .collect();
        places.sort_by_key(|(range, _)| range.start);
        let mut out = text.to_owned();
        for (range, with) in places.into_iter().rev() {
            out.replace_range(range, &with);
        }
        Ok(out)
    }
}

/// What stands for `name`, `name offset 1d`, `name[1h]`, `name[1h] offset 1d`.
fn replacement(node: &Expr, text: &str, name: &str, recording: &Recording) -> Option<String> {
    let suffix = text.strip_prefix(name)?.trim_start();
    let (expr, step) = (&recording.expr, format_duration(recording.interval));
    match &node.kind {
        ExprKind::Matrix { .. } => {
            let (range, rest) = suffix.strip_prefix('[')?.split_once(']')?;
            Some(format!("{expr}[{range}:{step}]{rest}"))
        }
        _ if suffix.is_empty() => Some(expr.clone()),
        _ => Some(format!("last_over_time({expr}[{step}:{step}] {suffix})")),
    }
}

/// A text that `label_replace` inserts as it is.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use skopos_model::Timestamp;

    use super::*;
    use crate::rules;

    fn recorded(file: &str) -> Recorded {
        let set = rules::load(&[("r.yml", file)]).unwrap();
        let options = BacktestOptions {
            start: Timestamp::from_secs(0),
            end: Timestamp::from_secs(0),
            evaluation_interval: Duration::from_secs(15),
            only: None,
            language: ParseOptions::default(),
        };
        Recorded::of(&set, &options)
    }

    #[test]
    fn selectors_become_expressions() {
        let recorded = recorded(
            "groups: [{name: g, interval: 2m, rules: [
              {record: 'a:b', expr: 'sum(x)', labels: {kind: 'v$1'}},
              {record: c, expr: 'a:b * 2'}]}]",
        );
        let label = "label_replace((sum(x)), \"kind\", \"v$$1\", \"\", \"\")";
        for (text, want) in [
            ("x > 1", "x > 1".to_string()),
            ("a:b > 1", format!("{label} > 1")),
            ("c + y", format!("({label} * 2) + y")),
            ("a:b offset 1d", format!("last_over_time({label}[2m:2m] offset 1d)")),
            (
                "avg_over_time(a:b[1h] offset 5m)",
                format!("avg_over_time({label}[1h:2m] offset 5m)"),
            ),
            ("a:b{kind=\"w\"}", "a:b{kind=\"w\"}".to_string()),
        ] {
            let got = recorded.inlined(text).unwrap();
            assert_eq!(got, want);
            assert!(skopos_promql::parse(&got, &ParseOptions::default()).is_ok(), "{got}");
        }
    }

    #[test]
    fn circles_are_an_error() {
        let recorded = recorded(
            "groups: [{name: g, rules: [{record: a, expr: b + 1}, {record: b, expr: a + 1}]}]",
        );
        assert!(recorded.inlined("a").unwrap_err().contains("circle"));
    }

    #[test]
    fn rules_that_record_one_name_stand_beside_each_other() {
        let recorded =
            recorded("groups: [{name: g, rules: [{record: a, expr: x}, {record: a, expr: y}]}]");
        assert_eq!(recorded.inlined("a").unwrap(), "((x) or (y))");
    }
}
