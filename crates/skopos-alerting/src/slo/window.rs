//! The time over which an objective holds: rolling, or a unit of the calendar in a time zone.
//!
//! Calendar units begin at local midnight, so that the length of a month follows summer time. Every
//! zone's offset today is a multiple of a quarter of an hour, as wide as the ledger's coarse slices.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::duration::format_duration;

const DAY: Duration = Duration::from_secs(86_400);

/// A length as people say windows: `28d`, not `4w`; `1h30m`.
pub(super) fn window_text(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds > 0 && seconds.is_multiple_of(86_400) && length.subsec_nanos() == 0 {
        true => format!("{}d", seconds / 86_400),
        false => format_duration(length),
    }
}

/// The time over which an objective holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// The last so many days, at every moment.
    Rolling(Duration),
    /// The calendar unit that the moment lies in.
    Calendar {
        /// Which unit.
        unit: CalendarUnit,
        /// In whose time; its IANA name is kept for printing.
        zone: TimeZone,
    },
}

/// Units of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From Monday.
    Week,
    /// From the first.
    Month,
    /// From January, April, July, October.
    Quarter,
    /// From January.
    Year,
}

/// A stretch of time, in milliseconds since the epoch: after `start`, up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Where it begins.
    pub start_ms: i64,
    /// Where it ends.
    pub end_ms: i64,
}

impl Period {
    /// How long it is.
    pub fn duration_ms(self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms).max(0)
    }
}

impl CalendarUnit {
    /// All of them with their names.
    pub const ALL: [(CalendarUnit, &'static str); 4] = [
        (Self::Week, "week"),
        (Self::Month, "month"),
        (Self::Quarter, "quarter"),
        (Self::Year, "year"),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(unit, _)| *unit == self).map_or("", |(_, name)| name)
    }

    /// The usual length, on which burn rates are based: 7, 30, 90 or 365 days.
    pub fn nominal(self) -> Duration {
        DAY * match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }

    fn first_day(self, date: civil::Date) -> civil::Date {
        let month_start = |month: i8| civil::Date::new(date.year(), month, 1).unwrap_or(date);
        match self {
            Self::Week => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(jiff::Span::new().days(back)).unwrap_or(date)
            }
            Self::Month => month_start(date.month()),
            Self::Quarter => month_start((date.month() - 1) / 3 * 3 + 1),
            Self::Year => month_start(1),
        }
    }

    fn span(self) -> jiff::Span {
        match self {
            Self::Week => jiff::Span::new().days(7),
            Self::Month => jiff::Span::new().months(1),
            Self::Quarter => jiff::Span::new().months(3),
            Self::Year => jiff::Span::new().years(1),
        }
    }
}

impl Window {
    /// Its length; the usual one for units of the calendar.
    pub fn nominal(&self) -> Duration {
        match self {
            Self::Rolling(length) => *length,
            Self::Calendar { unit, .. } => unit.nominal(),
        }
    }

    /// The window at a moment. A rolling one ends there; a unit of the calendar is whole, and so
    /// ends later: the moment lies after its start and not after its end.
    pub fn at(&self, now_ms: i64) -> Period {
        let rolling = |length: Duration| Period {
            start_ms: now_ms.saturating_sub(super::millis(length)),
            end_ms: now_ms,
        };
        match self {
            Self::Rolling(length) => rolling(*length),
            // Moments beyond the calendar (the year 9999) have no unit.
            Self::Calendar { unit, zone } => {
                calendar(*unit, zone, now_ms).unwrap_or_else(|| rolling(unit.nominal()))
            }
        }
    }

    /// The window before the one at a moment.
    pub fn before(&self, now_ms: i64) -> Period {
        self.at(self.at(now_ms).start_ms)
    }

    /// Whether it is a unit of the calendar.
    pub fn is_calendar(&self) -> bool {
        matches!(self, Self::Calendar { .. })
    }

    /// The name of the calendar's zone.
    pub fn zone_name(&self) -> Option<&str> {
        match self {
            Self::Rolling(_) => None,
            Self::Calendar { zone, .. } => Some(zone.iana_name().unwrap_or("UTC")),
        }
    }
}

impl std::fmt::Display for Window {
    /// `30d`, `month (Europe/Athens)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rolling(length) => f.write_str(&window_text(*length)),
            Self::Calendar { unit, .. } => {
                write!(f, "{} ({})", unit.as_str(), self.zone_name().unwrap_or("UTC"))
            }
        }
    }
}

fn calendar(unit: CalendarUnit, zone: &TimeZone, now_ms: i64) -> Option<Period> {
    // A moment on the border belongs to the unit that ends there.
    let at = jiff::Timestamp::from_millisecond(now_ms.checked_sub(1)?).ok()?;
    let first = unit.first_day(zone.to_datetime(at).date());
    let next = first.checked_add(unit.span()).ok()?;
    let midnight =
        |date: civil::Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
    Some(Period { start_ms: midnight(first)?, end_ms: midnight(next)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn units_of_the_calendar_follow_the_zone() {
        for (unit, zone, now, start, end) in [
            // March in Athens has an hour less, October one more.
            (
                "month",
                "Europe/Athens",
                "2026-03-30T12:00:00Z",
                "2026-02-28T22:00:00Z",
                "2026-03-31T21:00:00Z",
            ),
            (
                "month",
                "Europe/Athens",
                "2026-10-01T00:00:00Z",
                "2026-09-30T21:00:00Z",
                "2026-10-31T22:00:00Z",
            ),
            (
                "month",
                "UTC",
                "2024-02-29T23:59:59Z",
                "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
            ),
            // The border belongs to what ends there.
            (
                "month",
                "UTC",
                "2024-03-01T00:00:00Z",
                "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
            ),
            (
                "quarter",
                "America/New_York",
                "2026-04-01T03:59:00Z",
                "2026-01-01T05:00:00Z",
                "2026-04-01T04:00:00Z",
            ),
            (
                "week",
                "Asia/Kathmandu",
                "2026-11-22T12:00:00Z",
                "2026-11-15T18:15:00Z",
                "2026-11-22T18:15:00Z",
            ),
            ("year", "UTC", "2024-07-01T00:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ] {
            let unit = CalendarUnit::ALL.iter().find(|(_, name)| *name == unit).unwrap().0;
            let window = Window::Calendar { unit, zone: TimeZone::get(zone).unwrap() };
            let want = Period { start_ms: ms(start), end_ms: ms(end) };
            assert_eq!(window.at(ms(now)), want, "{now}");
            let before = window.before(ms(now));
            assert_eq!(before.end_ms, want.start_ms, "{now}");
            assert!(before.duration_ms() > 0);
        }
    }

    #[test]
    fn rolling_windows_end_now() {
        let window = Window::Rolling(DAY * 30);
        let now = ms("2026-03-30T12:00:00Z");
        assert_eq!(window.at(now).start_ms, ms("2026-02-28T12:00:00Z"));
        assert_eq!(window.before(now).start_ms, ms("2026-01-29T12:00:00Z"));
        assert_eq!(window.to_string(), "30d");
    }
}
