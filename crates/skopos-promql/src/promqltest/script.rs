//! The commands of a script.

use regex::Regex;
use skopos_model::Labels;

use super::series::{self, Point};
use crate::lexer::{Tok, lex};

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Line in the script, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl ScriptError {
    pub(super) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

pub(super) enum Command {
    Clear,
    Load {
        step_ms: i64,
        with_custom_buckets: bool,
        series: Vec<(Labels, Vec<Point>)>,
        /// Start timestamps by sample, as offsets from the sample's own time.
        starts: Vec<(Labels, Vec<Option<i64>>)>,
    },
    Eval(Box<Eval>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Instant(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) when: When,
    pub(super) query: String,
    pub(super) expect: Expect,
}

/// A text, a regular expression, or anything.
pub(super) enum Text {
    Any,
    Is(String),
    Matches(Regex),
}

impl Text {
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(want) => text == want,
            Self::Matches(regex) => regex.is_match(text),
        }
    }
}

#[derive(Default)]
pub(super) struct Expect {
    pub(super) ordered: bool,
    pub(super) fail: Option<Text>,
    pub(super) warnings: Vec<Text>,
    pub(super) infos: Vec<Text>,
    pub(super) no_warnings: bool,
    pub(super) no_infos: bool,
    pub(super) string: Option<String>,
    pub(super) scalar: Option<f64>,
    /// Start, end and step of an expected range vector.
    pub(super) matrix: Option<(i64, i64, i64)>,
    pub(super) series: Vec<(Labels, Vec<Point>)>,
}

pub(super) fn parse(script: &str) -> Result<Vec<Command>, ScriptError> {
    // Comments count as blank lines, and blank lines end blocks.
    let lines: Vec<&str> =
        script.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let number = at + 1;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let block_len = lines[at..].iter().position(|l| l.is_empty()).unwrap_or(lines.len() - at);
        let block = &lines[at..at + block_len];
        let word = line.split_whitespace().next().unwrap_or("");
        if word == "clear" {
            commands.push(Command::Clear);
        } else if word.starts_with("load") {
            commands.push(load(line, block, number)?);
            at += block_len;
        } else if word.starts_with("eval") {
            commands.push(Command::Eval(Box::new(eval(line, block, number)?)));
            at += block_len;
        } else {
            return Err(ScriptError::new(number, format!("unknown command {word:?}")));
        }
    }
    Ok(commands)
}

fn load(line: &str, block: &[&str], number: usize) -> Result<Command, ScriptError> {
    let mut words = line.split_whitespace();
    let with_custom_buckets = match words.next() {
        Some("load") => false,
        Some("load_with_nhcb") => true,
        _ => return Err(ScriptError::new(number, "expected load or load_with_nhcb")),
    };
    let step = words.next().ok_or_else(|| ScriptError::new(number, "load needs a step"))?;
    let step_ms = duration(step, number)?;
    let (mut series, mut starts) = (Vec::new(), Vec::new());
    for (i, line) in block.iter().enumerate() {
        let number = number + 1 + i;
        let (labels, rest) = series::labels(line).map_err(|m| ScriptError::new(number, m))?;
        if let Some(offsets) = rest.strip_prefix("@st") {
            starts.push((labels, start_offsets(offsets, number)?));
            continue;
        }
        let points = series::points(rest).map_err(|m| ScriptError::new(number, m))?;
        series.push((labels, points));
    }
    Ok(Command::Load { step_ms, with_custom_buckets, series, starts })
}

/// Start timestamps in the shorthand of points, with durations for numbers: `-30s`, `-1mx4`,
/// `0s-1mx4`, `_`.
fn start_offsets(text: &str, line: usize) -> Result<Vec<Option<i64>>, ScriptError> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let (body, times) = match word.split_once('x') {
            Some((body, times)) => {
                let bad = || ScriptError::new(line, format!("bad repetition in {word:?}"));
                (body, Some(times.parse::<u32>().map_err(|_| bad())?))
            }
            None => (word, None),
        };
        let count = times.unwrap_or(0).min(series::MAX_POINTS as u32);
        if body == "_" {
            // A gap repeats as often as it says, a value once more.
            out.extend((0..count.max(1)).map(|_| None));
            continue;
        }
        let step_at = body.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
        let (first, step) = body.split_at(step_at.map_or(body.len(), |(at, _)| at));
        let first = duration(first.strip_prefix('+').unwrap_or(first), line)?;
        let step = match step {
            "" => 0,
            step => duration(step.strip_prefix('+').unwrap_or(step), line)?,
        };
        let nth = |i: u32| first.saturating_add(step.saturating_mul(i64::from(i)));
        out.extend((0..=count).map(|i| Some(nth(i))));
    }
    Ok(out)
}

/// A time: a duration, or seconds, with an optional sign.
fn duration(text: &str, line: usize) -> Result<i64, ScriptError> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let token = lex(digits).ok().and_then(|tokens| tokens.into_iter().next()).map(|t| t.tok);
    match token {
        Some(Tok::Duration(ms)) => Ok(sign * ms),
        Some(Tok::Number(seconds)) => Ok(sign * (seconds * 1000.0).round() as i64),
        _ => Err(ScriptError::new(line, format!("not a duration: {text:?}"))),
    }
}

/// Takes `keyword value` off the front.
fn take<'l>(rest: &'l str, keyword: &str, line: usize) -> Result<(i64, &'l str), ScriptError> {
    let missing = || ScriptError::new(line, format!("expected {keyword:?}"));
    let rest = rest.trim_start().strip_prefix(keyword).ok_or_else(missing)?.trim_start();
    let (value, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Ok((duration(value, line)?, rest))
}

fn eval(line: &str, block: &[&str], number: usize) -> Result<Eval, ScriptError> {
    let bad = |message: &str| ScriptError::new(number, message);
    let (word, rest) =
        line.split_once(char::is_whitespace).ok_or_else(|| bad("incomplete eval"))?;
    let rest = rest.trim_start();
    let mut expect = Expect::default();
    match word {
        "eval" => {}
        "eval_fail" => expect.fail = Some(Text::Any),
        "eval_warn" => expect.warnings.push(Text::Any),
        "eval_info" => expect.infos.push(Text::Any),
        "eval_ordered" => expect.ordered = true,
        _ => return Err(bad("unknown kind of eval")),
    }
    let (kind, rest) =
        rest.split_once(char::is_whitespace).ok_or_else(|| bad("incomplete eval"))?;
    let (when, query) = match kind {
        "instant" => {
            let rest = rest.trim_start();
            if rest.starts_with("at ") || rest.starts_with("at\t") {
                let (at, rest) = take(rest, "at", number)?;
                (When::Instant(at), rest)
            } else {
                (When::Instant(0), rest)
            }
        }
        "range" => {
            let (start_ms, rest) = take(rest, "from", number)?;
            let (end_ms, rest) = take(rest, "to", number)?;
            let (step_ms, rest) = take(rest, "step", number)?;
            (When::Range { start_ms, end_ms, step_ms }, rest)
        }
        _ => return Err(bad("expected instant or range")),
    };
    for (i, line) in block.iter().enumerate() {
        expectation(line, number + 1 + i, &mut expect)?;
    }
    Ok(Eval { line: number, when, query: query.trim().to_owned(), expect })
}

fn expectation(line: &str, number: usize, expect: &mut Expect) -> Result<(), ScriptError> {
    let wrap = |message| ScriptError::new(number, message);
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expect.fail = Some(Text::Is(message.trim().to_owned()));
        return Ok(());
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expect.fail = Some(text(&format!("regex:{pattern}")).map_err(wrap)?);
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("expect").filter(|r| r.starts_with(char::is_whitespace)) {
        let rest = rest.trim_start();
        let (word, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        match word {
            "ordered" => expect.ordered = true,
            "fail" => expect.fail = Some(text(rest).map_err(wrap)?),
            "warn" => expect.warnings.push(text(rest).map_err(wrap)?),
            "info" => expect.infos.push(text(rest).map_err(wrap)?),
            "no_warn" => expect.no_warnings = true,
            "no_info" => expect.no_infos = true,
            "string" => match lex(rest.trim()).ok().and_then(|t| t.into_iter().next()) {
                Some(token) => match token.tok {
                    Tok::Str(text) => expect.string = Some(text.text),
                    _ => return Err(wrap("expected a quoted string".into())),
                },
                None => return Err(wrap("expected a quoted string".into())),
            },
            "range" => {
                let rest = rest.trim_start();
                let rest = rest.strip_prefix("vector").ok_or_else(|| {
                    ScriptError::new(number, "expected \"range vector from … to … step …\"")
                })?;
                let (start_ms, rest) = take(rest, "from", number)?;
                let (end_ms, rest) = take(rest, "to", number)?;
                let (step_ms, _) = take(rest, "step", number)?;
                expect.matrix = Some((start_ms, end_ms, step_ms));
            }
            _ => return Err(wrap(format!("unknown expectation {word:?}"))),
        }
        return Ok(());
    }
    if let Some(value) = series::number(line) {
        expect.scalar = Some(value);
        return Ok(());
    }
    let (labels, rest) = series::labels(line).map_err(wrap)?;
    let points = series::points(rest).map_err(wrap)?;
    expect.series.push((labels, points));
    Ok(())
}

fn text(rest: &str) -> Result<Text, String> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Ok(Text::Any);
    }
    if let Some(want) = rest.strip_prefix("msg:") {
        return Ok(Text::Is(want.trim().to_owned()));
    }
    match rest.strip_prefix("regex:") {
        Some(pattern) => Regex::new(pattern.trim())
            .map(Text::Matches)
            .map_err(|_| format!("bad regular expression {pattern:?}")),
        None => Err(format!("expected msg: or regex:, got {rest:?}")),
    }
}
