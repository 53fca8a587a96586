//! `examples/guide/`: what the guide prints, with nothing changed but the indentation that it lost.

use crate::{guide, read, root};

/// Returns lines without indentation, blank lines and comments.
fn bare(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Returns the guide's lines from the one that equals `first` to the next that equals `last`.
fn block<'a>(guide: &'a str, heading: &str, first: &str, last: &str) -> Vec<&'a str> {
    let lines = bare(guide);
    let at = |from: usize, wanted: &str| {
        let found = lines[from..].iter().position(|line| line == &wanted);
        from + found.unwrap_or_else(|| panic!("the guide has no line `{wanted}` after line {from}"))
    };
    let start = at(at(0, heading), first);
    lines[start..=at(start, last)].to_vec()
}

/// Checks that the block's lines stand in the fixture, in order and unbroken.
fn assert_holds(fixture: &str, block: &[&str]) {
    let text = read(fixture);
    let lines = bare(&text);
    let found = lines.windows(block.len()).any(|window| window == block);
    assert!(found, "{fixture} does not hold, verbatim:\n{}", block.join("\n"));
}

#[test]
fn rules_are_verbatim() {
    let Some(guide) = guide() else { return };
    let page = |name: &str| format!("runbook: \"https://wiki.internal/runbooks/{name}\"");
    let api_alerts = block(&guide, "Example Alertmanager Rules", "groups:", &page("no-traffic"));
    assert_eq!(api_alerts.iter().filter(|line| line.starts_with("- alert:")).count(), 3);
    assert_holds("examples/guide/rules.yml", &api_alerts);

    let end = "annotations: { summary: \"Error budget burning 10x\", runbook: \"https://wiki.internal/runbooks/slo-slow-burn\" }";
    let burn_rates = block(&guide, "Burn Rate Alerts", "- alert: SLOFastBurn", end);
    assert_eq!(burn_rates.iter().filter(|line| line.starts_with("- alert:")).count(), 2);
    assert_holds("examples/guide/rules.yml", &burn_rates);

    let symptoms = block(
        &guide,
        "Alert on Symptoms, Not Causes",
        "- alert: HighCPU",
        &page("high-error-rate"),
    );
    assert_eq!(symptoms.iter().filter(|line| line.starts_with("- alert:")).count(), 2);
    // A comment stands between the two rules, which `bare` leaves out.
    assert_holds("examples/guide/anti-examples.yml", &symptoms);
}

#[test]
fn slo_queries_are_verbatim() {
    let Some(guide) = guide() else { return };
    let last = "/ sum(rate(http_request_duration_seconds_count[30d]))";
    let queries = block(&guide, "Practical SLO Examples", "availability_query: |", last);
    assert_eq!(queries.len(), 6);
    assert_holds("examples/guide/slo-queries.yml", &queries);
}

#[test]
fn every_alert_has_a_runbook_that_answers_the_five_questions() {
    let rules = read("examples/guide/rules.yml");
    let alerts = rules.lines().filter(|line| line.trim().starts_with("- alert:")).count();
    let pages: Vec<&str> = rules
        .split("https://wiki.internal/runbooks/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(pages.len(), alerts, "an alert names no runbook");
    for page in pages {
        let path = format!("examples/guide/runbooks/{page}.md");
        let text = read(&path);
        for heading in [
            "## What does this mean?",
            "## User impact",
            "## First three diagnostic steps",
            "## Common causes and fixes",
            "## Escalation path",
        ] {
            let (_, after) =
                text.split_once(heading).unwrap_or_else(|| panic!("{path} lacks `{heading}`"));
            let section = after.split("\n## ").next().unwrap_or_default().trim();
            assert!(section.len() > 80, "{path}: `{heading}` is answered in too few words");
            if heading.contains("three") {
                let steps =
                    section.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
                assert_eq!(steps.count(), 3, "{path}: three steps are asked for");
            }
        }
    }
    let written = std::fs::read_dir(root().join("examples/guide/runbooks"))
        .expect("the folder is there")
        .count();
    assert_eq!(written, alerts, "a runbook belongs to no alert");
}
