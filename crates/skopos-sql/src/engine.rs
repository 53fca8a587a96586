//! Runs queries.
//!
//! Constraints:
//! - Queries work on threads of their own: neither ingest nor other reads wait for them.
//! - Everything a query reads is charged to its [`QueryBudget`]; what it sorts, groups and joins is
//!   charged to the same budget. Nothing is written to disk.
//! - Rows are computed as they are taken, a few batches ahead; dropping [`SqlRows`] stops the query.
//! - A query is one thread's work, besides that of the store's reads: the threads are shared by
//!   the queries that run, not taken by one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::config::Dialect;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream};
use datafusion::prelude::SessionConfig;
use futures_util::StreamExt;
use skopos_model::TimeRange;
use skopos_model::event::{EventSignal, Predicate};
use skopos_model::storage::{QueryBudget, SelectSeries};
use skopos_store::scan::ScanEvents;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::error::SqlError;
use crate::json::{JsonOperators, json_get, json_get_text};
use crate::memory::BudgetPool;
use crate::statement;
use crate::table::{EventTable, MetricTable, MultipliersYield, NewestOrOldestFirst};

/// Batches computed ahead of who takes them.
const AHEAD: usize = 2;

/// How often a query that works without reading looks at its budget.
const LOOK: Duration = Duration::from_millis(20);

/// A query and what it may use.
#[derive(Clone, Debug)]
pub struct SqlQuery {
    sql: String,
    budget: QueryBudget,
    within: TimeRange,
    only: Vec<(EventSignal, Predicate)>,
    max_rows: Option<usize>,
    push_down: bool,
}

impl SqlQuery {
    /// A query over all of time. What it may hold to sort, group and join is the budget's bytes.
    pub fn new(sql: impl Into<String>, budget: QueryBudget) -> Self {
        Self {
            sql: sql.into(),
            budget,
            within: TimeRange::ALL,
            only: Vec::new(),
            max_rows: None,
            push_down: true,
        }
    }

    /// Lets the tables hold nothing but this range.
    #[must_use]
    pub fn within(mut self, range: TimeRange) -> Self {
        self.within = range;
        self
    }

    /// Lets a signal's table hold nothing but events that satisfy this too.
    #[must_use]
    pub fn only(mut self, signal: EventSignal, predicate: Predicate) -> Self {
        self.only.push((signal, predicate));
        self
    }

    /// Most rows of the answer; [`SqlRows::truncated`] says whether there were more.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = Some(rows);
        self
    }

    /// Reads whole tables and leaves all conditions to the query engine: answers are the same, and
    /// tests see to it.
    #[must_use]
    pub fn without_push_down(mut self) -> Self {
        self.push_down = false;
        self
    }
}

/// Answers SQL over a store. Cheap to share behind an `Arc`.
pub struct SqlEngine {
    series: Arc<dyn SelectSeries>,
    events: Arc<dyn ScanEvents>,
    threads: usize,
    /// Made for the first query: a server that is never asked has no threads for it.
    runtime: Mutex<Option<Runtime>>,
}

impl SqlEngine {
    /// An engine with so many threads of its own; they begin with the first query and end with the
    /// engine.
    pub fn new(series: Arc<dyn SelectSeries>, events: Arc<dyn ScanEvents>, threads: usize) -> Self {
        Self { series, events, threads: threads.max(1), runtime: Mutex::new(None) }
    }

    /// Starts work on the engine's threads.
    fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, SqlError> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = match &mut *runtime {
            Some(runtime) => runtime,
            none => {
                let made = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(self.threads)
                    .thread_name("skopos-sql")
                    .enable_time()
                    .build();
                none.insert(made.map_err(|error| SqlError::Internal {
                    message: format!("cannot start threads: {error}"),
                })?)
            }
        };
        Ok(runtime.spawn(work).abort_handle())
    }

    /// Plans a query and starts it. Most mistakes show here, before there are rows.
    pub async fn run(&self, query: SqlQuery) -> Result<SqlRows, SqlError> {
        let (tell_schema, schema) = oneshot::channel();
        let (give, rows) = mpsc::channel(AHEAD);
        let (series, events) = (Arc::clone(&self.series), Arc::clone(&self.events));
        let mut guard = Guard { budget: query.budget.clone(), work: None };
        let left = query.max_rows.unwrap_or(usize::MAX);
        let work = self.spawn(async move {
            match begin(series, events, &query).await {
                Ok(stream) => {
                    let _ = tell_schema.send(Ok(stream.schema()));
                    go_on(stream, &query, &give).await;
                }
                Err(error) => {
                    let _ = tell_schema.send(Err(error));
                }
            }
        })?;
        guard.work = Some(work);
        let schema = schema.await.map_err(|_| SqlError::Internal {
            message: "planning the query ended without an answer".into(),
        })??;
        Ok(SqlRows { schema, rows, left, truncated: false, ended: false, guard })
    }
}

impl Drop for SqlEngine {
    fn drop(&mut self) {
        // Waiting is not allowed where async code drops an engine.
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Plans a query up to its stream of rows.
async fn begin(
    series: Arc<dyn SelectSeries>,
    events: Arc<dyn ScanEvents>,
    query: &SqlQuery,
) -> Result<SendableRecordBatchStream, SqlError> {
    let statement = statement::parse(&query.sql)?;
    let is_query = statement::is_query(&statement);
    let work = async {
        let context = session(series, events, query)?;
        let plan = context.state().statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        let mut frame = context.execute_logical_plan(plan).await?;
        if let Some(rows) = query.max_rows.filter(|_| is_query) {
            // One more than wanted tells whether there are more.
            frame = frame.limit(0, Some(rows.saturating_add(1)))?;
        }
        frame.execute_stream().await
    };
    tokio::select! {
        stream = work => stream.map_err(|error| query.error(&error)),
        error = over(&query.budget) => Err(error),
    }
}

fn session(
    series: Arc<dyn SelectSeries>,
    events: Arc<dyn ScanEvents>,
    query: &SqlQuery,
) -> Result<SessionContext, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema("skopos", "public")
        .with_target_partitions(1);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::PostgreSQL;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(BudgetPool::new(query.budget.clone())))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(NewestOrOldestFirst))
        .with_physical_optimizer_rule(Arc::new(MultipliersYield))
        .build();
    state.register_expr_planner(Arc::new(JsonOperators::default()))?;
    state.register_udf(Arc::new(json_get()))?;
    state.register_udf(Arc::new(json_get_text()))?;
    let context = SessionContext::new_with_state(state);
    for (name, signal) in [("logs", EventSignal::Logs), ("spans", EventSignal::Spans)] {
        let only = query.only.iter().filter(|(of, _)| *of == signal).map(|(_, p)| p.clone());
        let table =
            EventTable::new(signal, Arc::clone(&events), query.within, query.budget.clone())
                .with_conditions(only.collect())
                .with_push_down(query.push_down);
        context.register_table(name, Arc::new(table))?;
    }
    let table = MetricTable::new(series, query.within, query.budget.clone())
        .with_push_down(query.push_down);
    context.register_table("metrics", Arc::new(table))?;
    Ok(context)
}

/// What the work tells who takes its rows.
enum Told {
    Rows(RecordBatch),
    Failed(SqlError),
    /// There are no more rows. Silence instead means that the work was broken off.
    End,
}

/// Hands rows on until they end, nobody takes them, or the budget is used up.
async fn go_on(mut stream: SendableRecordBatchStream, query: &SqlQuery, give: &mpsc::Sender<Told>) {
    loop {
        let next = tokio::select! {
            next = stream.next() => match next {
                Some(Ok(batch)) => Told::Rows(batch),
                Some(Err(error)) => Told::Failed(query.error(&error)),
                None => Told::End,
            },
            error = over(&query.budget) => Told::Failed(error),
        };
        let last = !matches!(next, Told::Rows(_));
        tokio::select! {
            given = give.send(next) => if given.is_err() || last { return },
            // Whoever takes rows too slowly finds out when they look again.
            _ = over(&query.budget) => return,
        }
    }
}

/// Waits until the budget is used up.
async fn over(budget: &QueryBudget) -> SqlError {
    loop {
        if let Err(error) = budget.check() {
            return SqlError::Storage(error);
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl SqlQuery {
    fn error(&self, error: &DataFusionError) -> SqlError {
        SqlError::of(error, &self.sql)
    }
}

/// Ends the work of a query that nobody waits for.
struct Guard {
    budget: QueryBudget,
    work: Option<AbortHandle>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.budget.cancel();
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

/// The rows of an answer. Dropping it stops the query.
pub struct SqlRows {
    schema: SchemaRef,
    rows: mpsc::Receiver<Told>,
    left: usize,
    truncated: bool,
    ended: bool,
    guard: Guard,
}

impl SqlRows {
    /// Columns of the answer.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` when there are no more, or no more are wanted.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if self.ended {
            return None;
        }
        let batch = match self.rows.recv().await {
            Some(Told::Rows(batch)) => batch,
            Some(Told::End) => {
                self.ended = true;
                return None;
            }
            Some(Told::Failed(error)) => {
                self.ended = true;
                return Some(Err(error));
            }
            None => {
                self.ended = true;
                return Some(Err(match self.guard.budget.check() {
                    Err(error) => SqlError::Storage(error),
                    Ok(()) => SqlError::Internal { message: "the query's work broke off".into() },
                }));
            }
        };
        if batch.num_rows() <= self.left {
            self.left -= batch.num_rows();
            return Some(Ok(batch));
        }
        self.truncated = true;
        self.ended = true;
        let batch = batch.slice(0, self.left);
        (batch.num_rows() > 0).then_some(Ok(batch))
    }

    /// Whether rows were left out for [`SqlQuery::max_rows`]; known once `next` has ended.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// All rows.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, SqlError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}
