//! Rules at work: which are loaded, the loop that evaluates each group at its slots, and the
//! delivery of what follows.
//!
//! `skopos-alerting` computes, this module waits: it sleeps until a slot, runs the rule's query,
//! makes the step's commit durable, and only then hands its intents to delivery. Commits become
//! durable in the order in which the engine returned them; one that the state log does not take is
//! tried again until it does, and evaluation waits meanwhile: a state that nobody wrote down must
//! not notify anybody. Slots that pass meanwhile are counted as missed.

mod delivery;
mod dispatch;
pub(crate) mod files;
mod group;
mod handover;
mod reload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos::metrics::{Counter, Family, Histogram, Registry};
use skopos_alerting::notify::{DeliveryPolicy, DeliveryQueue, DeliveryRecord};
use skopos_alerting::rules::{Rule, RuleId, RuleSet};
use skopos_alerting::{
    AlertView, Engine, Evaluation, GroupView, Loaded, SavedState, Settings as AlertingSettings,
};
use skopos_model::storage::StateCommit;
use skopos_model::{Clock, Timestamp};
use skopos_promql::ParseOptions;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ServerError;
use crate::commit::until_durable;
use crate::config::Settings;
use crate::notify::Notifier;
use crate::query::{QueryEngine, QueryLimits};
use crate::slos::Slos;
use crate::state::Storage;
use delivery::Delivering;
use dispatch::SeverityLabels;
use handover::Handover;
use reload::Reloading;

pub(crate) use delivery::Untaken;
pub(crate) use files::load;
pub use reload::{Part, ReloadFailure, ReloadStatus};

/// How late the last slot of a group may be before the server says that it is not ready, beside
/// two intervals.
const READY_GRACE: Duration = Duration::from_secs(10);
/// Failed deliveries on their way to the dispatcher. What does not fit is told again only when the
/// repeat interval has passed; it is a dead letter in any case.
const UNDELIVERED_CAPACITY: usize = 1_024;

/// Rules, alerts and deliveries as APIs show them; also the handle for reloading.
pub struct RulesView {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    queries: Arc<QueryEngine>,
    /// The objectives, whose alerts are among the rules.
    slos: Arc<Slos>,
    /// For reading rules and receivers again.
    settings: Settings,
    files: Vec<String>,
    /// The files of rules, of objectives and of receivers: what is looked at for changes.
    watched: Vec<String>,
    /// What of PromQL they may use.
    language: ParseOptions,
    external_labels: BTreeMap<String, String>,
    external_url: String,
    /// Most rules of one group that are evaluated at a time.
    concurrency: usize,
    /// How far behind the slot groups that do not say so read their data.
    query_offset: Duration,
    engine: Mutex<Engine>,
    reloading: Reloading,
    /// Held from a step to the end of its commit.
    commit_order: tokio::sync::Mutex<()>,
    delivering: Delivering,
    handover: Handover,
    /// The dispatcher's next look may come earlier than it was.
    dispatcher_changed: Notify,
    /// Brings what could not be delivered to the dispatcher; taken by the loop that reads it.
    undelivered: Mutex<Option<mpsc::Receiver<DeliveryRecord>>>,
    response_times: Family<SeverityLabels, Histogram>,
    started_at: Timestamp,
    metrics: Metrics,
    groups: tokio::sync::Mutex<Groups>,
    stop: CancellationToken,
}

/// The tasks of the rule set in force.
struct Groups {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

struct Metrics {
    evaluations: Counter,
    failures: Counter,
    missed: Counter,
    commit_failures: Counter,
    skipped: Counter,
    corrupt_records: Counter,
    unrendered: Counter,
    duration: Histogram,
}

impl Metrics {
    fn new(registry: &Registry) -> Self {
        const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];
        Self {
            evaluations: registry.counter("skopos_rules_evaluations_total", "Rules evaluated."),
            failures: registry.counter(
                "skopos_rules_evaluation_failures_total",
                "Rules whose evaluation failed.",
            ),
            missed: registry.counter(
                "skopos_rules_iterations_missed_total",
                "Slots of groups that passed without an evaluation.",
            ),
            commit_failures: registry.counter(
                "skopos_rules_commit_failures_total",
                "Attempts to commit a rule's step that the state log refused.",
            ),
            skipped: registry.counter(
                "skopos_rules_evaluations_skipped_total",
                "Evaluations skipped because the clock was set back behind their last slot.",
            ),
            corrupt_records: registry.counter(
                "skopos_rules_corrupt_state_records_total",
                "Records of alerts and notifications that could not be read at the start.",
            ),
            unrendered: registry.counter(
                "skopos_notify_unrendered_total",
                "Notifications that could not be put into words.",
            ),
            duration: registry.histogram(
                "skopos_rules_group_duration_seconds",
                "How long the evaluation of a group took.",
                &BOUNDS,
            ),
        }
    }
}

/// What the rules need from the server.
pub(crate) struct RuleContext {
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queries: Arc<QueryEngine>,
    pub(crate) slos: Arc<Slos>,
    pub(crate) external_url: String,
}

impl RulesView {
    /// Restores alerts and waiting notifications. Nothing runs before [`run`](Self::run).
    pub(crate) async fn restore(
        settings: &Settings,
        set: &RuleSet,
        context: RuleContext,
        registry: &Registry,
        stop: CancellationToken,
    ) -> Result<Self, ServerError> {
        let RuleContext { store, clock, queries, slos, external_url } = context;
        let saved = SavedState::load(&*store, set).await?;
        let notifier = Notifier::new(settings, &external_url, Arc::clone(&clock))?;
        let notifier = Arc::new(notifier);
        let alerting = AlertingSettings {
            evaluation_interval: settings.evaluation_interval,
            external_labels: settings.external_labels.clone(),
            external_url: external_url.clone(),
            restart_hold: settings.restart_hold,
            resend_delay: settings.resend_delay,
            query_offset: settings.query_offset,
            policies: settings.rule_policies.clone(),
            ..AlertingSettings::default()
        };
        let now = clock.now();
        let renderer = Arc::clone(&notifier) as _;
        let (engine, loaded) =
            Engine::restore_with(alerting, notifier.routing(), renderer, set, &saved, now);
        let policy =
            DeliveryPolicy { timeout: settings.notify_timeout, ..DeliveryPolicy::default() };
        let (queue, corrupt) = DeliveryQueue::restore(policy, &saved);
        let metrics = Metrics::new(registry);
        for record in loaded.corrupt.iter().chain(&corrupt) {
            metrics.corrupt_records.inc();
            tracing::error!(kind = ?record.kind, key = %record.key, reason = %record.reason, "a state record cannot be read, its state is lost");
        }
        let (failed, undelivered) = mpsc::channel(UNDELIVERED_CAPACITY);
        let watched = reload::watched(settings);
        let seen = reload::with_templates(&watched, &notifier);
        let delivering = Delivering::new(
            queue,
            notifier,
            Arc::clone(&store),
            Arc::clone(&clock),
            failed,
            registry,
        );
        let handover = Handover::new(&settings.alertmanagers, settings.notify_timeout, registry)
            .map_err(|error| ServerError::Io {
                what: "make a client for Alertmanagers",
                source: std::io::Error::other(error),
            })?;
        let inner = Arc::new(Inner {
            store,
            clock,
            queries,
            slos,
            settings: settings.clone(),
            files: settings.rule_files.clone(),
            language: QueryLimits::language(settings),
            external_labels: settings.external_labels.clone(),
            external_url,
            concurrency: settings.rule_concurrency,
            query_offset: settings.query_offset,
            reloading: Reloading::new(&seen, now, registry),
            watched,
            engine: Mutex::new(engine),
            commit_order: tokio::sync::Mutex::new(()),
            delivering,
            handover,
            dispatcher_changed: Notify::new(),
            undelivered: Mutex::new(Some(undelivered)),
            response_times: dispatch::response_times(registry),
            started_at: now,
            metrics,
            groups: tokio::sync::Mutex::new(Groups {
                tasks: JoinSet::new(),
                stop: stop.child_token(),
            }),
            stop,
        });
        inner.install(loaded).await;
        let waiting = Arc::downgrade(&inner);
        registry.gauge_fn(
            "skopos_notify_queue_length",
            "Notifications that wait for delivery.",
            &[],
            move || waiting.upgrade().map_or(0.0, |inner| inner.delivering.queue_len() as f64),
        );
        let blind = Arc::downgrade(&inner);
        registry.gauge_fn(
            "skopos_rules_blind",
            "Rules that cannot return anything, because a selector that they need matches no series.",
            &[],
            move || blind.upgrade().map_or(0.0, |inner| inner.lock_engine().blind_rules() as f64),
        );
        let burying = Arc::downgrade(&inner);
        registry.gauge_fn(
            "skopos_notify_dead_letters",
            "Notifications that could not be delivered.",
            &[],
            move || burying.upgrade().map_or(0.0, |inner| inner.delivering.dead_count() as f64),
        );
        Ok(Self { inner })
    }

    /// Evaluates and delivers until told to stop; what is being evaluated is finished.
    pub(crate) async fn run(&self) {
        let inner = &self.inner;
        inner.start_groups().await;
        let failed = inner.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dispatching = async {
            if let Some(failed) = failed {
                inner.run_dispatcher(failed, &inner.stop).await;
            }
        };
        let handing_over = inner.handover.run(&inner.stop);
        tokio::join!(inner.delivering.run(&inner.stop), dispatching, handing_over);
        let mut groups = self.inner.groups.lock().await;
        while groups.tasks.join_next().await.is_some() {}
    }

    /// The receivers in force.
    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        self.inner.delivering.notifier()
    }

    /// All groups with their rules and alerts.
    pub fn groups(&self) -> Vec<GroupView> {
        self.inner.lock_engine().view()
    }

    /// A rule in force, and what is remembered of its evaluations, the oldest first.
    pub(crate) fn history(&self, id: RuleId) -> Option<(Arc<Rule>, Vec<Evaluation>)> {
        let engine = self.inner.lock_engine();
        let rule = engine
            .groups()
            .find_map(|(group, _)| group.rules.iter().find(|rule| rule.id == id).map(Arc::clone))?;
        Some((rule, engine.history(id)))
    }

    /// The pending and firing alerts.
    pub fn active_alerts(&self) -> Vec<AlertView> {
        self.inner.lock_engine().active_alerts()
    }

    /// Notifications that were settled lately, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.inner.delivering.log()
    }

    /// Whether every group was evaluated in time; the reason when not.
    pub(crate) fn check_recent(&self) -> Result<(), String> {
        let inner = &self.inner;
        inner.slos.check_recent()?;
        let now = inner.clock.now();
        for group in inner.lock_engine().view() {
            let last = group.last_evaluation.unwrap_or(inner.started_at).max(inner.started_at);
            let late = now.since(last);
            if late > group.interval * 2 + READY_GRACE {
                let seconds = late.as_secs();
                return Err(format!("group {} was not evaluated for {seconds} s", group.name));
            }
        }
        Ok(())
    }
}

impl Inner {
    fn lock_engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn install(&self, loaded: Loaded) {
        let order = self.commit_order.lock().await;
        self.commit(loaded.commit.as_ref()).await;
        drop(order);
        self.delivering.accept(loaded.intents).await;
        self.handover.push(loaded.sends);
    }

    async fn start_groups(self: &Arc<Self>) {
        self.spawn_groups(&mut *self.groups.lock().await);
    }

    fn spawn_groups(self: &Arc<Self>, groups: &mut Groups) {
        let schedules: Vec<_> =
            self.lock_engine().groups().map(|(group, s)| (Arc::clone(group), s)).collect();
        for (index, (group, schedule)) in schedules.into_iter().enumerate() {
            let inner = Arc::clone(self);
            let stop = groups.stop.clone();
            groups
                .tasks
                .spawn(async move { inner.run_group(index, &group, schedule, &stop).await });
        }
    }

    /// Makes a commit durable, however long that takes; gives up only when the server stops.
    async fn commit(&self, commit: Option<&StateCommit>) -> bool {
        let failures = &self.metrics.commit_failures;
        until_durable(&*self.store, commit, "alert state", failures, &self.stop).await
    }
}
