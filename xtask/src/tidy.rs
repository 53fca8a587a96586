//! `cargo xtask tidy`: the rules of this project that no compiler knows.
//!
//! Each rule is a pure function from text to findings, with a test that shows a bad example being found. A finding
//! reads `file:line: what is wrong: what to do`. Warnings are printed and do not fail.

mod coverage;
mod layers;
mod licences;
mod manifests;
pub(crate) mod sources;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Usage;
use crate::system::{self, Cmd};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The check fails.
    Error,
    /// Worth a look; the check goes on.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// From 1; 0 when no single line is to blame.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) remedy: String,
    pub(crate) weight: Weight,
}

impl Finding {
    pub(crate) fn error(
        file: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self { file: file.to_owned(), line, what, remedy, weight: Weight::Error }
    }

    pub(crate) fn warning(
        file: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { weight: Weight::Warning, ..Self::error(file, line, what, remedy) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weight == Weight::Warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}:{}: {}: {}", self.file, self.line.max(1), self.what, self.remedy)
    }
}

/// A text file of the project: its path from the root, with `/`, and its content.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// Runs every rule, prints the findings, and returns true when none of them is an error.
pub(crate) fn run() -> Result<bool> {
    let root = system::root()?;
    let files = sources::read_all(&root)?;
    let mut findings = Vec::new();
    findings.extend(sources::check(&files, &machine_paths(&root)));
    findings.extend(manifests::check(&files));
    let rows = coverage::rows(file_text(&files, coverage::FILE).unwrap_or_default());
    findings.extend(coverage::check(&rows, &files));
    findings.extend(check_dependencies(&files)?);
    for finding in &findings {
        println!("{finding}");
    }
    println!("coverage: {}", coverage::standing(&rows));
    let errors = findings.iter().filter(|finding| finding.weight == Weight::Error).count();
    println!("tidy: {} files, {errors} errors, {} warnings", files.len(), findings.len() - errors);
    Ok(errors == 0)
}

/// Prints the coverage rows that name `issue` (a number) as what will fill them.
pub(crate) fn pending(issue: &str) -> Result<bool> {
    let number: u32 = issue.parse().map_err(|_| Usage(format!("`{issue}` is no issue number")))?;
    let path = system::root()?.join(coverage::FILE);
    let text = std::fs::read_to_string(path).context("read docs/coverage.md")?;
    let rows = coverage::rows(&text);
    let waiting: Vec<_> = rows.iter().filter(|row| row.waits_for().contains(&number)).collect();
    for row in &waiting {
        println!("{}:{}: {}  {}", coverage::FILE, row.line, row.id, row.demand);
    }
    println!("{} of {} rows wait for issue {number}", waiting.len(), rows.len());
    Ok(true)
}

fn check_dependencies(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let host = Cmd::new("rustc -vV").capture()?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("find the host's triple")?;
    let text =
        Cmd::new("cargo metadata --format-version 1 --filter-platform").arg(host).capture()?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("read cargo metadata")?;
    let policy = licences::Policy::read(file_text(files, licences::FILE).unwrap_or_default());
    let mut findings = licences::check(&metadata, &policy);
    findings.extend(layers::check_members(&metadata));
    for package in layers::members(&metadata) {
        // Features are resolved per crate here, as they are for its users; metadata would mix in everybody's.
        let tree =
            Cmd::new("cargo tree --all-features --edges normal,no-proc-macro --prefix depth -p")
                .arg(&package.name)
                .capture()?;
        let manifest = file_text(files, &package.manifest).unwrap_or_default();
        findings.extend(layers::check(&package, &layers::parse_tree(&tree), manifest));
    }
    Ok(findings)
}

fn file_text<'a>(files: &'a [SourceFile], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}

/// Paths of this very machine that must not stand in a committed file.
fn machine_paths(root: &Path) -> Vec<String> {
    let mut paths = vec![root.to_string_lossy().into_owned()];
    // A home of `/` or `/root` is judged by the fixed patterns; this adds the user's own.
    if let Some(home) = std::env::var_os("HOME").filter(|home| home.len() > 6) {
        paths.push(home.to_string_lossy().into_owned());
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_file_line_what_remedy() {
        let finding = Finding::error("a/b.rs", 7, "it is wrong", "mend it");
        assert_eq!(finding.to_string(), "a/b.rs:7: it is wrong: mend it");
        let warning = Finding::warning("a/b.rs", 0, "it is long", "split it");
        assert_eq!(warning.to_string(), "warning: a/b.rs:1: it is long: split it");
    }
}
