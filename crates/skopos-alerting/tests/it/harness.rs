//! A world without time or network: an in-memory state log, an engine, a delivery queue, and a
//! receiver that remembers. Time is a number of seconds that the test sets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skopos_alerting::notify::{DeliveryOutcome, DeliveryPolicy, DeliveryQueue, Intent, Settled};
use skopos_alerting::rules::{self, RuleSet};
use skopos_alerting::template::NoQueries;
use skopos_alerting::{
    AlertState, Engine, EvalFailure, NotificationSettings, ReadStats, RuleStep, SavedState,
    Settings,
};
use skopos_model::storage::{CommitId, Committed, StateCommit, StateKind, StateRecord};
use skopos_model::{Labels, METRIC_NAME, SampleValue, SeriesSamples, Timestamp};

/// The contract of a state log, in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    pub(crate) records: BTreeMap<(StateKind, String), Vec<u8>>,
    pub(crate) last_slots: BTreeMap<String, i64>,
    pub(crate) samples: Vec<SeriesSamples>,
}

impl MemoryLog {
    pub(crate) fn commit(&mut self, commit: StateCommit) -> Committed {
        let StateCommit { id: CommitId { source, slot }, records, samples } = commit;
        if self.last_slots.get(&source).is_some_and(|last| slot <= *last) {
            return Committed::AlreadyApplied;
        }
        self.last_slots.insert(source, slot);
        for StateRecord { kind, key, value } in records {
            match value {
                Some(value) => self.records.insert((kind, key), value),
                None => self.records.remove(&(kind, key)),
            };
        }
        self.samples.extend(samples);
        Committed::Applied
    }

    pub(crate) fn load(&self, want: StateKind) -> Vec<StateRecord> {
        let of_kind = self.records.iter().filter(|((kind, _), _)| *kind == want);
        of_kind
            .map(|((kind, key), value)| StateRecord {
                kind: *kind,
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect()
    }

    pub(crate) fn saved(&self) -> SavedState {
        SavedState {
            alerts: self.load(StateKind::Alert),
            groups: self.load(StateKind::RuleGroup),
            intents: self.load(StateKind::NotificationIntent),
            notification_log: self.load(StateKind::NotificationLog),
            silences: self.load(StateKind::Silence),
            last_slots: self.last_slots.clone(),
        }
    }

    /// Everything but the bookkeeping of deliveries, whose times depend on the receiver.
    pub(crate) fn alert_records(&self) -> BTreeMap<(StateKind, String), Vec<u8>> {
        let mut records = self.records.clone();
        records.retain(|(kind, key), _| {
            *kind != StateKind::NotificationIntent && !key.starts_with("delivery/")
        });
        records
    }

    /// Samples as text, sorted: `name{labels} @ms value`.
    pub(crate) fn sample_lines(&self) -> BTreeSet<String> {
        let line = |series: &SeriesSamples| {
            let sample = &series.samples[0];
            let value = match &sample.value {
                value if value.is_stale() => "stale".into(),
                SampleValue::Float(value) => value.to_string(),
                SampleValue::Histogram(_) => "histogram".into(),
            };
            format!("{} @{} {value}", series.labels, sample.timestamp_ms)
        };
        self.samples.iter().map(line).collect()
    }
}

pub(crate) type Elements = Result<Vec<(Labels, SampleValue)>, EvalFailure>;

/// `a=1,b=2`, `-` for nothing, `?` for nothing because no data arrived since the restart, `%` for
/// nothing because no series match, `!` for a failing query. Names become the label `instance`.
pub(crate) fn elements(text: &str) -> Elements {
    match text {
        "-" | "?" | "%" => Ok(Vec::new()),
        "!" => Err(EvalFailure::Query("storage is away".into())),
        _ => Ok(text
            .split(',')
            .map(|element| {
                let (name, value) = element.split_once('=').expect("name=value");
                let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("instance", name)]);
                (labels, SampleValue::Float(value.parse().expect("a number")))
            })
            .collect()),
    }
}

pub(crate) fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(crate) struct World {
    pub(crate) set: RuleSet,
    pub(crate) settings: Settings,
    pub(crate) log: MemoryLog,
    pub(crate) engine: Engine,
    pub(crate) queue: DeliveryQueue,
    /// Idempotency key → payload, as received.
    pub(crate) received: BTreeMap<String, String>,
    /// Keys in the order received, repeats included.
    pub(crate) arrivals: Vec<String>,
    /// Whether data arrives.
    pub(crate) fresh: bool,
    /// Whether no series match.
    pub(crate) blind: bool,
}

pub(crate) fn settings() -> Settings {
    Settings {
        external_url: "http://skopos.example".into(),
        notification: Some(NotificationSettings::default()),
        ..Settings::default()
    }
}

impl World {
    pub(crate) fn new(rules: &str, settings: Settings) -> Self {
        let set = match rules::load(&[("rules.yml", rules)]) {
            Ok(set) => set,
            Err(errors) => panic!("{}", errors[0]),
        };
        let saved = SavedState::default();
        let (engine, loaded) = Engine::restore(settings.clone(), &set, &saved, seconds(0));
        assert!(loaded.commit.is_none());
        let queue = DeliveryQueue::new(DeliveryPolicy::default());
        let (received, arrivals) = (BTreeMap::new(), Vec::new());
        let log = MemoryLog::default();
        Self { set, settings, log, engine, queue, received, arrivals, fresh: true, blind: false }
    }

    /// Loses everything in memory and starts from the log.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        let saved = self.log.saved();
        let (engine, loaded) = Engine::restore(self.settings.clone(), &self.set, &saved, now);
        assert_eq!(loaded.corrupt, []);
        let (queue, corrupt) = DeliveryQueue::restore(DeliveryPolicy::default(), &saved);
        assert_eq!(corrupt, []);
        (self.engine, self.queue) = (engine, queue);
        if let Some(commit) = loaded.commit {
            assert_eq!(self.log.commit(commit), Committed::Applied);
        }
        self.queue.accept(loaded.intents, now);
    }

    /// Evaluates one rule without committing.
    pub(crate) fn evaluate(
        &mut self,
        group: usize,
        rule: usize,
        slot: Timestamp,
        answer: Elements,
    ) -> RuleStep {
        let rule = self.set.groups[group].rules[rule].clone();
        let Settings { external_labels, external_url, .. } = &self.settings;
        let result = answer
            .and_then(|found| rule.apply(found, external_labels, external_url, &NoQueries(slot)));
        let result = if self.fresh { result } else { result.map(|r| r.without_fresh_data()) };
        let read = ReadStats { series: vec![u64::from(!self.blind)], samples: 3 };
        let result = result.map(|evaluated| evaluated.with_read(read));
        self.engine.step(rule.id, slot, result, Duration::from_millis(1))
    }

    /// Evaluates one rule, commits, queues and delivers. Returns what was newly intended.
    pub(crate) fn step(
        &mut self,
        group: usize,
        rule: usize,
        slot: Timestamp,
        answer: Elements,
    ) -> Vec<Intent> {
        let step = self.evaluate(group, rule, slot, answer);
        if let Some(commit) = step.commit {
            assert_eq!(self.log.commit(commit), Committed::Applied);
        }
        self.queue.accept(step.intents.iter().cloned(), slot);
        self.deliver(slot, |_| 200);
        step.intents
    }

    /// Sends all that is due; the receiver answers with a status.
    pub(crate) fn deliver(&mut self, now: Timestamp, mut answer: impl FnMut(&str) -> u16) {
        for delivery in self.queue.due(now) {
            let status = answer(&delivery.idempotency_key);
            if (200..300).contains(&status) {
                self.receive(&delivery.idempotency_key, &delivery.body);
            }
            let outcome = DeliveryOutcome::Answered { status, retry_after: None };
            match self.queue.settle(delivery.id, outcome, now) {
                Settled::Final { commit, .. } | Settled::Superseded { commit, .. } => {
                    assert_eq!(self.log.commit(commit), Committed::Applied);
                }
                Settled::Retry { .. } | Settled::Unknown => {}
            }
        }
    }

    /// The receiver takes a notification. The same key must always carry the same bytes.
    pub(crate) fn receive(&mut self, key: &str, body: &str) {
        let before = self.received.insert(key.into(), body.into());
        assert!(before.is_none_or(|before| before == body), "one key, two payloads: {key}");
        self.arrivals.push(key.into());
    }

    /// The alerts of a rule: `a:firing b:pending`, with `(held)` where the hold keeps one.
    pub(crate) fn states(&self, group: usize, rule: usize) -> String {
        let view = self.engine.view();
        let Some(alerting) = &view[group].rules[rule].alerting else { return String::new() };
        let mut states: Vec<String> = alerting
            .alerts
            .iter()
            .map(|alert| {
                let name = alert.labels.get("instance").unwrap_or("*");
                let state = match alert.state {
                    AlertState::Resolved => "resolved",
                    other => other.as_str(),
                };
                let held = if alert.held_until.is_some() { "(held)" } else { "" };
                format!("{name}:{state}{held}")
            })
            .collect();
        states.sort();
        if states.is_empty() { "-".into() } else { states.join(" ") }
    }
}

/// What a notification says: `firing a b ~c`, with `~` before alerts that are over.
pub(crate) fn summary(intent: &Intent) -> String {
    let payload: serde_json::Value = serde_json::from_str(&intent.body).unwrap();
    assert_eq!(payload["status"], intent.status.as_str());
    let alerts = payload["alerts"].as_array().unwrap().iter().map(|alert| {
        let name = alert["labels"]["instance"].as_str().unwrap_or("*");
        match alert["status"].as_str() {
            Some("firing") => name.to_string(),
            _ => format!("~{name}"),
        }
    });
    let mut words: Vec<String> = alerts.collect();
    words.sort_by_key(|word| word.starts_with('~'));
    format!("{} {}", intent.status.as_str(), words.join(" "))
}
