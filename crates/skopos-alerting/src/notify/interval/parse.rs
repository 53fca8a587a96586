//! Reading the ranges of time intervals: `09:00` to `17:00`, `monday:friday`, `-3:-1`, `january:3`, `2026`.

use jiff::tz::TimeZone;

use super::{
    DayOfMonthRange, Inclusive, Location, MinuteRange, MonthRange, WeekdayRange, YearRange,
};

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Text that is no range of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInterval {
    /// A time that is not `HH:MM` from `00:00` to `24:00`.
    #[error("{0:?} is not a time of the day such as 17:30")]
    Time(String),
    /// A member that is none.
    #[error("{text:?} is not a valid {what}")]
    Member {
        /// The text.
        text: String,
        /// `weekday`, `day of the month`, `month` or `year`.
        what: &'static str,
    },
    /// More than a beginning and an end.
    #[error("{0:?} is not a range such as begin:end")]
    Shape(String),
    /// The end is before the beginning.
    #[error("{0:?} ends before it begins")]
    Reversed(String),
    /// A zone that is not in the IANA database.
    #[error("there is no time zone {0:?}")]
    Location(String),
}

impl MinuteRange {
    /// From `start_time` up to, not including, `end_time`; both `HH:MM`, the end up to `24:00`.
    pub fn parse(start_time: &str, end_time: &str) -> Result<Self, InvalidInterval> {
        let (start, end) = (minute(start_time)?, minute(end_time)?);
        if start >= end {
            return Err(InvalidInterval::Reversed(format!("{start_time} to {end_time}")));
        }
        Ok(Self { start, end })
    }
}

fn minute(text: &str) -> Result<u16, InvalidInterval> {
    let invalid = || InvalidInterval::Time(text.into());
    let digits =
        text.bytes().enumerate().all(|(n, b)| if n == 2 { b == b':' } else { b.is_ascii_digit() });
    if text.len() != 5 || !digits {
        return Err(invalid());
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u16>().map_err(|_| invalid());
    match (number(0..2)?, number(3..5)?) {
        (24, 0) => Ok(24 * 60),
        (hour @ 0..24, minute @ 0..60) => Ok(hour * 60 + minute),
        _ => Err(invalid()),
    }
}

/// Reads `begin` or `begin:end`; names are not sensitive to case.
fn range(
    text: &str,
    what: &'static str,
    member: impl Fn(&str) -> Option<i32>,
) -> Result<Inclusive, InvalidInterval> {
    let lower = text.to_lowercase();
    let parse = |part: &str| {
        member(part).ok_or_else(|| InvalidInterval::Member { text: part.into(), what })
    };
    let mut parts = lower.split(':');
    let begin = parse(parts.next().unwrap_or_default())?;
    let end = parts.next().map_or(Ok(begin), parse)?;
    if parts.next().is_some() {
        return Err(InvalidInterval::Shape(text.into()));
    }
    Ok(Inclusive { begin, end })
}

fn ascending(text: &str, range: Inclusive) -> Result<Inclusive, InvalidInterval> {
    let is_reversed = range.begin > range.end;
    if is_reversed { Err(InvalidInterval::Reversed(text.into())) } else { Ok(range) }
}

fn named(names: &[&str], text: &str) -> Option<i32> {
    names.iter().position(|name| *name == text).and_then(|n| i32::try_from(n).ok())
}

impl WeekdayRange {
    /// `monday` or `monday:friday`. A week begins on Sunday.
    pub fn parse(text: &str) -> Result<Self, InvalidInterval> {
        let range = range(text, "weekday", |part| named(&WEEKDAYS, part))?;
        ascending(text, range).map(Self)
    }
}

impl DayOfMonthRange {
    /// `1`, `1:15`, `-3:-1`.
    pub fn parse(text: &str) -> Result<Self, InvalidInterval> {
        let day = |part: &str| part.parse().ok().filter(|d| *d != 0 && (-31..=31).contains(d));
        let range = range(text, "day of the month", day)?;
        // What no month can fulfil: counted with the shortest one.
        let (begin, end) = (range.begin, range.end);
        let from_start = |day: i32| if day < 0 { 28 + day } else { day };
        if (begin < 0 && end > 0) || from_start(begin) > from_start(end) {
            return Err(InvalidInterval::Reversed(text.into()));
        }
        Ok(Self(range))
    }
}

impl MonthRange {
    /// `may`, `5`, `march:may`.
    pub fn parse(text: &str) -> Result<Self, InvalidInterval> {
        let month = |part: &str| {
            let number = || part.parse().ok().filter(|n| (1..=12).contains(n));
            named(&MONTHS, part).map(|n| n + 1).or_else(number)
        };
        let range = range(text, "month", month)?;
        ascending(text, range).map(Self)
    }
}

impl YearRange {
    /// `2026`, `2026:2030`.
    pub fn parse(text: &str) -> Result<Self, InvalidInterval> {
        let range = range(text, "year", |part| part.parse().ok())?;
        ascending(text, range).map(Self)
    }
}

impl Location {
    /// A name of the IANA database such as `Europe/Athens`, `UTC`, or `Local` for the machine's zone.
    pub fn parse(name: &str) -> Result<Self, InvalidInterval> {
        match name {
            "" | "UTC" => Ok(Self(TimeZone::UTC)),
            "Local" => Ok(Self(TimeZone::system())),
            name => TimeZone::get(name)
                .map(Self)
                .map_err(|_| InvalidInterval::Location(name.to_owned())),
        }
    }
}

/// Reads arbitrary bytes as ranges of every kind and asks them about moments; for fuzzing.
pub fn fuzz_intervals(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut interval = super::TimeInterval::default();
    let (start, end) = text.split_once('-').unwrap_or((text, "24:00"));
    interval.times = MinuteRange::parse(start, end).ok().map(|range| vec![range]);
    interval.weekdays = WeekdayRange::parse(text).ok().map(|range| vec![range]);
    interval.days_of_month = DayOfMonthRange::parse(text).ok().map(|range| vec![range]);
    interval.months = MonthRange::parse(text).ok().map(|range| vec![range]);
    interval.years = YearRange::parse(text).ok().map(|range| vec![range]);
    for moment in [i64::MIN, 0, 951_782_400_000_000_000, i64::MAX] {
        let _ = interval.contains(skopos_model::Timestamp(moment));
    }
}
