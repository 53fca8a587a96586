//! Writing objectives: in the native form, and as OpenSLO v1.
//!
//! Texts are written as JSON strings, which YAML reads alike. Both forms read back as the same objective: what
//! OpenSLO has no words for (histograms and thresholds, what a slice without events is) stands in annotations, beside what
//! comes nearest to it for other readers.

use std::fmt::Write as _;
use std::time::Duration;

use super::window::window_text;
use super::{
    Alerts, Budgeting, Count, EmptySlice, GO_AFTER, Indicator, Policy, Review, Role, Slo,
    WORKBOOK_WINDOWS, Window, openslo, tidy,
};

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// A text as it stands where YAML cannot take it for anything else.
fn plain_or_quoted(text: &str) -> String {
    let is_plain =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.'));
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "none" | "y" | "n"
    );
    if is_plain && first && !is_word { text.into() } else { quoted(text) }
}

fn percent(share: f64) -> String {
    format!("{}%", tidy(share * 100.0))
}

/// Writes an objective in the native form.
pub fn to_native(slo: &Slo) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key}: {value}");
    };
    line("slo", plain_or_quoted(&slo.name));
    line("service", plain_or_quoted(&slo.service));
    line("owner", plain_or_quoted(&slo.owner));
    if !slo.description.is_empty() {
        line("description", quoted(&slo.description));
    }
    line("sli", native_indicator(&slo.indicator));
    line("target", percent(slo.target));
    match &slo.window {
        Window::Rolling(length) => line("window", window_text(*length)),
        Window::Calendar { unit, .. } => {
            line("calendar", unit.as_str().into());
            line("tz", plain_or_quoted(slo.window.zone_name().unwrap_or("UTC")));
        }
    }
    if slo.budgeting != Budgeting::Occurrences {
        line("budgeting", native_budgeting(&slo.budgeting));
    }
    if !slo.group_by.is_empty() {
        line("group_by", format!("[{}]", slo.group_by.join(", ")));
    }
    line("alerts", native_alerts(&slo.alerts));
    if slo.policy != Policy::default() {
        line("policy", native_policy(&slo.policy));
    }
    line("runbook", plain_or_quoted(&slo.runbook));
    if !slo.labels.is_empty() {
        let pairs =
            slo.labels.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
        line("labels", format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")));
    }
    out
}

fn native_indicator(indicator: &Indicator) -> String {
    let count = |count: &Count| match count {
        Count::Counter(text) | Count::Query(text) => quoted(text),
    };
    let key = |role: Role, bad: &'static str, good: &'static str| match role {
        Role::Bad => bad,
        Role::Good => good,
    };
    match indicator {
        Indicator::Events { role, part, total } => {
            let key = key(*role, "bad", "good");
            format!("\n  {key}: {}\n  total: {}", count(part), count(total))
        }
        Indicator::Latency { histogram, threshold } => {
            format!("\n  histogram: {}\n  le: {threshold}", quoted(histogram))
        }
        Indicator::NativeLatency { histogram, threshold } => {
            format!("\n  histogram: {}\n  le: {threshold}\n  native: true", quoted(histogram))
        }
        Indicator::Ratio { role, query } => {
            format!("\n  {}: {}", key(*role, "bad_ratio", "good_ratio"), quoted(query))
        }
    }
}

fn native_budgeting(budgeting: &Budgeting) -> String {
    match budgeting {
        Budgeting::Occurrences => "occurrences".into(),
        Budgeting::Timeslices { slice, good, empty } => {
            let empty = match empty {
                EmptySlice::Excluded => "excluded",
                EmptySlice::Good => "good",
                EmptySlice::Bad => "bad",
            };
            let (slice, good) = (window_text(*slice), percent(*good));
            format!("{{timeslices: {{slice: {slice}, good: {good}, empty: {empty}}}}}")
        }
        Budgeting::RatioTimeslices { slice } => {
            format!("{{ratio_timeslices: {{slice: {}}}}}", window_text(*slice))
        }
    }
}

/// Alerts in the native form, on one line.
fn native_alerts(alerts: &Alerts) -> String {
    let guide = Alerts::guide();
    if alerts.burn == guide.burn
        && alerts.min_bad_events == guide.min_bad_events
        && alerts.absent.is_some()
    {
        return "guide".into();
    }
    let mut parts = Vec::new();
    for row in WORKBOOK_WINDOWS {
        let Some(alert) = alerts.burn.iter().find(|alert| alert.class == row.class) else {
            parts.push(format!("{}: off", row.class));
            continue;
        };
        let mut inner = vec![format!("severity: {}", quoted(&alert.severity))];
        match alert.budget_share {
            Some(share) => inner.push(format!("budget: {}", percent(share))),
            None => inner.push(format!("factor: {}", alert.factor)),
        }
        inner.push(format!("long: {}", window_text(alert.long)));
        inner.push(match alert.short {
            Some(short) => format!("short: {}", window_text(short)),
            None => "short: off".into(),
        });
        if alert.hold > Duration::ZERO {
            inner.push(format!("for: {}", window_text(alert.hold)));
        }
        parts.push(format!("{}: {{{}}}", row.class, inner.join(", ")));
    }
    parts.push(format!("min_bad_events: {}", alerts.min_bad_events));
    parts.push(match &alerts.absent {
        Some(absent) => {
            let (severity, after) = (quoted(&absent.severity), window_text(absent.after));
            format!("absent: {{severity: {severity}, after: {after}}}")
        }
        None => "absent: off".into(),
    });
    format!("{{{}}}", parts.join(", "))
}

fn native_policy(policy: &Policy) -> String {
    let mut parts = vec![
        format!("caution_below: {}", percent(policy.caution_below)),
        format!("freeze_below: {}", percent(policy.freeze_below)),
    ];
    if policy.go_after != GO_AFTER {
        parts.push(format!("go_after: {}", window_text(policy.go_after)));
    }
    if !policy.override_by.is_empty() {
        let names: Vec<String> = policy.override_by.iter().map(|name| quoted(name)).collect();
        parts.push(format!("override: [{}]", names.join(", ")));
    }
    parts.push(match policy.review {
        Review::Monthly => "review: monthly".into(),
        Review::Quarterly => "review: quarterly".into(),
        Review::Yearly => "review: yearly".into(),
    });
    format!("{{{}}}", parts.join(", "))
}

/// Writes an objective as an OpenSLO v1 document. What OpenSLO has no words for stands in annotations
/// that begin with `skopos/`.
pub fn to_openslo(slo: &Slo) -> String {
    let mut out = String::new();
    let mut line = |indent: usize, text: String| {
        let _ = writeln!(out, "{:indent$}{text}", "");
    };
    line(0, format!("apiVersion: {}", openslo::API_VERSION));
    line(0, "kind: SLO".into());
    line(0, "metadata:".into());
    line(2, format!("name: {}", plain_or_quoted(&slo.name)));
    if !slo.labels.is_empty() {
        line(2, "labels:".into());
        for (name, value) in &slo.labels {
            line(4, format!("{}: {}", quoted(name), quoted(value)));
        }
    }
    line(2, "annotations:".into());
    line(4, format!("skopos/owner: {}", quoted(&slo.owner)));
    line(4, format!("skopos/runbook: {}", quoted(&slo.runbook)));
    line(4, format!("skopos/alerts: {}", quoted(&native_alerts(&slo.alerts))));
    if let Indicator::Latency { .. } | Indicator::NativeLatency { .. } = slo.indicator {
        let lines = native_indicator(&slo.indicator);
        let parts: Vec<&str> = lines.trim().lines().map(str::trim).collect();
        line(4, format!("skopos/sli: {}", quoted(&format!("{{{}}}", parts.join(", ")))));
    }
    if let Budgeting::Timeslices { empty: EmptySlice::Good | EmptySlice::Bad, .. } = slo.budgeting {
        let budgeting = native_budgeting(&slo.budgeting);
        line(4, format!("skopos/budgeting: {}", quoted(&budgeting)));
    }
    if slo.policy != Policy::default() {
        line(4, format!("skopos/policy: {}", quoted(&native_policy(&slo.policy))));
    }
    if !slo.group_by.is_empty() {
        line(4, format!("skopos/group-by: {}", quoted(&slo.group_by.join(","))));
    }
    line(0, "spec:".into());
    if !slo.description.is_empty() {
        line(2, format!("description: {}", quoted(&slo.description)));
    }
    line(2, format!("service: {}", plain_or_quoted(&slo.service)));
    line(2, "indicator:".into());
    line(4, "metadata:".into());
    line(6, format!("name: {}", plain_or_quoted(&format!("{}-sli", slo.name))));
    line(4, "spec:".into());
    line(6, "ratioMetric:".into());
    let mut metric = |key: &str, query: &str| {
        line(8, format!("{key}:"));
        line(10, "metricSource:".into());
        line(12, "type: Prometheus".into());
        line(12, "spec:".into());
        line(14, format!("query: {}", quoted(query)));
    };
    let text = |count: &Count| match count {
        Count::Counter(text) | Count::Query(text) => text.clone(),
    };
    match &slo.indicator {
        Indicator::Events { role, part, total } => {
            metric(if *role == Role::Bad { "bad" } else { "good" }, &text(part));
            metric("total", &text(total));
            line(8, "counter: true".into());
        }
        latency @ Indicator::Latency { .. } => {
            let (good, total) = latency.counters().unwrap_or_default();
            metric("good", &good);
            metric("total", &total);
            line(8, "counter: true".into());
        }
        native @ Indicator::NativeLatency { .. } => {
            metric("raw", &native.error_ratio(super::WINDOW_VARIABLE, &slo.group_by));
            line(8, "rawType: failure".into());
        }
        Indicator::Ratio { role, query } => {
            metric("raw", query);
            let kind = if *role == Role::Bad { "failure" } else { "success" };
            line(8, format!("rawType: {kind}"));
        }
    }
    line(2, "timeWindow:".into());
    match &slo.window {
        Window::Rolling(length) => {
            line(4, format!("- duration: {}", window_text(*length)));
            line(6, "isRolling: true".into());
        }
        Window::Calendar { unit, .. } => {
            let (length, start) = match unit {
                super::CalendarUnit::Week => ("1w", "2024-01-01 00:00:00"),
                super::CalendarUnit::Month => ("1M", "2024-01-01 00:00:00"),
                super::CalendarUnit::Quarter => ("1Q", "2024-01-01 00:00:00"),
                super::CalendarUnit::Year => ("1Y", "2024-01-01 00:00:00"),
            };
            line(4, format!("- duration: {length}"));
            line(6, "isRolling: false".into());
            line(6, "calendar:".into());
            line(8, format!("startTime: {start}"));
            line(
                8,
                format!("timeZone: {}", plain_or_quoted(slo.window.zone_name().unwrap_or("UTC"))),
            );
        }
    }
    let (method, slice) = match &slo.budgeting {
        Budgeting::Occurrences => ("Occurrences", None),
        Budgeting::Timeslices { slice, good, .. } => ("Timeslices", Some((*slice, Some(*good)))),
        Budgeting::RatioTimeslices { slice } => ("RatioTimeslices", Some((*slice, None))),
    };
    line(2, format!("budgetingMethod: {method}"));
    line(2, "objectives:".into());
    line(4, format!("- target: {}", slo.target));
    if let Some((slice, good)) = slice {
        line(6, format!("timeSliceWindow: {}", window_text(slice)));
        if let Some(good) = good {
            line(6, format!("timeSliceTarget: {good}"));
        }
    }
    out
}
