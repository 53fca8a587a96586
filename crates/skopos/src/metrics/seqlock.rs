//! A place for a few words that belong together, for many writers and readers, without a lock and without waiting.
//!
//! The sequence is odd while a writer is inside and 0 before the first. A writer that meets another gives up; a reader that
//! meets a writer sees nothing. What a reader does see was written by one writer. Every interleaving of two writers and a
//! reader is tried by `cargo xtask prove interleavings`, which compiles this file.

use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// The words, and whether somebody has seen them.
#[derive(Debug)]
pub(crate) struct SeqLock<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
    /// Written since it was last read.
    is_unread: AtomicBool,
}

impl<const N: usize> Default for SeqLock<N> {
    fn default() -> Self {
        SeqLock {
            sequence: AtomicU64::default(),
            words: std::array::from_fn(|_| AtomicU64::default()),
            is_unread: AtomicBool::default(),
        }
    }
}

impl<const N: usize> SeqLock<N> {
    /// Whether a reader would see anything new. Only a hint: at worst somebody writes once more or less.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.is_unread.load(Ordering::Relaxed)
    }

    /// Writes the words, unless another is about to.
    pub(crate) fn put(&self, words: [u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let is_free = sequence.is_multiple_of(2);
        if !is_free
            || self
                .sequence
                .compare_exchange(sequence, sequence + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        // A reader that sees any of the stores below also sees the odd sequence.
        fence(Ordering::Release);
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence + 2, Ordering::Release);
        self.is_unread.store(true, Ordering::Relaxed);
    }

    /// Reads the words, if there are any and nobody is writing.
    pub(crate) fn get(&self) -> Option<[u64; N]> {
        self.is_unread.store(false, Ordering::Relaxed);
        let before = self.sequence.load(Ordering::Acquire);
        if before == 0 || before % 2 == 1 {
            return None;
        }
        let mut words = [0; N];
        for (word, place) in words.iter_mut().zip(&self.words) {
            *word = place.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        (self.sequence.load(Ordering::Relaxed) == before).then_some(words)
    }
}
