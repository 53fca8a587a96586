//! Filling in history: what the store holds of the time before an objective was there, or the server down.
//!
//! By quarters of a day, oldest first, a few queries at a time, so that rules keep their slots; not from before the oldest
//! stored sample. A query that fails is tried again; after that its chunk is left empty, the status says so, and it is
//! tried again from time to time until it can be read, by the next process too. Samples that come so late that slots do
//! not reach them have their stretch of history filled in anew, a quarter of an hour after the last time at the soonest:
//! a sender that is always behind, or an import of years, costs one round and not one after each batch.

use std::sync::Arc;
use std::time::Duration;

use skopos_alerting::slo::Plan;
use skopos_model::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{History, HistoryState, Inner};

/// Queries over history at a time.
const AT_A_TIME: usize = 2;
/// How often a chunk is tried before others are, and how long after a failure.
const ATTEMPTS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10)];
/// How long after that chunks that failed are tried again; the last holds from then on.
const LATER: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(3600),
];
/// How long after a round another one may begin.
const REST: Duration = Duration::from_secs(900);
/// What passed meanwhile is filled in as well when it is longer than this; slots catch up the rest.
const WORTH_ANOTHER_ROUND: Duration = Duration::from_secs(3600);

impl Inner {
    /// Fills in so many chunks of history, begun at `begun`, then lets slots go on. Each is planned when the one before is
    /// done: years of many objectives take no more memory than a day of them.
    pub(super) async fn fill_history(
        self: Arc<Self>,
        mut chunks: usize,
        mut begun: Timestamp,
        stop: &CancellationToken,
    ) {
        let mut missing = None;
        while chunks > 0 {
            self.lock_progress().history = History {
                state: HistoryState::Running,
                chunks,
                error: missing.clone(),
                ..History::default()
            };
            while let Some(plan) = self.next_chunk() {
                let reached = plan.slot;
                match self.fill(plan, stop).await {
                    Filled::Stopped => return,
                    Filled::Whole => {}
                    Filled::Partly(error) => drop(missing.insert(error)),
                }
                let mut progress = self.lock_progress();
                progress.history.done += 1;
                progress.history.reached = Some(reached);
                progress.history.error.clone_from(&missing);
            }
            let now = self.clock.now();
            chunks = match now.since(begun) > WORTH_ANOTHER_ROUND {
                true => self.plan_history(now).await,
                false => 0,
            };
            begun = now;
        }
        self.lock_engine().end_backfill();
        self.end_history(missing.as_ref());
        self.keep_history(missing, stop).await;
    }

    fn next_chunk(&self) -> Option<Plan> {
        self.lock_engine().next_backfill()
    }

    fn next_unread(&self, after: Option<Timestamp>) -> Option<Plan> {
        self.lock_engine().next_unread(self.clock.now(), after)
    }

    /// How many chunks of history there are to fill in. It is looked up what the store holds, so that nothing is asked of
    /// the time before.
    pub(super) async fn plan_history(&self, now: Timestamp) -> usize {
        let kept = now.saturating_sub(self.settings.history);
        let oldest = match self.store.oldest_sample_ms().await {
            Ok(oldest) => oldest.map(|oldest| Timestamp::from_millis(oldest).max(kept)),
            Err(error) => {
                tracing::warn!(%error, "it is not known since when there are samples, all of history is looked through");
                Some(kept)
            }
        };
        self.lock_engine().begin_backfill(now, oldest)
    }

    /// Fills in what is still missing of history, or comes to be, until told to stop. `missing` says why something is.
    async fn keep_history(self: &Arc<Self>, mut missing: Option<String>, stop: &CancellationToken) {
        let mut failures = 0;
        // What an earlier process left is tried at once.
        let mut rest = Duration::ZERO;
        loop {
            let wait = async {
                match &missing {
                    Some(_) => tokio::time::sleep(LATER[failures.min(LATER.len() - 1)]).await,
                    None => {
                        tokio::time::sleep(rest).await;
                        while !self.lock_engine().has_unread_history() {
                            self.unread.notified().await;
                        }
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
            }
            missing = None;
            let (mut chunks, mut after) = (0, None);
            while let Some(plan) = self.next_unread(after) {
                (chunks, after) = (chunks + 1, Some(plan.slot));
                match self.fill(plan, stop).await {
                    Filled::Stopped => return,
                    Filled::Whole => {}
                    Filled::Partly(error) => missing = Some(error),
                }
            }
            failures = if missing.is_some() { failures + 1 } else { 0 };
            rest = REST;
            self.metrics.history_chunks_again.add(chunks);
            if chunks > 0 {
                self.end_history(missing.as_ref());
            }
        }
    }

    /// Says what became of history.
    fn end_history(&self, missing: Option<&String>) {
        let mut progress = self.lock_progress();
        let history = &mut progress.history;
        history.error = missing.cloned();
        history.state = match (missing, history.chunks) {
            (Some(_), _) => HistoryState::Failed,
            (None, 0) => HistoryState::None,
            (None, _) => HistoryState::Done,
        };
        let (chunks, state) = (history.chunks, history.state.as_str());
        tracing::info!(chunks, state, "the history of objectives is filled in");
    }

    async fn fill(self: &Arc<Self>, plan: Plan, stop: &CancellationToken) -> Filled {
        let mut tried = (plan.clone(), Vec::new());
        for wait in ATTEMPTS {
            tried = tokio::select! {
                () = stop.cancelled() => return Filled::Stopped,
                tried = async {
                    tokio::time::sleep(wait).await;
                    let mut plan = plan.clone();
                    let answers = self.answer(&mut plan, AT_A_TIME).await;
                    (plan, answers)
                } => tried,
            };
            if tried.1.iter().all(Result::is_ok) {
                break;
            }
        }
        let (plan, answers) = tried;
        let order = self.commit_order.lock().await;
        let inner = Arc::clone(self);
        let counting = tokio::task::spawn_blocking(move || {
            let now = inner.clock.now();
            inner.lock_engine().take_backfill(&plan, &answers, now)
        });
        let step = match counting.await {
            Ok(step) => step,
            Err(error) => return Filled::Partly(error.to_string()),
        };
        if !self.commit(step.commit.as_ref()).await {
            return Filled::Stopped;
        }
        drop(order);
        self.metrics.query_failures.add(step.failures.len() as u64);
        self.metrics.groups_dropped.add(step.groups_dropped as u64);
        match step.failures.into_iter().next() {
            None => Filled::Whole,
            Some((_, error)) => {
                tracing::warn!(%error, "a stretch of history of an objective cannot be read and stays empty for now");
                Filled::Partly(error)
            }
        }
    }
}

/// How a chunk ended.
enum Filled {
    Whole,
    /// For some objective not, and why.
    Partly(String),
    Stopped,
}
