//! Small services in Go, Rust and Java, one that sees and one that is blind in each: what is said of them stands in
//! `expected.txt` beside them. `SKOPOS_UPDATE_GOLDEN=1` writes it. Only rules that join code with files are asked here;
//! each rule on code has its own page of cases.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopos_audit::{Config, MemoryTree, audit};

const RULES: [&str; 11] = [
    "ALR", "COL", "HLT002", "HLT003", "HLT004", "HLT005", "HLT006", "HLT008", "LIF", "MET008",
    "MET009",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/languages")
}

fn files(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else if path.file_name().unwrap() != "expected.txt" {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn small_services_in_go_rust_and_java_are_judged_as_expected() {
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut services: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    services.sort();
    assert_eq!(services.len(), 6);
    for root in services {
        let mut all = Vec::new();
        files(&root, &root, &mut all);
        let select = RULES.iter().map(|code| (*code).to_owned()).collect();
        let report = audit(&MemoryTree::of(all), &Config { select, ..Config::default() });
        let mut said = String::new();
        for service in &report.services {
            writeln!(said, "{} is a {}", service.name, service.kind.as_str()).unwrap();
        }
        for finding in &report.findings {
            writeln!(
                said,
                "{}:{}: {} {}: {}",
                finding.path, finding.line, finding.rule, finding.verdict, finding.message
            )
            .unwrap();
        }
        for problem in &report.problems {
            writeln!(said, "{}:{}: problem: {}", problem.path, problem.line, problem.message)
                .unwrap();
        }
        let expected = root.join("expected.txt");
        if update {
            std::fs::write(&expected, &said).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&expected).unwrap_or_default(),
            said,
            "{}",
            root.display()
        );
    }
}
