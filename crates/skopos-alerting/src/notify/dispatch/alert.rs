//! An alert as the dispatcher holds it: who says that it fires, and until when.

use std::collections::{BTreeMap, BTreeSet};

use skopos_model::{Labels, Timestamp};

use super::super::NotifiedAlert;
use super::super::route::{RouteIndex, RouteTree};
use crate::codec::{DecodeError, Reader, Writer};
use crate::rules::RuleId;

/// Keys of alerts in the notification log begin with this.
pub(super) const PREFIX: &str = "alert/";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) generator_url: String,
    pub(super) starts_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// The rules that say it fires.
    pub(super) rules: BTreeSet<RuleId>,
    /// When the last rule stopped saying so.
    pub(super) rules_ended_at: Option<Timestamp>,
    /// Until when it fires by the word of the API.
    pub(super) posted_until: Option<Timestamp>,
    /// Whether that end was not named but follows from the resolve timeout.
    pub(super) by_timeout: bool,
    /// The routes in whose groups it is.
    pub(super) member_of: BTreeSet<RouteIndex>,
}

/// The record's key.
pub(super) fn key(labels: &Labels) -> String {
    format!("{PREFIX}{:032x}", labels.series_id().0)
}

/// A decoded record; the routes are still names.
#[derive(Debug, PartialEq)]
pub(super) struct Saved {
    pub(super) labels: Labels,
    pub(super) held: Held,
    pub(super) routes: Vec<String>,
}

impl Held {
    pub(super) fn of_rule(rule: RuleId, alert: NotifiedAlert, now: Timestamp) -> Self {
        Self {
            annotations: alert.annotations,
            generator_url: alert.generator_url,
            starts_at: alert.starts_at,
            updated_at: now,
            rules: BTreeSet::from([rule]),
            rules_ended_at: None,
            posted_until: None,
            by_timeout: false,
            member_of: BTreeSet::new(),
        }
    }

    /// Whether a rule said exactly this already.
    pub(super) fn says(&self, rule: RuleId, alert: &NotifiedAlert) -> bool {
        self.rules.contains(&rule)
            && self.starts_at <= alert.starts_at
            && self.annotations == alert.annotations
            && self.generator_url == alert.generator_url
    }

    /// What becomes of it when a rule says that it fires.
    pub(super) fn fired_by(mut self, rule: RuleId, alert: NotifiedAlert, now: Timestamp) -> Self {
        let starts_at = match self.fires(now) {
            true => self.starts_at.min(alert.starts_at),
            false => alert.starts_at,
        };
        self.rules.insert(rule);
        let (rules, posted_until) = (self.rules, self.posted_until.filter(|end| *end > now));
        let (by_timeout, member_of) = (self.by_timeout, self.member_of);
        Self {
            starts_at,
            rules,
            posted_until,
            by_timeout,
            member_of,
            ..Self::of_rule(rule, alert, now)
        }
    }

    /// A rule no longer says that it fires.
    pub(super) fn ended_by(&mut self, rule: RuleId, now: Timestamp) {
        self.rules.remove(&rule);
        if self.rules.is_empty() {
            self.rules_ended_at = Some(now);
            self.updated_at = now;
        }
    }

    /// When it is or was over; `None` while a rule says that it fires.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        if !self.rules.is_empty() {
            return None;
        }
        self.rules_ended_at.max(self.posted_until)
    }

    /// Whether it fires at a time.
    pub(super) fn fires(&self, now: Timestamp) -> bool {
        self.ends_at().is_none_or(|end| end > now)
    }

    /// As receivers see it at a time: what ends later still fires.
    pub(super) fn notified(&self, labels: &Labels, now: Timestamp) -> NotifiedAlert {
        NotifiedAlert {
            labels: labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: self.starts_at,
            ends_at: self.ends_at().filter(|end| *end <= now),
            generator_url: self.generator_url.clone(),
        }
    }

    pub(super) fn encode(&self, labels: &Labels, routes: &RouteTree) -> Vec<u8> {
        let routes = self.member_of.iter().map(|route| routes.get(*route).id.as_str());
        self.encode_with(labels, routes.collect())
    }

    fn encode_with(&self, labels: &Labels, routes: Vec<&str>) -> Vec<u8> {
        let mut writer = Writer::new(1);
        writer.labels(labels);
        writer.texts(&self.annotations);
        writer.text(&self.generator_url);
        writer.signed(self.starts_at.as_nanos());
        writer.signed(self.updated_at.as_nanos());
        writer.unsigned(self.rules.len() as u64);
        self.rules.iter().for_each(|rule| writer.unsigned(rule.0));
        writer.optional(self.rules_ended_at.map(Timestamp::as_nanos));
        writer.optional(self.posted_until.map(Timestamp::as_nanos));
        writer.byte(u8::from(self.by_timeout));
        writer.unsigned(routes.len() as u64);
        routes.into_iter().for_each(|route| writer.text(route));
        writer.finish()
    }
}

impl Saved {
    pub(super) fn encode(&self) -> Vec<u8> {
        self.held.encode_with(&self.labels, self.routes.iter().map(String::as_str).collect())
    }

    pub(super) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let wrong = |what| DecodeError { what, offset: data.len() };
        let labels = reader.labels("labels")?;
        let annotations = reader.texts("annotations")?;
        let generator_url = reader.text("generator_url")?.to_owned();
        let starts_at = Timestamp(reader.signed("starts_at")?);
        let updated_at = Timestamp(reader.signed("updated_at")?);
        let mut rules = BTreeSet::new();
        for _ in 0..reader.unsigned("rules")? {
            let rule = RuleId(reader.unsigned("rules")?);
            if rules.last().is_some_and(|last| *last >= rule) {
                return Err(wrong("rules"));
            }
            rules.insert(rule);
        }
        let held = Held {
            annotations,
            generator_url,
            starts_at,
            updated_at,
            rules,
            rules_ended_at: reader.optional("rules_ended_at")?.map(Timestamp),
            posted_until: reader.optional("posted_until")?.map(Timestamp),
            by_timeout: reader.flag("by_timeout")?,
            member_of: BTreeSet::new(),
        };
        let mut routes = Vec::new();
        for _ in 0..reader.unsigned("routes")? {
            routes.push(reader.text("routes")?.to_owned());
        }
        reader.finish()?;
        let is_over_or_fires = !held.rules.is_empty() || held.ends_at().is_some();
        let is_sound = is_over_or_fires && !labels.is_empty();
        if is_sound { Ok(Self { labels, held, routes }) } else { Err(wrong("rules")) }
    }
}
