//! The guide's two tables are covered, and the page that says so is fresh.

use std::path::Path;

use skopos_audit::{Rule, guide};

#[test]
fn every_entry_of_the_guide_has_a_rule() {
    assert_eq!((guide::DETECTION.len(), guide::ANTI_PATTERNS.len()), (23, 10));
    for entry in guide::DETECTION.iter().chain(guide::ANTI_PATTERNS) {
        let judges = |code: &&str| Rule::find(code).is_some_and(|rule| !rule.preview);
        assert!(entry.rules.iter().any(judges), "{} / {} has no rule", entry.row, entry.entry);
        for code in entry.rules {
            assert!(Rule::find(code).is_some(), "{code} of {} is no rule", entry.row);
        }
    }
}

#[test]
fn the_page_of_the_guide_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit/guide.md");
    let page = guide::page();
    if std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let then = std::fs::read_to_string(&file).unwrap();
    assert_eq!(then, page, "SKOPOS_UPDATE_GOLDEN=1 cargo test -p skopos-audit guide writes it");
}
