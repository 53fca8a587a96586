//! The dispatcher at work: looks at groups when their time comes, and changes from the API.
//!
//! What the dispatcher changes by itself is committed in order with the steps of rules, under the
//! same lock, and only then delivered.

use std::time::Duration;

use skopos::metrics::{Bounded, Family, Histogram, Registry};
use skopos_alerting::notify::{
    AckError, Acknowledgement, DeadLetter, DeliveryRecord, Dispatched, Dispatcher, Intent,
    IntentId, Severity,
};
use skopos_model::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::delivery::Untaken;
use super::{Inner, RulesView};

/// The loop looks at the dispatcher at least this often, should the wall clock jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Bounds of response times: five minutes and half an hour are the targets of P1 and P2.
const RESPONSE_BOUNDS: [f64; 8] = [30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];

skopos::labels! {
    pub(super) struct SeverityLabels { severity: Bounded<4> }
}

/// How fast people respond, by severity; `none` for alerts that name none we know.
pub(super) fn response_times(registry: &Registry) -> Family<SeverityLabels, Histogram> {
    registry.histogram_family(
        "skopos_alerts_response_seconds",
        "Time from the beginning of an alert to its acknowledgement, by severity.",
        &RESPONSE_BOUNDS,
    )
}

impl RulesView {
    /// Looks at alerts, groups, silences.
    pub(crate) fn with_dispatcher<T>(&self, look: impl FnOnce(&Dispatcher, Timestamp) -> T) -> T {
        look(self.inner.lock_engine().dispatcher(), self.inner.clock.now())
    }

    /// Changes them, durably; `None` when the server stopped before.
    pub(crate) async fn change<T>(
        &self,
        act: impl FnOnce(&mut Dispatcher, Timestamp) -> (T, Dispatched),
    ) -> Option<T> {
        let (result, is_durable) = self.inner.change(act).await;
        is_durable.then_some(result)
    }

    /// Notes that somebody looks after an alert; `None` when the server stopped before that was durable.
    pub(crate) async fn acknowledge(
        &self,
        fingerprint: &str,
        by: &str,
        comment: &str,
    ) -> Option<Result<Acknowledgement, AckError>> {
        let acting = self.change(|dispatcher, now| {
            match dispatcher.acknowledge(fingerprint, by, comment, now) {
                Ok((ack, dispatched)) => (Ok((ack, now)), dispatched),
                Err(error) => (Err(error), Dispatched::default()),
            }
        });
        let result = acting.await?;
        Some(result.map(|(ack, now)| {
            if ack.at == now {
                let severity = Severity::of(&ack.labels).map_or("none", Severity::as_str);
                let times =
                    self.inner.response_times.get(&SeverityLabels { severity: severity.into() });
                times.observe_duration(ack.response_time());
            }
            ack
        }))
    }

    /// Notifications that wait for delivery: intent, attempts, reason of the last failure.
    pub(crate) fn waiting(&self) -> Vec<(Intent, u32, String)> {
        self.inner.delivering.waiting()
    }

    /// Notifications that could not be delivered, oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.inner.delivering.dead_letters()
    }

    /// Notifications that their receivers have not taken for so long.
    pub(crate) fn untaken(&self, for_long: Duration) -> Vec<Untaken> {
        self.inner.delivering.stuck(self.inner.clock.now().saturating_sub(for_long))
    }

    /// Discards dead letters (all, without ids), in whose name; says how many. `Err` names an id that is
    /// none; then all stay.
    pub(crate) async fn discard_dead(
        &self,
        ids: Option<&[IntentId]>,
        by: &str,
    ) -> Result<usize, IntentId> {
        self.inner.delivering.discard_dead(ids, by).await
    }

    /// Puts a dead letter (all, without an id) back among the waiting; says how many.
    pub(crate) async fn retry_dead(&self, id: Option<IntentId>) -> usize {
        self.inner.delivering.retry_dead(id).await
    }
}

impl Inner {
    /// Looks at groups in time until told to stop. `failed` brings what could not be delivered.
    pub(super) async fn run_dispatcher(
        &self,
        mut failed: mpsc::Receiver<DeliveryRecord>,
        stop: &CancellationToken,
    ) {
        loop {
            let next = self.lock_engine().dispatcher().next_due();
            let sleep = next.map_or(LONGEST_SLEEP, |at| at.since(self.clock.now()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.dispatcher_changed.notified() => continue,
                Some(record) = failed.recv() => {
                    self.change(|dispatcher, now| ((), dispatcher.undelivered(&record, now))).await;
                }
                () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
            }
            let now = self.clock.now();
            if self.lock_engine().dispatcher().next_due().is_some_and(|due| due <= now) {
                self.change(|dispatcher, now| ((), dispatcher.tick(now))).await;
            }
        }
    }

    /// Changes the dispatcher, makes that durable and hands its intents to delivery. `false` when
    /// the server stopped before it was durable.
    pub(super) async fn change<T>(
        &self,
        act: impl FnOnce(&mut Dispatcher, Timestamp) -> (T, Dispatched),
    ) -> (T, bool) {
        let order = self.commit_order.lock().await;
        let (result, Dispatched { commit, intents, unrendered }) =
            act(self.lock_engine().dispatcher_mut(), self.clock.now());
        self.report_unrendered(&unrendered);
        let is_durable = self.commit(commit.as_ref()).await;
        drop(order);
        if is_durable {
            self.delivering.accept(intents).await;
        }
        self.dispatcher_changed.notify_one();
        (result, is_durable)
    }

    /// Says which notifications could not be put into words.
    pub(super) fn report_unrendered(&self, unrendered: &[(String, String)]) {
        for (integration, reason) in unrendered {
            self.metrics.unrendered.inc();
            tracing::error!(%integration, %reason, "a notification cannot be put into words, it is tried again");
        }
    }
}
