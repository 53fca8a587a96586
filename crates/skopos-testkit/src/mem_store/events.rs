//! Reading events by putting predicates to every one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::event::{EventOrder, EventScan, EventSignal, LogEvent, SpanRecord};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{EventId, TimeRange, TraceId};
use skopos_store::event::{LogBuilder, SpanBuilder, event_schema};
use skopos_store::scan::{
    EventRows, FollowSource, Followed, Follower, ScanEvents, StoredLog, StoredSpan, Visitor,
};
use tokio::sync::watch;

use super::{Inner, MemStore};

fn wants_log(scan: &EventScan, log: &StoredLog) -> bool {
    let event = LogEvent { resource: &log.resource, scope: &log.scope, record: &log.record };
    scan.is_after(log.id)
        && scan.range.contains(log.record.time)
        && scan.predicates.iter().all(|p| p.matches(&event))
}

fn wants_span(scan: &EventScan, span: &StoredSpan) -> bool {
    let event = SpanRecord { resource: &span.resource, scope: &span.scope, span: &span.span };
    scan.is_after(span.id)
        && scan.range.contains(span.span.start_time)
        && scan.predicates.iter().all(|p| p.matches(&event))
}

fn log_batch<'a>(logs: impl IntoIterator<Item = &'a StoredLog>) -> RecordBatch {
    let mut builder = LogBuilder::default();
    for log in logs {
        builder.push(log.id, &log.resource, &log.scope, &log.record);
    }
    builder.finish()
}

fn span_batch<'a>(spans: impl IntoIterator<Item = &'a StoredSpan>) -> RecordBatch {
    let mut builder = SpanBuilder::default();
    for span in spans {
        builder.push(span.id, &span.resource, &span.scope, &span.span);
    }
    builder.finish()
}

impl Inner {
    fn scan(&self, scan: &EventScan) -> Result<Vec<RecordBatch>, StorageError> {
        let limit = scan.limit.unwrap_or(usize::MAX);
        let batch = match scan.signal {
            EventSignal::Logs => {
                let mut logs: Vec<_> = self.logs.iter().filter(|l| wants_log(scan, l)).collect();
                logs.sort_by_key(|log| log.id);
                if scan.order == EventOrder::NewestFirst {
                    logs.reverse();
                }
                log_batch(logs.into_iter().take(limit))
            }
            EventSignal::Spans => {
                let mut spans: Vec<_> = self.spans.iter().filter(|s| wants_span(scan, s)).collect();
                spans.sort_by_key(|span| span.id);
                if scan.order == EventOrder::NewestFirst {
                    spans.reverse();
                }
                span_batch(spans.into_iter().take(limit))
            }
        };
        Ok(if batch.num_rows() == 0 { vec![] } else { vec![project(batch, scan)?] })
    }

    /// Events of a signal so far.
    fn arrived(&self, signal: EventSignal) -> usize {
        match signal {
            EventSignal::Logs => self.logs.len(),
            EventSignal::Spans => self.spans.len(),
        }
    }
}

fn project(batch: RecordBatch, scan: &EventScan) -> Result<RecordBatch, StorageError> {
    let Some(names) = &scan.projection else { return Ok(batch) };
    let columns: Vec<_> = names.iter().filter_map(|n| batch.schema().index_of(n).ok()).collect();
    batch
        .project(&columns)
        .map_err(|error| StorageError::with_source(ErrorKind::Internal, "cannot project", error))
}

fn check_projection(scan: &EventScan) -> Result<(), StorageError> {
    let schema = event_schema(scan.signal);
    match scan.projection.iter().flatten().find(|name| schema.index_of(name).is_err()) {
        None => Ok(()),
        Some(name) => {
            Err(StorageError::new(ErrorKind::InvalidInput, format!("no column {name:?}")))
        }
    }
}

#[async_trait]
impl ScanEvents for MemStore {
    async fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        check_projection(scan)?;
        let inner = self.lock();
        budget.charge_samples(inner.arrived(scan.signal) as u64)?;
        inner.scan(scan)
    }

    async fn visit(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
        mut visitor: Visitor,
    ) -> Result<(), StorageError> {
        check_projection(scan)?;
        let scan = EventScan { limit: None, ..scan.clone() };
        let (batches, projection) = {
            let inner = self.lock();
            budget.charge_samples(inner.arrived(scan.signal) as u64)?;
            (inner.scan(&EventScan { projection: None, ..scan.clone() })?, scan.projection)
        };
        for batch in &batches {
            let rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
            let rows = EventRows::projected(scan.signal, batch, &rows, projection.as_deref());
            if visitor(&rows)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        budget.check()?;
        let inner = self.lock();
        let mut spans: Vec<_> = inner.spans.iter().filter(|s| s.span.trace_id == id).collect();
        spans.sort_by_key(|span| span.id);
        Ok(if spans.is_empty() || !id.is_valid() { vec![] } else { vec![span_batch(spans)] })
    }

    async fn follow_all(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError> {
        scans.iter().try_for_each(check_projection)?;
        budget.check()?;
        let inner = self.lock();
        let follower = MemFollower {
            inner: Arc::clone(&self.inner),
            arrivals: self.arrivals.subscribe(),
            // The range is for what is stored.
            scans: scans
                .iter()
                .map(|scan| EventScan { range: TimeRange::ALL, after: None, ..scan.clone() })
                .collect(),
            next: [inner.logs.len(), inner.spans.len()],
            pending: VecDeque::new(),
        };
        let stored = scans.iter().map(|scan| inner.scan(scan)).collect::<Result<_, _>>()?;
        Ok((stored, Follower::new(follower)))
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        let inner = self.lock();
        let logs = inner.logs.iter().filter(|l| range.contains(l.record.time));
        let spans = inner.spans.iter().filter(|s| range.contains(s.span.start_time));
        let mut names: Vec<String> = logs
            .map(|log| log.resource.service_name())
            .chain(spans.map(|span| span.resource.service_name()))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        let inner = self.lock();
        let spans = inner.spans.iter().filter(|s| range.contains(s.span.start_time));
        let mut names: Vec<String> = spans
            .map(|span| span.resource.service_name())
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let inner = self.lock();
        let wanted = |s: &&StoredSpan| {
            s.resource.service_name() == service && range.contains(s.span.start_time)
        };
        let name_of = |s: &StoredSpan| (s.span.name.to_string(), s.span.kind.as_str().to_owned());
        let mut names: Vec<_> = inner.spans.iter().filter(wanted).map(name_of).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Follows by looking at what has come since; it never misses anything.
struct MemFollower {
    inner: Arc<Mutex<Inner>>,
    arrivals: watch::Receiver<u64>,
    scans: Vec<EventScan>,
    /// Log records and spans seen so far.
    next: [usize; 2],
    pending: VecDeque<Followed>,
}

impl MemFollower {
    /// Takes what has come, an event at a time, in order of arrival.
    fn look(&mut self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut come: Vec<(u64, EventSignal, RecordBatch)> = Vec::new();
        for scan in &self.scans {
            let arrived = |id: EventId| id.0 as u64;
            let batch = |batch| project(batch, scan).unwrap_or_else(|e| panic!("{e}"));
            match scan.signal {
                EventSignal::Logs => {
                    for log in inner.logs[self.next[0]..].iter().filter(|l| wants_log(scan, l)) {
                        come.push((arrived(log.id), scan.signal, batch(log_batch([log]))));
                    }
                }
                EventSignal::Spans => {
                    for span in inner.spans[self.next[1]..].iter().filter(|s| wants_span(scan, s)) {
                        come.push((arrived(span.id), scan.signal, batch(span_batch([span]))));
                    }
                }
            }
        }
        self.next = [inner.logs.len(), inner.spans.len()];
        come.sort_by_key(|(arrived, ..)| *arrived);
        let followed = come.into_iter().map(|(_, signal, batch)| Followed::Batch(signal, batch));
        self.pending.extend(followed);
    }
}

#[async_trait]
impl FollowSource for MemFollower {
    async fn next(&mut self) -> Option<Followed> {
        loop {
            self.arrivals.borrow_and_update();
            self.look();
            if let Some(followed) = self.pending.pop_front() {
                return Some(followed);
            }
            self.arrivals.changed().await.ok()?;
        }
    }
}
