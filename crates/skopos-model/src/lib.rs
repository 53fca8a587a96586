//! The vocabulary of Skopos: what a series, a sample, a log record and a span *are*, and the
//! contracts ([`storage`]) by which the rest of the system writes and reads them.
//!
//! What it is not: it performs no I/O, names no async runtime, no columnar format and no
//! serialisation framework. Wire and disk types live at the edges and convert to these types by
//! hand; that keeps a change of a protocol from becoming a change of the whole system.
//!
//! What it promises:
//! - [`Labels`] are always sorted by name, without duplicates and without empty values.
//! - Sample values keep their bits: NaN payloads (the stale marker among them) and infinities
//!   survive every conversion.
//! - Times in events are nanoseconds ([`Timestamp`]); sample times are milliseconds, because that
//!   is PromQL's resolution. The two are converted in one place, [`Timestamp::from_millis`] and
//!   [`Timestamp::as_millis`].
//!
//! ```
//! use skopos_model::{Labels, LabelMatcher, MatchOp};
//!
//! let labels = Labels::from_pairs([("job", "shop"), ("__name__", "up")]);
//! assert_eq!(labels.to_string(), r#"up{job="shop"}"#);
//! let matcher = LabelMatcher::new("job", MatchOp::Regex, "sh.*").unwrap();
//! assert!(matcher.matches(labels.get("job").unwrap_or("")));
//! ```

pub mod attributes;
pub mod batch;
pub mod clock;
pub mod event;
pub mod hint;
pub mod histogram;
pub mod id;
pub mod labels;
pub mod log;
pub mod matcher;
pub mod metric;
pub mod re2;
pub mod resource;
pub mod storage;
pub mod time;
pub mod trace;

pub use attributes::{AnyValue, Attributes};
pub use batch::{
    Appended, Decoded, LogBatch, MetricBatch, Rejection, ScopedLogs, ScopedSpans, SignalBatch,
    TraceBatch,
};
pub use clock::{Clock, SystemClock};
pub use hint::{Hint, HintOwner, Hints};
pub use histogram::{BucketSpan, CounterResetHint, Histogram};
pub use id::{EventId, SeriesId, SpanId, TraceId};
pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use log::{LogRecord, SeverityNumber};
pub use matcher::{InvalidRegex, LabelMatcher, MatchOp};
pub use metric::{
    Exemplar, Metadata, MetricType, STALE_NAN, Sample, SampleValue, SeriesSamples, Temporality,
    is_stale,
};
pub use resource::{Resource, Scope};
pub use time::{TimeRange, Timestamp};
pub use trace::{Span, SpanEvent, SpanKind, SpanLink, SpanStatus, StatusCode};
