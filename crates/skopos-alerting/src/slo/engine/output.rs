//! The series that the engine records at every slot, which the alert rules read. Their names and labels are
//! sloth's, so that dashboards made for it work.

use std::time::Duration;

use skopos_model::metric::STALE_NAN;
use skopos_model::{Labels, METRIC_NAME, SeriesSamples};

use super::{PRESENT, SloState, windows};
use crate::slo::Slo;
use crate::slo::budget::Book;
use crate::slo::rules::series_labels;
use crate::slo::window::window_text;

/// One series of one budget.
#[derive(Debug)]
pub(super) struct Output {
    what: What,
    labels: Labels,
    /// Whether it had a value at the last slot, and so must be ended.
    is_live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    ErrorRatio(Duration),
    BadEvents(Duration),
    Objective,
    ErrorBudget,
    PeriodDays,
    CurrentBurn,
    PeriodBurn,
    Remaining,
    HoursLeft,
    Present,
}

/// All series of a budget, without values.
pub(super) fn outputs(slo: &Slo, group: &Labels) -> Vec<Output> {
    let mut outputs = Vec::new();
    let mut add = |what: What, name: &str, window: Option<Duration>| {
        let mut builder = series_labels(slo, group).to_builder();
        builder.set(METRIC_NAME, name);
        if let Some(window) = window {
            builder.set("sloth_window", &window_text(window));
        }
        outputs.push(Output { what, labels: builder.build(), is_live: false });
    };
    for window in windows(slo) {
        let name = format!("slo:sli_error:ratio_rate{}", window_text(window));
        add(What::ErrorRatio(window), &name, Some(window));
    }
    let mut long: Vec<Duration> = slo.alerts.burn.iter().map(|alert| alert.long).collect();
    long.sort_unstable();
    long.dedup();
    for window in long {
        let name = format!("slo:sli_bad:increase{}", window_text(window));
        add(What::BadEvents(window), &name, Some(window));
    }
    for (what, name) in [
        (What::Objective, "slo:objective:ratio"),
        (What::ErrorBudget, "slo:error_budget:ratio"),
        (What::PeriodDays, "slo:time_period:days"),
        (What::CurrentBurn, "slo:current_burn_rate:ratio"),
        (What::PeriodBurn, "slo:period_burn_rate:ratio"),
        (What::Remaining, "slo:period_error_budget_remaining:ratio"),
        (What::HoursLeft, "slo:error_budget_exhaustion:hours"),
        (What::Present, "slo:sli_data:present"),
    ] {
        add(what, name, None);
    }
    outputs
}

/// The samples of a slot. A series without a value any more is ended, so that no rule reads on.
pub(super) fn samples(state: &mut SloState, slot_ms: i64, samples: &mut Vec<SeriesSamples>) {
    let slo = state.slo.clone();
    // What never changes is said once a minute; look-back is five.
    let is_full = slot_ms.rem_euclid(60_000) == 0;
    for group in state.groups.values_mut() {
        let (ledger, since_ms) = (&group.ledger, group.since_ms);
        let book = Book { slo: &slo, ledger, excluded: &state.excluded, since_ms };
        let budget = book.budget(slot_ms);
        let burn = book.burn(PRESENT, slot_ms);
        for output in &mut group.outputs {
            let value = match output.what {
                What::ErrorRatio(window) => book.error_ratio(window, slot_ms),
                What::BadEvents(window) => Some(book.over(window, slot_ms).bad),
                What::Objective if is_full || !output.is_live => Some(slo.target),
                What::ErrorBudget if is_full || !output.is_live => Some(slo.budget()),
                What::PeriodDays if is_full || !output.is_live => {
                    Some(budget.period.duration_ms() as f64 / 86_400_000.0)
                }
                What::Objective | What::ErrorBudget | What::PeriodDays => continue,
                What::CurrentBurn => book.burn(Duration::from_secs(300), slot_ms),
                What::PeriodBurn => budget.sum.error_ratio().map(|ratio| ratio / slo.budget()),
                What::Remaining => budget.remaining(),
                What::HoursLeft => book.hours_left(&budget, burn),
                What::Present => {
                    let until = group.ledger.covered_until().unwrap_or(i64::MIN);
                    (until > slot_ms - group.ledger.slice_ms()).then_some(1.0)
                }
            };
            if value.is_none() && !output.is_live {
                continue;
            }
            output.is_live = value.is_some();
            let value = value.unwrap_or(STALE_NAN);
            samples.push(SeriesSamples::single(output.labels.clone(), slot_ms, value));
        }
    }
}
