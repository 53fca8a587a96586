//! The score of a service: six pillars, 100 points, a grade; each lost point has its finding.
//!
//! A rule counts once, however often it finds: 400 prints cost what 4 cost. Mitigated counts half; unknown and not
//! applicable leave both sums. Suppressed findings still count: the score is the state, the exit code the policy.

use serde::Serialize;

use crate::rule::Pillar;
use crate::{Rule, Severity};

/// What a rule came to for one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Clean,
    Found,
    Mitigated,
    Unknown,
}

/// The score of one service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// 0 to 100.
    pub points: f64,
    /// `A` to `F`; with `?` when too much could not be told.
    pub grade: String,
    /// Why the grade is lower than the points say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<String>,
    /// That rules were left out, and how many judged: such a grade compares with no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// Share of the rules' weight that could be judged.
    pub coverage: f64,
    /// The pillars.
    pub pillars: Vec<PillarScore>,
    /// What costs points, dearest first.
    pub lost: Vec<Lost>,
}

/// One pillar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PillarScore {
    /// Which.
    pub pillar: Pillar,
    /// Points reached.
    pub points: f64,
    /// Points there are.
    pub of: u32,
    /// Whether no important or critical rule of it finds anything.
    pub passes: bool,
}

/// Points that a rule costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// The rule.
    pub rule: &'static str,
    /// How many points mending it brings.
    pub points: f64,
}

const GRADES: [(&str, f64); 6] =
    [("A", 90.0), ("B", 75.0), ("C", 60.0), ("D", 45.0), ("E", 30.0), ("F", 0.0)];

/// The rules that say that a pillar is not there at all, or that what there is never leaves the process: then clean rules
/// of that pillar prove nothing, and leave the sums.
const ABSENCE: [(Pillar, &str); 7] = [
    (Pillar::Logs, "LOG001"),
    (Pillar::Metrics, "MET001"),
    (Pillar::Metrics, "MET002"),
    (Pillar::Tracing, "TRC001"),
    (Pillar::Tracing, "TRC002"),
    (Pillar::Health, "HLT001"),
    (Pillar::Alerting, "ALR001"),
];

/// Scores one service.
pub(crate) fn score(outcomes: &[(&'static Rule, Severity, Outcome)]) -> Score {
    let mut pillars = Vec::new();
    let mut lost = Vec::new();
    let mut points = 0.0;
    for pillar in Pillar::ALL {
        let of_pillar = outcomes.iter().filter(|(rule, ..)| rule.pillar == pillar);
        let is_absent = outcomes.iter().any(|(rule, _, outcome)| {
            *outcome == Outcome::Found && ABSENCE.contains(&(pillar, rule.code))
        });
        let counts = |outcome: Outcome| {
            outcome != Outcome::Unknown && !(is_absent && outcome == Outcome::Clean)
        };
        let known: Vec<_> = of_pillar.filter(|(.., outcome)| counts(*outcome)).collect();
        let total: u32 = known.iter().map(|(_, severity, _)| severity.weight()).sum();
        let of = f64::from(pillar.points());
        let mut reached = of;
        for (rule, severity, outcome) in &known {
            let share = match outcome {
                Outcome::Found => 1.0,
                Outcome::Mitigated => 0.5,
                Outcome::Clean | Outcome::Unknown => continue,
            };
            let cost = of * share * f64::from(severity.weight()) / f64::from(total);
            reached -= cost;
            lost.push(Lost { rule: rule.code, points: round(cost) });
        }
        let blocks = |(_, severity, outcome): &&&(&Rule, Severity, Outcome)| {
            *outcome == Outcome::Found && *severity >= Severity::Important
        };
        let passes = !known.iter().any(|row| blocks(&row));
        let reached = reached.max(0.0);
        points += reached;
        pillars.push(PillarScore { pillar, points: round(reached), of: pillar.points(), passes });
    }
    lost.sort_by(|a, b| b.points.total_cmp(&a.points).then(a.rule.cmp(b.rule)));
    let weight = |rows: &mut dyn Iterator<Item = &(&'static Rule, Severity, Outcome)>| -> u32 {
        rows.map(|(_, severity, _)| severity.weight()).sum()
    };
    let all = weight(&mut outcomes.iter());
    let judged = weight(&mut outcomes.iter().filter(|(.., o)| *o != Outcome::Unknown));
    let coverage = if all == 0 { 1.0 } else { f64::from(judged) / f64::from(all) };
    let by_points = GRADES.iter().position(|(_, least)| points >= *least - 1e-9).unwrap_or(5);
    let (at_best, cap) = cap(outcomes);
    let is_capped = at_best > by_points;
    let mut grade = GRADES[by_points.max(at_best)].0.to_owned();
    if coverage < 0.6 {
        grade.push('?');
    }
    let cap = cap.filter(|_| is_capped);
    let (points, coverage) = (round(points), round(coverage));
    Score { points, grade, cap, partial: None, coverage, pillars, lost }
}

/// The best grade that is left, and why.
fn cap(outcomes: &[(&'static Rule, Severity, Outcome)]) -> (usize, Option<String>) {
    let found = |code: &str| {
        outcomes.iter().any(|(rule, _, outcome)| rule.code == code && *outcome == Outcome::Found)
    };
    let first = |codes: &[&'static str]| codes.iter().copied().find(|code| found(code));
    let is_absent = |pillar: Pillar| ABSENCE.iter().any(|(of, code)| *of == pillar && found(code));
    if [Pillar::Logs, Pillar::Metrics, Pillar::Tracing].into_iter().all(is_absent) {
        let why = "neither structured logs nor metrics nor traces leave it: flying blind";
        return (5, Some(why.into()));
    }
    if let Some(code) = first(&["SEC001", "SEC003", "SEC006", "SEC009"]) {
        return (3, Some(format!("secrets leak ({code}): D at best")));
    }
    if let Some(code) = first(&["ALR010", "HLT004"]) {
        return (2, Some(format!("{code} turns monitoring against the service: C at best")));
    }
    if let Some(code) = first(&["HLT001", "ALR001"]) {
        return (1, Some(format!("nobody is told when it is down ({code}): B at best")));
    }
    (0, None)
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(outcomes: &[(&str, Outcome)]) -> Score {
        let rows: Vec<_> = outcomes
            .iter()
            .map(|(code, outcome)| {
                let rule = Rule::find(code).unwrap();
                (rule, rule.severity, *outcome)
            })
            .collect();
        score(&rows)
    }

    #[test]
    fn a_pillar_that_is_not_there_has_no_points() {
        let score = of(&[
            ("MET001", Outcome::Found),
            ("MET004", Outcome::Clean),
            ("LOG001", Outcome::Found),
            ("TRC001", Outcome::Found),
        ]);
        let points =
            |pillar: Pillar| score.pillars.iter().find(|p| p.pillar == pillar).map(|p| p.points);
        assert_eq!(points(Pillar::Metrics), Some(0.0));
        assert_eq!(points(Pillar::Health), Some(15.0));
        assert_eq!(score.grade, "F");
        assert_eq!(score.lost.iter().map(|lost| lost.points).sum::<f64>(), 55.0);
    }

    #[test]
    fn what_never_leaves_the_process_has_no_points() {
        let score = of(&[
            ("MET002", Outcome::Found),
            ("MET004", Outcome::Clean),
            ("MET005", Outcome::Clean),
            ("LOG001", Outcome::Found),
            ("LOG002", Outcome::Clean),
            ("TRC002", Outcome::Found),
            ("TRC004", Outcome::Clean),
        ]);
        for pillar in [Pillar::Logs, Pillar::Metrics, Pillar::Tracing] {
            let of_pillar = score.pillars.iter().find(|p| p.pillar == pillar).unwrap();
            assert_eq!((of_pillar.points, of_pillar.passes), (0.0, false), "{pillar:?}");
        }
        assert_eq!(score.grade, "F");
        assert!(score.cap.is_none() || score.points >= 30.0);
    }

    #[test]
    fn mitigated_costs_half_unknown_nothing_and_leaks_cap() {
        let half = of(&[("MET001", Outcome::Mitigated)]);
        assert_eq!((half.points, half.grade.as_str()), (90.0, "A"));
        let unknown = of(&[("LOG001", Outcome::Unknown), ("LOG002", Outcome::Clean)]);
        assert_eq!((unknown.points, unknown.grade.as_str()), (100.0, "A?"), "{unknown:?}");
        let leak = of(&[("SEC001", Outcome::Found), ("SEC007", Outcome::Clean)]);
        assert_eq!(leak.grade, "D");
        assert!(leak.cap.is_some_and(|cap| cap.contains("SEC001")));
    }
}
