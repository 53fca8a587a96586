use super::*;

fn at(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().expect(text);
    Timestamp(i64::try_from(time.as_nanosecond()).expect(text))
}

/// `times 09:00 17:00; weekdays monday:friday; zone Europe/Athens`
fn interval(text: &str) -> TimeInterval {
    let mut interval = TimeInterval::default();
    for part in text.split("; ").filter(|part| !part.is_empty()) {
        let words: Vec<&str> = part.split(' ').collect();
        let ranges = &words[1..];
        match words[0] {
            "times" => {
                let pairs = ranges.chunks(2).map(|p| MinuteRange::parse(p[0], p[1]).unwrap());
                interval.times = Some(pairs.collect());
            }
            "weekdays" => {
                let ranges = ranges.iter().map(|r| WeekdayRange::parse(r).unwrap());
                interval.weekdays = Some(ranges.collect());
            }
            "days" => {
                let ranges = ranges.iter().map(|r| DayOfMonthRange::parse(r).unwrap());
                interval.days_of_month = Some(ranges.collect());
            }
            "months" => {
                let ranges = ranges.iter().map(|r| MonthRange::parse(r).unwrap());
                interval.months = Some(ranges.collect());
            }
            "years" => {
                let ranges = ranges.iter().map(|r| YearRange::parse(r).unwrap());
                interval.years = Some(ranges.collect());
            }
            "zone" => interval.location = Some(Location::parse(ranges[0]).unwrap()),
            other => panic!("{other}"),
        }
    }
    interval
}

#[test]
fn moments_lie_in_intervals() {
    for (text, moment, want) in [
        ("", "2026-11-22T21:00:00Z", true),
        ("times 09:00 17:00", "2026-11-22T09:00:00Z", true),
        ("times 09:00 17:00", "2026-11-22T16:59:59Z", true),
        ("times 09:00 17:00", "2026-11-22T17:00:00Z", false),
        ("times 00:00 06:00 18:00 24:00", "2026-11-22T23:59:59Z", true),
        ("times 00:00 06:00 18:00 24:00", "2026-11-22T12:00:00Z", false),
        // 2026-11-22 is a Sunday.
        ("weekdays monday:friday", "2026-11-22T12:00:00Z", false),
        ("weekdays sunday", "2026-11-22T12:00:00Z", true),
        ("weekdays Monday:Friday", "2026-11-23T12:00:00Z", true),
        ("days 1:5 -3:-1", "2026-11-30T12:00:00Z", true),
        ("days 1:5 -3:-1", "2026-11-27T12:00:00Z", false),
        ("days -1", "2028-02-29T00:00:00Z", true),
        ("days -1", "2028-02-28T00:00:00Z", false),
        ("days 29:31", "2026-02-28T12:00:00Z", false),
        ("days -31:-1", "2026-02-01T12:00:00Z", true),
        ("days 25:31", "2026-02-28T12:00:00Z", true),
        ("months january:3 12", "2026-12-01T00:00:00Z", true),
        ("months january:3 12", "2026-04-01T00:00:00Z", false),
        ("years 2020:2026", "2026-12-31T23:59:59Z", true),
        ("years 2020:2026", "2027-01-01T00:00:00Z", false),
        ("times 09:00 17:00; weekdays monday:friday", "2026-11-23T18:00:00Z", false),
        // Athens is two hours ahead in winter, three in summer.
        ("times 09:00 17:00; zone Europe/Athens", "2026-11-22T07:00:00Z", true),
        ("times 09:00 17:00; zone Europe/Athens", "2026-11-22T06:59:00Z", false),
        ("times 09:00 17:00; zone Europe/Athens", "2026-07-22T06:00:00Z", true),
        ("weekdays monday; zone Australia/Sydney", "2026-11-22T14:00:00Z", true),
        ("times 09:00 17:00; zone UTC", "2026-11-22T09:00:00Z", true),
    ] {
        assert_eq!(interval(text).contains(at(moment)), want, "{text} at {moment}");
    }
    let never = TimeInterval { weekdays: Some(Vec::new()), ..TimeInterval::default() };
    assert!(!never.contains(at("2026-11-22T12:00:00Z")));
}

#[test]
fn wrong_ranges_are_refused() {
    for (start, end) in [
        ("9:00", "17:00"),
        ("09:00", "24:01"),
        ("25:00", "26:00"),
        ("10:00", "10:00"),
        ("1é:0", "12:00"),
    ] {
        assert!(MinuteRange::parse(start, end).is_err(), "{start} {end}");
    }
    for text in ["friday:monday", "mon", "", "monday:tuesday:friday"] {
        assert!(WeekdayRange::parse(text).is_err(), "{text}");
    }
    for text in ["0", "32", "-32", "-3:1", "15:-20", "5:1", "a"] {
        assert!(DayOfMonthRange::parse(text).is_err(), "{text}");
    }
    for text in ["0", "13", "may:march", "x"] {
        assert!(MonthRange::parse(text).is_err(), "{text}");
    }
    assert!(YearRange::parse("2027:2026").is_err());
    assert_eq!(
        Location::parse("Europe/Atlantis").unwrap_err().to_string(),
        "there is no time zone \"Europe/Atlantis\""
    );
}
