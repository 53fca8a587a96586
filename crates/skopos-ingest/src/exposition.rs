//! The text formats that Prometheus scrapes: exposition format 0.0.4 and OpenMetrics 1.0.
//!
//! A body parses as a whole or is refused as a whole, as in Prometheus, because half a scrape
//! would look like series that ended. The error says where: line and column, counted from 1, the
//! column in bytes.
//!
//! Where Prometheus is more lenient or stricter than the format's text, this follows Prometheus 3:
//! the last line feed may be missing (0.0.4), names may be quoted UTF-8, `le` and `quantile` are
//! brought into OpenMetrics' canonical form (`1` becomes `1.0`), a series may not name a label
//! twice, `_created` series are kept as series. Metadata of OpenMetrics counters and infos carries
//! the name of the series (`_total`, `_info` appended).

mod cursor;
mod labels;
mod lines;

use std::fmt;

use skopos_model::{Labels, MetricBatch};

use crate::limits::Limits;

/// One of the two text formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExpositionFormat {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0 (and 0.0.1), ended by `# EOF`.
    OpenMetrics,
}

/// What a scraper sends as `Accept`: both formats, OpenMetrics preferred.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
application/openmetrics-text;version=0.0.1;q=0.5,\
text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

impl ExpositionFormat {
    /// From the `Content-Type` of a scraped response; `None` for a type that is no text format
    /// (a web page, protobuf). A missing header means [`ExpositionFormat::Text`].
    pub fn from_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else if essence.is_empty() || essence.eq_ignore_ascii_case("text/plain") {
            Some(Self::Text)
        } else {
            None
        }
    }
}

/// How a scrape is read.
#[derive(Clone, Debug)]
pub struct ExpositionOptions<'a> {
    /// The format.
    pub format: ExpositionFormat,
    /// Time of samples without one of their own: that of the scrape, milliseconds.
    pub default_timestamp_ms: i64,
    /// Whether samples keep the times that the target gave them.
    pub honor_timestamps: bool,
    /// Labels of the target (`job`, `instance`, …), added to every series.
    pub target_labels: Labels,
    /// Which side wins when a series has a label of the target's: the series, or the target, the
    /// series' label then being renamed to `exported_<name>`.
    pub honor_labels: bool,
    /// Most samples in a scrape; more refuse it.
    pub sample_limit: Option<usize>,
    /// Limits on labels; exceeding one refuses the scrape.
    pub limits: &'a Limits,
}

impl<'a> ExpositionOptions<'a> {
    /// Honours timestamps, adds no labels, limits no samples.
    pub fn new(format: ExpositionFormat, default_timestamp_ms: i64, limits: &'a Limits) -> Self {
        Self {
            format,
            default_timestamp_ms,
            honor_timestamps: true,
            target_labels: Labels::empty(),
            honor_labels: false,
            sample_limit: None,
            limits,
        }
    }
}

/// A scrape as parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// One sample per series entry, in the order of the body.
    pub batch: MetricBatch,
    /// Positions in `batch.series` of those whose time came from the target. Prometheus gives them
    /// no stale marker when they vanish.
    pub explicitly_timed: Vec<usize>,
}

/// Why and where a scrape was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ExpositionError {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ExpositionErrorKind,
}

/// What is wrong in a scrape.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExpositionErrorKind {
    /// Something else had to stand here.
    Expected {
        /// What was expected.
        expected: &'static str,
        /// The character found, `None` at the end of the body.
        found: Option<char>,
    },
    /// The body is not UTF-8.
    InvalidUtf8,
    /// Not a number.
    InvalidValue(String),
    /// Not a time.
    InvalidTimestamp(String),
    /// `# TYPE` names no known type.
    InvalidType(String),
    /// `# UNIT` is not the end of the metric's name.
    UnitNotSuffix {
        /// The unit.
        unit: String,
        /// The metric.
        metric: String,
    },
    /// A quoted text is not closed on its line.
    Unterminated,
    /// A label occurs twice in one series.
    DuplicateLabel(String),
    /// The metric's name is given twice, or empty.
    InvalidMetricName,
    /// OpenMetrics ends with `# EOF`; a body without it was cut off.
    MissingEof,
    /// Something follows `# EOF`.
    DataAfterEof,
    /// A limit is exceeded.
    Limit {
        /// Its name.
        limit: &'static str,
        /// Its value.
        max: usize,
        /// What was found; for `sample_limit` the first sample too many.
        found: usize,
    },
}

impl fmt::Display for ExpositionErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { expected, found: Some('\n') } => {
                write!(f, "expected {expected}, found the end of the line")
            }
            Self::Expected { expected, found: Some(c) } => {
                write!(f, "expected {expected}, found {c:?}")
            }
            Self::Expected { expected, found: None } => {
                write!(f, "expected {expected}, found the end of the body")
            }
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::InvalidValue(text) => write!(f, "{text:?} is not a number"),
            Self::InvalidTimestamp(text) => write!(f, "{text:?} is not a timestamp"),
            Self::InvalidType(text) => write!(f, "{text:?} is not a metric type"),
            Self::UnitNotSuffix { unit, metric } => {
                write!(f, "unit {unit:?} is not the suffix of metric {metric:?}")
            }
            Self::Unterminated => f.write_str("quoted text is not closed"),
            Self::DuplicateLabel(name) => write!(f, "label {name:?} occurs twice"),
            Self::InvalidMetricName => f.write_str("the metric's name is empty or given twice"),
            Self::MissingEof => f.write_str("the body does not end with # EOF: it was cut off"),
            Self::DataAfterEof => f.write_str("data after # EOF"),
            Self::Limit { limit, max, found } => {
                write!(f, "limit `{limit}` is {max}, found {found}")
            }
        }
    }
}

/// Parses a scraped body.
///
/// ```
/// use skopos_ingest::Limits;
/// use skopos_ingest::exposition::{ExpositionFormat, ExpositionOptions, parse};
///
/// let limits = Limits::default();
/// let options = ExpositionOptions::new(ExpositionFormat::Text, 1_000, &limits);
/// let scrape = parse(b"# TYPE up gauge\nup{zone=\"a\"} 1\n", &options).unwrap();
/// assert_eq!(scrape.batch.series[0].labels.to_string(), r#"up{zone="a"}"#);
/// assert_eq!(scrape.batch.series[0].samples[0].timestamp_ms, 1_000);
///
/// let error = parse(b"up 1\nup{zone=} 1\n", &options).unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 9: expected '\"', found '}'");
/// ```
pub fn parse(body: &[u8], options: &ExpositionOptions<'_>) -> Result<Exposition, ExpositionError> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let kind = ExpositionErrorKind::InvalidUtf8;
            return Err(cursor::locate(body, error.valid_up_to(), kind));
        }
    };
    lines::Parser::new(text, options).parse().map_err(|(at, kind)| cursor::locate(body, at, kind))
}
