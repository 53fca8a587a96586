//! Over which time, and how events become budget.

use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::load::{error_with_hint, share};
use super::super::{Budgeting, CalendarUnit, EmptySlice, SLICE_WIDTHS, Window};
use super::{given, missing};
use crate::duration::{format_duration, parse_duration};
use crate::rules::load::{Fields, Reader};
use crate::rules::nearest;
use crate::rules::yaml::{Node, NodeKind};

const SLICE_KEYS: &[&str] = &["slice", "good", "empty"];

/// The shortest rolling window, and the longest: slices are kept 400 days.
const WINDOWS: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(366 * 86_400));

pub(super) fn read_window(
    reader: &mut Reader<'_>,
    node: &Node,
    fields: &Fields<'_>,
) -> Option<Window> {
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
pub(in crate::slo) fn read_zone(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &str,
) -> Option<TimeZone> {
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
pub(in crate::slo) fn check_rolling(
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

pub(in crate::slo) fn read_budgeting(
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
pub(in crate::slo) fn check_slice(
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
