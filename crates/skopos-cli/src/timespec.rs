//! Times as users give them: `now`, `now-15m`, RFC 3339, Unix seconds; durations as `1h30m`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use skopos_model::{Clock, SystemClock, Timestamp};

/// A window of time.
#[derive(Clone, Debug, Args)]
pub(crate) struct WindowArgs {
    /// Window that ends now, such as 15m or 1h30m.
    #[arg(long, value_name = "DURATION", default_value = "15m", conflicts_with = "from")]
    pub(crate) since: String,
    /// Start: RFC 3339, Unix seconds, or now-1h.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// End, in the same forms.
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub(crate) to: String,
}

impl WindowArgs {
    /// Start and end.
    pub(crate) fn resolve(&self) -> Result<(Timestamp, Timestamp)> {
        let now = SystemClock::new().now();
        let end = parse_time(&self.to, now).context("read --to")?;
        let start = match &self.from {
            Some(from) => parse_time(from, now).context("read --from")?,
            None => end.saturating_sub(parse_duration(&self.since).context("read --since")?),
        };
        if start > end {
            bail!("the window starts at {start}, after its end at {end}");
        }
        Ok((start, end))
    }
}

/// Reads a point in time.
pub(crate) fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.split_at_checked(1) {
            Some(("-", duration)) => Ok(now.saturating_sub(parse_duration(duration)?)),
            Some(("+", duration)) => Ok(now.saturating_add(parse_duration(duration)?)),
            None => Ok(now),
            Some(_) => bail!("{text:?}: after `now` only a duration may follow, as in now-15m"),
        };
    }
    let beyond = || {
        let (first, last) = (Timestamp::MIN, Timestamp::MAX);
        anyhow::anyhow!(
            "{text:?} is no time that can be stored: they lie between {first} and {last}"
        )
    };
    if let Ok(seconds) = text.parse::<f64>() {
        let nanos = seconds * 1e9;
        if nanos.is_nan() || nanos.abs() >= i64::MAX as f64 {
            return Err(beyond());
        }
        return Ok(Timestamp(nanos as i64));
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| anyhow::anyhow!("{text:?} is neither RFC 3339, Unix seconds nor now-15m"))?;
    i64::try_from(time.as_nanosecond()).map(Timestamp).map_err(|_| beyond())
}

/// Reads a Prometheus duration such as `500ms`, `15m`, `1h30m`, `2d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration> {
    let bad = || anyhow::anyhow!("{text:?} is no duration; write one as 500ms, 15m, 1h30m or 2d");
    let mut rest = text;
    let mut total = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "w" => 604_800.0,
                "y" => 31_536_000.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    if text.is_empty() {
        return Err(bad());
    }
    Duration::try_from_secs_f64(total).map_err(|_| bad())
}

/// Reads a distance of points: a duration, or seconds; above zero.
pub(crate) fn parse_step(text: &str) -> Result<Duration> {
    let step = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| anyhow::anyhow!("{text:?} is no step; write it as 30s, 1m or 60"))?,
        Err(_) => parse_duration(text)?,
    };
    if step.as_millis() == 0 {
        bail!("the step {text:?} is zero; write it as 30s, 1m or 60");
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, millis) in
            [("500ms", 500), ("15m", 900_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for (text, millis) in [("60", 60_000), ("0.5", 500), ("1m30s", 90_000)] {
            assert_eq!(parse_step(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["0", "-5", "0s", "inf", "x"] {
            assert!(parse_step(text).is_err(), "{text}");
        }
        for text in ["", "15", "m", "1x", "1h5", "99999999999999999999y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_times() {
        let now = Timestamp::from_secs(1_700_000_000);
        for (text, secs) in [
            ("now", 1_700_000_000),
            ("now-15m", 1_699_999_100),
            ("now+10m", 1_700_000_600),
            ("1700000000", 1_700_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
        ] {
            assert_eq!(parse_time(text, now).unwrap(), Timestamp::from_secs(secs), "{text}");
        }
        assert!(parse_time("yesterday", now).is_err());
        for text in ["1e18", "-9223372037", "NaN", "2300-01-01T00:00:00Z"] {
            assert!(parse_time(text, now).is_err(), "{text}");
        }
        assert!(parse_time("now~1h", now).is_err());
    }
}
