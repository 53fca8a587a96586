//! Rules in the wild: kube-prometheus, as Kubernetes objects, checked together.
//!
//! Runs over the folder that `SKOPOS_RULES_DIR` names (`conformance/rules/kube-prometheus` of the project's shared
//! data); without it the excerpt in `testdata/` is all.

use std::path::{Path, PathBuf};

use skopos_lint::{NoPages, Options, Report, Severity, check};

fn folder(path: &Path) -> Report {
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    files.sort();
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = texts.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    check(&borrowed, &Options::default(), &NoPages)
}

#[test]
fn rules_in_wide_use_have_no_errors() {
    let excerpt = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/public");
    let whole = std::env::var_os("SKOPOS_RULES_DIR").map(PathBuf::from);
    for path in [Some(excerpt), whole].into_iter().flatten() {
        let report = folder(&path);
        assert!(report.alerting_rules > 0);
        println!("{}\n{:#?}", report.summary(), report.counts());
        if std::env::var_os("SKOPOS_SHOW").is_some() {
            println!("{}", report.render(Severity::Warning));
        }
        if std::env::var_os("SKOPOS_SHOW").is_some_and(|v| v == "info") {
            println!("{}", report.render(Severity::Info));
        }
        assert!(report.is_below(Severity::Error), "{}", report.render(Severity::Error));
    }
}
