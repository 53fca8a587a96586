//! One target: when it is scraped, what is stored, and which of its series have gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skopos_ingest::exposition::{self, Exposition, ExpositionOptions};
use skopos_model::{
    Labels, MetricBatch, STALE_NAN, SeriesId, SeriesSamples, SignalBatch, Timestamp,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::config::ScrapeJob;
use super::fetch::Source;
use super::{ScrapeContext, TargetHealth, TargetStatus, labels};
use crate::receipts::{Signal, Transport};

/// Every target is scraped for the first time within this after the start.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The series written about every scrape.
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// One target and what is known of it.
pub(super) struct Target {
    job: Arc<ScrapeJob>,
    labels: Labels,
    source: Source,
    status: Arc<Mutex<TargetStatus>>,
    context: ScrapeContext,
    /// Series of the last good scrape, to notice those that vanish.
    live: HashMap<SeriesId, Labels>,
}

impl Target {
    pub(super) fn new(
        job: Arc<ScrapeJob>,
        labels: Labels,
        source: Source,
        status: Arc<Mutex<TargetStatus>>,
        context: ScrapeContext,
    ) -> Self {
        Self { job, labels, source, status, context, live: HashMap::new() }
    }

    /// Scrapes until told to stop, then marks everything stale.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let interval = self.job.interval;
        let first = first_offset(&self.labels, interval);
        // The steady places begin after the first scrape.
        let wait = offset(&self.labels, interval, self.context.clock.now().saturating_add(first));
        let steady = Instant::now() + first + wait.max(Duration::from_nanos(1));
        let mut ticks = tokio::time::interval_at(steady, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_first = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(first), if is_first => is_first = false,
                _ = ticks.tick(), if !is_first => {}
            }
            tokio::select! {
                // A scrape under way is given up; its target is marked stale below.
                () = stop.cancelled() => break,
                () = self.scrape() => {}
            }
        }
        self.end().await;
    }

    async fn scrape(&mut self) {
        let started_at = self.context.clock.now();
        let begun = self.context.clock.monotonic();
        let outcome = self.fetch_and_parse(started_at).await;
        let took = self.context.clock.monotonic().saturating_sub(begun);
        let now_ms = started_at.as_millis();
        let (exposition, error) = match outcome {
            Ok(exposition) => (exposition, None),
            Err(error) => (Exposition::default(), Some(error)),
        };
        let samples = exposition.batch.sample_count();
        let current = live_series(&exposition);
        let added = current.keys().filter(|id| !self.live.contains_key(id)).count();
        let mut batch = exposition.batch;
        for (id, gone) in &self.live {
            if !current.contains_key(id) {
                batch.series.push(SeriesSamples::single(gone.clone(), now_ms, STALE_NAN));
            }
        }
        let is_up = error.is_none();
        let up = f64::from(u8::from(is_up));
        let values = [up, took.as_secs_f64(), samples as f64, samples as f64, added as f64];
        for (name, value) in REPORT.into_iter().zip(values) {
            let labels = labels::report(name, &self.labels);
            batch.series.push(SeriesSamples::single(labels, now_ms, value));
        }
        if let Some(error) = &error {
            self.context.receipts.refuse(Transport::Scrape, &self.job.name, error.reason);
        }
        // The view first: whoever reads `up` finds the reason there.
        self.note(|status| {
            status.health = if is_up { TargetHealth::Up } else { TargetHealth::Down };
            status.last_error = error.map(|error| error.message).unwrap_or_default();
            status.last_scrape = Some(started_at);
            status.last_scrape_duration = took;
            status.last_samples = samples;
        });
        match self.store(batch).await {
            Ok(()) => {
                self.live = current;
                if is_up {
                    self.context.receipts.metrics_came(Transport::Scrape, &self.job.name);
                }
            }
            Err(message) => {
                // What was not stored may still need its stale marker later.
                self.live.extend(current);
                self.note(|status| {
                    status.health = TargetHealth::Down;
                    status.last_error = message;
                });
            }
        }
    }

    /// Changes the target's status; the first failure after a success is logged.
    fn note(&self, change: impl FnOnce(&mut TargetStatus)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.health;
        change(&mut status);
        if status.health == TargetHealth::Down && before != TargetHealth::Down {
            let (url, error) = (&status.scrape_url, &status.last_error);
            tracing::warn!(job = %self.job.name, target = %url, %error, "scrape failed");
        }
    }

    async fn fetch_and_parse(&self, started_at: Timestamp) -> Result<Exposition, ScrapeError> {
        let max_bytes = match self.job.body_size_limit {
            0 => self.context.limits.request_bytes,
            limit => limit,
        };
        let timeout = self.job.timeout;
        let fetch = self.source.fetch(max_bytes, timeout.as_secs_f64());
        let page = match tokio::time::timeout(timeout, fetch).await {
            Ok(Ok(page)) => page,
            Ok(Err(message)) => return Err(ScrapeError { reason: "fetch_failed", message }),
            Err(_) => {
                let message = "context deadline exceeded".to_owned();
                return Err(ScrapeError { reason: "timeout", message });
            }
        };
        let job = Arc::clone(&self.job);
        let target_labels = self.labels.clone();
        let limits = Arc::clone(&self.context.limits);
        let parse = move || {
            let options = ExpositionOptions {
                honor_timestamps: job.honor_timestamps,
                honor_labels: job.honor_labels,
                target_labels,
                sample_limit: (job.sample_limit > 0).then_some(job.sample_limit),
                ..ExpositionOptions::new(page.format, started_at.as_millis(), &limits)
            };
            exposition::parse(&page.body, &options)
        };
        match tokio::task::spawn_blocking(parse).await {
            Ok(Ok(exposition)) => Ok(exposition),
            Ok(Err(error)) => {
                Err(ScrapeError { reason: "malformed_exposition", message: error.to_string() })
            }
            Err(error) => Err(ScrapeError { reason: "internal", message: error.to_string() }),
        }
    }

    /// Stores a batch and accounts for it.
    async fn store(&self, batch: MetricBatch) -> Result<(), String> {
        let appended = self.context.store.append(SignalBatch::Metrics(batch)).await;
        let appended = appended.map_err(|error| format!("store refused the scrape: {error}"))?;
        let receipts = &self.context.receipts;
        receipts.accept(Signal::Metrics, &self.job.name, appended.accepted);
        for rejection in &appended.rejected {
            receipts.reject(Signal::Metrics, rejection);
        }
        Ok(())
    }

    /// Marks everything of the target stale.
    async fn end(&mut self) {
        let scraped = {
            let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.last_scrape
        };
        let Some(last_scrape) = scraped else { return };
        // Never at or before the last samples, which the marker would replace.
        let now_ms = self.context.clock.now().as_millis().max(last_scrape.as_millis() + 1);
        let report = REPORT.into_iter().map(|name| labels::report(name, &self.labels));
        let series = self
            .live
            .drain()
            .map(|(_, labels)| labels)
            .chain(report)
            .map(|labels| SeriesSamples::single(labels, now_ms, STALE_NAN))
            .collect();
        let batch = MetricBatch { series, metadata: Vec::new() };
        if let Err(error) = self.store(batch).await {
            tracing::warn!(job = %self.job.name, %error, "stale markers could not be stored");
        }
    }
}

/// Why a scrape stored nothing but `up 0`.
struct ScrapeError {
    /// A word of a closed set.
    reason: &'static str,
    message: String,
}

/// Series that get a stale marker when they vanish: not those whose times the target gives, as in
/// Prometheus.
fn live_series(exposition: &Exposition) -> HashMap<SeriesId, Labels> {
    let mut live = HashMap::with_capacity(exposition.batch.series.len());
    let mut timed = exposition.explicitly_timed.iter().peekable();
    for (i, series) in exposition.batch.series.iter().enumerate() {
        if timed.next_if(|at| **at == i).is_none() {
            live.insert(series.labels.series_id(), series.labels.clone());
        }
    }
    live
}

/// Time until the first scrape after the start: soon, so that a question asked then has an answer,
/// but not all targets at the same moment.
fn first_offset(labels: &Labels, interval: Duration) -> Duration {
    let spread = interval.min(FIRST_WITHIN).as_nanos().max(1);
    Duration::from_nanos(u64::try_from(labels.series_id().0 % spread).unwrap_or(0))
}

/// Time until the target's own fixed place within the interval.
fn offset(labels: &Labels, interval: Duration, now: Timestamp) -> Duration {
    let interval_nanos = interval.as_nanos().max(1);
    let place = labels.series_id().0 % interval_nanos;
    let now = u128::try_from(now.as_nanos()).unwrap_or(0) % interval_nanos;
    let wait = (place + interval_nanos - now) % interval_nanos;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_its_place_within_the_interval() {
        let labels = Labels::from_pairs([("job", "shop"), ("instance", "a:1")]);
        let interval = Duration::from_secs(15);
        let at = |now: i64| {
            let wait = offset(&labels, interval, Timestamp(now));
            assert!(wait < interval);
            (now as u128 + wait.as_nanos()) % interval.as_nanos()
        };
        assert_eq!(at(0), at(1_700_000_000_123_456_789));
    }

    #[test]
    fn first_scrapes_are_soon_and_spread() {
        let of = |instance: &str, seconds| {
            let labels = Labels::from_pairs([("job", "shop"), ("instance", instance)]);
            first_offset(&labels, Duration::from_secs(seconds))
        };
        let waits: std::collections::BTreeSet<Duration> =
            (0..100).map(|i| of(&format!("a:{i}"), 3600)).collect();
        assert_eq!(waits.len(), 100);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        assert!(of("a:1", 0) < Duration::from_nanos(1));
    }

    #[test]
    fn explicitly_timed_series_are_not_tracked() {
        let series =
            |name: &str| SeriesSamples::single(Labels::from_pairs([("__name__", name)]), 1, 1.0);
        let exposition = Exposition {
            batch: MetricBatch {
                series: vec![series("a"), series("b"), series("c")],
                metadata: vec![],
            },
            explicitly_timed: vec![1],
        };
        let mut names: Vec<String> =
            live_series(&exposition).values().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["a", "c"]);
    }
}
