//! Parts of dates, UTC, in the proleptic Gregorian calendar.

use crate::functions::DatePart;

/// A part of the date `seconds` after the epoch; fractions are cut off.
pub(super) fn part(part: DatePart, seconds: f64) -> f64 {
    let seconds = seconds as i64;
    let days = seconds.div_euclid(86_400);
    let in_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let value = match part {
        DatePart::DayOfMonth => day,
        // 1970-01-01 was a Thursday.
        DatePart::DayOfWeek => (days + 4).rem_euclid(7),
        DatePart::DayOfYear => days - days_before(year) + 1,
        DatePart::DaysInMonth => days_in_month(year, month),
        DatePart::Hour => in_day / 3600,
        DatePart::Minute => in_day / 60 % 60,
        DatePart::Month => month,
        DatePart::Year => year,
    };
    value as f64
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to the first of January.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    past * 365 + leaps - 719_162
}

/// Year, month, day of a day counted from the epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    // 400 years have 146,097 days; the estimate is off by a year at most.
    let mut year = ((days + 719_528) as f64 / 365.2425).floor() as i64;
    while days_before(year) > days {
        year -= 1;
    }
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - days_before(year);
    let mut month = 1;
    while rest >= days_in_month(year, month) {
        rest -= days_in_month(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        for (seconds, want) in [
            (0.0, [1, 4, 1, 31, 0, 0, 1, 1970]),
            (1_136_239_445.0, [2, 1, 2, 31, 22, 4, 1, 2006]),
            (1_456_790_399.0, [29, 1, 60, 29, 23, 59, 2, 2016]),
            (1_456_790_400.0, [1, 2, 61, 31, 0, 0, 3, 2016]),
            (-1.0, [31, 3, 365, 31, 23, 59, 12, 1969]),
            (951_782_400.0, [29, 2, 60, 29, 0, 0, 2, 2000]),
        ] {
            use DatePart::*;
            let parts = [DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, Hour, Minute, Month, Year];
            let got = parts.map(|p| part(p, seconds) as i64);
            assert_eq!(got, want, "{seconds}");
        }
    }
}
