//! Delivery: POSTs what the queue says is due, and settles it durably.
//!
//! The receiver's URL is a secret: it appears in no log, error or answer. A crash between the
//! receiver's answer and the commit repeats the notification, with the same `Idempotency-Key`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header;
use skopos::metrics::{Bounded, Counter, Family, Registry};
use skopos_alerting::notify::{
    DeadLetter, Delivery, DeliveryOutcome, DeliveryQueue, DeliveryRecord, Intent, IntentId,
    Settled, Verdict,
};
use skopos_model::Clock;
use skopos_model::storage::StateCommit;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Secret;
use crate::state::Storage;

/// How long deliveries under way may take after the server was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// The loop looks at the queue at least this often, should the wall clock jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const COMMIT_RETRY: Duration = Duration::from_millis(500);

skopos::labels! {
    struct VerdictLabels { verdict: Bounded<4> }
}

/// The queue and what it takes to empty it.
pub(super) struct Delivering {
    queue: Mutex<DeliveryQueue>,
    receiver: Option<Secret<String>>,
    client: reqwest::Client,
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
        receiver: Option<Secret<String>>,
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        failed: mpsc::Sender<DeliveryRecord>,
        registry: &Registry,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("skopos/", env!("CARGO_PKG_VERSION")))
            // A redirect would hand the notification, and the secret in its URL, to someone else.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            queue: Mutex::new(queue),
            receiver,
            client,
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
        })
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
        if let Some(commit) = surplus {
            self.count(Verdict::Dropped);
            tracing::error!("too many notifications wait, the oldest were dropped");
            self.commit(commit, None).await;
        }
        self.arrived.notify_one();
    }

    /// Delivers until told to stop. Without a receiver there is nothing to do.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let Some(receiver) = &self.receiver else { return stop.cancelled().await };
        let mut sending: JoinSet<(Delivery, DeliveryOutcome)> = JoinSet::new();
        loop {
            let now = self.clock.now();
            for delivery in self.lock().due(now) {
                let (client, url) = (self.client.clone(), receiver.clone());
                sending.spawn(async move {
                    let outcome = send(&client, &url, &delivery).await;
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
                self.count(record.verdict);
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

    fn count(&self, verdict: Verdict) {
        self.settled.get(&VerdictLabels { verdict: verdict.as_str().into() }).inc();
    }

    fn lock(&self) -> MutexGuard<'_, DeliveryQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(
    client: &reqwest::Client,
    url: &Secret<String>,
    delivery: &Delivery,
) -> DeliveryOutcome {
    let request = client
        .post(url.expose())
        .timeout(delivery.timeout)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", &delivery.idempotency_key)
        .body(delivery.body.to_string());
    match request.send().await {
        Ok(response) => {
            let after = response.headers().get(header::RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
            DeliveryOutcome::Answered {
                status: response.status().as_u16(),
                retry_after: seconds.map(Duration::from_secs),
            }
        }
        Err(error) if error.is_timeout() => DeliveryOutcome::TimedOut,
        Err(error) => DeliveryOutcome::Unreachable { reason: reason(&error) },
    }
}

/// Why there was no connection, without the address: only the kinds of the causes that are known
/// to hold none.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind().to_string();
        }
        cause = inner.source();
    }
    if error.is_connect() { "no connection".into() } else { "the exchange broke off".into() }
}
