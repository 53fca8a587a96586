//! Every page of `rules/` is held to its form, and its examples are run: a hit is found and printed as the page
//! shows it, a clean one is not found, a suppressed one is held back.
//! `SKOPOS_UPDATE_GOLDEN=1` writes what is printed into the pages.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use skopos_lint::{Check, Fetched, Options, Owners, Pages, Policies, Report, Routes, check};

/// A fenced block: what stands behind the fence, and what is in it, with its place in the page.
#[derive(Debug)]
struct Block<'a> {
    info: &'a str,
    text: &'a str,
    start: usize,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut open: Option<(&str, usize)> = None;
    for line in page.split_inclusive('\n') {
        if let Some(info) = line.strip_prefix("```") {
            match open.take() {
                None => open = Some((info.trim(), at + line.len())),
                Some((info, start)) => found.push(Block { info, text: &page[start..at], start }),
            }
        }
        at += line.len();
    }
    assert!(open.is_none(), "a fence is not closed");
    found
}

/// The pages that come with an example.
#[derive(Clone, Default)]
struct Files(HashMap<String, String>);

impl Pages for Files {
    fn page(&self, _file: &str, link: &str) -> Result<Option<String>, String> {
        Ok(self.0.get(link).cloned())
    }

    fn fetch(&self, _url: &str) -> Fetched {
        Fetched::NotAsked
    }
}

/// Examples that are a list of rules are put into a group.
fn file(example: &str) -> String {
    if example.starts_with("groups:") {
        return example.to_owned();
    }
    let mut text = String::from("groups:\n- name: example\n  rules:\n");
    example.lines().for_each(|line| writeln!(text, "  {line}").unwrap());
    text
}

struct Example<'a> {
    kind: &'a str,
    block: Block<'a>,
    report: Report,
}

/// Runs the examples of a page, each with the pages and owners that stand between it and the one before.
fn run(page: &str) -> Vec<Example<'_>> {
    let mut examples = Vec::new();
    let (mut files, mut owners, mut routes, mut policies) = (Files::default(), None, None, None);
    let mut of_hit = (Files::default(), None, None, None);
    for block in blocks(page) {
        if let Some(name) = block.info.strip_prefix("markdown file=") {
            files.0.insert(name.to_owned(), block.text.to_owned());
        } else if block.info == "yaml owners" {
            owners = Some(Owners::parse(block.text).unwrap());
        } else if block.info == "yaml policies" {
            policies = Some(Policies::parse(block.text).unwrap());
        } else if block.info == "yaml routes" {
            routes = Some(Routes::load("alertmanager.yml", block.text).unwrap());
        } else if let Some(kind) = block.info.strip_prefix("yaml ") {
            if kind == "suppressed" {
                // What is held back is what was found: it has the same files.
                (files, owners, routes, policies) = of_hit.clone();
            }
            let options = Options {
                owners: owners.clone(),
                routes: routes.clone(),
                policies: policies.clone(),
                ..Options::default()
            };
            let text = file(block.text);
            let report = check(&[("rules.yml", &text)], &options, &files);
            examples.push(Example { kind, block, report });
            let used = (std::mem::take(&mut files), owners.take(), routes.take(), policies.take());
            if kind == "hit" {
                of_hit = used;
            }
        }
    }
    examples
}

#[test]
fn every_page_has_its_form() {
    for check in Check::all() {
        let Check { code, title, source, page, .. } = check;
        assert!(!title.is_empty() && !source.is_empty(), "{code}");
        assert!(page.contains("\nSeverity: ") && page.contains("\n## Why\n"), "{code}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("rules/{code}.md"));
        assert_eq!(
            &std::fs::read_to_string(file).unwrap(),
            page,
            "the page of {code} has its name"
        );
        let (area, name) = code.split_once('/').unwrap();
        for part in [area, name] {
            assert!(part.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code}");
        }
    }
    let codes: Vec<&str> = Check::all().iter().map(|check| check.code).collect();
    assert!(codes.is_sorted(), "binary search needs them sorted: {codes:?}");
    let mut files = 0;
    for area in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap() {
        files += std::fs::read_dir(area.unwrap().path()).unwrap().count();
    }
    assert_eq!(files, codes.len(), "every file in rules/ is a check");
}

#[test]
fn examples_are_found_or_not_as_the_pages_say() {
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for check in Check::all() {
        let code = check.code;
        let loads = !["yaml/parse", "promql/syntax", "rule/schema"].contains(&code);
        let examples = run(check.page);
        let kinds: Vec<&str> = examples.iter().map(|example| example.kind).collect();
        let needed: &[&str] = match loads && !code.starts_with("lint/") {
            true => &["hit", "clean", "suppressed"],
            false => &["hit", "clean"],
        };
        assert_eq!(kinds, needed, "{code}");
        for example in &examples {
            let found: Vec<_> = example.report.findings.iter().filter(|f| f.code == code).collect();
            let held = example.report.suppressed.iter().filter(|s| s.finding.code == code).count();
            let broken: Vec<String> = example
                .report
                .findings
                .iter()
                .filter(|f| {
                    ["yaml/parse", "promql/syntax", "rule/schema", "lint/comment"].contains(&f.code)
                })
                .filter(|f| f.code != code)
                .map(ToString::to_string)
                .collect();
            if !broken.is_empty() {
                wrong.push(format!("{code} {}: {}", example.kind, broken.join("\n")));
            }
            match example.kind {
                "hit" => {
                    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                    let shown = shown.join("\n") + "\n";
                    let after =
                        blocks(check.page).into_iter().find(|b| b.start > example.block.start);
                    let after =
                        after.filter(|b| b.info == "text").expect("a text block follows the hit");
                    if after.text != shown && update && !found.is_empty() {
                        write(check, &after, &shown);
                    } else if after.text != shown {
                        wrong.push(format!("{code} hit prints\n{shown}"));
                    }
                }
                "clean" => wrong.extend(found.iter().map(|f| format!("{code} clean: {f}"))),
                _ if !found.is_empty() || held == 0 => {
                    wrong.push(format!("{code} suppressed: {held} held back, found {found:?}"));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn write(check: &Check, block: &Block<'_>, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("rules/{}.md", check.code));
    let end = block.start + block.text.len();
    let text = format!("{}{shown}{}", &check.page[..block.start], &check.page[end..]);
    std::fs::write(file, text).unwrap();
}
