//! The page of demands keeps its word: a block of code for every row of its table, and a row for every block. That the blocks
//! compile is what the doctests see to.

use std::collections::BTreeSet;

#[test]
fn every_demand_has_its_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sdk/demands.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (table, sections) = page.split_once("\n## ").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| section"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut demanded = BTreeSet::new();
    for row in &rows {
        let [section, demand, api] = row.as_slice() else { panic!("three cells: {row:?}") };
        assert!(!api.is_empty(), "{demand}");
        assert!(demanded.insert(format!("{section}: {demand}")), "twice: {demand}");
    }
    let met: BTreeSet<String> = sections
        .split("\n## ")
        .map(|section| {
            let (title, body) = section.split_once('\n').unwrap();
            let code = body.split_once("```rust").map_or("", |(_, code)| code);
            assert!(code.contains("\n```"), "no program: {title}");
            title.to_owned()
        })
        .collect();
    assert_eq!(demanded, met);
    for section in ["2", "3", "4", "5", "8", "9"] {
        assert!(rows.iter().any(|row| row[0] == section), "no demand of section {section}");
    }
}
