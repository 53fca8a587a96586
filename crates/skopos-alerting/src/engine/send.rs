//! What an Alertmanager must be sent, and when: the rules by which Prometheus sends.
//!
//! An alert is sent when it begins to fire, when it is over, and again whenever more than the
//! resend delay has passed since; an alert that is over is sent for as long as it is kept. What
//! fires carries an end in the future, four times the resend delay or the interval, whichever is
//! longer, so that a receiver that hears nothing more takes it for over.
//!
//! Two differences, both so that nobody takes an alert for over that is not, or the reverse: while
//! a rule cannot be evaluated its alerts go on being sent as they were; and an alert that ceases to
//! exist (its rule is gone, its `for` was raised, a limit cleared it) is sent once as over.

use std::collections::BTreeMap;

use skopos_model::{Labels, Timestamp};

use super::alert::{Alert, AlertState};
use super::{Engine, millis};

/// An alert as it is sent to Alertmanagers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAlert {
    /// Its labels, with the external labels that it lacks.
    pub labels: Labels,
    /// Its annotations, expanded.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it was over; while it fires, when it may be taken for over if nothing more is heard.
    pub ends_at: Timestamp,
    /// Whether it is over.
    pub resolved: bool,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

/// What sending needs to know of the settings, milliseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    resend_delay: i64,
    /// From the slot to the end of what fires.
    valid_for: i64,
}

impl Alert {
    /// Whether it must be sent at `slot`; if so, when it ends, and whether that has come.
    fn due(&self, slot: i64, pace: Pace) -> Option<(i64, bool)> {
        let is_late =
            self.last_sent.is_none_or(|last| last.saturating_add(pace.resend_delay) < slot);
        match self.state {
            // It fired, and has to wait again because `for` was raised.
            AlertState::Pending => self.last_sent.map(|_| (slot, true)),
            AlertState::Firing => is_late.then(|| (slot.saturating_add(pace.valid_for), false)),
            AlertState::Resolved => {
                let over = self.resolved_at.unwrap_or(slot);
                let is_news = self.last_sent.is_none_or(|last| over > last);
                (is_news || is_late).then_some((over, true))
            }
        }
    }
}

impl Engine {
    /// What of a rule is to be sent at `slot`; marks it as sent.
    pub(super) fn send(&mut self, (g, r): (usize, usize), slot: i64) -> Vec<SentAlert> {
        let resend_delay = millis(self.settings.resend_delay);
        let longest = resend_delay.max(millis(self.groups[g].schedule.interval()));
        let pace = Pace { resend_delay, valid_for: longest.saturating_mul(4) };
        let state = &mut self.groups[g].rules[r];
        let Some(rule) = state.rule.clone() else { return Vec::new() };
        let mut due = Vec::new();
        for alert in state.alerts.values_mut() {
            if let Some((ends_at, resolved)) = alert.due(slot, pace) {
                alert.last_sent = (alert.state != AlertState::Pending).then_some(slot);
                due.push((alert.clone(), ends_at, resolved));
            }
        }
        let url = self.generator_url(&rule);
        due.iter().map(|(alert, ends_at, over)| self.sent(alert, *ends_at, *over, &url)).collect()
    }

    /// The last word about an alert that ceases to exist, if anybody heard of it.
    pub(super) fn send_off(&self, alert: &Alert, slot: i64, url: &str) -> Option<SentAlert> {
        alert.last_sent?;
        Some(self.sent(alert, alert.resolved_at.unwrap_or(slot), true, url))
    }

    fn sent(&self, alert: &Alert, ends_at: i64, resolved: bool, url: &str) -> SentAlert {
        let mut labels = alert.labels.to_builder();
        for (name, value) in &self.settings.external_labels {
            if alert.labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        SentAlert {
            labels: labels.build(),
            annotations: alert.annotations.clone(),
            starts_at: Timestamp::from_millis(alert.fired_at.unwrap_or(alert.active_at)),
            ends_at: Timestamp::from_millis(ends_at),
            resolved,
            generator_url: url.to_owned(),
        }
    }
}
