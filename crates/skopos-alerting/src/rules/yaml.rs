//! YAML as a tree in which every node knows the bytes it came from.
//!
//! Built on the event parser, not on serde: a rule file is checked as a whole, so one wrong node
//! must not hide the others, and an offset *inside* a scalar (a PromQL error in a folded block)
//! must lead back to its place in the file. Aliases share nodes and are never copied, and what they
//! repeat is counted and bounded: readers walk the tree as if it were written out, and a few lines
//! of aliases of aliases would stand for billions of values. `<<` merge keys work as in YAML 1.1.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

pub use granit_parser::ScalarStyle;
use granit_parser::{Event, Parser};

/// Values that aliases may repeat in any file, and beyond them for each value that is written. A
/// text counts once more for each 100 bytes.
const REPEATED: usize = 100_000;
const REPEATED_PER_WRITTEN: usize = 10;

/// Deepest nesting in which an alias may stand, with what it names: readers recurse.
const MAX_ALIAS_DEPTH: usize = 256;

/// A value of the document.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of the source: the scalar with its quotes, or the start of a collection.
    pub span: Range<usize>,
}

/// The kinds of values.
#[derive(Debug)]
pub enum NodeKind {
    /// Nothing, `~` or `null`.
    Null,
    /// A text, number or boolean: what it is to mean is for the reader to say.
    Scalar {
        /// Its value: quotes, escapes and folding undone.
        text: String,
        /// How it was written.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// Keys with values in the order written, merge keys applied; repeated keys are kept.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A document that is not YAML, or more than one document.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Byte offset of the place.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads the one document of a text; `None` when it holds nothing.
pub fn parse(text: &str) -> Result<Option<Rc<Node>>, SyntaxError> {
    let builder = read(text, Builder::default())?;
    Ok(builder.root)
}

/// Reads all documents of a text, in their order; those that hold nothing are left out. An alias
/// reaches no other document.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Rc<Node>>, SyntaxError> {
    let mut builder = read(text, Builder { many: true, ..Builder::default() })?;
    builder.documents.extend(builder.root.take());
    let is_something = |node: &Rc<Node>| !matches!(node.kind, NodeKind::Null);
    Ok(builder.documents.into_iter().filter(is_something).collect())
}

fn read(text: &str, mut builder: Builder) -> Result<Builder, SyntaxError> {
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| SyntaxError {
            offset: error.marker().byte_offset().unwrap_or(text.len()).min(text.len()),
            message: error.info(),
        })?;
        let span = span.byte_range().unwrap_or(0..0);
        builder.event(event, span)?;
    }
    Ok(builder)
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Rc<Node>, Size)>,
    /// Values written so far, and those that aliases repeat.
    written: usize,
    repeated: usize,
    /// Whether a second document is wanted.
    many: bool,
    /// The documents before `root`.
    documents: Vec<Rc<Node>>,
}

struct Open {
    anchor: usize,
    start: usize,
    is_mapping: bool,
    items: Vec<Rc<Node>>,
    size: Size,
}

/// How large a value is with every alias in it written out.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    depth: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = match is_null {
                    true => NodeKind::Null,
                    false => NodeKind::Scalar { text: text.into_owned(), style },
                };
                let values = match &kind {
                    NodeKind::Scalar { text, .. } => 1 + text.len() / 100,
                    _ => 1,
                };
                self.written += values;
                self.add(Node { kind, span }, anchor, Size { values, depth: 0 })
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                let is_mapping = matches!(event, Event::MappingStart(..));
                let size = Size { values: 1, depth: 0 };
                let items = Vec::new();
                self.written += 1;
                self.open.push(Open { anchor, start: span.start, is_mapping, items, size });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let kind = match open.is_mapping {
                    true => NodeKind::Mapping(pairs(open.items)),
                    false => NodeKind::Sequence(open.items),
                };
                let span = open.start..span.end.max(open.start);
                self.add(Node { kind, span }, open.anchor, open.size)
            }
            Event::DocumentStart(..) if self.many => {
                self.documents.extend(self.root.take());
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, size)) => {
                    self.repeat(size, span.start)?;
                    self.place(node, span.start, size)
                }
                // Only a collection that contains itself gets here: it is not finished yet.
                None => Err(SyntaxError {
                    offset: span.start,
                    message: "an alias stands inside the value it names".into(),
                }),
            },
            _ => Ok(()),
        }
    }

    /// Counts what an alias stands for, and refuses it where that is too much.
    fn repeat(&mut self, size: Size, offset: usize) -> Result<(), SyntaxError> {
        self.repeated = self.repeated.saturating_add(size.values);
        let limit = REPEATED + REPEATED_PER_WRITTEN * self.written;
        if self.repeated > limit {
            let message = format!(
                "the aliases up to here repeat more than {limit} values, which would fill the \
                 memory; write out what is needed, or split the file"
            );
            return Err(SyntaxError { offset, message });
        }
        if self.open.len() + size.depth > MAX_ALIAS_DEPTH {
            let message = format!(
                "with what this alias names, values are nested more than {MAX_ALIAS_DEPTH} deep; \
                 write out what is needed"
            );
            return Err(SyntaxError { offset, message });
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize, size: Size) -> Result<(), SyntaxError> {
        let offset = node.span.start;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        self.place(node, offset, size)
    }

    fn place(&mut self, node: Rc<Node>, offset: usize, size: Size) -> Result<(), SyntaxError> {
        match self.open.last_mut() {
            Some(open) => {
                open.items.push(node);
                open.size.values = open.size.values.saturating_add(size.values);
                open.size.depth = open.size.depth.max(size.depth + 1);
            }
            None if self.root.is_none() => self.root = Some(node),
            None => {
                let message =
                    "a second YAML document begins here; Prometheus would silently ignore it";
                return Err(SyntaxError { offset, message: message.into() });
            }
        }
        Ok(())
    }
}

/// Pairs keys with values and applies `<<`: keys written in the mapping itself win.
fn pairs(items: Vec<Rc<Node>>) -> Vec<(Rc<Node>, Rc<Node>)> {
    let mut own = Vec::new();
    let mut merged: Vec<(Rc<Node>, Rc<Node>)> = Vec::new();
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if !key.is_plain("<<") {
            own.push((key, value));
            continue;
        }
        match &value.kind {
            NodeKind::Mapping(inner) => merged.extend(inner.iter().cloned()),
            NodeKind::Sequence(list) => merged.extend(list.iter().flat_map(|node| {
                let NodeKind::Mapping(inner) = &node.kind else { return Vec::new() };
                inner.clone()
            })),
            _ => own.push((key.clone(), value.clone())),
        }
    }
    if merged.is_empty() {
        return own;
    }
    let mut names: HashSet<String> =
        own.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect();
    for (key, value) in merged {
        let Some(name) = key.text() else { continue };
        if names.insert(name.to_owned()) {
            own.push((key, value));
        }
    }
    own
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether this is a scalar without quotes, which YAML may read as a number or a truth value.
    pub(crate) fn is_unquoted(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { style: ScalarStyle::Plain, .. })
    }

    fn is_plain(&self, want: &str) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, style: ScalarStyle::Plain } if text == want)
    }

    /// What kind of value this is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar { .. } => "a text",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        }
    }

    /// Byte offset in the source of byte `offset` in the scalar's value.
    ///
    /// Folding, indentation and line ends only ever change white space, so the place is found by
    /// counting the other characters on both sides; escapes in quotes count as the character they
    /// stand for.
    pub fn source_offset(&self, source: &str, offset: usize) -> usize {
        let NodeKind::Scalar { text, style } = &self.kind else { return self.span.start };
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let before = &text[..offset.unwrap_or(0)];
        let wanted = before.chars().filter(|c| !c.is_whitespace()).count();
        let at_space = text[before.len()..].chars().next().is_none_or(char::is_whitespace);
        let mut seen = 0;
        let mut after_last = self.span.start;
        let raw = source.get(self.span.clone()).unwrap_or("");
        let mut characters = RawCharacters { raw, at: 0, style: *style };
        while let Some((range, is_space)) = characters.next_character() {
            if is_space {
                continue;
            }
            if seen == wanted && !at_space {
                return self.span.start + range.start;
            }
            seen += 1;
            after_last = self.span.start + range.end;
            if seen == wanted && at_space {
                break;
            }
        }
        after_last
    }
}

/// Walks the characters that the source of a scalar stands for.
struct RawCharacters<'a> {
    raw: &'a str,
    at: usize,
    style: ScalarStyle,
}

impl RawCharacters<'_> {
    /// The next character's bytes, and whether it is white space in the value or nothing at all.
    fn next_character(&mut self) -> Option<(Range<usize>, bool)> {
        let start = self.at;
        let mut rest = self.raw[start..].chars();
        let first = rest.next()?;
        let second = rest.next();
        let mut is_space = first.is_whitespace();
        let mut length = first.len_utf8();
        match (self.style, first, second) {
            (ScalarStyle::SingleQuoted, '\'', Some('\'')) if start > 0 => length = 2,
            (ScalarStyle::SingleQuoted, '\'', _) | (ScalarStyle::DoubleQuoted, '"', _) => {
                is_space = true;
            }
            (ScalarStyle::DoubleQuoted, '\\', Some(escape)) => {
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                length = (1 + escape.len_utf8() + digits).min(self.raw.len() - start);
                is_space = matches!(escape, 'n' | 't' | 'r' | ' ' | '\t' | '\n' | '\r' | '_')
                    || matches!(escape, 'v' | 'f' | 'N' | 'L' | 'P');
            }
            _ => {}
        }
        while !self.raw.is_char_boundary(start + length) {
            length += 1;
        }
        self.at = start + length;
        Some((start..self.at, is_space))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(node: &Node, key: &str) -> Rc<Node> {
        let NodeKind::Mapping(pairs) = &node.kind else { panic!("no mapping") };
        pairs.iter().find(|(k, _)| k.text() == Some(key)).unwrap().1.clone()
    }

    #[test]
    fn offsets_in_scalars_lead_back_to_the_file() {
        let source = "a: |\n    sum(x)\n      / BAD\nb: >-\n    one\n    BAD two\nc: \"q\\\"\\u00e9\\n BAD\"\nd: 'it''s BAD'\ne: plain\n  BAD\n";
        let root = parse(source).unwrap().unwrap();
        for key in ["a", "b", "c", "d", "e"] {
            let node = entry(&root, key);
            let in_value = node.text().unwrap().find("BAD").unwrap();
            let found = node.source_offset(source, in_value);
            assert!(source[found..].starts_with("BAD"), "{key}: {:?}", &source[found..]);
        }
    }

    #[test]
    fn an_offset_at_the_end_points_behind_the_last_character() {
        let source = "a: |\n    sum(\n\nb: 1\n";
        let root = parse(source).unwrap().unwrap();
        let node = entry(&root, "a");
        assert_eq!(
            node.source_offset(source, node.text().unwrap().len()),
            source.find('(').unwrap() + 1
        );
    }

    #[test]
    fn merge_keys_and_aliases() {
        let root = parse("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n").unwrap().unwrap();
        let used = entry(&root, "use");
        assert_eq!(entry(&used, "x").text(), Some("1"));
        assert_eq!(entry(&used, "y").text(), Some("3"));
    }

    /// `levels` of lists, each with ten aliases of the one before, under a key for each.
    fn bomb(levels: usize, indent: &str) -> String {
        let mut text = format!("{indent}a0: &a0 [x]\n");
        for level in 1..=levels {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("{indent}a{level}: &a{level} [{aliases}]\n");
        }
        text
    }

    #[test]
    fn aliases_repeat_only_so_much() {
        for text in [bomb(9, ""), format!("groups:\n{}", bomb(9, "  "))] {
            let error = parse(&text).unwrap_err();
            assert!(error.message.starts_with("the aliases up to here repeat"), "{error}");
            assert!(text[error.offset..].starts_with("*a"), "{error:?}");
        }
        assert!(parse(&bomb(4, "")).is_ok());
        // Long texts count by their length.
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 500].join(", "));
        assert!(parse(&long).is_err());
        // A list of merged mappings is as large as they are.
        let mut merged = String::from("a0: &a0 {x: 1}\n");
        for level in 1..=9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            merged += &format!("a{level}: &a{level} {{<<: [{aliases}]}}\n");
        }
        assert!(parse(&merged).is_err());
        // What a file writes often it may repeat often: labels of 30 000 rules.
        let rule = "- {alert: a, expr: b, labels: *l}\n";
        let many = format!("- &l {{a: 1, b: 2, c: 3, d: 4}}\n{}", rule.repeat(30_000));
        assert!(parse(&many).is_ok());
    }

    #[test]
    fn aliases_do_not_nest_without_end() {
        let mut text = String::from("- &a0 [x]\n");
        for level in 1..=300 {
            text += &format!("- &a{level} [*a{}]\n", level - 1);
        }
        let error = parse(&text).unwrap_err();
        assert!(error.message.contains("nested more than 256 deep"), "{error}");
    }

    #[test]
    fn self_reference_and_second_document_are_errors() {
        assert!(parse("a: &x [*x]\n").is_err());
        assert!(parse("a: 1\n---\nb: 1\n").is_err());
        assert!(parse("").unwrap().is_none());
    }
}
