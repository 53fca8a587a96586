//! Native histograms as text, in Prometheus' notation.

use skopos_model::Histogram;

use super::stored_buckets;
use crate::format::format_general;

/// `{count:4, sum:5, [-1,1]:1, (1,2]:3}`: what `count_values` makes of a histogram.
pub(crate) fn describe(h: &Histogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_general(h.count), format_general(h.sum));
    for bucket in stored_buckets(h) {
        // The bound towards zero is exclusive, the other inclusive; the zero bucket has both, and
        // so has the bucket of custom bounds below which there is none.
        let open = match h.has_custom_buckets() {
            true if bucket.lower == f64::NEG_INFINITY => '[',
            false if bucket.is_zero || bucket.upper <= 0.0 => '[',
            _ => '(',
        };
        let close = if !bucket.is_zero && bucket.lower < 0.0 && !h.has_custom_buckets() {
            ')'
        } else {
            ']'
        };
        out.push_str(&format!(
            ", {open}{},{}{close}:{}",
            format_general(bucket.lower),
            format_general(bucket.upper),
            format_general(bucket.count)
        ));
    }
    out.push('}');
    out
}
