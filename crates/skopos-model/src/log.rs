//! Log records as OpenTelemetry's data model has them.

use std::sync::Arc;

use crate::attributes::{AnyValue, Attributes};
use crate::id::{SpanId, TraceId};
use crate::time::Timestamp;

/// Severity on OpenTelemetry's scale: 1–4 TRACE, 5–8 DEBUG, 9–12 INFO, 13–16 WARN, 17–20 ERROR,
/// 21–24 FATAL, 0 unspecified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeverityNumber(pub u8);

impl SeverityNumber {
    /// Not given.
    pub const UNSPECIFIED: Self = Self(0);
    /// Finest.
    pub const TRACE: Self = Self(1);
    /// Developers' diagnostics.
    pub const DEBUG: Self = Self(5);
    /// Business events.
    pub const INFO: Self = Self(9);
    /// Unexpected but handled.
    pub const WARN: Self = Self(13);
    /// Needs a human.
    pub const ERROR: Self = Self(17);
    /// The process cannot go on.
    pub const FATAL: Self = Self(21);

    /// The band's name in capitals; empty when unspecified or out of range.
    pub fn name(self) -> &'static str {
        match self.0 {
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21..=24 => "FATAL",
            _ => "",
        }
    }

    /// Reads a level's name in any case, the usual aliases among them; yields the band's first
    /// number.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "trace" => Self::TRACE,
            "debug" => Self::DEBUG,
            "info" | "information" | "notice" => Self::INFO,
            "warn" | "warning" => Self::WARN,
            "error" | "err" => Self::ERROR,
            "fatal" | "critical" | "crit" | "emergency" | "alert" | "panic" => Self::FATAL,
            _ => return None,
        })
    }
}

/// One log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    /// When the event happened; the observed time where the sender gave none.
    pub time: Timestamp,
    /// When it was first seen by a collector or by us.
    pub observed_time: Timestamp,
    /// How severe.
    pub severity: SeverityNumber,
    /// The severity as the source wrote it.
    pub severity_text: Arc<str>,
    /// The message: text, or anything structured.
    pub body: AnyValue,
    /// Further facts.
    pub attributes: Attributes,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
    /// The trace it belongs to, or [`TraceId::INVALID`].
    pub trace_id: TraceId,
    /// The span it belongs to, or [`SpanId::INVALID`].
    pub span_id: SpanId,
    /// Name of the event's kind, empty for plain logs.
    pub event_name: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_names_are_bands() {
        assert_eq!(SeverityNumber(18).name(), "ERROR");
        assert_eq!(SeverityNumber(0).name(), "");
        assert_eq!(SeverityNumber::from_name("Warning"), Some(SeverityNumber::WARN));
        assert_eq!(SeverityNumber::from_name("loud"), None);
    }
}
