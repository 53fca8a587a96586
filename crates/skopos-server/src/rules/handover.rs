//! Handing alerts over to external Alertmanagers, as Prometheus does: every batch to all of them.
//!
//! Nothing is stored and nothing repeated here: what fires is sent again after the resend delay, and what is
//! over for fifteen minutes, so an Alertmanager that was away hears of it. The queue holds
//! [`CAPACITY`] alerts; when it is full the oldest go, because what is newer says more about the present.
//! Addresses may hold passwords: they appear in no log, error or metric.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos::metrics::{Counter, Registry};
use skopos_alerting::SentAlert;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Secret;

/// Most alerts waiting.
const CAPACITY: usize = 10_000;
/// Most alerts in one request.
const BATCH: usize = 256;

/// The Alertmanagers and what they must hear.
pub(super) struct Handover {
    urls: Vec<Secret<String>>,
    client: reqwest::Client,
    timeout: Duration,
    waiting: Mutex<VecDeque<SentAlert>>,
    arrived: Notify,
    sent: Counter,
    errors: Counter,
    dropped: Counter,
}

impl Handover {
    pub(super) fn new(
        urls: &[Secret<String>],
        timeout: Duration,
        registry: &Registry,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("skopos/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let urls = urls.iter().map(|url| {
            Secret::new(format!("{}/api/v2/alerts", url.expose().trim_end_matches('/')))
        });
        Ok(Self {
            urls: urls.collect(),
            client,
            timeout,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            sent: registry.counter(
                "skopos_alertmanager_sent_alerts_total",
                "Alerts that an external Alertmanager took, once for each of them.",
            ),
            errors: registry.counter(
                "skopos_alertmanager_failed_alerts_total",
                "Alerts that an external Alertmanager did not take; they are sent again while they matter.",
            ),
            dropped: registry.counter(
                "skopos_alertmanager_dropped_alerts_total",
                "Alerts dropped because too many waited for external Alertmanagers.",
            ),
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SentAlert>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in alerts whose commit is durable.
    pub(super) fn push(&self, alerts: Vec<SentAlert>) {
        if self.urls.is_empty() || alerts.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.extend(alerts);
        let surplus = waiting.len().saturating_sub(CAPACITY);
        waiting.drain(..surplus);
        self.dropped.add(surplus as u64);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Sends until told to stop.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        if self.urls.is_empty() {
            return stop.cancelled().await;
        }
        // Which of them failed last time: said once until it works again.
        let mut failing = vec![false; self.urls.len()];
        loop {
            let batch: Vec<SentAlert> = {
                let mut waiting = self.lock();
                let count = waiting.len().min(BATCH);
                waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.arrived.notified() => continue,
                }
            }
            self.send(&batch, &mut failing).await;
        }
    }

    async fn send(&self, batch: &[SentAlert], failing: &mut [bool]) {
        let body: Arc<str> = print(batch).into();
        let mut requests = JoinSet::new();
        for (index, url) in self.urls.iter().enumerate() {
            let request = self.client.post(url.expose()).timeout(self.timeout);
            let request = request.header("content-type", "application/json");
            let request = request.body(body.to_string());
            requests.spawn(async move {
                let answer = request.send().await;
                (index, answer.map(|a| a.status()).map_err(|error| error.is_timeout()))
            });
        }
        while let Some(done) = requests.join_next().await {
            let Ok((index, answer)) = done else { continue };
            let reason = match answer {
                Ok(status) if status.is_success() => None,
                Ok(status) => Some(format!("it answered {}", status.as_u16())),
                Err(true) => Some("it did not answer in time".to_owned()),
                Err(false) => Some("it cannot be reached".to_owned()),
            };
            let count = batch.len() as u64;
            let was_failing = std::mem::replace(&mut failing[index], reason.is_some());
            match reason {
                None => self.sent.add(count),
                Some(reason) => {
                    self.errors.add(count);
                    if !was_failing {
                        tracing::error!(alertmanager = index, %reason, "alerts cannot be handed over, they are sent again later");
                    }
                }
            }
        }
    }
}

/// The body of `POST /api/v2/alerts`.
fn print(alerts: &[SentAlert]) -> String {
    let alerts: Vec<serde_json::Value> = alerts
        .iter()
        .map(|alert| {
            let labels: std::collections::BTreeMap<&str, &str> = alert.labels.iter().collect();
            serde_json::json!({
                "labels": labels,
                "annotations": alert.annotations,
                "startsAt": alert.starts_at.to_string(),
                "endsAt": alert.ends_at.to_string(),
                "generatorURL": alert.generator_url,
            })
        })
        .collect();
    serde_json::Value::from(alerts).to_string()
}
