//! What is kept in memory of blocks that have been read: footers, series, places of chunks.
//!
//! Constraints:
//! - Bounded by bytes; what has not been used for longest goes first. The newest stays even when it
//!   is larger than the bound: a read needs it anyway.
//! - Whoever reads a block holds what it reads: that it goes from here takes nothing from a read
//!   under way, whose budget it then counts in no longer.
//! - What is kept of a block goes with the block.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopos_model::storage::StorageError;

/// What blocks keep in memory.
pub(crate) struct BlockCache {
    max_bytes: u64,
    kept: Mutex<Kept>,
    evicted: AtomicU64,
}

#[derive(Default)]
struct Kept {
    blocks: HashMap<u64, Entry>,
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

struct Entry {
    opened: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    used_at: u64,
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes held, about.
    pub bytes: u64,
    /// Bytes beyond which what was not used for longest goes.
    pub max_bytes: u64,
    /// Blocks something is held of.
    pub blocks: u64,
    /// How often something went for want of room, since the start.
    pub evicted: u64,
}

impl BlockCache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, kept: Mutex::default(), evicted: AtomicU64::new(0) }
    }

    /// What is kept of a block, or what `open` yields, which also says how many bytes it takes. Two
    /// that ask at the same time may both open it.
    pub(super) fn get<T: Any + Send + Sync>(
        &self,
        block: u64,
        open: impl FnOnce() -> Result<(T, u64), StorageError>,
    ) -> Result<Arc<T>, StorageError> {
        if let Some(opened) = self.find(block) {
            return Ok(opened);
        }
        let (opened, bytes) = open()?;
        let opened = Arc::new(opened);
        self.keep(block, Arc::clone(&opened) as _, bytes);
        Ok(opened)
    }

    fn find<T: Any + Send + Sync>(&self, block: u64) -> Option<Arc<T>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.blocks.get_mut(&block)?;
        entry.used_at = now;
        Arc::clone(&entry.opened).downcast().ok()
    }

    fn keep(&self, block: u64, opened: Arc<dyn Any + Send + Sync>, bytes: u64) {
        let mut kept = self.lock();
        kept.clock += 1;
        let used_at = kept.clock;
        kept.bytes += bytes;
        if let Some(earlier) = kept.blocks.insert(block, Entry { opened, bytes, used_at }) {
            kept.bytes -= earlier.bytes;
        }
        while kept.bytes > self.max_bytes && kept.blocks.len() > 1 {
            // Blocks are hundreds at most: looking through them costs less than an order to keep.
            let oldest = kept.blocks.iter().min_by_key(|(_, entry)| entry.used_at);
            let Some(oldest) = oldest.map(|(block, _)| *block) else { break };
            kept.remove(oldest);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets go of what is kept of a block.
    pub(super) fn forget(&self, block: u64) {
        self.lock().remove(block);
    }

    /// What is held now.
    pub(crate) fn stats(&self) -> CacheStats {
        let kept = self.lock();
        CacheStats {
            bytes: kept.bytes,
            max_bytes: self.max_bytes,
            blocks: kept.blocks.len() as u64,
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, block: u64) {
        if let Some(entry) = self.blocks.remove(&block) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = BlockCache::new(100);
        let get = |block: u64, bytes: u64| {
            let mut opened = false;
            let got = cache.get(block, || {
                opened = true;
                Ok((block, bytes))
            });
            assert_eq!(*got.unwrap(), block);
            opened
        };
        assert!(get(1, 40) && get(2, 40));
        assert!(!get(1, 40), "it is kept");
        assert!(get(3, 40));
        assert_eq!(cache.stats(), CacheStats { bytes: 80, max_bytes: 100, blocks: 2, evicted: 1 });
        assert!(!get(1, 40) && get(2, 40), "2 had to go, 1 had been used since");
        cache.forget(2);
        cache.forget(2);
        assert_eq!(cache.stats().bytes, 40);
        assert!(get(4, 500), "one alone may be larger");
        assert_eq!(cache.stats(), CacheStats { bytes: 500, max_bytes: 100, blocks: 1, evicted: 3 });
    }
}
