//! Alerts from the API: what Alertmanager makes of a POST, and of two that say different things.

use std::collections::BTreeMap;

use skopos_model::{Labels, Timestamp};

use super::alert::Held;
use super::{Dispatched, Dispatcher};

/// An alert as it was posted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostedAlert {
    /// Its labels; empty values count as absent.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began; now when absent.
    pub starts_at: Option<Timestamp>,
    /// When it is or was over; after the resolve timeout when absent.
    pub ends_at: Option<Timestamp>,
    /// Where it came from.
    pub generator_url: String,
}

/// Why a posted alert was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAlert {
    /// It has no labels.
    #[error("at least one label pair required")]
    NoLabels,
    /// It ends before it begins.
    #[error("start time must be before end time")]
    Reversed,
}

impl Dispatcher {
    /// Takes in alerts. Those that are wrong are reported and do not keep the others out.
    pub fn post(
        &mut self,
        alerts: Vec<PostedAlert>,
        now: Timestamp,
    ) -> (Dispatched, Vec<InvalidAlert>) {
        let mut invalid = Vec::new();
        for alert in alerts {
            if let Err(fault) = self.post_one(alert, now) {
                invalid.push(fault);
            }
        }
        self.look(now);
        (self.dispatched(now), invalid)
    }

    fn post_one(&mut self, alert: PostedAlert, now: Timestamp) -> Result<(), InvalidAlert> {
        if alert.labels.is_empty() {
            return Err(InvalidAlert::NoLabels);
        }
        let starts_at = alert.starts_at.or(alert.ends_at).unwrap_or(now);
        let by_timeout = alert.ends_at.is_none();
        let ends_at =
            alert.ends_at.unwrap_or_else(|| now.saturating_add(self.routing.resolve_timeout));
        if ends_at < starts_at {
            return Err(InvalidAlert::Reversed);
        }
        let labels = alert.labels;
        let new = Held {
            annotations: alert.annotations,
            generator_url: alert.generator_url,
            starts_at,
            updated_at: now,
            rules: Default::default(),
            rules_ended_at: None,
            posted_until: Some(ends_at),
            by_timeout,
            member_of: Default::default(),
        };
        let before = self.alerts.remove(&labels);
        let was_firing = before.as_ref().is_some_and(|held| held.fires(now));
        let held = match before {
            Some(old) => merge(old, new, now),
            None => new,
        };
        self.hold(labels, held, was_firing, now);
        Ok(())
    }
}

/// The newer word holds, except that an alert whose spans overlap began at the earlier start, and that
/// an end that was named outlives one that follows from the timeout.
fn merge(old: Held, new: Held, now: Timestamp) -> Held {
    let old_end = old.ends_at().unwrap_or(Timestamp::MAX);
    let (start, end) = (new.starts_at, new.posted_until.unwrap_or(now));
    let overlaps =
        (end > old.starts_at && end < old_end) || (start > old.starts_at && start < old_end);
    let mut merged = new;
    if overlaps {
        merged.starts_at = merged.starts_at.min(old.starts_at);
        if let Some(posted) = old.posted_until
            && posted > end
        {
            let is_kept = if end <= now { posted <= now } else { !old.by_timeout };
            if is_kept {
                merged.posted_until = Some(posted);
                merged.by_timeout = old.by_timeout;
            }
        }
    }
    merged.rules = old.rules;
    merged.rules_ended_at = old.rules_ended_at.filter(|_| old_end > merged.starts_at);
    merged.member_of = old.member_of;
    merged
}
