//! Metrics that follow from events: request rate, errors and duration of every operation from
//! spans, log records by service and severity.
//!
//! Two steps, both pure. [`Tally::of`] counts one batch, beside its decoding; [`DerivedMetrics`] adds
//! tallies up and says, at each tick of the caller's cadence, which samples are to be written.
//! A tally must be added only once its batch is stored, so that what is acknowledged and what is
//! counted are the same.
//!
//! | metric | labels |
//! |---|---|
//! | [`CALLS`], [`LATENCY`]`_bucket`, `_sum`, `_count` (seconds, [`BOUNDS`]) | `service_name`, `span_name`, `span_kind`, `status_code` |
//! | [`LOG_RECORDS`] | `service_name`, `severity` |
//! | [`DEBUG_IN_PRODUCTION`] | `service_name` |
//!
//! Names, labels and their values (`SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`) are those of the span
//! metrics that collectors and trace stores derive, so that existing dashboards and rules fit.
//!
//! **Counters.** A series begins with a 0 just before its first value, so that `increase` sees the
//! very first error; every sample carries the time of that 0 as its start timestamp. Counting
//! begins anew with the process: queries see an ordinary counter reset and nothing counts twice.
//! What was stored within the last tick before a crash is not counted.
//!
//! **Bounds.** Beyond [`DeriveLimits`] an operation is counted under the name `other`, and who and
//! what was folded is told by [`DerivedMetrics::folded`]. The number of operations never exceeds
//! one and a half times the limit plus 18. Series idle for [`IDLE`] end with a stale marker and
//! make room.

mod emit;
mod metrics;
mod render;
mod tally;

use std::time::Duration;

pub use metrics::{DerivedMetrics, Folded};
pub use tally::{Tally, is_production};

/// Spans, by operation.
pub const CALLS: &str = "traces_spanmetrics_calls_total";
/// Classic histogram of the spans' durations in seconds, without its suffixes.
pub const LATENCY: &str = "traces_spanmetrics_latency";
/// Log records stored, by service and severity.
pub const LOG_RECORDS: &str = "log_records_total";
/// DEBUG and TRACE records that services in production sent, stored or not.
pub const DEBUG_IN_PRODUCTION: &str = "skopos_debug_logs_in_production_total";

/// The reason under which dropped DEBUG and TRACE records are counted.
pub const DEBUG_DROPPED: &str = "debug_in_production";

/// What takes the place of a name beyond the limits.
pub const OTHER: &str = "other";

/// The service of events whose sender gave none, as OpenTelemetry's SDKs call it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// Upper bounds of the latency buckets as they are printed, in seconds: the usual web ones, finer
/// at the bottom for internal spans, and 200 ms, where latency objectives often lie.
pub const BOUNDS: [&str; 13] =
    ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.2", "0.25", "0.5", "1", "2.5", "5", "10"];

/// The same in nanoseconds.
pub(crate) const BOUNDS_NANOS: [u64; 13] = [
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Buckets with the one for everything beyond the last bound.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// A series that has not changed for this long ends.
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// An unchanged series is written again after this long, as often as a scrape would.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is derived, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeriveOptions {
    /// Whether spans are counted.
    pub spans: bool,
    /// Whether log records are counted.
    pub logs: bool,
    /// Whether DEBUG and TRACE records of services in production are left out of what is stored.
    pub drop_debug_in_production: bool,
    /// Bounds.
    pub limits: DeriveLimits,
}

impl Default for DeriveOptions {
    fn default() -> Self {
        let limits = DeriveLimits::default();
        Self { spans: true, logs: true, drop_debug_in_production: false, limits }
    }
}

/// How many series may be derived. One operation (service, span name, kind, status) is 17 series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeriveLimits {
    /// Services told apart.
    pub services: usize,
    /// Span names told apart per service.
    pub span_names: usize,
    /// Operations told apart, of all services together.
    pub operations: usize,
}

impl Default for DeriveLimits {
    /// 500 services, 200 span names each, 2,000 operations.
    fn default() -> Self {
        Self { services: 500, span_names: 200, operations: 2_000 }
    }
}
