//! Native histograms as text, in Prometheus' notation.

use skopos_model::Histogram;

use super::buckets;
use crate::format::format_general;

/// `{count:4, sum:5, [-1,1]:1, (1,2]:3}`: what `count_values` makes of a histogram.
pub(crate) fn describe(h: &Histogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_general(h.count), format_general(h.sum));
    for bucket in buckets(h) {
        // The bound towards zero is exclusive, the other inclusive; the zero bucket has both.
        let open = if bucket.is_zero || bucket.upper <= 0.0 && !h.has_custom_buckets() {
            '['
        } else {
            '('
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
