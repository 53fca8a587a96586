//! No call site may flood the log: beyond so many lines a second the rest are counted instead of written.
//!
//! One slot for each call site, in a fixed table without locks: the second it is in and the lines of that second, packed in
//! one word. The next line that passes says how many were suppressed before it (`suppressed_lines`); what is left when the
//! telemetry is flushed is said in a line of its own. A call site that finds no slot is not limited. Access lines are not
//! limited: there is one for each request, and the metrics are checked against them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Metadata;

mod window;

use window::Window;

/// Lines that a call site may write in a second, unless said otherwise.
pub(crate) const DEFAULT_PER_SECOND: u32 = 1_000;

/// Call sites that are told apart; a large service has a few thousand.
const SLOTS: usize = 4096;
/// Slots that a call site looks at before it goes unlimited.
const PROBES: usize = 16;
/// The target that is never limited.
pub(crate) const ACCESS_TARGET: &str = "skopos::access";

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is written, and says how many before it were not.
    Write {
        suppressed: u64,
    },
    Suppress,
}

/// The table.
pub(crate) struct Limiter {
    per_second: u32,
    slots: Box<[Slot]>,
    /// Where the call sites are that were ever suppressed, by key. Cold.
    names: Mutex<HashMap<usize, String>>,
    suppressed: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// The call site's address; 0 is free.
    key: AtomicUsize,
    window: Window,
}

impl Limiter {
    pub(crate) fn new(per_second: u32) -> Limiter {
        Limiter {
            per_second,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            names: Mutex::default(),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Lines that were suppressed so far.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Decides about a line. `of_bridge` is set for records of the `log` crate, all of which have a handful of call sites.
    pub(crate) fn judge(
        &self,
        metadata: &Metadata<'_>,
        of_bridge: bool,
        time: SystemTime,
    ) -> Verdict {
        let key = if of_bridge {
            let mut hasher = DefaultHasher::new();
            (metadata.target(), metadata.file(), metadata.line()).hash(&mut hasher);
            // Any number but zero will do.
            usize::try_from(hasher.finish() | 1).unwrap_or(1)
        } else {
            std::ptr::from_ref(metadata.name()).addr() ^ std::ptr::from_ref(metadata).addr()
        };
        let Some(slot) = self.slot(key) else { return Verdict::Write { suppressed: 0 } };
        let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if !slot.window.admits(second, self.per_second) {
            return self.suppress(key, slot, metadata);
        }
        Verdict::Write { suppressed: slot.window.take_suppressed() }
    }

    fn slot(&self, key: usize) -> Option<&Slot> {
        // Addresses are multiples of eight: mix before taking the lower bits.
        let start = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let start = usize::try_from(start).unwrap_or(0);
        for probe in 0..PROBES {
            let slot = self.slots.get((start + probe) % SLOTS)?;
            match slot.key.load(Ordering::Relaxed) {
                found if found == key => return Some(slot),
                0 => {
                    match slot.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return Some(slot),
                        Err(taken) if taken == key => return Some(slot),
                        Err(_) => {}
                    }
                }
                _ => {}
            }
        }
        None
    }

    #[cold]
    fn suppress(&self, key: usize, slot: &Slot, metadata: &Metadata<'_>) -> Verdict {
        if metadata.target() == ACCESS_TARGET {
            return Verdict::Write { suppressed: 0 };
        }
        if slot.window.suppress() {
            let name = match (metadata.file(), metadata.line()) {
                (Some(file), Some(line)) => format!("{file}:{line}"),
                _ => metadata.target().to_owned(),
            };
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.entry(key).or_insert(name);
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        Verdict::Suppress
    }

    /// Returns the call sites with suppressed lines that no line has told of yet, and tells of them.
    pub(crate) fn take_untold(&self) -> Vec<(String, u64)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut untold: Vec<(String, u64)> = names
            .iter()
            .filter_map(|(key, name)| {
                let suppressed = self.slot(*key)?.window.take_suppressed();
                (suppressed > 0).then(|| (name.clone(), suppressed))
            })
            .collect();
        untold.sort();
        untold
    }
}

#[cfg(test)]
mod tests {
    use super::{Limiter, PROBES, SLOTS, Verdict};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, UNIX_EPOCH};
    use tracing::callsite::{Callsite as _, DefaultCallsite};
    use tracing::{Level, Metadata};

    /// A call site of its own for each use of the macro.
    macro_rules! metadata {
        () => {{
            static METADATA: Metadata<'static> = tracing::metadata! {
                name: "event", target: "t", level: Level::INFO, fields: &["message"],
                callsite: &CALLSITE, kind: tracing::metadata::Kind::EVENT,
            };
            static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
            CALLSITE.metadata()
        }};
    }

    #[test]
    fn beyond_the_limit_of_a_second_lines_are_counted() {
        let limiter = Limiter::new(2);
        let (flood, calm) = (metadata!(), metadata!());
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let write = Verdict::Write { suppressed: 0 };
        for (millis, expected) in [
            (1_000, write),
            (1_500, write),
            (1_600, Verdict::Suppress),
            (1_999, Verdict::Suppress),
            (2_000, Verdict::Write { suppressed: 2 }),
            (2_001, write),
            (2_002, Verdict::Suppress),
        ] {
            assert_eq!(limiter.judge(flood, false, at(millis)), expected, "at {millis}");
        }
        assert_eq!(limiter.judge(calm, false, at(2_003)), write, "another call site");
        assert_eq!(limiter.suppressed(), 3);
        let untold = limiter.take_untold();
        assert_eq!(untold.len(), 1);
        assert!(untold[0].0.contains("limit.rs:") && untold[0].1 == 1, "{untold:?}");
        assert_eq!(limiter.take_untold(), []);
    }

    #[test]
    fn a_full_table_limits_no_more_and_harms_nobody() {
        let limiter = Limiter::new(1);
        let mut unlimited = 0;
        for key in 1..=SLOTS * 2 {
            unlimited += usize::from(limiter.slot(key * 8).is_none());
        }
        assert!(unlimited >= SLOTS && PROBES > 0, "{unlimited}");
    }

    #[test]
    fn threads_together_pass_no_more_than_the_limit() {
        let limiter = Limiter::new(1_000);
        let flood = metadata!();
        let written = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if limiter.judge(flood, false, UNIX_EPOCH) != Verdict::Suppress {
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(written.load(Ordering::Relaxed), 1_000);
        assert_eq!(limiter.suppressed(), 3_000);
        assert_eq!(limiter.take_untold()[0].1, 3_000);
    }
}
