//! Keys by which series are grouped and matched: 128-bit hashes of some of their labels, as the
//! store names series by such a hash too. No label set is built per series just to compare it.

use skopos_model::Labels;

/// Computes keys, reusing its memory.
#[derive(Default)]
pub(super) struct Keys {
    buffer: Vec<u8>,
}

impl Keys {
    /// The key of those labels for whose names `keep` says yes.
    pub(super) fn of(&mut self, labels: &Labels, keep: impl Fn(&str) -> bool) -> u128 {
        self.buffer.clear();
        for (name, value) in labels.iter().filter(|(name, _)| keep(name)) {
            // 0xff cannot occur in UTF-8, so pieces cannot run together.
            self.buffer.extend_from_slice(name.as_bytes());
            self.buffer.push(0xff);
            self.buffer.extend_from_slice(value.as_bytes());
            self.buffer.push(0xff);
        }
        xxhash_rust::xxh3::xxh3_128(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_when_the_kept_labels_are() {
        let mut keys = Keys::default();
        let mut key = |pairs: &[(&str, &str)], drop: &str| {
            keys.of(&Labels::from_pairs(pairs.iter().copied()), |name| name != drop)
        };
        assert_eq!(key(&[("a", "1"), ("b", "2")], "b"), key(&[("a", "1"), ("b", "3")], "b"));
        assert_ne!(key(&[("a", "1"), ("b", "2")], ""), key(&[("a", "1"), ("b", "3")], ""));
        assert_ne!(key(&[("ab", "c")], ""), key(&[("a", "bc")], ""));
    }
}
