//! What the planner knows of functions.

use skopos_model::{LabelsBuilder, METRIC_NAME, MatchOp};

use crate::ast::{Expr, ExprKind};
use crate::functions::FunctionKind;
use crate::plan::{Node, NodeKind};

/// Functions that treat each series for itself, whatever its labels.
pub(super) fn keeps_labels(kind: FunctionKind) -> bool {
    matches!(
        kind,
        FunctionKind::Map(_)
            | FunctionKind::Date(_)
            | FunctionKind::Range(_)
            | FunctionKind::HistogramPart(_)
            | FunctionKind::Clamp
            | FunctionKind::ClampMax
            | FunctionKind::ClampMin
            | FunctionKind::Round
            | FunctionKind::Timestamp
            | FunctionKind::StartTimestamp
    )
}

/// The value of a function of constants.
pub(super) fn folded(kind: FunctionKind, args: &[Node]) -> Option<f64> {
    match (kind, args) {
        (FunctionKind::Pick { max }, [a, b]) => match (&a.kind, &b.kind) {
            (NodeKind::Number(a), NodeKind::Number(b)) => Some(crate::ast::pick(max, *a, *b)),
            _ => None,
        },
        (FunctionKind::ScalarOf, [arg]) => match &arg.kind {
            NodeKind::Call { func, args } if matches!(func.kind, FunctionKind::VectorOf) => {
                match args.as_slice() {
                    [Node { kind: NodeKind::Number(value), .. }] => Some(*value),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    }
}

/// Functions whose value changes with the evaluation time though their arguments may not.
pub(super) fn depends_on_time(kind: FunctionKind) -> bool {
    matches!(
        kind,
        FunctionKind::Time
            | FunctionKind::Timestamp
            | FunctionKind::Date(_)
            | FunctionKind::Range(crate::functions::RangeFn::PredictLinear)
    )
}

/// The labels of `absent`'s result: those that the selector fixes by one `=` and nothing else.
pub(super) fn absent_labels(arg: &Expr) -> skopos_model::Labels {
    let selector = match &arg.unparenthesised().kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => selector,
        _ => return skopos_model::Labels::empty(),
    };
    let mut labels = LabelsBuilder::default();
    for matcher in selector.matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        let mentions = selector.matchers.iter().filter(|m| m.name() == matcher.name()).count();
        if matcher.op() == MatchOp::Equal && mentions == 1 {
            labels.set(matcher.name(), matcher.value());
        }
    }
    labels.build()
}
