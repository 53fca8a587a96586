//! Numbers as people say them, and the sentence that says how a budget is.

use serde::Serializer;
use skopos_model::Labels;

use super::view::{Health, SloStatus};
use crate::slo::budget::Budget;
use crate::slo::tidy;

const HOUR_MS: i64 = 3_600_000;

pub(super) fn pairs(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Writes a group's labels as an object.
pub(in crate::slo) fn as_object<S: Serializer>(
    labels: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(name, value)| (name, value)))
}

/// Whether a severity is one that wakes people.
pub(in crate::slo) fn is_page(severity: &str) -> bool {
    matches!(severity.to_ascii_lowercase().as_str(), "critical" | "page" | "p1")
}

/// As many digits as a person wants: 14.4, 0.37, 1300.
pub(in crate::slo) fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    tidy(format!("{value:.digits$}").parse().unwrap_or(value)).to_string()
}

/// A share in percent: `99.93 %`.
pub(in crate::slo) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_05 {
        return "less than 0.01 %".into();
    }
    format!("{} %", rounded(share * 100.0))
}

/// An objective's name, with the values of its group.
pub(in crate::slo) fn name_of<'a>(slo: &str, group: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<&str> = group.collect();
    if values.is_empty() { slo.to_string() } else { format!("{slo} ({})", values.join(", ")) }
}

/// A share of good events in percent, cut off, with a digit more than its target has (three at least): what was missed is
/// never called met, and less than all is never 100 %.
pub fn good_percent(share: f64, target: f64) -> String {
    let in_target = tidy(target * 100.0).to_string();
    let digits = in_target.split_once('.').map_or(0, |(_, digits)| digits.len()).max(2) + 1;
    let scale = 10_f64.powi(digits as i32);
    // Binary fractions miss 57 % by a little.
    let mut units = (share * 100.0 * scale + 1e-6).floor();
    let is_too_much = share < 1.0 && units >= 100.0 * scale;
    if is_too_much || (share < target - 1e-12 && units >= target * 100.0 * scale - 1e-6) {
        units -= 1.0;
    }
    format!("{} %", tidy(units / scale))
}

/// What is left of a budget in percent, cut off: 99.96 % is not all of it. Below 0 when overspent.
pub fn left_percent(share: f64) -> String {
    let percent = (share * 100.0).abs();
    if share > 0.0 && percent < 0.01 {
        return "less than 0.01 %".into();
    }
    let scale = match percent {
        p if p >= 100.0 => 1.0,
        p if p < 0.1 => 100.0,
        _ => 10.0,
    };
    let cut = tidy((percent * scale + 1e-9).floor() / scale);
    format!("{} %", if share < 0.0 && cut > 0.0 { -cut } else { cut })
}

/// Hours as people say them: `35 min`, `5.2 h`, `12 d`.
pub(in crate::slo) fn hours(hours: f64) -> String {
    match hours {
        h if h * 60.0 < 1.0 => "less than a minute".into(),
        h if h < 1.0 => format!("{} min", (h * 60.0).round()),
        h if h < 72.0 => format!("{} h", rounded(h)),
        h => format!("{} d", rounded(h / 24.0)),
    }
}

/// The status of a budget in a sentence.
pub(super) fn sentence(
    status: &SloStatus,
    budget: &Budget,
    burn: Option<f64>,
    now_ms: i64,
    bucket: Option<String>,
) -> String {
    let name = name_of(&status.slo, status.group.iter().map(|(_, value)| value.as_str()));
    let Some(remaining) = status.budget_remaining else {
        let needs = bucket.map_or(String::new(), |bound| {
            format!(" (its histogram must have the bucket le=\"{bound}\")")
        });
        return match &status.problem {
            Some(problem) => format!("{name}: nothing can be said: {problem}."),
            None => format!("{name}: no events in the window, so nothing can be said{needs}."),
        };
    };
    let good = good_percent(status.good_ratio.unwrap_or(1.0), status.target);
    let left = match remaining {
        left if left <= 0.0 && left > -10.0 => {
            format!("the budget is exhausted ({} spent)", percent(1.0 - left))
        }
        left if left <= 0.0 => {
            format!("the budget is exhausted ({} times over)", rounded(1.0 - left))
        }
        left => format!(
            "{} of the budget is left ({} of {} min)",
            left_percent(left),
            rounded(left * status.budget_minutes),
            rounded(status.budget_minutes)
        ),
    };
    let mut text = format!("{name}: {good} good over {}, {left}", status.window);
    if status.health == Health::NoData {
        let since = status.last_data_ms.map_or(0, |end| (now_ms - end).max(0));
        text.push_str(&format!(
            ", but no data has arrived for {}",
            hours(since as f64 / HOUR_MS as f64)
        ));
    } else if let Some(burn) = burn.filter(|burn| *burn > 0.0) {
        text.push_str(&format!("; it burns {} times as fast as it can bear", rounded(burn)));
        if let Some(left) = status.hours_to_exhaustion.filter(|left| *left > 0.0) {
            text.push_str(&format!(" and is gone in {}", hours(left)));
        } else if status.hours_to_exhaustion.is_none() {
            text.push_str(" and lasts at that rate");
        }
    } else {
        text.push_str("; nothing burns now");
    }
    if budget.coverage < 0.995 {
        text.push_str(&format!(" ({} of the window has data)", left_percent(budget.coverage)));
    }
    let guarded = status.alerts.iter().any(|alert| alert.is_guarded && !alert.is_met);
    if guarded {
        text.push_str("; there is too little traffic for an alert");
    }
    if let Some(problem) = &status.problem {
        text.push_str(&format!(". That cannot be relied on: {problem}"));
    }
    text.push('.');
    text
}
