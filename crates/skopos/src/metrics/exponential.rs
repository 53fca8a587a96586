//! Exponential buckets: eight to each doubling, so a quantile is off by at most 4.4 %, whatever the range.
//!
//! Bucket `i` holds what is above 2^(i/8) and not above 2^((i+1)/8), as OpenTelemetry and Prometheus have it at scale 3. The
//! buckets lie in segments that come into being when first hit, so all of `f64` fits, nothing is ever rescaled under a
//! writer, and an observation is one atomic addition. Not-a-number and the infinities have no bucket and are left out.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of a doubling are 2 to this power.
pub(crate) const SCALE: i32 = 3;
const PER_DOUBLING: i32 = 1 << SCALE;
/// 2^(1/8) to 2^(7/8), where the buckets of a doubling begin.
const STEPS: [f64; 7] = [
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];
const SEGMENT: usize = 256;
const SEGMENTS: usize = 65;
/// What is added to a bucket's index to find its place.
const LOWEST: i32 = 1023 * PER_DOUBLING;

/// Counts by size, of either sign.
#[derive(Debug, Default)]
pub(crate) struct Exponential {
    positive: Side,
    /// Rare: comes into being when needed.
    negative: OnceLock<Box<Side>>,
    zero: AtomicU64,
}

#[derive(Debug)]
struct Side {
    segments: [OnceLock<Box<[AtomicU64; SEGMENT]>>; SEGMENTS],
}

impl Default for Side {
    fn default() -> Side {
        Side { segments: [const { OnceLock::new() }; SEGMENTS] }
    }
}

/// What the buckets hold at one moment: index and count of those that are not empty, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExponentialSnapshot {
    pub(crate) positive: Vec<(i32, u64)>,
    pub(crate) negative: Vec<(i32, u64)>,
    pub(crate) zero: u64,
}

impl Exponential {
    pub(crate) fn add(&self, value: f64) {
        if value > 0.0 {
            self.positive.add(value);
        } else if value < 0.0 {
            self.negative.get_or_init(Box::default).add(-value);
        } else if value == 0.0 {
            self.zero.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> ExponentialSnapshot {
        ExponentialSnapshot {
            positive: self.positive.counts(),
            negative: self.negative.get().map(|side| side.counts()).unwrap_or_default(),
            zero: self.zero.load(Ordering::Relaxed),
        }
    }
}

impl Side {
    fn add(&self, size: f64) {
        let Some(index) = index(size) else { return };
        let Ok(place) = usize::try_from(index + LOWEST) else { return };
        let Some(segment) = self.segments.get(place / SEGMENT) else { return };
        let segment = segment.get_or_init(|| Box::new([const { AtomicU64::new(0) }; SEGMENT]));
        if let Some(bucket) = segment.get(place % SEGMENT) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> Vec<(i32, u64)> {
        let mut counts = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let Some(segment) = segment.get() else { continue };
            for (place, bucket) in segment.iter().enumerate() {
                let count = bucket.load(Ordering::Relaxed);
                if count > 0
                    && let Ok(place) = i32::try_from(number * SEGMENT + place)
                {
                    counts.push((place - LOWEST, count));
                }
            }
        }
        counts
    }
}

/// Returns the bucket of a positive number; nothing for an infinite one.
fn index(size: f64) -> Option<i32> {
    if !size.is_finite() {
        return None;
    }
    // Numbers too small to be normal share the lowest bucket.
    let size = size.max(f64::MIN_POSITIVE);
    let bits = size.to_bits();
    // Eleven bits of exponent fit.
    let exponent = i32::try_from(bits >> 52).ok()? - 1023;
    let fraction = bits & ((1 << 52) - 1);
    if fraction == 0 {
        // A power of two is the upper bound of the bucket below it.
        return Some(exponent * PER_DOUBLING - 1);
    }
    let within_doubling = f64::from_bits(fraction | (1023 << 52));
    let step = STEPS.iter().filter(|step| within_doubling > **step).count();
    Some(exponent * PER_DOUBLING + i32::try_from(step).ok()?)
}

#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
impl ExponentialSnapshot {
    /// Returns how many observations have a bucket.
    pub(crate) fn count(&self) -> u64 {
        let sum = |side: &[(i32, u64)]| side.iter().map(|(_, count)| count).sum::<u64>();
        self.zero + sum(&self.positive) + sum(&self.negative)
    }

    /// Returns what was added since an earlier snapshot of the same buckets.
    pub(crate) fn since(&self, earlier: &ExponentialSnapshot) -> ExponentialSnapshot {
        let side = |now: &[(i32, u64)], earlier: &[(i32, u64)]| {
            let before = |index: i32| {
                earlier
                    .binary_search_by_key(&index, |(index, _)| *index)
                    .ok()
                    .and_then(|place| earlier.get(place))
                    .map_or(0, |(_, count)| *count)
            };
            now.iter()
                .map(|(index, count)| (*index, count.saturating_sub(before(*index))))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        ExponentialSnapshot {
            positive: side(&self.positive, &earlier.positive),
            negative: side(&self.negative, &earlier.negative),
            zero: self.zero.saturating_sub(earlier.zero),
        }
    }

    /// Returns the scale at which both sides have at most `most` buckets from first to last.
    pub(crate) fn scale_for(&self, most: usize) -> i32 {
        let mut scale = SCALE;
        while [&self.positive, &self.negative].into_iter().any(|side| {
            let ends = side.first().zip(side.last());
            ends.is_some_and(|((first, _), (last, _))| {
                let by = SCALE - scale;
                usize::try_from((last >> by) - (first >> by)).unwrap_or(usize::MAX) >= most
            })
        }) {
            scale -= 1;
        }
        scale
    }

    /// Returns a side's first index at a scale and the counts from there on without gaps.
    pub(crate) fn dense(side: &[(i32, u64)], scale: i32) -> (i32, Vec<u64>) {
        let by = SCALE - scale;
        let Some((first, _)) = side.first() else { return (0, Vec::new()) };
        let offset = first >> by;
        let mut counts = Vec::new();
        for (index, count) in side {
            let place = usize::try_from((index >> by) - offset).unwrap_or(0);
            if counts.len() <= place {
                counts.resize(place + 1, 0);
            }
            if let Some(bucket) = counts.get_mut(place) {
                *bucket += count;
            }
        }
        (offset, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Exponential, ExponentialSnapshot, SCALE, index};
    use proptest::prelude::*;

    fn bound(index: i32, scale: i32) -> f64 {
        (f64::from(index) / f64::from(1 << scale)).exp2()
    }

    #[test]
    fn powers_of_two_are_upper_bounds() {
        for exponent in [-1022, -10, -1, 0, 1, 10, 1023] {
            assert_eq!(index(f64::from(exponent).exp2()), Some(exponent * 8 - 1), "2^{exponent}");
        }
        assert_eq!(index(1.000_000_1), Some(0));
        assert_eq!(index(f64::MAX), Some(8191));
        assert_eq!(index(5e-324), Some(-8177), "with the smallest normal number");
        assert_eq!((index(f64::INFINITY), index(f64::NAN)), (None, None));
    }

    #[test]
    fn both_signs_zero_and_what_has_no_bucket() {
        let histogram = Exponential::default();
        for value in [1.5, 1.5, -4.0, 0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            histogram.add(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.positive, [(4, 2)]);
        assert_eq!(snapshot.negative, [(15, 1)]);
        assert_eq!((snapshot.zero, snapshot.count()), (2, 5));
    }

    #[test]
    fn a_wide_range_is_told_at_a_coarser_scale() {
        let histogram = Exponential::default();
        for exponent in -30..30 {
            histogram.add(f64::from(exponent).exp2());
        }
        let snapshot = histogram.snapshot();
        let scale = snapshot.scale_for(160);
        assert_eq!(scale, 1);
        let (offset, counts) = ExponentialSnapshot::dense(&snapshot.positive, scale);
        assert_eq!(offset, -61, "up to 2^-30");
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (119, 60));
        assert_eq!(snapshot.scale_for(1000), SCALE);
    }

    proptest! {
        #[test]
        fn a_value_lies_within_its_bucket(value in 1e-300_f64..1e300) {
            let index = index(value).unwrap();
            prop_assert!(value <= bound(index + 1, SCALE) * (1.0 + 1e-12));
            prop_assert!(value >= bound(index, SCALE) * (1.0 - 1e-12));
        }

        #[test]
        fn what_came_between_two_snapshots(
            before in prop::collection::vec(-1e9_f64..1e9, 0..50),
            after in prop::collection::vec(-1e9_f64..1e9, 0..50),
        ) {
            let (all, later) = (Exponential::default(), Exponential::default());
            before.iter().for_each(|value| all.add(*value));
            let earlier = all.snapshot();
            for value in &after {
                all.add(*value);
                later.add(*value);
            }
            prop_assert_eq!(all.snapshot().since(&earlier), later.snapshot());
        }
    }
}
