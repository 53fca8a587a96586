//! Service level objectives: specifications, exact error budgets, burn-rate alerts, decisions.
//!
//! [`load`] reads specifications, native or OpenSLO v1, and says precisely what is wrong with them.
//! [`SloEngine`] keeps the good and bad events of each objective per slice of time and answers what
//! is left of the budget. [`rules`] writes the alerts as plain Prometheus rules: the
//! same rules run in Skopos, where they read series that the engine records exactly, and in
//! Prometheus, where recording rules make those series.
//!
//! This module has no storage, HTTP, timers or clock. What callers do:
//!
//! 1. At start: [`load`] the files; [`SavedSlos::load`] the state; [`SloEngine::restore`]; commit what
//!    that returns. Put [`rules::alert_rules`] of the set among the rule groups of the alerting
//!    [`Engine`](crate::Engine): holding, firing, silencing and notifying are its work.
//! 2. Once: [`SloEngine::begin_backfill`]; run the queries of each [`SloEngine::next_backfill`] over stored history and hand the answers to
//!    [`SloEngine::take_backfill`], chunk by chunk, as below; commit each.
//! 3. At each [slot](SloEngine::next_slot): run the queries of [`SloEngine::plan`], all at once
//!    if that is convenient, then those that [`SloEngine::look_back`] adds, and hand all answers to [`SloEngine::step`];
//!    commit what it returns. The
//!    commit's samples are the series that the alert rules read, so it must be readable before
//!    the rules of that slot are evaluated; a rule that is evaluated earlier reads the slot before.
//! 4. On demand: [`SloEngine::statuses`], [`SloEngine::forecast`], [`SloEngine::gate`],
//!    [`review::review`], and [`SloEngine::annotate`], [`SloEngine::correct`],
//!    [`SloEngine::override_gate`], each of which returns what to commit.
//!
//! Commits must become durable in the order in which they were returned. An engine whose commit
//! could not be made durable is rebuilt from the log; slices since then are read again from the
//! stored samples, so nothing is lost but the work.
//!
//! ```
//! use skopos_alerting::slo;
//!
//! let text = r#"
//! slo: checkout-availability
//! service: checkout
//! owner: team-payments
//! sli:
//!   bad: http_requests_total{service="checkout",status_code=~"5.."}
//!   total: http_requests_total{service="checkout"}
//! target: 99.9%
//! window: 30d
//! runbook: runbooks/checkout-availability.md
//! "#;
//! let set = slo::load(&[("slo.yml", text)]).unwrap();
//! let slo = &set.slos[0];
//! assert_eq!(slo.budget_minutes(), 43.2);
//! assert_eq!(slo.alerts.burn[0].factor, 14.4);
//! ```

mod budget;
mod burn;
mod count;
mod doubts;
mod engine;
mod export;
mod forecast;
mod gate;
mod indicator;
mod init;
mod ledger;
mod load;
mod names;
mod native;
mod notes;
mod openslo;
pub mod review;
pub mod rules;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::Timestamp;

pub use budget::Budget;
pub use burn::{AbsentAlert, Alerts, BurnAlert, GUIDE_STYLE, WORKBOOK_WINDOWS};
pub use count::MAX_GROUPS;
pub use doubts::doubts;
pub use engine::{
    AlertStatus, BACKFILL_SOURCE, BurnStatus, ChartPoint, CorrectionEffect, DeployCost, Health,
    NOTES_SOURCE, Plan, RestoredSlos, SLO_SOURCE, SavedSlos, SloEngine, SloQuery, SloSettings,
    SloStatus, SloStep, fuzz_slo_records, good_percent, left_percent,
};
pub use export::{to_native, to_openslo};
pub use forecast::{Forecast, Outcome};
pub use gate::{GateDecision, GateReason, Verdict};
pub use indicator::{Count, Indicator, Role, WINDOW_VARIABLE};
pub use init::{
    DURATION_HISTOGRAMS, Observed, REQUEST_COUNTERS, SERVER_SPANS, SPAN_CALLS, SPAN_LATENCY,
    init_text,
};
#[doc(hidden)]
pub use ledger::restore_ledger;
pub use ledger::{Ledger, RETENTION_DAYS, Slice, Sum};
pub use load::{fuzz_slo_file, load, load_with};
pub use notes::{Annotation, AnnotationKind, Correction, GateOverride, NoteError};
pub use window::{CalendarUnit, Period, Window};

use crate::rules::identity;

identity!(
    /// Names an objective across restarts: a hash of its name. Printed as 16 hexadecimal digits.
    SloId
);

/// All objectives of all files, in the order given.
#[derive(Clone, Debug, Default)]
pub struct SloSet {
    /// The objectives; their names differ.
    pub slos: Vec<Arc<Slo>>,
}

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Its identity.
    pub id: SloId,
    /// Its name, unique in the set.
    pub name: String,
    /// The service that it is about.
    pub service: String,
    /// Who answers for it.
    pub owner: String,
    /// What it means, for people.
    pub description: String,
    /// What is counted.
    pub indicator: Indicator,
    /// The share of good events wanted, above 0 and below 1.
    pub target: f64,
    /// Over which time.
    pub window: Window,
    /// How events become budget.
    pub budgeting: Budgeting,
    /// Labels by which it splits; each combination has a budget of its own.
    pub group_by: Vec<String>,
    /// The alerts made for it.
    pub alerts: Alerts,
    /// When to be careful.
    pub policy: Policy,
    /// What to do when it burns: a path or an address.
    pub runbook: String,
    /// Further labels for its alerts.
    pub labels: BTreeMap<String, String>,
    /// The file that it stands in, as given to [`load`].
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// How events become budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budgeting {
    /// Every event counts the same: bad events over all events. Fair to requests.
    Occurrences,
    /// Every slice of time counts the same, and is good or bad. Fair to time.
    Timeslices {
        /// Width of a slice.
        slice: Duration,
        /// The share of good events from which a slice is good.
        good: f64,
        /// What a slice without events is.
        empty: EmptySlice,
    },
    /// Every slice counts the same, with its share of bad events.
    RatioTimeslices {
        /// Width of a slice.
        slice: Duration,
    },
}

/// What a slice is in which nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptySlice {
    /// It does not count.
    #[default]
    Excluded,
    /// It is good.
    Good,
    /// It is bad.
    Bad,
}

/// The widths that slices may have: parts of a quarter of an hour.
pub const SLICE_WIDTHS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(180),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// What the state of the budget means for changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Below this share of the budget: caution.
    pub caution_below: f64,
    /// At or below this share: freeze.
    pub freeze_below: f64,
    /// Who may override a freeze; anybody when empty.
    pub override_by: Vec<String>,
    /// How often the target is looked at.
    pub review: Review,
    /// How much data there must be to say that it may be changed; half the window is always enough.
    pub go_after: Duration,
}

/// How much data there must be, usually, before a gate says go: half of the long window of the fastest alert that pages.
/// With less, neither it nor the ratio tells a fault from a hiccup. The shortest window is an hour.
pub const GO_AFTER: Duration = Duration::from_secs(30 * 60);

/// How often a target is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Review {
    /// Every month.
    Monthly,
    /// Every quarter of a year, as the guide has it.
    #[default]
    Quarterly,
    /// Every year.
    Yearly,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            caution_below: 0.25,
            freeze_below: 0.0,
            override_by: Vec::new(),
            review: Review::default(),
            go_after: GO_AFTER,
        }
    }
}

impl Slo {
    /// The share of bad events that the target allows: 0.001 for 99.9 %, without the digits that
    /// binary fractions add.
    pub fn budget(&self) -> f64 {
        tidy(1.0 - self.target)
    }

    /// The budget as minutes of total outage under even traffic: 43.2 for 99.9 % of 30 days. Of a unit of the calendar
    /// the usual one.
    pub fn budget_minutes(&self) -> f64 {
        tidy(self.budget() * self.window.nominal().as_secs_f64() / 60.0)
    }

    /// The same for the window at a moment: months are as long as they are, with summer time.
    pub fn budget_minutes_at(&self, now: Timestamp) -> f64 {
        self.budget_minutes_of(self.window.at(now.as_millis()))
    }

    pub(crate) fn budget_minutes_of(&self, period: Period) -> f64 {
        tidy(self.budget() * period.duration_ms() as f64 / 60_000.0)
    }

    /// Width of the slices that its events are counted in.
    pub fn slice(&self) -> Duration {
        match self.budgeting {
            Budgeting::Occurrences => SLICE_WIDTHS[0],
            Budgeting::Timeslices { slice, .. } | Budgeting::RatioTimeslices { slice } => slice,
        }
    }

    /// The target in percent, as people write it: `99.9`.
    pub fn target_percent(&self) -> String {
        tidy(self.target * 100.0).to_string()
    }
}

/// Rounds to as many digits as a person would write.
pub(crate) fn tidy(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
