//! Objectives at work: their slots, their history, and what people note about them.
//!
//! `skopos-alerting` counts and decides, this module waits: it runs the queries of a slot through the
//! same engine as rules, makes the commit durable, and goes on. The series of the commit are
//! what the burn-rate alerts read; those alerts are rules like all others, among the groups of
//! [`RulesView`](crate::rules::RulesView).
//!
//! History is filled in before an objective takes part in slots: what is known of it has no gap then,
//! and a server that is killed on the way goes on where it was. Commits become durable in the order in
//! which the engine returned them. A note that the state log refuses is refused; the engine is then rebuilt
//! from the log.

mod history;
mod late;
mod load;
mod observe;
mod slots;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use skopos::metrics::{Counter, Histogram, Registry};
use skopos_alerting::slo::{
    Health, NoteError, Plan, RETENTION_DAYS, SavedSlos, SloEngine, SloId, SloQuery, SloSet,
    SloSettings,
};
use skopos_model::storage::{StateCommit, StorageError};
use skopos_model::{Clock, Timestamp};
use skopos_promql::MatrixSeries;
use skopos_promql::value::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ServerError;
use crate::commit::until_durable;
use crate::config::Settings;
use crate::query::{QueryClass, QueryEngine, QueryOptions};
use crate::state::Storage;

pub(crate) use late::LateSamples;
pub use load::check_files;
pub(crate) use load::{load, with_alerts};
pub(crate) use observe::observe;

/// How late the last slot may be before the server says that it is not ready, beside two intervals.
const READY_GRACE: Duration = Duration::from_secs(10);
/// How long after a start data may take to arrive before its absence is told.
const GRACE_OF_NEW: Duration = Duration::from_secs(120);

/// The objectives in force.
pub struct Slos {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    queries: Arc<QueryEngine>,
    late: Arc<LateSamples>,
    settings: SloSettings,
    /// Most queries of a slot at a time.
    concurrency: usize,
    engine: Mutex<SloEngine>,
    /// Held from a change of the engine to the end of its commit.
    commit_order: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
    /// Told when a stretch of history is to be read.
    unread: tokio::sync::Notify,
    metrics: Metrics,
    tasks: tokio::sync::Mutex<Tasks>,
    stop: CancellationToken,
}

/// What runs for the objectives in force.
struct Tasks {
    running: JoinSet<()>,
    stop: CancellationToken,
    set: SloSet,
}

/// How far things are.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// When the objectives in force were read.
    loaded_at: Timestamp,
    /// The last slot, with what is known since the start if there was none.
    last_slot: Option<Timestamp>,
    /// Since when slots are due.
    due_since: Timestamp,
    history: History,
    /// Objectives whose queries failed at the last slot.
    failing: HashSet<SloId>,
}

/// How far history is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) state: HistoryState,
    /// Chunks of history that are filled in.
    pub(crate) done: usize,
    /// All chunks.
    pub(crate) chunks: usize,
    /// Up to where it is filled in.
    pub(crate) reached: Option<Timestamp>,
    /// Why a part of it is missing.
    pub(crate) error: Option<String>,
}

/// Whether history is filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HistoryState {
    /// There was nothing to fill in.
    #[default]
    None,
    /// It is being filled in.
    Running,
    /// It is filled in.
    Done,
    /// Parts of it are missing, because their queries failed.
    Failed,
}

impl HistoryState {
    /// The word in answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What the API says of the whole.
pub(crate) struct SloRunState {
    pub(crate) loaded_at: Timestamp,
    pub(crate) interval: Duration,
    pub(crate) last_slot: Option<Timestamp>,
    pub(crate) history: History,
}

/// Why a note was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoteFailure {
    /// It says something wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The state log refused it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// An objective without data, or with such that cannot be what was meant.
pub(crate) struct Doubtful {
    /// Its name, and its group's values.
    pub(crate) name: String,
    /// Why its queries fail, if they do.
    pub(crate) error: Option<String>,
    /// What is wrong with what it counts.
    pub(crate) problem: Option<String>,
    /// Up to when there was data.
    pub(crate) since: Option<Timestamp>,
    /// The bound of the bucket without which nothing is known, where it counts one.
    pub(crate) bucket: Option<String>,
}

struct Metrics {
    slots: Counter,
    missed: Counter,
    skipped: Counter,
    query_failures: Counter,
    commit_failures: Counter,
    corrupt_records: Counter,
    groups_dropped: Counter,
    history_chunks_again: Counter,
    duration: Histogram,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];
        Self {
            slots: registry
                .counter("skopos_slo_slots_total", "Slots at which objectives were evaluated."),
            missed: registry.counter(
                "skopos_slo_slots_missed_total",
                "Slots that passed without an evaluation; the next one reads their time too.",
            ),
            skipped: registry.counter(
                "skopos_slo_slots_skipped_total",
                "Slots skipped because the clock was set back behind the last one.",
            ),
            query_failures: registry.counter(
                "skopos_slo_query_failures_total",
                "Objectives whose queries failed at a slot or over history.",
            ),
            commit_failures: registry.counter(
                "skopos_slo_commit_failures_total",
                "Attempts to commit slices that the state log refused.",
            ),
            corrupt_records: registry.counter(
                "skopos_slo_corrupt_state_records_total",
                "Records of slices and notes that could not be read at the start.",
            ),
            groups_dropped: registry.counter(
                "skopos_slo_groups_dropped_total",
                "Groups left out at a slot because their objective has too many.",
            ),
            history_chunks_again: registry.counter(
                "skopos_slo_history_chunks_again_total",
                "Chunks of history that were read again: their queries had failed, or samples came more than six hours late.",
            ),
            duration: registry.histogram(
                "skopos_slo_slot_duration_seconds",
                "How long a slot of all objectives took.",
                &BOUNDS,
            ),
        }
    }
}

/// What objectives need from the server.
pub(crate) struct SloContext {
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queries: Arc<QueryEngine>,
    pub(crate) late: Arc<LateSamples>,
}

impl Slos {
    /// Restores slices and notes. Nothing runs before [`run`](Self::run).
    pub(crate) async fn restore(
        settings: &Settings,
        set: SloSet,
        context: SloContext,
        registry: &Registry,
        stop: CancellationToken,
    ) -> Result<Self, ServerError> {
        let SloContext { store, clock, queries, late } = context;
        let kept = Duration::from_secs(RETENTION_DAYS.unsigned_abs() * 86_400);
        let slo_settings = SloSettings {
            interval: settings.evaluation_interval,
            history: settings.retention_metrics.age.min(kept),
            ..SloSettings::default()
        };
        let now = clock.now();
        let saved = SavedSlos::load(&*store).await?;
        let (engine, restored) = SloEngine::restore(slo_settings.clone(), &set, &saved, now);
        let metrics = Metrics::new(registry);
        for record in &restored.corrupt {
            metrics.corrupt_records.inc();
            tracing::error!(kind = ?record.kind, key = %record.key, reason = %record.reason, "a record of an objective cannot be read, its time is counted anew");
        }
        let progress = Progress { loaded_at: now, due_since: now, ..Progress::default() };
        let inner = Arc::new(Inner {
            store,
            clock,
            queries,
            late,
            settings: slo_settings,
            concurrency: settings.rule_concurrency.max(1),
            engine: Mutex::new(engine),
            commit_order: tokio::sync::Mutex::new(()),
            progress: Mutex::new(progress),
            unread: tokio::sync::Notify::new(),
            metrics,
            tasks: tokio::sync::Mutex::new(Tasks {
                running: JoinSet::new(),
                stop: stop.child_token(),
                set,
            }),
            stop,
        });
        if let Some(commit) = &restored.commit {
            inner.store.commit(commit.clone()).await?;
        }
        let measured = Arc::downgrade(&inner);
        registry.gauge_fn(
            "skopos_slo_ledger_bytes",
            "Memory that the slices of all objectives take.",
            &[],
            move || measured.upgrade().map_or(0.0, |inner| inner.lock_engine().size_bytes() as f64),
        );
        let late = Arc::clone(&inner.late);
        registry.counter_fn(
            "skopos_slo_forgotten_samples_total",
            "Pushed samples from before retention.metrics_age: no objective counts them.",
            &[],
            move || late.forgotten_samples(),
        );
        let late = Arc::clone(&inner.late);
        registry.counter_fn(
            "skopos_slo_late_history_samples_total",
            "Pushed samples that came more than six hours late; objectives count them when that stretch of history is read again.",
            &[],
            move || late.history_samples(),
        );
        let counted = Arc::downgrade(&inner);
        registry.gauge_fn("skopos_slo_objectives", "Objectives in force.", &[], move || {
            counted.upgrade().map_or(0.0, |inner| inner.lock_engine().slos().len() as f64)
        });
        Ok(Self { inner })
    }

    /// Fills in history and evaluates until told to stop.
    pub(crate) async fn run(&self) {
        let inner = &self.inner;
        inner.spawn(&mut *inner.tasks.lock().await).await;
        inner.stop.cancelled().await;
        inner.tasks.lock().await.halt().await;
    }

    /// Takes other objectives. Those that count the same as before keep their slices.
    pub(crate) async fn replace(&self, set: SloSet) {
        let inner = &self.inner;
        let mut tasks = inner.tasks.lock().await;
        tasks.halt().await;
        {
            let _order = inner.commit_order.lock().await;
            let now = inner.clock.now();
            let commit = inner.lock_engine().reload(&set, now);
            inner.commit(commit.as_ref()).await;
            inner.lock_progress().loaded_at = now;
        }
        tasks.set = set;
        tasks.stop = inner.stop.child_token();
        inner.spawn(&mut tasks).await;
    }

    /// Looks at the engine, off the threads that serve requests.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&SloEngine, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let inner = Arc::clone(&self.inner);
        let looking = tokio::task::spawn_blocking(move || {
            let now = inner.clock.now();
            look(&inner.lock_engine(), now)
        });
        looking.await.ok()
    }

    /// Notes something, durably.
    pub(crate) async fn note<T>(
        &self,
        act: impl FnOnce(&mut SloEngine, Timestamp) -> Result<(T, StateCommit), NoteError>,
    ) -> Result<T, NoteFailure> {
        let inner = &self.inner;
        let order = inner.commit_order.lock().await;
        let (value, commit) = act(&mut inner.lock_engine(), inner.clock.now())?;
        let committed = inner.store.commit(commit).await;
        drop(order);
        match committed {
            Ok(_) => Ok(value),
            Err(error) => {
                self.rebuild().await;
                Err(error.into())
            }
        }
    }

    /// Reads the engine's state from the log anew: it knows something that the log does not.
    async fn rebuild(&self) {
        let inner = &self.inner;
        let mut tasks = inner.tasks.lock().await;
        tasks.halt().await;
        {
            let _order = inner.commit_order.lock().await;
            let now = inner.clock.now();
            match SavedSlos::load(&*inner.store).await {
                Ok(saved) => {
                    let settings = inner.settings.clone();
                    let (engine, restored) = SloEngine::restore(settings, &tasks.set, &saved, now);
                    *inner.lock_engine() = engine;
                    inner.commit(restored.commit.as_ref()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "a refused note of an objective shows until the server is restarted");
                }
            }
        }
        tasks.stop = inner.stop.child_token();
        inner.spawn(&mut tasks).await;
    }

    /// How far things are.
    pub(crate) fn state(&self) -> SloRunState {
        let interval = self.inner.lock_engine().interval();
        let Progress { loaded_at, last_slot, history, .. } = self.inner.lock_progress().clone();
        SloRunState { loaded_at, interval, last_slot, history }
    }

    /// Objectives that nobody knows anything about, and those whose numbers cannot be meant.
    pub(crate) fn doubtful(&self) -> Vec<Doubtful> {
        let (engine, now) = (self.inner.lock_engine(), self.inner.clock.now());
        let is_new = now.since(self.inner.lock_progress().due_since) < GRACE_OF_NEW;
        let mut doubtful = Vec::new();
        for status in engine.statuses(now) {
            let is_missed = status.health == Health::NoData && !status.is_retired;
            let is_silent = is_missed && !engine.is_filling(&status.slo);
            let is_wrong = status.error.is_some() || status.problem.is_some();
            if !is_wrong && (is_new || !is_silent) {
                continue;
            }
            let bucket = engine.slo(&status.slo).and_then(|slo| slo.indicator.bucket());
            let mut name = status.slo;
            let values: Vec<&str> = status.group.iter().map(|(_, value)| value.as_str()).collect();
            if !values.is_empty() {
                name = format!("{name} ({})", values.join(", "));
            }
            let since = status.last_data_ms.map(Timestamp::from_millis);
            let (error, problem) = (status.error, status.problem);
            doubtful.push(Doubtful { name, error, problem, since, bucket });
        }
        doubtful
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.inner.lock_engine().slos().len()
    }

    /// Whether slots are kept; the reason when not.
    pub(crate) fn check_recent(&self) -> Result<(), String> {
        let inner = &self.inner;
        let (is_empty, interval) = {
            let engine = inner.lock_engine();
            (engine.slos().len() == 0, engine.interval())
        };
        let last = {
            let progress = inner.lock_progress();
            progress.last_slot.unwrap_or(progress.due_since).max(progress.due_since)
        };
        let late = inner.clock.now().since(last);
        if !is_empty && late > interval * 2 + READY_GRACE {
            return Err(format!("objectives were not evaluated for {} s", late.as_secs()));
        }
        Ok(())
    }
}

impl Tasks {
    /// Ends what runs.
    async fn halt(&mut self) {
        self.stop.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

impl Inner {
    fn lock_engine(&self) -> MutexGuard<'_, SloEngine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts slots, and history where some is missing. History is planned here, before the first slot:
    /// that one must leave the objectives concerned alone.
    async fn spawn(self: &Arc<Self>, tasks: &mut Tasks) {
        if self.lock_engine().slos().len() == 0 {
            return;
        }
        let now = self.clock.now();
        self.lock_progress().due_since = now;
        let chunks = self.plan_history(now).await;
        let (filling, stop) = (Arc::clone(self), tasks.stop.clone());
        tasks.running.spawn(async move { filling.fill_history(chunks, now, &stop).await });
        let (inner, stop) = (Arc::clone(self), tasks.stop.clone());
        tasks.running.spawn(async move { inner.run_slots(&stop).await });
    }

    /// Runs the queries of a plan, and those that turn out to be needed, so many at a time; answers in their
    /// order.
    async fn answer(
        &self,
        plan: &mut Plan,
        at_a_time: usize,
    ) -> Vec<Result<Vec<MatrixSeries>, String>> {
        let mut answers = self.ask(&plan.queries, at_a_time).await;
        self.lock_engine().look_back(plan, &answers);
        if let Some(further) = plan.queries.get(answers.len()..).filter(|more| !more.is_empty()) {
            answers.extend(self.ask(further, at_a_time).await);
        }
        answers
    }

    /// Runs queries, so many at a time; answers in their order.
    async fn ask(
        &self,
        queries: &[SloQuery],
        at_a_time: usize,
    ) -> Vec<Result<Vec<MatrixSeries>, String>> {
        let asked: Vec<_> = queries.iter().map(|query| self.ask_one(query)).collect();
        futures_util::stream::iter(asked).buffered(at_a_time).collect().await
    }

    async fn ask_one(&self, query: &SloQuery) -> Result<Vec<MatrixSeries>, String> {
        let SloQuery { expr, start_ms, end_ms, step_ms } = query;
        let options = QueryOptions { class: QueryClass::Rule, ..QueryOptions::default() };
        let answer = match step_ms {
            Some(step) => self.queries.range(expr, *start_ms, *end_ms, *step, &options).await,
            None => self.queries.instant(expr, *end_ms, &options).await,
        };
        match answer.map_err(|error| error.to_string())?.result.value {
            Value::Matrix(series) => Ok(series),
            other => Err(format!("the query answers {:?}, not series", other.value_type())),
        }
    }

    /// Makes a commit durable, however long that takes; gives up only when the server stops.
    async fn commit(&self, commit: Option<&StateCommit>) -> bool {
        let failures = &self.metrics.commit_failures;
        until_durable(&*self.store, commit, "slices of objectives", failures, &self.stop).await
    }
}
