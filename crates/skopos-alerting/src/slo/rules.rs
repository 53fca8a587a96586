//! Objectives as Prometheus rules.
//!
//! [`prometheus_rules`] writes everything that Prometheus needs: recording rules for the error ratio of every
//! window and the budget, and the alerts. [`alert_rules`] are the alerts alone, for the alerting engine of
//! Skopos, where [`SloEngine`](super::SloEngine) records the same series from its ledgers: exactly, for
//! calendar windows too, and held while no data arrives.
//!
//! Names and labels of the recorded series are sloth's. What plain Prometheus cannot do is said in
//! comments of the file: a window of the calendar becomes a rolling one of its usual length.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use skopos_model::Labels;

use super::engine::windows;
use super::export::quoted;
use super::window::window_text;
use super::{Budgeting, BurnAlert, EmptySlice, Slo, SloSet, tidy};
use crate::rules::{self, RuleError, RuleSet};

/// The file that the alert rules of objectives say that they are in.
pub const ALERT_FILE: &str = "slo";

/// The name of the alert that there is no data.
pub const ABSENT_ALERT: &str = "SLODataAbsent";

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// The labels of an objective's recorded series.
pub(super) fn series_labels(slo: &Slo, group: &Labels) -> Labels {
    let mut builder = group.to_builder();
    builder.set("sloth_id", &slo.name);
    builder.set("sloth_service", &slo.service);
    builder.set("sloth_slo", &slo.name);
    builder.build()
}

/// What an objective counts, as PromQL over a window: the share of bad events, and the bad and all
/// events where there are events. For links and reports; budgets come from the ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloQueries {
    /// The share of bad events.
    pub error_ratio: String,
    /// The bad events.
    pub bad: Option<String>,
    /// All events.
    pub total: Option<String>,
}

/// The queries of an objective over a window.
pub fn queries(slo: &Slo, window: Duration) -> SloQueries {
    let window = window_text(window);
    let (bad, total) = slo.indicator.events(&window, &slo.group_by).unzip();
    SloQueries { error_ratio: slo.indicator.error_ratio(&window, &slo.group_by), bad, total }
}

/// The alerts of all objectives as rules of the alerting engine.
pub fn alert_rules(set: &SloSet) -> Result<RuleSet, Vec<RuleError>> {
    let mut text = String::from("groups:\n");
    for slo in &set.slos {
        alert_group(&mut text, slo);
    }
    if text == "groups:\n" {
        return Ok(RuleSet::default());
    }
    let mut alerts = rules::load(&[(ALERT_FILE, &text)])?;
    for (group, slo) in alerts.groups.iter_mut().zip(set.slos.iter().filter(|slo| has_alerts(slo)))
    {
        // People look for an alert where its objective stands. Identities were given before.
        Arc::make_mut(group).file.clone_from(&slo.file);
    }
    Ok(alerts)
}

fn has_alerts(slo: &Slo) -> bool {
    !slo.alerts.burn.is_empty() || slo.alerts.absent.is_some()
}

/// A rule file for Prometheus.
pub fn prometheus_rules(slos: &[impl AsRef<Slo>]) -> String {
    let mut text = String::from(
        "# Written by `skopos slo generate`. Change the objectives and write it anew.\ngroups:\n",
    );
    for slo in slos {
        let slo = slo.as_ref();
        recording_groups(&mut text, slo);
        alert_group(&mut text, slo);
    }
    text
}

struct Group<'a> {
    text: &'a mut String,
    slo: &'a Slo,
}

impl Group<'_> {
    fn begin(&mut self, name: &str) {
        let name = format!("{name}-{}", self.slo.name);
        let _ = write!(self.text, "- name: {}\n  rules:\n", quoted(&name));
    }

    fn expr(&mut self, expr: &str) {
        self.text.push_str("    expr: |\n");
        for line in expr.lines() {
            let _ = writeln!(self.text, "      {line}");
        }
    }

    fn record(&mut self, name: &str, expr: &str, window: Option<Duration>) {
        let _ = writeln!(self.text, "  - record: {name}");
        self.expr(expr);
        self.text.push_str("    labels:\n");
        let labels = series_labels(self.slo, &Labels::empty());
        for (name, value) in labels.iter() {
            let _ = writeln!(self.text, "      {name}: {}", quoted(value));
        }
        if let Some(window) = window {
            let _ = writeln!(self.text, "      sloth_window: {}", quoted(&window_text(window)));
        }
    }
}

/// The selector of an objective's recorded series.
fn recorded(metric: &str, slo: &Slo) -> String {
    format!("{metric}{{sloth_id=\"{}\"}}", slo.name)
}

fn recording_groups(text: &mut String, slo: &Slo) {
    let by = &slo.group_by;
    let budget = slo.budget();
    let period = slo.window.nominal();
    let mut group = Group { text, slo };
    let _ = writeln!(
        group.text,
        "# {}: {} % of {}{}",
        slo.name,
        slo.target_percent(),
        slo.window,
        match slo.window.is_calendar() {
            true =>
                format!(", here the last {}: Prometheus knows no calendar", window_text(period)),
            false => String::new(),
        }
    );
    group.begin("slo-sli");
    let slices = slice_series(&mut group);
    let over = |window: Duration, how: &str| match &slices {
        Some((metric, slice)) => {
            let width = window_text(*slice);
            format!("{how}({}[{}:{width}])", recorded(metric, slo), window_text(window))
        }
        None => String::new(),
    };
    for window in windows(slo) {
        let name = format!("slo:sli_error:ratio_rate{}", window_text(window));
        let expr = match &slices {
            Some(_) => over(window, "avg_over_time"),
            None => slo.indicator.error_ratio(&window_text(window), by),
        };
        group.record(&name, &expr, Some(window));
    }
    let mut counted: BTreeSet<Duration> = slo.alerts.burn.iter().map(|alert| alert.long).collect();
    if slices.is_none() {
        counted.insert(FIVE_MINUTES);
    }
    for window in counted {
        let name = format!("slo:sli_bad:increase{}", window_text(window));
        let events = slo.indicator.events(&window_text(window), by);
        let expr = match (&slices, events) {
            (None, Some((bad, _))) => bad,
            _ => over(window, "sum_over_time"),
        };
        group.record(&name, &expr, Some(window));
    }
    if let (None, Some((_, total))) = (&slices, slo.indicator.events("5m", by)) {
        group.record("slo:sli_total:increase5m", &total, Some(FIVE_MINUTES));
    }
    let by_clause = super::indicator::by_clause(by);
    let present = format!("group{by_clause}({})", slo.indicator.presence());
    group.record("slo:sli_data:present", &present, None);

    group.begin("slo-budget");
    let length = window_text(period);
    let over_period = match &slices {
        Some(_) => over(period, "avg_over_time"),
        None => {
            let sum =
                |metric: &str| format!("sum_over_time({}[{length}:5m])", recorded(metric, slo));
            format!("{}\n/\n{}", sum("slo:sli_bad:increase5m"), sum("slo:sli_total:increase5m"))
        }
    };
    let period_ratio = format!("slo:sli_error:ratio_rate{length}");
    if !windows(slo).contains(&period) {
        group.record(&period_ratio, &over_period, Some(period));
    }
    group.record("slo:objective:ratio", &format!("vector({})", slo.target), None);
    group.record("slo:error_budget:ratio", &format!("vector({budget})"), None);
    let days = tidy(period.as_secs_f64() / 86_400.0);
    group.record("slo:time_period:days", &format!("vector({days})"), None);
    let without_window =
        |metric: &str| format!("max without (sloth_window) ({}) / {budget}", recorded(metric, slo));
    let current = without_window("slo:sli_error:ratio_rate5m");
    group.record("slo:current_burn_rate:ratio", &current, None);
    group.record("slo:period_burn_rate:ratio", &without_window(&period_ratio), None);
    let remaining = format!("1 - {}", recorded("slo:period_burn_rate:ratio", slo));
    group.record("slo:period_error_budget_remaining:ratio", &remaining, None);
    let hours = tidy(period.as_secs_f64() / 3600.0);
    let left = recorded("slo:period_error_budget_remaining:ratio", slo);
    let burn = without_window("slo:sli_error:ratio_rate1h");
    let hours_left = format!("clamp_min({left}, 0) * {hours}\n/\n({burn} > 1)");
    group.record("slo:error_budget_exhaustion:hours", &hours_left, None);
}

/// Records what each slice was, where slices count; says the series and the width.
fn slice_series(group: &mut Group<'_>) -> Option<(&'static str, Duration)> {
    let slo = group.slo;
    match slo.budgeting {
        Budgeting::Occurrences => None,
        Budgeting::Timeslices { slice, good, empty } => {
            let ratio = slo.indicator.error_ratio(&window_text(slice), &slo.group_by);
            let limit = tidy(1.0 - good);
            // Of nothing the ratio is no number, and no comparison with that holds.
            let expr = match empty {
                EmptySlice::Excluded => format!("(({ratio}) >= 0) > bool {limit}"),
                EmptySlice::Good => format!("({ratio}) > bool {limit}"),
                EmptySlice::Bad => format!("1 - (({ratio}) <= bool {limit})"),
            };
            group.record("slo:sli_slice:bad", &expr, None);
            Some(("slo:sli_slice:bad", slice))
        }
        Budgeting::RatioTimeslices { slice } => {
            let ratio = slo.indicator.error_ratio(&window_text(slice), &slo.group_by);
            group.record("slo:sli_slice:error_ratio", &format!("({ratio}) >= 0"), None);
            Some(("slo:sli_slice:error_ratio", slice))
        }
    }
}

fn alert_group(text: &mut String, slo: &Slo) {
    if !has_alerts(slo) {
        return;
    }
    let mut group = Group { text, slo };
    group.begin("slo-alerts");
    for alert in &slo.alerts.burn {
        burn_alert(&mut group, alert);
    }
    if let Some(absent) = &slo.alerts.absent {
        let _ = writeln!(group.text, "  - alert: {ABSENT_ALERT}");
        group.expr(&format!("absent({})", recorded("slo:sli_data:present", slo)));
        let _ = writeln!(group.text, "    for: {}", window_text(absent.after));
        alert_labels(&mut group, &absent.severity);
        let name = template_text(&slo.name);
        let after = window_text(absent.after);
        annotations(
            &mut group,
            &[
                ("summary", format!("{name} has had no data for {after}")),
                (
                    "description",
                    format!(
                        "Nothing that the objective {name} counts has arrived for {after}, so nobody knows whether \
                         it is met. No data is not good news: its burn-rate alerts stay as they were."
                    ),
                ),
            ],
        );
    }
}

fn burn_alert(group: &mut Group<'_>, alert: &BurnAlert) {
    let slo = group.slo;
    let budget = slo.budget();
    let _ = writeln!(group.text, "  - alert: {}", alert.name);
    let burns = |window: Duration| {
        let metric = format!("slo:sli_error:ratio_rate{}", window_text(window));
        format!("{} / {budget} > {}", recorded(&metric, slo), alert.factor)
    };
    let mut expr = burns(alert.long);
    let mut also = |condition: String| {
        let _ = write!(expr, "\n  and ignoring (sloth_window)\n{condition}");
    };
    if let Some(short) = alert.short {
        also(burns(short));
    }
    if slo.alerts.min_bad_events > 0 {
        let metric = format!("slo:sli_bad:increase{}", window_text(alert.long));
        also(format!("{} >= {}", recorded(&metric, slo), slo.alerts.min_bad_events));
    }
    group.expr(&expr);
    if !alert.hold.is_zero() {
        let _ = writeln!(group.text, "    for: {}", window_text(alert.hold));
    }
    alert_labels(group, &alert.severity);

    let name = template_text(&slo.name);
    let of_group: String =
        slo.group_by.iter().map(|label| format!(" {{{{ $labels.{label} }}}}")).collect();
    let (long, percent) = (window_text(alert.long), slo.target_percent());
    let hours =
        tidy(slo.window.nominal().as_secs_f64() / 3600.0 / alert.factor * 10.0).round() / 10.0;
    let summary = format!(
        "{name}{of_group} burns its error budget {{{{ $value | humanize }}}} times too fast"
    );
    let description = format!(
        "Over the last {long} the objective {name}{of_group} ({percent} % over {}) spent its error budget \
         {{{{ $value | humanize }}}} times as fast as it can bear; above {} a whole budget is gone within {hours} h.",
        slo.window, alert.factor
    );
    let left =
        lookup(slo, "slo:period_error_budget_remaining:ratio", "humanizePercentage", "unknown");
    let lasts = "none, it lasts at this rate";
    let exhausted = lookup(slo, "slo:error_budget_exhaustion:hours", "printf \"%.1f\"", lasts);
    annotations(
        group,
        &[
            ("summary", summary),
            ("description", description),
            ("budget_left", left),
            ("hours_to_exhaustion", exhausted),
        ],
    );
}

/// A template that looks a recorded series of the alert's group up, and says something else where it has no value.
fn lookup(slo: &Slo, metric: &str, format: &str, otherwise: &str) -> String {
    let mut selector = format!("{metric}{{sloth_id=\"{}\"", slo.name);
    let mut arguments = String::new();
    for label in &slo.group_by {
        let _ = write!(selector, ",{label}=%q");
        let _ = write!(arguments, " $labels.{label}");
    }
    selector.push('}');
    let query = match arguments.is_empty() {
        true => format!("query `{selector}`"),
        false => format!("printf `{selector}`{arguments} | query"),
    };
    format!(
        "{{{{ with {query} }}}}{{{{ . | first | value | {format} }}}}{{{{ else }}}}{otherwise}{{{{ end }}}}"
    )
}

fn alert_labels(group: &mut Group<'_>, severity: &str) {
    let slo = group.slo;
    let mut labels = slo.labels.clone();
    for (name, value) in [
        ("severity", severity),
        ("slo", &slo.name),
        ("service", &slo.service),
        ("owner", &slo.owner),
    ] {
        labels.insert(name.into(), value.into());
    }
    group.text.push_str("    labels:\n");
    for (name, value) in labels {
        let _ = writeln!(group.text, "      {}: {}", quoted(&name), quoted(&template_text(&value)));
    }
}

fn annotations(group: &mut Group<'_>, texts: &[(&str, String)]) {
    group.text.push_str("    annotations:\n");
    for (name, text) in texts {
        let _ = writeln!(group.text, "      {name}: {}", quoted(text));
    }
    let runbook = template_text(&group.slo.runbook);
    let _ = writeln!(group.text, "      runbook: {}", quoted(&runbook));
}

/// A text that means itself in a template.
fn template_text(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}
