//! A newer notification of a group stands for those before it that its receiver did not take.
//!
//! Only what was tried in vain is superseded: what a receiver that answers is told is every step. The one that
//! remains goes on with the delays of those before it, since it is the same receiver that does not answer.

use std::collections::HashMap;

use skopos_model::Timestamp;
use skopos_model::storage::StateRecord;

use super::super::IntentId;
use super::super::ledger::{DeadLetter, DeliveryRecord};
use super::{DeliveryQueue, Entry};

impl Entry {
    fn go_on_for(&mut self, earlier: Entry) {
        self.attempts = self.attempts.max(earlier.attempts);
        self.not_before = self.not_before.max(earlier.not_before);
        self.since = self.since.min(earlier.since);
        if self.last_reason.is_empty() {
            self.last_reason = earlier.last_reason;
        }
    }
}

impl DeliveryQueue {
    /// Takes out the waiting notifications that failed and for which a newer one stands.
    pub(super) fn supersede(&mut self, now: Timestamp) -> Vec<DeliveryRecord> {
        let mut failed: Vec<(IntentId, Vec<IntentId>)> = Vec::new();
        let mut places: HashMap<u64, usize> = HashMap::new();
        // In order of age, so the first of a group is the one that is being tried.
        for (id, entry) in &self.waiting {
            if let Some(place) = places.get(&id.group) {
                failed[*place].1.push(*id);
            } else if entry.attempts > 0 && !entry.in_flight {
                places.insert(id.group, failed.len());
                failed.push((*id, Vec::new()));
            }
        }
        let mut settled = Vec::new();
        for (mut first, newer) in failed {
            // What goes on for it has failed as well: the one after that may stand for both.
            for (n, next) in newer.iter().enumerate() {
                let Some(entry) = self.waiting.get(&first) else { break };
                let mut rest = newer[n..].iter().filter_map(|id| self.waiting.get(id));
                if !rest.any(|other| other.intent.stands_for(&entry.intent)) {
                    break;
                }
                let Some(gone) = self.waiting.remove(&first) else { break };
                settled.push(DeliveryRecord::superseded(&gone.intent, now, gone.attempts));
                if let Some(entry) = self.waiting.get_mut(next) {
                    entry.go_on_for(gone);
                }
                first = *next;
            }
        }
        settled
    }

    /// Forgets the dead letters of groups that have something newer, dead or waiting. Returns the
    /// deletions.
    pub(super) fn forget_dead(&mut self) -> Vec<StateRecord> {
        if self.dead.is_empty() {
            return Vec::new();
        }
        let mut newest: HashMap<u64, IntentId> = HashMap::new();
        for id in self.dead.keys().chain(self.waiting.keys()) {
            let known = newest.entry(id.group).or_insert(*id);
            *known = (*known).max(*id);
        }
        let is_old = |id: &IntentId| newest.get(&id.group) != Some(id);
        let old: Vec<IntentId> = self.dead.keys().filter(|id| is_old(id)).copied().collect();
        for id in &old {
            self.dead.remove(id);
        }
        old.into_iter().map(DeadLetter::deletion).collect()
    }
}
