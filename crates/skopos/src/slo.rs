//! Objectives declared where the work is done, and their specification as YAML.
//!
//! An objective here computes nothing: it names what this service counts already, so that the specification cannot name a
//! metric, an endpoint or a bucket that does not exist. [`Telemetry::objectives_yaml`](crate::Telemetry::objectives_yaml) writes
//! all of them in the form that `skopos slo` reads; what else that form can say (alerts, policies, calendars) is added there.
//!
//! ```
//! use std::time::Duration;
//! use skopos::slo::Objective;
//!
//! # let telemetry = skopos::Telemetry::builder(skopos::Service::new("checkout")).without_lines().build()?.0;
//! telemetry.objective(
//!     Objective::availability("orders-availability", "/orders")
//!         .target_percent(99.9)
//!         .owner("team-orders")
//!         .runbook("runbooks/orders.md"),
//! )?;
//! telemetry.objective(
//!     Objective::latency("orders-latency", "/orders", Duration::from_millis(200))
//!         .target_percent(99.0)
//!         .owner("team-orders")
//!         .runbook("runbooks/orders.md"),
//! )?;
//! // What no request shows: counted by hand, good or bad.
//! let freshness = telemetry.sli("prices-fresh");
//! freshness.record(true);
//! telemetry.objective(
//!     Objective::of(&freshness).target_percent(95.0).owner("team-prices").runbook("runbooks/prices.md"),
//! )?;
//! assert_eq!(telemetry.objectives_yaml().matches("slo: ").count(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::metrics::{Bounded, Counter, Family, Registry, buckets};

crate::label_values! {
    pub(crate) enum Verdict { Good => "good", Bad => "bad" }
}

crate::labels! {
    pub(crate) struct EventLabels { sli: Bounded<50>, verdict: Verdict }
}

/// The metric of events that are counted by hand.
const EVENTS: &str = "sli_events_total";

/// Why an objective was not taken.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// use skopos::slo::{Objective, ObjectiveError};
///
/// let problem = telemetry.objective(Objective::availability("no name", "/orders")).unwrap_err();
/// assert!(matches!(problem, ObjectiveError::Name { .. }), "{problem}");
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectiveError {
    /// The name is no name: letters, digits, `-`, `_` and `.` are.
    #[error("`{name}` is no name of an objective: use letters, digits, `-`, `_` and `.`")]
    Name {
        /// As it was given.
        name: String,
    },
    /// A part that every specification needs is empty.
    #[error("objective `{name}` has no {part}: call `.{part}(…)`")]
    Missing {
        /// The objective.
        name: String,
        /// `owner` or `runbook`.
        part: &'static str,
    },
    /// The target is not above 0 and below 100.
    #[error(
        "objective `{name}` wants {target} %: a target is above 0 and below 100, because nothing is always good"
    )]
    Target {
        /// The objective.
        name: String,
        /// As it was given, in percent.
        target: f64,
    },
    /// The window is not one that is kept.
    #[error("objective `{name}` looks at {days} days: choose 1 to 366")]
    Window {
        /// The objective.
        name: String,
        /// As it was given.
        days: u16,
    },
    /// The request histogram has no bucket that ends at the threshold, so nobody could count what is below it.
    #[error(
        "objective `{name}` asks for {seconds} s, where the request histogram has no bucket: choose one of {bounds:?}"
    )]
    Threshold {
        /// The objective.
        name: String,
        /// As it was given.
        seconds: f64,
        /// What there is.
        bounds: &'static [f64],
    },
    /// Another objective has the name.
    #[error("there are two objectives `{name}` that differ")]
    Taken {
        /// The objective.
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Indicator {
    Availability { endpoint: String },
    Latency { endpoint: String, seconds: f64 },
    Events,
}

/// What a service promises of one thing that it counts.
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// use skopos::slo::Objective;
///
/// let objective = Objective::availability("orders-availability", "/orders")
///     .target_percent(99.5)
///     .owner("team-orders")
///     .runbook("runbooks/orders.md");
/// telemetry.objective(objective)?;
/// # Ok::<(), skopos::slo::ObjectiveError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "hand it to Telemetry::objective"]
pub struct Objective {
    name: String,
    indicator: Indicator,
    target: f64,
    days: u16,
    owner: String,
    runbook: String,
    description: String,
}

impl Objective {
    fn new(name: impl Into<String>, indicator: Indicator) -> Objective {
        Objective {
            name: name.into(),
            indicator,
            target: 99.9,
            days: 30,
            owner: String::new(),
            runbook: String::new(),
            description: String::new(),
        }
    }

    /// Requests to an endpoint (its route template) that did not fail; of the whole service when it is empty. Failures are
    /// 5xx, panics, and what was marked by [`mark_failed`](crate::mark_failed).
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders");
    /// # let _ = objective;
    /// ```
    pub fn availability(name: impl Into<String>, endpoint: impl Into<String>) -> Objective {
        Objective::new(name, Indicator::Availability { endpoint: endpoint.into() })
    }

    /// Requests to an endpoint that took at most so long, which must be one of [`buckets::HTTP`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// let objective =
    ///     skopos::slo::Objective::latency("orders-latency", "/orders", Duration::from_millis(200));
    /// # let _ = objective;
    /// ```
    pub fn latency(
        name: impl Into<String>,
        endpoint: impl Into<String>,
        at_most: Duration,
    ) -> Objective {
        let seconds = at_most.as_secs_f64();
        Objective::new(name, Indicator::Latency { endpoint: endpoint.into(), seconds })
    }

    /// Events of an indicator of one's own; the objective has its name.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let objective = skopos::slo::Objective::of(&telemetry.sli("prices-fresh"));
    /// # let _ = objective;
    /// ```
    pub fn of(sli: &Sli) -> Objective {
        Objective::new(sli.name.clone(), Indicator::Events)
    }

    /// Sets the share of good events wanted, in percent (99.9 unless said otherwise).
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders")
    ///     .target_percent(99.5);
    /// # let _ = objective;
    /// ```
    pub fn target_percent(mut self, target: f64) -> Objective {
        self.target = target;
        self
    }

    /// Sets the rolling window (30 days unless said otherwise).
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders")
    ///     .window_days(28);
    /// # let _ = objective;
    /// ```
    pub fn window_days(mut self, days: u16) -> Objective {
        self.days = days;
        self
    }

    /// Sets who answers for it.
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders")
    ///     .owner("team-orders");
    /// # let _ = objective;
    /// ```
    pub fn owner(mut self, owner: impl Into<String>) -> Objective {
        self.owner = owner.into();
        self
    }

    /// Sets what to read when its budget burns.
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders")
    ///     .runbook("runbooks/orders.md");
    /// # let _ = objective;
    /// ```
    pub fn runbook(mut self, runbook: impl Into<String>) -> Objective {
        self.runbook = runbook.into();
        self
    }

    /// Sets what it means to people.
    ///
    /// ```
    /// let objective = skopos::slo::Objective::availability("orders-availability", "/orders")
    ///     .description("Customers can order.");
    /// # let _ = objective;
    /// ```
    pub fn description(mut self, description: impl Into<String>) -> Objective {
        self.description = description.into();
        self
    }

    fn check(&self) -> Result<(), ObjectiveError> {
        let name = self.name.clone();
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_name {
            return Err(ObjectiveError::Name { name });
        }
        for (part, text) in [("owner", &self.owner), ("runbook", &self.runbook)] {
            if text.trim().is_empty() {
                return Err(ObjectiveError::Missing { name, part });
            }
        }
        if !(self.target > 0.0 && self.target < 100.0) {
            return Err(ObjectiveError::Target { name, target: self.target });
        }
        if !(1..=366).contains(&self.days) {
            return Err(ObjectiveError::Window { name, days: self.days });
        }
        if let Indicator::Latency { seconds, .. } = self.indicator
            && !buckets::HTTP.contains(&seconds)
        {
            return Err(ObjectiveError::Threshold { name, seconds, bounds: buckets::HTTP });
        }
        Ok(())
    }

    fn write(&self, yaml: &mut String, service: &str) {
        let job = matcher("job", service);
        let of_endpoint = |endpoint: &str| match endpoint {
            "" => job.clone(),
            endpoint => format!("{job},{}", matcher("endpoint", endpoint)),
        };
        let sli = match &self.indicator {
            Indicator::Availability { endpoint } => {
                let labels = of_endpoint(endpoint);
                [
                    ("bad", format!("http_request_errors_total{{{labels}}}")),
                    ("total", format!("http_requests_total{{{labels}}}")),
                ]
            }
            Indicator::Latency { endpoint, seconds } => {
                let labels = of_endpoint(endpoint);
                [
                    ("histogram", format!("http_request_duration_seconds{{{labels}}}")),
                    ("le", format!("{seconds}")),
                ]
            }
            Indicator::Events => {
                let labels = format!("{job},{}", matcher("sli", &self.name));
                [
                    ("bad", format!("{EVENTS}{{{labels},verdict=\"bad\"}}")),
                    ("total", format!("{EVENTS}{{{labels}}}")),
                ]
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(yaml, "slo: {}", quoted(&self.name));
        let _ = writeln!(yaml, "service: {}", quoted(service));
        let _ = writeln!(yaml, "owner: {}", quoted(&self.owner));
        if !self.description.is_empty() {
            let _ = writeln!(yaml, "description: {}", quoted(&self.description));
        }
        yaml.push_str("sli:\n");
        for (key, value) in sli {
            let value = if key == "le" { value } else { quoted(&value) };
            let _ = writeln!(yaml, "  {key}: {value}");
        }
        let _ = writeln!(yaml, "target: {}%", self.target);
        let _ = writeln!(yaml, "window: {}d", self.days);
        let _ = writeln!(yaml, "runbook: {}", quoted(&self.runbook));
    }
}

/// A label matcher of PromQL.
fn matcher(label: &str, value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{label}=\"{escaped}\"")
}

/// A text of YAML between double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// An indicator of one's own: events that are good or bad. Made by [`Telemetry::sli`](crate::Telemetry::sli).
///
/// ```
/// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
/// let fresh = telemetry.sli("prices-fresh");
/// fresh.record(true);
/// ```
#[derive(Debug, Clone)]
pub struct Sli {
    name: String,
    good: Counter,
    bad: Counter,
}

impl Sli {
    /// Counts an event.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let (fresh, age) = (telemetry.sli("prices-fresh"), 12);
    /// fresh.record(age < 60);
    /// ```
    pub fn record(&self, is_good: bool) {
        if is_good { self.good.inc() } else { self.bad.inc() }
    }
}

/// The objectives of a service.
#[derive(Debug, Default)]
pub(crate) struct Objectives {
    by_name: Mutex<BTreeMap<String, Objective>>,
}

impl Objectives {
    pub(crate) fn sli(registry: &Registry, name: &str) -> Sli {
        let help = "Events of indicators, good or bad.";
        let events: Family<EventLabels, Counter> = registry.counter_family(EVENTS, help);
        // Both from the start: what has never been bad is 0, not absent.
        let of = |verdict| events.get(&EventLabels { sli: name.into(), verdict });
        Sli { name: name.to_owned(), good: of(Verdict::Good), bad: of(Verdict::Bad) }
    }

    pub(crate) fn declare(&self, objective: Objective) -> Result<(), ObjectiveError> {
        objective.check()?;
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        match by_name.get(&objective.name) {
            // A router that is built twice declares twice.
            Some(known) if *known == objective => Ok(()),
            Some(_) => Err(ObjectiveError::Taken { name: objective.name }),
            None => {
                by_name.insert(objective.name.clone(), objective);
                Ok(())
            }
        }
    }

    pub(crate) fn yaml(&self, service: &str) -> String {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut yaml = String::new();
        for objective in by_name.values() {
            if !yaml.is_empty() {
                yaml.push_str("---\n");
            }
            objective.write(&mut yaml, service);
        }
        yaml
    }
}

#[cfg(test)]
mod tests {
    use super::{Objective, ObjectiveError, Objectives};
    use crate::metrics::{Format, Registry};
    use std::time::Duration;

    fn good(objective: Objective) -> Objective {
        objective.owner("team-orders").runbook("runbooks/orders.md")
    }

    #[test]
    fn the_specification_in_full() {
        let objectives = Objectives::default();
        let latency = Objective::latency("b-latency", "/orders/{id}", Duration::from_millis(200));
        let availability = Objective::availability("a-availability", "");
        let registry = Registry::new();
        let sli = Objectives::sli(&registry, "c-fresh");
        sli.record(true);
        sli.record(false);
        for objective in [
            good(latency.target_percent(99.0).description("Orders are \"quick\".")),
            good(availability.window_days(28)),
            good(Objective::of(&sli).target_percent(95.5)),
        ] {
            objectives.declare(objective).unwrap();
        }
        let expected = r#"slo: "a-availability"
service: "order \"x\" service"
owner: "team-orders"
sli:
  bad: "http_request_errors_total{job=\"order \\\"x\\\" service\"}"
  total: "http_requests_total{job=\"order \\\"x\\\" service\"}"
target: 99.9%
window: 28d
runbook: "runbooks/orders.md"
---
slo: "b-latency"
service: "order \"x\" service"
owner: "team-orders"
description: "Orders are \"quick\"."
sli:
  histogram: "http_request_duration_seconds{job=\"order \\\"x\\\" service\",endpoint=\"/orders/{id}\"}"
  le: 0.2
target: 99%
window: 30d
runbook: "runbooks/orders.md"
---
slo: "c-fresh"
service: "order \"x\" service"
owner: "team-orders"
sli:
  bad: "sli_events_total{job=\"order \\\"x\\\" service\",sli=\"c-fresh\",verdict=\"bad\"}"
  total: "sli_events_total{job=\"order \\\"x\\\" service\",sli=\"c-fresh\"}"
target: 95.5%
window: 30d
runbook: "runbooks/orders.md"
"#;
        assert_eq!(objectives.yaml("order \"x\" service"), expected);
        let text = registry.encode(Format::Prometheus);
        assert!(text.contains(r#"sli_events_total{sli="c-fresh",verdict="bad"} 1"#), "{text}");
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        let objectives = Objectives::default();
        let base = || good(Objective::availability("a", "/"));
        let refuse = |objective: Objective| objectives.declare(objective).unwrap_err();
        assert!(matches!(refuse(base().target_percent(100.0)), ObjectiveError::Target { .. }));
        assert!(matches!(refuse(base().target_percent(f64::NAN)), ObjectiveError::Target { .. }));
        assert!(matches!(refuse(base().window_days(0)), ObjectiveError::Window { .. }));
        let empty = refuse(base().runbook(" "));
        assert_eq!(empty.to_string(), "objective `a` has no runbook: call `.runbook(…)`");
        assert!(matches!(
            refuse(good(Objective::availability("a b", ""))),
            ObjectiveError::Name { .. }
        ));
        let odd = good(Objective::latency("b", "/", Duration::from_millis(300)));
        assert!(matches!(refuse(odd), ObjectiveError::Threshold { .. }));
        objectives.declare(base()).unwrap();
        objectives.declare(base()).unwrap();
        assert!(matches!(refuse(base().target_percent(99.0)), ObjectiveError::Taken { .. }));
    }
}
