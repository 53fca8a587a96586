//! Every page of `rules/` is held to its form, and its cases are run, each a small repository.
//!
//! A case is a section whose heading begins with `Hit`, `Clean`, `Mitigated`, `Unknown` or `Suppressed`. Its fenced blocks
//! with `file=PATH` are the files; `config` behind the fence is `skopos-audit.toml`, `live` what a running server answers. What the rule says of it stands in the
//! section's `text` block, one line each. `SKOPOS_UPDATE_GOLDEN=1` writes what is said into the pages.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopos_audit::{Config, Live, Means, MemoryTree, Report, Rule, Severity, audit_with};

const KINDS: [&str; 5] = ["Hit", "Clean", "Mitigated", "Unknown", "Suppressed"];

#[derive(Debug, Default)]
struct Example {
    kind: &'static str,
    heading: String,
    files: Vec<(String, String)>,
    config: Config,
    live: Option<Live>,
    /// The `text` block: its place in the page.
    said: Option<std::ops::Range<usize>>,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let (mut at, mut current) = (0, None::<usize>);
    let mut open: Option<(String, String, usize)> = None;
    for line in page.split_inclusive('\n') {
        let end = at + line.len();
        if let Some((fence, info, start)) = &open {
            if line.trim_end() == *fence {
                let text = page[*start..at].to_owned();
                if let Some(example) = current.and_then(|at| examples.get_mut(at)) {
                    if let Some((_, path)) = info.split_once("file=") {
                        example.files.push((path.trim().to_owned(), text));
                    } else if info == "toml config" {
                        example.config = Config::parse(&text).unwrap();
                    } else if info == "json live" {
                        let answer = serde_json::from_str(&text).unwrap();
                        let address = "http://127.0.0.1:4319";
                        example.live = Some(Live::of_series(address, &answer).unwrap());
                    } else if info == "text" {
                        example.said = Some(*start..at);
                    }
                }
                open = None;
            }
        } else if line.starts_with("```") {
            let ticks = line.chars().take_while(|c| *c == '`').count();
            open = Some((line[..ticks].to_owned(), line[ticks..].trim().to_owned(), end));
        } else if let Some(heading) = line.strip_prefix("## ") {
            let kind = KINDS.into_iter().find(|kind| heading.starts_with(kind));
            current = kind.map(|kind| {
                let heading = heading.trim().to_owned();
                examples.push(Example { kind, heading, ..Example::default() });
                examples.len() - 1
            });
        }
        at = end;
    }
    assert!(open.is_none(), "a fence is not closed");
    examples
}

/// What the rule says of a case: `path:line: verdict: message`.
fn said(code: &str, report: &Report) -> (String, String) {
    let (mut found, mut held) = (String::new(), String::new());
    for f in report.findings.iter().filter(|f| f.rule == code) {
        let verdict = match f.verdict {
            "finding" => String::new(),
            "mitigated" => format!("mitigated at {}: ", f.mitigated_at.as_deref().unwrap_or("?")),
            _ => format!("unknown, settled by {}: ", f.settle.as_deref().unwrap_or("?")),
        };
        writeln!(found, "{}:{}: {verdict}{}", f.path, f.line, f.message).unwrap();
    }
    for s in report.suppressed.iter().filter(|s| s.finding.rule == code) {
        let f = &s.finding;
        writeln!(held, "{}:{}: held back: {}", f.path, f.line, s.reason.as_deref().unwrap_or("?"))
            .unwrap();
    }
    (found, held)
}

fn page_file(code: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("rules/{code}.md"))
}

#[test]
fn every_page_has_its_form() {
    for rule in Rule::all() {
        let Rule { code, title, page, .. } = rule;
        let on_disk = std::fs::read_to_string(page_file(code)).unwrap();
        assert_eq!(&on_disk, page, "the page of {code} has its name");
        assert!(!title.is_empty() && !rule.guide.is_empty() && !rule.judges.is_empty(), "{code}");
        let severity = format!("\nSeverity: {}\n", rule.severity);
        let pillar = format!("\nPillar: {}\n", rule.pillar.as_str());
        assert!(
            page.contains(&severity) && page.contains(&pillar),
            "{code}: a head that is not read"
        );
        for heading in ["Why", "Fix", "Traps"] {
            assert!(
                rule.section(heading).is_some_and(|text| !text.is_empty()),
                "{code}: ## {heading}"
            );
        }
        let kinds: Vec<&str> = examples(page).iter().map(|e| e.kind).collect();
        assert!(kinds.len() >= 3, "{code} has fewer than three cases: {kinds:?}");
        // LIV003 never fails an audit.
        assert!(kinds.contains(&"Hit") || *code == "LIV003", "{code}: {kinds:?}");
        assert!(kinds.contains(&"Clean"), "{code}: {kinds:?}");
        let held = ["Suppressed", "Mitigated", "Unknown"];
        assert!(
            kinds.iter().any(|k| held.contains(k)),
            "{code}: nothing suppressed, mitigated or unknown"
        );
    }
    let codes: Vec<&str> = Rule::all().iter().map(|rule| rule.code).collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "each code once: {codes:?}");
    let folder = page_file("x");
    let folder = folder.parent().unwrap();
    let files = std::fs::read_dir(folder).map_or(0, |entries| entries.count());
    assert_eq!(files, codes.len(), "every file in rules/ is a rule");
}

#[test]
fn cases_are_judged_as_the_pages_say() {
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    for rule in Rule::all() {
        let code = rule.code;
        let mut page = rule.page.to_owned();
        // From the last to the first, so that places stay true while the page is written.
        for example in examples(rule.page).into_iter().rev() {
            let heading = &example.heading;
            let mut config = example.config.clone();
            config.select = vec![code.to_owned()];
            let means = Means { live: example.live.as_ref(), ..Means::default() };
            let report = audit_with(&MemoryTree::of(example.files.clone()), &config, means);
            for problem in &report.problems {
                let _ = writeln!(
                    wrong,
                    "{code} {heading}: {}:{} {}",
                    problem.path, problem.line, problem.message
                );
            }
            let (found, held) = said(code, &report);
            let failures = report.failures().count();
            let right = match example.kind {
                "Hit" => failures > 0,
                "Clean" => found.is_empty() && held.is_empty(),
                "Suppressed" => failures == 0 && !held.is_empty(),
                kind => {
                    let verdict = kind.to_lowercase();
                    failures == 0 && report.findings.iter().any(|f| f.verdict == verdict)
                }
            };
            let units: Vec<String> = report
                .services
                .iter()
                .map(|s| format!("{} ({})", s.name, s.kind.as_str()))
                .collect();
            if !right {
                let _ = writeln!(wrong, "{code} {heading}: of {units:?} is said\n{found}{held}");
                continue;
            }
            let all = found + &held;
            match example.said {
                Some(place) if page[place.clone()] != all && update => {
                    page.replace_range(place, &all)
                }
                Some(place) if page[place.clone()] != all => {
                    let _ = writeln!(wrong, "{code} {heading} says\n{all}not\n{}", &page[place]);
                }
                None if example.kind != "Clean" => {
                    let _ = writeln!(wrong, "{code} {heading} has no text block for\n{all}");
                }
                _ => {}
            }
        }
        if update && page != rule.page {
            std::fs::write(page_file(code), page).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn severities_weigh_what_the_score_says() {
    let weights: Vec<u32> = Severity::ALL.into_iter().map(Severity::weight).collect();
    assert_eq!(weights, [10, 20, 30, 40]);
}
