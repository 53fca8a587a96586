//! The tables of events: `logs` and `spans`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use skopos_model::EventId;
use skopos_model::event::{EventOrder, EventScan, EventSignal, Predicate};
use skopos_model::storage::QueryBudget;
use skopos_model::{TimeRange, Timestamp};
use skopos_store::scan::{EventRows, ScanEvents};

use super::columns::{Column, columns, stored_names, table_batch, table_schema};
use super::feed::{feed, from_store, through_store};
use super::filter::Conditions;

/// Rows of the first page of an ordered scan. Most are satisfied by one; pages that follow grow.
const FIRST_PAGE: usize = 1024;
/// Rows of the largest page.
const LARGEST_PAGE: usize = 65_536;

/// `logs` or `spans`.
pub(crate) struct EventTable {
    signal: EventSignal,
    schema: SchemaRef,
    store: Arc<dyn ScanEvents>,
    /// What the query as a whole is about.
    within: TimeRange,
    /// Conditions that hold for all rows, whatever the query says.
    only: Vec<Predicate>,
    push_down: bool,
    budget: QueryBudget,
}

impl EventTable {
    pub(crate) fn new(
        signal: EventSignal,
        store: Arc<dyn ScanEvents>,
        within: TimeRange,
        budget: QueryBudget,
    ) -> Self {
        let schema = table_schema(signal);
        Self { signal, schema, store, within, only: Vec::new(), push_down: true, budget }
    }

    /// Keeps only the rows that satisfy these.
    pub(crate) fn with_conditions(mut self, only: Vec<Predicate>) -> Self {
        self.only = only;
        self
    }

    /// Whether the store is told what the query looks for. Answers are the same either way.
    pub(crate) fn with_push_down(mut self, push_down: bool) -> Self {
        self.push_down = push_down;
        self
    }
}

impl fmt::Debug for EventTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTable").field("signal", &self.signal).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for EventTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| {
            if !self.push_down {
                return TableProviderFilterPushDown::Unsupported;
            }
            match Conditions::of(self.signal, filter) {
                Some(conditions) if conditions.exact => TableProviderFilterPushDown::Exact,
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(kind).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = columns(self.signal);
        let wanted: Vec<Column> = match projection {
            Some(places) => places.iter().filter_map(|&place| all.get(place).copied()).collect(),
            None => all.to_vec(),
        };
        let schema = match projection {
            Some(places) => Arc::new(self.schema.project(places)?),
            None => Arc::clone(&self.schema),
        };
        let mut scan = EventScan::new(self.signal, self.within);
        scan.predicates.clone_from(&self.only);
        scan.projection = Some(stored_names(&wanted));
        for filter in filters {
            if let Some(conditions) = Conditions::of(self.signal, filter) {
                conditions.add_to(&mut scan);
            }
        }
        Ok(Arc::new(EventExec::new(Reading {
            store: Arc::clone(&self.store),
            budget: self.budget.clone(),
            scan,
            wanted: wanted.into(),
            schema,
            limit: limit.filter(|_| self.push_down),
            order: None,
        })))
    }
}

/// What to read.
#[derive(Clone)]
struct Reading {
    store: Arc<dyn ScanEvents>,
    budget: QueryBudget,
    scan: EventScan,
    wanted: Arc<[Column]>,
    schema: SchemaRef,
    limit: Option<usize>,
    order: Option<EventOrder>,
}

/// Reads events.
pub(crate) struct EventExec {
    reading: Reading,
    properties: Arc<PlanProperties>,
}

impl EventExec {
    fn new(reading: Reading) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&reading.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { reading, properties: Arc::new(properties) }
    }

    /// Whether this column of the output is the time that events are ordered by.
    pub(super) fn is_time(&self, column: usize) -> bool {
        self.reading.wanted.get(column).is_some_and(|column| column.name == "time")
    }

    /// The same rows ordered by time, page by page; `fetch` of them when the reader needs no more.
    pub(super) fn ordered(&self, order: EventOrder, fetch: Option<usize>) -> Self {
        let limit = match (self.reading.limit, fetch) {
            (Some(limit), Some(fetch)) => Some(limit.min(fetch)),
            (limit, fetch) => limit.or(fetch),
        };
        Self::new(Reading { order: Some(order), limit, ..self.reading.clone() })
    }
}

impl fmt::Debug for EventExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, f)
    }
}

impl DisplayAs for EventExec {
    /// What `EXPLAIN` shows of what was pushed down.
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { scan, limit, order, wanted, .. } = &self.reading;
        let table = match scan.signal {
            EventSignal::Logs => "logs",
            EventSignal::Spans => "spans",
        };
        write!(f, "EventExec: table={table}, columns=[")?;
        for (i, column) in wanted.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, column.name)?;
        }
        write!(f, "], time={}", DisplayRange(scan.range))?;
        if !scan.predicates.is_empty() {
            write!(f, ", predicates={:?}", scan.predicates)?;
        }
        match order {
            Some(EventOrder::NewestFirst) => write!(f, ", newest first")?,
            Some(EventOrder::OldestFirst) => write!(f, ", oldest first")?,
            None => {}
        }
        match limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

/// A range of time as `EXPLAIN` shows it.
pub(super) struct DisplayRange(pub(super) TimeRange);

impl fmt::Display for DisplayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimeRange { start, end } = self.0;
        match (start > Timestamp::MIN, end < Timestamp::MAX) {
            (false, false) => f.write_str("all"),
            (true, false) => write!(f, "[{start}, ∞)"),
            (false, true) => write!(f, "(-∞, {end})"),
            (true, true) => write!(f, "[{start}, {end})"),
        }
    }
}

impl ExecutionPlan for EventExec {
    fn name(&self) -> &'static str {
        "EventExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn fetch(&self) -> Option<usize> {
        self.reading.limit
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("EventExec has one partition, not {partition}");
        }
        let reading = self.reading.clone();
        let schema = Arc::clone(&reading.schema);
        // With a limit an order costs nothing and the newest are what people look for.
        let order = reading.order.or(reading.limit.map(|_| EventOrder::NewestFirst));
        let batches = match order {
            Some(order) => pages(reading, order).boxed(),
            None => visit(reading).boxed(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// All rows in no particular order, from one snapshot.
///
/// Reads are tasks of their own that nobody drops: a store takes a dropped read for an abandoned
/// query and cancels the budget, which others of the same query still need. A read that nobody
/// takes rows from ends when it has the next ones to give, or with its query.
fn visit(reading: Reading) -> impl stream::Stream<Item = Result<RecordBatch>> + Send {
    let (feed, mut rows) = feed();
    let Reading { store, budget, scan, wanted, schema, .. } = reading;
    tokio::spawn(async move {
        let failed = feed.clone();
        let give = move |rows: &EventRows<'_>| {
            let batch = table_batch(&rows.to_batch()?, &wanted, &schema).map_err(through_store)?;
            Ok(feed.give(&batch))
        };
        if let Err(error) = store.visit(&scan, &budget, Box::new(give)).await {
            failed.fail(from_store(error)).await;
        }
    });
    stream::poll_fn(move |context| rows.poll_recv(context))
}

/// Where an ordered scan stands.
struct Cursor {
    reading: Reading,
    page: usize,
    left: usize,
}

/// Rows in order, page by page, so that a reader who stops early has not read all.
fn pages(
    reading: Reading,
    order: EventOrder,
) -> impl stream::Stream<Item = Result<RecordBatch>> + Send {
    let left = reading.limit.unwrap_or(usize::MAX);
    let mut cursor = Cursor { reading, page: FIRST_PAGE, left };
    cursor.reading.scan.order = order;
    let names = cursor.reading.scan.projection.get_or_insert_default();
    if !names.iter().any(|name| name == "id") {
        names.push("id".to_owned());
    }
    stream::try_unfold(cursor, next_page).map_ok(stream::iter).map_ok(|s| s.map(Ok)).try_flatten()
}

async fn next_page(mut cursor: Cursor) -> Result<Option<(Vec<RecordBatch>, Cursor)>> {
    if cursor.left == 0 {
        return Ok(None);
    }
    let page = cursor.page.min(cursor.left);
    let Reading { store, budget, scan, wanted, schema, .. } = &mut cursor.reading;
    scan.limit = Some(page);
    let read = {
        let (store, scan, budget) = (Arc::clone(store), scan.clone(), budget.clone());
        tokio::spawn(async move { store.scan(&scan, &budget).await })
    };
    let stored = read.await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?;
    let stored = stored.map_err(from_store)?;
    let rows: usize = stored.iter().map(RecordBatch::num_rows).sum();
    let batches =
        stored.iter().map(|b| table_batch(b, wanted, schema)).collect::<Result<Vec<_>>>()?;
    if let Some(last) = stored.last() {
        scan.after = last_id(last);
    }
    // A page that is not full was the last one.
    cursor.left = if rows < page { 0 } else { cursor.left - rows };
    cursor.page = (cursor.page * 4).min(LARGEST_PAGE);
    Ok(Some((batches, cursor)))
}

fn last_id(batch: &RecordBatch) -> Option<EventId> {
    use datafusion::arrow::array::AsArray as _;
    let ids = batch.column_by_name("id")?.as_fixed_size_binary_opt()?;
    let last = ids.len().checked_sub(1)?;
    Some(EventId(u128::from_be_bytes(ids.value(last).try_into().ok()?)))
}
