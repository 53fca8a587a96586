//! The native form of an objective: ten lines suffice.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::indicator::{self, Mistake};
use super::load::{check_target, check_whole, error_with_hint, line_of, report, share};
use super::{
    AbsentAlert, Alerts, Budgeting, BurnAlert, CalendarUnit, Count, EmptySlice, Indicator, Policy,
    Review, Role, SLICE_WIDTHS, Slo, SloId, WORKBOOK_WINDOWS, Window, burn,
};
use crate::duration::{format_duration, parse_duration};
use crate::rules::load::{Fields, Reader, texts};
use crate::rules::yaml::{Node, NodeKind};
use crate::rules::{hash_pieces, nearest};

const KEYS: &[&str] = &[
    "slo",
    "service",
    "owner",
    "description",
    "sli",
    "target",
    "window",
    "calendar",
    "tz",
    "budgeting",
    "group_by",
    "alerts",
    "policy",
    "runbook",
    "labels",
];
const SLI_KEYS: &[&str] =
    &["bad", "good", "total", "histogram", "le", "native", "good_ratio", "bad_ratio"];
const ALERT_KEYS: &[&str] = &["fast", "medium", "slow", "trend", "min_bad_events", "absent"];
const BURN_KEYS: &[&str] = &["severity", "budget", "factor", "long", "short", "for"];
const ABSENT_KEYS: &[&str] = &["severity", "after"];
const POLICY_KEYS: &[&str] = &["caution_below", "freeze_below", "override", "review"];
const SLICE_KEYS: &[&str] = &["slice", "good", "empty"];

/// The shortest rolling window, and the longest: slices are kept 400 days.
const WINDOWS: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(366 * 86_400));

/// Identity of the objective of a name.
pub(super) fn id_of(name: &str) -> SloId {
    SloId(hash_pieces(["slo", name]) as u64)
}

/// Words that switch an alert off.
fn is_off(text: &str) -> bool {
    matches!(text, "off" | "none" | "false" | "no")
}

/// A value that is there and is not nothing.
fn given<'n>(fields: &Fields<'n>, key: &str) -> Option<&'n Rc<Node>> {
    fields.get(key).map(|(_, value)| *value).filter(|v| !matches!(v.kind, NodeKind::Null))
}

/// Reads one objective; mistakes are reported, and any makes it none.
pub(super) fn read(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Slo> {
    let before = reader.errors.len();
    let fields = reader.fields(node, KEYS, "an objective")?;
    let name = required(reader, node, &fields, "slo", "a name of its own");
    if let (Some(name), Some(at)) = (&name, given(&fields, "slo")) {
        check_name(reader, at, name);
    }
    let service = required(reader, node, &fields, "service", "the service that it is about");
    let owner = required(reader, node, &fields, "owner", "somebody who answers for it");
    let runbook =
        required(reader, node, &fields, "runbook", "a runbook: what to do when its budget burns");
    let (indicator, mut group_by) = match given(&fields, "sli") {
        Some(sli) => read_indicator(reader, sli).unzip(),
        None => {
            missing(reader, node, "sli", "what it counts");
            (None, None)
        }
    };
    if let Some(list) = given(&fields, "group_by") {
        group_by = Some(read_group_by(reader, list));
    }
    let target = match given(&fields, "target") {
        Some(at) => share(reader, at, "target").and_then(|t| check_target(reader, at, t)),
        None => {
            missing(reader, node, "target", "a target, such as 99.9%");
            None
        }
    };
    let window = read_window(reader, node, &fields);
    let budgeting = match given(&fields, "budgeting") {
        Some(at) => read_budgeting(reader, at, target),
        None => Some(Budgeting::Occurrences),
    };
    let alerts = match (target, &window) {
        (Some(target), Some(window)) => {
            read_alerts(reader, given(&fields, "alerts"), target, window.nominal())
        }
        _ => None,
    };
    let policy = match given(&fields, "policy") {
        Some(at) => read_policy(reader, at),
        None => Some(Policy::default()),
    };
    let labels = texts(reader.labels(&fields, "labels"));
    let description = given(&fields, "description").and_then(|at| reader.string(at, "description"));
    if reader.errors.len() > before {
        return None;
    }
    let name = name?;
    let slo = Slo {
        id: id_of(&name),
        name,
        service: service?,
        owner: owner?,
        description: description.unwrap_or_default(),
        indicator: indicator?,
        target: target?,
        window: window?,
        budgeting: budgeting?,
        group_by: group_by.unwrap_or_default(),
        alerts: alerts?,
        policy: policy?,
        runbook: runbook?,
        labels,
        file: reader.path.to_string(),
        line: line_of(reader, node),
    };
    let at = |key| fields.get(key).map_or(node, |(key, _)| *key);
    check_whole(reader, &slo, at("alerts"), at("sli"));
    (reader.errors.len() == before).then_some(slo)
}

fn missing(reader: &mut Reader<'_>, node: &Node, key: &str, what: &str) {
    reader.error_on(node, "missing-key", format!("an objective needs `{key}`: {what}"));
}

fn required(
    reader: &mut Reader<'_>,
    node: &Node,
    fields: &Fields<'_>,
    key: &str,
    what: &str,
) -> Option<String> {
    let Some(value) = given(fields, key) else {
        missing(reader, node, key, what);
        return None;
    };
    let text = reader.string(value, key)?;
    if text.trim().is_empty() {
        reader.error_on(value, "value", format!("`{key}` must not be empty: {what}"));
        return None;
    }
    Some(text.trim().to_string())
}

/// Names go into labels, file names and commands.
pub(super) fn check_name(reader: &mut Reader<'_>, node: &Node, name: &str) {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(is_plain) || name.len() > 200 {
        let message = format!("{name:?} is no name for an objective");
        let hint = "use letters, digits, `-`, `_` and `.`, at most 200 of them";
        error_with_hint(reader, node, "name", message, hint);
    }
}

/// A text of PromQL through one of the readers of [`indicator`].
fn promql<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
    read: impl FnOnce(&str, &skopos_promql::ParseOptions) -> Result<T, Mistake>,
) -> Option<T> {
    let text = reader.string(node, key)?;
    let language = reader.language;
    match read(&text, language) {
        Ok(found) => Some(found),
        Err(mistake) => {
            report(reader, node, mistake);
            None
        }
    }
}

fn read_indicator(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<(Indicator, Vec<String>)> {
    let fields = reader.fields(node, SLI_KEYS, "`sli`")?;
    let forms = [
        ("`bad` or `good` with `total`", ["bad", "good", "total"].as_slice()),
        ("`histogram` with `le`", &["histogram", "le", "native"]),
        ("`good_ratio`", &["good_ratio"]),
        ("`bad_ratio`", &["bad_ratio"]),
    ];
    let used: Vec<&str> = forms
        .iter()
        .filter(|(_, keys)| keys.iter().any(|key| given(&fields, key).is_some()))
        .map(|(name, _)| *name)
        .collect();
    if used.len() != 1 {
        let message = match used.is_empty() {
            true => "`sli` says nothing".to_string(),
            false => format!("`sli` mixes {}", used.join(" and ")),
        };
        let hint = "give `bad` (or `good`) and `total`; or `histogram` and `le`; or `good_ratio`; or `bad_ratio`";
        error_with_hint(reader, node, "conflict", message, hint);
        return None;
    }
    for (key, role) in [("good_ratio", Role::Good), ("bad_ratio", Role::Bad)] {
        if let Some(at) = given(&fields, key) {
            return promql(reader, at, key, |text, language| {
                indicator::read_ratio(text, role, language)
            });
        }
    }
    if let Some(at) = given(&fields, "histogram") {
        return Some((read_histogram(reader, node, at, &fields)?, Vec::new()));
    }
    let (key, role) = match (given(&fields, "bad"), given(&fields, "good")) {
        (Some(_), None) => ("bad", Role::Bad),
        (None, Some(_)) => ("good", Role::Good),
        (Some(_), Some(good)) => {
            reader.error_on(good, "conflict", "only one of `bad` and `good` may be set");
            return None;
        }
        (None, None) => {
            reader.error_on(node, "missing-key", "`sli` needs `bad` or `good` beside `total`");
            return None;
        }
    };
    let Some(total) = given(&fields, "total") else {
        reader.error_on(node, "missing-key", format!("`sli` needs `total` beside `{key}`"));
        return None;
    };
    let part_at = given(&fields, key)?;
    let part = promql(reader, part_at, key, Count::read);
    let total = promql(reader, total, "total", Count::read);
    let ((part, mut by), (total, total_by)) = (part?, total?);
    if by.is_empty() {
        by = total_by;
    } else if !total_by.is_empty() && total_by != by {
        let message = format!("`{key}` and `total` sum by different labels");
        reader.error_on(part_at, "conflict", message);
        return None;
    }
    Some((Indicator::Events { role, part, total }, by))
}

fn read_histogram(
    reader: &mut Reader<'_>,
    node: &Node,
    at: &Node,
    fields: &Fields<'_>,
) -> Option<Indicator> {
    let histogram = promql(reader, at, "histogram", indicator::read_histogram);
    let Some(le) = given(fields, "le") else {
        reader.error_on(node, "missing-key", "`sli` needs `le` beside `histogram`: the threshold");
        return None;
    };
    let text = reader.string(le, "le")?;
    let seconds = parse_duration(text.trim()).ok().map(|d| d.as_secs_f64());
    let threshold =
        seconds.or_else(|| text.trim().parse::<f64>().ok()).filter(|t| t.is_finite() && *t > 0.0);
    let Some(threshold) = threshold else {
        let message = format!("`le` must be a threshold above 0, found {text:?}");
        error_with_hint(
            reader,
            le,
            "value",
            message,
            "write `300ms`, or `0.3` in the histogram's unit",
        );
        return None;
    };
    let native = given(fields, "native").map(|at| flag(reader, at, "native"));
    let is_native = native.unwrap_or(Some(false))?;
    let histogram = histogram?;
    Some(match is_native {
        true => Indicator::NativeLatency { histogram, threshold },
        false => Indicator::Latency { histogram, threshold },
    })
}

fn flag(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<bool> {
    match reader.string(node, key)?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            reader.error_on(
                node,
                "value",
                format!("`{key}` must be true or false, found {other:?}"),
            );
            None
        }
    }
}

fn read_group_by(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    let mut names = BTreeSet::new();
    for item in reader.list(node, "group_by") {
        let Some(name) = reader.string(item, "group_by") else { continue };
        if !indicator::is_group_label(&name) {
            reader.error_on(item, "name", format!("{name:?} is no label to group by"));
        } else if !names.insert(name.clone()) {
            reader.error_on(item, "duplicate", format!("{name:?} occurs twice"));
        }
    }
    names.into_iter().collect()
}

fn read_window(reader: &mut Reader<'_>, node: &Node, fields: &Fields<'_>) -> Option<Window> {
    let zone_at = given(fields, "tz");
    match (given(fields, "window"), given(fields, "calendar")) {
        (Some(_), Some(calendar)) => {
            reader.error_on(calendar, "conflict", "only one of `window` and `calendar` may be set");
            None
        }
        (None, None) => {
            missing(reader, node, "window", "30d, or `calendar: month`");
            None
        }
        (Some(at), None) => {
            if let Some(zone) = zone_at {
                reader.error_on(zone, "conflict", "`tz` has no meaning for a rolling window");
            }
            let text = reader.string(at, "window")?;
            match parse_duration(text.trim()) {
                Ok(length) => check_rolling(reader, at, length),
                Err(error) => {
                    reader.error_on(at, "value", format!("`window`: {error}"));
                    None
                }
            }
        }
        (None, Some(at)) => {
            let text = reader.string(at, "calendar")?;
            let unit = CalendarUnit::ALL.iter().find(|(_, name)| *name == text.trim());
            let zone = match zone_at {
                Some(at) => read_zone(reader, at, "tz"),
                None => Some(TimeZone::UTC),
            };
            let Some((unit, _)) = unit else {
                let message = format!("{text:?} is no unit of the calendar");
                let hint = "choose week, month, quarter or year";
                error_with_hint(reader, at, "value", message, hint);
                return None;
            };
            Some(Window::Calendar { unit: *unit, zone: zone? })
        }
    }
}

/// A zone of the IANA database.
pub(super) fn read_zone(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<TimeZone> {
    let name = reader.string(node, key)?;
    match TimeZone::get(name.trim()) {
        Ok(zone) => Some(zone),
        Err(_) => {
            let message = format!("{name:?} is no time zone");
            let hint = "write a name of the IANA database, such as Europe/Athens";
            error_with_hint(reader, node, "value", message, hint);
            None
        }
    }
}

/// Refuses rolling windows that slices cannot answer for.
pub(super) fn check_rolling(
    reader: &mut Reader<'_>,
    node: &Node,
    length: Duration,
) -> Option<Window> {
    if length < WINDOWS.0 || length > WINDOWS.1 || !length.as_secs().is_multiple_of(60) {
        let message = format!("a window of {} cannot be kept", format_duration(length));
        let hint = "choose whole minutes between 1h and 366d; 28d and 30d are usual";
        error_with_hint(reader, node, "value", message, hint);
        return None;
    }
    Some(Window::Rolling(length))
}

fn read_budgeting(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    target: Option<f64>,
) -> Option<Budgeting> {
    const METHODS: [&str; 3] = ["occurrences", "timeslices", "ratio_timeslices"];
    let (name, detail) = match &node.kind {
        NodeKind::Scalar { text, .. } => (text.clone(), None),
        NodeKind::Mapping(pairs) if pairs.len() == 1 => {
            (reader.string(&pairs[0].0, "budgeting")?, Some(pairs[0].1.clone()))
        }
        _ => {
            let hint =
                "write `occurrences`, `timeslices: {slice: 1m, good: 99%}` or `ratio_timeslices`";
            error_with_hint(reader, node, "value", "`budgeting` names one method", hint);
            return None;
        }
    };
    if !METHODS.contains(&name.as_str()) {
        let message = format!("{name:?} is no budgeting method");
        let hint = match nearest(&name, METHODS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("choose {}", METHODS.join(", ")),
        };
        error_with_hint(reader, node, "value", message, hint);
        return None;
    }
    let detail = detail.filter(|node| !matches!(node.kind, NodeKind::Null));
    if name == "occurrences" {
        if let Some(detail) = detail {
            reader.error_on(&detail, "value", "`occurrences` takes nothing further");
        }
        return Some(Budgeting::Occurrences);
    }
    let (mut slice, mut good, mut empty) =
        (SLICE_WIDTHS[0], target.unwrap_or(0.99), EmptySlice::default());
    if let Some(detail) = &detail {
        let known = if name == "timeslices" { SLICE_KEYS } else { &SLICE_KEYS[..1] };
        let fields = reader.fields(detail, known, &format!("`{name}`"))?;
        if let (Some(width), Some(at)) =
            (reader.duration(&fields, "slice"), given(&fields, "slice"))
        {
            slice = check_slice(reader, at, width)?;
        }
        if let Some(at) = given(&fields, "good") {
            good = share(reader, at, "good")?;
            if !(good > 0.0 && good <= 1.0) {
                reader.error_on(at, "value", "`good` must be a share above 0 and at most 100%");
                return None;
            }
        }
        if let Some(at) = given(&fields, "empty") {
            empty = match reader.string(at, "empty")?.as_str() {
                "excluded" => EmptySlice::Excluded,
                "good" => EmptySlice::Good,
                "bad" => EmptySlice::Bad,
                other => {
                    let message = format!("{other:?} is not what a slice without events can be");
                    error_with_hint(reader, at, "value", message, "choose excluded, good or bad");
                    return None;
                }
            };
        }
    }
    Some(match name.as_str() {
        "timeslices" => Budgeting::Timeslices { slice, good, empty },
        _ => Budgeting::RatioTimeslices { slice },
    })
}

/// Refuses slices that do not add up to quarters of an hour.
pub(super) fn check_slice(
    reader: &mut Reader<'_>,
    node: &Node,
    width: Duration,
) -> Option<Duration> {
    if SLICE_WIDTHS.contains(&width) {
        return Some(width);
    }
    let message = format!("slices of {} cannot be kept", format_duration(width));
    error_with_hint(reader, node, "value", message, "choose 1m, 3m, 5m or 15m");
    None
}

fn read_alerts(
    reader: &mut Reader<'_>,
    node: Option<&Rc<Node>>,
    target: f64,
    period: Duration,
) -> Option<Alerts> {
    let absent = |alerts: &Alerts| Some(AbsentAlert::usual(target, &alerts.burn));
    let mut alerts = Alerts::workbook(period);
    alerts.absent = absent(&alerts);
    let Some(node) = node else { return Some(alerts) };
    if let NodeKind::Scalar { text, .. } = &node.kind {
        return match text.as_str() {
            "workbook" => Some(alerts),
            "guide" => {
                let mut alerts = Alerts::guide();
                alerts.absent = absent(&alerts);
                Some(alerts)
            }
            text if is_off(text) => Some(Alerts {
                burn: Vec::new(),
                absent: None,
                min_bad_events: burn::MIN_BAD_EVENTS,
            }),
            other => {
                let message = format!("{other:?} is no set of alerts");
                let hint = "write `workbook`, `guide` or `off`, or a mapping such as `{fast: P1, slow: off}`";
                error_with_hint(reader, node, "value", message, hint);
                None
            }
        };
    }
    let fields = reader.fields(node, ALERT_KEYS, "`alerts`")?;
    let mut chosen = Vec::new();
    let mut is_whole = true;
    for row in WORKBOOK_WINDOWS {
        match given(&fields, row.class) {
            None if row.is_default_for(period) => chosen.push(row.alert(period, None)),
            None => {}
            Some(at) => match read_burn(reader, at, &row, period) {
                Some(Some(alert)) => chosen.push(alert),
                Some(None) => {}
                None => is_whole = false,
            },
        }
    }
    alerts.burn = chosen;
    if let Some(at) = given(&fields, "min_bad_events") {
        let text = reader.string(at, "min_bad_events")?;
        match text.parse() {
            Ok(count) => alerts.min_bad_events = count,
            Err(_) => {
                reader.error_on(
                    at,
                    "value",
                    format!("`min_bad_events` must be a whole number, found {text:?}"),
                );
                is_whole = false;
            }
        }
    }
    alerts.absent = absent(&alerts);
    if let Some(at) = given(&fields, "absent") {
        match read_absent(reader, at, alerts.absent.take()) {
            Some(found) => alerts.absent = found,
            None => is_whole = false,
        }
    }
    is_whole.then_some(alerts)
}

/// One burn alert: a severity, `off`, or its parts. `None` when it is wrong, `Some(None)` when off.
fn read_burn(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    row: &burn::WorkbookWindow,
    period: Duration,
) -> Option<Option<BurnAlert>> {
    let mut alert = row.alert(period, None);
    if let NodeKind::Scalar { text, .. } = &node.kind {
        if is_off(text) {
            return Some(None);
        }
        alert.severity = text.clone();
        return Some(Some(alert));
    }
    let what = format!("alert `{}`", row.class);
    let fields = reader.fields(node, BURN_KEYS, &what)?;
    if let Some(at) = given(&fields, "severity") {
        alert.severity = reader.string(at, "severity")?;
    }
    if let (Some(budget), Some(_)) = (given(&fields, "budget"), given(&fields, "factor")) {
        reader.error_on(budget, "conflict", "only one of `budget` and `factor` may be set");
        return None;
    }
    let window = |reader: &mut Reader<'_>, key: &str| {
        let length = reader.duration(&fields, key)?;
        if length.is_zero() || !length.as_secs().is_multiple_of(60) {
            let at = given(&fields, key)?;
            reader.error_on(at, "value", format!("`{key}` must be whole minutes"));
            return None;
        }
        Some(length)
    };
    let errors = reader.errors.len();
    let long = window(reader, "long");
    let short = match given(&fields, "short").map(|at| at.text().is_some_and(is_off)) {
        Some(true) => Some(None),
        _ => window(reader, "short").map(Some),
    };
    let share = match given(&fields, "budget") {
        Some(at) => share(reader, at, "budget"),
        None => alert.budget_share,
    };
    if let Some(long) = long {
        alert.long = long;
        let minutes = (long.as_secs() / 12 / 60).max(1);
        alert.short = Some(Duration::from_secs(minutes * 60));
    }
    if let Some(short) = short {
        alert.short = short;
    }
    if let Some(hold) = reader.duration(&fields, "for") {
        alert.hold = hold;
    }
    match given(&fields, "factor") {
        Some(at) => {
            let text = reader.string(at, "factor")?;
            let factor = text.parse::<f64>().ok().filter(|f| f.is_finite() && *f > 0.0);
            let Some(factor) = factor else {
                reader.error_on(
                    at,
                    "value",
                    format!("`factor` must be a number above 0, found {text:?}"),
                );
                return None;
            };
            (alert.factor, alert.budget_share) = (factor, None);
        }
        None => {
            let share = share?;
            if !(share > 0.0 && share <= 1.0) {
                let at = given(&fields, "budget").unwrap_or(node);
                reader.error_on(at, "value", "`budget` must be a share above 0 and at most 100%");
                return None;
            }
            alert.factor = burn::factor(share, period, alert.long);
            alert.budget_share = Some(share);
        }
    }
    if alert.short.is_some_and(|short| short >= alert.long) {
        reader.error_on(node, "value", "`short` must be shorter than `long`");
    }
    (reader.errors.len() == errors).then_some(Some(alert))
}

fn read_absent(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    usual: Option<AbsentAlert>,
) -> Option<Option<AbsentAlert>> {
    let mut absent = usual?;
    if let NodeKind::Scalar { text, .. } = &node.kind {
        if is_off(text) {
            return Some(None);
        }
        absent.severity = text.clone();
        return Some(Some(absent));
    }
    let fields = reader.fields(node, ABSENT_KEYS, "alert `absent`")?;
    if let Some(at) = given(&fields, "severity") {
        absent.severity = reader.string(at, "severity")?;
    }
    if given(&fields, "after").is_some() {
        absent.after = reader.duration(&fields, "after")?;
    }
    Some(Some(absent))
}

fn read_policy(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Policy> {
    let fields = reader.fields(node, POLICY_KEYS, "`policy`")?;
    let mut policy = Policy::default();
    let before = reader.errors.len();
    let limit = |reader: &mut Reader<'_>, key: &str, usual: f64| {
        let Some(at) = given(&fields, key) else { return usual };
        let found = share(reader, at, key).unwrap_or(usual);
        if !(-10.0..=1.0).contains(&found) {
            reader.error_on(at, "value", format!("`{key}` is a share of the budget, at most 100%"));
        }
        found
    };
    policy.caution_below = limit(reader, "caution_below", policy.caution_below);
    policy.freeze_below = limit(reader, "freeze_below", policy.freeze_below);
    if policy.freeze_below > policy.caution_below {
        reader.error_on(node, "conflict", "`freeze_below` must not be above `caution_below`");
    }
    if let Some(at) = given(&fields, "override") {
        let names = reader.list(at, "override").iter();
        let names: Vec<_> = names.map(|item| reader_string(item)).collect();
        if names.iter().any(Option::is_none) {
            reader.error_on(at, "value", "`override` lists names");
        }
        policy.override_by = names.into_iter().flatten().collect();
    }
    if let Some(at) = given(&fields, "review") {
        policy.review = match reader.string(at, "review")?.as_str() {
            "monthly" => Review::Monthly,
            "quarterly" => Review::Quarterly,
            "yearly" => Review::Yearly,
            other => {
                let message = format!("{other:?} is not how often one reviews");
                error_with_hint(
                    reader,
                    at,
                    "value",
                    message,
                    "choose monthly, quarterly or yearly",
                );
                Review::default()
            }
        };
    }
    (reader.errors.len() == before).then_some(policy)
}

fn reader_string(node: &Node) -> Option<String> {
    node.text().filter(|text| !text.trim().is_empty()).map(str::to_string)
}

/// Reads alerts out of a text that holds nothing else.
pub(super) fn alerts_of(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
    target: f64,
    period: Duration,
) -> Option<Alerts> {
    read_alerts(reader, Some(node), target, period)
}

/// Reads a policy out of a text that holds nothing else.
pub(super) fn policy_of(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Policy> {
    read_policy(reader, node)
}
