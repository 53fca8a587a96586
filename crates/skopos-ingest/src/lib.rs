//! Decoders: what senders send, into the model.
//!
//! OTLP of all three signals ([`otlp`]), the text formats that Prometheus scrapes
//! ([`exposition`]) and what Prometheus sends on ([`remote_write`]), with limits ([`Limits`]),
//! decompression ([`compression`]) and the redaction of foreign data on the way in; and the metrics
//! that follow from spans and log records ([`derive`]).
//!
//! What it is **not**: it performs no I/O, has no clock (callers pass `now`), knows no HTTP and no
//! storage. Whether a time is too old or too far ahead is the store's business.
//!
//! What it promises:
//! - no input makes it panic, and none makes it take more memory than its limits allow;
//! - one bad log record, span or data point never costs its batch: it is rejected with its reason
//!   and its sender ([`Ingested`]), and what was kept in a changed form is counted too;
//! - a scrape, as in Prometheus, is taken as a whole or refused as a whole, with line and column;
//! - protobuf and JSON of the same request decode to the same value;
//! - sample values keep their bits.
//!
//! ```
//! use skopos_ingest::otlp::{OtlpEncoding, OtlpOptions, decode_logs};
//! use skopos_model::Timestamp;
//!
//! let body = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
//!     {"severityNumber":17,"body":{"stringValue":"payment failed: password=hunter2"}},
//!     {"timeUnixNano":"18446744073709551615"}]}]}]}"#;
//! let now = Timestamp::from_secs(1_700_000_000);
//! let logs = decode_logs(OtlpEncoding::Json, body, &OtlpOptions::default(), now)?;
//!
//! let record = &logs.decoded.value.groups[0].records[0];
//! assert_eq!(record.body.as_str(), Some("payment failed: password=[REDACTED]"));
//! assert_eq!(record.time, now);
//! assert_eq!(logs.decoded.rejected[0].reason, "invalid_timestamp");
//! assert_eq!(logs.redactions[0].key, "body");
//! # Ok::<(), skopos_ingest::otlp::DecodeError>(())
//! ```

pub mod compression;
pub mod derive;
pub mod exposition;
mod float;
#[doc(hidden)]
pub mod fuzz;
mod limits;
pub mod otlp;
pub mod remote_write;
mod report;

pub use compression::{ContentEncoding, DecompressError, decompress};
pub use float::canonical_float;
pub use limits::Limits;
pub use report::{Adjustment, Ingested, MAX_ENTRIES, MetricScope, Redaction};
