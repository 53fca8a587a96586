//! What is wanted of the histograms that a selector reads. Where it is only counts or sums, and
//! several histograms are put together on the way, Prometheus compares neighbours to know of resets,
//! because it reads them without their buckets there. What contradicts is remarked on.

use crate::ast::{AggregateOp, BinaryOp};
use crate::functions::{FunctionKind, HistogramPart};
use crate::plan::Resets;

/// What stands around the part being lowered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Only counts or sums are wanted.
    parts: bool,
    /// Something around needs whole histograms all the same.
    whole: bool,
    /// Several are put together on the way to those parts.
    combined: bool,
}

impl Wanted {
    pub(super) fn by_call(self, kind: FunctionKind) -> Self {
        match kind {
            FunctionKind::HistogramPart(
                HistogramPart::Count | HistogramPart::Sum | HistogramPart::Avg,
            ) => Self { parts: true, combined: false, ..self },
            FunctionKind::HistogramQuantile
            | FunctionKind::HistogramQuantiles
            | FunctionKind::HistogramFraction => self.by_subquery(),
            _ => self,
        }
    }

    /// Steps of a subquery are no neighbours in storage.
    pub(super) fn by_subquery(self) -> Self {
        Self { whole: true, ..self }
    }

    pub(super) fn by_aggregate(self, op: AggregateOp) -> Self {
        let combines = matches!(op, AggregateOp::Sum | AggregateOp::Avg);
        Self { combined: self.combined || combines, ..self }
    }

    pub(super) fn by_operator(self, op: BinaryOp) -> Self {
        let trims = matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        let combines = matches!(op, BinaryOp::Add | BinaryOp::Sub);
        Self { whole: self.whole || trims, combined: self.combined || combines, ..self }
    }

    /// For an instant selector.
    pub(super) fn resets(self) -> Resets {
        match self.parts && self.combined && !self.whole {
            true => Resets::Compared,
            false => Resets::Stored,
        }
    }

    /// For the range selector of a function. Those that look for resets themselves come to the same
    /// either way.
    pub(super) fn resets_of_range(self, func: &str) -> Resets {
        match func {
            "sum_over_time" | "avg_over_time" => Self { combined: true, ..self }.resets(),
            "first_over_time" | "last_over_time" => self.resets(),
            _ => Resets::Stored,
        }
    }
}
