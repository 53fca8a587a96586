//! Fixes in files of configuration: by the place of the value that a finding points at.

use std::sync::LazyLock;

use regex::Regex;

use super::{Edit, Offer, Safety, Site};
use crate::files::Document;
use crate::files::dockerfile::Command;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("written here; the tests run every one")
}

/// The one match of a pattern in what a finding points at, or else in the rest of its line.
fn only_match<'a>(site: &Site<'a>, pattern: &Regex) -> Option<(std::ops::Range<usize>, &'a str)> {
    let whole = site.range();
    let line = site.line();
    for range in [whole.clone(), line.start..line.end.max(whole.end)] {
        let text = site.text.get(range.clone())?;
        let mut found = pattern.captures_iter(text);
        if let (Some(first), None) = (found.next(), found.next()) {
            let value = first.get(1)?;
            return Some((range.start + value.start()..range.start + value.end(), value.as_str()));
        }
    }
    None
}

/// `text` in the case that `like` is written in.
fn in_case_of(like: &str, text: &str) -> String {
    let mut letters = like.chars().filter(|c| c.is_alphabetic());
    match (letters.next(), letters.next()) {
        (Some(a), Some(b)) if a.is_uppercase() && b.is_uppercase() => text.to_uppercase(),
        (Some(a), _) if a.is_uppercase() => {
            let mut rest = text.chars();
            rest.next().map(|c| c.to_uppercase().chain(rest).collect()).unwrap_or_default()
        }
        _ => text.to_owned(),
    }
}

/// LOG010: DEBUG becomes INFO.
pub(super) fn level(site: &Site<'_>) -> Offer {
    static LEVEL: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)(?:\b|_)(debug|trace|all)\b"));
    let (range, level) = only_match(site, &LEVEL)?;
    Some((Safety::Unsafe, vec![Edit::new(range, in_case_of(level, "info"))]))
}

/// LOG011: debug mode is switched off.
pub(super) fn debug_mode(site: &Site<'_>) -> Offer {
    static ON: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r#"(?i)debug["']?\s*[=:]\s*["']?(true|1)\b|(?:_ENV)["']?\s*[=: ]\s*["']?(?:development)\b"#,
        )
    });
    static ENVIRONMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(development)\b"));
    static GIN: LazyLock<Regex> = LazyLock::new(|| regex(r"gin\.(DebugMode)\b"));
    static VALUE: LazyLock<Regex> = LazyLock::new(|| regex(r#"^["']?((?i:true)|1)["']?$"#));
    let off = |value: &str| match value {
        "1" => "0".to_owned(),
        other => in_case_of(other, "false"),
    };
    let edit = |(range, text): (std::ops::Range<usize>, String)| {
        (Safety::Unsafe, vec![Edit::new(range, text)])
    };
    // An environment variable: the finding points at its value.
    if let Some(value) = VALUE.captures(site.source()).and_then(|c| c.get(1)) {
        let from = site.range().start;
        return Some(edit((from + value.start()..from + value.end(), off(value.as_str()))));
    }
    if let Some((range, _)) = only_match(site, &GIN) {
        return Some(edit((range, "ReleaseMode".to_owned())));
    }
    if let Some((range, value)) = only_match(site, &ON) {
        return Some(edit((range, off(value))));
    }
    let (range, _) = only_match(site, &ENVIRONMENT)?;
    Some(edit((range, "production".to_owned())))
}

/// SEC011: statements are no longer logged with their values.
pub(super) fn sql(site: &Site<'_>) -> Offer {
    static ON: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r#"(?i)(?:echo|show[-_]sql|logging|log[-_]?queries)["']?\s*[=:]\s*["']?(true|"debug"|'debug')"#,
        )
    });
    let (range, value) = only_match(site, &ON)?;
    if !value.eq_ignore_ascii_case("true") {
        return None;
    }
    Some((Safety::Unsafe, vec![Edit::new(range, in_case_of(value, "false"))]))
}

/// ALR002: the alert waits five minutes before it wakes anybody.
pub(super) fn hold(site: &Site<'_>) -> Offer {
    let is_alert = site.page.alerts().contains(&site.span);
    let line = site.line();
    let before = site.text.get(line.start..site.range().start)?;
    let key = before.find("alert:")?;
    if !is_alert {
        return None;
    }
    if before.contains('{') {
        let behind = site.text.get(site.range().end..)?;
        let quote = usize::from(behind.starts_with(['"', '\'']));
        let at = site.range().end + quote;
        return Some((Safety::Unsafe, vec![Edit::new(at..at, ", for: 5m")]));
    }
    // As deep as its key, which may stand behind the dash of a list.
    let text = format!("\n{}for: 5m", " ".repeat(key));
    let is_plain = before.get(..key)?.chars().all(|c| matches!(c, ' ' | '-'));
    let end = site.text.get(line.clone())?.trim_end_matches('\r').len() + line.start;
    is_plain.then(|| (Safety::Unsafe, vec![Edit::new(end..end, text)]))
}

/// ALR010: 100 % becomes 99.9 %.
pub(super) fn perfect(site: &Site<'_>) -> Offer {
    static WHOLE: LazyLock<Regex> =
        LazyLock::new(|| regex(r#"^["']?(100(?:\.0*)?|1(?:\.0*)?)\s*(%?)["']?$"#));
    let found = WHOLE.captures(site.source())?;
    let (number, percent) = (found.get(1)?, !found.get(2)?.is_empty());
    let less = match (number.as_str().starts_with("100"), percent) {
        (true, _) => "99.9",
        (false, false) => "0.999",
        (false, true) => return None,
    };
    let from = site.range().start;
    Some((Safety::Unsafe, vec![Edit::new(from + number.start()..from + number.end(), less)]))
}

/// COL001: the memory limiter that a pipeline has comes first.
pub(super) fn limiter_first(site: &Site<'_>) -> Offer {
    for (_, document) in &site.file.documents {
        let Document::Collector(collector) = document else { continue };
        for pipeline in &collector.pipelines {
            let at = pipeline.processors.iter().position(|id| id.span == site.span);
            let Some(at) = at.filter(|at| *at > 0) else { continue };
            if !site.source().contains("memory_limiter") {
                return None;
            }
            // Each place keeps its quotes and commas: the names move.
            let spans: Vec<_> = pipeline.processors[..=at]
                .iter()
                .map(|id| id.span.start as usize..id.span.end as usize)
                .collect();
            let mut names: Vec<&str> =
                spans.iter().map(|range| site.text.get(range.clone())).collect::<Option<_>>()?;
            names.rotate_right(1);
            let edits = spans.into_iter().zip(names).map(|(range, name)| Edit::new(range, name));
            return Some((Safety::Safe, edits.collect()));
        }
    }
    None
}

/// LIF004: what needs no shell is started without one.
pub(super) fn exec_form(site: &Site<'_>) -> Offer {
    let (line, has_arguments) =
        site.file.documents.iter().find_map(|(_, document)| started(document, site))?;
    let needs_shell = |c: char| "|&;$<>`\"'*?~\\#(){}[]!=\n".contains(c);
    let builtin = [
        "cd", "source", ".", "exec", "export", "set", "ulimit", "umask", "eval", "if", "for",
        "while",
    ];
    let first = line.split_whitespace().next()?;
    // With an ENTRYPOINT in list form the CMD would become its arguments.
    if line.contains(needs_shell) || builtin.contains(&first) || has_arguments {
        return None;
    }
    let source = site.source();
    let at = source.rfind(line.as_str())?;
    let words: Vec<String> = line.split_whitespace().map(|word| format!("\"{word}\"")).collect();
    let from = site.range().start + at;
    let text = format!("[{}]", words.join(", "));
    Some((Safety::Safe, vec![Edit::new(from..from + line.len(), text)]))
}

/// What an image starts through a shell at this place, and whether it is an ENTRYPOINT that a CMD follows.
fn started(document: &Document, site: &Site<'_>) -> Option<(String, bool)> {
    let Document::Dockerfile(file) = document else { return None };
    let image = file.image()?;
    let is_here = |at: &&(Command, crate::Span)| at.1 == site.span;
    let entrypoint = image.entrypoint.as_ref().filter(is_here);
    let has_arguments = entrypoint.is_some() && image.command.is_some();
    let (command, _) = entrypoint.or(image.command.as_ref().filter(is_here))?;
    match command {
        Command::Shell(line) => Some((line.clone(), has_arguments)),
        Command::Exec(_) => None,
    }
}
