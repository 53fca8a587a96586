//! What deploys and incidents cost.

use serde::Serialize;
use skopos_model::{Labels, Timestamp};

use super::SloEngine;
use super::words::{as_object, hours, pairs, percent};
use crate::slo::budget::{Book, Budget};
use crate::slo::notes::{Annotation, AnnotationKind};

const HOUR_MS: i64 = 3_600_000;
/// How long after it a deploy is blamed, unless another follows.
const BLAME_MS: i64 = 6 * HOUR_MS;

/// What a deploy cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeployCost {
    /// The deploy, or another annotation.
    pub annotation: Annotation,
    /// The objective.
    pub slo: String,
    /// The group's labels.
    #[serde(serialize_with = "as_object")]
    pub group: Vec<(String, String)>,
    /// Until when what happened is put down to it: the next deploy, the annotation's end, 6 h, or now.
    pub until_ms: i64,
    /// The share of the budget spent from it until then.
    pub spent: f64,
    /// The share spent in as much time before it.
    pub spent_before: f64,
    /// It in a sentence.
    pub sentence: String,
}

impl SloEngine {
    /// What every deploy and incident of an objective's service in its present window cost, newest
    /// first.
    pub fn costs(&self, slo: &str, now: Timestamp) -> Vec<DeployCost> {
        let now_ms = now.as_millis();
        let Some(state) = self.states.iter().find(|state| state.slo.name == slo) else {
            return Vec::new();
        };
        let mut costs = Vec::new();
        for (labels, group) in &state.groups {
            let book = state.book(group);
            let budget = book.budget(now_ms);
            let start = Timestamp::from_millis(budget.period.start_ms);
            let notes = self.annotations(Some(&state.slo.service), start, now);
            for (at, note) in notes.iter().enumerate() {
                if note.kind == AnnotationKind::Note {
                    continue;
                }
                let is_deploy = |other: &&Annotation| {
                    other.kind == AnnotationKind::Deploy && other.start_ms > note.start_ms
                };
                let next = notes[at + 1..].iter().find(is_deploy).map(|next| next.start_ms);
                let until = match (note.kind, note.end_ms) {
                    (AnnotationKind::Deploy, _) => {
                        let blamed = note.start_ms + BLAME_MS;
                        next.map_or(blamed, |next| next.min(blamed))
                    }
                    (_, end) => end.unwrap_or(now_ms),
                };
                let until = until.min(now_ms);
                costs.push(cost(&book, &budget, note, labels, until));
            }
        }
        costs.sort_by_key(|cost| std::cmp::Reverse(cost.annotation.start_ms));
        costs
    }
}

/// Bad events between two moments. Nobody knows when in its slice an event was: a slice that only begins or ends
/// in between is shared out by time, as far as there is data in it.
fn bad_between(book: &Book<'_>, start: i64, end: i64, until: i64) -> f64 {
    let share_before = |at: i64| {
        let slice = book.ledger.slice_at(at);
        let known = slice.end_ms.min(until.max(at));
        match known > slice.start_ms && at > slice.start_ms {
            true => {
                let share = (at - slice.start_ms) as f64 / (known - slice.start_ms) as f64;
                (slice, book.sum(slice.start_ms, slice.end_ms).bad * share)
            }
            false => (slice, 0.0),
        }
    };
    let (first, before) = share_before(start);
    let (last, within) = share_before(end);
    (book.sum(first.start_ms, last.start_ms).bad - before + within).max(0.0)
}

fn cost(
    book: &Book<'_>,
    budget: &Budget,
    note: &Annotation,
    labels: &Labels,
    until: i64,
) -> DeployCost {
    let slo = book.slo;
    let allowed = budget.expected_total * slo.budget();
    let share = |start: i64, end: i64| {
        if allowed > 0.0 { bad_between(book, start, end, budget.until_ms) / allowed } else { 0.0 }
    };
    let length = (until - note.start_ms).max(0);
    // As much time before it, a slice at least.
    let span = length.max(book.ledger.slice_ms());
    let spent = share(note.start_ms, until.max(note.start_ms));
    let spent_before = share(note.start_ms - span, note.start_ms);
    let lasted = hours(length as f64 / HOUR_MS as f64);
    let sentence = format!(
        "{} {:?} burned {} of the budget of {} in {lasted} ({} in as much time before).",
        match note.kind {
            AnnotationKind::Deploy => "Deploy",
            AnnotationKind::Incident => "Incident",
            AnnotationKind::Drill => "Drill",
            AnnotationKind::Note => "Note",
        },
        note.text,
        percent(spent),
        slo.name,
        percent(spent_before),
    );
    DeployCost {
        annotation: note.clone(),
        slo: slo.name.clone(),
        group: pairs(labels),
        until_ms: until,
        spent,
        spent_before,
        sentence,
    }
}
