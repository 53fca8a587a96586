//! Acknowledgements: somebody says that an alert is theirs, and how long that took is known.
//!
//! An acknowledgement holds for one firing: when the alert fires anew it is open again. The time to
//! respond is measured from the moment the alert began to fire. Severities, and how fast each must be answered, are
//! the guide's: P1 at once, P2 within 30 minutes, P3 on the next business day.

use std::collections::BTreeMap;
use std::time::Duration;

use skopos_model::storage::{StateKind, StateRecord};
use skopos_model::{Labels, METRIC_NAME, SeriesSamples, Timestamp};

use crate::codec::{DecodeError, Reader, Writer};
use crate::engine::CorruptRecord;

/// The series with one sample per acknowledgement: the seconds from the beginning of the firing to it.
pub const ACKNOWLEDGED_METRIC: &str = "ALERTS_ACKNOWLEDGED";

/// Keys of acknowledgements in the notification log begin with this.
const PREFIX: &str = "ack/";
/// How long they are kept.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Users are hurt: page.
    P1,
    /// Somebody must look within half an hour.
    P2,
    /// On the next business day.
    P3,
}

impl Severity {
    /// From the label `severity`, in the words that people use; `None` for others.
    pub fn of(labels: &Labels) -> Option<Self> {
        match labels.value("severity").to_ascii_lowercase().as_str() {
            "p1" | "critical" | "page" => Some(Self::P1),
            "p2" | "high" | "error" => Some(Self::P2),
            "p3" | "warning" | "info" | "ticket" => Some(Self::P3),
            _ => None,
        }
    }

    /// `P1`, `P2` or `P3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        }
    }

    /// Until when an alert that began then must be acknowledged. "At once" leaves five minutes, the
    /// next business day ends when it does (UTC, Monday to Friday).
    pub fn respond_by(self, starts_at: Timestamp) -> Timestamp {
        match self {
            Self::P1 => starts_at.saturating_add(Duration::from_secs(5 * 60)),
            Self::P2 => starts_at.saturating_add(Duration::from_secs(30 * 60)),
            Self::P3 => {
                let day = starts_at.as_millis().div_euclid(1000 * DAY);
                // Day 0 of the epoch was a Thursday; count days from Monday.
                let weekday = |day: i64| (day + 3).rem_euclid(7);
                let next = (day + 1..).find(|day| weekday(*day) < 5).unwrap_or(day + 1);
                Timestamp::from_secs((next + 1).saturating_mul(DAY))
            }
        }
    }
}

/// Somebody's word that they look after an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledgement {
    /// The alert.
    pub labels: Labels,
    /// The firing it holds for.
    pub starts_at: Timestamp,
    /// When it was given.
    pub at: Timestamp,
    /// Who gave it.
    pub by: String,
    /// What they said.
    pub comment: String,
}

impl Acknowledgement {
    /// From the beginning of the firing to the acknowledgement.
    pub fn response_time(&self) -> Duration {
        self.at.since(self.starts_at)
    }

    /// What is stored of it for good, beside `ALERTS`: how many seconds into the firing it was given.
    pub(crate) fn sample(&self) -> SeriesSamples {
        let mut labels = self.labels.to_builder();
        labels.set(METRIC_NAME, ACKNOWLEDGED_METRIC);
        let seconds = self.response_time().as_secs_f64();
        SeriesSamples::single(labels.build(), self.at.as_millis(), seconds)
    }

    fn key(labels: &Labels) -> String {
        format!("{PREFIX}{:032x}", labels.series_id().0)
    }

    pub(crate) fn record(&self) -> StateRecord {
        let mut writer = Writer::new(1);
        writer.labels(&self.labels);
        writer.signed(self.starts_at.as_nanos());
        writer.signed(self.at.as_nanos());
        writer.text(&self.by);
        writer.text(&self.comment);
        let (key, value) = (Self::key(&self.labels), Some(writer.finish()));
        StateRecord { kind: StateKind::NotificationLog, key, value }
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data, 1)?;
        let acknowledgement = Self {
            labels: reader.labels("labels")?,
            starts_at: Timestamp(reader.signed("starts_at")?),
            at: Timestamp(reader.signed("at")?),
            by: reader.text("by")?.to_owned(),
            comment: reader.text("comment")?.to_owned(),
        };
        reader.finish()?;
        Ok(acknowledgement)
    }
}

/// Why an alert cannot be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// No alert with this fingerprint fires.
    #[error("no firing alert has the fingerprint {0}")]
    NotFiring(String),
    /// Somebody has it already.
    #[error("{by} acknowledged it already")]
    Taken {
        /// Who.
        by: String,
    },
    /// Nobody said who they are.
    #[error("say who acknowledges it")]
    Nobody,
}

/// The acknowledgements of alerts.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledgements {
    by_labels: BTreeMap<Labels, Acknowledgement>,
}

impl Acknowledgements {
    pub(super) fn restore(records: &[StateRecord], corrupt: &mut Vec<CorruptRecord>) -> Self {
        let mut all = Self::default();
        for record in records.iter().filter(|record| record.key.starts_with(PREFIX)) {
            match Acknowledgement::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(ack) if Acknowledgement::key(&ack.labels) == record.key => {
                    all.by_labels.insert(ack.labels.clone(), ack);
                }
                Ok(_) => corrupt.push(CorruptRecord::mismatch(record)),
                Err(error) => corrupt.push(CorruptRecord::new(record, error)),
            }
        }
        all
    }

    pub(super) fn get(&self, labels: &Labels) -> Option<&Acknowledgement> {
        self.by_labels.get(labels)
    }

    /// An alert fires: what was said of an earlier firing is over.
    pub(super) fn alert_fires(
        &mut self,
        labels: &Labels,
        starts_at: Timestamp,
        records: &mut Vec<StateRecord>,
    ) {
        if self.by_labels.get(labels).is_some_and(|ack| ack.at < starts_at) {
            self.by_labels.remove(labels);
            records.push(deletion(labels));
        }
    }

    pub(super) fn add(&mut self, ack: Acknowledgement, records: &mut Vec<StateRecord>) {
        records.push(ack.record());
        self.by_labels.insert(ack.labels.clone(), ack);
    }

    pub(super) fn forget(&mut self, now: Timestamp, records: &mut Vec<StateRecord>) {
        let limit = now.saturating_sub(RETENTION);
        self.by_labels.retain(|labels, ack| {
            let is_kept = ack.at >= limit;
            if !is_kept {
                records.push(deletion(labels));
            }
            is_kept
        });
    }
}

fn deletion(labels: &Labels) -> StateRecord {
    let key = Acknowledgement::key(labels);
    StateRecord { kind: StateKind::NotificationLog, key, value: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_known_by_their_words() {
        for (word, want) in [
            ("P1", Some(Severity::P1)),
            ("critical", Some(Severity::P1)),
            ("PAGE", Some(Severity::P1)),
            ("high", Some(Severity::P2)),
            ("error", Some(Severity::P2)),
            ("warning", Some(Severity::P3)),
            ("ticket", Some(Severity::P3)),
            ("P4", None),
        ] {
            assert_eq!(Severity::of(&Labels::from_pairs([("severity", word)])), want, "{word}");
        }
        assert_eq!(Severity::of(&Labels::empty()), None);
    }

    #[test]
    fn the_next_business_day_skips_the_weekend() {
        // 2026-11-20 was a Friday.
        let friday = Timestamp::from_secs(1_795_132_800 + 15 * 3600);
        assert_eq!(friday.to_string(), "2026-11-20T15:00:00.000Z");
        let by = |days: u64| {
            let start = friday.saturating_add(Duration::from_secs(days * 86_400));
            Severity::P3.respond_by(start).to_string()
        };
        assert_eq!(by(0), "2026-11-24T00:00:00.000Z", "Friday's until the end of Monday");
        assert_eq!(by(1), "2026-11-24T00:00:00.000Z", "so is Saturday's");
        assert_eq!(by(3), "2026-11-25T00:00:00.000Z", "Monday's until the end of Tuesday");
    }
}
