//! Drives the fuzz targets: the committed corpus, then seeded mutations of it for
//! `SKOPOS_FUZZ_SECONDS` (2 by default).

use std::path::Path;
use std::time::Duration;

use skopos_model::{Clock, SystemClock};
use skopos_promql::fuzz::{fuzz_promql_parse, fuzz_promqltest_script};

use crate::random::Random;

const PIECES: [&str; 24] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "5m",
    ":",
    " offset ",
    " @ ",
    "rate",
    "sum by (a) ",
    "\"",
    "é",
    "0x",
    "1e400",
    "-",
    "^",
    "\\xff",
    "\n",
    "step()",
    " on() group_left ",
    "NaN",
    "9223372036854775807",
];

fn seconds() -> u64 {
    std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        // Queries stand one per line, scripts one per file.
        if target == "promql_parse" {
            all.extend(bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec));
        } else {
            all.push(bytes);
        }
    }
    assert!(all.len() > 1, "corpus of {target} is empty");
    all
}

fn mutate(r: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[r.below(corpus.len())].clone();
    for _ in 0..=r.below(4) {
        let at = r.below(data.len() + 1);
        match r.below(5) {
            0 => {
                let end = (at + r.below(8)).min(data.len());
                data.drain(at..end);
            }
            1 => {
                let piece = PIECES[r.below(PIECES.len())].bytes();
                data.splice(at..at, piece);
            }
            2 if at < data.len() => data[at] = (r.next() & 0x7f) as u8,
            3 => {
                let other = &corpus[r.below(corpus.len())];
                let from = r.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => {
                let end = (at + r.below(16)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}

fn drive(target: &str, run: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|data| run(data));
    let mut r = Random::new(7);
    let clock = SystemClock::new();
    let end = clock.monotonic() + Duration::from_secs(seconds());
    let mut runs = 0;
    while runs % 64 != 0 || clock.monotonic() < end {
        run(&mutate(&mut r, &corpus));
        runs += 1;
    }
    assert!(runs >= 64);
}

#[test]
fn no_query_breaks_the_parser() {
    drive("promql_parse", fuzz_promql_parse);
}

#[test]
fn no_script_breaks_the_runner() {
    drive("promqltest_script", fuzz_promqltest_script);
}
