//! What is allowed in an objective and rarely meant: told by `skopos slo check`, refused by nobody.

use super::init::NOBODY;
use super::window::window_text;
use super::{Alerts, Indicator, Slo, WORKBOOK_WINDOWS};

/// From so many seconds on a threshold was probably meant in milliseconds.
const LONG_SECONDS: f64 = 60.0;

/// What somebody should look at again, each in a sentence.
pub fn doubts(slo: &Slo) -> Vec<String> {
    let mut found = Vec::new();
    if slo.owner == NOBODY {
        found.push(format!("the owner is {NOBODY:?}: say who answers for it"));
    }
    let is_left_out = |class: &str| !slo.alerts.burn.iter().any(|alert| alert.class == class);
    let period = slo.window.nominal();
    let left_out: Vec<&str> = WORKBOOK_WINDOWS
        .iter()
        .filter(|row| !row.is_default_for(period) && is_left_out(row.class))
        .map(|row| row.class)
        .collect();
    // Whoever wants none, or the guide's, has seen to it.
    let is_off = slo.alerts.burn.is_empty() && slo.alerts.absent.is_none();
    if !left_out.is_empty() && !is_off && slo.alerts.burn != Alerts::guide().burn {
        let (left_out, window) = (left_out.join(", "), window_text(period));
        found.push(match slo.alerts.burn.is_empty() {
            true => format!(
                "no burn rate pages: the usual alerts ({left_out}) do not fit into a window of {window}; take a longer \
                 one, or give them windows of their own under `alerts`"
            ),
            false => format!(
                "the burn alerts {left_out} are left out: they do not fit into a window of {window}"
            ),
        });
    }
    if let Indicator::Latency { threshold, .. } | Indicator::NativeLatency { threshold, .. } =
        slo.indicator
        && threshold >= LONG_SECONDS
    {
        found.push(format!("`le` is {threshold} seconds; for milliseconds write `{threshold}ms`"));
    }
    found
}
