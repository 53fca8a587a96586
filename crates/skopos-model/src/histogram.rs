//! Native histograms: exponential buckets and custom-bounds buckets, counts as floats.
//!
//! One type serves integer and float histograms, because arithmetic on them (rates, sums) yields
//! floats. Bucket boundaries of the standard schemas (−4 … 8) are powers of `2^(2^-schema)`:
//! bucket `i` covers `(base^(i-1), base^i]`. Schema −53 carries its upper bounds in `custom_values`.

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketSpan {
    /// Gap to the end of the previous span, or the first bucket's index for the first span.
    pub offset: i32,
    /// Number of buckets in the run.
    pub length: u32,
}

/// What a producer says about counter resets between this histogram and the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    /// Nothing is known: compare the histograms.
    #[default]
    Unknown,
    /// There was a reset.
    CounterReset,
    /// There was none.
    NotCounterReset,
    /// The histogram is a gauge; resets do not apply.
    Gauge,
}

/// The schema number of histograms with custom bucket bounds (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// One native histogram sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Reset information from the producer.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: −4 … 8 for exponential buckets, [`CUSTOM_BUCKETS_SCHEMA`] for custom bounds.
    pub schema: i32,
    /// Observations within ± this width of zero fall into the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observed values. The stale marker's bits here mark a stale histogram.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<BucketSpan>,
    /// Absolute count per positive bucket, as many as the spans' lengths add up to.
    pub positive_buckets: Vec<f64>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<BucketSpan>,
    /// Absolute count per negative bucket.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds for [`CUSTOM_BUCKETS_SCHEMA`], ascending, without `+Inf`.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Whether the buckets have custom bounds.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether spans and buckets agree and the schema is known; what decoders check.
    pub fn is_well_formed(&self) -> bool {
        let covers = |spans: &[BucketSpan], buckets: &[f64]| {
            spans.iter().map(|s| s.length as usize).sum::<usize>() == buckets.len()
                && spans.iter().skip(1).all(|s| s.offset >= 0)
        };
        let schema_known = (-4..=8).contains(&self.schema) || self.has_custom_buckets();
        schema_known
            && covers(&self.positive_spans, &self.positive_buckets)
            && covers(&self.negative_spans, &self.negative_buckets)
    }

    /// Bytes held, roughly: what one sample of this costs in memory.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + (self.positive_spans.len() + self.negative_spans.len()) * size_of::<BucketSpan>()
            + (self.positive_buckets.len() + self.negative_buckets.len() + self.custom_values.len())
                * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_needs_matching_spans() {
        let mut h = Histogram {
            positive_spans: vec![BucketSpan { offset: -3, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            ..Default::default()
        };
        assert!(h.is_well_formed());
        h.positive_buckets.pop();
        assert!(!h.is_well_formed());
        h = Histogram { schema: 9, ..Default::default() };
        assert!(!h.is_well_formed());
    }
}
