//! Which notification to send when. No I/O and no timer: the server asks [`DeliveryQueue::due`],
//! sends, and reports with [`DeliveryQueue::settle`].
//!
//! Policy:
//! - Notifications of one group go out one after another, oldest first, so that a receiver never
//!   sees "resolved" before "firing". Groups do not wait for each other.
//! - Timeouts, refused connections, 408, 429 and 5xx are retried with exponential backoff and
//!   jitter until the notification is `give_up_after` old; other answers are final at once.
//!   What failed stays visible in the log, and as a dead letter that can be sent again by hand.
//! - What failed at least once is superseded by a newer notification of the group that
//!   [stands for it](Intent::stands_for): a receiver that comes back is told how things are, not how they
//!   were. Of dead letters each group has one, the newest.
//! - The queue holds `capacity` notifications. When more arrive the oldest that are not being sent
//!   are dropped, and logged as dropped: newer ones describe the present better.
//! - Jitter is a hash of the notification and the attempt: the same on every run.

mod supersede;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use skopos_model::Timestamp;
use skopos_model::storage::{CommitId, StateCommit, StateRecord};

use super::ledger::{DEAD_PREFIX, DeadLetter, DeliveryRecord, KEY_PREFIX, Verdict};
use super::receivers::Judgement;
use super::{Intent, IntentId};
use crate::engine::{CorruptRecord, SavedState};
use crate::rules::hash_pieces;

/// The source of the queue's commits.
pub const DELIVERY_SOURCE: &str = "alerting/delivery";

/// Limits and delays of delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryPolicy {
    /// Most notifications waiting.
    pub capacity: usize,
    /// Most notifications being sent at the same time.
    pub max_in_flight: usize,
    /// Delay after the first failed attempt; doubles with each further one.
    pub first_delay: Duration,
    /// Longest delay between attempts.
    pub max_delay: Duration,
    /// Age at which a notification that cannot be delivered is given up.
    pub give_up_after: Duration,
    /// How long the server should wait for an answer.
    pub timeout: Duration,
    /// Settled deliveries remembered.
    pub log_entries: usize,
    /// Undeliverable notifications kept; the oldest go first.
    pub dead_letters: usize,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_in_flight: 8,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(120),
            give_up_after: Duration::from_secs(24 * 3600),
            timeout: Duration::from_secs(10),
            log_entries: 1_000,
            dead_letters: 1_000,
        }
    }
}

/// Something to send now: what `body` says, under the key `idempotency_key` (for a webhook: POST it as
/// `application/json` with the header `Idempotency-Key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What to report back with.
    pub id: IntentId,
    /// The receiver's name.
    pub receiver: String,
    /// Which of the receiver's integrations.
    pub integration: usize,
    /// The key: the same for every repetition.
    pub idempotency_key: String,
    /// What the integration's sender reads.
    pub body: Arc<str>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header, if any.
        retry_after: Option<Duration>,
    },
    /// The receiver answered, and who knows it judged the answer.
    Judged(Judgement),
    /// No answer in time.
    TimedOut,
    /// No connection; the reason must not hold the receiver's address.
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is over: make this durable.
    Final {
        /// Deletes the intent and logs the delivery.
        commit: StateCommit,
        /// What the log will say.
        record: DeliveryRecord,
    },
    /// It will be tried again.
    Retry {
        /// Not before.
        at: Timestamp,
        /// What went wrong.
        reason: String,
    },
    /// It failed, and a newer notification of its group stands for it: make this durable.
    Superseded {
        /// Deletes the intents and logs why.
        commit: StateCommit,
        /// How many were superseded.
        count: usize,
    },
    /// The queue does not know it (any more).
    Unknown,
}

/// What made room for new notifications.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// What to make durable.
    pub commit: StateCommit,
    /// How many were dropped because the queue was full.
    pub overflowed: usize,
    /// For how many one of the new ones stands.
    pub superseded: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    intent: Intent,
    attempts: u32,
    not_before: Timestamp,
    in_flight: bool,
    last_reason: String,
    /// Since when the receiver has not taken what the group tells.
    since: Timestamp,
}

/// The notifications that wait for delivery, and the log of those that do no longer.
#[derive(Clone, Debug)]
pub struct DeliveryQueue {
    policy: DeliveryPolicy,
    waiting: BTreeMap<IntentId, Entry>,
    log: VecDeque<DeliveryRecord>,
    dead: BTreeMap<IntentId, DeadLetter>,
    last_commit: i64,
    /// Deletions that go into the next commit.
    stale: Vec<StateRecord>,
}

impl DeliveryQueue {
    /// An empty queue.
    pub fn new(policy: DeliveryPolicy) -> Self {
        Self {
            policy,
            waiting: BTreeMap::new(),
            log: VecDeque::new(),
            dead: BTreeMap::new(),
            last_commit: i64::MIN,
            stale: Vec::new(),
        }
    }

    /// The queue as committed; what was being sent when the server stopped is due again.
    pub fn restore(policy: DeliveryPolicy, saved: &SavedState) -> (Self, Vec<CorruptRecord>) {
        let mut queue = Self::new(policy);
        let mut corrupt = Vec::new();
        queue.last_commit = saved.last_slots.get(DELIVERY_SOURCE).copied().unwrap_or(i64::MIN);
        for record in &saved.intents {
            match Intent::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(intent) if intent.id.to_string() == record.key => queue.add(intent),
                Ok(_) => corrupt.push(CorruptRecord::mismatch(record)),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        for record in saved.notification_log.iter().filter(|r| r.key.starts_with(KEY_PREFIX)) {
            match DeliveryRecord::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(settled) => queue.log.push_back(settled),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        // Keys order deliveries by what they told; the log is in order of settlement.
        queue.log.make_contiguous().sort_by_key(|settled| settled.settled_at);
        for record in saved.notification_log.iter().filter(|r| r.key.starts_with(DEAD_PREFIX)) {
            match DeadLetter::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(dead) if DeadLetter::key(dead.intent.id) == record.key => {
                    queue.dead.insert(dead.intent.id, dead);
                }
                Ok(_) => corrupt.push(CorruptRecord::mismatch(record)),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        queue.stale = queue.forget_dead();
        (queue, corrupt)
    }

    /// Takes in intents whose commit is durable. The returned commit drops those for which they
    /// stand and, when they overfill the queue, the oldest.
    pub fn accept(
        &mut self,
        intents: impl IntoIterator<Item = Intent>,
        now: Timestamp,
    ) -> Option<Dropped> {
        intents.into_iter().for_each(|intent| self.add(intent));
        let mut settled = self.supersede(now);
        let records = self.forget_dead();
        let superseded = settled.len();
        let surplus = self.waiting.len().saturating_sub(self.policy.capacity);
        let oldest = self.waiting.values().filter(|e| !e.in_flight).map(|e| e.intent.id);
        let dropped: Vec<IntentId> = oldest.take(surplus).collect();
        let overflowed = dropped.len();
        if overflowed == 0 && superseded == 0 && records.is_empty() {
            return None;
        }
        let reason = format!("more than {} notifications were waiting", self.policy.capacity);
        let dropped = dropped.into_iter().filter_map(|id| self.waiting.remove(&id));
        settled.extend(dropped.map(|e| {
            DeliveryRecord::new(&e.intent, now, e.attempts, Verdict::Dropped, reason.clone())
        }));
        let commit = self.commit(settled, records, now);
        Some(Dropped { commit, overflowed, superseded })
    }

    fn add(&mut self, intent: Intent) {
        let entry = Entry {
            not_before: intent.created_at,
            since: intent.created_at,
            attempts: 0,
            in_flight: false,
            last_reason: String::new(),
            intent,
        };
        self.waiting.entry(entry.intent.id).or_insert(entry);
    }

    /// What to send at `now`. Each is in flight from here on, until it is settled.
    pub fn due(&mut self, now: Timestamp) -> Vec<Delivery> {
        let in_flight = self.waiting.values().filter(|e| e.in_flight).count();
        let mut room = self.policy.max_in_flight.saturating_sub(in_flight);
        let mut groups = HashSet::new();
        let mut deliveries = Vec::new();
        for entry in self.waiting.values_mut() {
            if room == 0 {
                break;
            }
            let is_first = groups.insert(entry.intent.id.group);
            if !is_first || entry.in_flight || entry.not_before > now {
                continue;
            }
            room -= 1;
            entry.in_flight = true;
            entry.attempts += 1;
            deliveries.push(Delivery {
                id: entry.intent.id,
                receiver: entry.intent.receiver.clone(),
                integration: entry.intent.integration,
                idempotency_key: entry.intent.idempotency_key(),
                body: entry.intent.body.clone(),
                attempt: entry.attempts,
                timeout: self.policy.timeout,
            });
        }
        deliveries
    }

    /// When [`due`](Self::due) will have something next, unless something arrives or is settled
    /// before. `None` while as much is in flight as may be: only a settlement helps then.
    pub fn next_due(&self) -> Option<Timestamp> {
        let in_flight = self.waiting.values().filter(|e| e.in_flight).count();
        if in_flight >= self.policy.max_in_flight {
            return None;
        }
        let mut groups = HashSet::new();
        let first = self.waiting.values().filter(|e| groups.insert(e.intent.id.group));
        first.filter(|e| !e.in_flight).map(|e| e.not_before).min()
    }

    /// Reports what came of a delivery.
    pub fn settle(&mut self, id: IntentId, outcome: DeliveryOutcome, now: Timestamp) -> Settled {
        let Some(entry) = self.waiting.get_mut(&id) else { return Settled::Unknown };
        entry.in_flight = false;
        let (verdict, reason, retry_after) = classify(&outcome);
        if verdict.is_none() {
            let delay = backoff(&self.policy, id, entry.attempts);
            let at = now.saturating_add(delay.max(retry_after.min(self.policy.max_delay)));
            let end = entry.intent.created_at.saturating_add(self.policy.give_up_after);
            if at < end {
                entry.not_before = at;
                entry.last_reason.clone_from(&reason);
                let settled = self.supersede(now);
                let count = settled.len();
                if settled.is_empty() {
                    return Settled::Retry { at, reason };
                }
                let commit = self.commit(settled, Vec::new(), now);
                return Settled::Superseded { commit, count };
            }
        }
        let verdict = verdict.unwrap_or(Verdict::Failed);
        let Some(entry) = self.waiting.remove(&id) else { return Settled::Unknown };
        let attempts = entry.attempts;
        let mut records = Vec::new();
        if verdict == Verdict::Failed {
            let (intent, reason) = (entry.intent.clone(), reason.clone());
            self.bury(DeadLetter { intent, failed_at: now, attempts, reason }, &mut records);
        }
        let record = DeliveryRecord::new(&entry.intent, now, attempts, verdict, reason);
        let commit = self.commit(vec![record.clone()], records, now);
        Settled::Final { commit, record }
    }

    fn bury(&mut self, letter: DeadLetter, records: &mut Vec<StateRecord>) {
        let (id, record) = (letter.intent.id, letter.record());
        self.dead.insert(id, letter);
        records.extend(self.forget_dead());
        if self.dead.contains_key(&id) {
            records.push(record);
        }
        while self.dead.len() > self.policy.dead_letters {
            let Some((id, _)) = self.dead.pop_first() else { break };
            records.push(DeadLetter::deletion(id));
        }
    }

    /// The notifications that could not be delivered, oldest first.
    pub fn dead_letters(&self) -> impl ExactSizeIterator<Item = &DeadLetter> {
        self.dead.values()
    }

    /// Puts a dead letter (all of them, without an id) back among the waiting, under its old key.
    /// Returns how many, and the commit that says so; call [`due`](Self::due) once it is durable.
    pub fn retry_dead(&mut self, id: Option<IntentId>, now: Timestamp) -> (usize, StateCommit) {
        let ids: Vec<IntentId> = match id {
            Some(id) => self.dead.contains_key(&id).then_some(id).into_iter().collect(),
            None => self.dead.keys().copied().collect(),
        };
        let mut records = Vec::with_capacity(ids.len() * 2);
        for id in &ids {
            let Some(letter) = self.dead.remove(id) else { continue };
            records.push(DeadLetter::deletion(*id));
            // Its age counts from now, else it would be given up at once.
            let intent = Intent { created_at: now, ..letter.intent };
            records.push(intent.record());
            self.add(intent);
        }
        (ids.len(), self.commit(Vec::new(), records, now))
    }

    /// Discards dead letters (all of them, without ids), and logs who did. `Err` names an id that is
    /// none, and then nothing is discarded; returns what was, and the commit that says so.
    pub fn discard_dead(
        &mut self,
        ids: Option<&[IntentId]>,
        by: &str,
        now: Timestamp,
    ) -> Result<(Vec<DeadLetter>, StateCommit), IntentId> {
        let ids: Vec<IntentId> = match ids {
            Some(ids) => ids.to_vec(),
            None => self.dead.keys().copied().collect(),
        };
        if let Some(unknown) = ids.iter().find(|id| !self.dead.contains_key(id)) {
            return Err(*unknown);
        }
        let letters: Vec<DeadLetter> = ids.iter().filter_map(|id| self.dead.remove(id)).collect();
        let records = letters.iter().map(|letter| DeadLetter::deletion(letter.intent.id)).collect();
        let settled = letters.iter().map(|letter| DeliveryRecord::discarded(letter, now, by));
        let commit = self.commit(settled.collect(), records, now);
        Ok((letters, commit))
    }

    fn commit(
        &mut self,
        settled: Vec<DeliveryRecord>,
        mut records: Vec<StateRecord>,
        now: Timestamp,
    ) -> StateCommit {
        records.append(&mut self.stale);
        for record in settled {
            // One that was retried by hand is settled twice under one key.
            self.log.retain(|before| before.id != record.id);
            records.push(Intent::deletion(record.id));
            records.push(record.record());
            self.log.push_back(record);
        }
        while self.log.len() > self.policy.log_entries {
            if let Some(oldest) = self.log.pop_front() {
                records.push(DeliveryRecord::deletion(oldest.id));
            }
        }
        // The clock may stand still or go back; the source's slots must not.
        self.last_commit = now.as_millis().max(self.last_commit.saturating_add(1));
        let id = CommitId { source: DELIVERY_SOURCE.into(), slot: self.last_commit };
        StateCommit { id, records, samples: Vec::new() }
    }

    /// Notifications that wait or are being sent.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The waiting notifications, oldest first: intent, attempts so far, reason of the last failure.
    pub fn waiting(&self) -> impl Iterator<Item = (&Intent, u32, &str)> {
        self.waiting.values().map(|e| (&e.intent, e.attempts, e.last_reason.as_str()))
    }

    /// The notifications whose receiver has taken nothing that their group tells since before that
    /// time, oldest first: intent, since when, reason of the last failure.
    pub fn stuck(&self, before: Timestamp) -> impl Iterator<Item = (&Intent, Timestamp, &str)> {
        let stuck = self.waiting.values().filter(move |entry| entry.since < before);
        stuck.map(|entry| (&entry.intent, entry.since, entry.last_reason.as_str()))
    }

    /// The settled deliveries that are remembered, oldest first.
    pub fn log(&self) -> impl ExactSizeIterator<Item = &DeliveryRecord> {
        self.log.iter()
    }
}

/// The verdict (none: try again), why, and how long the receiver asked to wait.
fn classify(outcome: &DeliveryOutcome) -> (Option<Verdict>, String, Duration) {
    match outcome {
        DeliveryOutcome::Answered { status, retry_after } => {
            let verdict = match status {
                200..=299 => return (Some(Verdict::Delivered), String::new(), Duration::ZERO),
                408 | 429 | 500..=599 => None,
                _ => Some(Verdict::Failed),
            };
            let reason = format!("receiver answered {status}");
            (verdict, reason, retry_after.unwrap_or_default())
        }
        DeliveryOutcome::Judged(Judgement::Delivered) => {
            (Some(Verdict::Delivered), String::new(), Duration::ZERO)
        }
        DeliveryOutcome::Judged(Judgement::Retry { reason, after }) => {
            (None, reason.clone(), after.unwrap_or_default())
        }
        DeliveryOutcome::Judged(Judgement::Failed { reason }) => {
            (Some(Verdict::Failed), reason.clone(), Duration::ZERO)
        }
        DeliveryOutcome::TimedOut => (None, "timed out".into(), Duration::ZERO),
        DeliveryOutcome::Unreachable { reason } => {
            (None, format!("unreachable: {reason}"), Duration::ZERO)
        }
    }
}

/// Between half of and the whole exponential delay.
fn backoff(policy: &DeliveryPolicy, id: IntentId, attempts: u32) -> Duration {
    let doubled = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let full = policy.first_delay.saturating_mul(doubled).min(policy.max_delay);
    let hash = hash_pieces([id.to_string().as_str(), attempts.to_string().as_str()]);
    let share = (hash as u32 % 1_000) as f64 / 1_000.0;
    full.mul_f64(0.5 + share / 2.0)
}
