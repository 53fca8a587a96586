//! Time intervals: when routes are active or mute, read as Alertmanager reads them.
//!
//! An interval holds at a moment when each of its lists that is given has a range around that moment, in
//! the interval's time zone (UTC when none is given). Ranges are inclusive, except that a range of
//! times ends before its end. Days of the month may count from the end: -1 is the last.

mod parse;

use jiff::tz::TimeZone;
use skopos_model::Timestamp;

pub use parse::{InvalidInterval, fuzz_intervals};

/// Minutes of a day, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinuteRange {
    start: u16,
    end: u16,
}

/// An inclusive range of weekdays, days, months or years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inclusive {
    begin: i32,
    end: i32,
}

/// Weekdays, Sunday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekdayRange(Inclusive);

/// Days of a month, from 1; negative ones count from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayOfMonthRange(Inclusive);

/// Months, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthRange(Inclusive);

/// Years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearRange(Inclusive);

/// A time zone of the IANA database, or `Local`.
#[derive(Clone, Debug, PartialEq)]
pub struct Location(TimeZone);

/// One entry of `time_intervals`. An absent list does not restrict; an empty one never holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    /// Times of the day.
    pub times: Option<Vec<MinuteRange>>,
    /// Days of the week.
    pub weekdays: Option<Vec<WeekdayRange>>,
    /// Days of the month.
    pub days_of_month: Option<Vec<DayOfMonthRange>>,
    /// Months.
    pub months: Option<Vec<MonthRange>>,
    /// Years.
    pub years: Option<Vec<YearRange>>,
    /// The time zone; UTC when absent.
    pub location: Option<Location>,
}

impl Inclusive {
    fn contains(self, value: i32) -> bool {
        self.begin <= value && value <= self.end
    }
}

impl TimeInterval {
    /// Whether a moment lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        // Every `Timestamp` is within the years that jiff knows.
        let Ok(at) = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())) else {
            return false;
        };
        let zone = self.location.as_ref().map_or(TimeZone::UTC, |location| location.0.clone());
        let at = at.to_zoned(zone);
        fn in_any<T>(ranges: Option<&Vec<T>>, holds: impl Fn(&T) -> bool) -> bool {
            ranges.is_none_or(|ranges| ranges.iter().any(holds))
        }
        let minute = at.hour() as u16 * 60 + at.minute() as u16;
        let weekday = i32::from(at.weekday().to_sunday_zero_offset());
        let days_in_month = i32::from(at.days_in_month());
        in_any(self.times.as_ref(), |range| range.start <= minute && minute < range.end)
            && in_any(self.weekdays.as_ref(), |range| range.0.contains(weekday))
            && in_any(self.days_of_month.as_ref(), |range| {
                range.within(days_in_month).contains(i32::from(at.day()))
            })
            && in_any(self.months.as_ref(), |range| range.0.contains(i32::from(at.month())))
            && in_any(self.years.as_ref(), |range| range.0.contains(i32::from(at.year())))
    }
}

impl DayOfMonthRange {
    /// The days it means in a month of so many; what lies beyond the month's end is cut off.
    fn within(self, days_in_month: i32) -> Inclusive {
        let from_start = |day: i32| if day < 0 { days_in_month + day + 1 } else { day };
        Inclusive { begin: from_start(self.0.begin), end: from_start(self.0.end) }
    }
}

#[cfg(test)]
mod tests;
