//! The rules that come with Skopos pass its own checks.

use skopos_alerting::builtin;
use skopos_lint::{Fetched, Options, Pages, Severity, check};

/// The embedded runbooks.
struct Embedded;

impl Pages for Embedded {
    fn page(&self, _file: &str, link: &str) -> Result<Option<String>, String> {
        Ok(builtin::runbook(link).map(|page| page.text.to_owned()))
    }

    fn fetch(&self, _url: &str) -> Fetched {
        Fetched::NotAsked
    }
}

#[test]
fn the_built_in_pack_has_nothing_to_find() {
    let files: Vec<_> = builtin::rule_files().iter().map(|file| (file.path, file.text)).collect();
    let report = check(&files, &Options::default(), &Embedded);
    assert!(report.alerting_rules >= 16);
    assert!(report.is_below(Severity::Info), "{}", report.render(Severity::Info));
    assert!(report.suppressed.len() <= 5, "each exception is a bad example");
}
