//! Drives the fuzz targets: the committed corpus, the pages of the checks, then seeded mutations of both for
//! `SKOPOS_FUZZ_SECONDS` (2 by default).

use std::path::Path;
use std::time::Duration;

use skopos_lint::{Check, fuzz_lint_comments, runbook};
use skopos_model::{Clock, SystemClock};

use crate::random::Random;

const PIECES: [&str; 22] = [
    "# skopos:ignore ",
    "# skopos:ignore-file ",
    "# pint disable ",
    "# pint snooze 2030-01-01 ",
    "alerts/*",
    "rule/for",
    " why",
    "\n",
    "  ",
    "'",
    "\"",
    "#",
    "## Escalation path\n",
    "---\n",
    "Owner: ",
    "- ",
    "1. ",
    "```\n",
    "| a | b |\n|---|---|\n",
    "[x](javascript:y)",
    "<b>",
    "é",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "no corpus for {target}");
    corpus.extend(Check::all().iter().map(|check| check.page.as_bytes().to_vec()));
    corpus
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    data.truncate(4096);
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        match random.below(4) {
            0 => {
                let end = (at + random.below(40)).min(data.len());
                data.drain(at..end);
            }
            1 => {
                let piece = PIECES[random.below(PIECES.len())].bytes();
                data.splice(at..at, piece);
            }
            2 if at < data.len() => data[at] = (random.next() & 0x7f) as u8,
            _ => {
                let end = (at + random.below(80)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}

fn run(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|data| check(data));
    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let clock = SystemClock::new();
    let end = clock.monotonic() + Duration::from_secs(seconds.unwrap_or(2));
    let mut random = Random(11);
    let mut runs = 0;
    while runs % 16 != 0 || clock.monotonic() < end {
        check(&mutate(&mut random, &corpus));
        runs += 1;
    }
    assert!(runs >= 16);
}

#[test]
fn fuzz_lint_comments_breaks_no_promise() {
    run("lint_comments", fuzz_lint_comments);
}

#[test]
fn fuzz_runbook_breaks_no_promise() {
    run("runbook", runbook::fuzz_runbook);
}
