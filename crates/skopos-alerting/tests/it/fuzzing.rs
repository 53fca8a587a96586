//! Drives the fuzz functions on stable Rust: the committed corpus, then seeded mutations of it for
//! about two seconds (`SKOPOS_FUZZ_SECONDS` lengthens that). Failing inputs belong in the corpus.

use std::path::Path;
use std::time::{Duration, Instant};

/// A small generator of reproducible pseudo-random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds the run; no result depends on it")]
pub(crate) fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "no corpus for {target}");
    corpus.iter().for_each(|data| check(data));

    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(2));
    let start = Instant::now();
    let mut random = Random(0x5eed);
    let mut rounds = 0;
    while start.elapsed() < duration {
        let mut data = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut data, &corpus, &mut random);
        }
        check(&data);
        rounds += 1;
    }
    println!("{target}: {} files, {rounds} mutations", corpus.len());
}

fn mutate(data: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(data.len() + 1);
    match random.below(6) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.next() as u8,
        2 => data.truncate(at),
        3 => data.insert(at, b"\0{}\"|:$.-( \n\xff%"[random.below(14)]),
        4 if at < data.len() => {
            let end = (at + 1 + random.below(16)).min(data.len());
            data.drain(at..end);
        }
        _ => {
            let other = &corpus[random.below(corpus.len())];
            if !other.is_empty() {
                let start = random.below(other.len());
                let end = (start + 1 + random.below(32)).min(other.len());
                data.splice(at..at, other[start..end].iter().copied());
            }
        }
    }
}

#[test]
fn fuzz_matchers() {
    run("matchers", skopos_alerting::notify::matcher::fuzz_matchers);
}

#[test]
fn fuzz_intervals() {
    run("intervals", skopos_alerting::notify::interval::fuzz_intervals);
}
