//! Time windows and budgeting methods.

use std::time::Duration;

use super::super::load::{error_with_hint, share};
use super::super::native::{check_rolling, check_slice, read_zone};
use super::super::{Budgeting, CalendarUnit, EmptySlice, SLICE_WIDTHS, Window};
use super::{Read, given};
use crate::duration::parse_duration;
use crate::rules::load::Fields;
use crate::rules::yaml::Node;

const WINDOW_KEYS: &[&str] = &["duration", "isRolling", "calendar"];
const CALENDAR_KEYS: &[&str] = &["startTime", "timeZone"];

impl Read<'_, '_> {
    pub(super) fn window(&mut self, spec_at: &Node, spec: &Fields<'_>) -> Option<Window> {
        let Some(list_at) = given(spec, "timeWindow") else {
            self.missing(spec_at, "timeWindow", "`spec`");
            return None;
        };
        let items = self.reader().list(list_at, "timeWindow").to_vec();
        let [item] = &items[..] else {
            self.reader().error_on(list_at, "value", "`timeWindow` has exactly one entry");
            return None;
        };
        let fields = self.reader().fields(item, WINDOW_KEYS, "a time window")?;
        let Some(at) = given(&fields, "duration") else {
            self.missing(item, "duration", "a time window");
            return None;
        };
        let text = self.text(&fields, "duration")?;
        let calendar = given(&fields, "calendar");
        let is_rolling = match self.text(&fields, "isRolling").as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => calendar.is_none(),
        };
        if is_rolling {
            let length = match text.split_at_checked(text.len().saturating_sub(1)) {
                Some((count, "M")) => count.parse().ok().map(|n: u32| days(30).saturating_mul(n)),
                Some((count, "Q")) => count.parse().ok().map(|n: u32| days(90).saturating_mul(n)),
                Some((count, "Y")) => count.parse().ok().map(|n: u32| days(365).saturating_mul(n)),
                _ => parse_duration(&text).ok(),
            };
            let Some(length) = length else {
                let message = format!("{text:?} is not a duration");
                error_with_hint(self.reader(), at, "value", message, "write 28d or 4w");
                return None;
            };
            return check_rolling(self.reader(), at, length);
        }
        let unit = match text.as_str() {
            "1w" | "7d" => CalendarUnit::Week,
            "1M" => CalendarUnit::Month,
            "1Q" | "3M" => CalendarUnit::Quarter,
            "1Y" | "12M" => CalendarUnit::Year,
            other => {
                let message = format!("calendar windows of {other:?} are not kept");
                let hint = "choose 1w, 1M, 1Q or 1Y, which begin where the calendar's do";
                error_with_hint(self.reader(), at, "value", message, hint);
                return None;
            }
        };
        let mut zone = jiff::tz::TimeZone::UTC;
        if let Some(calendar) = calendar {
            let fields = self.reader().fields(calendar, CALENDAR_KEYS, "`calendar`")?;
            if let Some(at) = given(&fields, "timeZone") {
                zone = read_zone(self.reader(), at, "timeZone")?;
            }
            if let Some(start) = self.text(&fields, "startTime") {
                self.check_start(given(&fields, "startTime")?, &start, unit);
            }
        }
        Some(Window::Calendar { unit, zone })
    }

    /// Windows begin where the unit of the calendar does.
    fn check_start(&mut self, at: &Node, text: &str, unit: CalendarUnit) {
        let date = text.replace('T', " ");
        let date = date.trim_end_matches('Z');
        let parsed: Option<jiff::civil::DateTime> = match date.contains(' ') {
            true => date.replacen(' ', "T", 1).parse().ok(),
            false => date.parse::<jiff::civil::Date>().ok().map(|d| d.at(0, 0, 0, 0)),
        };
        let Some(start) = parsed else {
            let hint = "write 2026-01-01 00:00:00";
            return error_with_hint(self.reader(), at, "value", "`startTime` is no time", hint);
        };
        let is_first = match unit {
            CalendarUnit::Week => start.date().weekday() == jiff::civil::Weekday::Monday,
            CalendarUnit::Month => start.day() == 1,
            CalendarUnit::Quarter => start.day() == 1 && (start.month() - 1) % 3 == 0,
            CalendarUnit::Year => start.day() == 1 && start.month() == 1,
        };
        if !is_first || start.time() != jiff::civil::Time::midnight() {
            let message =
                format!("a window of a {} begins at midnight of its first day", unit.as_str());
            let hint = "windows that begin elsewhere are not supported; use a rolling one";
            error_with_hint(self.reader(), at, "value", message, hint);
        }
    }

    pub(super) fn budgeting(
        &mut self,
        method: &str,
        spec_at: &Node,
        spec: &Fields<'_>,
        (objective_at, objective): (&Node, &Fields<'_>),
        is_share: bool,
    ) -> Option<Budgeting> {
        let mut slice = SLICE_WIDTHS[0];
        if let Some(at) = given(objective, "timeSliceWindow") {
            let text = self.text(objective, "timeSliceWindow")?;
            // A bare number counts minutes.
            let width = match text.parse::<u32>() {
                Ok(minutes) => Some(Duration::from_secs(60) * minutes),
                Err(_) => parse_duration(&text).ok(),
            };
            let Some(width) = width else {
                self.reader().error_on(at, "value", "`timeSliceWindow` is not a duration");
                return None;
            };
            slice = check_slice(self.reader(), at, width)?;
        }
        match method {
            "Occurrences" if is_share => Some(Budgeting::RatioTimeslices { slice }),
            "Occurrences" => Some(Budgeting::Occurrences),
            "Timeslices" => {
                let Some(at) = given(objective, "timeSliceTarget") else {
                    let what = "an objective of the method Timeslices";
                    self.missing(objective_at, "timeSliceTarget", what);
                    return None;
                };
                let good = share(self.reader(), at, "timeSliceTarget")?;
                if !(good > 0.0 && good <= 1.0) {
                    let message = "`timeSliceTarget` must be a share above 0 and at most 1";
                    self.reader().error_on(at, "value", message);
                    return None;
                }
                Some(Budgeting::Timeslices { slice, good, empty: EmptySlice::default() })
            }
            "RatioTimeslices" => Some(Budgeting::RatioTimeslices { slice }),
            other => {
                let at = given(spec, "budgetingMethod").map_or(spec_at, |node| node);
                let message = format!("{other:?} is no budgeting method");
                let hint = "choose Occurrences, Timeslices or RatioTimeslices";
                error_with_hint(self.reader(), at, "value", message, hint);
                None
            }
        }
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(86_400) * days
}
