//! Label sets: the identity of a series.
//!
//! A label set is one shared allocation for the text and one for the offsets, so that cloning
//! costs a counter and a million series cost little. It is immutable; [`LabelsBuilder`] makes
//! changed copies.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::hint::Hints;
use crate::id::SeriesId;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Labels sorted by name, each name once, no empty value (an empty value means "no such label").
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

struct Inner {
    /// Names and values one after another: name, value, name, value, …
    text: Box<str>,
    /// End offset of each piece in `text`.
    ends: Box<[u32]>,
    hints: Hints,
}

impl Labels {
    /// The empty label set.
    pub fn empty() -> Self {
        Self::new(String::new(), Vec::new())
    }

    /// Builds from pairs in any order. Of equal names the last wins; empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds from pairs that are already sorted by name, without duplicates or empty values, as
    /// decoders of many series have them; much cheaper than [`Labels::from_pairs`].
    pub fn from_sorted_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let (mut bytes, mut count) = (0, 0);
        for (name, value) in pairs.clone() {
            bytes += name.len() + value.len();
            count += 1;
        }
        let (mut text, mut ends) = (String::with_capacity(bytes), Vec::with_capacity(2 * count));
        for piece in pairs.flat_map(|(name, value)| [name, value]) {
            text.push_str(piece);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let labels = Self::new(text, ends);
        debug_assert!(labels.iter().is_sorted_by(|a, b| a.0 < b.0));
        debug_assert!(labels.iter().all(|(_, value)| !value.is_empty()));
        labels
    }

    fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::new();
        let mut ends = Vec::new();
        for (name, value) in pairs {
            for piece in [name, value] {
                text.push_str(piece);
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
        }
        Self::new(text, ends)
    }

    fn new(text: String, ends: Vec<u32>) -> Self {
        Self(Arc::new(Inner { text: text.into(), ends: ends.into(), hints: Hints::default() }))
    }

    /// Number of labels, the metric name included.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// Bytes held by the text and offsets: what this label set costs in memory.
    pub fn size_bytes(&self) -> usize {
        self.0.text.len() + self.0.ends.len() * 4 + size_of::<Inner>() + 16
    }

    /// Whether both are clones of one label set: they share its memory, and hints.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What stores have noted on this label set and its clones.
    pub fn hints(&self) -> &Hints {
        &self.0.hints
    }

    /// Iterates over (name, value) in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let inner = &*self.0;
        inner.ends.chunks_exact(2).enumerate().map(move |(i, ends)| {
            let start = if i == 0 { 0 } else { inner.ends[i * 2 - 1] as usize };
            let (middle, end) = (ends[0] as usize, ends[1] as usize);
            (&inner.text[start..middle], &inner.text[middle..end])
        })
    }

    /// The value of label `name`, if present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value of label `name`, or the empty string: PromQL's view of a missing label.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// Starts a changed copy.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// A copy without label `name`.
    pub fn without(&self, name: &str) -> Self {
        if self.get(name).is_none() {
            return self.clone();
        }
        Self::from_sorted(self.iter().filter(|(n, _)| *n != name))
    }

    /// A copy without the metric name.
    pub fn without_name(&self) -> Self {
        self.without(METRIC_NAME)
    }

    /// A copy with only the labels for which `keep` says yes.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|(n, _)| keep(n)))
    }

    /// The 128-bit hash that names this series; depends on the labels alone, on no run or machine.
    pub fn series_id(&self) -> SeriesId {
        // In one piece: the hasher for pieces costs more to set up than a label set to hash.
        let mut bytes = Vec::with_capacity(self.0.text.len() + self.0.ends.len());
        for (name, value) in self.iter() {
            // 0xff cannot occur in UTF-8, so pieces cannot run together.
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0xff);
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0xff);
        }
        SeriesId(xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.0.ends == other.0.ends && self.0.text == other.0.text)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.ends.hash(state);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Label order as Prometheus sorts results: name, value, next name, next value; a prefix first.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    /// Writes `name{label="value"}` with Prometheus' escaping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let plain_name = is_legacy_metric_name(name);
        if plain_name {
            f.write_str(name)?;
        }
        let quoted_name = (!plain_name && !name.is_empty()).then_some(name);
        let rest = self.iter().filter(|(n, _)| *n != METRIC_NAME);
        if self.len() == usize::from(plain_name) && !self.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        let mut separator = "";
        if let Some(name) = quoted_name {
            write_quoted(f, name)?;
            separator = ", ";
        }
        for (name, value) in rest {
            f.write_str(separator)?;
            separator = ", ";
            if is_legacy_label_name(name) {
                f.write_str(name)?
            } else {
                write_quoted(f, name)?
            }
            f.write_str("=")?;
            write_quoted(f, value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Whether `name` needs no quotes as a metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_identifier(name, |b| b == b':')
}

/// Whether `name` needs no quotes as a label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_identifier(name, |_| false)
}

fn is_identifier(name: &str, also: impl Fn(u8) -> bool) -> bool {
    let starts = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || also(b))
}

/// Makes a label set piece by piece.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter().position(|(n, _)| &**n == name) {
            Some(at) if value.is_empty() => drop(self.pairs.remove(at)),
            Some(at) => self.pairs[at].1 = value.into(),
            None if value.is_empty() => {}
            None => self.pairs.push((name.into(), value.into())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| &**n != name);
        self
    }

    /// The value set so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| &**n == name).map(|(_, v)| &**v)
    }

    /// Sorts and freezes.
    pub fn build(mut self) -> Labels {
        self.pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (&**n, &**v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_unique_without_empty_values() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.value("c"), "");
    }

    #[test]
    fn orders_by_name_then_value() {
        let l = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(l(&[("a", "1")]) < l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "2")]) > l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "1")]) < l(&[("aa", "0")]));
        assert!(l(&[]) < l(&[("a", "1")]));
    }

    #[test]
    fn ids_depend_on_boundaries() {
        let a = Labels::from_pairs([("ab", "c")]);
        let b = Labels::from_pairs([("a", "bc")]);
        assert_ne!(a, b);
        assert_ne!(a.series_id(), b.series_id());
        assert_eq!(a.series_id(), Labels::from_pairs([("ab", "c")]).series_id());
    }

    #[test]
    fn prints_as_prometheus_does() {
        for (pairs, want) in [
            (vec![("__name__", "up"), ("job", "a\"b\\\n")], r#"up{job="a\"b\\\n"}"#),
            (vec![("__name__", "up")], "up"),
            (vec![], "{}"),
            (
                vec![("__name__", "http.requests"), ("k8s.pod", "x")],
                r#"{"http.requests", "k8s.pod"="x"}"#,
            ),
            (vec![("job", "x")], r#"{job="x"}"#),
        ] {
            assert_eq!(Labels::from_pairs(pairs).to_string(), want);
        }
    }
}
