//! The normal form.

use std::fmt::{self, Write as _};

use crate::ast::{Comparison, Expr, Node, Operator, Part, Pattern};
use crate::field::field_name;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Expr::All(all) => list(f, all, " ", |expr| matches!(expr, Expr::Any(_))),
            Expr::Any(any) => list(f, any, " OR ", |_| false),
            Expr::Not(inner) => {
                f.write_str("NOT ")?;
                nested(f, inner, matches!(inner.expr, Expr::All(_) | Expr::Any(_)))
            }
            Expr::Text(pattern) => write_text(f, pattern),
            Expr::Compare(comparison) => comparison.fmt(f),
        }
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    nodes: &[Node],
    separator: &str,
    parenthesised: impl Fn(&Expr) -> bool,
) -> fmt::Result {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        nested(f, node, parenthesised(&node.expr))?;
    }
    Ok(())
}

fn nested(f: &mut fmt::Formatter<'_>, node: &Node, parenthesised: bool) -> fmt::Result {
    if parenthesised { write!(f, "({node})") } else { write!(f, "{node}") }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = field_name(&self.field);
        // `has(x)=1` cannot be read back, nor can a keyword as a name.
        if is_plain(&name) && !is_keyword(&name) {
            f.write_str(&name)?;
        } else {
            quote(f, &name)?;
        }
        f.write_str(self.operator.as_str())?;
        match self.value.as_text() {
            Some(text) => f.write_str(&value_text(text, self.operator)),
            None => write_pattern(f, &self.value),
        }
    }
}

/// A value as it is written after an operator: in quotes where it needs them.
pub(crate) fn value_text(text: &str, operator: Operator) -> String {
    let mut out = String::new();
    let needs_quotes = |c: char| c.is_whitespace() || c.is_control() || "()\"\\*".contains(c);
    let starts_oddly = text.starts_with(|c| "=<>~!".contains(c));
    if operator.is_match() {
        if !text.is_empty() && !starts_oddly && is_plain_expression(text) {
            return text.to_owned();
        }
        out.push('"');
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => {
                    out.push('\\');
                    out.extend(chars.next());
                }
                c => out.push(c),
            }
        }
        out.push('"');
    } else if text.is_empty() || starts_oddly || text.contains(needs_quotes) {
        let _ = quote(&mut out, text);
    } else {
        out.push_str(text);
    }
    out
}

/// Whether an expression reads back when nothing is around it.
fn is_plain_expression(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control() || "()\"".contains(c))
}

fn write_text(f: &mut fmt::Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    match pattern.as_text() {
        Some(text) if is_plain(text) && !is_keyword(text) && !text.contains(':') => {
            f.write_str(text)
        }
        Some(text) => quote(f, text),
        None => write_pattern(f, pattern),
    }
}

fn is_keyword(text: &str) -> bool {
    ["and", "or", "not", "has", "&&", "&", "||", "|", "!"]
        .iter()
        .any(|keyword| text.eq_ignore_ascii_case(keyword))
}

/// Whether a word or a field's name reads back without quotes.
pub(crate) fn is_plain(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "()\"\\*=<>~!".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains(odd)
}

/// Text with wildcards: only without quotes are they wildcards.
fn write_pattern(f: &mut fmt::Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    for part in pattern.parts() {
        match part {
            Part::Any => f.write_char('*')?,
            Part::Text(text) => {
                for c in text.chars() {
                    match c {
                        '\n' => f.write_str("\\n")?,
                        '\r' => f.write_str("\\r")?,
                        '\t' => f.write_str("\\t")?,
                        c if c.is_control() => write!(f, "\\u{{{:x}}}", c as u32)?,
                        c if c.is_whitespace() || "()\"\\*=<>~!-".contains(c) => {
                            write!(f, "\\{c}")?;
                        }
                        c => f.write_char(c)?,
                    }
                }
            }
        }
    }
    Ok(())
}

/// Text in quotes.
pub(crate) fn quote(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() => write!(out, "\\u{{{:x}}}", c as u32)?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
