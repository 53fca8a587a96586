//! Reading events by putting predicates to every one.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::event::{EventOrder, EventScan, EventSignal, LogEvent, SpanRecord};
use skopos_model::storage::{ErrorKind, QueryBudget, StorageError};
use skopos_model::{TimeRange, TraceId};
use skopos_store::event::{LogBuilder, SpanBuilder, event_schema};
use skopos_store::scan::{FollowSource, Followed, Follower, ScanEvents, StoredLog, StoredSpan};
use tokio::sync::watch;

use super::{Inner, MemStore};

fn wants_log(scan: &EventScan, log: &StoredLog) -> bool {
    let event = LogEvent { resource: &log.resource, scope: &log.scope, record: &log.record };
    scan.range.contains(log.record.time) && scan.predicates.iter().all(|p| p.matches(&event))
}

fn wants_span(scan: &EventScan, span: &StoredSpan) -> bool {
    let event = SpanRecord { resource: &span.resource, scope: &span.scope, span: &span.span };
    scan.range.contains(span.span.start_time) && scan.predicates.iter().all(|p| p.matches(&event))
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

    async fn follow(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<(Vec<RecordBatch>, Follower), StorageError> {
        check_projection(scan)?;
        budget.check()?;
        let inner = self.lock();
        let follower = MemFollower {
            inner: Arc::clone(&self.inner),
            arrivals: self.arrivals.subscribe(),
            scan: scan.clone(),
            next: inner.arrived(scan.signal),
        };
        Ok((inner.scan(scan)?, Follower::new(follower)))
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
    scan: EventScan,
    next: usize,
}

#[async_trait]
impl FollowSource for MemFollower {
    async fn next(&mut self) -> Option<Followed> {
        loop {
            self.arrivals.borrow_and_update();
            let batch = {
                let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
                let from = std::mem::replace(&mut self.next, inner.arrived(self.scan.signal));
                match self.scan.signal {
                    EventSignal::Logs => {
                        log_batch(inner.logs[from..].iter().filter(|l| wants_log(&self.scan, l)))
                    }
                    EventSignal::Spans => {
                        span_batch(inner.spans[from..].iter().filter(|s| wants_span(&self.scan, s)))
                    }
                }
            };
            if batch.num_rows() > 0 {
                return project(batch, &self.scan).ok().map(Followed::Batch);
            }
            self.arrivals.changed().await.ok()?;
        }
    }
}
