//! Start timestamps: a counter that says since when it has been counting shows resets that its
//! values hide, and what it counted before its first sample.
//!
//! Two neighbouring samples at a time decide about a reset, so that every window that holds both
//! decides alike. A start of 0 says nothing, nor does one that is not before its own sample: such
//! is how OpenTelemetry writes that it does not know the start.

/// Whether sample `i` began to be counted after the sample before it was taken. Of streams whose
/// start was not known at first (OpenTelemetry's unknown start), the second sample's start is the
/// first sample's time; that is no reset.
pub(super) fn starts_anew(times: &[i64], starts: &[i64], i: usize) -> bool {
    let Some(at) = i.checked_sub(1) else { return false };
    let (Some(&start), Some(&before)) = (starts.get(i), starts.get(at)) else { return false };
    if start == 0 || start >= times[i] {
        return false;
    }
    let previous = times[at];
    if start == previous {
        return before != 0 && before < previous;
    }
    start > previous
}

/// Whether sample `i` claims to have been counted since before the sample before it was taken, yet
/// not since the same time: then the two overlap, and what is computed from them is doubtful.
pub(super) fn overlap(times: &[i64], starts: &[i64], i: usize) -> bool {
    let Some(at) = i.checked_sub(1) else { return false };
    let (Some(&start), Some(&before)) = (starts.get(i), starts.get(at)) else { return false };
    start != 0 && start < times[at] && start != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_decide() {
        for (before, start, want) in [
            // The first sample is at 100, the second at 200.
            (50, 50, false),
            (50, 100, true),
            (50, 150, true),
            (50, 199, true),
            (50, 200, false),
            (50, 201, false),
            (50, 0, false),
            (0, 100, false),
            (100, 100, false),
            (120, 100, false),
            (0, 150, true),
            (0, 40, false),
        ] {
            assert_eq!(starts_anew(&[100, 200], &[before, start], 1), want, "{before} {start}");
        }
        assert!(!starts_anew(&[100, 200], &[], 1));
        assert!(!starts_anew(&[100], &[50], 0));
    }

    #[test]
    fn spans_overlap_when_they_begin_apart_within_one_another() {
        for (before, start, want) in
            [(50, 50, false), (50, 60, true), (50, 100, false), (50, 0, false), (0, 40, true)]
        {
            assert_eq!(overlap(&[100, 200], &[before, start], 1), want, "{before} {start}");
        }
    }
}
