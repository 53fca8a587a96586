//! The server in one look: what it takes in, what it holds, and what is wrong with it.
//!
//! A problem says what is wrong and what to do. Errors make the server unhealthy: data or pages are
//! being lost, or will be soon. Warnings need a look, not a person at night.

mod problems;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skopos_store::StoreStats;
use tokio_util::sync::CancellationToken;

use crate::state::SharedState;

pub(crate) use problems::{Severity, problems};

/// From one count to the next.
const EVERY: Duration = Duration::from_secs(5);
/// What rates are taken over.
const WINDOW: Duration = Duration::from_secs(60);

/// Samples, log records and spans.
pub(crate) type PerSignal = [u64; 3];

/// How much came in lately.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<VecDeque<(Duration, PerSignal)>>);

impl Rates {
    /// Notes the totals at a monotonic time; what is older than the window goes, but for the one
    /// count that the window begins with.
    pub(crate) fn note(&self, now: Duration, totals: PerSignal) {
        let mut counts = self.lock();
        counts.push_back((now, totals));
        let begin = now.saturating_sub(WINDOW);
        while counts.get(1).is_some_and(|(time, _)| *time <= begin) {
            counts.pop_front();
        }
    }

    /// Items a second over the last minute, or since the first count.
    pub(crate) fn per_second(&self, now: Duration, totals: PerSignal) -> [f64; 3] {
        let counts = self.lock();
        let begin = now.saturating_sub(WINDOW);
        let first = counts.iter().rev().find(|(time, _)| *time <= begin).or(counts.front());
        let Some((time, earlier)) = first else { return [0.0; 3] };
        // A server that has just started has no rate worth the name yet.
        let seconds = now.saturating_sub(*time).as_secs_f64().max(1.0);
        let mut rates = [0.0; 3];
        for ((rate, total), earlier) in rates.iter_mut().zip(totals).zip(earlier) {
            *rate = total.saturating_sub(*earlier) as f64 / seconds;
        }
        rates
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Duration, PerSignal)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store has taken in since the start.
pub(crate) fn totals(stats: &StoreStats) -> PerSignal {
    [stats.accepted_samples, stats.accepted_logs, stats.accepted_spans]
}

/// Counts what comes in until told to stop.
pub(crate) async fn count(state: SharedState, stop: CancellationToken) {
    loop {
        state.rates.note(state.clock.monotonic(), totals(&state.folder.stats()));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Memory that is the process' own; none where the system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let rates = Rates::default();
        let at = Duration::from_secs;
        assert_eq!(rates.per_second(at(5), [9, 9, 9]), [0.0; 3], "nothing counted yet");
        rates.note(at(0), [0, 0, 0]);
        assert_eq!(rates.per_second(at(0), [10, 0, 0]), [10.0, 0.0, 0.0], "no division by nothing");
        assert_eq!(rates.per_second(at(10), [100, 0, 50]), [10.0, 0.0, 5.0]);
        for second in (5..=300).step_by(5) {
            // A burst four minutes ago, then 2 a second.
            rates.note(at(second), [1_000_000 + 2 * second, second, 0]);
        }
        assert_eq!(rates.per_second(at(300), [1_000_600, 300, 0]), [2.0, 1.0, 0.0]);
        assert!(rates.lock().len() <= 14, "{}", rates.lock().len());
        assert_eq!(
            rates.per_second(at(301), [0, 300, 0])[0],
            0.0,
            "totals never fall, but no panic"
        );
    }

    #[test]
    fn the_machine_tells_our_memory() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
