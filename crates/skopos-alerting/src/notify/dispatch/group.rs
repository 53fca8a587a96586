//! Groups of alerts, and what their receivers were told.

use std::collections::BTreeSet;

use skopos_model::{Labels, Timestamp};

use crate::codec::{DecodeError, Reader, Writer};
use crate::rules::hash_pieces;

/// Keys of groups in the notification log begin with this.
pub(super) const PREFIX: &str = "aggregation/";
/// Keys of what was told begin with this.
pub(super) const TOLD_PREFIX: &str = "told/";

/// An aggregation group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its alerts: those that fire, and those that are over and not told yet.
    pub(super) members: BTreeSet<Labels>,
    /// When it is looked at next.
    pub(super) next_look: Timestamp,
    /// Whether it was looked at: the first wait is over.
    pub(super) has_looked: bool,
}

/// The record's key.
pub(super) fn key(route: &str, labels: &Labels) -> String {
    let labels = format!("{:032x}", labels.series_id().0);
    format!("{PREFIX}{:032x}", hash_pieces([route, &labels]))
}

/// A decoded record.
#[derive(Debug, PartialEq)]
pub(super) struct Saved {
    pub(super) route: String,
    pub(super) labels: Labels,
    pub(super) group: Group,
}

impl Group {
    pub(super) fn new(next_look: Timestamp) -> Self {
        Self { members: BTreeSet::new(), next_look, has_looked: false }
    }

    pub(super) fn encode(&self, route: &str, labels: &Labels) -> Vec<u8> {
        let mut writer = Writer::new(1);
        writer.text(route);
        writer.labels(labels);
        writer.signed(self.next_look.as_nanos());
        writer.byte(u8::from(self.has_looked));
        writer.finish()
    }
}

impl Saved {
    /// Members are not part of it: alerts say in which groups they are.
    pub(super) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let route = reader.text("route")?.to_owned();
        let labels = reader.labels("labels")?;
        let next_look = Timestamp(reader.signed("next_look")?);
        let has_looked = reader.flag("has_looked")?;
        reader.finish()?;
        let group = Group { has_looked, ..Group::new(next_look) };
        Ok(Self { route, labels, group })
    }
}

/// Whom something was told: an integration of a receiver, about a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ToldKey {
    pub(super) group_key: String,
    pub(super) receiver: String,
    pub(super) integration: usize,
}

/// What was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Ascending for each key, at least the time in milliseconds.
    pub(super) generation: i64,
    pub(super) at: Timestamp,
    /// Fingerprints of the alerts that fired.
    pub(super) firing: BTreeSet<u64>,
    /// Fingerprints of those that were over.
    pub(super) resolved: BTreeSet<u64>,
    /// Fingerprints of alerts that were told to fire, but were muted when last something was told.
    pub(super) quiet: BTreeSet<u64>,
}

impl ToldKey {
    pub(super) fn record_key(&self) -> String {
        let integration = self.integration.to_string();
        let hash = hash_pieces([&self.group_key, &self.receiver, integration.as_str()]);
        format!("{TOLD_PREFIX}{hash:032x}")
    }
}

impl Told {
    pub(super) fn encode(&self, key: &ToldKey) -> Vec<u8> {
        let mut writer = Writer::new(1);
        writer.text(&key.group_key);
        writer.text(&key.receiver);
        writer.unsigned(key.integration as u64);
        writer.signed(self.generation);
        writer.signed(self.at.as_nanos());
        for set in [&self.firing, &self.resolved, &self.quiet] {
            writer.unsigned(set.len() as u64);
            set.iter().for_each(|fingerprint| writer.unsigned(*fingerprint));
        }
        writer.finish()
    }

    pub(super) fn decode(data: &[u8]) -> Result<(ToldKey, Self), DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let wrong = |what| DecodeError { what, offset: data.len() };
        let key = ToldKey {
            group_key: reader.text("group_key")?.to_owned(),
            receiver: reader.text("receiver")?.to_owned(),
            integration: usize::try_from(reader.unsigned("integration")?)
                .map_err(|_| wrong("integration"))?,
        };
        let generation = reader.signed("generation")?;
        let at = Timestamp(reader.signed("at")?);
        let mut sets = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        for set in &mut sets {
            for _ in 0..reader.unsigned("fingerprints")? {
                let fingerprint = reader.unsigned("fingerprints")?;
                if set.last().is_some_and(|last| *last >= fingerprint) {
                    return Err(wrong("fingerprints"));
                }
                set.insert(fingerprint);
            }
        }
        reader.finish()?;
        let [firing, resolved, quiet] = sets;
        Ok((key, Self { generation, at, firing, resolved, quiet }))
    }
}
