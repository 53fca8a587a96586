//! Slots: at each, the slices that are new or may have changed are read, and what follows is made durable.

use std::collections::HashSet;
use std::sync::Arc;

use skopos_alerting::slo::{SloId, SloStep};
use skopos_model::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Inner;

impl Inner {
    /// Evaluates all objectives at their slots until told to stop.
    pub(super) async fn run_slots(self: Arc<Self>, stop: &CancellationToken) {
        let interval = self.lock_engine().interval();
        let mut slot = self.lock_engine().next_slot(self.clock.now());
        loop {
            let wait = slot.since(self.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                // At most an interval: the clock may be put right again meanwhile.
                () = tokio::time::sleep(wait.min(interval)) => {}
            }
            let now = self.clock.now();
            if now < slot {
                // tokio woke a little early, or the wall clock was set back: then nearer slots wait.
                slot = self.lock_engine().next_slot(now).min(slot);
                continue;
            }
            let begun = self.clock.monotonic();
            let evaluated = tokio::select! {
                () = stop.cancelled() => return,
                answers = self.read_slot(slot) => answers,
            };
            if !self.take_slot(slot, evaluated).await {
                return;
            }
            self.metrics.duration.observe_duration(self.clock.monotonic().saturating_sub(begun));
            let after = slot.saturating_add(interval);
            let next = self.lock_engine().next_slot(self.clock.now()).max(after);
            let missed = next.since(after).as_nanos() / interval.as_nanos().max(1);
            if missed > 0 {
                self.metrics.missed.add(u64::try_from(missed).unwrap_or(u64::MAX));
                tracing::warn!(
                    missed,
                    "objectives took longer than their interval, slots were missed"
                );
            }
            slot = next;
        }
    }

    async fn read_slot(&self, slot: Timestamp) -> Read {
        let mut plan = {
            let mut engine = self.lock_engine();
            if let Some(since) = self.late.take(slot) {
                engine.changed_since(since);
            }
            for (start, end) in self.late.take_history(slot) {
                engine.changed_between(start, end, slot);
            }
            engine.plan(slot)
        };
        let answers = self.answer(&mut plan, self.concurrency).await;
        Read { plan, answers }
    }

    /// Counts what was read and makes it durable. `false` when the server stops.
    async fn take_slot(self: &Arc<Self>, slot: Timestamp, read: Read) -> bool {
        let order = self.commit_order.lock().await;
        let inner = Arc::clone(self);
        let Read { plan, answers } = read;
        let counting =
            tokio::task::spawn_blocking(move || inner.lock_engine().step(&plan, &answers));
        let step = match counting.await {
            Ok(step) => step,
            Err(error) => {
                tracing::error!(%error, "a slot of objectives could not be counted");
                return !self.stop.is_cancelled();
            }
        };
        if !self.commit(step.commit.as_ref()).await {
            return false;
        }
        drop(order);
        if step.skipped {
            self.metrics.skipped.inc();
        } else {
            self.metrics.slots.inc();
            self.lock_progress().last_slot = Some(slot);
            if self.lock_engine().has_unread_history() {
                self.unread.notify_one();
            }
            self.report(&step);
        }
        true
    }

    /// Tells which objectives cannot be read, once until they can.
    fn report(&self, step: &SloStep) {
        self.metrics.query_failures.add(step.failures.len() as u64);
        self.metrics.groups_dropped.add(step.groups_dropped as u64);
        let failing: HashSet<SloId> = step.failures.iter().map(|(id, _)| *id).collect();
        let before = std::mem::replace(&mut self.lock_progress().failing, failing);
        for (id, error) in step.failures.iter().filter(|(id, _)| !before.contains(id)) {
            let engine = self.lock_engine();
            let name = engine.slos().find(|slo| slo.id == *id).map(|slo| slo.name.clone());
            drop(engine);
            tracing::warn!(slo = name.as_deref().unwrap_or("unknown"), %error, "an objective cannot be read, its burn rates stay what they were");
        }
    }
}

/// What was read for a slot.
struct Read {
    plan: skopos_alerting::slo::Plan,
    answers: Vec<Result<Vec<skopos_promql::MatrixSeries>, String>>,
}
