//! `docs/coverage.md` beside the guide: what it quotes is there, and no table row of the guide is without its row.

use crate::{guide, read};

/// Returns text in a form that dashes, Markdown marks and spacing do not change.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric() || "%<>=.".contains(*c));
    kept.collect::<String>().to_lowercase()
}

/// Returns the demands: the second cell of each row with an id.
fn demands(coverage: &str) -> Vec<(String, String)> {
    let rows = coverage.lines().filter(|line| line.starts_with("| G"));
    rows.map(|line| {
        let line = line.replace("\\|", "\u{0}");
        let mut cells = line.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned());
        let id = cells.nth(1).unwrap_or_default();
        (id, cells.next().unwrap_or_default())
    })
    .collect()
}

#[test]
fn quotations_are_the_guides_words() {
    let Some(guide) = guide() else { return };
    let guide = plain(&guide);
    let coverage = read("docs/coverage.md");
    let mut checked = 0;
    for (id, demand) in demands(&coverage) {
        // Code in backticks may hold quotation marks of its own.
        let prose: String = demand.split('`').step_by(2).collect::<Vec<_>>().join("\u{1}");
        for quotation in prose.split('"').skip(1).step_by(2) {
            for part in quotation.split(['…', '\u{1}']).map(plain).filter(|part| !part.is_empty())
            {
                assert!(
                    guide.contains(&part),
                    "{id}: the guide does not say \"{quotation}\" (`{part}`)"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} quotations were found: has the table's form changed?");
}

#[test]
fn sections_are_all_there() {
    let Some(guide) = guide() else { return };
    let coverage = read("docs/coverage.md");
    let numbered = guide
        .lines()
        .filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok()));
    let sections: Vec<u32> = numbered
        .filter_map(|line| line.split_once('.').and_then(|(n, _)| n.parse().ok()))
        .collect();
    assert_eq!(sections, (1..=9).collect::<Vec<_>>(), "the guide's numbered sections");
    for section in sections {
        assert!(coverage.contains(&format!("\n## {section}. ")), "section {section} is missing");
    }
    for heading in ["Detection Patterns", "Anti-Patterns", "Cross-References"] {
        assert!(guide.contains(heading));
        let ours = format!("\n## {}", heading.to_lowercase());
        assert!(coverage.to_lowercase().contains(&ours), "{heading} is missing");
    }
}

#[test]
fn every_table_row_of_the_guide_is_named() {
    let Some(guide) = guide() else { return };
    let coverage = plain(&read("docs/coverage.md"));
    let mut missing = Vec::new();
    for line in guide.lines().skip(2).filter(|line| line.starts_with('|') && line.ends_with('|')) {
        let first = line.trim_matches('|').split(" | ").next().unwrap_or_default();
        // The header rows of the guide's tables, and the guide's own head.
        let is_header = first.trim().trim_matches('-').is_empty()
            || ["Pillar", "Level", "Severity", "Concept", "Signal", "Gap", "Anti-Pattern"]
                .contains(&first.trim());
        let words: Vec<String> = first
            .split(|c: char| !c.is_alphanumeric())
            .map(plain)
            .filter(|w| w.len() > 1)
            .collect();
        let named = words.iter().filter(|word| coverage.contains(word.as_str())).count();
        // Paraphrase is allowed; most of the words must be there.
        if !is_header && named * 3 < words.len() * 2 {
            missing.push(first.to_owned());
        }
    }
    assert!(missing.is_empty(), "no row of docs/coverage.md names: {missing:#?}");
}
