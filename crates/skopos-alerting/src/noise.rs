//! How noisy alerts were, and whether anybody acted on them: the monthly review.
//!
//! Made from what is stored: `ALERTS` says when an alert fired, `ALERTS_FOR_STATE` which firing that
//! was (its value is the time at which the alert became active), and [`ACKNOWLEDGED_METRIC`](crate::notify::ACKNOWLEDGED_METRIC) when
//! somebody took it on. Samples come in stretches of time, the older first, so that a month need not
//! be in memory at once: only its firings are.
//!
//! A firing that somebody acknowledged is one that was acted on; nothing else is known of what
//! people do. What is acknowledged elsewhere, in a pager's own app, is not counted.

use std::collections::BTreeMap;

use serde::Serialize;
use skopos_model::{Labels, METRIC_NAME, SampleValue};
use skopos_promql::MatrixSeries;

use crate::backtest::{bearable_per_week, is_flap};
use crate::notify::Severity;

/// A gap beyond which samples of one alert are two firings, where nothing says which they are.
const GAP_MS: i64 = 5 * 60_000;
const WEEK_MS: f64 = 7.0 * 86_400_000.0;

/// What to ask the store for: instant queries at the end of each stretch, with its length in place
/// of `{}`.
pub const QUERIES: [&str; 3] =
    [r#"ALERTS{alertstate="firing"}[{}]"#, "ALERTS_FOR_STATE[{}]", "ALERTS_ACKNOWLEDGED[{}]"];

/// One firing of one alert.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Firing {
    active_at: Option<f64>,
    since_ms: i64,
    /// Its last sample.
    last_ms: i64,
    /// Seconds to the acknowledgement.
    response_seconds: Option<f64>,
}

/// A firing with its alert's labels and its end.
type Told = (Labels, Firing, i64);

/// Firings, as they are found stretch by stretch.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By the alert's labels, each in order of time.
    firings: BTreeMap<Labels, Vec<Firing>>,
    /// The shortest time between two samples of each alert: its rule's interval.
    intervals: BTreeMap<Labels, i64>,
    /// By labels with external ones.
    acknowledged: BTreeMap<Labels, Vec<(i64, f64)>>,
}

impl Found {
    /// Takes in a stretch: the answers to [`QUERIES`], in their order.
    pub fn take(&mut self, [firing, for_state, acknowledged]: [Vec<MatrixSeries>; 3]) {
        let mut active: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        for series in for_state {
            let labels = series.labels.filtered(|name| name != METRIC_NAME);
            active.entry(labels).or_default().extend(floats(&series));
        }
        for series in firing {
            let labels = series.labels.filtered(|name| name != METRIC_NAME && name != "alertstate");
            let active = active.get(&labels).map_or(&[][..], Vec::as_slice);
            self.extend(labels, &floats(&series).map(|(at, _)| at).collect::<Vec<_>>(), active);
        }
        for series in acknowledged {
            let labels = series.labels.filtered(|name| name != METRIC_NAME);
            self.acknowledged.entry(labels).or_default().extend(floats(&series));
        }
    }

    fn extend(&mut self, labels: Labels, times: &[i64], active: &[(i64, f64)]) {
        let shortest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
        if let Some(shortest) = shortest {
            let known = self.intervals.entry(labels.clone()).or_insert(shortest);
            *known = shortest.min(*known);
        }
        let firings = self.firings.entry(labels).or_default();
        for at in times {
            // Both series are written at the same slot.
            let found = active.binary_search_by_key(at, |(time, _)| *time);
            let active_at = found.ok().map(|place| active[place].1);
            let last = firings.last_mut().filter(|last| match (last.active_at, active_at) {
                (Some(before), Some(now)) => before == now,
                _ => at - last.last_ms <= GAP_MS,
            });
            match last {
                Some(last) => last.last_ms = *at,
                None => firings.push(Firing {
                    active_at,
                    since_ms: *at,
                    last_ms: *at,
                    response_seconds: None,
                }),
            }
        }
    }

    /// Gives each acknowledgement to the firing during which it was given.
    fn assign(&mut self, external: &BTreeMap<String, String>) {
        for (labels, firings) in &mut self.firings {
            let mut full = labels.to_builder();
            for (name, value) in external {
                if labels.get(name).is_none() {
                    full.set(name, value);
                }
            }
            for (at, seconds) in self.acknowledged.get(&full.build()).into_iter().flatten() {
                let firing = firings.iter_mut().rev().find(|firing| firing.since_ms <= *at);
                if let Some(firing) = firing {
                    firing.response_seconds.get_or_insert(*seconds);
                }
            }
        }
    }

    /// The report on all that was taken in, the noisiest first. `rules` are names and severities of the
    /// rules in force: what of them did not fire is in the report too.
    pub fn report(
        mut self,
        (start_ms, end_ms): (i64, i64),
        external: &BTreeMap<String, String>,
        rules: impl IntoIterator<Item = (String, String)>,
    ) -> NoiseReport {
        self.assign(external);
        let mut alerts: BTreeMap<(String, String), Vec<Told>> = BTreeMap::new();
        for (labels, firings) in &self.firings {
            let name = labels.value("alertname").to_owned();
            let severity = labels.value("severity").to_owned();
            let interval = self.intervals.get(labels).copied().unwrap_or(0).min(GAP_MS);
            let all = alerts.entry((name, severity)).or_default();
            all.extend(firings.iter().map(|firing| {
                // It fired until the evaluation that did not return it.
                let until = firing.last_ms.saturating_add(interval).min(end_ms);
                (labels.clone(), *firing, until)
            }));
        }
        for rule in rules {
            let is_known = alerts.keys().any(|(name, _)| *name == rule.0);
            if !is_known {
                alerts.insert(rule, Vec::new());
            }
        }
        let span_ms = end_ms.saturating_sub(start_ms).max(1);
        let alerts = alerts.into_iter();
        let mut alerts: Vec<AlertNoise> = alerts
            .map(|((name, severity), firings)| AlertNoise::of(name, severity, firings, span_ms))
            .collect();
        alerts.sort_by(|a, b| b.firings.cmp(&a.firings).then_with(|| a.name.cmp(&b.name)));
        NoiseReport { start_ms, end_ms, alerts }
    }
}

fn floats(series: &MatrixSeries) -> impl Iterator<Item = (i64, f64)> {
    series.samples.iter().filter_map(|sample| match sample.value {
        SampleValue::Float(value) => Some((sample.timestamp_ms, value)),
        SampleValue::Histogram(_) => None,
    })
}

/// All alerts of a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoiseReport {
    /// From when, milliseconds since the epoch.
    pub start_ms: i64,
    /// Until when.
    pub end_ms: i64,
    /// By name and severity, those that fired most often first.
    pub alerts: Vec<AlertNoise>,
}

/// What people had of one alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertNoise {
    /// The alert's name.
    pub name: String,
    /// Its label `severity`, empty without one.
    pub severity: String,
    /// Times that it fired.
    pub firings: usize,
    /// The same per week.
    pub firings_per_week: f64,
    /// Seconds during which it fired, of several at a time once.
    pub firing_seconds: f64,
    /// The share of the time that this is.
    pub firing_share: f64,
    /// The median firing, in seconds.
    pub median_seconds: f64,
    /// Firings that began within half an hour of the same alert's last end.
    pub flaps: usize,
    /// Firings that somebody acknowledged.
    pub acknowledged: usize,
    /// The share of firings that somebody acted on; none where it did not fire.
    pub actionable_share: Option<f64>,
    /// The median time to the acknowledgement, in seconds.
    pub median_response_seconds: Option<f64>,
    /// What to think of it.
    pub verdict: NoiseVerdict,
    /// What to do about it; empty where there is nothing to do.
    pub advice: &'static str,
}

/// What an alert was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseVerdict {
    /// It did not fire.
    Silent,
    /// It fired once or twice and nobody took it on: too few to judge.
    Few,
    /// People acted on at least half of its firings, and these were not too many.
    Useful,
    /// Nobody acted on any of its firings.
    Ignored,
    /// It fired for more than half of the time.
    Constant,
    /// A third of its firings began within half an hour of its last end.
    Flapping,
    /// It fired too often: more than 5 times a week for a page, 20 for others.
    Noisy,
    /// People acted on less than half of its firings.
    Seldom,
}

impl NoiseVerdict {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Few => "few",
            Self::Useful => "useful",
            Self::Ignored => "ignored",
            Self::Constant => "constant",
            Self::Flapping => "flapping",
            Self::Noisy => "noisy",
            Self::Seldom => "seldom",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Silent | Self::Few | Self::Useful => "",
            Self::Ignored => "nobody acted on any of them: delete it, or lower its severity",
            Self::Constant => "it describes the normal state: another threshold, or delete it",
            Self::Flapping => {
                "a longer `for`, `keep_firing_for`, a longer range, or another threshold"
            }
            Self::Noisy => "too often to act on each time: a higher threshold, or a lower severity",
            Self::Seldom => "most of them needed nobody: a longer `for`, or a higher threshold",
        }
    }
}

impl AlertNoise {
    fn of(name: String, severity: String, all: Vec<Told>, span_ms: i64) -> Self {
        let span = span_ms as f64;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let lengths = all.iter().map(|(_, firing, until)| seconds(until - firing.since_ms));
        let responses = all.iter().filter_map(|(_, firing, _)| firing.response_seconds);
        let median_response_seconds = median(responses.collect());
        let median_seconds = median(lengths.collect()).unwrap_or(0.0);
        let acknowledged = all.iter().filter(|(_, f, _)| f.response_seconds.is_some()).count();
        // Firings of one alert stand side by side, in order of time.
        let flaps = all.windows(2).filter(|pair| {
            let [(before, _, ended), (now, firing, _)] = pair else { return false };
            before == now && is_flap(*ended, firing.since_ms)
        });
        let (firings, flaps) = (all.len(), flaps.count());
        let firing_ms = covered(all.iter().map(|(_, firing, until)| (firing.since_ms, *until)));
        let firings_per_week = firings as f64 * WEEK_MS / span;
        let is_page = Severity::of(&Labels::from_pairs([("severity", severity.as_str())]))
            == Some(Severity::P1);
        let verdict = if firings == 0 {
            NoiseVerdict::Silent
        } else if acknowledged == 0 && firings > 2 {
            NoiseVerdict::Ignored
        } else if firing_ms as f64 > span / 2.0 {
            NoiseVerdict::Constant
        } else if flaps >= 3 && flaps * 3 >= firings {
            NoiseVerdict::Flapping
        } else if firings > 2 && firings_per_week > bearable_per_week(is_page) {
            NoiseVerdict::Noisy
        } else if acknowledged * 2 >= firings {
            NoiseVerdict::Useful
        } else if firings > 2 {
            NoiseVerdict::Seldom
        } else {
            NoiseVerdict::Few
        };
        Self {
            name,
            severity,
            firings,
            firings_per_week,
            firing_seconds: seconds(firing_ms),
            firing_share: firing_ms as f64 / span,
            median_seconds,
            flaps,
            acknowledged,
            actionable_share: (firings > 0).then(|| acknowledged as f64 / firings as f64),
            median_response_seconds,
            verdict,
            advice: verdict.advice(),
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Milliseconds that the spans cover together.
pub(crate) fn covered(spans: impl Iterator<Item = (i64, i64)>) -> i64 {
    let mut spans: Vec<(i64, i64)> = spans.collect();
    spans.sort_unstable();
    let (mut total, mut reached) = (0, i64::MIN);
    for (since, until) in spans {
        total += (until - since.max(reached)).max(0);
        reached = reached.max(until);
    }
    total
}

#[cfg(test)]
mod tests {
    use skopos_model::Sample;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn series(name: &str, more: &[(&str, &str)], samples: Vec<(i64, f64)>) -> MatrixSeries {
        let pairs = [(METRIC_NAME, name), ("alertname", "A"), ("severity", "P1")];
        let labels = Labels::from_pairs(pairs.iter().chain(more).copied());
        let sample =
            |(at, value)| Sample { timestamp_ms: at * MINUTE, value: SampleValue::Float(value) };
        MatrixSeries { labels, samples: samples.into_iter().map(sample).collect() }
    }

    /// `ALERTS` and `ALERTS_FOR_STATE` of firings `(since, last, active at)`, a sample every minute.
    fn stretch(firings: &[(i64, i64, f64)]) -> [Vec<MatrixSeries>; 3] {
        let times = |(since, last, _): &(i64, i64, f64)| *since..=*last;
        let firing = firings.iter().flat_map(|f| times(f).map(|at| (at, 1.0))).collect();
        let active = firings.iter().flat_map(|f| times(f).map(|at| (at, f.2))).collect();
        [
            vec![series("ALERTS", &[("alertstate", "firing")], firing)],
            vec![series("ALERTS_FOR_STATE", &[], active)],
            Vec::new(),
        ]
    }

    fn report(found: Found, minutes: i64) -> NoiseReport {
        let rules = [("A".to_owned(), "P1".to_owned()), ("Never".to_owned(), String::new())];
        found.report((0, minutes * MINUTE), &BTreeMap::new(), rules)
    }

    #[test]
    fn a_firing_goes_on_over_gaps_and_stretches_and_another_may_follow_at_once() {
        let mut found = Found::default();
        // Ten minutes, of which the server slept through six, and at once another firing.
        found.take(stretch(&[(10, 12, 600.0), (18, 20, 600.0), (21, 22, 1260.0)]));
        found.take(stretch(&[(23, 24, 1260.0)]));
        let report = report(found, 1_000);
        let alert = &report.alerts[0];
        assert_eq!((alert.firings, alert.flaps), (2, 1), "{alert:?}");
        assert_eq!(alert.firing_seconds, 15.0 * 60.0);
        assert_eq!(alert.verdict, NoiseVerdict::Few);
        assert_eq!((report.alerts[1].name.as_str(), report.alerts[1].firings), ("Never", 0));
        assert_eq!(report.alerts[1].verdict, NoiseVerdict::Silent);
        assert_eq!(report.alerts[1].actionable_share, None);
    }

    #[test]
    fn without_its_state_a_gap_ends_a_firing() {
        let mut found = Found::default();
        let [firing, ..] = stretch(&[(10, 12, 0.0), (17, 18, 0.0), (24, 25, 0.0)]);
        found.take([firing, Vec::new(), Vec::new()]);
        assert_eq!(report(found, 1_000).alerts[0].firings, 2);
    }

    #[test]
    fn acknowledgements_belong_to_the_firing_they_were_given_in() {
        let mut found = Found::default();
        let hourly: Vec<_> = (0..4).map(|n| (60 * n, 60 * n + 9, f64::from(n as i32))).collect();
        let [firing, state, _] = stretch(&hourly);
        // Twice for the second firing, once for the last; another alert's is not theirs.
        let given = series("ALERTS_ACKNOWLEDGED", &[("dc", "eu")], vec![(62, 120.0), (64, 240.0)]);
        let last = series("ALERTS_ACKNOWLEDGED", &[("dc", "eu")], vec![(189, 540.0)]);
        let other = series("ALERTS_ACKNOWLEDGED", &[("dc", "us")], vec![(1, 60.0)]);
        found.take([firing, state, vec![given, last, other]]);
        let external = BTreeMap::from([("dc".to_owned(), "eu".to_owned())]);
        let report = found.report((0, 30 * 24 * 60 * MINUTE), &external, []);
        let alert = &report.alerts[0];
        assert_eq!((alert.firings, alert.acknowledged), (4, 2));
        assert_eq!(alert.actionable_share, Some(0.5));
        assert_eq!(alert.median_response_seconds, Some(540.0));
        assert_eq!(alert.verdict, NoiseVerdict::Useful);
    }

    #[test]
    fn verdicts_say_what_to_do() {
        let verdict = |firings: &[(i64, i64, f64)], acknowledged: &[i64], minutes: i64| {
            let mut found = Found::default();
            let [firing, state, _] = stretch(firings);
            let acknowledged = acknowledged.iter().map(|at| (*at, 60.0)).collect();
            let acknowledged = series("ALERTS_ACKNOWLEDGED", &[], acknowledged);
            found.take([firing, state, vec![acknowledged]]);
            report(found, minutes).alerts[0].verdict
        };
        let every = |minutes: i64, count: i64| -> Vec<(i64, i64, f64)> {
            (0..count).map(|n| (n * minutes, n * minutes + 4, n as f64)).collect()
        };
        let month = 30 * 24 * 60;
        assert_eq!(verdict(&every(600, 3), &[], month), NoiseVerdict::Ignored);
        assert_eq!(verdict(&every(600, 2), &[], month), NoiseVerdict::Few);
        assert_eq!(verdict(&every(600, 5), &[0], month), NoiseVerdict::Seldom);
        assert_eq!(verdict(&every(600, 5), &[0, 600, 1200], month), NoiseVerdict::Useful);
        assert_eq!(verdict(&every(20, 5), &[0], month), NoiseVerdict::Flapping);
        assert_eq!(verdict(&every(600, 40), &[0], month), NoiseVerdict::Noisy);
        assert_eq!(verdict(&[(0, 60, 0.0)], &[1], 100), NoiseVerdict::Constant);
    }
}
