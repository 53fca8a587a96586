//! Which values an expression can have at all: interval analysis.
//!
//! Sound where names mean what they say: what is a count, a rate or a share of something can have
//! no other values than the interval says. NaN is left out: no comparison but `!=` holds for it.
//! Recorded metrics are followed into the rules that record them.

use skopos_model::METRIC_NAME;
use skopos_promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, VectorSelector};
use skopos_promql::{Expr, ExprKind};

use crate::context::Records;
use crate::metric;

/// Closed on both ends; infinities are ends like any other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Recording rules followed within each other at most.
const MAX_DEPTH: usize = 8;

impl Interval {
    pub(crate) const ALL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
    const POSITIVE: Self = Self { low: 0.0, high: f64::INFINITY };
    pub(crate) const SHARE: Self = Self { low: 0.0, high: 1.0 };

    const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    fn point(value: f64) -> Self {
        if value.is_nan() { Self::ALL } else { Self::new(value, value) }
    }

    fn hull(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    fn and(self, other: Self) -> Self {
        let both = Self::new(self.low.max(other.low), self.high.min(other.high));
        if both.low > both.high { self } else { both }
    }

    fn is_point(self) -> bool {
        self.low == self.high
    }

    /// Every end of one with every end of the other.
    fn ends(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let all = [
            f(self.low, other.low),
            f(self.low, other.high),
            f(self.high, other.low),
            f(self.high, other.high),
        ];
        if all.iter().any(|v| v.is_nan()) {
            return Self::ALL;
        }
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self::new(low, high)
    }

    fn multiply(self, other: Self) -> Self {
        // An end at infinity stands for "as large as you like": nothing times that is nothing.
        self.ends(other, |a, b| if a == 0.0 || b == 0.0 { 0.0 } else { a * b })
    }

    fn divide(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 {
            // Both of one sign: so is the quotient, and a divisor of nothing gives infinity.
            return match self.low >= 0.0 && other.low >= 0.0 {
                true => Self::POSITIVE,
                false => Self::ALL,
            };
        }
        self.ends(other, |a, b| if b.is_infinite() { 0.0 } else { a / b })
    }

    /// Whether a comparison of a value in `self` with one in `other` holds: `Some` when that can be
    /// told for all of them.
    pub(crate) fn compare(self, op: BinaryOp, other: Self) -> Option<bool> {
        let verdict = |always: bool, never: bool| match (always, never) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        match op {
            BinaryOp::Greater => verdict(self.low > other.high, self.high <= other.low),
            BinaryOp::GreaterEqual => verdict(self.low >= other.high, self.high < other.low),
            BinaryOp::Less => verdict(self.high < other.low, self.low >= other.high),
            BinaryOp::LessEqual => verdict(self.high <= other.low, self.low > other.high),
            BinaryOp::Equal => {
                let apart = self.high < other.low || self.low > other.high;
                verdict(self.is_point() && self == other, apart)
            }
            BinaryOp::NotEqual => {
                let apart = self.high < other.low || self.low > other.high;
                verdict(apart, self.is_point() && self == other)
            }
            _ => None,
        }
    }

    /// In words, for messages.
    pub(crate) fn describe(self) -> String {
        let number = skopos_promql::format_value;
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) if self.is_point() => format!("is {}", number(self.low)),
            (true, true) => format!("lies between {} and {}", number(self.low), number(self.high)),
            (true, false) => format!("is at least {}", number(self.low)),
            (false, true) => format!("is at most {}", number(self.high)),
            (false, false) => "may be anything".into(),
        }
    }
}

/// The values that an expression can have.
pub(crate) fn values(expr: &Expr, records: &Records<'_>) -> Interval {
    of(expr, records, 0)
}

fn of(expr: &Expr, records: &Records<'_>, depth: usize) -> Interval {
    match &expr.kind {
        ExprKind::Number(number) => Interval::point(number.value),
        ExprKind::String(_) => Interval::ALL,
        ExprKind::Paren(inner) => of(inner, records, depth),
        ExprKind::Unary { negative, expr } => {
            let inner = of(expr, records, depth);
            if *negative { Interval::new(-inner.high, -inner.low) } else { inner }
        }
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            selected(selector, records, depth)
        }
        ExprKind::Subquery(subquery) => of(&subquery.expr, records, depth),
        ExprKind::Call(call) => called(call, records, depth),
        ExprKind::Aggregate(aggregate) => aggregated(aggregate, records, depth),
        ExprKind::Binary(binary) => combined(binary, records, depth),
    }
}

fn selected(selector: &VectorSelector, records: &Records<'_>, depth: usize) -> Interval {
    let Some(name) = metric::name_of(selector) else { return Interval::ALL };
    if depth < MAX_DEPTH {
        let recorded = records.expressions(name).into_iter();
        if let Some(all) = recorded.map(|e| of(e, records, depth + 1)).reduce(Interval::hull) {
            return all;
        }
    }
    match name {
        "up" | "probe_success" => Interval::SHARE,
        "ALERTS" => Interval::point(1.0),
        // Sloth's names: ratios of errors.
        _ if name.starts_with("slo:sli_error:ratio_rate") => Interval::SHARE,
        _ if metric::is_counter(name) => Interval::POSITIVE,
        _ => Interval::ALL,
    }
}

fn called(call: &Call, records: &Records<'_>, depth: usize) -> Interval {
    let argument = |at: usize| call.args.get(at).map_or(Interval::ALL, |e| of(e, records, depth));
    match call.func.name {
        "rate" | "irate" | "increase" | "changes" | "resets" | "stddev_over_time"
        | "stdvar_over_time" | "mad_over_time" | "histogram_count" | "histogram_stddev"
        | "histogram_stdvar" | "sqrt" | "exp" | "time" | "timestamp" => Interval::POSITIVE,
        "absent" | "absent_over_time" | "present_over_time" => Interval::point(1.0),
        "count_over_time" => Interval::new(1.0, f64::INFINITY),
        "histogram_fraction" => Interval::SHARE,
        "sgn" | "sin" | "cos" | "tanh" => Interval::new(-1.0, 1.0),
        "hour" => Interval::new(0.0, 23.0),
        "minute" => Interval::new(0.0, 59.0),
        "day_of_week" => Interval::new(0.0, 6.0),
        "day_of_month" => Interval::new(1.0, 31.0),
        "day_of_year" => Interval::new(1.0, 366.0),
        "days_in_month" => Interval::new(28.0, 31.0),
        "month" => Interval::new(1.0, 12.0),
        "pi" => Interval::point(std::f64::consts::PI),
        "abs" => {
            let inner = argument(0);
            match (inner.low >= 0.0, inner.high <= 0.0) {
                (true, _) => inner,
                (_, true) => Interval::new(-inner.high, -inner.low),
                _ => Interval::new(0.0, inner.high.max(-inner.low)),
            }
        }
        "ceil" | "floor" => {
            let inner = argument(0);
            Interval::new(inner.low.floor(), inner.high.ceil())
        }
        "clamp" => Interval::new(argument(1).low, argument(2).high),
        "clamp_min" => {
            let (inner, least) = (argument(0), argument(1));
            Interval::new(inner.low.max(least.low), inner.high.max(least.high))
        }
        "clamp_max" => {
            let (inner, most) = (argument(0), argument(1));
            Interval::new(inner.low.min(most.low), inner.high.min(most.high))
        }
        "sum_over_time" => summed(argument(0)),
        "avg_over_time" | "min_over_time" | "max_over_time" | "last_over_time"
        | "first_over_time" | "vector" | "sort" | "sort_desc" | "sort_by_label"
        | "sort_by_label_desc" | "label_replace" | "label_join" => argument(0),
        "quantile_over_time" => match argument(0) {
            q if q.low >= 0.0 && q.high <= 1.0 => argument(1),
            _ => Interval::ALL,
        },
        _ => Interval::ALL,
    }
}

/// Any number of values of an interval, added.
fn summed(inner: Interval) -> Interval {
    match (inner.low >= 0.0, inner.high <= 0.0) {
        (true, true) => Interval::point(0.0),
        (true, false) => Interval::new(inner.low, f64::INFINITY),
        (false, true) => Interval::new(f64::NEG_INFINITY, inner.high),
        (false, false) => Interval::ALL,
    }
}

fn aggregated(aggregate: &Aggregate, records: &Records<'_>, depth: usize) -> Interval {
    let inner = of(&aggregate.expr, records, depth);
    match aggregate.op {
        AggregateOp::Sum => summed(inner),
        AggregateOp::Count | AggregateOp::CountValues => Interval::new(1.0, f64::INFINITY),
        AggregateOp::Group => Interval::point(1.0),
        AggregateOp::Stddev | AggregateOp::Stdvar => Interval::POSITIVE,
        AggregateOp::Quantile => {
            let q = aggregate.param.as_ref().map_or(Interval::ALL, |e| of(e, records, depth));
            if q.low >= 0.0 && q.high <= 1.0 { inner } else { Interval::ALL }
        }
        _ => inner,
    }
}

fn combined(binary: &Binary, records: &Records<'_>, depth: usize) -> Interval {
    let fills =
        binary.matching.as_ref().is_some_and(|m| m.fill_left.is_some() || m.fill_right.is_some());
    if fills {
        return Interval::ALL;
    }
    let left = of(&binary.lhs, records, depth);
    let right = of(&binary.rhs, records, depth);
    match binary.op {
        op if op.is_comparison() && binary.return_bool => match left.compare(op, right) {
            Some(holds) => Interval::point(f64::from(u8::from(holds))),
            None => Interval::SHARE,
        },
        // A filter leaves the left values that pass; scalars on the left leave the right ones.
        op if op.is_comparison() => {
            let (kept, op, bound) = match is_scalar(&binary.lhs) {
                true => (right, mirrored(op), left),
                false => (left, op, right),
            };
            match op {
                BinaryOp::Greater | BinaryOp::GreaterEqual => {
                    kept.and(Interval::new(bound.low, f64::INFINITY))
                }
                BinaryOp::Less | BinaryOp::LessEqual => {
                    kept.and(Interval::new(f64::NEG_INFINITY, bound.high))
                }
                BinaryOp::Equal => kept.and(bound),
                _ => kept,
            }
        }
        BinaryOp::Add => Interval::new(left.low + right.low, left.high + right.high).checked(),
        BinaryOp::Sub => Interval::new(left.low - right.high, left.high - right.low).checked(),
        BinaryOp::Mul => left.multiply(right),
        BinaryOp::Div if is_share(&binary.lhs, &binary.rhs) => Interval::SHARE,
        BinaryOp::Div => left.divide(right),
        BinaryOp::Mod if right.is_point() && left.low >= 0.0 => {
            Interval::new(0.0, right.high.abs())
        }
        BinaryOp::Pow if left.is_point() && right.is_point() => {
            Interval::point(left.low.powf(right.low))
        }
        BinaryOp::Pow if left.low >= 0.0 => Interval::POSITIVE,
        BinaryOp::And | BinaryOp::Unless => left,
        BinaryOp::Or => left.hull(right),
        _ => Interval::ALL,
    }
}

impl Interval {
    fn checked(self) -> Self {
        if self.low.is_nan() || self.high.is_nan() { Self::ALL } else { self }
    }
}

fn is_scalar(expr: &Expr) -> bool {
    expr.value_type() == skopos_promql::ValueType::Scalar
}

/// The comparison with its sides exchanged.
pub(crate) fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessEqual => BinaryOp::GreaterEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterEqual => BinaryOp::LessEqual,
        other => other,
    }
}

/// Whether the quotient is a share: the numerator counts some of what the denominator counts.
///
/// Both sides have the same shape, and differ in selectors only, where the numerator asks for more;
/// or in a filter on what is counted. Gauges qualify only where they cannot be negative.
pub(crate) fn is_share(part: &Expr, whole: &Expr) -> bool {
    let (part, whole) = (part.unparenthesised(), whole.unparenthesised());
    match (&part.kind, &whole.kind) {
        (ExprKind::Aggregate(a), ExprKind::Aggregate(b)) => {
            let same = a.op == b.op && a.without == b.without && {
                let mut sorted = [a.grouping.clone(), b.grouping.clone()];
                sorted.iter_mut().for_each(|names| names.sort());
                sorted[0] == sorted[1]
            };
            match a.op {
                AggregateOp::Sum => same && is_share(&a.expr, &b.expr),
                AggregateOp::Count => same && is_subset(&a.expr, &b.expr),
                _ => false,
            }
        }
        (ExprKind::Call(a), ExprKind::Call(b)) => {
            let is_flow = matches!(a.func.name, "rate" | "irate" | "increase");
            match (a.func == b.func && is_flow, a.args.first(), b.args.first()) {
                (true, Some(a), Some(b)) => is_share(a, b),
                _ => false,
            }
        }
        (
            ExprKind::Matrix { selector: a, range: x },
            ExprKind::Matrix { selector: b, range: y },
        ) => x.to_string() == y.to_string() && is_part(a, b),
        (ExprKind::Vector(a), ExprKind::Vector(b)) => {
            metric::name_of(a).is_some_and(metric::is_counter) && is_part(a, b)
        }
        _ => false,
    }
}

/// Whether one vector has series of the other only.
fn is_subset(part: &Expr, whole: &Expr) -> bool {
    let (part, whole) = (part.unparenthesised(), whole.unparenthesised());
    if let (ExprKind::Vector(a), ExprKind::Vector(b)) = (&part.kind, &whole.kind) {
        return is_part(a, b);
    }
    match &part.kind {
        ExprKind::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
            is_scalar(&binary.rhs) && is_subset(&binary.lhs, whole)
        }
        _ => false,
    }
}

/// Whether a selector selects some of what the other selects, at the same time.
fn is_part(part: &VectorSelector, whole: &VectorSelector) -> bool {
    let time = |s: &VectorSelector| (s.offset.as_ref().map(ToString::to_string), s.at, s.mode);
    if time(part) != time(whole) {
        return false;
    }
    let (Some(a), Some(b)) = (metric::name_of(part), metric::name_of(whole)) else { return false };
    // A bucket counts some of the observations.
    let bucket_of =
        a.strip_suffix("_bucket").is_some_and(|base| b.strip_suffix("_count") == Some(base));
    let one_bucket = || {
        part.matchers
            .iter()
            .any(|m| m.name() == "le" && m.literal_values().is_some_and(|v| v.len() == 1))
    };
    if a != b && !(bucket_of && one_bucket()) {
        return false;
    }
    let others = |s: &VectorSelector| -> Vec<(String, &'static str, String)> {
        let all = s.matchers.iter().filter(|m| m.name() != METRIC_NAME);
        all.map(|m| (m.name().to_owned(), m.op().as_str(), m.value().to_owned())).collect()
    };
    let of_part = others(part);
    others(whole).iter().all(|matcher| of_part.contains(matcher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let sum = "sum(rate(r_total{code=~\"5..\"}[5m])) / sum(rate(r_total[5m]))";
        let cases: Vec<(String, f64, f64)> = vec![
            (sum.into(), 0.0, 1.0),
            (format!("100 * ({sum})"), 0.0, 100.0),
            (format!("1 - ({sum})"), 0.0, 1.0),
            (format!("({sum}) / 0.001"), 0.0, 1000.0),
            ("14.4 * 0.001".into(), 0.0144, 0.0144),
            ("count(up)".into(), 1.0, f64::INFINITY),
            ("count(up) or vector(0)".into(), 0.0, f64::INFINITY),
            ("count(up == 0) / count(up)".into(), 0.0, 1.0),
            ("rate(a[5m])".into(), 0.0, f64::INFINITY),
            ("-rate(a[5m])".into(), f64::NEG_INFINITY, 0.0),
            ("delta(a[5m])".into(), f64::NEG_INFINITY, f64::INFINITY),
            ("a / b".into(), f64::NEG_INFINITY, f64::INFINITY),
            ("rate(a[5m]) / rate(b[5m])".into(), 0.0, f64::INFINITY),
            ("clamp_max(a, 3)".into(), f64::NEG_INFINITY, 3.0),
            ("a > 5".into(), 5.0, f64::INFINITY),
            ("5 < a".into(), 5.0, f64::INFINITY),
            ("a > bool 5".into(), 0.0, 1.0),
            ("hour() + 1".into(), 1.0, 24.0),
            ("sum(up)".into(), 0.0, f64::INFINITY),
            ("max(up)".into(), 0.0, 1.0),
            ("sum(rate(l_bucket{le=\"0.2\"}[5m])) / sum(rate(l_count[5m]))".into(), 0.0, 1.0),
            ("sum(rate(l_bucket[5m])) / sum(rate(l_count[5m]))".into(), 0.0, f64::INFINITY),
            ("sum(rate(a[1m])) / sum(rate(a[5m]))".into(), 0.0, f64::INFINITY),
        ];
        for (text, low, high) in cases {
            let expr = skopos_promql::parse(&text, &Default::default()).unwrap();
            let found = values(&expr, &Records::default());
            let close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
            assert!(close(found.low, low) && close(found.high, high), "{text}: {found:?}");
        }
    }

    #[test]
    fn comparisons_that_can_be_told() {
        use BinaryOp::*;
        let share = Interval::SHARE;
        let at = Interval::point;
        for (a, op, b, want) in [
            (share, Greater, at(1.0), Some(false)),
            (share, GreaterEqual, at(1.0), None),
            (share, GreaterEqual, at(0.0), Some(true)),
            (share, Greater, at(0.0), None),
            (share, Less, at(0.0), Some(false)),
            (share, LessEqual, at(0.0), None),
            (share, Equal, at(2.0), Some(false)),
            (share, NotEqual, at(2.0), Some(true)),
            (Interval::new(1.0, f64::INFINITY), Equal, at(0.0), Some(false)),
            (Interval::ALL, Equal, at(0.0), None),
            (at(1.0), Equal, at(1.0), Some(true)),
        ] {
            assert_eq!(a.compare(op, b), want, "{a:?} {op:?} {b:?}");
        }
    }
}
