//! The audit of Skopos' own repository, and of a copy that has lost its sight.

use std::path::{Path, PathBuf};

use skopos_audit::{Config, FolderTree, MemoryTree, Report, Tree as _, audit};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn config() -> Config {
    Config::parse(&std::fs::read_to_string(root().join("skopos-audit.toml")).unwrap()).unwrap()
}

fn rules(report: &Report) -> Vec<&str> {
    let mut rules: Vec<&str> = report.failures().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn grades(report: &Report) -> Vec<(&str, &str)> {
    let all = report.services.iter();
    all.filter_map(|s| Some((s.name.as_str(), s.score.as_ref()?.grade.as_str()))).collect()
}

/// What a text says without any word of telemetry.
fn blinded(text: &str) -> String {
    let words = [
        ("tracing", "unseen"),
        ("opentelemetry", "unseen"),
        ("skopos::", "unseen::"),
        ("skopos_", "own_"),
        ("skopos.workspace", "unseen.workspace"),
        (".counter", ".own"),
        (".gauge", ".own"),
        (".histogram", ".own"),
        ("/health/", "/x/"),
        ("/metrics", "/y"),
        ("livenessProbe", "first"),
        ("readinessProbe", "second"),
        ("startupProbe", "third"),
        ("HEALTHCHECK", "# "),
        ("OTEL_", "UNSEEN_"),
        ("prometheus.io", "unseen.io"),
    ];
    words.iter().fold(text.to_owned(), |text, (word, other)| text.replace(word, other))
}

#[test]
fn this_repository_sees_and_stripped_of_it_is_blind() {
    let config = config();
    let tree = FolderTree::open(&root(), &config).unwrap();
    let report = audit(&tree, &config);
    let found: Vec<String> = report
        .failures()
        .map(|f| format!("{}:{} {} {}", f.path, f.line, f.rule, f.message))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(grades(&report), [("skopos-server", "A")]);
    for held in &report.suppressed {
        let reason = held.reason.as_deref().unwrap_or_default();
        assert!(reason.len() > 10, "{:?} is held back for no reason", held.finding);
    }
    assert_eq!(report.not_in_force, [], "nobody needs it any more");

    // The same without the SDK, without rules, runbooks and probes, and with every other word for telemetry.
    let gone =
        ["crates/skopos/", "crates/skopos-macros/", "rules/", "examples/", "docs/", "benches/"];
    let files =
        tree.paths().iter().filter(|path| !gone.iter().any(|start| path.starts_with(start)));
    let files = files.filter_map(|path| {
        let text = String::from_utf8(tree.read(path).ok()?).ok()?;
        Some((path.clone(), blinded(&text)))
    });
    let bare = Config { accepted: Vec::new(), ..config };
    let report = audit(&MemoryTree::of(files), &bare);
    assert_eq!(grades(&report), [("skopos-server", "F")], "{:#?}", report.services);
    let found = rules(&report);
    for rule in ["ALR001", "HLT001", "HLT002", "LOG001", "MET001", "TRC001"] {
        assert!(found.contains(&rule), "{rule} of {found:?}");
    }
}

/// A library of the image's name (`crates/skopos`) stands beside the server: it must not take the workload.
#[test]
fn stripped_of_its_probes_alone_it_is_told() {
    let config = config();
    let tree = FolderTree::open(&root(), &config).unwrap();
    let files = tree.paths().iter().filter_map(|path| {
        let text = String::from_utf8(tree.read(path).ok()?).ok()?;
        let is_packed = path.starts_with("packaging/");
        let bare = ["livenessProbe", "readinessProbe", "startupProbe"]
            .iter()
            .fold(text.clone(), |text, probe| text.replace(probe, "x"))
            .replace("HEALTHCHECK", "# ");
        Some((path.clone(), if is_packed { bare } else { text }))
    });
    let report = audit(&MemoryTree::of(files), &config);
    let found: Vec<(&str, &str)> =
        report.failures().map(|f| (f.rule, f.service.as_deref().unwrap_or_default())).collect();
    assert!(found.contains(&("HLT002", "skopos-server")), "{found:?}");
}
