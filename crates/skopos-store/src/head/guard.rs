//! Decides which new series may come into being, and keeps account of those that may not.
//!
//! Constraints:
//! - Asked only about series that the head does not know: the way of a known series does not lead
//!   through here at all.
//! - Shared by a head and its successors, so that accounts and sums outlive a flush.
//! - Memory is bounded whatever senders do: [`account`] and [`fold`] say by what.
//! - The engine's critical section calls it from one thread at a time; the lock is for readers of
//!   the account.

mod account;
mod fold;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos_model::{Clock, Labels, METRIC_NAME, Rejection, SeriesId, SeriesSamples, Temporality};

use self::account::Account;
use self::fold::{Folded, Folds, Now, Pair};
use super::metrics::Lookup;
use crate::cardinality::{LimitAction, SeriesRefusal, SeriesSender};
use crate::limits::{OnLimit, SeriesLimits};

/// The value that stands for all values of a label that are not told apart any more.
pub(crate) const OTHER: &str = "other";
/// The newest series of a metric that are looked at for the label that grew.
const LOOKED_AT: usize = 20_000;
/// How long an answer about the label that grew is believed.
const GROWN_FOR: Duration = Duration::from_secs(300);
/// Kinds of refusals of one batch that are put together before they are accounted for.
const MOST_NOTED: usize = 32;
/// Metrics of one batch, sender and limit that are counted, and those that are named.
const MOST_COUNTED: usize = 64;
const MOST_NAMED: usize = 5;
/// Metrics whose label that grew is remembered.
const MOST_GROWN: usize = 1_024;

/// The guard of a head and its successors.
pub(crate) struct Guard {
    limits: SeriesLimits,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    created: AtomicU64,
    removed: AtomicU64,
    /// Series went beyond a number since somebody asked.
    wanted_places: AtomicBool,
}

#[derive(Default)]
struct State {
    account: Account,
    folds: Folds,
    grown: HashMap<Box<str>, (Box<str>, Duration)>,
}

/// A limit that a new series would go beyond.
struct Over {
    reason: &'static str,
    limit: usize,
    /// The label that is at fault, when the series itself says which.
    label: Option<String>,
}

/// What becomes of a new series.
pub(super) enum Decision {
    /// It comes into being.
    Admit,
    /// Its samples were added to a series that stands for many.
    Folded,
    /// It is refused.
    Refused,
}

/// What went beyond limits in a batch.
pub(super) struct Beyond {
    /// The series that stand for many, with what the batch adds to them.
    pub(super) sums: Vec<SeriesSamples>,
    /// Samples that were added to them.
    pub(super) folded_samples: u64,
    /// By limit and sender.
    pub(super) refused: Vec<Rejection>,
    /// By limit and sender.
    pub(super) folded: Vec<Rejection>,
}

impl Guard {
    pub(crate) fn new(limits: SeriesLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            clock,
            state: Mutex::default(),
            created: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            wanted_places: AtomicBool::new(false),
        }
    }

    pub(crate) fn limits(&self) -> &SeriesLimits {
        &self.limits
    }

    /// For the series of one batch; without limits when `limited` is not set.
    pub(super) fn admission<'a>(&'a self, index: &'a Lookup<'a>, limited: bool) -> Admission<'a> {
        Admission {
            guard: self,
            index,
            limited,
            folding: limited && self.lock().folds.is_folding(),
            pending: HashSet::new(),
            pending_of_metric: HashMap::new(),
            folded: Folded::default(),
            noted: Vec::new(),
            told: Vec::new(),
        }
    }

    fn note(&self, noted: Noted) {
        if matches!(noted.reason, "head_series" | "metric_series") {
            self.wanted_places.store(true, Ordering::Relaxed);
        }
        let now = self.clock.now();
        let refusal = SeriesRefusal {
            reason: noted.reason,
            limit: noted.limit,
            action: noted.action,
            metric: account::shortened(noted.labels.metric_name()),
            label: account::shortened(&noted.label),
            first_value: account::shortened(&noted.value),
            sender: sender(&noted.labels),
            samples: noted.samples,
            first_at: now,
            last_at: now,
        };
        self.lock().account.note(refusal, self.clock.monotonic());
    }

    /// Counts series that came into being.
    pub(super) fn note_created(&self, count: u64) {
        self.created.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts series that the head let go.
    pub(crate) fn note_removed(&self, count: u64) {
        self.removed.fetch_add(count, Ordering::Relaxed);
    }

    /// Series that came into being and that were let go, since the start.
    pub(crate) fn turnover(&self) -> (u64, u64) {
        (self.created.load(Ordering::Relaxed), self.removed.load(Ordering::Relaxed))
    }

    /// Whether new series had no place since this was asked last.
    pub(crate) fn take_wanted_places(&self) -> bool {
        self.wanted_places.swap(false, Ordering::Relaxed)
    }

    /// What went beyond a limit since the start, the most samples first.
    pub(crate) fn refusals(&self) -> Vec<SeriesRefusal> {
        self.lock().account.rows()
    }

    /// See [`Cardinality::name_scope`](crate::cardinality::Cardinality::name_scope).
    pub(crate) fn name_scope(&self, service: &str, metric: &str, scope: &str) {
        self.lock().account.name_scope(service, metric, scope);
    }

    /// What is to be told to people, each once in a while; leaves nothing.
    pub(crate) fn take_notices(&self) -> Vec<SeriesRefusal> {
        self.lock().account.take_notices()
    }

    /// Samples refused by reason, and samples folded.
    pub(crate) fn counts(&self) -> (Vec<(&'static str, u64)>, u64) {
        self.lock().account.counts()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides about the new series of one batch.
pub(super) struct Admission<'a> {
    guard: &'a Guard,
    index: &'a Lookup<'a>,
    limited: bool,
    /// Whether series of the head may stand for others.
    folding: bool,
    /// New series admitted that the index does not hold yet.
    pending: HashSet<SeriesId>,
    pending_of_metric: HashMap<Box<str>, Vec<Labels>>,
    folded: Folded,
    /// What went beyond limits, the newest kinds of it; others are in the account already.
    noted: Vec<Noted>,
    /// What the sender is told.
    told: Vec<Told>,
}

/// What one sender is told about one limit.
struct Told {
    rejection: Rejection,
    action: LimitAction,
    /// Samples of the first metrics.
    metrics: Vec<(Box<str>, u64)>,
}

impl Told {
    fn count(&mut self, metric: &str, samples: u64) {
        self.rejection.count += samples;
        if let Some((_, count)) = self.metrics.iter_mut().find(|(name, _)| **name == *metric) {
            *count += samples;
        } else if self.metrics.len() < MOST_COUNTED {
            self.metrics.push((metric.into(), samples));
        }
    }

    /// The message names the first of its kind; of several metrics it says how much was of which.
    fn finish(mut self) -> Rejection {
        if self.metrics.len() > 1 {
            self.metrics.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let named: Vec<String> = (self.metrics.iter().take(MOST_NAMED))
                .map(|(metric, samples)| format!("{samples} of {}", account::shortened(metric)))
                .collect();
            let more = if self.metrics.len() > MOST_NAMED { ", …" } else { "" };
            self.rejection.message.push_str(&format!("; {}{more}", named.join(", ")));
        }
        self.rejection
    }
}

/// New series of one batch that went beyond a limit in the same way.
struct Noted {
    /// Of the first.
    labels: Labels,
    reason: &'static str,
    limit: u64,
    action: LimitAction,
    label: String,
    value: String,
    samples: u64,
}

impl Noted {
    fn is_like(&self, over: &Over, labels: &Labels) -> bool {
        const SAME: [&str; 4] = [METRIC_NAME, "job", "service_name", "otel_scope_name"];
        self.reason == over.reason
            && over.label.as_deref().is_none_or(|label| label == self.label)
            && SAME.iter().all(|name| self.labels.get(name) == labels.get(name))
    }
}

impl Admission<'_> {
    /// Adds the samples of a known series that stands for others to its sum: a sender has a value
    /// `other` of its own. `false` for all other series.
    pub(super) fn folds_known(&mut self, series: &mut SeriesSamples) -> bool {
        let is_target =
            |labels: &Labels| self.guard.lock().folds.is_target(labels.series_id(), labels);
        if !self.folding || !is_target(&series.labels) {
            return false;
        }
        let target = series.labels.clone();
        let mut state = self.guard.lock();
        let pair = Pair { series, target: &target, target_is_new: false, label: "" };
        state.folds.add(pair, &self.guard.limits, self.now(), &mut self.folded)
    }

    fn now(&self) -> Now {
        let clock = &self.guard.clock;
        Now { monotonic: clock.monotonic(), ms: clock.now().as_millis() }
    }

    /// Decides about a series that the index does not hold.
    pub(super) fn decide(
        &mut self,
        id: SeriesId,
        series: &mut SeriesSamples,
        is_counter: impl FnOnce(&str) -> bool,
    ) -> Decision {
        let Some(over) = self.over(id, &series.labels) else { return Decision::Admit };
        let samples = series.samples.len() as u64;
        let may_fold = self.guard.limits.on_limit == OnLimit::Fold
            && over.label.is_none()
            && (series.temporality == Temporality::Delta
                || is_counter(series.labels.metric_name()));
        // Floods come in rows of the same kind: what is said is found out for the first.
        let known = self.noted.iter().rposition(|noted| noted.is_like(&over, &series.labels));
        let (label, value) = match known.and_then(|at| self.noted.get(at)) {
            Some(noted) => (noted.label.clone(), String::new()),
            None => self.label_at_fault(&over, &series.labels),
        };
        let folded = may_fold && label != METRIC_NAME && self.fold(&label, series);
        let action = if folded { LimitAction::Folded } else { LimitAction::Refused };
        let decision = match action {
            LimitAction::Folded => Decision::Folded,
            LimitAction::Refused => Decision::Refused,
        };
        let value = if known.is_some() { series.labels.value(&label).to_owned() } else { value };
        self.tell(&over, action, &series.labels, (&label, &value), samples);
        let same = self
            .noted
            .iter_mut()
            .rev()
            .find(|noted| noted.action == action && noted.is_like(&over, &series.labels));
        if let Some(noted) = same {
            noted.samples += samples;
            return decision;
        }
        let (labels, reason) = (series.labels.clone(), over.reason);
        let limit = over.limit as u64;
        self.noted.push(Noted { labels, reason, limit, action, label, value, samples });
        if self.noted.len() > MOST_NOTED {
            let oldest = self.noted.remove(0);
            self.guard.note(oldest);
        }
        decision
    }

    /// Counts for what the sender is told; the message is made for the first of its kind.
    fn tell(
        &mut self,
        over: &Over,
        action: LimitAction,
        labels: &Labels,
        (label, value): (&str, &str),
        samples: u64,
    ) {
        let (sender, metric) = (labels.value("job"), labels.metric_name());
        let is_same = |told: &&mut Told| {
            told.action == action
                && told.rejection.reason == over.reason
                && told.rejection.sender == sender
        };
        if let Some(told) = self.told.iter_mut().find(is_same) {
            return told.count(metric, samples);
        }
        let message = self.message(over, action, labels, label, value);
        let rejection = Rejection { count: 0, ..Rejection::one(over.reason, sender, message) };
        let mut told = Told { rejection, action, metrics: Vec::new() };
        told.count(metric, samples);
        self.told.push(told);
    }

    /// What this batch adds to series that stand for many, and what the senders are told.
    pub(super) fn finish(self) -> Beyond {
        self.noted.into_iter().for_each(|noted| self.guard.note(noted));
        let told = self.told.into_iter().filter(|told| told.rejection.count > 0);
        let (folded, refused): (Vec<Told>, Vec<Told>) =
            told.partition(|told| told.action == LimitAction::Folded);
        let (mut sums, mut folded_samples) = (Vec::new(), 0);
        if !self.folded.is_empty() {
            let (index, mut state) = (self.index, self.guard.lock());
            let last = |labels: &Labels| index.last_value(labels);
            (sums, folded_samples) = state.folds.finish(self.folded, last);
        }
        Beyond {
            sums,
            folded_samples,
            refused: refused.into_iter().map(Told::finish).collect(),
            folded: folded.into_iter().map(Told::finish).collect(),
        }
    }

    /// The limit that a new series goes beyond; a series that goes beyond none counts from now on.
    fn over(&mut self, id: SeriesId, labels: &Labels) -> Option<Over> {
        // A batch may name a new series twice.
        if !self.limited || self.pending.contains(&id) {
            return None;
        }
        let limits = &self.guard.limits;
        let over =
            |reason, limit, label: &str| Some(Over { reason, limit, label: Some(label.into()) });
        let metric = labels.metric_name();
        let count = labels.len() - usize::from(!metric.is_empty());
        if count > limits.labels_per_series {
            return over("labels_per_series", limits.labels_per_series, "");
        }
        for (name, value) in labels.iter() {
            let is_name = name == METRIC_NAME;
            if name.len() > limits.label_name_bytes
                || is_name && value.len() > limits.label_name_bytes
            {
                return over("label_name_bytes", limits.label_name_bytes, name);
            }
            if !is_name && value.len() > limits.label_value_bytes {
                return over("label_value_bytes", limits.label_value_bytes, name);
            }
        }
        let pending = self.pending_of_metric.get(metric).map_or(0, Vec::len);
        if self.index.metric_series(metric).len() + pending >= limits.metric_series {
            let limit = limits.metric_series;
            return Some(Over { reason: "metric_series", limit, label: None });
        }
        if self.index.series_count() + self.pending.len() >= limits.head_series {
            return Some(Over { reason: "head_series", limit: limits.head_series, label: None });
        }
        self.pending.insert(id);
        match self.pending_of_metric.get_mut(metric) {
            Some(pending) => pending.push(labels.clone()),
            None => drop(self.pending_of_metric.insert(metric.into(), vec![labels.clone()])),
        }
        None
    }

    /// The label that is at fault and its value in this series.
    fn label_at_fault(&self, over: &Over, labels: &Labels) -> (String, String) {
        if let Some(label) = &over.label {
            return match label.as_str() {
                "" => (String::new(), format!("{} labels", labels.len())),
                label => (label.to_owned(), labels.value(label).to_owned()),
            };
        }
        let label = self.grown(labels.metric_name());
        let value = labels.value(&label).to_owned();
        (label, value)
    }

    /// The label with the most values among the newest series of a metric; the name itself when
    /// the metric has no series yet.
    fn grown(&self, metric: &str) -> String {
        let now = self.guard.clock.monotonic();
        let mut state = self.guard.lock();
        if let Some(label) = state.folds.label(metric) {
            return label.to_owned();
        }
        if let Some((label, at)) = state.grown.get(metric)
            && now.saturating_sub(*at) < GROWN_FOR
        {
            return label.to_string();
        }
        let pending = self.pending_of_metric.get(metric).map_or(&[][..], |pending| pending);
        let grown = grown_label(self.index, metric, pending, LOOKED_AT);
        // A metric without series yet: its name is what grew.
        let Some((label, _)) = grown else { return METRIC_NAME.to_owned() };
        if state.grown.len() >= MOST_GROWN {
            state.grown.clear();
        }
        state.grown.insert(metric.into(), (label.as_str().into(), now));
        label
    }

    /// Adds the samples to the series that stands for this one and others; `false` when that
    /// cannot be.
    fn fold(&mut self, label: &str, series: &mut SeriesSamples) -> bool {
        let Some(target) = fold::target(&series.labels, label) else { return false };
        let id = target.series_id();
        let is_new = self.index.find(&target).is_none() && !self.pending.contains(&id);
        let mut state = self.guard.lock();
        let pair = Pair { series, target: &target, target_is_new: is_new, label };
        let folded = state.folds.add(pair, &self.guard.limits, self.now(), &mut self.folded);
        drop(state);
        if folded && is_new {
            self.pending.insert(id);
        }
        folded
    }

    fn message(
        &self,
        over: &Over,
        action: LimitAction,
        labels: &Labels,
        label: &str,
        value: &str,
    ) -> String {
        let (reason, limit) = (over.reason, over.limit);
        let metric = account::shortened(labels.metric_name());
        let (label, value) = (account::shortened(label), account::shortened(value));
        let SeriesSender { job, service, scope } = sender(labels);
        let from = format!("job={job:?} service={service:?} scope={scope:?}");
        match over.label.as_deref() {
            _ if action == LimitAction::Folded => format!(
                "new series of {metric} from {from} count under {label}={OTHER:?} at \
                 limits.{reason} = {limit}: label {label:?} has the most values, now {value:?}; \
                 take that label away or raise the limit; known series go on"
            ),
            Some("") => format!(
                "new series of {metric} from {from} refused: it has {value}, more than \
                 limits.{reason} = {limit}"
            ),
            Some(_) => format!(
                "new series of {metric} from {from} refused: label {label:?} is longer than \
                 limits.{reason} = {limit}"
            ),
            None => format!(
                "new series of {metric} from {from} refused at limits.{reason} = {limit}: label \
                 {label:?} has the most values, now {value:?}; take that label away or raise the \
                 limit; known series go on"
            ),
        }
    }
}

/// The label with the most values among the newest series of a metric, those `pending` among them,
/// which the index does not hold yet; and how many. Of equal ones
/// the one whose newest value looks most like an id. The bounds of buckets are no candidates.
pub(super) fn grown_label(
    index: &Lookup<'_>,
    metric: &str,
    pending: &[Labels],
    looked_at: usize,
) -> Option<(String, usize)> {
    let refs = index.metric_series(metric);
    let newest = refs.get(refs.len().saturating_sub(looked_at)..).unwrap_or_default();
    let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
    let pending = pending.iter().rev().take(looked_at);
    for labels in newest.iter().filter_map(|at| index.labels(*at)).chain(pending) {
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != "le")
        {
            values.entry(name).or_default().insert(value);
        }
    }
    let id_like = |values: &HashSet<&str>| {
        // Some, not all: what an id looks like does not change from value to value.
        let some: BTreeSet<&&str> = values.iter().take(16).collect();
        crate::cardinality::look_like_ids(some.into_iter().copied())
    };
    let most = values.iter().map(|(name, values)| (values.len(), id_like(values), *name)).max();
    most.map(|(count, _, name)| (name.to_owned(), count))
}

/// Who sent a series, as its labels say.
fn sender(labels: &Labels) -> SeriesSender {
    let job = labels.value("job");
    let service = match labels.value("service_name") {
        // `job` is `service.namespace/service.name`.
        "" => job.rsplit('/').next().unwrap_or(job),
        service => service,
    };
    SeriesSender {
        job: account::shortened(job),
        service: account::shortened(service),
        scope: account::shortened(labels.value("otel_scope_name")),
    }
}
