//! The query engine: one door for every read that costs something.
//!
//! A PromQL query goes parse → plan → fetch (async) → evaluate (on the blocking pool). All of it
//! charges one [`QueryBudget`], whose bytes come from a pool that all queries share; dropping the future cancels that budget, so that an abandoned
//! dashboard stops working within milliseconds. Admission is bounded per [`QueryClass`]: neither
//! dashboards nor followers can starve the rules.

mod admission;
mod counted;
mod error;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use skopos_model::storage::{
    BudgetLimit, MemoryPool, QueryBudget, SampleBuffer, SelectHints, SeriesSelect, SeriesSet,
};
use skopos_model::{Clock, Timestamp};
use skopos_promql::Execution;
use skopos_promql::parser::{ParseOptions, parse};
use skopos_promql::plan::explain::Explanation;
use skopos_promql::plan::{DEFAULT_LOOKBACK_MS, EvalParams, MAX_POINTS_PER_SERIES, Plan};
use skopos_promql::value::QueryResult;

pub(crate) use admission::FollowCounts;
pub use admission::{Admission, FollowPermit, QueryStats};
pub use error::QueryError;
use error::TimeGiven;

use crate::config::Settings;
use crate::memory::MemoryPlan;
use crate::state::Storage;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryClass {
    /// A person or a dashboard, through an API.
    #[default]
    Interactive,
    /// Rule evaluation.
    Rule,
}

/// How a query is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Longest run time; can only shorten the server's `limits.query_timeout`.
    pub timeout: Option<Duration>,
    /// How long a sample counts as current; five minutes when `None`.
    pub lookback: Option<Duration>,
    /// Who asks.
    pub class: QueryClass,
    /// Whether to count the samples looked at, as Prometheus does for `stats`. Every part of the
    /// query is then evaluated where it stands, even when the same part occurs elsewhere.
    pub count_samples: bool,
}

/// An evaluated query and how long its parts took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Value, remarks, cost.
    pub result: QueryResult,
    /// Time spent.
    pub timings: Timings,
}

/// A query's plan, with what it cost when it was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The plan.
    pub explanation: Explanation,
    /// What the evaluation read; `None` when there was none.
    pub stats: Option<skopos_promql::QueryStats>,
    /// Time spent.
    pub timings: Timings,
}

/// Where a query's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for admission.
    pub queued: Duration,
    /// Parsing and planning.
    pub prepare: Duration,
    /// Fetching series.
    pub fetch: Duration,
    /// Decoding and computing.
    pub evaluate: Duration,
}

impl Timings {
    /// All parts together.
    pub fn total(&self) -> Duration {
        self.queued + self.prepare + self.fetch + self.evaluate
    }
}

/// The limits of reads and of the language, from the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Longest run time, waiting included.
    pub timeout: Duration,
    /// Most samples or events decoded by one query.
    pub max_samples: u64,
    /// Most bytes held by one query.
    pub max_bytes: u64,
    /// Most series read by one query.
    pub max_series: u64,
    /// Longest label value made by a query, bytes.
    pub max_label_bytes: usize,
    /// Most bytes held by all queries together.
    pub pool_bytes: u64,
    /// Most queries at a time, per class.
    pub max_concurrent: usize,
    /// Resolution of subqueries that name none.
    pub subquery_step: Duration,
    /// What of the language is allowed.
    pub language: ParseOptions,
}

impl QueryLimits {
    /// The limits of these settings and this division of memory.
    pub fn new(settings: &Settings, memory: &MemoryPlan) -> Self {
        Self {
            timeout: settings.query_timeout,
            max_samples: settings.max_query_samples,
            max_bytes: memory.query_bytes,
            max_series: settings.max_query_series,
            max_label_bytes: settings.max_query_label_bytes,
            pool_bytes: memory.query_pool_bytes,
            max_concurrent: settings.max_concurrent_queries,
            subquery_step: settings.evaluation_interval,
            language: Self::language(settings),
        }
    }

    /// What of the language these settings allow.
    pub fn language(settings: &Settings) -> ParseOptions {
        match settings.experimental_queries {
            true => ParseOptions::all(),
            false => ParseOptions::default(),
        }
    }
}

/// Runs queries. Cheap to share.
pub struct QueryEngine {
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    limits: QueryLimits,
    memory: MemoryPool,
    admission: Arc<Admission>,
}

impl QueryEngine {
    /// An engine over a store.
    pub fn new(store: Arc<dyn Storage>, clock: Arc<dyn Clock>, limits: QueryLimits) -> Self {
        let admission = Arc::new(Admission::new(limits.max_concurrent));
        let memory = MemoryPool::new(limits.pool_bytes);
        Self { store, clock, limits, memory, admission }
    }

    /// The memory that all queries share.
    pub fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// The limits in force.
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// What ran, runs and was refused.
    pub fn stats(&self) -> QueryStats {
        self.admission.stats()
    }

    /// A place among the followers, or a refusal that names the limit.
    pub fn follow(&self) -> Result<FollowPermit, QueryError> {
        self.admission.follow()
    }

    /// Evaluates at one time, milliseconds since the epoch.
    pub async fn instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<Answer, QueryError> {
        self.evaluate(query, EvalParams::instant(time_ms), options).await
    }

    /// Evaluates at `start`, `start + step`, … up to and including `end`; milliseconds.
    pub async fn range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<Answer, QueryError> {
        let params = EvalParams::range(start_ms, end_ms, step_ms);
        self.check_points(query, params, options)?;
        self.evaluate(query, params, options).await
    }

    /// Refuses more points than the API answers, before anything is read.
    fn check_points(
        &self,
        query: &str,
        params: EvalParams,
        options: &QueryOptions,
    ) -> Result<(), QueryError> {
        let checked = params.check_points(MAX_POINTS_PER_SERIES);
        checked.map_err(|error| QueryError::from(error).about(query, self.time_of(options.timeout)))
    }

    fn time_of(&self, asked: Option<Duration>) -> TimeGiven {
        let limit = self.limits.timeout;
        match asked {
            Some(asked) if asked < limit => TimeGiven { timeout: asked, by_client: true },
            _ => TimeGiven { timeout: limit, by_client: false },
        }
    }

    async fn evaluate(
        &self,
        query: &str,
        params: EvalParams,
        options: &QueryOptions,
    ) -> Result<Answer, QueryError> {
        let count_samples = options.count_samples;
        let run = move |plan: &Plan, data: Vec<SeriesSet>, budget: &QueryBudget| {
            let execution = Execution { count_samples, ..Execution::default() };
            let (result, _) = skopos_promql::evaluate_with(plan, &data, budget, execution)?;
            Ok(result)
        };
        let (_, result, timings) = self.planned(query, params, options, Some(run)).await?;
        let result = result.ok_or(QueryError::Failed { reason: "no result".into() })?;
        Ok(Answer { result, timings })
    }

    /// Plans a query and, with `analyze`, evaluates it, measuring each operator.
    pub async fn explain(
        &self,
        query: &str,
        params: EvalParams,
        options: &QueryOptions,
        analyze: bool,
    ) -> Result<Explained, QueryError> {
        self.check_points(query, params, options)?;
        let clock = Arc::clone(&self.clock);
        let run = move |plan: &Plan, data: Vec<SeriesSet>, budget: &QueryBudget| {
            let execution = Execution { clock: Some(&*clock), ..Execution::default() };
            let (result, profile) = skopos_promql::evaluate_with(plan, &data, budget, execution)?;
            Ok((result.stats, profile))
        };
        let run = analyze.then_some(run);
        let (plan, measured, timings) = self.planned(query, params, options, run).await?;
        let (stats, profile) = measured.unzip();
        Ok(Explained { explanation: plan.explain(profile.as_ref()), stats, timings })
    }

    /// Admits and plans a query, and does with plan and data what `run` says, on the blocking pool.
    async fn planned<T, F>(
        &self,
        query: &str,
        mut params: EvalParams,
        options: &QueryOptions,
        run: Option<F>,
    ) -> Result<(Arc<Plan>, Option<T>, Timings), QueryError>
    where
        T: Send + 'static,
        F: FnOnce(&Plan, Vec<SeriesSet>, &QueryBudget) -> Result<T, QueryError> + Send + 'static,
    {
        params.lookback_ms = options.lookback.map_or(DEFAULT_LOOKBACK_MS, millis);
        params.subquery_step_ms = millis(self.limits.subquery_step).max(1);
        params.max_subquery_steps = self.limits.max_samples;
        params.max_label_bytes = self.limits.max_label_bytes;
        let mut watch = Stopwatch::new(&*self.clock);
        let read = self.begin(query, options.timeout, options.class).await?;
        let mut timings = Timings { queued: watch.lap(), ..Timings::default() };
        let (text, language) = (query.to_owned(), self.limits.language);
        let make = if options.count_samples { Plan::as_written } else { Plan::new };
        let work = read.run(async {
            let plan = move || -> Result<Plan, QueryError> {
                Ok(make(&parse(&text, &language)?, params)?)
            };
            let plan = Arc::new(read.on_blocking_pool(plan).await??);
            timings.prepare = watch.lap();
            let Some(run) = run else { return Ok((plan, None)) };
            let data = self.fetch(plan.selects(), read.budget()).await?;
            timings.fetch = watch.lap();
            let (budget, planned) = (read.budget().clone(), Arc::clone(&plan));
            let work = move || run(&planned, data, &budget);
            let result = read.on_blocking_pool(work).await??;
            timings.evaluate = watch.lap();
            Ok((plan, Some(result)))
        });
        let (plan, result) = work.await?;
        Ok((plan, result, timings))
    }

    /// Whether anything that a rule's query selects has a sample within these times, whatever its
    /// ranges and offsets are; a query that selects nothing misses nothing.
    pub async fn has_samples(
        &self,
        query: &str,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<bool, QueryError> {
        let read = self.begin(query, None, QueryClass::Rule).await?;
        let (text, language) = (query.to_owned(), self.limits.language);
        read.run(async {
            let plan = move || -> Result<Plan, QueryError> {
                let params = EvalParams::instant(to_ms);
                Ok(Plan::new(&parse(&text, &language)?, params)?)
            };
            let plan = read.on_blocking_pool(plan).await??;
            for select in plan.selects() {
                let select = SeriesSelect {
                    matchers: select.matchers.clone(),
                    start_ms: from_ms,
                    end_ms: to_ms,
                    hints: SelectHints::default(),
                };
                let set = self.store.select(&select, read.budget()).await?;
                let budget = read.budget().clone();
                let look = move || -> Result<bool, QueryError> {
                    let mut buffer = SampleBuffer::default();
                    for series in &set.series {
                        series.samples.decode(from_ms, to_ms, &mut buffer)?;
                        budget.charge_samples(buffer.timestamps.len() as u64)?;
                        if !buffer.timestamps.is_empty() {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                };
                if read.on_blocking_pool(look).await?? {
                    return Ok(true);
                }
            }
            Ok(plan.selects().is_empty())
        })
        .await
    }

    async fn fetch(
        &self,
        selects: &[SeriesSelect],
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesSet>, QueryError> {
        let fetches = selects.iter().map(async |select| {
            let set = self.store.select(select, budget).await?;
            budget.charge_series(set.series.len() as u64)?;
            Ok::<_, QueryError>(set)
        });
        try_join_all(fetches).await
    }

    /// Admits a read of any kind; waits for its turn. `what` names it in refusals.
    pub async fn begin(
        &self,
        what: &str,
        timeout: Option<Duration>,
        class: QueryClass,
    ) -> Result<Read, QueryError> {
        let given = self.time_of(timeout);
        let timeout = given.timeout;
        let limit = BudgetLimit {
            timeout: Some(timeout),
            max_samples: self.limits.max_samples,
            max_bytes: self.limits.max_bytes,
            max_series: self.limits.max_series,
        };
        let budget = QueryBudget::in_pool(limit, Arc::clone(&self.clock), self.memory.clone());
        let budget = CancelOnDrop(budget);
        let deadline = tokio::time::Instant::now() + timeout;
        let permit = match tokio::time::timeout_at(deadline, self.admission.enter(class)).await {
            Ok(permit) if !timeout.is_zero() => permit,
            _ => Err(QueryError::Timeout { timeout }),
        };
        let permit = permit.map_err(|error| {
            let error = error.about(what, given);
            self.admission.finished(Some(&error));
            error
        })?;
        let admission = Arc::clone(&self.admission);
        let what = what.to_owned();
        Ok(Read { what, budget, permit: Arc::new(permit), given, deadline, admission })
    }
}

/// An admitted read. Dropping it cancels its budget.
pub struct Read {
    what: String,
    budget: CancelOnDrop,
    permit: Arc<admission::Permit>,
    given: TimeGiven,
    deadline: tokio::time::Instant,
    admission: Arc<Admission>,
}

impl Read {
    /// Its budget.
    pub fn budget(&self) -> &QueryBudget {
        &self.budget.0
    }

    /// Runs the read's work under its deadline and counts how it ended. Working code looks at the
    /// budget; the deadline here also ends waiting.
    pub async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let result = match tokio::time::timeout_at(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(QueryError::Timeout { timeout: self.given.timeout }),
        };
        let result = result.map_err(|error| error.about(&self.what, self.given));
        self.admission.finished(result.as_ref().err());
        result
    }

    /// Runs work that does not wait on the blocking pool. The read's place stays taken until the
    /// work ends, even when the caller goes away earlier.
    pub async fn on_blocking_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let permit = Arc::clone(&self.permit);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(|error| QueryError::Failed { reason: error.to_string() })
    }
}

/// Stops the work of a query whose caller has gone.
struct CancelOnDrop(QueryBudget);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Measures one stretch after the other.
struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    last: Duration,
}

impl<'a> Stopwatch<'a> {
    fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, last: clock.monotonic() }
    }

    fn lap(&mut self) -> Duration {
        let now = self.clock.monotonic();
        let lap = now.saturating_sub(self.last);
        self.last = now;
        lap
    }
}

/// Milliseconds, at most as many as lie between 1970 and the end of the time scale: times minus
/// durations must not overflow.
fn millis(duration: Duration) -> i64 {
    let most = Timestamp::MAX.as_millis();
    i64::try_from(duration.as_millis()).map_or(most, |millis| millis.min(most))
}
