//! The dispatcher at work: looks at groups when their time comes, and changes from the API.
//!
//! What the dispatcher changes by itself is committed in order with the steps of rules, under the
//! same lock, and only then delivered.

use std::time::Duration;

use skopos_alerting::notify::{DeliveryRecord, Dispatched, Dispatcher};
use skopos_model::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Inner;

/// The loop looks at the dispatcher at least this often, should the wall clock jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

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
