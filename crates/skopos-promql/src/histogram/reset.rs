//! Whether a counter was reset.

use skopos_model::{CounterResetHint, Histogram};

use super::align;

/// Whether the counter was reset between `previous` and `current`.
pub(crate) fn detect_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.counter_reset_hint {
        CounterResetHint::CounterReset => return true,
        CounterResetHint::NotCounterReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if current.count < previous.count
        || current.has_custom_buckets() != previous.has_custom_buckets()
    {
        return true;
    }
    if !current.has_custom_buckets() {
        // A finer schema or a narrower zero bucket can only come from a restart.
        if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
            return true;
        }
    }
    let Ok(pair) = align(current, previous) else { return true };
    let widened = !current.has_custom_buckets() && pair.zero_threshold != current.zero_threshold;
    widened
        || pair.left_zero < pair.right_zero
        || shrank(&pair.left.positive, &pair.right.positive)
        || shrank(&pair.left.negative, &pair.right.negative)
}

/// Whether any bucket of `current` is below that of `previous`.
fn shrank(current: &[(i32, f64)], previous: &[(i32, f64)]) -> bool {
    let now = |index: i32| {
        current.binary_search_by_key(&index, |(i, _)| *i).map_or(0.0, |at| current[at].1)
    };
    previous.iter().any(|(index, count)| now(*index) < *count)
        || current.iter().any(|(_, count)| *count < 0.0)
}
