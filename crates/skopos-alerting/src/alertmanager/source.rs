//! The text of a configuration: places in it, and errors that show them without its secrets.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration: file, line, column, message, hint, and the line itself with
/// secrets blotted out.
pub type ConfigError = crate::rules::RuleError;

/// A range of bytes in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl From<&Range<usize>> for Place {
    fn from(range: &Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub place: Place,
}

impl<T> Located<T> {
    /// A value that stands nowhere: made by the program, not read from a file.
    pub fn made(value: T) -> Self {
        Self { value, place: Place::default() }
    }
}

/// A configuration's file and text.
#[derive(Default)]
pub struct Source {
    file: String,
    text: String,
    /// Places of secrets, in order and apart.
    secrets: Vec<Range<usize>>,
}

impl std::fmt::Debug for Source {
    /// The text holds secrets: only the file's name is printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(file: &str, text: &str, mut found: Vec<Range<usize>>) -> Self {
        found.sort_by_key(|range| range.start);
        let mut secrets: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match secrets.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => secrets.push(range),
            }
        }
        Self { file: file.into(), text: text.into(), secrets }
    }

    /// The file's path, as given to [`load`](super::load).
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text with every secret replaced by `<secret>`, as Alertmanager's status shows it. Of URLs the
    /// scheme stays: amtool before 0.26 refuses a webhook without one.
    pub fn redacted(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for secret in &self.secrets {
            out.push_str(self.text.get(at..secret.start).unwrap_or_default());
            let hidden = self.text.get(secret.clone()).unwrap_or_default();
            let hidden = hidden.trim_start_matches(['"', '\'']);
            let scheme = ["https://", "http://"].into_iter().find(|s| hidden.starts_with(s));
            out.push_str(scheme.unwrap_or_default());
            out.push_str("<secret>");
            at = secret.end;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        out
    }

    /// The first place of a text at or behind the beginning of a place.
    pub(crate) fn find(&self, from: Place, text: &str) -> Option<Place> {
        let start = from.start + self.text.get(from.start..)?.find(text)?;
        Some(Place { start, end: start + text.len() })
    }

    /// A path of the configuration, meant from the configuration's folder.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let folder = Path::new(&self.file).parent().unwrap_or(Path::new(""));
        folder.join(path)
    }

    /// An error about a place; `code` is a word of a closed set, as in [`ConfigError::code`].
    pub fn error(
        &self,
        place: Place,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> ConfigError {
        let mut at = place.start.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line_start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line_end =
            self.text[line_start..].find('\n').map_or(self.text.len(), |i| line_start + i);
        let snippet = self.blotted(line_start..line_end);
        let column = self.text[line_start..at].chars().count() + 1;
        let column = column.min(snippet.chars().count() + 1);
        let shown = self.text.get(at..place.end.min(line_end)).unwrap_or_default();
        let left = (snippet.chars().count() + 1).saturating_sub(column).max(1);
        ConfigError {
            file: self.file.clone(),
            line: self.text[..at].matches('\n').count() + 1,
            column,
            width: shown.trim_end().chars().count().clamp(1, left),
            code,
            message: message.into(),
            hint,
            snippet,
        }
    }

    /// A line in which each character of a secret is an asterisk, so that columns stay true.
    fn blotted(&self, line: Range<usize>) -> String {
        let text = self.text[line.clone()].trim_end_matches('\r');
        let is_secret = |at: usize| {
            let after = self.secrets.partition_point(|secret| secret.start <= at);
            after > 0 && self.secrets[after - 1].contains(&at)
        };
        let show = |(at, c): (usize, char)| if is_secret(line.start + at) { '*' } else { c };
        text.char_indices().map(show).collect()
    }
}
