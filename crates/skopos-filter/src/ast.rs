//! The syntax tree. Nodes know where they stand; two trees are equal when they say the same,
//! wherever it stands.

use skopos_model::event::Field;

use crate::error::Span;

/// A condition and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it says.
    pub expr: Expr,
    /// Where it stands.
    pub span: Span,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// All hold; none of them is an `All`.
    All(Vec<Node>),
    /// At least one holds; none of them is an `Any`.
    Any(Vec<Node>),
    /// The inner one does not hold.
    Not(Box<Node>),
    /// The text contains this.
    Text(Pattern),
    /// A field compared with a value.
    Compare(Comparison),
}

/// A field compared with a value.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The field.
    pub field: Field,
    /// Where its name stands.
    pub field_span: Span,
    /// How.
    pub operator: Operator,
    /// Where that stands.
    pub operator_span: Span,
    /// With what.
    pub value: Pattern,
    /// Where it stands.
    pub value_span: Span,
}

impl PartialEq for Comparison {
    fn eq(&self, other: &Self) -> bool {
        (&self.field, self.operator, &self.value) == (&other.field, other.operator, &other.value)
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `~`
    Match,
    /// `!~`
    NotMatch,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Equal,
        Self::NotEqual,
        Self::Match,
        Self::NotMatch,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Match => "~",
            Self::NotMatch => "!~",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Whether its value is an expression.
    pub fn is_match(self) -> bool {
        matches!(self, Self::Match | Self::NotMatch)
    }
}

/// Text in which wildcards may stand. Never two texts or two wildcards in a row; the empty text is
/// no part at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(pub(crate) Vec<Part>);

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Text(String),
    /// Any characters, or none: `*`.
    Any,
}

impl Pattern {
    /// Text without wildcards.
    pub fn text(text: impl Into<String>) -> Self {
        let mut pattern = Self::default();
        pattern.push_str(&text.into());
        pattern
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    pub(crate) fn push_any(&mut self) {
        if self.0.last() != Some(&Part::Any) {
            self.0.push(Part::Any);
        }
    }

    /// Its pieces.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The text, when no wildcard stands in it.
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it is a single `*`.
    pub fn is_any(&self) -> bool {
        self.0 == [Part::Any]
    }
}
