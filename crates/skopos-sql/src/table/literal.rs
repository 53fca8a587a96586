//! Columns and literals in expressions, seen through the casts that planning puts around them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

/// The expression inside casts to types that `harmless` accepts.
pub(super) fn strip_casts<'a>(expr: &'a Expr, harmless: &dyn Fn(&DataType) -> bool) -> &'a Expr {
    match expr {
        Expr::Cast(cast) if harmless(cast.field.data_type()) => strip_casts(&cast.expr, harmless),
        other => other,
    }
}

/// The name of the column that an expression is. Casts between text types and between timestamps
/// of the same precision change nothing.
pub(super) fn column(expr: &Expr) -> Option<&str> {
    let same = |to: &DataType| {
        to.is_string() || matches!(to, DataType::Timestamp(TimeUnit::Nanosecond, _))
    };
    match strip_casts(expr, &same) {
        Expr::Column(column) => Some(column.name()),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

/// A literal's text.
pub(super) fn text(expr: &Expr) -> Option<&str> {
    literal(expr)?.try_as_str().flatten()
}

/// A literal's number, when a float can tell it from its neighbours.
pub(super) fn number(expr: &Expr) -> Option<f64> {
    match literal(expr)?.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(Some(number)) if number.abs() < 9e15 => Some(number),
        _ => None,
    }
}

/// A literal time in nanoseconds since the epoch.
pub(super) fn nanos(expr: &Expr) -> Option<i64> {
    match *literal(expr)? {
        ScalarValue::TimestampNanosecond(nanos, _) => nanos,
        ScalarValue::TimestampMicrosecond(micros, _) => micros?.checked_mul(1_000),
        ScalarValue::TimestampMillisecond(millis, _) => millis?.checked_mul(1_000_000),
        ScalarValue::TimestampSecond(seconds, _) => seconds?.checked_mul(1_000_000_000),
        _ => None,
    }
}
