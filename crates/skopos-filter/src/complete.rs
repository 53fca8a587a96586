//! What may stand at a place of a filter: fields, operators, values, keywords.
//!
//! The place is found by reading the text up to the cursor with the parser's own lexer, so an
//! unfinished or wrong filter completes too. What the data has is asked of a [`Source`].
//!
//! ```
//! use skopos_filter::complete::{NoData, Request, complete};
//!
//! let answer = complete(&Request { text: "level>=er", cursor: 9, signal: None }, &NoData);
//! assert_eq!((answer.replace.start, answer.replace.end), (7, 9));
//! assert_eq!(answer.items[0].text, "error");
//! ```

use skopos_model::event::{EventSignal, Field};

use crate::ast::Operator;
use crate::error::Span;
use crate::field::{OWN, field_name, parse_field};
use crate::lexer::{Lexer, Token};
use crate::lower::known_values;
use crate::print::{is_plain, quote, value_text};

/// Most items of an answer.
pub const MAX_ITEMS: usize = 50;

/// Where completion is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'t> {
    /// The filter so far.
    pub text: &'t str,
    /// The cursor, in bytes; beyond the end it is the end.
    pub cursor: usize,
    /// Fields of the other signal are left out.
    pub signal: Option<EventSignal>,
}

/// Something the data has, and how often, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name of a field, or value of one.
    pub text: String,
    /// Events that have it.
    pub count: Option<u64>,
}

/// Tells what the data has.
pub trait Source {
    /// Names of attributes.
    fn fields(&self) -> Vec<Known>;
    /// Values of a field.
    fn values(&self, field: &Field) -> Vec<Known>;
}

/// A source that knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoData;

impl Source for NoData {
    fn fields(&self) -> Vec<Known> {
        Vec::new()
    }

    fn values(&self, _: &Field) -> Vec<Known> {
        Vec::new()
    }
}

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What an item replaces.
    pub replace: Span,
    /// The best first.
    pub items: Vec<Item>,
}

/// One thing that may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What to write.
    pub text: String,
    /// What to show.
    pub label: String,
    /// What it is.
    pub kind: ItemKind,
    /// Events that have it.
    pub count: Option<u64>,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A field's name.
    Field,
    /// A comparison.
    Operator,
    /// A field's value.
    Value,
    /// AND, OR, NOT.
    Keyword,
}

impl ItemKind {
    /// In lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Operator => "operator",
            Self::Value => "value",
            Self::Keyword => "keyword",
        }
    }
}

/// What is wanted at a place; it tells which data a [`Source`] will be asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A condition begins; so much of it is written.
    Term {
        /// The word so far.
        prefix: String,
        /// Whether a condition stands before it.
        joins: bool,
    },
    /// A comparison of this field comes next.
    Operator {
        /// The field.
        field: Field,
    },
    /// A value of this field.
    Value {
        /// The field.
        field: Field,
        /// How it is compared.
        operator: Operator,
        /// The value so far, without quotes.
        prefix: String,
    },
    /// Within free text in quotes.
    Text,
}

/// Finds what is wanted at the cursor, and what it replaces.
pub fn place(text: &str, cursor: usize) -> (Place, Span) {
    let mut cursor = cursor.min(text.len());
    while !text.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let before = &text[..cursor];
    let end = word_end(text, cursor);
    let mut lexer = Lexer::new(before);
    let mut joins = false;
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let token = match lexer.token() {
            Ok(lexed) => lexed.token,
            // A quote that the cursor stands in, or something we cannot read: free text.
            Err(_) => return (Place::Text, Span::new(cursor, cursor)),
        };
        let name = match token {
            Token::End => {
                let place = Place::Term { prefix: String::new(), joins };
                return (place, Span::new(cursor, cursor));
            }
            Token::Word(pattern) => pattern.as_text().map(str::to_owned),
            Token::Quoted(text) => Some(text),
            Token::Open | Token::And | Token::Or | Token::Not | Token::Minus => {
                if lexer.at == cursor && before[start..].starts_with(char::is_alphabetic) {
                    let prefix = before[start..].to_owned();
                    return (Place::Term { prefix, joins }, Span::new(start, end));
                }
                joins = false;
                continue;
            }
            Token::Close => {
                joins = true;
                continue;
            }
            Token::Operator(_) => return (Place::Text, Span::new(cursor, cursor)),
        };
        let Some(name) = name else {
            joins = true;
            continue;
        };
        if let Some(name) = name.strip_suffix('!').filter(|_| lexer.at == cursor) {
            // An operator begun.
            return (Place::Operator { field: parse_field(name) }, Span::new(cursor - 1, end));
        }
        if lexer.at == cursor && !before.ends_with('"') {
            return (Place::Term { prefix: name, joins }, Span::new(start, end));
        }
        if name == "has" && lexer.peek() == Some('(') {
            lexer.at += 1;
            let start = lexer.at;
            let inner = lexer.token();
            if lexer.at == cursor {
                let prefix = before[start..].trim_start().to_owned();
                let replace = Span::new(cursor - prefix.len(), end);
                return (Place::Term { prefix, joins: false }, replace);
            }
            let closes = inner.is_ok() && lexer.token().is_ok_and(|l| l.token == Token::Close);
            if !closes {
                return (Place::Text, Span::new(cursor, cursor));
            }
            joins = true;
            continue;
        }
        match comparison(&mut lexer, &name, end) {
            Some(found) => return found,
            None => joins = true,
        }
    }
}

/// Reads on after what may be a field's name; what is found when the cursor stands in it.
fn comparison(lexer: &mut Lexer<'_>, name: &str, end: usize) -> Option<(Place, Span)> {
    let cursor = lexer.text.len();
    let mut ahead = lexer.clone();
    ahead.skip_space();
    let field = parse_field(name);
    if ahead.at == cursor && !matches!(field, Field::Attribute(_)) {
        return Some((Place::Operator { field }, Span::new(cursor, cursor)));
    }
    if !matches!(ahead.peek(), Some('=' | '<' | '>' | '~' | '!')) {
        return None;
    }
    let here = Span::new(cursor, cursor);
    let operator = match ahead.token().map(|lexed| lexed.token) {
        Ok(Token::Operator(operator)) => operator,
        // One that other languages have.
        _ => return Some((Place::Operator { field }, here)),
    };
    ahead.skip_space();
    let start = ahead.at;
    match ahead.value(operator) {
        Ok((pattern, _)) if ahead.at == cursor => {
            let written = lexer.text.get(start..).unwrap_or("");
            if written.len() > 1 && written.ends_with('"') {
                return Some((Place::Text, here));
            }
            let prefix = pattern.as_text().unwrap_or(written).to_owned();
            Some((Place::Value { field, operator, prefix }, Span::new(start, end)))
        }
        Ok(_) => {
            *lexer = ahead;
            None
        }
        Err(_) => {
            // Within quotes that are not closed yet.
            let written = lexer.text.get(start..).unwrap_or("");
            let prefix = written.trim_start_matches('"').to_owned();
            Some((Place::Value { field, operator, prefix }, Span::new(start, end)))
        }
    }
}

/// The end of the word that the cursor stands in.
fn word_end(text: &str, cursor: usize) -> usize {
    let rest = &text[cursor..];
    let ends = |c: char| c.is_whitespace() || "()\"=<>~!".contains(c);
    cursor + rest.find(ends).unwrap_or(rest.len())
}

/// What may stand at the cursor.
pub fn complete(request: &Request<'_>, source: &dyn Source) -> Completion {
    let (place, replace) = place(request.text, request.cursor);
    let mut items = match &place {
        Place::Term { prefix, joins } => terms(request.signal, prefix, *joins, source),
        Place::Operator { field } => operators(field),
        Place::Value { field, operator, prefix } => values(field, *operator, prefix, source),
        Place::Text => Vec::new(),
    };
    items.truncate(MAX_ITEMS);
    Completion { replace, items }
}

fn terms(signal: Option<EventSignal>, prefix: &str, joins: bool, source: &dyn Source) -> Vec<Item> {
    let has = |logs: bool, spans: bool| match signal {
        Some(EventSignal::Logs) => logs,
        Some(EventSignal::Spans) => spans,
        None => true,
    };
    let own = OWN
        .iter()
        .filter(|(_, logs, spans)| has(*logs, *spans))
        .map(|own| Known { text: own.0.to_owned(), count: None });
    let mut known: Vec<Known> = own.collect();
    for field in source.fields() {
        if !known.iter().any(|k| k.text == field.text) {
            known.push(field);
        }
    }
    let mut items = Vec::new();
    // A name that is written out: its operators come first.
    if known.iter().any(|k| k.text == prefix) {
        let after = |item: Item| Item { text: format!("{prefix}{}", item.text), ..item };
        items.extend(operators(&parse_field(prefix)).into_iter().map(after));
    }
    items.extend(ranked(known, prefix, true).map(|known| {
        let mut text = String::new();
        if is_plain(&known.text) {
            text.push_str(&known.text);
        } else {
            let _ = quote(&mut text, &known.text);
        }
        Item { text, label: known.text, kind: ItemKind::Field, count: known.count }
    }));
    let keywords: &[&str] = if joins { &["AND", "OR", "NOT"] } else { &["NOT"] };
    let begins = |keyword: &&&str| {
        keyword.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    items.extend(keywords.iter().filter(begins).map(|keyword| Item {
        text: (*keyword).to_owned(),
        label: (*keyword).to_owned(),
        kind: ItemKind::Keyword,
        count: None,
    }));
    items
}

/// What begins with the prefix, then what contains it; the frequent first. What is there without
/// any data comes before (our own fields) or after it (values that nobody has sent).
fn ranked(
    known: Vec<Known>,
    prefix: &str,
    uncounted_first: bool,
) -> impl Iterator<Item = Known> + use<> {
    let prefix = prefix.to_lowercase();
    let mut found: Vec<(bool, Known)> = known
        .into_iter()
        .filter_map(|known| {
            let text = known.text.to_lowercase();
            let place = text.find(&prefix)?;
            (text != prefix || prefix.is_empty()).then_some((place > 0, known))
        })
        .collect();
    found.sort_by_key(|(within, known)| {
        (*within, known.count.is_some() == uncounted_first, std::cmp::Reverse(known.count))
    });
    found.into_iter().map(|(_, known)| known)
}

fn operators(field: &Field) -> Vec<Item> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Match, NotEqual, NotMatch};
    let all: &[Operator] = match field {
        Field::Severity | Field::Duration => {
            &[GreaterOrEqual, Equal, NotEqual, Greater, Less, LessOrEqual]
        }
        Field::Attribute(_)
        | Field::EventAttribute(_)
        | Field::ResourceAttribute(_)
        | Field::ScopeAttribute(_) => {
            &[Equal, NotEqual, Match, NotMatch, Greater, GreaterOrEqual, Less, LessOrEqual]
        }
        _ => &[Equal, NotEqual, Match, NotMatch],
    };
    let item = |operator: &Operator| Item {
        text: operator.as_str().to_owned(),
        label: format!("{}{}", field_name(field), operator.as_str()),
        kind: ItemKind::Operator,
        count: None,
    };
    all.iter().map(item).collect()
}

fn values(field: &Field, operator: Operator, prefix: &str, source: &dyn Source) -> Vec<Item> {
    let mut known = source.values(field);
    for value in known_values(field) {
        if !known.iter().any(|k| k.text == *value) {
            known.push(Known { text: (*value).to_owned(), count: None });
        }
    }
    if *field == Field::Duration {
        let lengths = ["100ms", "500ms", "1s", "5s"];
        known.extend(lengths.map(|text| Known { text: text.to_owned(), count: None }));
    }
    let prefix = prefix.trim_end_matches('*');
    let whole = known.iter().position(|k| k.text == prefix).map(|at| known.remove(at));
    let item = |known: Known| Item {
        text: value_text(&known.text, operator),
        label: known.text,
        kind: ItemKind::Value,
        count: known.count,
    };
    whole
        .filter(|_| !prefix.is_empty())
        .into_iter()
        .chain(ranked(known, prefix, false))
        .map(item)
        .collect()
}
