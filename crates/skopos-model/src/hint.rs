//! What somebody who keeps series by number notes on their label sets, so that the same label set
//! need not be looked up again.
//!
//! A hint says whose it is: owners are told apart within the process, so that several stores, or a
//! head and its successor, never take each other's numbers for their own. It has room for one owner
//! at a time; who finds another's hint looks the series up and leaves its own.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Somebody who numbers series. Unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintOwner(u32);

impl HintOwner {
    /// An owner that differs from all others.
    pub fn unique() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let next = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        // After four billion there are no more: those that come then never find a hint.
        Self(next.map_or(0, |last| last.wrapping_add(1)))
    }
}

/// A number that an owner has given to a series.
#[derive(Debug, Default)]
pub struct Hint(AtomicU64);

impl Hint {
    /// The number, when it is this owner's.
    pub fn get(&self, owner: HintOwner) -> Option<u32> {
        let hint = self.0.load(Ordering::Relaxed);
        (owner.0 != 0 && (hint >> 32) as u32 == owner.0).then_some(hint as u32)
    }

    /// Notes the number; whatever another owner has noted is lost.
    pub fn set(&self, owner: HintOwner, number: u32) {
        self.0.store(u64::from(owner.0) << 32 | u64::from(number), Ordering::Relaxed);
    }

    /// Forgets the number.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The hints on a label set, shared by all its clones. No part of its value: equality, order, hashes
/// and ids know nothing of them.
#[derive(Debug, Default)]
pub struct Hints {
    /// Where it stands in memory.
    pub place: Hint,
    /// How it is called in a file.
    pub name: Hint,
}

impl Hints {
    /// Whether anybody has noted anything.
    pub fn is_hinted(&self) -> bool {
        [&self.place, &self.name].iter().any(|hint| hint.0.load(Ordering::Relaxed) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    #[test]
    fn owners_never_see_each_others_numbers() {
        let (mine, yours) = (HintOwner::unique(), HintOwner::unique());
        let labels = Labels::from_pairs([("a", "1")]);
        let same = labels.clone();
        assert!(!labels.hints().is_hinted());
        assert_eq!(labels.hints().place.get(mine), None);
        labels.hints().place.set(mine, 0);
        assert!(labels.hints().is_hinted());
        assert_eq!(same.hints().place.get(mine), Some(0));
        assert_eq!(same.hints().place.get(yours), None);
        assert_eq!(same.hints().name.get(mine), None);
        same.hints().place.set(yours, u32::MAX);
        assert_eq!(labels.hints().place.get(mine), None);
        assert_eq!(labels.hints().place.get(yours), Some(u32::MAX));
        labels.hints().place.clear();
        assert_eq!(labels.hints().place.get(yours), None);
        // An equal label set that is no clone has none.
        same.hints().place.set(mine, 3);
        assert_eq!(Labels::from_pairs([("a", "1")]).hints().place.get(mine), None);
        assert_eq!(Labels::from_pairs([("a", "1")]), same);
    }
}
