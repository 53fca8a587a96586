//! Dockerfiles: the stages, and what the image that comes out runs, declares and contains.
//!
//! Only what is written is known: what a base image brings (a shell, `curl`, a HEALTHCHECK of its
//! own) is not. Variables are put in where an `ARG` or `ENV` above gives them a value.

use std::collections::BTreeMap;

use super::Problem;
use super::text::{Text, lines};
use crate::Span;

/// The most instructions that are read of one file.
const MAX_INSTRUCTIONS: usize = 5_000;

/// A Dockerfile.
#[derive(Clone, Debug, Default)]
pub struct Dockerfile {
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// One stage: from a `FROM` to the next.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// The base image, or the stage it continues, with variables put in.
    pub base: Text,
    /// Its name (`AS name`).
    pub name: Option<String>,
    /// Its instructions but `FROM`.
    pub instructions: Vec<Instruction>,
}

/// An instruction and its arguments.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// The keyword in capitals.
    pub keyword: String,
    /// The arguments with line continuations undone, comments between them gone.
    pub args: String,
    /// Keyword and arguments.
    pub span: Span,
}

/// How a command is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// As a list: started as it is.
    Exec(Vec<String>),
    /// As a line: started through a shell, which stays process 1 and keeps signals to itself.
    Shell(String),
}

impl Command {
    /// All of it as one line.
    pub fn line(&self) -> String {
        match self {
            Self::Exec(words) => words.join(" "),
            Self::Shell(line) => line.clone(),
        }
    }

    /// The words of it.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Exec(words) => words.clone(),
            Self::Shell(line) => line.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// How health is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// `HEALTHCHECK NONE`.
    Disabled,
    /// By a command.
    Command(Command),
}

/// What the last stage, with the stages it stands on, makes of an image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The base image at the bottom.
    pub base: Text,
    /// `HEALTHCHECK`.
    pub health: Option<(Health, Span)>,
    /// `CMD`.
    pub command: Option<(Command, Span)>,
    /// `ENTRYPOINT`.
    pub entrypoint: Option<(Command, Span)>,
    /// `USER`.
    pub user: Option<Text>,
    /// `EXPOSE`, ports only.
    pub ports: Vec<(u16, Span)>,
    /// `ENV`, later ones win.
    pub env: BTreeMap<String, Text>,
    /// `STOPSIGNAL`.
    pub stop_signal: Option<Text>,
    /// What `RUN` lines run, as written.
    pub runs: Vec<Text>,
    /// What `COPY` and `ADD` copy: sources, then the destination.
    pub copies: Vec<(Vec<String>, Span)>,
    /// Where the last stage begins.
    pub span: Span,
}

impl Image {
    /// What is started, as one line: the entrypoint, then the command as its arguments.
    pub fn start_line(&self) -> String {
        let parts = [&self.entrypoint, &self.command];
        let lines: Vec<String> =
            parts.into_iter().flatten().map(|(command, _)| command.line()).collect();
        lines.join(" ")
    }

    /// Whether a program is installed or copied by an instruction, by its name.
    pub fn installs(&self, program: &str) -> bool {
        let is_named = |text: &str| {
            text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')))
                .any(|word| word == program)
        };
        self.runs.iter().any(|run| is_named(run))
            || self.copies.iter().any(|(words, _)| words.iter().any(|word| is_named(word)))
    }
}

/// Reads a Dockerfile.
pub fn read(text: &str) -> Dockerfile {
    let mut file = Dockerfile::default();
    let mut globals: BTreeMap<String, String> = BTreeMap::new();
    for instruction in instructions(text, &mut file.problems) {
        match instruction.keyword.as_str() {
            "FROM" => {
                let words: Vec<&str> = instruction
                    .args
                    .split_whitespace()
                    .filter(|word| !word.starts_with("--"))
                    .collect();
                let Some(base) = words.first() else {
                    file.problems.push(Problem::new(instruction.span, "FROM without an image"));
                    continue;
                };
                let is_named = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("as"));
                let name = words.get(2).filter(|_| is_named).map(|name| name.to_lowercase());
                let base = Text::new(expand(base, &globals), instruction.span);
                file.stages.push(Stage { base, name, instructions: Vec::new() });
            }
            "ARG" if file.stages.is_empty() => {
                for (key, value) in pairs(&instruction.args) {
                    let value = expand(&value, &globals);
                    globals.insert(key, value);
                }
            }
            _ => match file.stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None => file
                    .problems
                    .push(Problem::new(instruction.span, "an instruction before the first FROM")),
            },
        }
    }
    if file.stages.is_empty() && file.problems.is_empty() {
        file.problems.push(Problem::new(0..0, "no FROM: not a Dockerfile"));
    }
    file
}

impl Dockerfile {
    /// What of the context its stages copy, as written.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let all = self.stages.iter().flat_map(|stage| &stage.instructions);
        let copies = all.filter(|i| matches!(i.keyword.as_str(), "COPY" | "ADD"));
        copies.filter(|copy| !copy.args.contains("--from=")).flat_map(|copy| {
            let words = copy.args.split_whitespace().filter(|word| !word.starts_with("--"));
            let words: Vec<&str> =
                words.map(|word| word.trim_matches(['[', ']', '"', ','])).collect();
            let count = words.len().saturating_sub(1);
            words.into_iter().take(count)
        })
    }

    /// The image of the last stage.
    pub fn image(&self) -> Option<Image> {
        self.image_of(self.stages.len().checked_sub(1)?)
    }

    /// The image of a stage by name, as Compose's `target` asks for; the last one without a name.
    pub fn target(&self, name: Option<&str>) -> Option<Image> {
        let Some(name) = name else { return self.image() };
        let name = name.to_lowercase();
        let index = self.stages.iter().position(|stage| stage.name.as_deref() == Some(&name))?;
        self.image_of(index)
    }

    fn image_of(&self, last: usize) -> Option<Image> {
        // From the last stage down to the one that stands on a foreign image; stages name only earlier ones.
        let mut chain = vec![last];
        loop {
            let lowest = *chain.last()?;
            let base = self.stages.get(lowest)?.base.to_lowercase();
            let below = self.stages[..lowest].iter().position(|s| s.name.as_ref() == Some(&base));
            match below.or_else(|| base.parse().ok().filter(|index| *index < lowest)) {
                Some(index) => chain.push(index),
                None => break,
            }
        }
        let mut image = Image { span: self.stages.get(last)?.base.span, ..Image::default() };
        let mut args: BTreeMap<String, String> = BTreeMap::new();
        for index in chain.iter().rev() {
            let stage = &self.stages[*index];
            if Some(index) == chain.last() {
                image.base = stage.base.clone();
            }
            for instruction in &stage.instructions {
                image.apply(instruction, &mut args);
            }
        }
        Some(image)
    }
}

impl Image {
    fn apply(&mut self, instruction: &Instruction, args: &mut BTreeMap<String, String>) {
        let span = instruction.span;
        let text = instruction.args.as_str();
        match instruction.keyword.as_str() {
            "HEALTHCHECK" => self.health = health(text).map(|health| (health, span)),
            "CMD" => self.command = Some((command(text), span)),
            "ENTRYPOINT" => {
                self.entrypoint = Some((command(text), span));
                // A CMD below, of a base stage, is reset by a new ENTRYPOINT.
                if self.command.as_ref().is_some_and(|(_, at)| at.start < self.span.start) {
                    self.command = None;
                }
            }
            "USER" => self.user = Some(Text::new(expand(text.trim(), args), span)),
            "STOPSIGNAL" => self.stop_signal = Some(Text::new(text.trim(), span)),
            "EXPOSE" => {
                for word in expand(text, args).split_whitespace() {
                    let port = word.split(['/', '-']).next().and_then(|port| port.parse().ok());
                    self.ports.extend(port.map(|port| (port, span)));
                }
            }
            "ARG" => {
                for (key, value) in pairs(text) {
                    let value = expand(&value, args);
                    args.entry(key).or_insert(value);
                }
            }
            "ENV" => {
                for (key, value) in pairs(text) {
                    let value = expand(&value, args);
                    args.insert(key.clone(), value.clone());
                    self.env.insert(key, Text::new(value, span));
                }
            }
            "RUN" => self.runs.push(Text::new(text, span)),
            "COPY" | "ADD" => {
                let words: Vec<String> = match exec_words(text) {
                    Some(words) => words,
                    None => text.split_whitespace().map(str::to_owned).collect(),
                };
                self.copies.push((words, span));
            }
            _ => {}
        }
    }
}

fn health(text: &str) -> Option<Health> {
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    }
    let (word, line) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match word.to_ascii_uppercase().as_str() {
        "NONE" => Some(Health::Disabled),
        "CMD" => Some(Health::Command(command(line))),
        _ => None,
    }
}

fn command(text: &str) -> Command {
    exec_words(text).map_or_else(|| Command::Shell(text.trim().to_owned()), Command::Exec)
}

/// The words of `["a", "b"]`; anything else is a line for the shell, as Docker reads it.
fn exec_words(text: &str) -> Option<Vec<String>> {
    let at = text
        .find('[')
        .filter(|at| text[..*at].split_whitespace().all(|word| word.starts_with("--")))?;
    let node = super::json::read(text[at..].trim()).ok()??;
    node.items().iter().map(|item| item.text().map(str::to_owned)).collect()
}

/// `KEY=value KEY2="v w"`, or the old `KEY value`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return match key {
            "" => Vec::new(),
            key => vec![(key.to_owned(), value.trim().to_owned())],
        };
    }
    let mut found = Vec::new();
    for word in words(text) {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        found.push((key.to_owned(), value.to_owned()));
    }
    found
}

/// Splits at white space outside of quotes, and takes the quotes off.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, c) if c.is_whitespace() => found.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

/// Variables put into variables could fill the memory.
const LONGEST_VALUE: usize = 8 << 10;

/// Puts values in for `$NAME`, `${NAME}` and `${NAME:-default}`; unknown names stay.
pub(super) fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, default, length) = match rest.strip_prefix("${") {
            Some(inner) => {
                let Some(end) = inner.find('}') else { break };
                let (name, default) = match inner[..end].split_once(":-") {
                    Some((name, default)) => (name, Some(default)),
                    None => (&inner[..end], None),
                };
                (name, default, end + 3)
            }
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = rest[1..].find(|c| !is_name(c)).unwrap_or(rest.len() - 1);
                (&rest[1..1 + end], None, 1 + end)
            }
        };
        match values.get(name).map(String::as_str).filter(|v| !v.is_empty()).or(default) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[..length]),
        }
        // Values that hold values again could double at every turn.
        if out.len() > LONGEST_VALUE {
            return out;
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// Cuts a text into instructions: continuation lines, comments between them and heredocs included.
fn instructions(text: &str, problems: &mut Vec<Problem>) -> Vec<Instruction> {
    let mut escape = '\\';
    let mut found: Vec<Instruction> = Vec::new();
    let mut open: Option<Instruction> = None;
    let mut heredocs: Vec<String> = Vec::new();
    for (at, line) in lines(text) {
        let trimmed = line.trim();
        if let (Some(end), Some(last)) = (heredocs.first(), found.last_mut()) {
            if trimmed == end {
                heredocs.remove(0);
            } else {
                last.args.push('\n');
                last.args.push_str(line);
            }
            last.span.end = Span::new(at, at + line.len()).end;
            continue;
        }
        if found.is_empty() && open.is_none() {
            let directive = trimmed.strip_prefix('#').and_then(|rest| rest.split_once('='));
            if let Some((name, value)) = directive
                && name.trim().eq_ignore_ascii_case("escape")
                && value.trim() == "`"
            {
                escape = '`';
            }
        }
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let continues = trimmed.ends_with(escape);
        let part = trimmed.strip_suffix(escape).unwrap_or(trimmed);
        let instruction = match open.take() {
            Some(mut instruction) => {
                if !part.trim().is_empty() {
                    instruction.args.push(' ');
                    instruction.args.push_str(part.trim());
                    instruction.span.end = Span::new(at, at + line.len()).end;
                }
                instruction
            }
            None => {
                let start = at + line.len() - line.trim_start().len();
                let (word, args) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
                if !word.chars().all(|c| c.is_ascii_alphabetic()) {
                    problems.push(Problem::new(start..start + word.len(), "not an instruction"));
                    continue;
                }
                Instruction {
                    keyword: word.to_ascii_uppercase(),
                    args: args.trim().to_owned(),
                    span: Span::new(start, start + trimmed.len()),
                }
            }
        };
        if continues {
            open = Some(instruction);
            continue;
        }
        if matches!(instruction.keyword.as_str(), "RUN" | "COPY" | "ADD") {
            heredocs = heredoc_ends(&instruction.args);
        }
        found.push(instruction);
        if found.len() >= MAX_INSTRUCTIONS || problems.len() > 20 {
            problems.push(Problem::new(at..at, "too long; the rest is not read"));
            return found;
        }
    }
    found.extend(open);
    found
}

/// The words that end the heredocs a line opens: `<<EOF`, `<<-"EOF"`.
fn heredoc_ends(args: &str) -> Vec<String> {
    let opened = args.split("<<").skip(1);
    let ends = opened.filter_map(|rest| {
        let word = rest.trim_start_matches('-').split_whitespace().next()?;
        let word = word.trim_matches(['"', '\'']);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!word.is_empty() && word.chars().all(is_word)).then(|| word.to_owned())
    });
    ends.take(8).collect()
}

/// Reads any bytes as a Dockerfile, for the fuzzer.
pub fn fuzz_audit_dockerfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let file = read(&text);
    for stage in &file.stages {
        for instruction in &stage.instructions {
            assert!(instruction.span.end as usize <= text.len());
        }
    }
    let _ = file.image().map(|image| image.start_line());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_and_what_it_stands_on() {
        let text = r#"# syntax=docker/dockerfile:1
ARG VERSION=3.12
FROM python:${VERSION}-slim AS base
ENV PORT=8080 NAME="a b"
HEALTHCHECK --interval=5s CMD curl -f http://localhost:8080/healthz || exit 1
FROM base AS build
RUN apt-get update && \
    # why
    apt-get install -y curl
FROM base
COPY --from=build /app /app
USER app
EXPOSE $PORT 9090/tcp
CMD ["uvicorn", "app:app", "--port", "8080"]
"#;
        let file = read(text);
        assert!(file.problems.is_empty(), "{:?}", file.problems);
        let image = file.image().unwrap();
        assert_eq!(image.base.value, "python:3.12-slim");
        assert_eq!(image.user.as_ref().map(|u| u.value.as_str()), Some("app"));
        assert_eq!(image.ports.iter().map(|(p, _)| *p).collect::<Vec<_>>(), [8080, 9090]);
        assert_eq!(image.env["NAME"].value, "a b");
        assert_eq!(image.start_line(), "uvicorn app:app --port 8080");
        assert!(!image.installs("curl"), "curl is only in the build stage");
        let Some((Health::Command(Command::Shell(line)), _)) = image.health else { panic!() };
        assert!(line.starts_with("curl -f"));
    }

    #[test]
    fn shell_form_heredocs_and_disabled_health() {
        let text = "FROM a\nRUN <<EOF\nFROM not-a-stage\nEOF\nHEALTHCHECK NONE\nCMD exec run me\n";
        let file = read(text);
        assert_eq!(file.stages.len(), 1);
        let image = file.image().unwrap();
        assert_eq!(image.health.unwrap().0, Health::Disabled);
        assert_eq!(image.command.unwrap().0, Command::Shell("exec run me".into()));
    }

    #[test]
    fn what_is_no_dockerfile_is_said() {
        assert_eq!(read("hello = world\n").problems.len(), 1);
        assert_eq!(read("").problems.len(), 1);
        assert!(read("FROM a AS a\nFROM a\nFROM 1\n").image().is_some());
    }
}
