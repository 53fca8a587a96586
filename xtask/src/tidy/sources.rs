//! Source files: what must stand at the top of one, and what must stand nowhere.
//!
//! Works on lines, not on syntax: what it looks for is plain, and a false alarm costs one reworded line. Words that
//! must not occur in the tree are put together with `concat!` here, so that this file passes its own check.

use std::path::Path;

use anyhow::Result;

use super::{Finding, SourceFile};
use crate::system::Cmd;

/// A module this long must say at its top what it is.
const NEEDS_DOCS_LINES: usize = 80;
/// A file longer than this probably holds a second mechanism.
const LONG_LINES: usize = 700;

/// Macros that mark unfinished or temporary work.
const LEFTOVERS: &[&str] =
    &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];

/// Hosts of package registries: how a machine fetches packages is that machine's business.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[
    concat!("/work", "/main"),
    concat!("/work", "/shared"),
    concat!("/work", "/.library"),
    concat!("/root", "/"),
    concat!("/tmp", "/target-"),
    concat!("/Us", "ers/"),
];

/// Words that would break a crate's promise of purity, outside its tests.
const IMPURE: &[(&str, &[&str], &str)] = &[
    ("crates/skopos-model/src/", &["std::fs", "std::net", "std::process"], "the model does no I/O"),
    ("crates/skopos-ingest/src/", &["std::fs", "std::net", "std::process"], "decoding does no I/O"),
    (
        "crates/skopos-promql/src/",
        &[".await", "async fn", "std::fs", "std::net", "SystemTime::now", "Instant::now"],
        "PromQL is pure and synchronous",
    ),
    (
        "crates/skopos-redact/src/",
        &["std::fs", "std::net", ".await"],
        "redaction is a pure function",
    ),
];

/// Returns the paths of all files that git knows or would add.
pub(crate) fn tracked(root: &Path) -> Result<Vec<String>> {
    let listing = Cmd::new("git ls-files -z --cached --others --exclude-standard").capture()?;
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    Ok(paths.filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}

/// Reads every text file of the project; what is not UTF-8 is binary and left out.
pub(super) fn read_all(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in tracked(root)? {
        // A file may vanish between listing and reading while somebody works; that is not tidy's business.
        if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
            files.push(SourceFile { path, text });
        }
    }
    Ok(files)
}

/// Runs every rule on every file. `machine_paths` are this machine's own, in addition to the fixed ones.
pub(super) fn check(files: &[SourceFile], machine_paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(check_words(file, machine_paths));
        if !file.path.ends_with(".rs") || is_fixture(&file.path) {
            continue;
        }
        findings.extend(check_opening(file));
        findings.extend(check_leftovers(file));
        findings.extend(check_purity(file));
        let lines = file.text.lines().count();
        if lines > LONG_LINES {
            let what = format!("{lines} lines");
            findings.push(Finding::warning(
                &file.path,
                1,
                what,
                "look for the second mechanism and split it off",
            ));
        }
    }
    findings
}

/// Inputs of tests are judged by those tests.
fn is_fixture(path: &str) -> bool {
    ["/resources/", "/corpus/", "/fixtures/", "/testdata/"]
        .iter()
        .any(|folder| path.contains(folder))
}

fn check_words(file: &SourceFile, machine_paths: &[String]) -> Vec<Finding> {
    // The lock file names the registry by design.
    if file.path == "Cargo.lock" || file.path.ends_with("/Cargo.lock") || is_fixture(&file.path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(**host)) {
            let what = format!("names the registry host {host}");
            findings.push(Finding::error(
                &file.path,
                index + 1,
                what,
                "name the package, not where it is fetched",
            ));
        }
        let fixed = MACHINE_PATHS.iter().copied();
        let own = machine_paths.iter().map(String::as_str);
        if let Some(path) = fixed.chain(own).find(|path| line.contains(path)) {
            let what = format!("names a path of one machine ({path})");
            findings.push(Finding::error(
                &file.path,
                index + 1,
                what,
                "use a path relative to the checkout",
            ));
        }
    }
    findings
}

fn check_opening(file: &SourceFile) -> Option<Finding> {
    let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    let is_source = !is_test && (file.path.contains("/src/") || file.path.contains("/benches/"));
    let is_root = file.path.ends_with("/src/lib.rs") || file.path.ends_with("/src/main.rs");
    if !is_source || (!is_root && file.text.lines().count() < NEEDS_DOCS_LINES) {
        return None;
    }
    let opening = file.text.lines().map(str::trim).find(|line| {
        let skipped = line.is_empty()
            || line.starts_with("#![")
            || (line.starts_with("//") && !line.starts_with("//!"));
        !skipped
    });
    if opening.is_some_and(|line| line.starts_with("//!")) {
        return None;
    }
    let remedy = "open with `//!`: what it is, what it is not, what it promises";
    Some(Finding::error(&file.path, 1, "no module documentation", remedy))
}

fn check_leftovers(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in code_lines(&file.text) {
        if let Some(leftover) = LEFTOVERS.iter().find(|leftover| line.contains(**leftover)) {
            let what = format!("`{})` is left over", leftover);
            findings.push(Finding::error(&file.path, index + 1, what, "finish it or remove it"));
        }
    }
    findings
}

fn check_purity(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some((_, words, because)) =
        IMPURE.iter().find(|(folder, ..)| file.path.starts_with(folder))
    else {
        return findings;
    };
    if file.path.ends_with("tests.rs") || file.path.contains("/tests/") {
        return findings;
    }
    for (index, line) in code_lines(&file.text) {
        // Test modules stand last in a file (house style), so everything below is a test.
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if let Some(word) = words.iter().find(|word| line.contains(**word)) {
            let what = format!("`{word}` in a pure crate");
            findings.push(Finding::error(
                &file.path,
                index + 1,
                what,
                format!("let the caller do it: {because}"),
            ));
        }
    }
    findings
}

/// Yields lines without their comments. A `//` inside a string cuts the line short, which at worst misses a word.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index, line.split("//").next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let own = ["/somewhere/of/mine".to_owned()];
        check(&[SourceFile::new(path, text)], &own).iter().map(ToString::to_string).collect()
    }

    fn long(first: &str, lines: usize) -> String {
        format!("{first}\n{}", "const A: u8 = 1;\n".repeat(lines))
    }

    #[test]
    fn modules_open_with_documentation() {
        let cases = [
            ("crates/a/src/lib.rs", "pub fn a() {}\n".to_owned(), 1),
            ("crates/a/src/lib.rs", "//! A crate.\n".to_owned(), 0),
            ("crates/a/src/lib.rs", "// Note.\n#![no_std]\n\n//! A crate.\n".to_owned(), 0),
            ("crates/a/src/b.rs", "pub fn a() {}\n".to_owned(), 0),
            ("crates/a/src/b.rs", long("use std::fmt;", 80), 1),
            ("crates/a/src/b.rs", long("//! B.", 80), 0),
            ("crates/a/tests/it/b.rs", long("use std::fmt;", 80), 0),
            ("crates/a/src/b/tests.rs", long("use super::*;", 80), 0),
        ];
        for (path, text, expected) in cases {
            assert_eq!(
                found(path, &text).len(),
                expected,
                "{path}: {}",
                &text[..20.min(text.len())]
            );
        }
    }

    #[test]
    fn leftovers_are_found_in_code_but_not_in_comments() {
        for leftover in LEFTOVERS {
            let findings =
                found("crates/a/src/b.rs", &format!("fn a() {{\n    {leftover});\n}}\n"));
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].starts_with("crates/a/src/b.rs:2: "), "{findings:?}");
            assert!(found("crates/a/src/b.rs", &format!("// no {leftover}) here\n")).is_empty());
            assert!(
                found("crates/a/resources/bad/src/b.rs", &format!("{leftover});\n")).is_empty()
            );
        }
    }

    #[test]
    fn registry_hosts_and_machine_paths_are_found_anywhere() {
        for word in
            REGISTRY_HOSTS.iter().chain(MACHINE_PATHS).copied().chain(["/somewhere/of/mine"])
        {
            let findings = found("docs/a.md", &format!("see\n<{word}x>\n"));
            assert_eq!(findings.len(), 1, "{word}: {findings:?}");
            assert!(findings[0].starts_with("docs/a.md:2: "), "{findings:?}");
            assert!(found("Cargo.lock", word).is_empty());
        }
    }

    #[test]
    fn pure_crates_stay_pure_outside_their_tests() {
        let path = "crates/skopos-promql/src/eval.rs";
        for word in ["std::fs::read(p)", "x.await", "async fn f() {}", "std::time::Instant::now()"]
        {
            assert_eq!(found(path, word).len(), 1, "{word}");
            assert!(
                found(path, &format!("#[cfg(test)]\nmod tests {{\n{word}\n}}\n")).is_empty(),
                "{word}"
            );
            assert!(found("crates/skopos-server/src/http.rs", word).is_empty(), "{word}");
        }
        assert_eq!(found("crates/skopos-model/src/a.rs", "use std::net::IpAddr;").len(), 1);
        assert_eq!(found("crates/skopos-ingest/src/a.rs", "std::fs::read(p)").len(), 1);
        assert_eq!(found("crates/skopos-redact/src/a.rs", "x.await").len(), 1);
    }

    #[test]
    fn long_files_are_warned_of() {
        let findings = found("crates/a/src/b.rs", &long("//! B.", LONG_LINES));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("warning: "), "{findings:?}");
    }
}
