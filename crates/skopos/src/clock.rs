//! Time: one source that tests can stop, and its text form.
//!
//! Timestamps are RFC 3339 in UTC with microseconds, as the guide's log lines have them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the SDK takes the wall clock from.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(crate) fn system() -> Clock {
        Clock(Arc::new(now))
    }

    pub(crate) fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

/// The wall clock, where no [`Clock`] is at hand: exemplars and probe answers.
#[expect(clippy::disallowed_methods, reason = "the one place where the SDK reads the wall clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock, for durations and deadlines.
#[expect(clippy::disallowed_methods, reason = "durations and bounded waits are about real time")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Nanoseconds since the epoch; 0 before it.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since the epoch, as a fraction.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Appends `2026-11-22T13:58:05.123456Z`.
pub(crate) fn push_rfc3339(output: &mut String, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if year > 9999 {
        // Beyond what RFC 3339 can say: a clock that is set so is wrong anyway.
        output.push_str("9999-12-31T23:59:59.999999Z");
        return;
    }
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (number, end, width) in [
        (year, 4, 4),
        (month, 7, 2),
        (day, 10, 2),
        (hour, 13, 2),
        (minute, 16, 2),
        (second, 19, 2),
        (u64::from(since.subsec_micros()), 26, 6),
    ] {
        put_padded(&mut text, number, end, width);
    }
    output.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// Returns [`push_rfc3339`]'s text.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let mut text = String::with_capacity(27);
    push_rfc3339(&mut text, time);
    text
}

/// Writes the last digits of a number, so that they end at `end`.
fn put_padded(text: &mut [u8], mut number: u64, end: usize, width: usize) {
    let Some(digits) = text.get_mut(end - width..end) else { return };
    for digit in digits.iter_mut().rev() {
        // A remainder of ten always fits.
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// Days since 1970-01-01 to year, month and day in the proleptic Gregorian calendar (eras of 400 years that begin in March).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn known_instants() {
        for (seconds, micros, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
            (1_709_251_199, 999_999, "2024-02-29T23:59:59.999999Z"),
            (1_763_820_000, 500_000, "2025-11-22T14:00:00.500000Z"),
            (4_102_444_800, 0, "2100-01-01T00:00:00.000000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(rfc3339(time), text);
        }
    }
}
