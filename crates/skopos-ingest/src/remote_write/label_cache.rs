//! Label sets that have been read before: a sender names the same series in every request.
//!
//! Constraints:
//! - The key is a 128-bit hash of the bytes that spell the labels, with a seed of this process that
//!   nobody outside learns. Only what was accepted is kept, so all checks of a label set are done
//!   once and hold for every repetition: decoding with a cache yields what decoding without does.
//! - What is kept is counted and bounded. When it is full, what has not been used since the last
//!   sweep goes; when all of it is in use, nothing more comes in, because pushing out what is about
//!   to be asked for again would help nobody. The next sweep is due after as many misses as there
//!   are entries.
//! - Many decoders read at once; what a request brings is added at its end.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use skopos_model::Labels;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::limits::Limits;

/// Bytes of an entry beside the label set itself: key, value, their share of the table.
const ENTRY_BYTES: usize = 64;

/// Label sets read before, shared by all decoders of one endpoint.
///
/// ```
/// use skopos_ingest::{Limits, remote_write};
/// use skopos_model::{Labels, MetricBatch, SeriesSamples};
///
/// let limits = Limits::default();
/// let cache = remote_write::LabelCache::new(&limits, 64 << 20);
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "shop")]);
/// let series = vec![SeriesSamples::single(labels, 1_700_000_000_000, 1.0)];
/// let sent = MetricBatch { series, metadata: vec![] };
/// let body = remote_write::decompress(&remote_write::encode(&sent), 1 << 20)?;
///
/// let read = |_| remote_write::decode_with(&body, &limits, Some(&cache));
/// let [first, second] = [0, 1].map(read);
/// let [first, second] = [first?, second?].map(|received| received.decoded.value);
/// assert_eq!(first, second);
/// assert!(first.series[0].labels.is_same(&second.series[0].labels));
/// # Ok::<(), remote_write::WriteError>(())
/// ```
#[derive(Debug)]
pub struct LabelCache {
    /// The limits that every kept label set is within.
    limits: [usize; 3],
    max_bytes: usize,
    seeds: Seeds,
    kept: RwLock<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// One for what each version of the protocol spells labels with.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    section: u64,
    symbol: u64,
    symbols: u64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<u128, Entry, BuildHasherDefault<KeyHasher>>,
    bytes: usize,
    /// Sweeps so far.
    sweep: u32,
    /// Misses since everything was found to be in use.
    closed: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    labels: Labels,
    /// The sweep after which it was last used.
    used: AtomicU32,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys come as one number; this is for completeness.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

impl LabelCache {
    /// For requests that are decoded with these limits; keeps about so many bytes, label sets
    /// counted in full although others share them.
    pub fn new(limits: &Limits, max_bytes: usize) -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self {
            limits: label_limits(limits),
            max_bytes,
            seeds: Seeds { section: random(), symbol: random(), symbols: random() },
            kept: RwLock::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Label sets kept.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what is kept, as counted against the bound.
    pub fn size_bytes(&self) -> usize {
        self.read().bytes
    }

    /// Series whose labels were found, and whose labels had to be read, since the start.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// For decoding one request; `None` when the limits are others.
    pub(super) fn session(&self, limits: &Limits) -> Option<Session<'_>> {
        (label_limits(limits) == self.limits).then(|| Session {
            cache: self,
            kept: self.read(),
            new: Vec::new(),
            hits: 0,
            misses: 0,
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label_limits(limits: &Limits) -> [usize; 3] {
    [limits.labels_per_series, limits.label_name_bytes, limits.label_value_bytes]
}

/// The spelling of a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u128);

/// The cache while one request is decoded.
pub(super) struct Session<'c> {
    cache: &'c LabelCache,
    kept: RwLockReadGuard<'c, Kept>,
    new: Vec<(Key, Labels)>,
    hits: u64,
    misses: u64,
}

impl Session<'_> {
    /// The key of labels as version 1 spells them.
    pub(super) fn section(&self, bytes: &[u8]) -> Key {
        Key(xxh3_128_with_seed(bytes, self.cache.seeds.section))
    }

    /// What a symbol of version 2 adds to a key.
    pub(super) fn symbol(&self, text: &str) -> [u8; 16] {
        xxh3_128_with_seed(text.as_bytes(), self.cache.seeds.symbol).to_le_bytes()
    }

    /// The key of labels as version 2 spells them: the symbols of names and values in turns.
    pub(super) fn symbols(&self, symbols: &[u8]) -> Key {
        Key(xxh3_128_with_seed(symbols, self.cache.seeds.symbols))
    }

    /// Reads what will be asked for next, so that the waits for memory overlap: found one after
    /// another, each of a hundred thousand series waits for its own.
    pub(super) fn touch(&self, keys: impl Iterator<Item = Key>) {
        let entries = keys.filter_map(|key| self.kept.entries.get(&key.0));
        std::hint::black_box(entries.filter(|entry| entry.labels.hints().is_hinted()).count());
    }

    /// The label set that was spelled like this before.
    pub(super) fn find(&mut self, key: Key) -> Option<Labels> {
        let Some(entry) = self.kept.entries.get(&key.0) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        if entry.used.load(Ordering::Relaxed) != self.kept.sweep {
            entry.used.store(self.kept.sweep, Ordering::Relaxed);
        }
        Some(entry.labels.clone())
    }

    /// Notes an accepted label set.
    pub(super) fn add(&mut self, key: Key, labels: &Labels) {
        if self.kept.closed.is_none_or(|misses| misses >= self.kept.entries.len()) {
            self.new.push((key, labels.clone()));
        }
    }

    /// Keeps what the request has brought.
    pub(super) fn finish(self) {
        let Self { cache, kept, new, hits, misses } = self;
        let is_closed = kept.closed.is_some();
        drop(kept);
        cache.hits.fetch_add(hits, Ordering::Relaxed);
        cache.misses.fetch_add(misses, Ordering::Relaxed);
        if misses == 0 || new.is_empty() && !is_closed {
            return;
        }
        let mut kept = cache.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.add(new, usize::try_from(misses).unwrap_or(usize::MAX), cache.max_bytes);
    }
}

impl Kept {
    fn add(&mut self, new: Vec<(Key, Labels)>, misses: usize, max_bytes: usize) {
        if let Some(before) = self.closed {
            let before = before.saturating_add(misses);
            self.closed = Some(before);
            if before < self.entries.len() {
                return;
            }
            self.sweep(max_bytes);
        }
        for (key, labels) in new {
            let bytes = cost(&labels);
            if self.closed.is_none() && self.bytes + bytes > max_bytes {
                self.sweep(max_bytes);
            }
            if self.closed.is_some() || self.bytes + bytes > max_bytes {
                return;
            }
            let entry = Entry { labels, used: AtomicU32::new(self.sweep) };
            match self.entries.insert(key.0, entry) {
                None => self.bytes += bytes,
                // Two requests at once have brought it; equal bytes spell equal labels.
                Some(before) => self.bytes = self.bytes + bytes - cost(&before.labels),
            }
        }
    }

    /// Lets go of what was not used since the last sweep; closes when that is not much.
    fn sweep(&mut self, max_bytes: usize) {
        let since = self.sweep;
        self.entries.retain(|_, entry| *entry.used.get_mut() == since);
        self.bytes = self.entries.values().map(|entry| cost(&entry.labels)).sum();
        self.sweep = self.sweep.wrapping_add(1);
        self.closed = (self.bytes > max_bytes - max_bytes / 4).then_some(0);
    }
}

fn cost(labels: &Labels) -> usize {
    labels.size_bytes() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(i: usize) -> Labels {
        Labels::from_pairs([("__name__", format!("metric_{i:06}"))])
    }

    /// Asks for all of these once, as a request does; how many were found.
    fn ask(cache: &LabelCache, all: impl Iterator<Item = usize>) -> usize {
        let mut session = cache.session(&Limits::default()).expect("same limits");
        let mut found = 0;
        for i in all {
            let key = session.section(format!("metric_{i:06}").as_bytes());
            match session.find(key) {
                Some(cached) => {
                    assert_eq!(cached, labels(i));
                    found += 1;
                }
                None => session.add(key, &labels(i)),
            }
        }
        session.finish();
        found
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_not_goes() {
        let limits = Limits::default();
        let max_bytes = 100 * cost(&labels(0));
        let cache = LabelCache::new(&limits, max_bytes);
        assert_eq!(ask(&cache, 0..100), 0);
        assert_eq!(ask(&cache, 0..100), 100);
        assert_eq!((cache.len(), cache.size_bytes()), (100, max_bytes));
        // Twice as many as there is room for: half of them are found every time.
        let found: Vec<usize> = (0..6).map(|_| ask(&cache, 0..200)).collect();
        assert_eq!(found, [100; 6]);
        // Others come instead: after a while they are known, and the bound holds.
        let found: Vec<usize> = (0..8).map(|_| ask(&cache, 1000..1090)).collect();
        assert_eq!(found.last(), Some(&90), "{found:?}");
        assert!(cache.size_bytes() <= max_bytes);
        assert_eq!(cache.hits_and_misses().0 as usize, 100 + 600 + found.iter().sum::<usize>());
    }

    #[test]
    fn other_limits_do_not_use_it_and_nothing_fits_into_nothing() {
        let cache = LabelCache::new(&Limits::default(), 10);
        let other = Limits { label_value_bytes: 7, ..Limits::default() };
        assert!(cache.session(&other).is_none());
        assert_eq!(ask(&cache, 0..10) + ask(&cache, 0..10), 0);
        assert!(cache.is_empty());
    }
}
