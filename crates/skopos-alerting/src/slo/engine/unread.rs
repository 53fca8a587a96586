//! What of an objective is still to be read: stretches of history whose queries failed or to which samples came long
//! after their time, and from where on slots have to read again.
//!
//! The log has it too, so that a restart does not forget it. Stretches are in order, apart from each other, begin and end
//! at quarters of an hour (an old quarter is replaced as a whole), and are few: beyond [`MOST`] the two that are nearest
//! to each other become one, and what lies between is read once more for nothing.
//!
//! Every change has a generation. A plan knows those before it: what changed after it was made is not read by it,
//! whenever its answers are taken.

use std::collections::VecDeque;

use skopos_model::storage::{StateKind, StateRecord};

use super::saved::fingerprint;
use crate::codec::{DecodeError, Reader, Writer};
use crate::slo::ledger::{quarter_after, quarter_before};
use crate::slo::{Slo, SloId};

/// Version 2 says from where on slots read again.
const VERSION: u8 = 2;

/// Stretches that are kept apart.
const MOST: usize = 64;

/// Additions that are remembered one by one, for plans that were made before them.
const MOST_ADDED: usize = 16;

/// Ends the key of the record.
const KEY: &str = "unread";

/// When something changed, as the engine counts changes.
pub(super) type Generation = u64;

/// Stretches of time, milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unread {
    stretches: Vec<(i64, i64)>,
    /// What was added last.
    added: VecDeque<(Generation, i64, i64)>,
    /// From here on slots have to read again, and when that was said last.
    slots_from: Option<(i64, Generation)>,
    /// What the log says of that.
    recorded_from: Option<i64>,
    /// Whether the log has other stretches.
    is_changed: bool,
}

impl Unread {
    /// Whether no stretch of history is to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub(super) fn stretches(&self) -> impl Iterator<Item = (i64, i64)> {
        self.stretches.iter().copied()
    }

    /// Whether nothing is to be read, by slots either.
    pub(super) fn says_nothing(&self) -> bool {
        self.stretches.is_empty() && self.slots_from.is_none()
    }

    /// Whether the log has something to say of it, or will have.
    pub(super) fn is_known(&self) -> bool {
        self.is_changed || self.recorded_from.is_some() || !self.says_nothing()
    }

    /// From where on slots have to read again.
    pub(super) fn slots_from(&self) -> Option<i64> {
        self.slots_from.map(|(from, _)| from)
    }

    /// Slots have to read again from a moment on.
    pub(super) fn change_since(&mut self, since_ms: i64, generation: Generation) {
        let since = self.slots_from().map_or(since_ms, |before| before.min(since_ms));
        self.slots_from = Some((since, generation));
    }

    /// A slot's plan read all that it had to.
    pub(super) fn slots_read(&mut self, planned: Generation) {
        self.slots_from = self.slots_from.filter(|(_, generation)| *generation > planned);
    }

    /// History is read from a moment on: slots need not.
    pub(super) fn forget_slots_from(&mut self, since_ms: i64) {
        self.slots_from = self.slots_from.filter(|(from, _)| *from < since_ms);
    }

    /// All quarters of an hour of a stretch are to be read.
    pub(super) fn add(&mut self, start_ms: i64, end_ms: i64, generation: Generation) {
        if start_ms >= end_ms {
            return;
        }
        let (start, end) = (quarter_before(start_ms), quarter_after(end_ms));
        self.added.push_back((generation, start, end));
        if self.added.len() > MOST_ADDED
            && let (Some(one), Some(other)) = (self.added.pop_front(), self.added.front_mut())
        {
            *other = (one.0.max(other.0), one.1.min(other.1), one.2.max(other.2));
        }
        self.insert(start, end);
    }

    fn insert(&mut self, start_ms: i64, end_ms: i64) {
        let is_there = self.stretches.iter().any(|(s, e)| *s <= start_ms && end_ms <= *e);
        if is_there || start_ms >= end_ms {
            return;
        }
        let (mut start, mut end) = (start_ms, end_ms);
        self.stretches.retain(|(from, to)| {
            let is_apart = *to < start_ms || end_ms < *from;
            if !is_apart {
                (start, end) = (start.min(*from), end.max(*to));
            }
            is_apart
        });
        let at = self.stretches.partition_point(|(from, _)| *from < start);
        self.stretches.insert(at, (start, end));
        while self.stretches.len() > MOST {
            let gaps = self.stretches.windows(2).map(|pair| pair[1].0 - pair[0].1);
            let Some((at, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) else { break };
            self.stretches[at].1 = self.stretches[at + 1].1;
            self.stretches.remove(at + 1);
        }
        self.is_changed = true;
    }

    /// Takes a stretch out that lies too far back, as far as it is whole quarters of an hour.
    pub(super) fn remove(&mut self, start_ms: i64, end_ms: i64) {
        let (start_ms, end_ms) = (quarter_after(start_ms), quarter_before(end_ms));
        if start_ms >= end_ms {
            return;
        }
        let mut left = Vec::with_capacity(self.stretches.len());
        for (from, to) in self.stretches.drain(..) {
            if to <= start_ms || end_ms <= from {
                left.push((from, to));
                continue;
            }
            self.is_changed = true;
            left.extend((from < start_ms).then_some((from, start_ms)));
            left.extend((end_ms < to).then_some((end_ms, to)));
        }
        self.stretches = left;
    }

    /// Takes a stretch out that a plan read, except for what was added after that was made.
    pub(super) fn read(&mut self, start_ms: i64, end_ms: i64, planned: Generation) {
        self.remove(start_ms, end_ms);
        let later = self.added.iter().filter(|(generation, ..)| *generation > planned);
        let later: Vec<_> = later.map(|(_, s, e)| (*s.max(&start_ms), *e.min(&end_ms))).collect();
        for (start, end) in later.into_iter().filter(|(start, end)| start < end) {
            self.insert(quarter_before(start), quarter_after(end));
        }
    }

    /// What the log must learn.
    pub(super) fn take_record(&mut self, slo: &Slo) -> Option<StateRecord> {
        let (from, recorded) = (self.slots_from(), self.recorded_from);
        if !std::mem::take(&mut self.is_changed) && from == recorded {
            return None;
        }
        self.recorded_from = from;
        if self.says_nothing() {
            return Some(deletion(slo.id));
        }
        let mut writer = Writer::new(VERSION);
        writer.text(&slo.name);
        writer.unsigned(fingerprint(slo));
        writer.unsigned(self.stretches.len() as u64);
        for (start, end) in &self.stretches {
            writer.signed(*start);
            writer.signed(*end);
        }
        writer.optional(from);
        let value = Some(writer.finish());
        Some(StateRecord { kind: StateKind::SloSlice, key: key_of(slo.id), value })
    }
}

fn key_of(id: SloId) -> String {
    format!("{id}/{KEY}")
}

/// Whether a record is one of these.
pub(super) fn is_of_unread(key: &str) -> bool {
    key.rsplit('/').next() == Some(KEY)
}

/// Takes it out of the log.
pub(super) fn deletion(id: SloId) -> StateRecord {
    StateRecord { kind: StateKind::SloSlice, key: key_of(id), value: None }
}

/// A record that was read: whose it is, what its slices count, and the stretches.
pub(super) struct Decoded {
    pub(super) name: String,
    pub(super) fingerprint: u64,
    pub(super) unread: Unread,
}

pub(super) fn decode(data: &[u8]) -> Result<Decoded, DecodeError> {
    let (mut reader, version) = Reader::of_versions(data, 1..=VERSION)?;
    let name = reader.text("name")?.to_string();
    let fingerprint = reader.unsigned("fingerprint")?;
    let mut unread = Unread::default();
    for _ in 0..reader.size("stretches")? {
        let (start, end) = (reader.signed("start")?, reader.signed("end")?);
        // What was not whole quarters once is now.
        if start < end {
            unread.insert(quarter_before(start), quarter_after(end));
        }
    }
    unread.recorded_from = if version > 1 { reader.optional("slots from")? } else { None };
    unread.slots_from = unread.recorded_from.map(|from| (from, 0));
    reader.finish()?;
    unread.is_changed = false;
    Ok(Decoded { name, fingerprint, unread })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::ledger::QUARTER_MS;

    fn of(quarters: &[(i64, i64)]) -> Unread {
        let mut unread = Unread::default();
        for (start, end) in quarters {
            unread.add(start * QUARTER_MS, end * QUARTER_MS, 1);
        }
        unread
    }

    fn quarters(unread: &Unread) -> Vec<(i64, i64)> {
        assert!(unread.stretches().all(|(s, e)| s % QUARTER_MS == 0 && e % QUARTER_MS == 0));
        unread.stretches().map(|(s, e)| (s / QUARTER_MS, e / QUARTER_MS)).collect()
    }

    /// Against a plain list of the quarters meant, of which only a part may be said.
    #[test]
    fn stretches_are_sets_of_quarters() {
        let mut state = 7_u64;
        let mut random = |below: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as i64 % below
        };
        for _ in 0..200 {
            let (mut unread, mut plain) = (Unread::default(), [false; 60]);
            for _ in 0..20 {
                let start = random(60);
                let end = start + random(60 - start + 1);
                let is_added = random(2) == 0;
                // Up to half a quarter more or less at either end.
                let off = random(QUARTER_MS / 2);
                if is_added {
                    let shrink = if start < end { off } else { 0 };
                    unread.add(start * QUARTER_MS + shrink, end * QUARTER_MS - shrink, 1);
                } else {
                    unread.remove(start * QUARTER_MS - off, end * QUARTER_MS + off);
                }
                plain[start as usize..end as usize].fill(is_added);
                let mut found = [false; 60];
                for (from, to) in quarters(&unread) {
                    assert!(from < to);
                    found[from as usize..to as usize].fill(true);
                }
                assert_eq!(found, plain);
                assert!(unread.stretches.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }

    #[test]
    fn beyond_the_limit_the_nearest_become_one() {
        let apart: Vec<(i64, i64)> =
            (0..=MOST as i64).map(|n| (n * n * 100, n * n * 100 + 10)).collect();
        let unread = of(&apart);
        assert_eq!(unread.stretches.len(), MOST);
        assert_eq!(quarters(&unread)[0], (0, 110), "the first two are the nearest");
    }

    #[test]
    fn a_plan_reads_what_was_there_before_it() {
        let mut unread = of(&[(0, 100)]);
        unread.add(10 * QUARTER_MS, 12 * QUARTER_MS, 5);
        unread.read(0, 24 * QUARTER_MS, 4);
        assert_eq!(quarters(&unread), [(10, 12), (24, 100)]);
        unread.read(0, 24 * QUARTER_MS, 5);
        assert_eq!(quarters(&unread), [(24, 100)]);
        // Of many additions some are remembered together: more is read again, and never less.
        for n in 0..40 {
            unread.add((200 + 2 * n) * QUARTER_MS, (201 + 2 * n) * QUARTER_MS, 6 + n as u64);
        }
        assert_eq!(unread.added.len(), MOST_ADDED);
        unread.read(0, 1_000 * QUARTER_MS, 5);
        let left = quarters(&unread);
        let has = |quarter: i64| left.iter().any(|(s, e)| (*s..*e).contains(&quarter));
        assert!((0..40).all(|n| has(200 + 2 * n)), "{left:?}");
    }

    #[test]
    fn slots_are_done_when_they_read_what_was_said_last() {
        let mut unread = Unread::default();
        unread.change_since(50, 1);
        unread.change_since(70, 3);
        unread.slots_read(2);
        assert_eq!(unread.slots_from(), Some(50));
        unread.slots_read(3);
        assert_eq!(unread.slots_from(), None);
    }
}
