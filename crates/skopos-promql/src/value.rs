//! What a query answers.

use std::sync::Arc;

use skopos_model::{Histogram, Labels, Sample, SampleValue};

use crate::annotations::Annotations;
use crate::ast::ValueType;

/// An evaluated query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The answer.
    pub value: Value,
    /// Remarks about it.
    pub annotations: Annotations,
    /// What it cost.
    pub stats: QueryStats,
}

/// The answer proper.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number at the evaluation time (instant queries).
    Scalar {
        /// Evaluation time, milliseconds.
        timestamp_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text (instant queries).
    String {
        /// Evaluation time, milliseconds.
        timestamp_ms: i64,
        /// The text.
        value: String,
    },
    /// One sample per series (instant queries).
    Vector(Vec<VectorSample>),
    /// Samples of each series, in label order: range queries, and range vectors of instant
    /// queries. The scalars of a range query are one series without labels.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// The type as Prometheus' API names it.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar { .. } => ValueType::Scalar,
            Self::String { .. } => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }

    /// Series in the answer.
    pub fn series_count(&self) -> usize {
        match self {
            Self::Scalar { .. } | Self::String { .. } => 1,
            Self::Vector(samples) => samples.len(),
            Self::Matrix(series) => series.len(),
        }
    }
}

/// One sample of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// Evaluation time, milliseconds.
    pub timestamp_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// Samples of one series in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// What an evaluation cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Series read, once for each selector that read them.
    pub series: u64,
    /// Samples decoded.
    pub samples: u64,
    /// Steps evaluated.
    pub steps: u64,
    /// What the query looked at, in Prometheus' terms; only when
    /// [`Execution::count_samples`](crate::Execution::count_samples) asked for it.
    pub queryable: Option<QueryableSamples>,
}

/// Samples that a query looked at, counted as Prometheus counts them: at each step, one per series
/// of an instant selector and all in the window of a range selector, as often as they are looked
/// at. A native histogram counts as many as floats would fill its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryableSamples {
    /// Over all steps.
    pub total: u64,
    /// Read from storage: of windows that overlap, each sample once; what does not change from
    /// step to step, once; for subqueries what their steps read.
    pub read: u64,
    /// Most samples held at a time: inputs and result of one operator, and one series' window.
    pub peak: u64,
    /// By step: its time, milliseconds, and the samples.
    pub per_step: Vec<(i64, u64)>,
    /// Samples read, at the first step that needs them.
    pub read_per_step: Vec<(i64, u64)>,
}

/// Presence per step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(crate) fn empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)] }
    }

    pub(crate) fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if let (Some(last), rest @ 1..) = (words.last_mut(), len % 64) {
            *last = (1 << rest) - 1;
        }
        Self { words }
    }

    pub(crate) fn get(&self, i: usize) -> bool {
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    pub(crate) fn set(&mut self, i: usize) {
        self.words[i / 64] |= 1 << (i % 64);
    }

    pub(crate) fn clear(&mut self, i: usize) {
        self.words[i / 64] &= !(1 << (i % 64));
    }

    pub(crate) fn any(&self) -> bool {
        self.words.iter().any(|w| *w != 0)
    }

    pub(crate) fn overlaps(&self, other: &Bitmap) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn union(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    pub(crate) fn intersect(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    pub(crate) fn subtract(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// The steps present, ascending.
    pub(crate) fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(at * 64 + bit)
            })
        })
    }
}

/// The values of one series over all steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    pub(crate) values: Vec<f64>,
    pub(crate) present: Bitmap,
    /// Histograms by step; empty when the series has none. Where one stands, the float means
    /// nothing.
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

/// What a column holds at a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Column {
    pub(crate) fn empty(len: usize) -> Self {
        Self { values: vec![0.0; len], present: Bitmap::empty(len), histograms: Vec::new() }
    }

    pub(crate) fn full(values: Vec<f64>) -> Self {
        let present = Bitmap::full(values.len());
        Self { values, present, histograms: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn any(&self) -> bool {
        self.present.any()
    }

    pub(crate) fn set(&mut self, i: usize, value: f64) {
        self.values[i] = value;
        self.present.set(i);
    }

    pub(crate) fn set_histogram(&mut self, i: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.values.len()];
        }
        self.histograms[i] = Some(histogram);
        self.present.set(i);
    }

    pub(crate) fn set_value(&mut self, i: usize, value: SampleValue) {
        match value {
            SampleValue::Float(value) => self.set(i, value),
            SampleValue::Histogram(histogram) => self.set_histogram(i, histogram),
        }
    }

    pub(crate) fn remove(&mut self, i: usize) {
        self.present.clear(i);
        if let Some(slot) = self.histograms.get_mut(i) {
            *slot = None;
        }
    }

    pub(crate) fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(i).and_then(Option::as_ref)
    }

    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    pub(crate) fn cell(&self, i: usize) -> Option<Cell<'_>> {
        if !self.present.get(i) {
            return None;
        }
        Some(self.histogram(i).map_or(Cell::Float(self.values[i]), Cell::Histogram))
    }

    /// The float at a step, if a float is there.
    pub(crate) fn float(&self, i: usize) -> Option<f64> {
        (self.present.get(i) && self.histogram(i).is_none()).then(|| self.values[i])
    }

    pub(crate) fn sample(&self, i: usize) -> Option<SampleValue> {
        self.cell(i).map(|cell| match cell {
            Cell::Float(value) => SampleValue::Float(value),
            Cell::Histogram(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
        })
    }

    /// Removes all histograms.
    pub(crate) fn drop_histograms(&mut self) {
        for (i, histogram) in std::mem::take(&mut self.histograms).into_iter().enumerate() {
            if histogram.is_some() {
                self.present.clear(i);
            }
        }
    }

    /// The same first step over `len` steps.
    pub(crate) fn broadcast(self, len: usize) -> Self {
        if !self.present.get(0) {
            return Self::empty(len);
        }
        let histograms = match self.histograms.into_iter().next().flatten() {
            Some(histogram) => vec![Some(histogram); len],
            None => Vec::new(),
        };
        Self { values: vec![self.values[0]; len], present: Bitmap::full(len), histograms }
    }

    /// Takes over the steps of `other`; the caller knows that the two do not overlap.
    pub(crate) fn absorb(&mut self, other: Column) {
        for i in other.present.ones() {
            match other.histogram(i) {
                Some(histogram) => self.set_histogram(i, Arc::clone(histogram)),
                None => self.set(i, other.values[i]),
            }
        }
    }
}

/// One series of an intermediate result.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) labels: Labels,
    /// Whether the metric's name is to be dropped at the end (delayed name removal).
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_count_in_words() {
        for len in [0, 1, 63, 64, 65, 130] {
            let full = Bitmap::full(len);
            assert_eq!(full.ones().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>(), "{len}");
            let mut map = Bitmap::empty(len);
            assert!(!map.any());
            for i in (0..len).step_by(3) {
                map.set(i);
            }
            assert_eq!(map.ones().collect::<Vec<_>>(), (0..len).step_by(3).collect::<Vec<_>>());
        }
    }
}
