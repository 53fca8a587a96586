//! YAML files with several documents, as trees with places.
//!
//! The event parser is the one that rule files are read with (`granit-parser`). Unlike a rule file,
//! a manifest has many documents, and a broken one must not hide those before it: what was read up
//! to the error is kept, and reading goes on behind the next `---`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use super::Problem;
use super::node::{MAX_DEPTH, MAX_NODES, Node, NodeKind, Style};
use super::text::lines;
use crate::{Lines, Span};

/// The documents of a file and what could not be read.
#[derive(Debug, Default)]
pub struct Documents {
    /// The documents that hold something, in order.
    pub documents: Vec<Arc<Node>>,
    /// At most one for each document.
    pub problems: Vec<Problem>,
}

/// Reads every document of a text.
pub fn read(text: &str) -> Documents {
    let mut found = Documents::default();
    let mut from = 0;
    // Each round reads on behind the `---` after an error, so the count of rounds is bounded by it.
    while from < text.len() {
        let Err(problem) = read_from(text, from, &mut found.documents) else { break };
        let at = (problem.span.start as usize).max(from);
        found.problems.push(problem);
        let next = text.get(at..).and_then(|rest| rest.find("\n---"));
        match next {
            Some(next) if found.problems.len() < 50 => from = at + next + 1,
            _ => break,
        }
    }
    found
}

fn read_from(text: &str, from: usize, documents: &mut Vec<Arc<Node>>) -> Result<(), Problem> {
    let rest = &text[from..];
    let mut builder = Builder::default();
    for event in Parser::new_from_str(rest) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(rest.len()).min(rest.len());
            Problem::new(from + at..from + at, error.info())
        })?;
        let range = span.byte_range().unwrap_or(0..0);
        builder.event(event, from + range.start..from + range.end, documents)?;
    }
    Ok(())
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Arc<Node>, Extent)>,
    /// Values so far, those that aliases repeat counted again.
    nodes: usize,
}

struct Open {
    anchor: usize,
    start: usize,
    is_mapping: bool,
    items: Vec<Arc<Node>>,
    below: Extent,
}

/// What a value comes to with its aliases written out: whoever copies or walks it does so much.
#[derive(Clone, Copy, Default)]
struct Extent {
    nodes: usize,
    depth: usize,
}

impl Builder {
    fn event(
        &mut self,
        event: Event<'_>,
        range: Range<usize>,
        documents: &mut Vec<Arc<Node>>,
    ) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    _ => Style::Block,
                };
                let kind = match is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    true => NodeKind::Null,
                    false => NodeKind::Scalar { text: text.into_owned(), style },
                };
                self.add(kind, range, anchor, Extent::default(), documents)
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                if self.open.len() >= MAX_DEPTH {
                    let message = format!("nested deeper than {MAX_DEPTH} levels");
                    return Err(Problem::new(range, message));
                }
                let is_mapping = matches!(event, Event::MappingStart(..));
                let (start, items, below) = (range.start, Vec::new(), Extent::default());
                self.open.push(Open { anchor, start, is_mapping, items, below });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let kind = match open.is_mapping {
                    true => NodeKind::Mapping(pairs(open.items)),
                    false => NodeKind::Sequence(open.items),
                };
                let range = open.start..range.end.max(open.start);
                self.add(kind, range, open.anchor, open.below, documents)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, extent)) => {
                    if self.open.len() + extent.depth > MAX_DEPTH {
                        let message = format!("nested deeper than {MAX_DEPTH} levels by aliases");
                        return Err(Problem::new(range, message));
                    }
                    self.count(extent.nodes, &range)?;
                    self.put(node, extent, documents);
                    Ok(())
                }
                None => Err(Problem::new(range, "an alias inside the value it names")),
            },
            _ => Ok(()),
        }
    }

    fn add(
        &mut self,
        kind: NodeKind,
        range: Range<usize>,
        anchor: usize,
        below: Extent,
        documents: &mut Vec<Arc<Node>>,
    ) -> Result<(), Problem> {
        self.count(1, &range)?;
        let node = Arc::new(Node { kind, span: range.into() });
        let extent = Extent { nodes: below.nodes + 1, depth: below.depth + 1 };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), extent));
        }
        self.put(node, extent, documents);
        Ok(())
    }

    fn count(&mut self, nodes: usize, range: &Range<usize>) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, those of aliases included");
            return Err(Problem::new(range.clone(), message));
        }
        Ok(())
    }

    fn put(&mut self, node: Arc<Node>, extent: Extent, documents: &mut Vec<Arc<Node>>) {
        match self.open.last_mut() {
            Some(open) => {
                open.items.push(node);
                open.below.nodes += extent.nodes;
                open.below.depth = open.below.depth.max(extent.depth);
            }
            None if node.is_null() => {}
            None => documents.push(node),
        }
    }
}

/// Pairs keys with values and applies `<<`: keys written in the mapping itself win.
fn pairs(items: Vec<Arc<Node>>) -> Vec<(Arc<Node>, Arc<Node>)> {
    let is_merge = |key: &Node| matches!(&key.kind, NodeKind::Scalar { text, style: Style::Plain } if text == "<<");
    let mut own: Vec<(Arc<Node>, Arc<Node>)> = Vec::new();
    let mut merged: Vec<(Arc<Node>, Arc<Node>)> = Vec::new();
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if !is_merge(&key) {
            own.push((key, value));
            continue;
        }
        merged.extend(value.entries().iter().cloned());
        merged.extend(value.items().iter().flat_map(|item| item.entries().iter().cloned()));
    }
    if merged.is_empty() {
        return own;
    }
    let mut known: HashSet<String> =
        own.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect();
    merged.retain(|(key, _)| key.text().is_some_and(|name| known.insert(name.to_owned())));
    own.append(&mut merged);
    own
}

/// Where the bytes of a scalar's value stand in the file, for text embedded in a ConfigMap.
///
/// A literal block keeps its line breaks, so the line of a byte is found by counting them; the
/// place is that line of the file without its indentation. Other scalars are their own place.
pub struct Inside {
    whole: Span,
    /// Of a block: where its value's lines begin, and the places of the lines of the file.
    block: Option<(Lines, Vec<Span>)>,
}

impl Inside {
    /// Of a scalar of this file.
    pub fn of(file: &str, node: &Node) -> Self {
        let block = match &node.kind {
            NodeKind::Scalar { style: Style::Block, text } => {
                let values = Lines::of(text);
                // The scalar's own bytes may begin at the header (`|`) or at the first line of content.
                let start = node.span.start as usize;
                let raw = file.get(start..).unwrap_or_default();
                let header = usize::from(raw.starts_with(['|', '>']));
                let place = |(at, line): (usize, &str)| {
                    let indent = line.len() - line.trim_start().len();
                    Span::new(start + at + indent, start + at + line.len())
                };
                let places = lines(raw).skip(header).take(values.count()).map(place).collect();
                Some((values, places))
            }
            _ => None,
        };
        Self { whole: node.span, block }
    }

    /// The place of a byte of the value.
    pub fn place(&self, offset: u32) -> Span {
        let line =
            self.block.as_ref().and_then(|(values, places)| places.get(values.line(offset) - 1));
        line.copied().unwrap_or(self.whole)
    }
}

/// Reads any bytes as YAML, for the fuzzer: places stay inside the text and on their lines.
pub fn fuzz_audit_yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = read(&text);
    for document in &found.documents {
        document.walk(&mut |_, node| {
            assert!(node.span.start <= node.span.end, "{:?}", node.span);
            assert!(node.span.end as usize <= text.len(), "{:?}", node.span);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, node: &Node) -> usize {
        Lines::of(text).line(node.span.start)
    }

    #[test]
    fn documents_anchors_and_lines() {
        let text = "base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\n---\n# nothing\n---\nkind: Pod\n";
        let found = read(text);
        assert_eq!(found.documents.len(), 2, "{found:?}");
        let used = found.documents[0].get("use");
        assert_eq!((used.get("x").text(), used.get("y").text()), (Some("1"), Some("3")));
        assert_eq!(line(text, found.documents[1].get("kind")), 6);
        assert_eq!(found.documents[0].at("base.x").text(), Some("1"));
    }

    #[test]
    fn a_broken_document_hides_neither_those_before_nor_behind() {
        let text = "a: 1\n---\nb: [1\nc: }\n---\nd: 2\n";
        let found = read(text);
        assert_eq!(found.problems.len(), 1, "{found:?}");
        assert!(found.documents.iter().any(|d| d.get("a").text() == Some("1")));
        let last = found.documents.iter().find(|d| d.has("d")).unwrap();
        assert_eq!(line(text, last.get("d")), 6);
    }

    #[test]
    fn depth_is_limited() {
        let text = "[".repeat(MAX_DEPTH + 2);
        assert_eq!(read(&text).problems.len(), 1);
        assert!(read("a: &x [*x]\n").problems.len() == 1);
    }

    #[test]
    fn what_aliases_repeat_counts() {
        let chain = |step: &dyn Fn(usize) -> String, count: usize| -> String {
            (1..=count).map(step).collect()
        };
        let cases = [
            // Doubled at every line; one level deeper at every line; merged again and again.
            String::from("a0: &a0 x\n")
                + &chain(&|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1), 40),
            String::from("a0: &a0 x\n") + &chain(&|n| format!("a{n}: &a{n} [*a{}]\n", n - 1), 200),
            format!(
                "a: &a {{{}}}\nb: {{<<: [{}]}}\n",
                chain(&|n| format!("k{n}: 1, "), 2_000),
                "*a, ".repeat(20_000)
            ),
        ];
        for text in cases {
            let found = read(&text);
            assert_eq!(found.problems.len(), 1, "{:?}", &text[..60]);
            assert!(found.problems[0].message.contains("alias"), "{:?}", found.problems);
        }
        assert_eq!(read("a: &a {x: 1}\nb: {<<: [*a, *a]}\nc: [*a, *a]\n").problems.len(), 0);
    }

    #[test]
    fn a_line_inside_a_block_is_found_in_the_file() {
        let text = "data:\n  a.yml: |\n    one: 1\n    two: 2\n  b: c\n";
        let found = read(text);
        let node = found.documents[0].at("data").get("a.yml");
        let inside = Inside::of(text, node);
        let at = inside.place(node.text().unwrap().find("two").unwrap() as u32);
        assert_eq!(&text[at.start as usize..at.end as usize], "two: 2");
        assert_eq!(
            Inside::of(text, found.documents[0].at("data.b")).place(9),
            found.documents[0].at("data.b").span
        );
    }
}
