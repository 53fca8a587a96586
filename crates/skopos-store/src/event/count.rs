//! Counts log records per severity and slice of time: the histogram above a list of logs.

use std::time::Duration;

use skopos_model::storage::StorageError;
use skopos_model::{SeverityNumber, Timestamp};

use super::columns::{EventColumns, OwnColumns};
use crate::scan::EventRows;

/// Counts per severity band and slice. Of spans all are of no severity.
#[derive(Clone, Debug, PartialEq)]
pub struct SeverityCounts {
    start: Timestamp,
    step: Duration,
    /// Slices of band 0 (none), then of TRACE, DEBUG, …, FATAL.
    counts: Vec<u64>,
    slices: usize,
    total: u64,
}

/// Band 0 has no severity, the others four numbers each.
const BANDS: usize = 7;

impl SeverityCounts {
    /// The columns that must have been asked for.
    pub const COLUMNS: [&str; 2] = ["time", "severity"];

    /// Nothing counted yet, in `slices` slices of length `step` from `start` on.
    pub fn new(start: Timestamp, step: Duration, slices: usize) -> Self {
        let step = step.max(Duration::from_nanos(1));
        Self { start, step, counts: vec![0; BANDS * slices], slices, total: 0 }
    }

    /// Counts events; those outside of all slices do not count.
    pub fn add(&mut self, events: &EventRows<'_>) -> Result<(), StorageError> {
        let columns = EventColumns::new(events.signal, events.batch)?;
        let times = columns.time.values();
        let severities = match &columns.own {
            OwnColumns::Logs(logs) => Some(logs.severity.values()),
            OwnColumns::Spans(_) => None,
        };
        let step = i64::try_from(self.step.as_nanos()).unwrap_or(i64::MAX);
        for &row in events.rows {
            let row = row as usize;
            let since = i128::from(times[row]) - i128::from(self.start.0);
            let Ok(slice) = usize::try_from(since.div_euclid(i128::from(step))) else { continue };
            if slice >= self.slices {
                continue;
            }
            let band = match severities.map_or(0, |s| s[row]) {
                number @ 1..=24 => (usize::from(number) - 1) / 4 + 1,
                _ => 0,
            };
            if let Some(count) = self.counts.get_mut(band * self.slices + slice) {
                *count += 1;
                self.total += 1;
            }
        }
        Ok(())
    }

    /// All events counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The bands that occur, by name (empty: none), least severe first, with their slices.
    pub fn bands(&self) -> impl Iterator<Item = (&'static str, &[u64])> {
        self.counts
            .chunks(self.slices.max(1))
            .enumerate()
            .filter(|(_, counts)| counts.iter().any(|n| *n > 0))
            .map(|(band, counts)| {
                let first = u8::try_from(band).unwrap_or(0).saturating_sub(1) * 4 + 1;
                let name = if band == 0 { "" } else { SeverityNumber(first).name() };
                (name, counts)
            })
    }
}
