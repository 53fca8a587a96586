//! Runbooks: what is understood as an answer, and what is missed.

use std::path::Path;

use skopos_lint::runbook::{self, Question, Runbook, blocks, find_alert, skeleton, slug, steps};
use skopos_lint::{Options, Owners};

fn guide(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guide");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn the_guides_runbooks_answer_everything() {
    let owners = Owners::parse(&guide("owners.yml")).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guide/runbooks");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let findings = runbook::check(&path.display().to_string(), &text, Some(&owners));
        assert!(findings.is_empty(), "{findings:#?}");
        assert!(Runbook::parse(&text).owner.is_some());
        assert!(steps(&blocks(&text)).len() >= 3, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn headings_go_by_many_names() {
    use Question::*;
    for (heading, want) in [
        ("What does this mean?", Some(Meaning)),
        ("Meaning", Some(Meaning)),
        ("Description", Some(Meaning)),
        ("Impact", Some(Impact)),
        ("User impact?", Some(Impact)),
        ("Diagnosis", Some(Steps)),
        ("First three diagnostic steps", Some(Steps)),
        ("Troubleshooting", Some(Steps)),
        ("Mitigation", Some(Causes)),
        ("Common causes + fixes", Some(Causes)),
        ("Possible Causes", Some(Causes)),
        ("Escalation path", Some(Escalation)),
        ("Who to contact", Some(Escalation)),
        ("See also", None),
        ("Alert", None),
        ("Fixtures", None),
    ] {
        assert_eq!(Question::of_heading(heading), want, "{heading}");
    }
}

#[test]
fn pages_in_wide_use_lack_an_escalation() {
    let page = "---\ntitle: Kube Pod Crash Looping\n---\n\n# KubePodCrashLooping\n\n## Meaning\n\nPod is in CrashLoop.\n\n## Impact\n\nService degradation.\n\n## Diagnosis\n\n- Check the pod's log\n- Check its events\n- Check its limits\n\n## Mitigation\n\nTalk with developers.\n";
    let page = Runbook::parse(page);
    assert_eq!(page.title.as_deref(), Some("KubePodCrashLooping"));
    assert_eq!(page.unanswered(), [Question::Escalation]);
    let codes: Vec<&str> = page.problems(None).iter().map(|p| p.code).collect();
    assert_eq!(codes, ["runbook/incomplete", "runbook/owner"]);
}

#[test]
fn owners_in_front_matter_and_lines() {
    for (page, want) in [
        ("---\nowner: team-a\n---\n# X\n", Some("team-a")),
        ("# X\n\n**Owner**: `team-b`\n", Some("team-b")),
        ("# X\n\nSeverity: P1 · Owner: team c · Rule: x\n", Some("team c")),
        ("# X\n\nOwner: TODO\n", None),
        ("# X\n\n```\nOwner: nobody\n```\n", None),
        ("# X\n\nThe homeowner: none\n", None),
        ("", None),
    ] {
        assert_eq!(Runbook::parse(page).owner.as_deref(), want, "{page:?}");
    }
}

#[test]
fn what_is_still_to_be_written_is_no_answer() {
    let page = "# A\n\nOwner: a\n\n## Meaning\n\nTODO\n\n## Impact\n\n### Users\n\nSee nothing at all.\n\n## Steps\n\n1. a thing\n2. another\n\n## Causes\n\nTBD: ask Kim\n\n## Escalation\n\n- call Kim\n";
    let page = Runbook::parse(page);
    assert_eq!(page.unanswered(), [Question::Meaning, Question::Causes]);
    let messages: Vec<String> = page.problems(None).into_iter().map(|p| p.message).collect();
    assert!(messages.iter().any(|m| m.contains("fewer than 3")), "{messages:?}");
}

#[test]
fn escalation_must_reach_somebody_who_can_be_called() {
    let page = |escalation: &str| {
        format!(
            "# A\n\nOwner: shop\n\n## Meaning\n\nabc def\n\n## Impact\n\nabc\n\n## Steps\n\n1. abc\n2. abc\n3. abc\n\n## Causes\n\nabc\n\n## Escalation\n\n{escalation}\n"
        )
    };
    let owners = Owners::parse("shop: {schedule: x}\npayments: {}\n").unwrap();
    for (text, want) in
        [("call shop", 0), ("call payments", 1), ("call Sam", 1), ("the shop, then payments", 0)]
    {
        let problems = Runbook::parse(&page(text)).problems(Some(&owners));
        assert_eq!(problems.len(), want, "{text}: {problems:?}");
        assert!(problems.iter().all(|p| p.code == "runbook/escalation"));
    }
}

#[test]
fn a_skeleton_says_what_the_rule_says_and_is_found_incomplete() {
    let text = guide("rules.yml");
    let begun = find_alert(&[("rules.yml", &text)], "HighErrorRate", &Options::default()).unwrap();
    let page = skeleton(&begun);
    for part in [
        "# HighErrorRate\n",
        "Severity: critical (P1) · Owner: TODO · Rule: `rules.yml`, group `api-alerts`",
        "for 5m",
        "Error rate {{ $value | humanizePercentage }} exceeds 1%",
        "sum(rate(http_requests_total{status_code=~\"5..\"}[5m]))",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let read = Runbook::parse(&page);
    assert_eq!(read.unanswered().len(), 5, "nothing is answered yet: {read:#?}");
    assert_eq!(read.answers.len(), 5, "but every heading is there");
    assert!(find_alert(&[("rules.yml", &text)], "Nope", &Options::default()).is_none());
    assert_eq!(slug(&begun.alert), "high-error-rate");
}
