//! Burn-rate alerts: which windows, which factors, and whether they can fire at all.
//!
//! A burn rate of 1 spends the budget exactly by the end of the window. An alert of the SRE workbook
//! fires when a share of the budget is spent within its long window, so its factor is
//! share × period / long window, and resolves when the short window (a twelfth of the long one) is
//! quiet again. See the workbook's chapter "Alerting on SLOs".

use std::time::Duration;

use super::tidy;

const HOUR: u64 = 3600;

/// The alerts made for an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Burn-rate alerts.
    pub burn: Vec<BurnAlert>,
    /// The alert that says that nothing can be said.
    pub absent: Option<AbsentAlert>,
    /// Bad events in the long window without which no burn alert fires: the guard for services with
    /// so little traffic that a single failure is a high rate.
    pub min_bad_events: u32,
}

/// A burn-rate alert.
#[derive(Clone, Debug, PartialEq)]
pub struct BurnAlert {
    /// Its name in the specification: `fast`.
    pub class: String,
    /// The alert's name: `SLOBurnFast`.
    pub name: String,
    /// Its `severity` label.
    pub severity: String,
    /// The burn rate above which it fires.
    pub factor: f64,
    /// The window that says that it matters.
    pub long: Duration,
    /// The window that says that it goes on; none for single-window alerts.
    pub short: Option<Duration>,
    /// How long it must hold.
    pub hold: Duration,
    /// The share of the budget spent when it fires, where that made the factor.
    pub budget_share: Option<f64>,
}

/// The alert that fires when an objective has no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentAlert {
    /// Its `severity` label.
    pub severity: String,
    /// How long there must be none.
    pub after: Duration,
}

/// A row of the workbook's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkbookWindow {
    /// Its name in specifications.
    pub class: &'static str,
    /// The alert's name.
    pub name: &'static str,
    /// The severity it has unless the specification says otherwise.
    pub severity: &'static str,
    /// The share of the budget spent when it fires, for windows of more than a week.
    pub budget_share: f64,
    /// The same for windows of a week or less, where the workbook's shares would call sustainable
    /// rates an emergency (those of sloth).
    pub weekly_share: f64,
    /// The long window.
    pub long: Duration,
}

/// The workbook's four alerts.
pub const WORKBOOK_WINDOWS: [WorkbookWindow; 4] = [
    row("fast", "SLOBurnFast", "P1", 0.02, 0.08, 1),
    row("medium", "SLOBurnMedium", "P1", 0.05, 0.125, 6),
    row("slow", "SLOBurnSlow", "P2", 0.10, 0.20, 24),
    row("trend", "SLOBurnTrend", "P3", 0.10, 0.42, 72),
];

const fn row(
    class: &'static str,
    name: &'static str,
    severity: &'static str,
    budget_share: f64,
    weekly_share: f64,
    hours: u64,
) -> WorkbookWindow {
    let long = Duration::from_secs(hours * HOUR);
    WorkbookWindow { class, name, severity, budget_share, weekly_share, long }
}

/// Class, name, severity, factor, window and `for` of the guide's two single-window alerts.
pub const GUIDE_STYLE: [(&str, &str, &str, f64, Duration, Duration); 2] = [
    ("fast", "SLOFastBurn", "critical", 14.4, Duration::from_secs(300), Duration::from_secs(120)),
    ("slow", "SLOSlowBurn", "warning", 10.0, Duration::from_secs(HOUR), Duration::from_secs(900)),
];

/// Bad events that a burn alert wants unless the specification says otherwise.
pub(super) const MIN_BAD_EVENTS: u32 = 5;

/// Below this factor an alert fires at rates that the budget bears.
const LEAST_FACTOR: f64 = 0.9;

impl WorkbookWindow {
    /// The alert for a period, with the share of the workbook or another.
    pub fn alert(&self, period: Duration, share: Option<f64>) -> BurnAlert {
        let weekly = period <= Duration::from_secs(7 * 24 * HOUR);
        let usual = if weekly { self.weekly_share } else { self.budget_share };
        let share = share.unwrap_or(usual);
        BurnAlert {
            class: self.class.into(),
            name: self.name.into(),
            severity: self.severity.into(),
            factor: factor(share, period, self.long),
            long: self.long,
            short: Some(self.long / 12),
            hold: Duration::ZERO,
            budget_share: Some(share),
        }
    }

    /// Whether it is among the alerts of a period that asks for none in particular: short periods
    /// have no use for long windows.
    pub(super) fn is_default_for(&self, period: Duration) -> bool {
        self.long < period && self.alert(period, None).factor >= LEAST_FACTOR
    }
}

/// The burn rate that spends a share of the budget of a period within a window.
pub(super) fn factor(share: f64, period: Duration, window: Duration) -> f64 {
    tidy(share * period.as_secs_f64() / window.as_secs_f64())
}

impl Alerts {
    /// The workbook's alerts for a period.
    pub fn workbook(period: Duration) -> Self {
        let rows = WORKBOOK_WINDOWS.iter().filter(|row| row.is_default_for(period));
        Self {
            burn: rows.map(|row| row.alert(period, None)).collect(),
            absent: None,
            min_bad_events: MIN_BAD_EVENTS,
        }
    }

    /// The guide's two alerts.
    pub fn guide() -> Self {
        let burn = GUIDE_STYLE.iter().map(|(class, name, severity, factor, window, hold)| {
            let (factor, long, hold) = (*factor, *window, *hold);
            let (class, name) = (class.to_string(), name.to_string());
            let severity = severity.to_string();
            BurnAlert { class, name, severity, factor, long, short: None, hold, budget_share: None }
        });
        Self { burn: burn.collect(), absent: None, min_bad_events: 0 }
    }
}

impl AbsentAlert {
    /// The alert as it is unless the specification says otherwise: after as long as a total outage
    /// may last until the first burn alert would fire, and at least as long as PromQL looks back.
    pub(super) fn usual(target: f64, burn: &[BurnAlert]) -> Self {
        let detected = burn.iter().filter_map(|alert| alert.detection_time(target, 1.0)).min();
        let after = detected.unwrap_or_default().max(Duration::from_secs(300));
        Self { severity: "P2".into(), after: Duration::from_secs(after.as_secs()) }
    }
}

impl BurnAlert {
    /// The share of bad events above which it fires.
    pub fn error_ratio(&self, budget: f64) -> f64 {
        self.factor * budget
    }

    /// Why it can never fire, if it cannot: no share of bad events is above 1.
    pub fn cannot_fire(&self, target: f64) -> Option<String> {
        let ratio = tidy(self.error_ratio(1.0 - target));
        if ratio < 1.0 {
            return None;
        }
        let percent = tidy((ratio * 1e5).round() / 1e3);
        let best = tidy((1.0 - 1.0 / self.factor) * 100.0);
        let (class, factor) = (&self.class, self.factor);
        Some(format!(
            "the {class} burn alert cannot fire: {factor} times the error budget is {percent} % bad \
             events, and there are never more than 100 % (a factor of {factor} needs a target above \
             {best:.2} %)"
        ))
    }

    /// How long a share of bad events must last, from an otherwise clean long window, until the
    /// long window is above the factor; none when it never is. The workbook's detection time.
    pub fn detection_time(&self, target: f64, error_ratio: f64) -> Option<Duration> {
        let needed = self.error_ratio(tidy(1.0 - target)) / error_ratio;
        (needed < 1.0).then(|| self.long.mul_f64(needed))
    }

    /// How long after an outage the shortest of its windows is below the factor again. The
    /// workbook's reset time.
    pub fn reset_time(&self, target: f64, error_ratio: f64) -> Duration {
        let window = self.short.unwrap_or(self.long);
        let share = (self.error_ratio(tidy(1.0 - target)) / error_ratio).min(1.0);
        window.mul_f64(1.0 - share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * HOUR)
    }

    #[test]
    fn factors_are_those_of_the_workbook() {
        for (period, want) in [
            (days(30), &[14.4, 6.0, 3.0, 1.0][..]),
            (days(28), &[13.44, 5.6, 2.8, 0.933_333_333_333]),
            (days(7), &[13.44, 3.5, 1.4, 0.98]),
            (days(90), &[43.2, 18.0, 9.0, 3.0]),
            // A day's budget bears what the others call a burn.
            (days(1), &[1.92]),
        ] {
            let found: Vec<f64> = Alerts::workbook(period).burn.iter().map(|a| a.factor).collect();
            assert_eq!(found, want, "{period:?}");
        }
        let fast = &Alerts::workbook(days(30)).burn[0];
        assert_eq!(
            (fast.long, fast.short),
            (Duration::from_secs(HOUR), Some(Duration::from_secs(300)))
        );
    }

    #[test]
    fn what_cannot_fire_says_so() {
        let alerts = Alerts::workbook(days(30)).burn;
        let [fast, medium, ..] = &alerts[..] else { panic!() };
        assert!(fast.cannot_fire(0.999).is_none());
        let why = fast.cannot_fire(0.9305).unwrap();
        assert!(why.contains("above 93.06 %"), "{why}");
        assert!(fast.cannot_fire(0.931).is_none());
        assert!(medium.cannot_fire(0.8333).is_some());
        assert!(medium.cannot_fire(0.834).is_none());
    }

    #[test]
    fn times_are_those_of_the_workbook() {
        let alerts = Alerts::workbook(days(30)).burn;
        // Total outage at 99.9 %: 52 s (rounded) for the page of an hour.
        let detected = alerts[0].detection_time(0.999, 1.0).unwrap();
        assert!((detected.as_secs_f64() - 51.84).abs() < 1e-6);
        // One per cent of errors is ten times the budget: never 14.4, after 3.6 h 6 times.
        assert_eq!(alerts[0].detection_time(0.999, 0.01), None);
        let detected = alerts[1].detection_time(0.999, 0.01).unwrap();
        assert!((detected.as_secs_f64() / 3600.0 - 3.6).abs() < 1e-9);
        assert!((alerts[0].reset_time(0.999, 1.0).as_secs_f64() - 295.68).abs() < 1e-6);
    }
}
