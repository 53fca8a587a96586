//! Reading: from the heads and the blocks of one view.
//!
//! Answers are synchronous and may take a while; on a runtime they run on its blocking
//! pool, so that no query holds up the tasks beside it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use skopos_model::event::EventScan;
use skopos_model::storage::{
    ErrorKind, MetricMetadata, QueryBudget, SelectSeries, SeriesExemplars, SeriesSelect, SeriesSet,
    StorageError,
};
use skopos_model::{TimeRange, TraceId};

use super::Store;
use super::view::View;
use crate::scan::{Follower, ScanEvents, Visitor};

impl Store {
    /// Runs a read where it may take its time.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.on_pool({
            let view = self.ingest.views().current();
            move || read(&view)
        })
        .await
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(read).await.map_err(|error| {
                StorageError::with_source(ErrorKind::Internal, "read was aborted", error)
            })?,
            Err(_) => read(),
        }
    }
}

/// Cancels a budget when the future that charges it is dropped: the work on the blocking pool
/// stops at its next look.
struct CancelOnDrop(Option<QueryBudget>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.cancel();
        }
    }
}

impl Store {
    pub(super) async fn budgeted<T: Send + 'static>(
        &self,
        budget: &QueryBudget,
        read: impl FnOnce(&View, &QueryBudget) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let guard = CancelOnDrop(Some(budget.clone()));
        let budget = budget.clone();
        let answer = self.read(move |view| read(view, &budget)).await;
        guard.disarm();
        answer
    }
}

#[async_trait]
impl SelectSeries for Store {
    async fn select(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<SeriesSet, StorageError> {
        let select = select.clone();
        self.budgeted(budget, move |view, budget| view.select(&select, budget)).await
    }

    async fn label_names(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let selects = selects.to_vec();
        self.budgeted(budget, move |view, budget| view.label_names(&selects, budget)).await
    }

    async fn label_values(
        &self,
        name: &str,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<String>, StorageError> {
        let (name, selects) = (name.to_owned(), selects.to_vec());
        self.budgeted(budget, move |view, budget| view.label_values(&name, &selects, budget)).await
    }

    async fn metadata(&self, metric: Option<&str>) -> Result<MetricMetadata, StorageError> {
        let metric = metric.map(str::to_owned);
        self.read(move |view| view.metadata(metric.as_deref())).await
    }

    async fn oldest_sample_ms(&self) -> Result<Option<i64>, StorageError> {
        Ok(self.ingest.views().current().oldest_sample_ms())
    }

    async fn exemplars(
        &self,
        select: &SeriesSelect,
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        let select = select.clone();
        self.budgeted(budget, move |view, budget| view.exemplars(&select, budget)).await
    }
}

#[async_trait]
impl ScanEvents for Store {
    async fn scan(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        let scan = scan.clone();
        self.budgeted(budget, move |view, budget| view.scan(&scan, budget)).await
    }

    async fn visit(
        &self,
        scan: &EventScan,
        budget: &QueryBudget,
        mut visitor: Visitor,
    ) -> Result<(), StorageError> {
        let scan = scan.clone();
        self.budgeted(budget, move |view, budget| view.visit(&scan, budget, &mut visitor)).await
    }

    async fn trace(
        &self,
        id: TraceId,
        budget: &QueryBudget,
    ) -> Result<Vec<RecordBatch>, StorageError> {
        self.budgeted(budget, move |view, budget| view.trace(id, budget)).await
    }

    async fn follow_all(
        &self,
        scans: &[EventScan],
        budget: &QueryBudget,
    ) -> Result<(Vec<Vec<RecordBatch>>, Follower), StorageError> {
        let scans = scans.to_vec();
        let guard = CancelOnDrop(Some(budget.clone()));
        let (budget, ingest) = (budget.clone(), Arc::clone(&self.ingest));
        let answer = self.on_pool(move || ingest.views().follow(&scans, &budget)).await;
        guard.disarm();
        answer
    }

    async fn services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        self.read(move |view| view.services(range)).await
    }

    async fn span_services(&self, range: TimeRange) -> Result<Vec<String>, StorageError> {
        self.read(move |view| view.span_services(range)).await
    }

    async fn operations(
        &self,
        service: &str,
        range: TimeRange,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let service = service.to_owned();
        self.read(move |view| view.operations(&service, range)).await
    }
}
