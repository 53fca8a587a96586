//! Small services, good and bad, each with what is said of it: `resources/services/<name>/` and `<name>.txt` beside it.
//! `SKOPOS_UPDATE_GOLDEN=1` writes what is said.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopos_audit::{Config, FolderTree, Report, audit};

fn resources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/services")
}

pub(crate) fn report(folder: &Path) -> Report {
    let config = Config::default();
    audit(&FolderTree::open(folder, &config).unwrap(), &config)
}

fn said(report: &Report) -> String {
    let mut out = String::new();
    for service in &report.services {
        let score = service
            .score
            .as_ref()
            .map_or(String::new(), |s| format!(", {} {:.0}", s.grade, s.points));
        let (kind, language) = (service.kind.as_str(), service.language.as_str());
        writeln!(out, "{kind} {} ({language}, {}{score})", service.name, service.path).unwrap();
    }
    for f in &report.findings {
        let service = f.service.as_deref().unwrap_or("repository");
        writeln!(out, "{}:{} {} {} [{service}] {}", f.path, f.line, f.rule, f.verdict, f.message)
            .unwrap();
    }
    for p in &report.problems {
        writeln!(out, "{}:{} not understood: {}", p.path, p.line, p.message).unwrap();
    }
    out
}

#[test]
fn services_are_judged_as_written_down() {
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(resources())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 12);
    for folder in folders {
        let now = said(&report(&folder));
        let golden = folder.with_extension("txt");
        let then = std::fs::read_to_string(&golden).unwrap_or_default();
        if now != then && update {
            std::fs::write(&golden, &now).unwrap();
        } else if now != then {
            writeln!(wrong, "{}:\n{now}", folder.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_good_is_found_good_and_what_is_blind_blind() {
    let grade = |name: &str| {
        let report = report(&resources().join(name));
        let score = report.services.iter().find_map(|s| s.score.clone()).unwrap();
        (score.grade, report.failures().map(|f| f.rule).collect::<Vec<_>>())
    };
    let (grade_of_good, _) = grade("python-fastapi-good");
    assert_eq!(grade_of_good, "A");
    assert_eq!(grade("node-express-good").0, "A");
    for blind in ["python-fastapi-blind", "node-express-blind"] {
        let (grade, rules) = grade(blind);
        assert_eq!(grade, "F", "{blind}");
        for rule in ["LOG001", "LOG002", "MET001", "TRC001", "HLT001", "ALR001"] {
            assert!(rules.contains(&rule), "{blind} lacks {rule}: {rules:?}");
        }
    }
    for nothing in ["python-library", "python-cli"] {
        let report = report(&resources().join(nothing));
        assert!(
            report.services.iter().all(|s| !s.kind.is_watched()),
            "{nothing}: {:?}",
            report.services
        );
        assert_eq!(report.failures().count(), 0, "{nothing}");
    }
}

#[test]
fn the_same_tree_gives_the_same_report() {
    let folder = resources().join("monorepo");
    let once = serde_json::to_string(&report(&folder)).unwrap();
    for _ in 0..5 {
        assert_eq!(serde_json::to_string(&report(&folder)).unwrap(), once);
    }
}
