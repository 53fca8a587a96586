//! One alert and how an evaluation moves it: inactive → pending → firing → resolved.

use std::collections::BTreeMap;

use skopos_model::Labels;

use crate::codec::{DecodeError, Reader, Writer};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// It was firing and is over; kept for a while so that it can be seen.
    Resolved,
    /// The expression returns it, but not long enough yet.
    Pending,
    /// It is reported.
    Firing,
}

impl AlertState {
    /// The word used in `ALERTS` and in Prometheus' API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// What receivers were last told of an alert (by a durable intent).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notified {
    Nothing,
    Firing,
    Resolved,
}

/// An alert: one element of a rule's result, over time. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) value: f64,
    pub(crate) state: AlertState,
    pub(crate) active_at: i64,
    pub(crate) fired_at: Option<i64>,
    pub(crate) resolved_at: Option<i64>,
    pub(crate) keep_firing_since: Option<i64>,
    /// After a restart: until then a missing result does not resolve it.
    pub(crate) held_until: Option<i64>,
    /// Whether the last evaluation returned nothing and only the hold keeps it firing.
    pub(crate) held: bool,
    pub(crate) notified: Notified,
    /// When it was last sent to Alertmanagers; nothing while they know nothing of it.
    pub(crate) last_sent: Option<i64>,
}

/// What the expression said about an alert in one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The durations that decide, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) hold: i64,
    pub(crate) keep_firing_for: i64,
    pub(crate) resolved_retention: i64,
}

/// What becomes of an alert that the expression did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It stays.
    Keep,
    /// Nothing is left of it.
    Delete,
}

impl Alert {
    /// The expression returned it at `slot`; `before` is what was known of it.
    pub(crate) fn present(
        before: Option<Alert>,
        instance: Instance,
        slot: i64,
        timing: Timing,
    ) -> Self {
        let Instance { labels, annotations, value } = instance;
        let mut alert = match before {
            Some(alert) if alert.state != AlertState::Resolved => alert,
            before => Alert {
                labels,
                annotations: BTreeMap::new(),
                value,
                state: AlertState::Pending,
                active_at: slot,
                fired_at: None,
                resolved_at: None,
                keep_firing_since: None,
                held_until: None,
                held: false,
                notified: before.map_or(Notified::Nothing, |alert| alert.notified),
                last_sent: None,
            },
        };
        alert.annotations = annotations;
        alert.value = value;
        alert.keep_firing_since = None;
        alert.held = false;
        alert.end_hold(slot);
        let active_for = slot.saturating_sub(alert.active_at);
        match alert.state {
            AlertState::Pending if active_for >= timing.hold => {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(slot);
            }
            // `for` was raised while it fired.
            AlertState::Firing if active_for < timing.hold => {
                alert.state = AlertState::Pending;
                alert.fired_at = None;
            }
            _ => {}
        }
        alert
    }

    /// The expression did not return it at `slot`. `waits_until` is given while no fresh data has
    /// arrived since a restart: a hold lasts at least until then.
    pub(crate) fn absent(&mut self, slot: i64, timing: Timing, waits_until: Option<i64>) -> Absent {
        self.held_until = self.held_until.map(|end| waits_until.map_or(end, |wait| wait.max(end)));
        self.held =
            self.state == AlertState::Firing && self.held_until.is_some_and(|end| slot < end);
        if self.held {
            return Absent::Keep;
        }
        self.end_hold(slot);
        match self.state {
            AlertState::Pending => return Absent::Delete,
            AlertState::Resolved => {
                let since = slot.saturating_sub(self.resolved_at.unwrap_or(slot));
                return if since > timing.resolved_retention {
                    Absent::Delete
                } else {
                    Absent::Keep
                };
            }
            AlertState::Firing => {}
        }
        if timing.keep_firing_for > 0 {
            let since = *self.keep_firing_since.get_or_insert(slot);
            if slot.saturating_sub(since) < timing.keep_firing_for {
                return Absent::Keep;
            }
        }
        self.state = AlertState::Resolved;
        self.resolved_at = Some(slot);
        Absent::Keep
    }

    fn end_hold(&mut self, slot: i64) {
        self.held_until = self.held_until.filter(|end| slot < *end);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Its record, version 2. Version 1 had no `last_sent`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(2);
        writer.labels(&self.labels);
        writer.texts(&self.annotations);
        writer.float(self.value);
        writer.byte(match self.state {
            AlertState::Resolved => 0,
            AlertState::Pending => 1,
            AlertState::Firing => 2,
        });
        writer.signed(self.active_at);
        writer.optional(self.fired_at);
        writer.optional(self.resolved_at);
        writer.optional(self.keep_firing_since);
        writer.optional(self.held_until);
        writer.byte(u8::from(self.held));
        writer.byte(match self.notified {
            Notified::Nothing => 0,
            Notified::Firing => 1,
            Notified::Resolved => 2,
        });
        writer.optional(self.last_sent);
        writer.finish()
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, version) = Reader::of_versions(data, 1..=2)?;
        let wrong = |what| DecodeError { what, offset: data.len() };
        let alert = Self {
            labels: reader.labels("labels")?,
            annotations: reader.texts("annotations")?,
            value: reader.float("value")?,
            state: match reader.byte("state")? {
                0 => AlertState::Resolved,
                1 => AlertState::Pending,
                2 => AlertState::Firing,
                _ => return Err(wrong("state")),
            },
            active_at: reader.signed("active_at")?,
            fired_at: reader.optional("fired_at")?,
            resolved_at: reader.optional("resolved_at")?,
            keep_firing_since: reader.optional("keep_firing_since")?,
            held_until: reader.optional("held_until")?,
            held: reader.flag("held")?,
            notified: match reader.byte("notified")? {
                0 => Notified::Nothing,
                1 => Notified::Firing,
                2 => Notified::Resolved,
                _ => return Err(wrong("notified")),
            },
            last_sent: if version > 1 { reader.optional("last_sent")? } else { None },
        };
        reader.finish()?;
        // What the state machine never leaves behind cannot have been written by it.
        let fits = match alert.state {
            AlertState::Pending => alert.fired_at.is_none() && alert.resolved_at.is_none(),
            AlertState::Firing => alert.fired_at.is_some() && alert.resolved_at.is_none(),
            AlertState::Resolved => alert.fired_at.is_some() && alert.resolved_at.is_some(),
        };
        if fits && !alert.labels.is_empty() { Ok(alert) } else { Err(wrong("state")) }
    }
}
