//! Printing long expressions on several lines, as Prometheus' formatter lays them out: what is
//! longer than a line is broken at the outermost function, aggregation, operator or parenthesis.
//! What is printed parses to the same tree.

use std::fmt::Write;

use super::*;

/// Longest text that stays on one line, characters without the indentation.
const MAX_LINE: usize = 100;

impl Expr {
    /// The expression as people read it: on one line where it fits, indented by two spaces a level
    /// where it does not.
    ///
    /// ```
    /// let query = "sum by(job)(rate(a[5m]))";
    /// let expr = skopos_promql::parse(query, &Default::default())?;
    /// assert_eq!(expr.pretty(), "sum by (job) (rate(a[5m]))");
    /// # Ok::<(), skopos_promql::ParseError>(())
    /// ```
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.push_pretty(&mut out, 0);
        out
    }

    /// Appends the expression, indented.
    fn push_pretty(&self, out: &mut String, level: usize) {
        let line = self.to_string();
        indent(out, level);
        if line.chars().count() <= MAX_LINE {
            out.push_str(&line);
            return;
        }
        match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix { .. } => out.push_str(&line),
            ExprKind::Call(call) => {
                let _ = write!(out, "{}(", call.func.name);
                push_lines(out, call.args.iter(), level);
            }
            ExprKind::Aggregate(aggregate) => {
                let _ = write!(out, "{}(", aggregate.head());
                push_lines(out, aggregate.param.iter().chain([&aggregate.expr]), level);
            }
            ExprKind::Paren(inner) => {
                out.push('(');
                push_lines(out, [&**inner].into_iter(), level);
            }
            ExprKind::Unary { negative, expr } => {
                out.push(if *negative { '-' } else { '+' });
                expr.push_unindented(out, level);
            }
            ExprKind::Subquery(subquery) => {
                subquery.expr.push_unindented(out, level);
                out.push_str(&subquery.tail());
            }
            ExprKind::Binary(binary) => {
                out.truncate(out.len() - 2 * level);
                binary.lhs.push_pretty(out, level + 1);
                out.push('\n');
                indent(out, level);
                out.push_str(&binary.operator());
                out.push('\n');
                binary.rhs.push_pretty(out, level + 1);
            }
        }
    }

    /// Appends the expression where its line has begun already.
    fn push_unindented(&self, out: &mut String, level: usize) {
        let mut inner = String::new();
        self.push_pretty(&mut inner, level);
        out.push_str(inner.trim_start());
    }
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// The content of parentheses that have been opened, one part a line, and the closing one.
fn push_lines<'e>(out: &mut String, parts: impl Iterator<Item = &'e Expr>, level: usize) {
    for (i, part) in parts.enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        part.push_pretty(out, level + 1);
    }
    out.push('\n');
    indent(out, level);
    out.push(')');
}
