//! A page as a tree that is safe to show: text and structure, no markup of the page's own.
//!
//! Raw HTML becomes the text it is, images become links, and links lead only where a click may lead:
//! `http`, `https`, `mailto`, a place in the page, or a path. Whoever shows the tree makes elements out of it,
//! so there is nothing to sanitise and nothing to forget.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};
use serde::Serialize;

use super::{Question, parse};

/// A piece of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Block {
    /// A heading.
    Heading {
        /// 1 to 6.
        level: u8,
        /// What it says.
        text: Vec<Inline>,
    },
    /// A paragraph.
    Paragraph {
        /// What it says.
        text: Vec<Inline>,
    },
    /// A list.
    List {
        /// The first number; absent when it has none.
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<u64>,
        /// Its items.
        items: Vec<Item>,
    },
    /// Text kept as it is.
    Code {
        /// The language it says it is in.
        #[serde(skip_serializing_if = "Option::is_none")]
        language: Option<String>,
        /// The text.
        text: String,
    },
    /// A quotation.
    Quote {
        /// What is quoted.
        blocks: Vec<Block>,
    },
    /// A table.
    Table {
        /// Heads of the columns.
        head: Vec<Vec<Inline>>,
        /// Rows of cells.
        rows: Vec<Vec<Vec<Inline>>>,
    },
    /// A line across the page.
    Rule,
}

/// An item of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Names a diagnostic step, for ticking it off: the same as long as its text is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Inline {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// Text kept as it is.
    Code {
        /// The text.
        text: String,
    },
    /// Emphasis.
    Emphasis {
        /// What is emphasised.
        text: Vec<Inline>,
    },
    /// Strong emphasis.
    Strong {
        /// What is emphasised.
        text: Vec<Inline>,
    },
    /// Struck through.
    Deleted {
        /// What is struck.
        text: Vec<Inline>,
    },
    /// A link that may be followed.
    Link {
        /// Where it leads.
        href: String,
        /// What it says.
        text: Vec<Inline>,
    },
    /// A new line.
    Break,
}

/// Blocks within blocks, and emphasis within emphasis, at most; what is deeper is flattened.
const MAX_DEPTH: usize = 12;

/// Reads a page.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let (body, _) = parse::split(markdown);
    let mut builder = Builder { open: vec![Open::Page(Vec::new())], skipped: 0 };
    for event in Parser::new_ext(&markdown[body], parse::dialect()) {
        builder.event(event);
    }
    while builder.open.len() > 1 {
        builder.end();
    }
    let mut blocks = match builder.open.pop() {
        Some(Open::Page(blocks)) => blocks,
        _ => Vec::new(),
    };
    name_steps(&mut blocks);
    blocks
}

/// The names of the diagnostic steps of a page, in order.
pub fn steps(blocks: &[Block]) -> Vec<&str> {
    let items = blocks.iter().flat_map(|block| match block {
        Block::List { items, .. } => items.as_slice(),
        _ => &[],
    });
    items.filter_map(|item| item.step.as_deref()).collect()
}

enum Open {
    Page(Vec<Block>),
    Heading(u8, Vec<Inline>),
    Paragraph(Vec<Inline>),
    List(Option<u64>, Vec<Item>),
    /// An item; text that stands in it without a paragraph is collected beside.
    Item(Vec<Block>, Vec<Inline>),
    Code(Option<String>, String),
    Quote(Vec<Block>),
    Table(Vec<Vec<Inline>>, Vec<Vec<Vec<Inline>>>),
    Row(bool, Vec<Vec<Inline>>),
    Cell(Vec<Inline>),
    Emphasis(Vec<Inline>),
    Strong(Vec<Inline>),
    Deleted(Vec<Inline>),
    Link(Option<String>, Vec<Inline>),
    Html(String),
}

struct Builder {
    open: Vec<Open>,
    /// Starts that were flattened, and whose ends are to be passed over.
    skipped: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(_) if self.skipped > 0 || self.open.len() > MAX_DEPTH * 2 => {
                self.skipped += 1;
            }
            Event::Start(tag) => self.start(tag),
            Event::End(_) if self.skipped > 0 => self.skipped -= 1,
            Event::End(TagEnd::FootnoteDefinition | TagEnd::MetadataBlock(_)) => {}
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text),
            // Markup of the page is shown, not obeyed.
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.inline(Inline::Code { text: text.into_string() });
            }
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.inline(Inline::Break),
            Event::Rule => self.block(Block::Rule),
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]")),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let open = match tag {
            Tag::Paragraph => Open::Paragraph(Vec::new()),
            Tag::Heading { level, .. } => Open::Heading(level_number(level), Vec::new()),
            Tag::BlockQuote(_) => Open::Quote(Vec::new()),
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split_whitespace().next().map(str::to_owned)
                    }
                    CodeBlockKind::Indented => None,
                };
                Open::Code(language, String::new())
            }
            Tag::HtmlBlock => Open::Html(String::new()),
            Tag::List(start) => Open::List(start, Vec::new()),
            Tag::Item => Open::Item(Vec::new(), Vec::new()),
            Tag::Table(_) => Open::Table(Vec::new(), Vec::new()),
            Tag::TableHead => Open::Row(true, Vec::new()),
            Tag::TableRow => Open::Row(false, Vec::new()),
            Tag::TableCell => Open::Cell(Vec::new()),
            Tag::Emphasis => Open::Emphasis(Vec::new()),
            Tag::Strong => Open::Strong(Vec::new()),
            Tag::Strikethrough => Open::Deleted(Vec::new()),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                Open::Link(harmless(&dest_url), Vec::new())
            }
            Tag::FootnoteDefinition(_) | Tag::MetadataBlock(_) => return,
            _ => Open::Emphasis(Vec::new()),
        };
        // A block in an item closes the text before it.
        let is_block = !matches!(
            open,
            Open::Emphasis(_) | Open::Strong(_) | Open::Deleted(_) | Open::Link(..)
        );
        if is_block {
            self.settle();
        }
        self.open.push(open);
    }

    /// Makes the loose text of an item a paragraph.
    fn settle(&mut self) {
        if let Some(Open::Item(blocks, loose)) = self.open.last_mut()
            && !loose.is_empty()
        {
            blocks.push(Block::Paragraph { text: std::mem::take(loose) });
        }
    }

    fn end(&mut self) {
        self.settle();
        if self.open.len() < 2 {
            return;
        }
        match self.open.pop() {
            Some(Open::Heading(level, text)) => self.block(Block::Heading { level, text }),
            Some(Open::Paragraph(text)) => self.block(Block::Paragraph { text }),
            Some(Open::Quote(blocks)) => self.block(Block::Quote { blocks }),
            Some(Open::List(start, items)) => self.block(Block::List { start, items }),
            Some(Open::Code(language, text)) => self.block(Block::Code { language, text }),
            Some(Open::Html(text)) => {
                let text = vec![Inline::Text { text }];
                self.block(Block::Paragraph { text });
            }
            Some(Open::Table(head, rows)) => self.block(Block::Table { head, rows }),
            Some(Open::Item(blocks, _)) => {
                if let Some(Open::List(_, items)) = self.open.last_mut() {
                    items.push(Item { step: None, blocks });
                }
            }
            Some(Open::Row(is_head, cells)) => {
                if let Some(Open::Table(head, rows)) = self.open.last_mut() {
                    if is_head { *head = cells } else { rows.push(cells) }
                }
            }
            Some(Open::Cell(text)) => {
                if let Some(Open::Row(_, cells)) = self.open.last_mut() {
                    cells.push(text);
                }
            }
            Some(Open::Emphasis(text)) => self.inline(Inline::Emphasis { text }),
            Some(Open::Strong(text)) => self.inline(Inline::Strong { text }),
            Some(Open::Deleted(text)) => self.inline(Inline::Deleted { text }),
            Some(Open::Link(Some(href), text)) => self.inline(Inline::Link { href, text }),
            Some(Open::Link(None, text)) => text.into_iter().for_each(|piece| self.inline(piece)),
            Some(Open::Page(_)) | None => {}
        }
    }

    fn block(&mut self, block: Block) {
        match self.open.last_mut() {
            Some(Open::Page(blocks) | Open::Quote(blocks) | Open::Item(blocks, _)) => {
                blocks.push(block);
            }
            // Markdown has no other place for blocks; what is flattened is kept as text.
            _ => self.text(&plain_of(&block)),
        }
    }

    fn inline(&mut self, piece: Inline) {
        match self.open.last_mut() {
            Some(
                Open::Heading(_, text)
                | Open::Paragraph(text)
                | Open::Item(_, text)
                | Open::Cell(text)
                | Open::Emphasis(text)
                | Open::Strong(text)
                | Open::Deleted(text)
                | Open::Link(_, text),
            ) => match (text.last_mut(), piece) {
                (Some(Inline::Text { text: last }), Inline::Text { text }) => last.push_str(&text),
                (_, piece) => text.push(piece),
            },
            Some(Open::Code(_, text) | Open::Html(text)) => text.push_str(&plain(&[piece])),
            Some(Open::Page(blocks) | Open::Quote(blocks)) => {
                blocks.push(Block::Paragraph { text: vec![piece] });
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        self.inline(Inline::Text { text: text.to_owned() });
    }
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// An address that may be followed; none for schemes that run something, and for what hides one.
fn harmless(url: &str) -> Option<String> {
    let url: String = url.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let scheme_end = url.find([':', '/', '?', '#']).filter(|at| url[*at..].starts_with(':'));
    let allowed = match scheme_end.map(|at| url[..at].to_ascii_lowercase()) {
        Some(scheme) => matches!(scheme.as_str(), "http" | "https" | "mailto"),
        // `//host` would be another server.
        None => !url.is_empty() && !url.starts_with("//") && !url.contains('\\'),
    };
    allowed.then_some(url)
}

/// Text without structure.
fn plain(inlines: &[Inline]) -> String {
    inlines.iter().fold(String::new(), |mut out, piece| {
        match piece {
            Inline::Text { text } | Inline::Code { text } => out.push_str(text),
            Inline::Emphasis { text }
            | Inline::Strong { text }
            | Inline::Deleted { text }
            | Inline::Link { text, .. } => out.push_str(&plain(text)),
            Inline::Break => out.push('\n'),
        }
        out
    })
}

fn plain_of(block: &Block) -> String {
    match block {
        Block::Heading { text, .. } | Block::Paragraph { text } => plain(text),
        Block::Code { text, .. } => text.clone(),
        Block::Quote { blocks } => blocks.iter().map(plain_of).collect::<Vec<_>>().join("\n"),
        Block::List { items, .. } => {
            let blocks = items.iter().flat_map(|item| &item.blocks);
            blocks.map(plain_of).collect::<Vec<_>>().join("\n")
        }
        Block::Table { head, rows } => {
            let rows = [head].into_iter().chain(rows);
            let row =
                |row: &Vec<Vec<Inline>>| row.iter().map(|c| plain(c)).collect::<Vec<_>>().join(" ");
            rows.map(row).collect::<Vec<_>>().join("\n")
        }
        Block::Rule => String::new(),
    }
}

/// Names the items of lists that answer "first diagnostic steps".
fn name_steps(blocks: &mut [Block]) {
    let mut in_steps = None;
    let mut seen: Vec<String> = Vec::new();
    for block in blocks {
        match block {
            Block::Heading { level, text } => {
                let question = Question::of_heading(&plain(text));
                in_steps = match (question, in_steps) {
                    (Some(Question::Steps), _) if *level > 1 => Some(*level),
                    (None, Some(of)) if *level > of => Some(of),
                    _ => None,
                };
            }
            Block::List { items, .. } if in_steps.is_some() => {
                for item in items {
                    let text: String = item.blocks.iter().map(plain_of).collect();
                    let mut name = hash(text.split_whitespace());
                    while seen.contains(&name) {
                        name = hash([name.as_str()].into_iter());
                    }
                    seen.push(name.clone());
                    item.step = Some(name);
                }
            }
            _ => {}
        }
    }
}

/// FNV-1a, 64 bits, of words: short, stable, and nothing that secrets rest on.
fn hash<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in words {
        for byte in word.bytes().chain([b' ']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Panics where a link could run something, or the tree is too deep; for fuzzing.
pub(super) fn assert_harmless(blocks: &[Block]) {
    let json = serde_json::to_value(blocks).unwrap_or_default();
    let mut stack = vec![(&json, 0)];
    while let Some((value, depth)) = stack.pop() {
        assert!(depth < MAX_DEPTH * 8, "too deep");
        match value {
            serde_json::Value::Array(items) => stack.extend(items.iter().map(|v| (v, depth + 1))),
            serde_json::Value::Object(fields) => {
                if let Some(href) = fields.get("href").and_then(|href| href.as_str()) {
                    assert!(harmless(href).as_deref() == Some(href), "{href:?}");
                    let lower = href.to_ascii_lowercase();
                    assert!(!lower.starts_with("javascript:") && !lower.starts_with("data:"));
                }
                stack.extend(fields.values().map(|v| (v, depth + 1)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text_and_links_are_harmless() {
        let page = "# T\n\n<script>alert(1)</script>\n\na <b>c</b> [x](javascript:alert(1)) [y](https://h/p) ![z](data:x)\n[r](run.md#a) [d](//evil) [m](mailto:a@b)\n";
        let json = serde_json::to_string(&blocks(page)).unwrap();
        for href in ["https://h/p", "run.md#a", "mailto:a@b"] {
            assert!(json.contains(&format!("\"href\":\"{href}\"")), "{json}");
        }
        assert_eq!(json.matches("href").count(), 3, "{json}");
        assert!(json.contains("<script>alert(1)</script>"), "shown as text: {json}");
    }

    #[test]
    fn steps_have_names_that_follow_their_text() {
        let page = |a: &str, b: &str| {
            format!(
                "# A\n\n## First three diagnostic steps\n\n1. {a}\n2. {b}\n3. look\n3. look\n\n## Causes\n\n- c\n"
            )
        };
        let names =
            |text: &str| steps(&blocks(text)).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (one, two) = (names(&page("x `q`", "y")), names(&page("y", "x `q`")));
        assert_eq!(one.len(), 4);
        assert_eq!((&one[0], &one[1]), (&two[1], &two[0]));
        assert_ne!(one[2], one[3], "equal steps are told apart");
    }

    #[test]
    fn tables_lists_and_code_keep_their_structure() {
        let page =
            "| a | b |\n|---|---|\n| 1 | `2` |\n\n- x\n  - y\n\n```promql\nup\n```\n> q\n\n---\n";
        let kinds: Vec<String> = blocks(page)
            .iter()
            .map(|b| serde_json::to_value(b).unwrap()["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["table", "list", "code", "quote", "rule"]);
    }
}
