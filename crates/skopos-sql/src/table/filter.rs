//! What of a condition on `logs` or `spans` the store can be told.
//!
//! Constraints:
//! - A row that satisfies the condition satisfies its translation. *Exact* says that the reverse
//!   holds too; then nobody looks at the row again.
//! - Columns and the store's fields differ at the edges: a field that is empty text is no field to
//!   the store, and is `''` in SQL; what is NULL satisfies nothing in SQL, not even a negation.
//!   Conditions that touch such an edge are not translated, or not exactly.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use regex::Regex;
use skopos_model::event::{Comparison, EventScan, EventSignal, Field, Predicate};
use skopos_model::{SeverityNumber, TimeRange, Timestamp};

use super::literal::{column, nanos, number, strip_casts, text};
use crate::json::look_up_of;

/// Conditions as the store understands them.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) range: TimeRange,
    pub(crate) predicate: Option<Predicate>,
    /// Whether they hold for nothing but what the expression holds for.
    pub(crate) exact: bool,
}

impl Conditions {
    /// What the store can be told of an expression; `None` when nothing.
    pub(crate) fn of(signal: EventSignal, expr: &Expr) -> Option<Self> {
        if let Some(range) = time_range(expr) {
            return Some(Self { range, predicate: None, exact: true });
        }
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = expr {
            return match (Self::of(signal, left), Self::of(signal, right)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (Some(one), None) | (None, Some(one)) => Some(Self { exact: false, ..one }),
                (None, None) => None,
            };
        }
        let Translated { predicate, exact } = translate(signal, expr)?;
        Some(Self { range: TimeRange::ALL, predicate: Some(predicate), exact })
    }

    fn and(self, other: Self) -> Self {
        let predicate = match (self.predicate, other.predicate) {
            (Some(one), Some(two)) => Some(Predicate::All(vec![one, two])),
            (one, two) => one.or(two),
        };
        let range = intersection(self.range, other.range);
        Self { range, predicate, exact: self.exact && other.exact }
    }

    /// Narrows a scan.
    pub(crate) fn add_to(self, scan: &mut EventScan) {
        scan.range = intersection(scan.range, self.range);
        scan.predicates.extend(self.predicate);
    }
}

/// What lies in both.
pub(crate) fn intersection(one: TimeRange, two: TimeRange) -> TimeRange {
    TimeRange { start: one.start.max(two.start), end: one.end.min(two.end) }
}

/// The times that a condition on the column `time` allows.
pub(crate) fn time_range(expr: &Expr) -> Option<TimeRange> {
    let after = |nanos: i64| Timestamp(nanos.saturating_add(1));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, nanos) = if column(left) == Some("time") {
                (*op, nanos(right)?)
            } else if column(right) == Some("time") {
                (op.swap()?, nanos(left)?)
            } else {
                return None;
            };
            // The last instant there is cannot be the end of a range.
            if nanos == i64::MAX {
                return None;
            }
            let (start, end) = match op {
                Operator::Eq => (Timestamp(nanos), after(nanos)),
                Operator::Gt => (after(nanos), Timestamp::MAX),
                Operator::GtEq => (Timestamp(nanos), Timestamp::MAX),
                Operator::Lt => (Timestamp::MIN, Timestamp(nanos)),
                Operator::LtEq => (Timestamp::MIN, after(nanos)),
                _ => return None,
            };
            Some(TimeRange { start, end })
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let (low, high) = (nanos(low)?, nanos(high)?);
            (column(expr) == Some("time") && high < i64::MAX)
                .then(|| TimeRange { start: Timestamp(low), end: after(high) })
        }
        _ => None,
    }
}

struct Translated {
    predicate: Predicate,
    exact: bool,
}

fn exact(predicate: Predicate) -> Option<Translated> {
    Some(Translated { predicate, exact: true })
}

fn roughly(predicate: Predicate) -> Option<Translated> {
    Some(Translated { predicate, exact: false })
}

fn not(predicate: Predicate) -> Predicate {
    Predicate::Not(Box::new(predicate))
}

fn translate(signal: EventSignal, expr: &Expr) -> Option<Translated> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (translate(signal, left), translate(signal, right)) {
                (Some(one), Some(two)) => Some(Translated {
                    exact: one.exact && two.exact,
                    predicate: Predicate::All(vec![one.predicate, two.predicate]),
                }),
                (one, two) => roughly(one.or(two)?.predicate),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (one, two) = (translate(signal, left)?, translate(signal, right)?);
            Some(Translated {
                exact: one.exact && two.exact,
                predicate: Predicate::Any(vec![one.predicate, two.predicate]),
            })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            compare(signal, left, *op, right).or_else(|| compare(signal, right, op.swap()?, left))
        }
        Expr::InList(list) => {
            let one_of: Option<Vec<Translated>> = list
                .list
                .iter()
                .map(|value| compare(signal, &list.expr, Operator::Eq, value))
                .collect();
            let one_of = one_of?;
            let all_exact = one_of.iter().all(|one| one.exact);
            let any = Predicate::Any(one_of.into_iter().map(|one| one.predicate).collect());
            match list.negated {
                false => Some(Translated { predicate: any, exact: all_exact }),
                true if all_exact => {
                    Some(Translated { predicate: not(any), exact: never_null(&list.expr) })
                }
                true => None,
            }
        }
        Expr::Like(Like { negated: false, expr, pattern, escape_char: None, case_insensitive }) => {
            // In other alphabets the store's folding of case differs from SQL's.
            if *case_insensitive {
                return None;
            }
            let needle = text(pattern)?.strip_prefix('%')?.strip_suffix('%')?;
            if needle.is_empty() || needle.contains(['%', '_', '\\']) {
                return None;
            }
            roughly(Predicate::Contains(text_field(signal, expr)?, needle.to_owned()))
        }
        Expr::IsNotNull(expr) => exact(Predicate::Exists(id_field(column(expr)?)?)),
        Expr::IsNull(expr) => exact(not(Predicate::Exists(id_field(column(expr)?)?))),
        _ => None,
    }
}

fn never_null(expr: &Expr) -> bool {
    column(expr).is_some_and(|name| id_field(name).is_none())
}

/// `expr op value`.
fn compare(signal: EventSignal, expr: &Expr, op: Operator, value: &Expr) -> Option<Translated> {
    if let Some((column, key, _)) = look_up_of(strip_casts(expr, &DataType::is_string)) {
        return match (op, column) {
            // Lists and maps are text of several spellings.
            (Operator::Eq, "attributes") => {
                text(value).filter(|text| !text.starts_with(['[', '{'])).and_then(|text| {
                    roughly(Predicate::Equals(Field::EventAttribute(key.into()), text.into()))
                })
            }
            (Operator::Eq, "resource") => {
                text(value).filter(|text| !text.starts_with(['[', '{'])).and_then(|text| {
                    roughly(Predicate::Equals(Field::ResourceAttribute(key.into()), text.into()))
                })
            }
            _ => None,
        };
    }
    let expr = strip_casts(expr, &|to| to.is_string() || to.is_integer());
    let name = column(expr)?;
    match (signal, name) {
        (EventSignal::Logs, "severity") => numeric(Field::Severity, op, number(value)?),
        (EventSignal::Logs, "level") => level(op, text(value)?),
        (EventSignal::Spans, "duration") => duration(op, number(value)? / 1e9),
        (EventSignal::Spans, "duration_ms") => duration(op, number(value)? / 1e3),
        _ => {
            let value = text(value)?;
            if let Some(field) = id_field(name) {
                return match op {
                    Operator::Eq => exact(Predicate::Equals(field, value.into())),
                    Operator::NotEq => roughly(not(Predicate::Equals(field, value.into()))),
                    _ => None,
                };
            }
            let field = repeated_field(signal, name);
            match (op, field) {
                (Operator::Eq, Some(field)) if !value.is_empty() => {
                    exact(Predicate::Equals(field, value.into()))
                }
                (Operator::NotEq, Some(field)) if !value.is_empty() => {
                    exact(not(Predicate::Equals(field, value.into())))
                }
                (Operator::RegexMatch, _) => {
                    let regex = Regex::new(value).ok().filter(|regex| !regex.is_match(""))?;
                    roughly(Predicate::Matches(text_field(signal, expr)?, regex))
                }
                _ => None,
            }
        }
    }
}

fn numeric(field: Field, op: Operator, value: f64) -> Option<Translated> {
    let compare = |comparison| Predicate::Compare(field.clone(), comparison, value);
    let equal = || {
        Predicate::All(vec![compare(Comparison::GreaterOrEqual), compare(Comparison::LessOrEqual)])
    };
    exact(match op {
        Operator::Lt => compare(Comparison::Less),
        Operator::LtEq => compare(Comparison::LessOrEqual),
        Operator::Gt => compare(Comparison::Greater),
        Operator::GtEq => compare(Comparison::GreaterOrEqual),
        Operator::Eq => equal(),
        Operator::NotEq => not(equal()),
        _ => return None,
    })
}

/// The store compares seconds as floats: bounds are widened by more than rounding can move them.
fn duration(op: Operator, seconds: f64) -> Option<Translated> {
    let slack = seconds.abs() * 1e-9 + 1e-12;
    let compare = |comparison, bound| Predicate::Compare(Field::Duration, comparison, bound);
    let at_least = || compare(Comparison::GreaterOrEqual, seconds - slack);
    let at_most = || compare(Comparison::LessOrEqual, seconds + slack);
    roughly(match op {
        Operator::Gt | Operator::GtEq => at_least(),
        Operator::Lt | Operator::LtEq => at_most(),
        Operator::Eq => Predicate::All(vec![at_least(), at_most()]),
        _ => return None,
    })
}

fn level(op: Operator, name: &str) -> Option<Translated> {
    let first = SeverityNumber::from_name(name).filter(|first| first.name() == name)?;
    let compare =
        |comparison, bound: u8| Predicate::Compare(Field::Severity, comparison, f64::from(bound));
    let band = Predicate::All(vec![
        compare(Comparison::GreaterOrEqual, first.0),
        compare(Comparison::LessOrEqual, first.0 + 3),
    ]);
    match op {
        Operator::Eq => exact(band),
        Operator::NotEq => exact(not(band)),
        _ => None,
    }
}

/// Ids, which are NULL where there is none.
fn id_field(column: &str) -> Option<Field> {
    Some(match column {
        "trace_id" => Field::TraceId,
        "span_id" => Field::SpanId,
        "parent_span_id" => Field::ParentSpanId,
        _ => return None,
    })
}

/// Short text, which is empty where there is none.
fn repeated_field(signal: EventSignal, column: &str) -> Option<Field> {
    Some(match (column, signal) {
        ("service", _) => Field::Service,
        ("scope_name", _) => Field::Scope,
        ("event_name", EventSignal::Logs) | ("name", EventSignal::Spans) => Field::Name,
        ("kind", EventSignal::Spans) => Field::Kind,
        ("status", EventSignal::Spans) => Field::Status,
        ("status_message", EventSignal::Spans) => Field::StatusMessage,
        _ => return None,
    })
}

/// Text that can be searched.
fn text_field(signal: EventSignal, expr: &Expr) -> Option<Field> {
    match (column(expr)?, signal) {
        ("body", EventSignal::Logs) => Some(Field::Body),
        (name, _) => repeated_field(signal, name),
    }
}
