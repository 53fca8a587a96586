//! Which rules of a group wait for which: a rule that reads what another writes, before or after
//! it in the file, keeps its place relative to that one. All others may run at the same time, and
//! nobody can tell the difference.

use skopos_model::METRIC_NAME;

use super::{Rule, RuleGroup, RuleKind, Selector};

/// Series that every alerting rule writes.
const OF_ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

impl RuleGroup {
    /// The rules, by index, in waves: those of one wave do not touch each other, and each comes
    /// after every earlier rule that it reads from or that reads from it.
    pub fn waves(&self) -> Vec<Vec<usize>> {
        let mut waves: Vec<Vec<usize>> = Vec::new();
        let mut wave_of: Vec<usize> = Vec::with_capacity(self.rules.len());
        for (at, rule) in self.rules.iter().enumerate() {
            let before = self.rules[..at].iter().zip(&wave_of);
            let bound = before.filter(|(earlier, _)| touch(earlier, rule));
            let wave = bound.map(|(_, wave)| wave + 1).max().unwrap_or(0);
            wave_of.push(wave);
            match waves.get_mut(wave) {
                Some(members) => members.push(at),
                None => waves.push(vec![at]),
            }
        }
        waves
    }
}

/// Whether the order of two rules can be seen.
fn touch(a: &Rule, b: &Rule) -> bool {
    reads(a, b) || reads(b, a) || write_the_same(a, b)
}

/// Whether `reader` may see what `writer` writes. A query within a template may see anything.
fn reads(reader: &Rule, writer: &Rule) -> bool {
    reader.queries_in_templates()
        || reader.expr.selectors().iter().any(|selector| may_match(selector, writer))
}

fn write_the_same(a: &Rule, b: &Rule) -> bool {
    // Equal recorded names may collide; equal alert names share one place in notifications.
    a.name == b.name && a.alerting().is_some() == b.alerting().is_some()
}

fn may_match(selector: &Selector, writer: &Rule) -> bool {
    let holds = |label: &str, value: &str| {
        selector.matchers.iter().filter(|m| m.name() == label).all(|m| m.matches(value))
    };
    match writer.kind {
        RuleKind::Recording => holds(METRIC_NAME, &writer.name),
        RuleKind::Alerting(_) => {
            OF_ALERTS.iter().any(|name| holds(METRIC_NAME, name))
                && holds("alertname", &writer.name)
        }
    }
}

#[cfg(test)]
mod tests {
    fn waves(rules: &[&str]) -> Vec<Vec<usize>> {
        let rules: Vec<String> = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
        let text = format!("groups:\n- name: g\n  rules:\n{}", rules.concat());
        match crate::rules::load(&[("r.yml", &text)]) {
            Ok(set) => set.groups[0].waves(),
            Err(errors) => panic!("{}", errors[0]),
        }
    }

    #[test]
    fn rules_that_touch_each_other_keep_their_order() {
        let cases: &[(&[&str], &[&[usize]])] = &[
            (&["record: 'a:b', expr: x", "record: 'c:d', expr: y"], &[&[0, 1]]),
            (&["record: 'a:b', expr: x", "alert: A, expr: 'a:b > 1'"], &[&[0], &[1]]),
            // The reader stands first: it sees what the slot before wrote, and must go on doing so.
            (&["alert: A, expr: 'a:b > 1'", "record: 'a:b', expr: x"], &[&[0], &[1]]),
            (
                &[
                    "record: 'a:b', expr: x",
                    "record: 'c:d', expr: y",
                    "alert: A, expr: 'a:b + c:d'",
                ],
                &[&[0, 1], &[2]],
            ),
            (
                &[
                    "alert: A, expr: x",
                    "alert: B, expr: 'ALERTS{alertname=\"A\"}'",
                    "alert: C, expr: 'ALERTS{alertname=\"X\"}'",
                ],
                &[&[0, 2], &[1]],
            ),
            (&["alert: A, expr: x", "alert: B, expr: 'ALERTS'"], &[&[0], &[1]]),
            (&["record: 'a:b', expr: x", "alert: B, expr: '{job=\"x\"}'"], &[&[0], &[1]]),
            (&["record: 'a:b', expr: x", "alert: B, expr: '{__name__=~\"c.*\"}'"], &[&[0, 1]]),
            (
                &[
                    "record: 'a:b', expr: x",
                    "alert: B, expr: y, annotations: {s: '{{ query \"a:b\" }}'}",
                ],
                &[&[0], &[1]],
            ),
            (&["record: 'a:b', expr: x", "record: 'a:b', expr: y"], &[&[0], &[1]]),
            (&["record: 'a:b', expr: 'a:b + 1'"], &[&[0]]),
        ];
        for (rules, want) in cases {
            assert_eq!(waves(rules), *want, "{rules:?}");
        }
    }
}
