//! Times and durations as Go prints them.

use skopos_model::Timestamp;

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
    // The model prints RFC 3339; taking that apart keeps the calendar in one place.
    let text = Timestamp::from_millis(ms).to_string();
    let negative = text.starts_with('-');
    let digits = text.trim_start_matches('-');
    let mut parts = digits.split(['-', 'T', ':', '.', 'Z']).map(|p| p.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let year = i64::from(next());
    let (month, day) = (next(), next());
    Civil {
        year: if negative { -year } else { year },
        month: (month.clamp(1, 12) - 1) as usize,
        day,
        hour: next(),
        minute: next(),
        second: next(),
        milli: u32::try_from(ms.rem_euclid(1000)).unwrap_or(0),
        weekday: usize::try_from((ms.div_euclid(86_400_000) + 4).rem_euclid(7)).unwrap_or(0),
    }
}

/// `2015-06-23 13:19:44.128 +0000 UTC`
pub(super) fn format_time(ms: i64) -> String {
    let c = civil(ms);
    let fraction = match c.milli {
        0 => String::new(),
        milli => format!(".{milli:03}").trim_end_matches('0').to_string(),
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction} +0000 UTC",
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

/// Go's `Format`: the layout is the reference time `Mon Jan 2 15:04:05 MST 2006`.
pub(super) fn format_layout(ms: i64, layout: &str) -> String {
    let c = civil(ms);
    let hour12 = if c.hour.is_multiple_of(12) { 12 } else { c.hour % 12 };
    let pieces: [(&str, String); 26] = [
        ("January", MONTHS[c.month].into()),
        ("Jan", MONTHS[c.month][..3].into()),
        ("Monday", WEEKDAYS[c.weekday].into()),
        ("Mon", WEEKDAYS[c.weekday][..3].into()),
        ("MST", "UTC".into()),
        ("2006", format!("{:04}", c.year)),
        ("Z07:00", "Z".into()),
        ("Z0700", "Z".into()),
        ("-07:00", "+00:00".into()),
        ("-0700", "+0000".into()),
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
        assert_eq!(
            format_layout(1_435_065_584_128, "2006-01-02T15:04:05.000Z07:00"),
            "2015-06-23T13:19:44.128Z"
        );
        assert_eq!(format_layout(1_435_065_584_128, "Mon Jan 2 3:04PM"), "Tue Jun 23 1:19PM");
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
