//! What each range function makes of a window.

mod floats;
mod natives;

pub(super) use natives::{changes, resets};

use std::collections::BTreeSet;

use skopos_model::SampleValue;

use super::Evaluator;
use super::range::{Samples, Window, Windows};
use crate::annotations::Remark;
use crate::error::EvalError;
use crate::functions::RangeFn;
use crate::plan::Grid;
use crate::span::Span;
use crate::value::Column;

/// A range function with its range and scalar arguments.
pub(super) struct Kernel<'a> {
    pub(super) func: RangeFn,
    pub(super) range_ms: i64,
    /// Scalar arguments, each per step.
    pub(super) params: &'a [Vec<f64>],
}

impl Kernel<'_> {
    pub(super) fn param(&self, which: usize, step: usize) -> f64 {
        self.params.get(which).and_then(|p| p.get(step)).copied().unwrap_or(f64::NAN)
    }
}

/// Remarks gathered for one series at a time.
pub(super) struct Notes<'a> {
    func: RangeFn,
    params: &'a [Vec<f64>],
    param_spans: &'a [Span],
    arg_span: Span,
    pub(super) mixed: bool,
    pub(super) not_a_counter: bool,
    pub(super) not_a_gauge: bool,
    pub(super) mixed_schemas: bool,
    pub(super) starts_overlap: bool,
    pub(super) ignored_histograms: bool,
    /// In which operations custom bounds had to be reconciled.
    pub(super) reconciled: BTreeSet<&'static str>,
    pub(super) collision: Option<&'static str>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(
        func: RangeFn,
        params: &'a [Vec<f64>],
        param_spans: &'a [Span],
        arg_span: Span,
    ) -> Self {
        Self {
            func,
            params,
            param_spans,
            arg_span,
            mixed: false,
            not_a_counter: false,
            not_a_gauge: false,
            mixed_schemas: false,
            starts_overlap: false,
            ignored_histograms: false,
            reconciled: BTreeSet::new(),
            collision: None,
        }
    }

    /// Passes on what was noted for a series, and starts anew.
    pub(super) fn report(
        &mut self,
        evaluator: &mut Evaluator<'_>,
        labels: &skopos_model::Labels,
        column: &Column,
    ) {
        let metric = labels.metric_name();
        let span = self.arg_span;
        if std::mem::take(&mut self.mixed) {
            evaluator.note(Remark::MixedFloatsHistograms { metric }, span);
        }
        if std::mem::take(&mut self.not_a_counter) {
            evaluator.note(Remark::NotACounter { metric }, span);
        }
        if std::mem::take(&mut self.not_a_gauge) {
            evaluator.note(Remark::NotAGauge { metric }, span);
        }
        if std::mem::take(&mut self.mixed_schemas) {
            evaluator.note(Remark::MixedExponentialCustom { metric }, span);
        }
        if std::mem::take(&mut self.starts_overlap) {
            evaluator.note(Remark::StartsOverlap { metric }, span);
        }
        if std::mem::take(&mut self.ignored_histograms) {
            evaluator.note(Remark::HistogramIgnoredInMixedRange { metric }, span);
        }
        for operation in std::mem::take(&mut self.reconciled) {
            evaluator.note(Remark::CustomBucketsReconciled { operation }, span);
        }
        if let Some(operation) = self.collision.take() {
            evaluator.note(Remark::CounterResetCollision { operation }, span);
        }
        if !column.any() {
            return;
        }
        let counts = matches!(self.func, RangeFn::Rate | RangeFn::Increase);
        let suffixed = ["_total", "_sum", "_count", "_bucket"].iter().any(|s| metric.ends_with(s));
        let has_floats = !column.has_histograms()
            || column.present.ones().any(|i| column.histogram(i).is_none());
        if counts && !metric.is_empty() && has_floats {
            // A declared type says more than a name.
            match labels.get("__type__") {
                Some("counter" | "histogram") => {}
                Some(declared) => {
                    evaluator.note(Remark::PossibleNonCounterType { metric, declared }, span);
                }
                None if suffixed => {}
                None => evaluator.note(Remark::PossibleNonCounter { metric }, span),
            }
        }
        if self.func == RangeFn::Quantile
            && let Some(quantiles) = self.params.first()
        {
            let span = self.param_spans.first().copied().unwrap_or_default();
            for i in column.present.ones() {
                if !(0.0..=1.0).contains(&quantiles[i]) {
                    evaluator.note(Remark::InvalidQuantile(quantiles[i]), span);
                }
            }
        }
    }
}

/// Refuses parameters without meaning.
pub(super) fn check_params(
    func: RangeFn,
    params: &[Vec<f64>],
    span: Span,
) -> Result<(), EvalError> {
    if func != RangeFn::DoubleExponentialSmoothing {
        return Ok(());
    }
    for (values, name, short) in
        params.iter().zip([("smoothing", "sf"), ("trend", "tf")]).map(|(v, (n, s))| (v, n, s))
    {
        if let Some(bad) = values.iter().find(|v| !(**v > 0.0 && **v < 1.0)) {
            let message =
                format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {bad:.6}");
            return Err(EvalError::execution(span, message));
        }
    }
    Ok(())
}

/// Evaluates a function over all windows of a series.
pub(super) fn run(
    kernel: &Kernel<'_>,
    windows: Windows<'_>,
    samples: &Samples,
    grid: Grid,
    notes: &mut Notes<'_>,
) -> Column {
    let mut column = Column::empty(grid.steps);
    if samples.histograms.is_empty() {
        match kernel.func {
            RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => {
                floats::extrapolated(kernel, windows, samples, &mut column, notes);
            }
            func if super::sliding::pays_off(func, samples, kernel.range_ms, grid) => {
                super::sliding::run(kernel, windows, samples, &mut column);
            }
            RangeFn::Changes | RangeFn::Resets => {
                super::sliding::count_pairs(kernel.func, windows, samples, &mut column);
            }
            _ => {
                let mut scratch = Vec::new();
                for placed in windows {
                    let value = floats::value(kernel, &placed.window, placed.step, &mut scratch);
                    if let Some(value) = value {
                        column.set(placed.step, value);
                    }
                }
            }
        }
        return column;
    }
    for placed in windows {
        if let Some(value) = mixed_value(kernel, &placed.window, placed.step, notes) {
            column.set_value(placed.step, value);
        }
    }
    column
}

/// A window that may hold histograms.
fn mixed_value(
    kernel: &Kernel<'_>,
    window: &Window<'_>,
    step: usize,
    notes: &mut Notes<'_>,
) -> Option<SampleValue> {
    let count = window.times.len();
    if count == 0 {
        return None;
    }
    let histograms = window.histograms.iter().flatten().count();
    let mut scratch = Vec::new();
    let float = SampleValue::Float;
    match kernel.func {
        RangeFn::Count | RangeFn::Present | RangeFn::TsOfFirst | RangeFn::TsOfLast => {
            floats::value(kernel, window, step, &mut scratch).map(float)
        }
        RangeFn::First => Some(window.value(0)),
        RangeFn::Last => Some(window.value(count - 1)),
        RangeFn::Changes => Some(float(natives::changes(window))),
        RangeFn::Resets => Some(float(natives::resets(window))),
        RangeFn::Irate | RangeFn::Idelta => {
            natives::instant_delta(window, kernel.func == RangeFn::Irate, notes)
        }
        RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => {
            if histograms == 0 {
                return floats::value(kernel, window, step, &mut scratch).map(float);
            }
            if count < 2 && (kernel.func == RangeFn::Delta || window.counted_since().is_none()) {
                return None;
            }
            if histograms < count {
                notes.mixed = true;
                return None;
            }
            natives::extrapolated(kernel, window, notes)
        }
        RangeFn::Sum | RangeFn::Avg => {
            if histograms == 0 {
                return floats::value(kernel, window, step, &mut scratch).map(float);
            }
            if histograms < count {
                notes.mixed = true;
                return None;
            }
            natives::total(window, kernel.func == RangeFn::Avg, notes)
        }
        _ => {
            // Functions for floats leave histograms out.
            if histograms == count {
                return None;
            }
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for i in 0..count {
                if window.histogram(i).is_none() {
                    times.push(window.times[i]);
                    values.push(window.values[i]);
                }
            }
            notes.ignored_histograms |= histograms > 0;
            let floats_only = Window { times: &times, values: &values, histograms: &[], ..*window };
            floats::value(kernel, &floats_only, step, &mut scratch).map(float)
        }
    }
}
