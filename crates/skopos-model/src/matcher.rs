//! Label matchers: `=`, `!=`, `=~`, `!~`, with Prometheus' meaning.
//!
//! Regular expressions are RE2's ([`re2`](crate::re2)), anchored at both ends, and `.` matches a
//! newline too (Prometheus 3);
//! a missing label is matched as the empty string. Expressions that are only a list of literals
//! are matched without the regex engine.

use std::fmt;

use regex::Regex;

use crate::re2::anchored_regex;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on one label.
#[derive(Clone)]
pub struct LabelMatcher {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
    pattern: Pattern,
}

#[derive(Clone)]
enum Pattern {
    Literal,
    Literals(Box<[Box<str>]>),
    Any,
    NonEmpty,
    Regex(Regex),
}

/// A regular expression that does not compile, or is too large.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {reason}")]
pub struct InvalidRegex {
    /// The expression as given.
    pub pattern: String,
    /// What the regex engine says, in one line.
    pub reason: String,
}

impl LabelMatcher {
    /// Builds a matcher; fails only on a bad regular expression.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, InvalidRegex> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => Pattern::Literal,
            MatchOp::Regex | MatchOp::NotRegex => compile(value)?,
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// An equality matcher.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            pattern: Pattern::Literal,
        }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The right-hand side as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value (empty when missing) satisfies the condition.
    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.pattern {
            Pattern::Literal => value == &*self.value,
            Pattern::Literals(all) => all.iter().any(|v| &**v == value),
            Pattern::Any => true,
            Pattern::NonEmpty => !value.is_empty(),
            Pattern::Regex(regex) => regex.is_match(value),
        };
        hit == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }

    /// Whether a series without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The finite set of values that can satisfy a positive matcher, when there is one: lets an
    /// index look values up instead of testing every one.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match (&self.pattern, self.op) {
            (Pattern::Literal, MatchOp::Equal) => Some(vec![&self.value]),
            (Pattern::Literals(all), MatchOp::Regex) => Some(all.iter().map(|v| &**v).collect()),
            _ => None,
        }
    }
}

fn compile(pattern: &str) -> Result<Pattern, InvalidRegex> {
    match pattern {
        ".*" => return Ok(Pattern::Any),
        ".+" => return Ok(Pattern::NonEmpty),
        _ => {}
    }
    let is_plain = |s: &str| !s.contains(|c: char| "\\.+*?()[]{}^$".contains(c));
    if is_plain(pattern) {
        return Ok(Pattern::Literals(pattern.split('|').map(Into::into).collect()));
    }
    anchored_regex(pattern).map(Pattern::Regex)
}

impl PartialEq for LabelMatcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for LabelMatcher {}

impl fmt::Display for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_prometheus_does() {
        use MatchOp::*;
        for (op, pattern, value, want) in [
            (Equal, "a", "a", true),
            (Equal, "", "", true),
            (NotEqual, "a", "", true),
            (Regex, "5..", "500", true),
            (Regex, "5..", "1500", false),
            (Regex, "a|b", "b", true),
            (Regex, "a|b", "ab", false),
            (Regex, "a|", "", true),
            (NotRegex, "a|b", "c", true),
            (Regex, ".*", "", true),
            (Regex, ".+", "", false),
            (Regex, "a.b", "a\nb", true),
            (Regex, "(?i:get)", "GET", true),
            (Regex, r"v\d+", "v12", true),
            (Regex, r"v\d+", "v٣", false),
            (Regex, "a|b.*", "a", true),
            (NotRegex, ".+", "", true),
        ] {
            let m = LabelMatcher::new("l", op, pattern).unwrap();
            assert_eq!(m.matches(value), want, "{m} on {value:?}");
        }
    }

    #[test]
    fn bad_regex_is_an_error() {
        assert!(LabelMatcher::new("l", MatchOp::Regex, "(").is_err());
        assert!(LabelMatcher::new("l", MatchOp::Regex, "a{1000}{1000}{1000}").is_err());
    }

    #[test]
    fn literal_values_only_for_positive_lists() {
        let values =
            |op, p| LabelMatcher::new("l", op, p).unwrap().literal_values().map(|v| v.join(","));
        assert_eq!(values(MatchOp::Regex, "a|b"), Some("a,b".into()));
        assert_eq!(values(MatchOp::NotRegex, "a|b"), None);
        assert_eq!(values(MatchOp::Regex, "a.*"), None);
    }
}
