//! Puts together what several places know about one series.

use std::sync::Arc;

use skopos_model::storage::{SampleBuffer, SampleSource, SelectedSeries, StorageError};
use skopos_model::{Exemplar, Labels};

use crate::head::series::append_range;

/// Series of several lists, each in label order, the lists one after another, oldest data first:
/// in label order, each once.
pub(crate) fn series(lists: Vec<Vec<SelectedSeries>>) -> Vec<SelectedSeries> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut merged: Vec<SelectedSeries> = Vec::with_capacity(longest);
    let mut next: Vec<usize> = Vec::with_capacity(lists.len());
    loop {
        next.clear();
        // Mostly all lists hold the same series, and to be equal is cheaper to see than to be less.
        let mut least: Option<(usize, &Labels)> = None;
        for (i, list) in lists.iter_mut().enumerate() {
            let Some(series) = list.peek() else { continue };
            match least {
                Some((_, labels)) if *labels == series.labels => next.push(i),
                Some((_, labels)) if *labels < series.labels => {}
                _ => {
                    least = Some((i, &series.labels));
                    next.clear();
                    next.push(i);
                }
            }
        }
        if next.is_empty() {
            return merged;
        }
        let mut found = next.drain(..).filter_map(|i| lists.get_mut(i)?.next());
        let Some(first) = found.next() else { return merged };
        let mut sources = vec![first.samples];
        sources.extend(found.map(|series| series.samples));
        let samples = match <[_; 1]>::try_from(sources) {
            Ok([only]) => only,
            Err(sources) => Arc::new(Layers(sources)),
        };
        merged.push(SelectedSeries { labels: first.labels, samples });
    }
}

/// Samples of one series from several places, oldest first; of equal times the later place counts.
struct Layers(Vec<Arc<dyn SampleSource>>);

impl SampleSource for Layers {
    fn decode(
        &self,
        start_ms: i64,
        end_ms: i64,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        let base = out.len();
        let Some((first, later)) = self.0.split_first() else { return Ok(()) };
        first.decode(start_ms, end_ms, out)?;
        let mut layer = SampleBuffer::default();
        for source in later {
            layer.clear();
            source.decode(start_ms, end_ms, &mut layer)?;
            let last = out.timestamps.get(base..).and_then(|times| times.last().copied());
            let begins = layer.timestamps.first().copied();
            if begins.zip(last).is_none_or(|(begins, last)| last < begins) {
                append_range(&layer, 0..layer.len(), out);
                continue;
            }
            // They overlap: out with what there is, and put the one over the other.
            let mut below = SampleBuffer::default();
            append_range(out, base..out.len(), &mut below);
            cut(out, base);
            overlay(&mut below, &layer, &mut SampleBuffer::default());
            append_range(&below, 0..below.len(), out);
        }
        Ok(())
    }

    fn len_hint(&self) -> usize {
        self.0.iter().map(|source| source.len_hint()).sum()
    }
}

/// Leaves the first `len` samples.
fn cut(buffer: &mut SampleBuffer, len: usize) {
    buffer.timestamps.truncate(len);
    buffer.values.truncate(len);
    let histograms = buffer.histograms.partition_point(|(i, _)| *i < len);
    buffer.histograms.truncate(histograms);
    buffer.starts.truncate(len);
}

/// Puts `layer` over `below`; `spare` is an empty buffer to work with.
pub(crate) fn overlay(below: &mut SampleBuffer, layer: &SampleBuffer, spare: &mut SampleBuffer) {
    let Some(&first) = layer.timestamps.first() else { return };
    if below.timestamps.last().is_none_or(|&last| last < first) {
        return append_range(layer, 0..layer.len(), below);
    }
    let (mut b, mut l) = (0, 0);
    while let (Some(&below_time), Some(&layer_time)) =
        (below.timestamps.get(b), layer.timestamps.get(l))
    {
        if below_time < layer_time {
            let run = below.timestamps.iter().skip(b).take_while(|&&t| t < layer_time).count();
            append_range(below, b..b + run, spare);
            b += run;
        } else {
            // Up to the next sample below that this run does not reach.
            let run = layer.timestamps.iter().skip(l).take_while(|&&t| t <= below_time).count();
            append_range(layer, l..l + run, spare);
            l += run;
            let covered = l.checked_sub(1).and_then(|l| layer.timestamps.get(l));
            b += usize::from(covered == Some(&below_time));
        }
    }
    append_range(below, b..below.len(), spare);
    append_range(layer, l..layer.len(), spare);
    std::mem::swap(below, spare);
}

/// Sorts exemplars by time and leaves repeats out.
pub(crate) fn exemplars(all: &mut Vec<Exemplar>) {
    all.sort_by_key(|exemplar| exemplar.timestamp_ms);
    let mut kept: Vec<Exemplar> = Vec::with_capacity(all.len());
    for exemplar in all.drain(..) {
        let same_time = kept.iter().rev().take_while(|k| k.timestamp_ms == exemplar.timestamp_ms);
        let mut same_time = same_time;
        let repeated = same_time
            .any(|k| k.value.to_bits() == exemplar.value.to_bits() && k.labels == exemplar.labels);
        if !repeated {
            kept.push(exemplar);
        }
    }
    *all = kept;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skopos_model::{Histogram, Sample, SampleValue};

    use super::*;

    fn buffer(samples: &BTreeMap<i64, f64>) -> SampleBuffer {
        let mut buffer = SampleBuffer::default();
        for (&time, &value) in samples {
            match value as i64 % 3 {
                0 => {
                    let histogram = Histogram { sum: value, ..Histogram::default() };
                    buffer.push(time, &SampleValue::Histogram(Arc::new(histogram)));
                }
                _ => buffer.push(time, &SampleValue::Float(value)),
            }
        }
        buffer
    }

    #[test]
    fn layers_are_a_map_with_overwriting() {
        let mut seed = 7_u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for round in 0..500 {
            let mut want = BTreeMap::new();
            let mut below = SampleBuffer::default();
            for layer in 0..3 {
                let from = next(30) as i64;
                let samples: BTreeMap<i64, f64> = (0..next(12))
                    .map(|i| (from + next(20) as i64, (layer * 1000 + i * 7) as f64))
                    .collect();
                overlay(&mut below, &buffer(&samples), &mut SampleBuffer::default());
                want.extend(samples);
            }
            assert_eq!(below, buffer(&want), "round {round}");
        }
    }

    #[test]
    fn equal_labels_become_one_series() {
        let labels = |v: &str| skopos_model::Labels::from_pairs([("l", v)]);
        let one = |v, time, value| SelectedSeries {
            labels: labels(v),
            samples: Arc::new(vec![Sample::float(time, value)]),
        };
        let lists = vec![vec![one("a", 1, 1.0), one("c", 1, 1.0)], vec![one("a", 1, 2.0)]];
        let merged = series(lists);
        assert_eq!(merged.len(), 2);
        let mut out = SampleBuffer::default();
        merged[0].samples.decode(0, 9, &mut out).unwrap();
        assert_eq!((out.timestamps, out.values), (vec![1], vec![2.0]));
    }
}
