//! What a replay found, and what to think of it.

use std::time::Duration;

use serde::Serialize;

use crate::noise;
use crate::rules::{Rule, RuleGroup};

const WEEK_MS: f64 = 7.0 * 86_400_000.0;

/// A firing that begins so soon after the last one of the same alert is the same trouble again.
const FLAP_MS: i64 = 30 * 60_000;

/// Firings per week beyond which a page wears people out, and beyond which anything does.
const NOISY_PAGES: f64 = 5.0;
const NOISY: f64 = 20.0;

/// All rules replayed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BacktestReport {
    /// From when, milliseconds since the epoch.
    pub start_ms: i64,
    /// Until when.
    pub end_ms: i64,
    /// One per alerting rule.
    pub rules: Vec<RuleBacktest>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleBacktest {
    /// The alert's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its file and line.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Its `severity` label, empty without one.
    pub severity: String,
    /// Seconds between evaluations.
    pub interval_seconds: f64,
    /// Evaluations replayed.
    pub evaluations: u64,
    /// Those that returned anything.
    pub evaluations_with_result: u64,
    /// Those that failed.
    pub failed_evaluations: u64,
    /// Times that an alert was pending and did not come to fire: what `for` spared people.
    pub pending_only: u64,
    /// Every time an alert fired, in order.
    pub firings: Vec<Firing>,
    /// Firings per week.
    pub firings_per_week: f64,
    /// Seconds during which at least one alert fired.
    pub firing_seconds: f64,
    /// The longest firing, in seconds.
    pub longest_seconds: f64,
    /// The median firing, in seconds.
    pub median_seconds: f64,
    /// Firings that began within half an hour of the same alert's last end.
    pub flaps: usize,
    /// What to think of it.
    pub verdict: Verdict,
    /// Why the replay is not whole, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One firing of one alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Firing {
    /// The alert's labels.
    pub labels: String,
    /// When it began, milliseconds since the epoch.
    pub since_ms: i64,
    /// When it was over; absent when it fires to the end.
    pub until_ms: Option<i64>,
}

/// How noisily a rule would have fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It did not fire.
    #[default]
    Silent,
    /// It fired as often as people can bear.
    Calm,
    /// It fired once or twice, but in so short a time that a week of that would be too much.
    Unclear,
    /// It fired again and again within half an hour of its last end.
    Flapping,
    /// It fired too often: more than 5 times a week for a page, 20 for others.
    Noisy,
    /// It fired for more than half of the time: it describes the normal state.
    Constant,
    /// It could not be replayed.
    Failed,
}

impl Verdict {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Calm => "calm",
            Self::Unclear => "unclear",
            Self::Flapping => "flapping",
            Self::Noisy => "noisy",
            Self::Constant => "constant",
            Self::Failed => "failed",
        }
    }

    /// Whether the rule should be changed before people are shown it.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Flapping | Self::Noisy | Self::Constant | Self::Failed)
    }
}

impl RuleBacktest {
    pub(super) fn new(group: &RuleGroup, rule: &Rule, interval: Duration) -> Self {
        Self {
            name: rule.name.clone(),
            group: group.name.clone(),
            file: group.file.clone(),
            line: rule.line,
            severity: rule.labels.get("severity").cloned().unwrap_or_default(),
            interval_seconds: interval.as_secs_f64(),
            evaluations: 0,
            evaluations_with_result: 0,
            failed_evaluations: 0,
            pending_only: 0,
            firings: Vec::new(),
            firings_per_week: 0.0,
            firing_seconds: 0.0,
            longest_seconds: 0.0,
            median_seconds: 0.0,
            flaps: 0,
            verdict: Verdict::Silent,
            error: None,
        }
    }

    /// What to do about the verdict.
    pub fn advice(&self) -> Option<&'static str> {
        match self.verdict {
            Verdict::Silent if self.evaluations_with_result == 0 => Some(
                "the expression returned nothing at any time: make sure that its metrics exist, and test it with `skopos rules test`",
            ),
            Verdict::Silent if self.pending_only > 0 => {
                Some("it was pending but `for` was never reached")
            }
            Verdict::Unclear => Some(
                "the window is too short to tell how often that would be: replay a week or more",
            ),
            Verdict::Flapping => Some(
                "the value crosses the threshold again and again: a longer range, `keep_firing_for`, or another threshold",
            ),
            Verdict::Noisy => Some(
                "too often to act on each time: a longer `for`, a higher threshold, or a lower severity",
            ),
            Verdict::Constant => {
                Some("the threshold describes the normal state: change or delete it")
            }
            _ => None,
        }
    }

    pub(super) fn finish(&mut self, start_ms: i64, end_ms: i64) {
        let span = (end_ms.saturating_sub(start_ms)).max(1) as f64;
        let lengths: Vec<i64> =
            self.firings.iter().map(|f| f.until_ms.unwrap_or(end_ms) - f.since_ms).collect();
        let mut sorted = lengths.clone();
        sorted.sort_unstable();
        let seconds = |ms: Option<&i64>| ms.map_or(0.0, |ms| *ms as f64 / 1000.0);
        self.longest_seconds = seconds(sorted.last());
        self.median_seconds = seconds(sorted.get(sorted.len() / 2));
        self.firings_per_week = self.firings.len() as f64 * WEEK_MS / span;
        self.firing_seconds = covered(&self.firings, end_ms) as f64 / 1000.0;
        self.flaps = flaps(&self.firings);
        let is_page = ["critical", "page", "P1"].contains(&self.severity.as_str());
        let is_often = self.firings_per_week > bearable_per_week(is_page);
        self.verdict = if self.error.is_some() && self.failed_evaluations == self.evaluations {
            Verdict::Failed
        } else if self.firings.is_empty() {
            Verdict::Silent
        } else if self.firing_seconds * 1000.0 > span / 2.0 {
            Verdict::Constant
        } else if self.flaps >= 3 && self.flaps * 3 >= self.firings.len() {
            Verdict::Flapping
        } else if is_often && self.firings.len() > 2 {
            Verdict::Noisy
        } else if is_often {
            // Of a short window one firing says little, whatever it would come to in a week.
            Verdict::Unclear
        } else {
            Verdict::Calm
        };
    }
}

/// Milliseconds that the firings cover together.
fn covered(firings: &[Firing], end_ms: i64) -> i64 {
    noise::covered(firings.iter().map(|f| (f.since_ms, f.until_ms.unwrap_or(end_ms))))
}

/// Whether an alert that begins now is the same trouble as the one that ended then.
pub(crate) fn is_flap(ended_ms: i64, since_ms: i64) -> bool {
    since_ms.saturating_sub(ended_ms) <= FLAP_MS
}

/// How many firings a week people can bear.
pub(crate) fn bearable_per_week(is_page: bool) -> f64 {
    if is_page { NOISY_PAGES } else { NOISY }
}

fn flaps(firings: &[Firing]) -> usize {
    let again = |(i, firing): (usize, &Firing)| {
        let before = firings[..i].iter().rev().find(|f| f.labels == firing.labels);
        let ended = before.and_then(|f| f.until_ms);
        usize::from(ended.is_some_and(|ended| is_flap(ended, firing.since_ms)))
    };
    firings.iter().enumerate().map(again).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing(labels: &str, since: i64, until: Option<i64>) -> Firing {
        let minutes = |m: i64| m * 60_000;
        Firing { labels: labels.into(), since_ms: minutes(since), until_ms: until.map(minutes) }
    }

    #[test]
    fn overlapping_firings_count_once() {
        let firings = [firing("a", 0, Some(10)), firing("b", 5, Some(15)), firing("a", 20, None)];
        assert_eq!(covered(&firings, 25 * 60_000), 20 * 60_000);
    }

    #[test]
    fn only_the_same_alert_flaps() {
        let firings = [
            firing("a", 0, Some(10)),
            firing("b", 15, Some(16)),
            firing("a", 30, Some(31)),
            firing("a", 90, Some(91)),
        ];
        assert_eq!(flaps(&firings), 1);
    }
}
