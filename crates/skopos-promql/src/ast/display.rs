//! Printing syntax trees as PromQL. What is printed parses to the same tree.

use std::fmt::{self, Display, Formatter, Write};

use skopos_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use skopos_model::{LabelMatcher, METRIC_NAME, MatchOp};

use super::*;
use crate::format::{format_duration_ms, format_general};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => write!(f, "{number}"),
            ExprKind::String(string) => write!(f, "{string}"),
            ExprKind::Vector(selector) => {
                write!(f, "{}", SelectorBody(selector))?;
                write_modifiers(f, &selector.at, &selector.offset, selector.mode)
            }
            ExprKind::Matrix { selector, range } => {
                write!(f, "{}[{range}]", SelectorBody(selector))?;
                write_modifiers(f, &selector.at, &selector.offset, selector.mode)
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}", subquery.expr)?;
                subquery.write_tail(f)
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.func.name)?;
                write_list(f, &call.args)?;
                f.write_char(')')
            }
            ExprKind::Aggregate(agg) => write!(f, "{agg}"),
            ExprKind::Binary(binary) => write!(f, "{binary}"),
            ExprKind::Unary { negative, expr } => {
                write!(f, "{}{expr}", if *negative { '-' } else { '+' })
            }
            ExprKind::Paren(expr) => write!(f, "({expr})"),
        }
    }
}

fn write_list(f: &mut Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
    }
    Ok(())
}

fn write_modifiers(
    f: &mut Formatter<'_>,
    at: &Option<AtModifier>,
    offset: &Option<DurationExpr>,
    mode: Option<RangeMode>,
) -> fmt::Result {
    match mode {
        Some(RangeMode::Anchored) => f.write_str(" anchored")?,
        Some(RangeMode::Smoothed) => f.write_str(" smoothed")?,
        None => {}
    }
    match at {
        Some(AtModifier::Time(ms)) => {
            let sign = if *ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?
        }
        Some(AtModifier::Start) => f.write_str(" @ start()")?,
        Some(AtModifier::End) => f.write_str(" @ end()")?,
        None => {}
    }
    match offset {
        Some(offset) => write!(f, " offset {offset}"),
        None => Ok(()),
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ms = (self.value * 1000.0).round();
        if self.is_duration && ms.is_finite() {
            f.write_str(&format_duration_ms(ms as i64))
        } else if self.value.is_infinite() {
            f.write_str("Inf")
        } else {
            f.write_str(&format_general(self.value))
        }
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.invalid {
            Some(bytes) => f.write_str(&quote_bytes(bytes)),
            None => f.write_str(&quote(&self.value)),
        }
    }
}

/// A string literal that reads back as `text`.
pub(crate) fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// A string literal that reads back as `bytes`: readable where they are UTF-8, `\x..` elsewhere.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// A label name, quoted where it must be.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(self.0) { f.write_str(self.0) } else { f.write_str(&quote(self.0)) }
    }
}

struct Names<'a>(&'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('(')?;
        write_list(f, &self.0.iter().map(|n| Name(n)).collect::<Vec<_>>())?;
        f.write_char(')')
    }
}

/// Name and matchers of a selector, without modifiers.
struct SelectorBody<'a>(&'a VectorSelector);

impl Display for SelectorBody<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = self.0;
        let mut parts = Vec::new();
        let mut name_seen = false;
        let bare = selector.name.as_deref().filter(|n| is_bare_metric(n));
        for matcher in &selector.matchers {
            let is_name = !name_seen
                && selector.name.is_some()
                && matcher.name() == METRIC_NAME
                && matcher.op() == MatchOp::Equal
                && Some(matcher.value()) == selector.name.as_deref();
            if is_name {
                name_seen = true;
                if bare.is_none() {
                    parts.insert(0, quote(matcher.value()));
                }
            } else {
                parts.push(matcher_text(matcher));
            }
        }
        f.write_str(bare.unwrap_or(""))?;
        if bare.is_none() || !parts.is_empty() {
            write!(f, "{{{}}}", parts.join(", "))?;
        }
        Ok(())
    }
}

fn matcher_text(matcher: &LabelMatcher) -> String {
    format!("{}{}{}", Name(matcher.name()), matcher.op().as_str(), quote(matcher.value()))
}

/// Whether a metric's name can stand without quotes at the start of an expression.
fn is_bare_metric(name: &str) -> bool {
    const RESERVED: [&str; 7] =
        ["bool", "on", "ignoring", "group_left", "group_right", "inf", "nan"];
    const OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
    is_legacy_metric_name(name)
        && !RESERVED.iter().chain(&OPERATORS).any(|w| w.eq_ignore_ascii_case(name))
}

impl Subquery {
    /// What stands behind the expression: `[1h:5m] offset 1d`.
    pub(super) fn tail(&self) -> String {
        struct Tail<'a>(&'a Subquery);
        impl Display for Tail<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.write_tail(f)
            }
        }
        Tail(self).to_string()
    }

    fn write_tail(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.range)?;
        if let Some(step) = &self.step {
            write!(f, "{step}")?;
        }
        f.write_char(']')?;
        write_modifiers(f, &self.at, &self.offset, None)
    }
}

impl Aggregate {
    /// What stands before the parentheses: `sum by (job) `.
    pub(super) fn head(&self) -> String {
        let op = self.op.as_str();
        match (self.without, self.grouping.is_empty()) {
            (true, _) => format!("{op} without {} ", Names(&self.grouping)),
            (false, true) => op.to_owned(),
            (false, false) => format!("{op} by {} ", Names(&self.grouping)),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head())?;
        f.write_char('(')?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Binary {
    /// The operator with what belongs to it: `== bool on (job)`.
    pub(super) fn operator(&self) -> String {
        let bool = if self.return_bool { " bool" } else { "" };
        let matching = self.matching.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{}{bool}{matching}", self.op.as_str())
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.lhs, self.operator(), self.rhs)
    }
}

impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            _ => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            let word = if self.on { "on" } else { "ignoring" };
            write!(f, " {word} {}", Names(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} {}", Names(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", FillValue(left))?,
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", FillValue(left))?;
                }
                if let Some(right) = right {
                    write!(f, " fill_right ({})", FillValue(right))?;
                }
            }
        }
        Ok(())
    }
}

struct FillValue(Fill);

impl Display for FillValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0.0.is_sign_negative() && !self.0.0.is_nan() { "-" } else { "" };
        let value = if self.0.0.is_nan() { self.0.0 } else { self.0.0.abs() };
        write!(f, "{sign}{}", NumberLiteral { value, is_duration: false })
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal(number) => write!(f, "{number}"),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Unary { negative, expr } => {
                write!(f, "{}{expr}", if *negative { '-' } else { '+' })
            }
            DurationKind::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            DurationKind::Pick { max, lhs, rhs } => {
                write!(f, "{}({lhs}, {rhs})", if *max { "max_of" } else { "min_of" })
            }
            DurationKind::Paren(expr) => write!(f, "({expr})"),
        }
    }
}
