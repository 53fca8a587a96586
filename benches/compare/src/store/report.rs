//! The report: one section a row, replaced when the row is measured again.
//!
//! Sections stand between comments that name their row, so that a run of one row leaves the others'
//! figures, each with its own commit, as they are.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// What a row found.
#[derive(Default)]
pub struct Section {
    pub title: &'static str,
    /// What was aimed at, what came out, whether that is enough.
    pub targets: Vec<Target>,
    /// Markdown.
    pub text: String,
}

pub struct Target {
    pub what: String,
    pub wanted: String,
    pub measured: String,
    pub is_met: bool,
}

impl Section {
    pub fn new(title: &'static str) -> Self {
        Self { title, ..Self::default() }
    }

    pub fn target(&mut self, what: &str, wanted: &str, measured: String, is_met: bool) {
        let (what, wanted) = (what.to_owned(), wanted.to_owned());
        self.targets.push(Target { what, wanted, measured, is_met });
    }

    /// Appends a line or paragraph.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }

    /// Appends a table: first column left, numbers right.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let dashes = head.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "---:" });
        let _ = writeln!(self.text, "| {} |", head.join(" | "));
        let _ = writeln!(self.text, "|{}|", dashes.collect::<Vec<_>>().join("|"));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
        self.text.push('\n');
    }

    pub fn print(&self, row: &str, circumstances: &str) -> String {
        let mut out = format!("## {} (`{row}`)\n\n", self.title);
        if !self.targets.is_empty() {
            out.push_str("| aim | measured | |\n|---|---|---|\n");
        }
        for target in &self.targets {
            let Target { what, wanted, measured, is_met } = target;
            let mark = if *is_met { "met" } else { "**missed**" };
            let _ = writeln!(out, "| {what}: {wanted} | {measured} | {mark} |");
        }
        out.push('\n');
        out.push_str(self.text.trim_end());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
        let _ = write!(
            out,
            "\n\n```\n{}\nload      {load} at the end, over one minute, this row's own included\n```\n",
            circumstances.trim()
        );
        out
    }
}

/// Puts a section into the report that begins with `head`, in the place of the row's old one.
pub fn replace(path: &Path, head: &str, row: &str, text: &str, rows: &[&str]) -> Result<()> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let mut out = String::from(head);
    for name in rows {
        let text = if *name == row { Some(text.trim()) } else { section(&old, name) };
        if let Some(text) = text {
            let _ = write!(out, "\n{}\n{text}\n{}\n", begin(name), end(name));
        }
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("make the report's folder")?;
    }
    std::fs::write(path, out).with_context(|| format!("write {}", path.display()))
}

fn begin(row: &str) -> String {
    format!("<!-- row {row} -->")
}

fn end(row: &str) -> String {
    format!("<!-- end of row {row} -->")
}

fn section<'a>(report: &'a str, row: &str) -> Option<&'a str> {
    let (_, rest) = report.split_once(&begin(row))?;
    Some(rest.split_once(&end(row))?.0.trim())
}

/// Three digits, without an exponent.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if !value.is_finite() => return "–".into(),
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A ratio: `×0.81`.
pub fn ratio(of: f64, to: f64) -> String {
    let ratio = of / to;
    if ratio.is_finite() { format!("×{ratio:.2}") } else { "–".into() }
}

pub fn mb(bytes: f64) -> String {
    number(bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_replaces_its_section_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/store.md");
        let rows = ["a", "b"];
        replace(&path, "head\n", "b", "b one\n", &rows).unwrap();
        replace(&path, "head\n", "a", "a one", &rows).unwrap();
        replace(&path, "head\n", "b", "b two", &rows).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((section(&text, "a"), section(&text, "b")), (Some("a one"), Some("b two")));
        assert!(text.starts_with("head\n") && !text.contains("b one"), "{text}");
        assert!(text.find("a one") < text.find("b two"), "in the order of rows");
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [(0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.0, "1234")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!((number(f64::NAN).as_str(), ratio(1.0, 0.0).as_str()), ("–", "–"));
    }
}
