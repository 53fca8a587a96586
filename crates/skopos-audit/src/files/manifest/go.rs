//! Go: `go.mod` and `go.work`.

use super::super::text::lines;
use super::super::{Document, Problem, Read, name};
use super::{Dependency, Manifest};
use crate::{Language, Span};

pub(crate) fn wants(path: &str) -> bool {
    matches!(name(path), "go.mod" | "go.work")
}

pub(crate) fn read(_path: &str, text: &str) -> Read {
    let mut manifest = Manifest { language: Some(Language::Go), ..Manifest::default() };
    let mut problems = Vec::new();
    let mut block: Option<&str> = None;
    for (at, line) in lines(text).take(20_000) {
        let code = line.split("//").next().unwrap_or_default().trim();
        let is_indirect = line.contains("// indirect");
        if code.is_empty() {
            continue;
        }
        if code == ")" {
            block = None;
            continue;
        }
        let (word, rest) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
        let (directive, rest) = match block {
            Some(block) => (block, code),
            None => (word, rest.trim()),
        };
        if block.is_none() && rest == "(" {
            block = Some(match directive {
                "require" => "require",
                "use" => "use",
                _ => "other",
            });
            continue;
        }
        let mut words = rest.split_whitespace();
        let first = words.next().unwrap_or_default().trim_matches('"');
        match directive {
            "module" => manifest.name = Some(first.to_owned()),
            "use" => {
                manifest.language = None;
                manifest.members.push(first.trim_start_matches("./").to_owned());
            }
            "require" if !is_indirect => {
                let start = at + line.find(first).unwrap_or(0);
                manifest.dependencies.push(Dependency {
                    name: first.to_owned(),
                    version: words.next().map(str::to_owned),
                    is_dev: false,
                    features: Vec::new(),
                    span: Span::new(start, start + first.len()),
                });
            }
            "require" | "go" | "toolchain" | "replace" | "exclude" | "retract" | "tool"
            | "godebug" | "ignore" | "other" => {}
            _ if problems.len() < 10 => {
                problems.push(Problem::new(at..at + line.len(), "not a directive of go.mod"));
            }
            _ => {}
        }
    }
    let documents = vec![(Span::new(0, text.len()), Document::Manifest(manifest))];
    Read { documents, problems, ..Read::default() }
}

/// Reads any bytes as a `go.mod`, for the fuzzer.
pub fn fuzz_audit_go_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    super::assert_inside(&read("go.mod", &text), &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_dependencies_and_their_places() {
        let text = "module example.com/shop\n\ngo 1.23\nrequire github.com/gin-gonic/gin v1.10.0\nrequire (\n\tgo.uber.org/zap v1.27.0\n\tgolang.org/x/sys v0.1.0 // indirect\n)\nreplace (\n\ta => ../a\n)\n";
        let read = read("go.mod", text);
        assert!(read.problems.is_empty());
        let Document::Manifest(found) = &read.documents[0].1 else { panic!() };
        assert_eq!(found.name.as_deref(), Some("example.com/shop"));
        let names: Vec<&str> = found.dependencies.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["github.com/gin-gonic/gin", "go.uber.org/zap"]);
        let span = found.dependencies[1].span;
        assert_eq!(&text[span.start as usize..span.end as usize], "go.uber.org/zap");
    }
}
