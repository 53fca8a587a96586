//! Instant selection: at each step the newest sample within the lookback, unless it is stale.

use std::sync::Arc;

use skopos_model::storage::{SampleBuffer, SelectedSeries};
use skopos_model::{CounterResetHint, Histogram, is_stale};

use super::Evaluator;
use crate::error::EvalError;
use crate::histogram::detect_reset;
use crate::plan::{Grid, Leaf, Resets, Source};
use crate::value::{Block, Column};

/// What a selector yields of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Value,
    /// When it was taken, in seconds.
    Time,
    /// Since when it has been counted, in seconds; 0 when that is not known.
    Start,
}

impl<'a> Evaluator<'a> {
    /// Decodes `[start_ms, end_ms]` of a series, charged.
    pub(super) fn decode(
        &mut self,
        series: &SelectedSeries,
        (start_ms, end_ms): (i64, i64),
        out: &mut SampleBuffer,
    ) -> Result<(), EvalError> {
        out.clear();
        series.samples.decode(start_ms, end_ms, out)?;
        self.budget.charge_samples(out.len() as u64)?;
        self.stats.samples += out.len() as u64;
        self.stats.series += 1;
        Ok(())
    }

    /// The series of a source.
    pub(super) fn selected(&self, source: &Source) -> Vec<&'a SelectedSeries> {
        let all = self.data.get(source.select).map_or(&[][..], |set| &set.series);
        let wanted =
            |s: &&SelectedSeries| source.filter.iter().all(|m| m.matches(s.labels.value(m.name())));
        all.iter().filter(wanted).collect()
    }

    /// What is wanted of the series of a selector over the grid.
    pub(super) fn instant(
        &mut self,
        leaf: &Leaf,
        grid: Grid,
        reads: Reads,
    ) -> Result<Vec<Block>, EvalError> {
        let (first, last) = leaf.shift.bounds(&grid);
        let lookback = self.params.lookback_ms;
        let ahead = if leaf.smoothed { lookback } else { 0 };
        let bounds = (first - lookback + 1, last + ahead);
        let all = self.selected(&leaf.source);
        let work = work(&all, grid);
        self.map_parallel(&all, work, SampleBuffer::default, |this, samples, series| {
            this.decode(series, bounds, samples)?;
            if reads == Reads::Start && !this.params.start_timestamps {
                return Ok(None);
            }
            if leaf.resets == Resets::Compared {
                compare_resets(samples);
            }
            this.charge(1, grid)?;
            let column = if leaf.smoothed {
                super::extended::smoothed_instant(samples, leaf.shift, grid, lookback)
            } else {
                this.newest(samples, leaf, grid, reads)
            };
            if !column.any() {
                this.release(1, grid);
                return Ok(None);
            }
            if let Some(counted) = &mut this.counted {
                counted.instant(&column);
            }
            Ok(Some(Block { labels: series.labels.clone(), drop_name: false, column }))
        })
    }

    fn newest(&self, samples: &SampleBuffer, leaf: &Leaf, grid: Grid, reads: Reads) -> Column {
        let mut column = Column::empty(grid.steps);
        let mut next = 0;
        for step in 0..grid.steps {
            let now = leaf.shift.apply(grid.time(step));
            while samples.timestamps.get(next).is_some_and(|t| *t <= now) {
                next += 1;
            }
            let Some(at) = next.checked_sub(1) else { continue };
            let (time, value) = (samples.timestamps[at], samples.values[at]);
            if time <= now - self.params.lookback_ms || is_stale(value) {
                continue;
            }
            match (reads, samples.histogram(at)) {
                (Reads::Time, _) => column.set(step, time as f64 / 1000.0),
                (Reads::Start, _) => {
                    let start = samples.starts.get(at).copied().unwrap_or(0);
                    column.set(step, start as f64 / 1000.0);
                }
                (Reads::Value, Some(histogram)) => {
                    column.set_histogram(step, Arc::clone(histogram));
                }
                (Reads::Value, None) => column.set(step, value),
            }
        }
        column
    }
}

/// Has histograms that say nothing of resets say what comparing them to the one before shows.
pub(super) fn compare_resets(samples: &mut SampleBuffer) {
    let mut before: Option<Arc<Histogram>> = None;
    for (_, histogram) in &mut samples.histograms {
        if is_stale(histogram.sum) {
            continue;
        }
        let stored = Arc::clone(histogram);
        if let (CounterResetHint::Unknown, Some(before)) = (stored.counter_reset_hint, &before) {
            let counter_reset_hint = match detect_reset(&stored, before) {
                true => CounterResetHint::CounterReset,
                false => CounterResetHint::NotCounterReset,
            };
            *histogram = Arc::new(Histogram { counter_reset_hint, ..Histogram::clone(&stored) });
        }
        before = Some(stored);
    }
}

/// About how much there is to do for some series: samples to decode and points to make.
pub(super) fn work(series: &[&SelectedSeries], grid: Grid) -> u64 {
    series.iter().map(|s| s.samples.len_hint() + grid.steps).sum::<usize>() as u64
}
