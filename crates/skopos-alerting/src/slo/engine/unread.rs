//! Stretches of an objective's history that are still to be read: their queries failed, or samples came long after
//! their time.
//!
//! The log has them too, so that a restart does not forget them. They are in order, apart from each other, and few: beyond
//! [`MOST`] the two that are nearest to each other become one, and what lies between is read once more for nothing.

use skopos_model::storage::{StateKind, StateRecord};

use crate::codec::{DecodeError, Reader, Writer};
use crate::slo::{Slo, SloId};

use super::saved::fingerprint;

const VERSION: u8 = 1;

/// Stretches that are kept apart.
const MOST: usize = 64;

/// Ends the key of the record.
const KEY: &str = "unread";

/// Stretches of time, milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unread {
    stretches: Vec<(i64, i64)>,
    /// Whether the log says something else.
    is_changed: bool,
}

impl Unread {
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub(super) fn stretches(&self) -> impl Iterator<Item = (i64, i64)> {
        self.stretches.iter().copied()
    }

    /// Whether the log has something to say of it, or will have.
    pub(super) fn is_known(&self) -> bool {
        self.is_changed || !self.stretches.is_empty()
    }

    pub(super) fn add(&mut self, start_ms: i64, end_ms: i64) {
        if start_ms >= end_ms || self.stretches.iter().any(|(s, e)| *s <= start_ms && end_ms <= *e)
        {
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

    /// Takes a stretch out: it was read, or lies too far back.
    pub(super) fn remove(&mut self, start_ms: i64, end_ms: i64) {
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

    /// What the log must learn.
    pub(super) fn take_record(&mut self, slo: &Slo) -> Option<StateRecord> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        if self.stretches.is_empty() {
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
    let mut reader = Reader::new(data, VERSION)?;
    let name = reader.text("name")?.to_string();
    let fingerprint = reader.unsigned("fingerprint")?;
    let mut unread = Unread::default();
    for _ in 0..reader.size("stretches")? {
        let (start, end) = (reader.signed("start")?, reader.signed("end")?);
        unread.add(start, end);
    }
    reader.finish()?;
    unread.is_changed = false;
    Ok(Decoded { name, fingerprint, unread })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stretches: &[(i64, i64)]) -> Unread {
        let mut unread = Unread::default();
        stretches.iter().for_each(|(start, end)| unread.add(*start, *end));
        unread
    }

    /// Against a plain list of the milliseconds meant.
    #[test]
    fn stretches_are_sets_of_moments() {
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
                if is_added {
                    unread.add(start, end)
                } else {
                    unread.remove(start, end)
                }
                plain[start as usize..end as usize].fill(is_added);
                let mut found = [false; 60];
                for (from, to) in unread.stretches() {
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
        assert_eq!(unread.stretches[0], (0, 110), "the first two are the nearest");
    }
}
