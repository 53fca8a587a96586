//! JSON with places, and what people write into JSON files beside it: comments and trailing commas.

use std::sync::Arc;

use super::Problem;
use super::node::{MAX_DEPTH, MAX_NODES, Node, NodeKind, Style};

/// Reads a text; `None` when it holds nothing.
pub fn read(text: &str) -> Result<Option<Arc<Node>>, Problem> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut reader = Reader { text, at: start, nodes: 0 };
    reader.skip();
    if reader.at >= text.len() {
        return Ok(None);
    }
    let node = reader.value(0)?;
    reader.skip();
    match reader.at < text.len() {
        true => Err(reader.problem("text behind the end of the value")),
        false => Ok(Some(node)),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.at..self.at, message)
    }

    /// Passes white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            let rest = &rest[blank..];
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else if blank == 0 {
                return;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Arc<Node>, Problem> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(self.problem("too deep or too many values"));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => {
                let mut entries = Vec::new();
                self.list(b'}', |reader| {
                    let key = reader.value(depth + 1)?;
                    if key.text().is_none() {
                        return Err(reader.problem("expected a key"));
                    }
                    reader.skip();
                    if reader.peek() != Some(b':') {
                        return Err(reader.problem("expected `:`"));
                    }
                    reader.at += 1;
                    reader.skip();
                    entries.push((key, reader.value(depth + 1)?));
                    Ok(())
                })?;
                NodeKind::Mapping(entries)
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.list(b']', |reader| {
                    items.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                NodeKind::Sequence(items)
            }
            Some(b'"') => NodeKind::Scalar { text: self.string()?, style: Style::Quoted },
            Some(byte) if byte.is_ascii_alphanumeric() || b"-+.".contains(&byte) => {
                let is_word =
                    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
                let rest = &self.text[start..];
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                self.at += length;
                match &rest[..length] {
                    "null" => NodeKind::Null,
                    word => NodeKind::Scalar { text: word.to_owned(), style: Style::Plain },
                }
            }
            Some(_) => return Err(self.problem("expected a value")),
            None => return Err(self.problem("the file ends inside a value")),
        };
        Ok(Arc::new(Node { kind, span: (start..self.at).into() }))
    }

    fn list(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.at += 1;
        loop {
            self.skip();
            match self.peek() {
                None => return Err(self.problem("the file ends inside a value")),
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => {}
            }
            item(self)?;
            self.skip();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {}
                _ => return Err(self.problem("expected `,` or the closing bracket")),
            }
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(['"', '\\', '\n']) else {
                return Err(self.problem("a text without its closing quote"));
            };
            text.push_str(&rest[..stop]);
            self.at += stop + 1;
            match rest.as_bytes()[stop] {
                b'"' => return Ok(text),
                b'\\' => self.escape(&mut text)?,
                _ => return Err(self.problem("a text without its closing quote")),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Problem> {
        let Some(escape) = self.text[self.at..].chars().next() else {
            return Err(self.problem("the file ends inside a text"));
        };
        self.at += escape.len_utf8();
        text.push(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits = self.text.get(self.at..self.at + 4);
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let Some(code) = code else { return Err(self.problem("a broken \\u escape")) };
                self.at += 4;
                // Halves of a pair say nothing that a rule asks for.
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            other => other,
        });
        Ok(())
    }
}

/// Reads any bytes as JSON, for the fuzzer.
pub fn fuzz_audit_json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(Some(root)) = read(&text) {
        root.walk(&mut |_, node| assert!(node.span.end as usize <= text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn values_have_their_lines() {
        let text = "{\n \"a\": [1, true, null,],\n // c\n \"b\\u0041\": {\"c\": \"x\\n\"}\n}";
        let root = read(text).unwrap().unwrap();
        assert_eq!(root.get("a").items().len(), 3);
        assert_eq!(root.at("bA.c").text(), Some("x\n"));
        assert_eq!(Lines::of(text).line(root.at("bA.c").span.start), 4);
    }

    #[test]
    fn broken_texts_say_where() {
        for (text, line) in [("{\"a\": }", 1), ("{\n\"a\": 1", 2), ("[1] x", 1), ("\"a", 1)] {
            assert_eq!(Lines::of(text).line(read(text).unwrap_err().span.start), line, "{text}");
        }
        assert!(read(&"[".repeat(200)).is_err());
        assert!(read("  ").unwrap().is_none());
    }
}
