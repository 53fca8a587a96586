//! Lines of one call site in one second, counted without a lock: the second in the upper half of a word, the lines in the lower.
//!
//! However many threads count at once, no more lines pass in a second than are allowed, and every line either passes or is
//! told of as suppressed, once. Every interleaving of three threads is tried by `cargo xtask prove interleavings`, which
//! compiles this file.

use crate::sync::{AtomicU64, Ordering};

const LOWER: u64 = 0xffff_ffff;

/// One call site.
#[derive(Debug, Default)]
pub(crate) struct Window {
    current: AtomicU64,
    /// Lines that were not written and not told of yet.
    suppressed: AtomicU64,
}

impl Window {
    /// Counts a line; returns whether it is among the first so many of its second.
    pub(crate) fn admits(&self, second: u64, per_second: u32) -> bool {
        // Wraps in 2106, where at worst one second counts as another.
        let second = second & LOWER;
        let mut current = self.current.load(Ordering::Relaxed);
        loop {
            let (of, lines) = (current >> 32, current & LOWER);
            let next = if of == second { lines + 1 } else { 1 };
            if next > u64::from(per_second) {
                return false;
            }
            let window = second << 32 | next;
            match self.current.compare_exchange_weak(
                current,
                window,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(changed) => current = changed,
            }
        }
    }

    /// Notes a line that was not written; returns whether it is the first since the last time that it was told.
    pub(crate) fn suppress(&self) -> bool {
        self.suppressed.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Returns how many lines were not written; whoever gets the number tells it.
    pub(crate) fn take_suppressed(&self) -> u64 {
        match self.suppressed.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.suppressed.swap(0, Ordering::Relaxed),
        }
    }
}
