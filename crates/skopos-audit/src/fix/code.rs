//! Fixes in code: by the text of the call that a finding points at. Whatever does not look exactly as expected is left to
//! a person.

use std::sync::LazyLock;

use regex::Regex;

use super::{Edit, Offer, Safety, Site};
use crate::fact::LogCall;
use crate::{FactKind, Language};

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("written here; the tests run every one")
}

/// The log call that a finding points at.
fn log_call<'a>(site: &Site<'a>) -> Option<&'a LogCall> {
    // Facts are in order of place.
    let facts = &site.file.facts;
    let at = facts.partition_point(|fact| fact.span < site.span);
    let here = facts.iter().skip(at).take_while(|fact| fact.span == site.span);
    here.filter_map(|fact| match &fact.kind {
        FactKind::Log(log) => Some(log),
        _ => None,
    })
    .next()
}

/// LOG009: `logger.error(` in an `except` becomes `logger.exception(`.
pub(super) fn exception(site: &Site<'_>) -> Offer {
    if site.file.language != Some(Language::Python) {
        return None;
    }
    let call = site.source();
    let open = call.find('(')?;
    let name = call.get(..open)?.strip_suffix(".error")?;
    let at = site.range().start + name.len() + 1;
    Some((Safety::Safe, vec![Edit::new(at..at + "error".len(), "exception")]))
}

/// LOG005: values become arguments of Python's `logging`.
pub(super) fn arguments(site: &Site<'_>) -> Offer {
    static START: LazyLock<Regex> = LazyLock::new(|| {
        regex(r#"^[A-Za-z_][\w.]*\.(?:debug|info|warning|error|exception|critical)\(\s*"#)
    });
    if log_call(site)?.system != "logging" || site.file.language != Some(Language::Python) {
        return None;
    }
    let call = site.source();
    let start = START.find(call)?.end();
    let literal = literal(call.get(start..)?)?;
    let from = site.range().start + start;
    let rest = call.get(start + literal.length..)?.trim_start();
    let quote = literal.quote;
    if literal.is_formatted {
        let (message, values) = formatted(literal.inner)?;
        // Arguments that are there already would take the places of the new ones.
        let is_alone = rest.starts_with(')') || is_keyword(rest.strip_prefix(',')?);
        if values.is_empty() || !is_alone {
            return None;
        }
        let text = format!("{quote}{message}{quote}, {}", values.join(", "));
        return Some((Safety::Unsafe, vec![Edit::new(from..from + literal.length, text)]));
    }
    let operand = rest.strip_prefix('%')?.trim_start();
    let inner = operand.strip_prefix('(')?;
    let close = closing(inner)?;
    let tuple = inner.get(..close)?.trim();
    let behind = inner.get(close + 1..)?.trim_start();
    let is_alone = behind.starts_with(')') || is_keyword(behind.strip_prefix(',')?);
    // `% (a)` is no tuple.
    if !is_alone || !tuple.contains(',') || tuple.contains('*') {
        return None;
    }
    let end = from + (call.len() - start) - inner.get(close + 1..)?.len();
    let text = format!("{quote}{}{quote}, {}", literal.inner, tuple.trim_end_matches([',', ' ']));
    Some((Safety::Safe, vec![Edit::new(from..end, text)]))
}

/// A literal on one line.
struct Literal<'a> {
    quote: char,
    inner: &'a str,
    /// With prefix and quotes.
    length: usize,
    is_formatted: bool,
}

fn literal(text: &str) -> Option<Literal<'_>> {
    let is_formatted = text.starts_with(['f', 'F']);
    let body = text.get(usize::from(is_formatted)..)?;
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let body = body.get(1..)?;
    if body.starts_with(quote) {
        return None;
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices() {
        if c == '\n' {
            return None;
        }
        if c == quote && !is_escaped {
            let length = usize::from(is_formatted) + at + 2;
            return Some(Literal { quote, inner: &body[..at], length, is_formatted });
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

/// The message and the values of a formatted literal; none when it holds more than plain names.
fn formatted(inner: &str) -> Option<(String, Vec<&str>)> {
    static VALUE: LazyLock<Regex> =
        LazyLock::new(|| regex(r"^[A-Za-z_][\w.]*(?:\([\w., ]*\)|\[\w+\])?$"));
    let (mut message, mut values) = (String::new(), Vec::new());
    let mut rest = inner;
    while let Some(at) = rest.find(['{', '}']) {
        message.push_str(&rest[..at].replace('%', "%%"));
        let here = &rest[at..];
        if let Some(behind) = here.strip_prefix("{{").or_else(|| here.strip_prefix("}}")) {
            message.push_str(&here[..1]);
            rest = behind;
            continue;
        }
        let end = here.find('}')?;
        let value = here.get(1..end)?.trim();
        if !VALUE.is_match(value) {
            return None;
        }
        values.push(value);
        message.push_str("%s");
        rest = &here[end + 1..];
    }
    message.push_str(&rest.replace('%', "%%"));
    Some((message, values))
}

/// Where a bracket that is open closes; strings may hold brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), '\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !is_escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') if depth == 0 => return Some(at),
            (None, ')' | ']' | '}') => depth -= 1,
            (None, _) => {}
        }
        is_escaped = false;
    }
    None
}

/// Whether arguments that follow have names.
fn is_keyword(rest: &str) -> bool {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*(?:\)|\w+\s*=[^=])"));
    NAMED.is_match(rest)
}

/// The one argument of a call, and where it stands in the call.
fn only_argument(call: &str) -> Option<(usize, &str)> {
    let open = call.find('(')? + 1;
    let inner = call.get(open..)?;
    let close = closing(inner)?;
    let argument = inner.get(..close)?;
    // A comma outside of brackets and strings separates a second one.
    let mut at = 0;
    while let Some(comma) = argument.get(at..)?.find(',').map(|n| at + n) {
        let is_inside = closing_depth(argument.get(..comma)?) > 0;
        if !is_inside {
            return None;
        }
        at = comma + 1;
    }
    let is_named = !argument.starts_with(['"', '\'', '`', 'f']) && is_keyword(argument);
    (!argument.trim().is_empty() && !is_named).then_some((open, argument))
}

/// How many brackets and strings are open at the end of a text.
fn closing_depth(text: &str) -> usize {
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(_), '\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !is_escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        is_escaped = false;
    }
    depth + usize::from(quote.is_some())
}

/// LOG002: a print becomes a call of the logger that the file has.
pub(super) fn print(site: &Site<'_>) -> Offer {
    static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?m)^(logger|log|LOG|LOGGER|_logger)\s*=\s*(?:logging\.getLogger|structlog\.(?:stdlib\.)?get_logger)\(",
        )
    });
    static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?m)^(?:export )?(?:const|let|var) (logger|log) = (?:pino|winston\.createLogger|createLogger|bunyan\.createLogger)\(",
        )
    });
    static JAVA: LazyLock<Regex> = LazyLock::new(|| {
        regex(r"\bLogger\s+(log|logger|LOG|LOGGER)\s*=\s*LoggerFactory\.getLogger")
    });
    let call = site.source();
    let from = site.range().start;
    let open = call.find('(')?;
    let callee = call.get(..open)?.trim();
    let logger = |pattern: &Regex| {
        site.page.once("logger", || {
            let name = pattern.captures(site.text)?.get(1)?;
            Some((name.as_str().to_owned(), name.start()))
        })
    };
    let to = match site.file.language? {
        Language::Python if callee == "print" => {
            let (logger, _) = logger(&PYTHON).filter(|(_, at)| *at < from)?;
            only_argument(call)?;
            format!("{logger}.info")
        }
        Language::JavaScript | Language::TypeScript => {
            let level = match callee {
                "console.log" | "console.info" => "info",
                "console.warn" => "warn",
                "console.error" => "error",
                "console.debug" => "debug",
                _ => return None,
            };
            let (logger, _) = logger(&SCRIPT).filter(|(_, at)| *at < from)?;
            only_argument(call)?;
            format!("{logger}.{level}")
        }
        Language::Java => {
            let level = match callee {
                "System.out.println" => "info",
                "System.err.println" => "error",
                _ => return None,
            };
            let (logger, _) = logger(&JAVA)?;
            let (_, argument) = only_argument(call)?;
            if !argument.trim_start().starts_with('"') {
                return None;
            }
            format!("{logger}.{level}")
        }
        Language::Rust => {
            let name = match callee.trim_end_matches('!') {
                "println" => "info",
                "eprintln" => "error",
                _ => return None,
            };
            let uses = |fact: &crate::Fact| match &fact.kind {
                FactKind::Import(path) => path.starts_with("tracing"),
                FactKind::Log(log) => log.system == "tracing",
                _ => false,
            };
            let has_text = call.get(open + 1..)?.trim_start().starts_with('"');
            let tracing = || site.file.facts.iter().any(uses).then(|| ("tracing".to_owned(), 0));
            site.page.once("logger", tracing).filter(|_| has_text)?;
            format!("tracing::{name}!")
        }
        _ => return None,
    };
    Some((Safety::Unsafe, vec![Edit::new(from..from + open, to)]))
}

/// LOG004: the form for people becomes JSON.
pub(super) fn json_lines(site: &Site<'_>) -> Offer {
    const SWAPS: &[(&str, &str)] = &[
        ("slog.NewTextHandler(", "slog.NewJSONHandler("),
        ("zap.NewDevelopment(", "zap.NewProduction("),
        ("zap.NewDevelopmentConfig(", "zap.NewProductionConfig("),
        ("&logrus.TextFormatter{", "&logrus.JSONFormatter{"),
    ];
    let call = site.source();
    for (text, json) in SWAPS {
        if let Some(at) = call.find(text) {
            // Options of the one are none of the other's, but for slog's.
            let rest = call.get(at + text.len()..)?.trim_start();
            if !text.starts_with("slog") && !rest.starts_with([')', '}']) {
                return None;
            }
            let from = site.range().start + at;
            return Some((Safety::Unsafe, vec![Edit::new(from..from + text.len(), *json)]));
        }
    }
    let renderer = "structlog.dev.ConsoleRenderer(";
    let at = call.find(renderer)?;
    let close = closing(call.get(at + renderer.len()..)?)? + at + renderer.len();
    let from = site.range().start;
    let json = "structlog.processors.JSONRenderer()";
    Some((Safety::Unsafe, vec![Edit::new(from + at..from + close + 1, json)]))
}

/// LIF002: `os._exit` runs nothing; `sys.exit` runs what was registered.
pub(super) fn exit(site: &Site<'_>) -> Offer {
    static SYS: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)^import (?:\w+, )*sys\b"));
    let is_meant = site.file.language == Some(Language::Python)
        && site.source().starts_with("os._exit(")
        && site.page.once("sys", || SYS.is_match(site.text).then(Default::default)).is_some();
    let from = site.range().start;
    is_meant.then(|| (Safety::Unsafe, vec![Edit::new(from..from + "os._exit".len(), "sys.exit")]))
}

/// TRC004: a request of Go's is made with the context that its function has.
pub(super) fn context(site: &Site<'_>) -> Offer {
    static REQUEST: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(\w+) \*http\.Request\b"));
    static CONTEXT: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(\w+) context\.Context\b"));
    static GIN: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(\w+) \*gin\.Context\b"));
    let call = site.source();
    if site.file.language != Some(Language::Go) {
        return None;
    }
    let at = site.range().start + call.find("http.NewRequest(")?;
    let functions = site.page.functions();
    let above = functions.partition_point(|function| *function < at).checked_sub(1)?;
    let function = site.text.get(functions[above]..at)?;
    let signature = function.get(..function.find("{\n")?)?;
    let name = |pattern: &Regex| {
        let name = pattern.captures(signature)?.get(1)?.as_str();
        (name != "_").then(|| name.to_owned())
    };
    let context = name(&CONTEXT)
        .or_else(|| Some(name(&REQUEST)? + ".Context()"))
        .or_else(|| Some(name(&GIN)? + ".Request.Context()"))?;
    let call = "http.NewRequest(";
    let text = format!("http.NewRequestWithContext({context}, ");
    Some((Safety::Unsafe, vec![Edit::new(at..at + call.len(), text)]))
}

/// TRC007: spans are sent in batches, not one by one.
pub(super) fn batch(site: &Site<'_>) -> Offer {
    let is_meant = matches!(
        site.file.language?,
        Language::Python | Language::JavaScript | Language::TypeScript
    ) && site.source().contains("SimpleSpanProcessor")
        && site
            .page
            .once("batch", || Some(("batch".into(), site.text.find("BatchSpanProcessor")?)))
            .is_none();
    if !is_meant {
        return None;
    }
    // The import and every use: a file that names one and imports the other would not run.
    let all = site.text.match_indices("SimpleSpanProcessor");
    let edits = all.map(|(at, name)| Edit::new(at..at + name.len(), "BatchSpanProcessor"));
    Some((Safety::Unsafe, edits.collect()))
}
