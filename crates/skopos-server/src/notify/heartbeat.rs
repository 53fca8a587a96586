//! A sign of life to a dead man's switch outside: a GET at an interval, only while rules are
//! evaluated in time. When it stays away, the switch tells people that nobody else will.

use std::time::Duration;

use skopos::metrics::{Bounded, Counter, Family, Registry};
use skopos_alerting::alertmanager::{HttpConfig, Source};
use tokio_util::sync::CancellationToken;

use super::http::Sender;
use crate::ServerError;
use crate::config::{Secret, Settings};

skopos::labels! {
    struct OutcomeLabels { outcome: Bounded<4> }
}

/// Tells a dead man's switch that all is well.
pub(crate) struct Heartbeat {
    url: Secret<String>,
    interval: Duration,
    timeout: Duration,
    sender: Sender,
    beats: Family<OutcomeLabels, Counter>,
}

impl Heartbeat {
    /// None when no URL is configured.
    pub(crate) fn new(
        settings: &Settings,
        registry: &Registry,
    ) -> Result<Option<Self>, ServerError> {
        let Some(url) = settings.heartbeat_url.clone() else { return Ok(None) };
        Ok(Some(Self {
            url,
            interval: settings.heartbeat_interval,
            timeout: settings.notify_timeout,
            sender: Sender::new(&Source::default(), &HttpConfig::standard())?,
            beats: registry.counter_family(
                "skopos_heartbeat_total",
                "Signs of life to the dead man's switch: sent, failed, or withheld because rules were late.",
            ),
        }))
    }

    /// Runs until told to stop. `on_time` says whether rules are evaluated in time.
    pub(crate) async fn run(
        self,
        on_time: impl Fn() -> Result<(), String>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_well = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (outcome, reason) = match on_time() {
                Err(reason) => ("withheld", Some(reason)),
                Ok(()) => match self.sender.get(&self.url, self.timeout).await {
                    Ok(()) => ("sent", None),
                    Err(reason) => ("failed", Some(reason)),
                },
            };
            self.beats.get(&OutcomeLabels { outcome: outcome.into() }).inc();
            // Once per change, not once per beat.
            match &reason {
                Some(reason) if was_well => {
                    tracing::error!(outcome, %reason, "the heartbeat stays away");
                }
                None if !was_well => tracing::info!("the heartbeat goes on"),
                _ => {}
            }
            was_well = reason.is_none();
        }
    }
}
