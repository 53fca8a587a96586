//! From Markdown to answers.

use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use skopos_alerting::rules::yaml::{self, NodeKind};

use super::{Answer, MAX_PAGE_BYTES, Question, Runbook};

/// The dialect of runbooks: tables, task lists and strike-through are in wide use.
pub(super) fn dialect() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH
}

/// The page without its front matter, cut at what is read at most, and the front matter.
pub(super) fn split(markdown: &str) -> (Range<usize>, Option<&str>) {
    let mut end = markdown.len().min(MAX_PAGE_BYTES);
    while !markdown.is_char_boundary(end) {
        end -= 1;
    }
    let Some(rest) = markdown[..end].strip_prefix("---\n") else { return (0..end, None) };
    let mut at = 4;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (at + line.len()..end, Some(&markdown[4..at]));
        }
        at += line.len();
    }
    (0..end, None)
}

pub(super) fn parse(markdown: &str) -> Runbook {
    let (body, front) = split(markdown);
    let mut page = Runbook::default();
    if let Some(front) = front {
        read_front_matter(front, &mut page);
    }
    let text = &markdown[body.clone()];
    let mut reader = Reader {
        markdown,
        offset: body.start,
        page,
        open: None,
        heading: None,
        lists: 0,
        code: false,
    };
    for (event, range) in Parser::new_ext(text, dialect()).into_offset_iter() {
        reader.event(event, range);
    }
    reader.close();
    if reader.page.owner.is_none() {
        reader.page.owner = owner_line(text);
    }
    reader.page
}

struct Reader<'a> {
    markdown: &'a str,
    offset: usize,
    page: Runbook,
    /// The answer being read, and the level of its heading.
    open: Option<(Answer, HeadingLevel)>,
    /// A heading being read, with its level and line.
    heading: Option<(String, HeadingLevel, usize)>,
    lists: usize,
    code: bool,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let line = self.markdown[..self.offset + range.start].matches('\n').count() + 1;
                self.heading = Some((String::new(), level, line));
            }
            Event::End(TagEnd::Heading(_)) => self.heading_ended(),
            Event::Start(Tag::List(_)) => self.lists += 1,
            Event::End(TagEnd::List(_)) => self.lists = self.lists.saturating_sub(1),
            Event::Start(Tag::Item) => {
                if let (1, Some((answer, _))) = (self.lists, &mut self.open) {
                    answer.items += 1;
                }
                self.text("\n");
            }
            Event::Start(Tag::CodeBlock(_)) => self.code = true,
            Event::End(TagEnd::CodeBlock) => {
                self.code = false;
                self.text("\n");
            }
            Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead)
            | Event::SoftBreak
            | Event::HardBreak => self.text("\n"),
            Event::End(TagEnd::TableCell) => self.text(" "),
            Event::Text(text) | Event::Code(text) => self.text(&text),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        match (&mut self.heading, &mut self.open) {
            (Some((heading, ..)), _) => heading.push_str(text),
            (None, Some((answer, _))) => answer.text.push_str(text),
            _ => {}
        }
    }

    fn heading_ended(&mut self) {
        let Some((heading, level, line)) = self.heading.take() else { return };
        let heading = heading.trim().to_owned();
        let is_first = self.page.title.is_none();
        if is_first {
            self.page.title = Some(heading.clone());
        }
        let question = Question::of_heading(&heading);
        // The page's own title is no answer, whatever the alert is called.
        let question = question.filter(|_| !(is_first && level == HeadingLevel::H1));
        match (question, &mut self.open) {
            (Some(question), _) => {
                self.close();
                let answer = Answer { question, line, heading, text: String::new(), items: 0 };
                self.open = Some((answer, level));
            }
            // A deeper heading is part of the answer above it.
            (None, Some((answer, of))) if level > *of => {
                answer.text.push_str(&heading);
                answer.text.push('\n');
            }
            (None, _) => self.close(),
        }
    }

    fn close(&mut self) {
        let Some((answer, _)) = self.open.take() else { return };
        match self.page.answers.iter_mut().find(|known| known.question == answer.question) {
            // "Mitigation" below "Causes": two parts of one answer.
            Some(known) => {
                known.text.push('\n');
                known.text.push_str(&answer.text);
                known.items += answer.items;
            }
            None => self.page.answers.push(answer),
        }
    }
}

fn read_front_matter(front: &str, page: &mut Runbook) {
    let Ok(Some(root)) = yaml::parse(front) else { return };
    let NodeKind::Mapping(pairs) = &root.kind else { return };
    for (key, value) in pairs {
        match key.text() {
            Some("owner" | "team") => page.owner = value.text().and_then(clean),
            Some("escalation") => {
                let names: Vec<Option<&str>> = match &value.kind {
                    NodeKind::Sequence(items) => items.iter().map(|item| item.text()).collect(),
                    _ => vec![value.text()],
                };
                page.escalation = names.into_iter().flatten().filter_map(clean).collect();
            }
            _ => {}
        }
    }
}

/// The owner in a line such as `Severity: critical · **Owner:** team-shop · Rule: …`.
fn owner_line(text: &str) -> Option<String> {
    let mut fence = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            fence = !fence;
        }
        if fence {
            continue;
        }
        let plain: String = line.chars().filter(|c| !matches!(c, '*' | '`' | '_')).collect();
        let lower = plain.to_ascii_lowercase();
        let Some(at) = lower.find("owner:") else { continue };
        let is_word = lower[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let rest = plain[at + "owner:".len()..].split(['·', '|', ';', '<']).next();
        if let Some(owner) = rest.and_then(clean).filter(|_| is_word) {
            return Some(owner);
        }
    }
    None
}

/// A name that somebody wrote; none when it is still to be written.
fn clean(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches(['.', ',']);
    let is_open = name.is_empty() || name.contains("TODO") || name.contains("TBD");
    (!is_open).then(|| name.to_owned())
}
