//! Tree to [`Predicate`]: what each comparison means for the kind of value its field has.

use std::time::Duration;

use regex::{Regex, RegexBuilder};
use skopos_model::SeverityNumber;
use skopos_model::event::{Comparison as Order, Field, Predicate};

use crate::ast::{Comparison, Expr, Node, Operator, Part, Pattern};
use crate::error::{ErrorKind, FilterError, Span, nearest};
use crate::field::{OWN, field_name};
use crate::limits;

pub(crate) const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
pub(crate) const KINDS: [&str; 6] =
    ["internal", "server", "client", "producer", "consumer", "unspecified"];
pub(crate) const STATUSES: [&str; 3] = ["error", "ok", "unset"];

/// The values that a field can have, where there are few.
pub(crate) fn known_values(field: &Field) -> &'static [&'static str] {
    match field {
        Field::Severity => &LEVELS,
        Field::Kind => &KINDS,
        Field::Status => &STATUSES,
        _ => &[],
    }
}

pub(crate) fn lower(node: &Node) -> Result<Predicate, FilterError> {
    Lowering { patterns: 0 }.node(node)
}

struct Lowering {
    patterns: usize,
}

impl Lowering {
    fn node(&mut self, node: &Node) -> Result<Predicate, FilterError> {
        Ok(match &node.expr {
            Expr::All(all) => Predicate::All(self.nodes(all)?),
            Expr::Any(any) => Predicate::Any(self.nodes(any)?),
            Expr::Not(inner) => not(self.node(inner)?),
            Expr::Text(pattern) => self.text(pattern, node.span)?,
            Expr::Compare(comparison) => self.comparison(comparison)?,
        })
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<Vec<Predicate>, FilterError> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn text(&mut self, pattern: &Pattern, span: Span) -> Result<Predicate, FilterError> {
        if pattern.is_any() {
            return Ok(Predicate::All(Vec::new()));
        }
        match pattern.as_text() {
            Some(text) => Ok(Predicate::Contains(Field::Text, text.to_owned())),
            None => {
                let regex = self.regex(&format!("(?is){}", expression(pattern)), span)?;
                Ok(Predicate::Matches(Field::Text, regex))
            }
        }
    }

    fn comparison(&mut self, c: &Comparison) -> Result<Predicate, FilterError> {
        match c.operator {
            Operator::NotEqual => self.positive(c, Operator::Equal).map(not),
            Operator::NotMatch => self.positive(c, Operator::Match).map(not),
            operator => self.positive(c, operator),
        }
    }

    fn positive(&mut self, c: &Comparison, operator: Operator) -> Result<Predicate, FilterError> {
        if operator == Operator::Equal {
            if c.value.is_any() {
                return Ok(exists(&c.field));
            }
            if c.value.as_text() == Some("") {
                return Ok(not(exists(&c.field)));
            }
        }
        match &c.field {
            Field::Severity => self.level(c, operator),
            Field::Duration => self.duration(c, operator),
            Field::Kind | Field::Status => self.word(c, operator),
            Field::TraceId => self.id(c, operator, 32),
            Field::SpanId | Field::ParentSpanId => self.id(c, operator, 16),
            Field::Attribute(_)
            | Field::EventAttribute(_)
            | Field::ResourceAttribute(_)
            | Field::ScopeAttribute(_) => match order(operator) {
                Some(order) => self.number(c, order),
                None => self.generic(c, operator),
            },
            Field::Service
            | Field::Name
            | Field::Body
            | Field::StatusMessage
            | Field::Scope
            | Field::Text => match order(operator) {
                Some(_) => Err(wrong_operator(c, "text", "= != ~ !~").suggest("=")),
                None => self.generic(c, operator),
            },
        }
    }

    /// Equality, wildcards and expressions on text.
    fn generic(&mut self, c: &Comparison, operator: Operator) -> Result<Predicate, FilterError> {
        if operator == Operator::Match {
            let regex = self.regex(c.value.as_text().unwrap_or(""), c.value_span)?;
            return Ok(Predicate::Matches(c.field.clone(), regex));
        }
        match c.value.as_text() {
            Some(text) => Ok(Predicate::Equals(c.field.clone(), text.to_owned())),
            None => {
                let whole = format!("(?s)^{}$", expression(&c.value));
                Ok(Predicate::Matches(c.field.clone(), self.regex(&whole, c.value_span)?))
            }
        }
    }

    fn number(&mut self, c: &Comparison, order: Order) -> Result<Predicate, FilterError> {
        let text = written(&c.value);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                Ok(Predicate::Compare(c.field.clone(), order, number))
            }
            _ => {
                let wanted = "number (only level and duration compare otherwise)";
                let error = wrong_value(c, wanted);
                // A misspelt field of ours is an attribute by its name.
                let own = OWN.iter().map(|own| own.0).filter(|name| match *name {
                    "level" => SeverityNumber::from_name(&text).is_some(),
                    "duration" => parse_duration(&text).is_some(),
                    _ => false,
                });
                match nearest(&field_name(&c.field), own) {
                    Some(name) => Err(FilterError { span: c.field_span, ..error }.suggest(name)),
                    None => Err(error),
                }
            }
        }
    }

    fn level(&mut self, c: &Comparison, operator: Operator) -> Result<Predicate, FilterError> {
        if operator == Operator::Match {
            return Err(wrong_operator(c, "a level", "= != > >= < <=").suggest("="));
        }
        let text = written(&c.value);
        let (low, high) = match (text.parse::<u8>(), SeverityNumber::from_name(&text)) {
            (Ok(number @ 1..=24), _) => (number, number),
            (_, Some(band)) => (band.0, band.0 + 3),
            _ => {
                let error =
                    wrong_value(c, "level: trace, debug, info, warn, error, fatal, or 1–24");
                return Err(error.suggest_all(nearest(&text, LEVELS)));
            }
        };
        let compare =
            |order, number: u8| Predicate::Compare(Field::Severity, order, f64::from(number));
        // Below the least level there is "unspecified", which is no level.
        let at_least = |low: u8| compare(Order::GreaterOrEqual, low.max(1));
        Ok(match operator {
            Operator::GreaterOrEqual => at_least(low),
            Operator::Greater => compare(Order::Greater, high),
            Operator::Less => Predicate::All(vec![at_least(1), compare(Order::Less, low)]),
            Operator::LessOrEqual => {
                Predicate::All(vec![at_least(1), compare(Order::LessOrEqual, high)])
            }
            _ => Predicate::All(vec![at_least(low), compare(Order::LessOrEqual, high)]),
        })
    }

    fn duration(&mut self, c: &Comparison, operator: Operator) -> Result<Predicate, FilterError> {
        if operator == Operator::Match {
            return Err(wrong_operator(c, "a duration", "= != > >= < <=").suggest("="));
        }
        let text = written(&c.value);
        let Some(duration) = parse_duration(&text) else {
            let error = wrong_value(c, "duration: write one as 500ms, 1.5s or 1m30s");
            let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
            return Err(error.suggest_all(is_number.then(|| format!("{text}ms"))));
        };
        let seconds = duration.as_secs_f64();
        Ok(match order(operator) {
            Some(order) => Predicate::Compare(Field::Duration, order, seconds),
            None => Predicate::Equals(Field::Duration, seconds.to_string()),
        })
    }

    /// Span kind and status: a word of a closed set, in any case.
    fn word(&mut self, c: &Comparison, operator: Operator) -> Result<Predicate, FilterError> {
        let capitals = c.field == Field::Status;
        let known = known_values(&c.field);
        if order(operator).is_some() {
            return Err(wrong_operator(c, "one of few words", "= != ~ !~").suggest("="));
        }
        if operator == Operator::Match {
            let regex = self.regex_in_any_case(c.value.as_text().unwrap_or(""), c.value_span)?;
            return Ok(Predicate::Matches(c.field.clone(), regex));
        }
        let Some(text) = c.value.as_text() else {
            let whole = format!("(?i)^{}$", expression(&c.value));
            return Ok(Predicate::Matches(c.field.clone(), self.regex(&whole, c.value_span)?));
        };
        let text = text.to_ascii_lowercase();
        if !known.contains(&text.as_str()) {
            let wanted = match capitals {
                true => "status: error, ok, unset (an attribute of this name is attributes.status)",
                false => {
                    "span kind: server, client, internal, producer, consumer, unspecified (an \
                     attribute of this name is attributes.kind)"
                }
            };
            return Err(wrong_value(c, wanted).suggest_all(nearest(&text, known.iter().copied())));
        }
        let text = if capitals { text.to_ascii_uppercase() } else { text };
        Ok(Predicate::Equals(c.field.clone(), text))
    }

    /// Ids print in lower-case hexadecimal.
    fn id(
        &mut self,
        c: &Comparison,
        operator: Operator,
        digits: usize,
    ) -> Result<Predicate, FilterError> {
        if order(operator).is_some() {
            return Err(wrong_operator(c, "an id", "= != ~ !~").suggest("="));
        }
        if operator == Operator::Match {
            let regex = self.regex_in_any_case(c.value.as_text().unwrap_or(""), c.value_span)?;
            return Ok(Predicate::Matches(c.field.clone(), regex));
        }
        let Some(text) = c.value.as_text() else {
            let whole = format!("(?i)^{}$", expression(&c.value));
            return Ok(Predicate::Matches(c.field.clone(), self.regex(&whole, c.value_span)?));
        };
        let is_hex = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if text.len() == digits && is_hex {
            return Ok(Predicate::Equals(c.field.clone(), text.to_ascii_lowercase()));
        }
        let wanted = match digits {
            32 => "trace id: 32 hexadecimal digits, or the first of them and a *",
            _ => "span id: 16 hexadecimal digits, or the first of them and a *",
        };
        let error = wrong_value(c, wanted);
        let is_start = is_hex && text.len() < digits;
        Err(error.suggest_all(is_start.then(|| format!("{text}*"))))
    }

    fn regex(&mut self, expression: &str, span: Span) -> Result<Regex, FilterError> {
        self.build(RegexBuilder::new(expression), span)
    }

    fn regex_in_any_case(&mut self, expression: &str, span: Span) -> Result<Regex, FilterError> {
        let mut builder = RegexBuilder::new(expression);
        builder.case_insensitive(true);
        self.build(builder, span)
    }

    fn build(&mut self, mut builder: RegexBuilder, span: Span) -> Result<Regex, FilterError> {
        self.patterns += 1;
        if self.patterns > limits::PATTERNS {
            let what = "expressions and wildcards";
            let kind = ErrorKind::Limit { what, limit: limits::PATTERNS };
            return Err(FilterError::new(kind, span));
        }
        let built = builder
            .size_limit(limits::PATTERN_SIZE)
            .dfa_size_limit(limits::PATTERN_SIZE)
            .nest_limit(64)
            .build();
        built.map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let reason = reason.trim().trim_start_matches("error: ").to_owned();
            FilterError::new(ErrorKind::Regex { reason }, span)
        })
    }
}

fn not(predicate: Predicate) -> Predicate {
    Predicate::Not(Box::new(predicate))
}

fn exists(field: &Field) -> Predicate {
    match field {
        Field::Severity => Predicate::Compare(Field::Severity, Order::GreaterOrEqual, 1.0),
        field => Predicate::Exists(field.clone()),
    }
}

fn order(operator: Operator) -> Option<Order> {
    Some(match operator {
        Operator::Greater => Order::Greater,
        Operator::GreaterOrEqual => Order::GreaterOrEqual,
        Operator::Less => Order::Less,
        Operator::LessOrEqual => Order::LessOrEqual,
        _ => return None,
    })
}

/// A pattern as an expression.
fn expression(pattern: &Pattern) -> String {
    let part = |part: &Part| match part {
        Part::Any => ".*".to_owned(),
        Part::Text(text) => regex::escape(text),
    };
    pattern.parts().iter().map(part).collect()
}

/// A value as it reads, wildcards included: for messages, and for values that take none.
fn written(pattern: &Pattern) -> String {
    let part = |part: &Part| match part {
        Part::Any => "*".to_owned(),
        Part::Text(text) => text.clone(),
    };
    pattern.parts().iter().map(part).collect()
}

fn wrong_operator(c: &Comparison, kind: &'static str, allowed: &'static str) -> FilterError {
    let field = field_name(&c.field);
    FilterError::new(ErrorKind::WrongOperator { field, kind, allowed }, c.operator_span)
}

fn wrong_value(c: &Comparison, wanted: &'static str) -> FilterError {
    FilterError::new(ErrorKind::WrongValue { value: written(&c.value), wanted }, c.value_span)
}

/// A duration such as `500ms`, `1.5s`, `1m30s`; `None` when it is none, or longer than 500 years.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        nanos += number
            * match rest.get(..unit)? {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3_600e9,
                "d" => 86_400e9,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    let fits = !text.is_empty() && nanos < 500.0 * 366.0 * 86_400e9;
    fits.then(|| Duration::from_nanos(nanos.round() as u64))
}
