//! Drives the fuzz targets: the committed corpus, then about two seconds of seeded mutation each
//! (`SKOPOS_FUZZ_SECONDS` for longer). With `SKOPOS_WRITE_CORPUS=1` the binary seeds are written
//! anew instead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skopos_ingest::fuzz;
use skopos_model::{Clock, SystemClock};

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder(target))
        .expect("every target has a corpus")
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is empty");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    const WORDS: [&[u8]; 12] = [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x00",
        b"\x7f",
        b"\x80",
        b"\n",
        b"\"",
        b"{",
        b"}",
        b"NaN",
        b"null",
        b"-1",
        b"\\",
    ];
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        let end = (at + 1 + random.below(12)).min(data.len());
        match random.below(8) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.next() as u8,
            2 => drop(data.drain(at..end)),
            3 => data.insert(at, random.next() as u8),
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
            5 => {
                let piece = data[at..end].to_vec();
                let to = random.below(data.len() + 1);
                data.splice(to..to, piece);
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(40)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
            7 if random.below(4) == 0 => data.truncate(at),
            _ => {}
        }
    }
    data
}

fn drive(target: &str, run: fn(&[u8])) {
    let seeds = corpus(target);
    let check = |data: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| run(data))).is_err() {
            match std::str::from_utf8(data) {
                Ok(text) => panic!("fuzz_{target} fails on {text:?}"),
                Err(_) => panic!("fuzz_{target} fails on {data:?}"),
            }
        }
    };
    seeds.iter().for_each(|seed| check(seed));
    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let clock = SystemClock::new();
    let deadline = clock.monotonic() + Duration::from_secs(seconds.unwrap_or(2));
    let mut random = Random(0x5eed_0000_0000_0001);
    let mut inputs = 0_u64;
    while clock.monotonic() < deadline {
        for _ in 0..50 {
            check(&mutate(&mut random, &seeds));
            inputs += 1;
        }
    }
    println!("fuzz_{target}: {inputs} inputs");
}

#[test]
fn fuzz_otlp_logs() {
    drive("otlp_logs", fuzz::fuzz_otlp_logs);
}

#[test]
fn fuzz_otlp_traces() {
    drive("otlp_traces", fuzz::fuzz_otlp_traces);
}

#[test]
fn fuzz_otlp_metrics() {
    drive("otlp_metrics", fuzz::fuzz_otlp_metrics);
}

#[test]
fn fuzz_exposition() {
    drive("exposition", fuzz::fuzz_exposition);
}

#[test]
fn fuzz_remote_write() {
    drive("remote_write", fuzz::fuzz_remote_write);
}

#[test]
fn fuzz_remote_write_v2() {
    drive("remote_write_v2", fuzz::fuzz_remote_write_v2);
}

#[test]
fn fuzz_decompress() {
    drive("decompress", fuzz::fuzz_decompress);
}

/// The binary seeds are the protobuf forms of the JSON seeds, a write request with everything in
/// it, and a text in each compression.
#[test]
fn binary_seeds_follow_from_the_text_seeds() {
    let write = std::env::var_os("SKOPOS_WRITE_CORPUS").is_some();
    for (target, name, bytes) in crate::support::binary_seeds() {
        let path = folder(target).join(name);
        if write {
            std::fs::write(&path, &bytes).unwrap();
        }
        // Compressors may change their output; the seeds stay as they were.
        if target != "decompress" {
            assert_eq!(std::fs::read(&path).ok(), Some(bytes), "{}", path.display());
        }
    }
}
