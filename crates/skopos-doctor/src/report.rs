//! Verdicts, and how they are shown.

use std::fmt::Write as _;

use serde::Serialize;

use crate::demand::{DEMANDS, Demand, Section};

/// How a demand is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It holds.
    Ok,
    /// It does not.
    Failed,
    /// Nothing was seen that would say so.
    Unknown,
}

impl Status {
    /// The word for it in a report.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Failed => "FAILED",
            Status::Unknown => "unknown",
        }
    }
}

/// What came of one demand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The demand.
    #[serde(flatten)]
    pub demand: &'static Demand,
    /// How it is met.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What would settle it, when nothing was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
}

/// All verdicts of a visit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The address asked.
    pub url: String,
    /// One for each of [`DEMANDS`], in its order.
    pub verdicts: Vec<Verdict>,
    /// What else the reader should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    /// How many demands are met so.
    pub fn count(&self, status: Status) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.status == status).count()
    }

    /// How many demands are not met.
    pub fn failed(&self) -> usize {
        self.count(Status::Failed)
    }

    /// Renders it for a person; `paint` may colour the word of a status.
    pub fn render(&self, paint: &dyn Fn(Status, &str) -> String) -> String {
        let mut out = format!("{} against the guide\n", self.url);
        let mut last: Option<Section> = None;
        let mut settled: Vec<&str> = Vec::new();
        for verdict in &self.verdicts {
            let demand = verdict.demand;
            if last != Some(demand.section) {
                let _ = writeln!(out, "\n{}", demand.section.heading());
                last = Some(demand.section);
            }
            let word = format!("{:<7}", verdict.status.word());
            let _ = write!(out, "  {}  {}", paint(verdict.status, &word), demand.title);
            match verdict.status {
                Status::Ok if verdict.found.is_empty() => out.push('\n'),
                Status::Ok => {
                    let _ = writeln!(out, ": {}", verdict.found);
                }
                Status::Failed => {
                    let _ = writeln!(out, "\n           found  {}", verdict.found);
                    let _ = writeln!(out, "           fix    {}", demand.fix);
                }
                Status::Unknown => {
                    let _ = writeln!(out, "\n           found  {}", verdict.found);
                    // The same advice is given once.
                    if let Some(settle) = verdict.settle.as_deref()
                        && !settled.contains(&settle)
                    {
                        let _ = writeln!(out, "           settle {settle}");
                        settled.push(settle);
                    }
                }
            }
        }
        out.push('\n');
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        let _ = writeln!(
            out,
            "{} demands: {} ok, {} failed, {} unknown",
            self.verdicts.len(),
            self.count(Status::Ok),
            self.failed(),
            self.count(Status::Unknown)
        );
        out
    }

    /// The report as a JSON document, with counts beside the verdicts.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "url": self.url,
            "verdicts": self.verdicts,
            "notes": self.notes,
            "demands": DEMANDS.len(),
            "ok": self.count(Status::Ok),
            "failed": self.failed(),
            "unknown": self.count(Status::Unknown),
        })
    }
}
