//! Drives the fuzz target: the committed corpus, then seeded mutations of it for
//! `SKOPOS_FUZZ_SECONDS` (2 by default).

use std::path::Path;
use std::time::Duration;

use skopos_filter::fuzz::fuzz_filter;
use skopos_model::{Clock, SystemClock};

use crate::random::{Random, filter};

const PIECES: [&str; 24] = [
    "(",
    ")",
    "\"",
    "\\",
    "*",
    "-",
    "=",
    "!=",
    ">=",
    "~",
    "!~",
    " OR ",
    " and ",
    "not ",
    "has(",
    "level",
    "duration",
    "500ms",
    "trace_id",
    "é",
    "\n",
    "\\u{1f600}",
    "!",
    ":",
];

fn corpus() -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/filter/filters.txt");
    let text = std::fs::read(&file).unwrap();
    let lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    assert!(lines.len() > 20, "the corpus is there");
    lines
}

fn mutate(r: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = match r.below(3) {
        0 => filter(r, 3).into_bytes(),
        _ => corpus[r.below(corpus.len())].clone(),
    };
    for _ in 0..=r.below(4) {
        let at = r.below(data.len() + 1);
        match r.below(4) {
            0 => {
                let end = (at + r.below(8)).min(data.len());
                data.drain(at..end);
            }
            1 => {
                let piece = r.pick(&PIECES).bytes();
                data.splice(at..at, piece);
            }
            2 if at < data.len() => data[at] = (r.next() & 0x7f) as u8,
            _ => {
                let end = (at + r.below(16)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}

#[test]
fn fuzz_filter_breaks_no_promise() {
    let corpus = corpus();
    corpus.iter().for_each(|data| fuzz_filter(data));
    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let mut r = Random::new(7);
    let clock = SystemClock::new();
    let end = clock.monotonic() + Duration::from_secs(seconds.unwrap_or(2));
    let mut runs = 0;
    while runs % 64 != 0 || clock.monotonic() < end {
        fuzz_filter(&mutate(&mut r, &corpus));
        runs += 1;
    }
    assert!(runs >= 64);
}
