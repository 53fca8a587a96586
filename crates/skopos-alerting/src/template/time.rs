//! Times and durations as Go prints them.

use super::value::Zone;

/// A point in UTC, taken apart.
struct Civil {
    year: i64,
    month: usize,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    milli: u32,
    /// Sunday is 0.
    weekday: usize,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn civil(ms: i64) -> Civil {
    let days = ms.div_euclid(86_400_000);
    let of_day = u32::try_from(ms.rem_euclid(86_400_000)).unwrap_or(0);
    // Years that begin in March end with the leap day; eras of 400 years repeat.
    let from_march = days + 719_468;
    let era = from_march.div_euclid(146_097);
    let day_of_era = from_march.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = (month_from_march + 2) % 12;
    Civil {
        year: year_of_era + era * 400 + i64::from(month < 2),
        month: usize::try_from(month).unwrap_or(0),
        day: u32::try_from(day_of_year - (153 * month_from_march + 2) / 5 + 1).unwrap_or(1),
        hour: of_day / 3_600_000,
        minute: of_day / 60_000 % 60,
        second: of_day / 1000 % 60,
        milli: of_day % 1000,
        weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
    }
}

/// `2015-06-23 13:19:44.128 +0000 UTC`
pub(super) fn format_time(ms: i64) -> String {
    format!("{} +0000 UTC", clock(ms))
}

/// `2015-06-23 15:19:44.128 +0200 CEST`
pub(super) fn format_zoned(ms: i64, zone: &Zone) -> String {
    let clock = clock(ms + i64::from(zone.offset) * 1000);
    format!("{clock} {} {}", offset(zone, "-0700"), zone.name)
}

/// An offset from UTC by one of Go's layouts.
fn offset(zone: &Zone, layout: &str) -> String {
    let sign = if zone.offset < 0 { '-' } else { '+' };
    let minutes = zone.offset.unsigned_abs() / 60;
    let colon = if layout.contains(':') { ":" } else { "" };
    match layout.starts_with('Z') && minutes == 0 {
        true => "Z".into(),
        false => format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60),
    }
}

fn clock(ms: i64) -> String {
    let c = civil(ms);
    let fraction = match c.milli {
        0 => String::new(),
        milli => format!(".{milli:03}").trim_end_matches('0').to_string(),
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}",
        c.year,
        c.month + 1,
        c.day,
        c.hour,
        c.minute,
        c.second
    )
}

/// One number of a time, by the name of Go's method.
pub(super) fn part(ms: i64, name: &str) -> Option<i64> {
    let c = civil(ms);
    Some(match name {
        "Unix" => ms.div_euclid(1000),
        "UnixMilli" => ms,
        "Year" => c.year,
        "Day" => i64::from(c.day),
        "Hour" => i64::from(c.hour),
        "Minute" => i64::from(c.minute),
        "Second" => i64::from(c.second),
        _ => return None,
    })
}

/// The names of month and weekday.
pub(super) fn name_of(ms: i64, what: &str) -> Option<&'static str> {
    let c = civil(ms);
    match what {
        "Month" => MONTHS.get(c.month).copied(),
        "Weekday" => WEEKDAYS.get(c.weekday).copied(),
        _ => None,
    }
}

/// Go's `Format`: the layout is the reference time `Mon Jan 2 15:04:05 MST 2006`.
pub(super) fn format_layout(ms: i64, zone: Option<&Zone>, layout: &str) -> String {
    let utc = Zone { offset: 0, name: "UTC".into() };
    let zone = zone.unwrap_or(&utc);
    let c = civil(ms + i64::from(zone.offset) * 1000);
    let hour12 = if c.hour.is_multiple_of(12) { 12 } else { c.hour % 12 };
    let pieces: [(&str, String); 26] = [
        ("January", MONTHS[c.month].into()),
        ("Jan", MONTHS[c.month][..3].into()),
        ("Monday", WEEKDAYS[c.weekday].into()),
        ("Mon", WEEKDAYS[c.weekday][..3].into()),
        ("MST", zone.name.to_string()),
        ("2006", format!("{:04}", c.year)),
        ("Z07:00", offset(zone, "Z07:00")),
        ("Z0700", offset(zone, "Z0700")),
        ("-07:00", offset(zone, "-07:00")),
        ("-0700", offset(zone, "-0700")),
        (".000000000", format!(".{:03}000000", c.milli)),
        (".000000", format!(".{:03}000", c.milli)),
        (".000", format!(".{:03}", c.milli)),
        ("15", format!("{:02}", c.hour)),
        ("01", format!("{:02}", c.month + 1)),
        ("02", format!("{:02}", c.day)),
        ("03", format!("{hour12:02}")),
        ("04", format!("{:02}", c.minute)),
        ("05", format!("{:02}", c.second)),
        ("06", format!("{:02}", c.year.rem_euclid(100))),
        ("PM", if c.hour >= 12 { "PM".into() } else { "AM".into() }),
        ("1", (c.month + 1).to_string()),
        ("2", c.day.to_string()),
        ("3", hour12.to_string()),
        ("4", c.minute.to_string()),
        ("5", c.second.to_string()),
    ];
    let mut out = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        match pieces.iter().find(|(piece, _)| rest.starts_with(piece)) {
            Some((piece, value)) => {
                out.push_str(value);
                rest = &rest[piece.len()..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// `1h2m3.5s`, `150ms`, `0s`
pub(super) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let trimmed = |whole: u64, fraction: u64, width: usize| {
        let text = format!("{whole}.{fraction:0width$}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    match total {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", trimmed(total / 1_000, total % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{sign}{}ms", trimmed(total / 1_000_000, total % 1_000_000, 6))
        }
        _ => {
            let seconds = total / 1_000_000_000;
            let tail = trimmed(seconds % 60, total % 1_000_000_000, 9);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{sign}{tail}s"),
                (0, minutes) => format!("{sign}{minutes}m{tail}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{tail}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(format_time(1_435_065_584_128), "2015-06-23 13:19:44.128 +0000 UTC");
        assert_eq!(format_time(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(format_time(-62_135_596_800_000), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(format_time(951_782_400_000), "2000-02-29 00:00:00 +0000 UTC");
        let zone = Zone { offset: -12_600, name: "NST".into() };
        assert_eq!(format_zoned(951_782_400_000, &zone), "2000-02-28 20:30:00 -0330 NST");
        assert_eq!(
            format_layout(1_435_065_584_128, None, "2006-01-02T15:04:05.000Z07:00"),
            "2015-06-23T13:19:44.128Z"
        );
        assert_eq!(format_layout(1_435_065_584_128, None, "Mon Jan 2 3:04PM"), "Tue Jun 23 1:19PM");
        for (nanos, want) in [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (3_723_000_000_000, "1h2m3s"),
            (150_000_000, "150ms"),
            (1_500, "1.5µs"),
            (-60_000_000_000, "-1m0s"),
        ] {
            assert_eq!(format_duration(nanos), want);
        }
    }
}
