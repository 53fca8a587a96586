//! Range functions: a window of samples per step, moved along by two indices that only grow.

use std::ops::Range;
use std::sync::Arc;

use skopos_model::storage::SampleBuffer;
use skopos_model::{CounterResetHint, Histogram, Labels, Sample, SampleValue, is_stale};

use super::counted::Apart;
use super::kernels::{self, Kernel};
use super::{Evaluator, merge_duplicates};
use crate::error::EvalError;
use crate::functions::RangeFn;
use crate::plan::{Grid, Node, NodeKind, RangeNode, RangeSource, Resets, Shift};
use crate::span::Span;
use crate::value::{Bitmap, Block, Column, MatrixSeries};

/// Samples of one series without stale markers.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
    /// By sample; empty when there are none.
    pub(super) histograms: Vec<Option<Arc<Histogram>>>,
    /// Start timestamps by sample; empty when they are not known or not wanted.
    pub(super) starts: Vec<i64>,
}

impl Samples {
    fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Takes over a decoded buffer, leaving out stale markers; the buffer's content is then gone.
    pub(super) fn fill(&mut self, buffer: &mut SampleBuffer, with_starts: bool) {
        self.clear();
        if with_starts {
            let all = buffer.starts.iter().zip(&buffer.values);
            self.starts.extend(all.filter(|(_, v)| !is_stale(**v)).map(|(start, _)| *start));
        }
        if buffer.histograms.is_empty() {
            if !buffer.values.iter().any(|v| is_stale(*v)) {
                // The common case: nothing to leave out, nothing to copy.
                std::mem::swap(&mut self.times, &mut buffer.timestamps);
                std::mem::swap(&mut self.values, &mut buffer.values);
                return;
            }
            for (time, value) in buffer.timestamps.iter().zip(&buffer.values) {
                if !is_stale(*value) {
                    self.times.push(*time);
                    self.values.push(*value);
                }
            }
            return;
        }
        let mut histograms = buffer.histograms.iter().peekable();
        for (i, (time, value)) in buffer.timestamps.iter().zip(&buffer.values).enumerate() {
            let histogram = histograms.next_if(|(at, _)| *at == i).map(|(_, h)| Arc::clone(h));
            if !is_stale(*value) {
                self.times.push(*time);
                self.values.push(*value);
                self.histograms.push(histogram);
            }
        }
    }

    /// Takes over what a subquery computed. What histograms say of resets held between samples of
    /// the series, not between steps of a subquery, so it is forgotten; gauges stay gauges.
    fn fill_column(&mut self, column: &Column, grid: Grid) {
        self.clear();
        for i in column.present.ones() {
            self.times.push(grid.time(i));
            self.values.push(column.values[i]);
            if column.has_histograms() {
                self.histograms.push(column.histogram(i).map(without_reset_hint));
            }
        }
    }

    /// Some of the samples as a window with the ends and the time of another.
    pub(super) fn window<'a>(&'a self, range: Range<usize>, like: &Window<'_>) -> Window<'a> {
        Window {
            times: &self.times[range.clone()],
            values: &self.values[range.clone()],
            histograms: self.histograms.get(range.clone()).unwrap_or(&[]),
            starts: self.starts.get(range).unwrap_or(&[]),
            start_ms: like.start_ms,
            end_ms: like.end_ms,
            now_ms: like.now_ms,
        }
    }
}

fn without_reset_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    use CounterResetHint::{CounterReset, NotCounterReset, Unknown};
    match histogram.counter_reset_hint {
        CounterReset | NotCounterReset => {
            Arc::new(Histogram { counter_reset_hint: Unknown, ..Histogram::clone(histogram) })
        }
        _ => Arc::clone(histogram),
    }
}

/// The window of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    /// Empty, or as long as `times`.
    pub(super) histograms: &'a [Option<Arc<Histogram>>],
    /// Empty, or as long as `times`.
    pub(super) starts: &'a [i64],
    /// Left end, exclusive.
    pub(super) start_ms: i64,
    /// Right end, inclusive.
    pub(super) end_ms: i64,
    /// The time of evaluation, without offset and `@`.
    pub(super) now_ms: i64,
}

/// The windows of a grid over one series, in order: sample indices `[from, to)`.
pub(super) struct Windows<'a> {
    samples: &'a Samples,
    shift: Shift,
    range_ms: i64,
    grid: Grid,
    from: usize,
    to: usize,
    step: usize,
}

impl<'a> Windows<'a> {
    pub(super) fn new(samples: &'a Samples, shift: Shift, range_ms: i64, grid: Grid) -> Self {
        Self { samples, shift, range_ms, grid, from: 0, to: 0, step: 0 }
    }

    pub(super) fn steps(&self) -> usize {
        self.grid.steps
    }
}

/// A step's window with its place among the samples.
pub(super) struct Placed<'a> {
    pub(super) step: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) window: Window<'a>,
}

/// A step with its window's place among the samples.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) step: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Windows<'_> {
    /// The next window's place, for who needs no more.
    #[inline]
    pub(super) fn advance(&mut self) -> Option<Bounds> {
        if self.step >= self.grid.steps {
            return None;
        }
        let step = self.step;
        self.step += 1;
        let end_ms = self.shift.apply(self.grid.time(step));
        let start_ms = end_ms - self.range_ms;
        let times = self.samples.times.as_slice();
        while times.get(self.to).is_some_and(|t| *t <= end_ms) {
            self.to += 1;
        }
        while self.from < self.to && times[self.from] <= start_ms {
            self.from += 1;
        }
        Some(Bounds { step, from: self.from, to: self.to, start_ms, end_ms })
    }
}

impl<'a> Iterator for Windows<'a> {
    type Item = Placed<'a>;

    fn next(&mut self) -> Option<Placed<'a>> {
        let Bounds { step, from, to, start_ms, end_ms } = self.advance()?;
        let (samples, now_ms) = (self.samples, self.grid.time(step));
        let histograms = samples.histograms.get(from..to).unwrap_or(&[]);
        let starts = samples.starts.get(from..to).unwrap_or(&[]);
        let (times, values) = (&samples.times[from..to], &samples.values[from..to]);
        let window = Window { times, values, histograms, starts, start_ms, end_ms, now_ms };
        Some(Placed { step, from, to, window })
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates a range function. `params` holds its scalar arguments, each per step.
    pub(super) fn range_call(
        &mut self,
        span: Span,
        func: RangeFn,
        arg: &Node,
        params: &[Vec<f64>],
        param_spans: &[Span],
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let NodeKind::Range(range) = &arg.kind else {
            return Err(EvalError::execution(arg.span, "expected a range vector"));
        };
        kernels::check_params(func, params, span)?;
        let out = self.map_series(range, grid, |this, labels, drop_name, samples| {
            let mut notes = kernels::Notes::new(func, params, param_spans, arg.span);
            this.charge(1, grid)?;
            let kernel = Kernel { func, range_ms: range.range_ms, params };
            let windows = Windows::new(samples, range.shift, range.range_ms, grid);
            let column = match range.mode {
                None => kernels::run(&kernel, windows, samples, grid, &mut notes),
                Some(mode) => {
                    let lookback = this.params.lookback_ms;
                    super::extended::run(&kernel, mode, windows, samples, lookback, &mut notes)
                }
            };
            notes.report(this, labels, &column);
            if !column.any() {
                this.release(1, grid);
                return Ok(None);
            }
            this.charge_histograms(&column)?;
            Ok(Some(Block { labels: labels.clone(), drop_name, column }))
        })?;
        if func.keeps_name() { Ok(out) } else { self.drop_names(out, span) }
    }

    /// Maps each series of a range vector that has any sample, in order.
    pub(super) fn map_series<T: Send>(
        &mut self,
        range: &RangeNode,
        grid: Grid,
        map: impl Fn(&mut Evaluator<'a>, &Labels, bool, &Samples) -> Result<Option<T>, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        match &range.source {
            RangeSource::Series(source) => {
                let (first, last) = range.shift.bounds(&grid);
                let lookback = self.params.lookback_ms;
                let (before, after) = super::extended::margins(range.mode, lookback);
                let bounds = (first - range.range_ms - before + 1, last + after);
                let all = self.selected(source);
                let work = super::select::work(&all, grid);
                let scratch = <(SampleBuffer, Samples)>::default;
                self.map_parallel(&all, work, scratch, |this, (buffer, samples), series| {
                    this.decode(series, bounds, buffer)?;
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    if range.resets == Resets::Compared {
                        super::select::compare_resets(buffer);
                    }
                    samples.fill(buffer, this.params.start_timestamps);
                    this.count_windows(range, samples, grid);
                    map(this, &series.labels, false, samples)
                })
            }
            RangeSource::Subquery { node, step_ms } => {
                let inner = grid.subquery(range.shift, range.range_ms, *step_ms);
                if inner.steps == 0 {
                    return Ok(Vec::new());
                }
                let all_steps = |this: &mut Self| this.vector(node, inner);
                let apart = Apart::Subquery { inner, outer: grid, shift: range.shift };
                let blocks = self.counted_apart(apart, all_steps)?;
                let work = (blocks.len() * (inner.steps + grid.steps)) as u64;
                // Two series may differ in a name that is yet to be dropped: still two series.
                self.map_parallel(&blocks, work, Samples::default, |this, samples, block| {
                    // Time and value of each step, for as long as this series is looked at.
                    let bytes = block.column.present.ones().count() * 16;
                    this.with_scratch(bytes, |this| {
                        samples.fill_column(&block.column, inner);
                        this.count_windows(range, samples, grid);
                        map(this, &block.labels, block.drop_name, samples)
                    })
                })
            }
        }
    }

    fn count_windows(&mut self, range: &RangeNode, samples: &Samples, grid: Grid) {
        if let Some(counted) = &mut self.counted {
            let windows = Windows::new(samples, range.shift, range.range_ms, grid);
            let stored = matches!(range.source, RangeSource::Series(_));
            counted.windows(windows, samples, stored);
        }
    }

    /// A range vector as the result of an instant query: raw samples with their own times.
    pub(super) fn raw_matrix(
        &mut self,
        node: &Node,
        grid: Grid,
    ) -> Result<Vec<MatrixSeries>, EvalError> {
        let NodeKind::Range(range) = &node.kind else {
            return Err(EvalError::execution(node.span, "expected a range vector"));
        };
        let lookback = self.params.lookback_ms;
        let all = self.map_series(range, grid, |this, labels, drop_name, samples| {
            this.budget.charge_bytes((samples.times.len() * size_of::<Sample>()) as u64)?;
            let windows = Windows::new(samples, range.shift, range.range_ms, grid);
            let mut blocks = Vec::new();
            for placed in windows {
                let window = placed.window;
                if let Some(mode) = range.mode {
                    let bounds = (window.start_ms, window.end_ms);
                    let points = super::extended::points(samples, bounds, mode, lookback);
                    if !points.is_empty() {
                        let samples = points
                            .into_iter()
                            .map(|(timestamp_ms, value)| Sample { timestamp_ms, value })
                            .collect();
                        blocks.push((labels.clone(), drop_name, samples));
                    }
                    continue;
                }
                let samples: Vec<Sample> = (0..window.times.len())
                    .map(|i| Sample { timestamp_ms: window.times[i], value: window.value(i) })
                    .collect();
                if !samples.is_empty() {
                    blocks.push((labels.clone(), drop_name, samples));
                }
            }
            Ok(Some(blocks))
        })?;
        let mut series: Vec<MatrixSeries> = all
            .into_iter()
            .flatten()
            .map(|(labels, drop_name, samples)| MatrixSeries {
                labels: if drop_name { labels.without_name() } else { labels },
                samples,
            })
            .collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        if series.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            let message = "vector cannot contain metrics with the same labelset";
            return Err(EvalError::execution(node.span, message));
        }
        Ok(series)
    }

    /// 1 at each step at which the argument has nothing.
    pub(super) fn absent(
        &mut self,
        labels: &Labels,
        arg: &Node,
        grid: Grid,
    ) -> Result<Vec<Block>, EvalError> {
        let present = match &arg.kind {
            NodeKind::Range(range) => {
                let all = self.map_series(range, grid, |_, _, _, samples| {
                    let mut present = Bitmap::empty(grid.steps);
                    for placed in Windows::new(samples, range.shift, range.range_ms, grid) {
                        if placed.from < placed.to {
                            present.set(placed.step);
                        }
                    }
                    Ok(Some(present))
                })?;
                let mut any = Bitmap::empty(grid.steps);
                all.iter().for_each(|present| any.union(present));
                any
            }
            _ => {
                let blocks = self.vector(arg, grid)?;
                super::any_present(&blocks, grid.steps)
            }
        };
        let mut column = Column::full(vec![1.0; grid.steps]);
        column.present.subtract(&present);
        if !column.any() {
            return Ok(Vec::new());
        }
        merge_duplicates(vec![Block { labels: labels.clone(), drop_name: false, column }], arg.span)
    }
}

impl Window<'_> {
    /// Whether sample `i` says that it was counted anew since the sample before it.
    pub(super) fn starts_anew(&self, i: usize) -> bool {
        super::starts::starts_anew(self.times, self.starts, i)
    }

    /// When the first sample began to be counted, if that lies within the window (whose left end
    /// is not part of it).
    pub(super) fn counted_since(&self) -> Option<i64> {
        let (start, time) = (*self.starts.first()?, *self.times.first()?);
        (start != 0 && start > self.start_ms && start < time).then_some(start)
    }

    pub(super) fn histogram(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(i).and_then(Option::as_ref)
    }

    pub(super) fn value(&self, i: usize) -> SampleValue {
        match self.histogram(i) {
            Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
            None => SampleValue::Float(self.values[i]),
        }
    }
}
