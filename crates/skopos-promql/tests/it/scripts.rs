//! Test scripts: our own, and Prometheus' where they are at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use skopos_promql::promqltest;

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scripts_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn own_scripts_pass() {
    let paths = scripts_in(&crate_dir().join("testdata"));
    assert!(!paths.is_empty(), "testdata has no scripts");
    let mut failed = 0;
    for path in paths {
        let script = std::fs::read_to_string(&path).unwrap();
        let report = promqltest::run(&script).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(!report.cases.is_empty(), "{} has no cases", path.display());
        for case in report.cases {
            if let Some(failure) = case.failure {
                failed += 1;
                println!("{}:{}: {}\n    {failure}", name_of(&path), case.line, case.query);
            }
        }
    }
    assert_eq!(failed, 0, "cases failed, see above");
}

/// Runs every script of Prometheus found in `SKOPOS_PROMQLTEST_DIR`, or in the project's shared
/// folder beside the workspace. A file must never pass fewer cases than
/// `testdata/upstream-baseline.txt` says.
#[test]
fn upstream() {
    let folder = std::env::var_os("SKOPOS_PROMQLTEST_DIR")
        .map_or_else(|| crate_dir().join("../../../shared/conformance/promqltest"), PathBuf::from);
    let paths = scripts_in(&folder);
    if paths.is_empty() {
        println!("skipped: no scripts in {} (set SKOPOS_PROMQLTEST_DIR)", folder.display());
        return;
    }
    let mut baseline: BTreeMap<String, usize> =
        include_str!("../../testdata/upstream-baseline.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, passed)| (name.to_owned(), passed.trim().parse().unwrap()))
            .collect();
    let (mut all, mut all_passed, mut worse) = (0, 0, Vec::new());
    println!("{:<28} {:>6} {:>6} {:>6}  failed lines", "file", "cases", "passed", "failed");
    for path in paths {
        let name = name_of(&path);
        let script = std::fs::read_to_string(&path).unwrap();
        let (cases, passed, lines, details) = match promqltest::run(&script) {
            Ok(report) => {
                let failed: Vec<_> = report.cases.iter().filter(|c| c.failure.is_some()).collect();
                let lines: Vec<String> = failed.iter().map(|c| c.line.to_string()).collect();
                let details: Vec<String> = failed
                    .iter()
                    .map(|c| {
                        let failure = c.failure.as_deref().unwrap_or("");
                        format!("  {name}:{}: {}\n      {failure}", c.line, c.query)
                    })
                    .collect();
                (report.cases.len(), report.passed(), lines.join(" "), details)
            }
            Err(error) => (0, 0, format!("unreadable: {error}"), Vec::new()),
        };
        println!("{name:<28} {cases:>6} {passed:>6} {:>6}  {lines}", cases - passed);
        details.iter().for_each(|d| println!("{d}"));
        all += cases;
        all_passed += passed;
        if let Some(before) = baseline.remove(&name)
            && passed < before
        {
            worse.push(format!("{name}: {passed} of {cases}, before {before}"));
        }
    }
    println!("{:<28} {all:>6} {all_passed:>6} {:>6}", "total", all - all_passed);
    assert!(worse.is_empty(), "fewer cases pass than before: {worse:?}");
}
