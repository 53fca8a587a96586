//! [`DerivedMetrics`]: the counters, their bounds, and who was folded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skopos_model::{SpanKind, StatusCode};

use super::emit::Emission;
use super::render::{LogLabels, OperationLabels};
use super::tally::{LogTally, OperationKey, OperationTally, SEVERITIES};
use super::{DeriveLimits, OTHER, Tally};

/// The counters since the start of the process.
#[derive(Debug)]
pub struct DerivedMetrics {
    limits: DeriveLimits,
    pub(super) services: HashMap<Arc<str>, Service>,
    operations: usize,
    folded: BTreeMap<(Arc<str>, &'static str), Folded>,
    /// The last tick whose samples were stored; at first the start.
    pub(super) ticked_ms: i64,
    pub(super) planned_ms: Option<i64>,
}

/// Spans or records that were counted under `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Who sent them.
    pub service: Arc<str>,
    /// The limit that was reached: `span_names`, `operations` or `services`.
    pub limit: &'static str,
    /// How many.
    pub count: u64,
    /// The first span name folded; for the limit `services` the first service.
    pub first: Arc<str>,
}

/// The counters of one service.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Operations by span name, then by kind and status, of which there are few.
    pub(super) names: HashMap<Arc<str>, Vec<Operation>>,
    pub(super) logs: Option<Box<Logs>>,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) total: OperationTally,
    pub(super) emission: Emission,
    pub(super) labels: OperationLabels,
}

#[derive(Debug)]
pub(super) struct Logs {
    pub(super) total: LogTally,
    pub(super) labels: LogLabels,
    pub(super) by_severity: [Emission; SEVERITIES.len()],
    pub(super) debug: Emission,
}

impl DerivedMetrics {
    /// Nothing counted yet; counters begin at `start_ms`.
    pub fn new(limits: DeriveLimits, start_ms: i64) -> Self {
        Self {
            limits,
            services: HashMap::new(),
            operations: 0,
            folded: BTreeMap::new(),
            ticked_ms: start_ms,
            planned_ms: None,
        }
    }

    /// Adds what a stored batch counts. Returns what was folded for the first time, to be said
    /// aloud; how much is folded in all stands in [`folded`](Self::folded).
    pub fn add(&mut self, tally: &Tally) -> Vec<Folded> {
        let mut news = Vec::new();
        for (key, more) in &tally.operations {
            self.add_operation(key, more, &mut news);
        }
        for (service, more) in &tally.logs {
            self.add_logs(service, more, &mut news);
        }
        news
    }

    /// What was folded so far, by service and limit.
    pub fn folded(&self) -> impl Iterator<Item = &Folded> {
        self.folded.values()
    }

    /// Operations told apart now.
    pub fn operation_count(&self) -> usize {
        self.operations
    }

    fn add_operation(&mut self, key: &OperationKey, more: &OperationTally, news: &mut Vec<Folded>) {
        let (kind, status) = (key.kind, key.status);
        let known =
            self.services.get_mut(&key.service).and_then(|s| s.find(&key.name, kind, status));
        if let Some(operation) = known {
            return operation.total.merge(more);
        }
        let other: Arc<str> = OTHER.into();
        let (service, name) = match self.limit_reached(&key.service, &key.name) {
            None => (Arc::clone(&key.service), Arc::clone(&key.name)),
            Some("services") => {
                self.fold(&key.service, "services", more.spans, &key.service, news);
                (Arc::clone(&other), other)
            }
            Some(limit) => {
                self.fold(&key.service, limit, more.spans, &key.name, news);
                // Room for `other` of each service, but not for ever more of them.
                let room = self.operations < self.limits.operations.saturating_mul(3) / 2;
                let mine = self.services.get_mut(&key.service);
                let has = mine.is_some_and(|s| s.find(OTHER, kind, status).is_some());
                let service = if room || has { &key.service } else { &other };
                (Arc::clone(service), other)
            }
        };
        let labels_of =
            |service: &str, name: &str| OperationLabels::new(service, name, kind, status);
        let entry = self.services.entry(Arc::clone(&service)).or_default();
        if let Some(operation) = entry.find(&name, kind, status) {
            return operation.total.merge(more);
        }
        let operation = Operation {
            kind,
            status,
            total: more.clone(),
            emission: Emission::default(),
            labels: labels_of(&service, &name),
        };
        entry.names.entry(name).or_default().push(operation);
        self.operations += 1;
    }

    /// The limit that forbids a new operation of this name.
    fn limit_reached(&self, service: &str, name: &str) -> Option<&'static str> {
        let known = self.services.get(service);
        if known.is_none() && self.services.len() >= self.limits.services {
            return Some("services");
        }
        let names = known.map_or(0, |known| known.names.len());
        let has_name = known.is_some_and(|known| known.names.contains_key(name));
        if !has_name && names >= self.limits.span_names {
            return Some("span_names");
        }
        (self.operations >= self.limits.operations).then_some("operations")
    }

    fn add_logs(&mut self, service: &Arc<str>, more: &LogTally, news: &mut Vec<Folded>) {
        let full = self.services.len() >= self.limits.services;
        let service = if full && !self.services.contains_key(service) {
            let records = more.by_severity.iter().sum();
            self.fold(service, "services", records, service, news);
            &OTHER.into()
        } else {
            service
        };
        let entry = self.services.entry(Arc::clone(service)).or_default();
        let logs = entry.logs.get_or_insert_with(|| {
            Box::new(Logs {
                total: LogTally::default(),
                labels: LogLabels::new(service),
                by_severity: Default::default(),
                debug: Emission::default(),
            })
        });
        logs.total.add(more);
    }

    /// Counts a fold. Services beyond their own limit share one entry, or the account would grow
    /// with them.
    fn fold(
        &mut self,
        service: &Arc<str>,
        limit: &'static str,
        count: u64,
        first: &Arc<str>,
        news: &mut Vec<Folded>,
    ) {
        let service = if limit == "services" { OTHER.into() } else { Arc::clone(service) };
        let key = (Arc::clone(&service), limit);
        if let Some(folded) = self.folded.get_mut(&key) {
            folded.count += count;
            return;
        }
        let folded = Folded { service, limit, count, first: Arc::clone(first) };
        news.push(folded.clone());
        self.folded.insert(key, folded);
    }

    /// Lets go of what ended, and of services without anything left.
    pub(super) fn settle(&mut self) {
        let mut operations = 0;
        self.services.retain(|_, service| {
            service.names.retain(|_, list| {
                list.retain_mut(|operation| operation.emission.commit(operation.total.spans));
                operations += list.len();
                !list.is_empty()
            });
            if let Some(logs) = &mut service.logs
                && !logs.commit()
            {
                service.logs = None;
            }
            service.logs.is_some() || !service.names.is_empty()
        });
        self.operations = operations;
    }
}

impl Service {
    fn find(&mut self, name: &str, kind: SpanKind, status: StatusCode) -> Option<&mut Operation> {
        let operations = self.names.get_mut(name)?;
        operations.iter_mut().find(|o| o.kind == kind && o.status == status)
    }
}

impl Logs {
    /// Whether any of its counters goes on.
    fn commit(&mut self) -> bool {
        let mut lives = false;
        for (emission, count) in self.by_severity.iter_mut().zip(&mut self.total.by_severity) {
            lives |= settle_counter(emission, count);
        }
        lives | settle_counter(&mut self.debug, &mut self.total.debug_in_production)
    }
}

/// A counter that ended begins anew at 0; whether there is anything to count on.
fn settle_counter(emission: &mut Emission, count: &mut u64) -> bool {
    if !emission.commit(*count) {
        (*emission, *count) = (Emission::default(), 0);
    }
    *count > 0
}
