//! The check before a release: six pillars of every service that is watched in production, each passed or failed.
//!
//! A pillar fails by an important or critical finding, held back or not: the check says what is, not what is accepted. A
//! service whose language is not read fails, and so does a repository without any service: nothing was checked.

use serde::{Serialize, Serializer};

use crate::rule::Pillar;
use crate::{PillarScore, Report, Rule, ServiceReport, Severity};

/// Passed or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(pub bool);

impl Pass {
    /// `pass` or `fail`.
    pub fn as_str(self) -> &'static str {
        if self.0 { "pass" } else { "fail" }
    }
}

impl Serialize for Pass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The verdict of `--production-check`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProductionCheck {
    /// Whether every service passes, and there is one.
    pub verdict: Pass,
    /// Why not, where no service says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The services and workers.
    pub services: Vec<ServiceCheck>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceCheck {
    /// Its name.
    pub name: String,
    /// Its folder from the root; `.` for the root.
    pub path: String,
    /// Whether every pillar passes.
    pub verdict: Pass,
    /// Its grade; none when it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Why it was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
    /// The six pillars; none when it was not judged.
    pub pillars: Vec<PillarCheck>,
}

/// One pillar of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PillarCheck {
    /// Which.
    pub pillar: Pillar,
    /// Whether it passes.
    pub verdict: Pass,
    /// Points reached.
    pub points: f64,
    /// Points there are.
    pub of: u32,
    /// The rules that keep it from passing.
    pub rules: Vec<&'static str>,
}

impl ProductionCheck {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let watched = report.services.iter().filter(|service| service.kind.is_watched());
        let services: Vec<ServiceCheck> = watched.map(|service| check(report, service)).collect();
        let reason = services
            .is_empty()
            .then_some("no service was found: there is nothing that could be checked");
        let verdict = Pass(reason.is_none() && services.iter().all(|s| s.verdict.0));
        Self { verdict, reason, services }
    }
}

fn check(report: &Report, service: &ServiceReport) -> ServiceCheck {
    let pillars: Vec<PillarCheck> = service
        .score
        .iter()
        .flat_map(|score| &score.pillars)
        .map(|pillar| PillarCheck {
            pillar: pillar.pillar,
            verdict: Pass(pillar.passes),
            points: pillar.points,
            of: pillar.of,
            rules: if pillar.passes { Vec::new() } else { blocking(report, service, pillar) },
        })
        .collect();
    let not_judged = service.score.is_none().then(|| {
        let why = service.not_judged.as_deref();
        why.unwrap_or("its language is not read").to_owned()
    });
    ServiceCheck {
        name: service.name.clone(),
        path: service.path.clone(),
        verdict: Pass(not_judged.is_none() && pillars.iter().all(|p| p.verdict.0)),
        grade: service.score.as_ref().map(|score| score.grade.clone()),
        not_judged,
        pillars,
    }
}

/// The rules that keep a pillar from passing.
fn blocking(report: &Report, service: &ServiceReport, pillar: &PillarScore) -> Vec<&'static str> {
    let held = report.suppressed.iter().map(|s| &s.finding);
    let mut rules: Vec<&'static str> = report
        .failures()
        .chain(held)
        .filter(|f| f.service.as_ref().is_none_or(|name| *name == service.name))
        .filter(|f| f.severity >= Severity::Important)
        .filter(|f| Rule::find(f.rule).is_some_and(|rule| rule.pillar == pillar.pillar))
        .map(|f| f.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
