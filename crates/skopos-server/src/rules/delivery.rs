//! Delivery: tells receivers what the queue says is due, and settles it durably.
//!
//! A crash between the receiver's answer and the commit repeats the notification, with the same
//! `Idempotency-Key`. Receivers may be replaced while something is being sent; that goes on with
//! the old ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use skopos::metrics::{Bounded, Counter, Family, Registry};
use skopos_alerting::notify::{
    DeadLetter, Delivery, DeliveryOutcome, DeliveryQueue, DeliveryRecord, Dropped, Intent,
    IntentId, Settled, Verdict,
};
use skopos_model::storage::StateCommit;
use skopos_model::{Clock, Timestamp};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::notify::Notifier;
use crate::state::Storage;

/// How long deliveries under way may take after the server was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// The loop looks at the queue at least this often, should the wall clock jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const COMMIT_RETRY: Duration = Duration::from_millis(500);

skopos::labels! {
    struct VerdictLabels { verdict: Bounded<4> }
}

/// A notification that its receiver does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Untaken {
    /// The receiver.
    pub(crate) receiver: String,
    /// Which of its integrations.
    pub(crate) integration: usize,
    /// Since when it has not taken what the group tells.
    pub(crate) since: Timestamp,
    /// Why; empty while nobody has tried.
    pub(crate) reason: String,
}

/// The queue and what it takes to empty it.
pub(super) struct Delivering {
    queue: Mutex<DeliveryQueue>,
    notifier: RwLock<Arc<Notifier>>,
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    /// Held from a change of the queue to the end of its commit.
    commit_order: tokio::sync::Mutex<()>,
    arrived: Notify,
    failed: mpsc::Sender<DeliveryRecord>,
    settled: Family<VerdictLabels, Counter>,
    retries: Counter,
}

impl Delivering {
    pub(super) fn new(
        queue: DeliveryQueue,
        notifier: Arc<Notifier>,
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        failed: mpsc::Sender<DeliveryRecord>,
        registry: &Registry,
    ) -> Self {
        Self {
            queue: Mutex::new(queue),
            notifier: RwLock::new(notifier),
            store,
            clock,
            commit_order: tokio::sync::Mutex::new(()),
            arrived: Notify::new(),
            failed,
            settled: registry.counter_family(
                "skopos_notify_deliveries_total",
                "Notifications settled, by verdict: delivered, failed, dropped.",
            ),
            retries: registry.counter(
                "skopos_notify_retries_total",
                "Attempts that failed and will be repeated.",
            ),
        }
    }

    /// The receivers in force.
    pub(super) fn notifier(&self) -> Arc<Notifier> {
        Arc::clone(&self.notifier.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other receivers in force.
    pub(super) fn replace(&self, notifier: Arc<Notifier>) {
        *self.notifier.write().unwrap_or_else(PoisonError::into_inner) = notifier;
    }

    pub(super) fn queue_len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn log(&self) -> Vec<DeliveryRecord> {
        self.lock().log().cloned().collect()
    }

    pub(super) fn waiting(&self) -> Vec<(Intent, u32, String)> {
        let queue = self.lock();
        queue.waiting().map(|(intent, n, reason)| (intent.clone(), n, reason.to_owned())).collect()
    }

    pub(super) fn dead_count(&self) -> usize {
        self.lock().dead_letters().len()
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead_letters().cloned().collect()
    }

    /// Notifications that their receivers have not taken since before that time.
    pub(super) fn stuck(&self, before: Timestamp) -> Vec<Untaken> {
        let queue = self.lock();
        let stuck = queue.stuck(before).map(|(intent, since, reason)| Untaken {
            receiver: intent.receiver.clone(),
            integration: intent.integration,
            since,
            reason: reason.to_owned(),
        });
        stuck.collect()
    }

    /// Discards dead letters (all, without ids). `Err` names an id that is none; then all stay.
    pub(super) async fn discard_dead(
        &self,
        ids: Option<&[IntentId]>,
        by: &str,
    ) -> Result<usize, IntentId> {
        let _order = self.commit_order.lock().await;
        let (letters, commit) = self.lock().discard_dead(ids, by, self.clock.now())?;
        for DeadLetter { intent, reason, .. } in &letters {
            tracing::warn!(id = %intent.id, group = %intent.group_key, receiver = %intent.receiver, integration = intent.integration, %by, %reason, "a dead letter was discarded");
        }
        if !letters.is_empty() {
            self.count(Verdict::Dropped, letters.len());
            self.commit(commit, None).await;
        }
        Ok(letters.len())
    }

    /// Puts dead letters back among the waiting.
    pub(super) async fn retry_dead(&self, id: Option<IntentId>) -> usize {
        let _order = self.commit_order.lock().await;
        let (count, commit) = self.lock().retry_dead(id, self.clock.now());
        if count > 0 {
            self.commit(commit, None).await;
            self.arrived.notify_one();
        }
        count
    }

    /// Takes in intents whose commit is durable.
    pub(super) async fn accept(&self, intents: Vec<Intent>) {
        if intents.is_empty() {
            return;
        }
        let _order = self.commit_order.lock().await;
        let surplus = self.lock().accept(intents, self.clock.now());
        if let Some(Dropped { commit, overflowed, superseded }) = surplus {
            self.count(Verdict::Dropped, overflowed + superseded);
            if overflowed > 0 {
                tracing::error!("too many notifications wait, the oldest were dropped");
            }
            self.commit(commit, None).await;
        }
        self.arrived.notify_one();
    }

    /// Delivers until told to stop.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut sending: JoinSet<(Delivery, DeliveryOutcome)> = JoinSet::new();
        loop {
            let now = self.clock.now();
            for delivery in self.lock().due(now) {
                let notifier = self.notifier();
                sending.spawn(async move {
                    let Delivery { receiver, integration, body, idempotency_key, .. } = &delivery;
                    let sent = notifier.deliver(receiver, *integration, body, idempotency_key);
                    let outcome = sent.await;
                    (delivery, outcome)
                });
            }
            let next = self.lock().next_due().map(|at| at.since(self.clock.now()));
            let sleep = next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.arrived.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                Some(done) = sending.join_next() => self.settle(done, stop).await,
            }
        }
        let finish = async {
            while let Some(done) = sending.join_next().await {
                self.settle(done, stop).await;
            }
        };
        // What is not settled now is repeated after the restart, under the same key.
        let _ = tokio::time::timeout(STOP_PATIENCE, finish).await;
    }

    async fn settle(
        &self,
        done: Result<(Delivery, DeliveryOutcome), tokio::task::JoinError>,
        stop: &CancellationToken,
    ) {
        let (delivery, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a delivery task failed");
                return;
            }
        };
        let _order = self.commit_order.lock().await;
        let settled = self.lock().settle(delivery.id, outcome, self.clock.now());
        match settled {
            Settled::Final { commit, record } => {
                self.count(record.verdict, 1);
                if record.verdict == Verdict::Delivered {
                    tracing::info!(group = %record.group_key, attempts = record.attempts, "notification delivered");
                } else {
                    tracing::error!(group = %record.group_key, reason = %record.reason, "notification could not be delivered");
                }
                self.commit(commit, Some(stop)).await;
                if record.verdict == Verdict::Failed {
                    let _ = self.failed.try_send(record);
                }
            }
            Settled::Retry { reason, .. } => {
                self.retries.inc();
                if delivery.attempt == 1 {
                    tracing::warn!(receiver = %delivery.receiver, %reason, "notification will be repeated");
                }
            }
            Settled::Superseded { commit, count } => {
                self.count(Verdict::Dropped, count);
                tracing::info!(receiver = %delivery.receiver, count, "notifications are superseded by a newer one");
                self.commit(commit, Some(stop)).await;
            }
            Settled::Unknown => {}
        }
    }

    /// Makes a commit durable. When the state log refuses for good, the notification stays
    /// committed as waiting and is repeated after the restart.
    async fn commit(&self, commit: StateCommit, stop: Option<&CancellationToken>) {
        let mut told = false;
        while let Err(error) = self.store.commit(commit.clone()).await {
            if !told {
                told = true;
                tracing::error!(%error, "a delivery cannot be made durable");
            }
            if stop.is_none_or(CancellationToken::is_cancelled) {
                return;
            }
            tokio::time::sleep(COMMIT_RETRY).await;
        }
    }

    fn count(&self, verdict: Verdict, count: usize) {
        let verdict = verdict.as_str().into();
        self.settled.get(&VerdictLabels { verdict }).add(count as u64);
    }

    fn lock(&self) -> MutexGuard<'_, DeliveryQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
