//! What keeps a signal from its collector, told on the service's own lines.
//!
//! A WARN when something is lost or an attempt failed twice in a row; another for each other cause, and again every five minutes
//! while it lasts; an INFO when the collector takes telemetry again. The lines go to standard output and are not exported: they
//! would tell of themselves. A service that writes no lines of its own gets them as events. Endpoint and cause are redacted.
//!
//! A collector that nobody has named is greeted once, so that nobody wonders where telemetry goes; that it is not there, or no
//! longer there, is no trouble.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use skopos_redact::Redactor;
use tracing::Level;

use crate::clock::Clock;
use crate::config::Endpoint;
use crate::filter;
use crate::log::Sink;
use crate::log::record::{Record, Value};

/// The target of these lines.
const TARGET: &str = "skopos::export";
/// How long nothing is said while nothing changes.
const SILENCE: Duration = Duration::from_secs(300);

/// Where trouble is told.
#[derive(Clone)]
pub(crate) struct Voice {
    pub(crate) lines: Option<Arc<dyn Sink>>,
    pub(crate) redactor: Redactor,
    pub(crate) clock: Clock,
    /// Whether a collector that nobody has named was told of; all signals share it.
    pub(crate) has_greeted: Arc<AtomicBool>,
}

/// What keeps something from arriving just now, for the report at the end: endpoint and cause.
pub(crate) type Latest = Arc<Mutex<Option<String>>>;

/// The state of one signal. Belongs to the thread that exports it.
pub(crate) struct Trouble {
    voice: Voice,
    signal: &'static str,
    endpoint: String,
    local: Option<SocketAddr>,
    latest: Latest,
    /// Attempts that failed since the last one that did not.
    failures: u32,
    /// Items lost since the first line.
    lost: u64,
    /// What was said, each cause once.
    told: Vec<Told>,
}

/// Causes that are remembered at most; they may take turns.
const MOST_CAUSES: usize = 8;

/// What was said, and when.
struct Told {
    cause: String,
    at: Instant,
}

impl Trouble {
    pub(crate) fn new(voice: Voice, signal: &'static str, endpoint: &Endpoint) -> Trouble {
        let local = endpoint.local;
        let endpoint = voice.redactor.redact_text(&endpoint.shown()).text.into_owned();
        Trouble {
            voice,
            signal,
            endpoint,
            local,
            latest: Latest::default(),
            failures: 0,
            lost: 0,
            told: Vec::new(),
        }
    }

    /// Returns where the report finds the cause.
    pub(crate) fn latest(&self) -> Latest {
        self.latest.clone()
    }

    /// An attempt failed. One alone is nothing: a collector may be busy, or begin anew.
    pub(crate) fn failed(&mut self, cause: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let cause = self.voice.redactor.redact_text(cause).text.into_owned();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(format!("{}: {cause}", self.endpoint));
        if self.failures > 1 {
            self.tell(cause, now);
        }
    }

    /// Items will never arrive.
    pub(crate) fn lost(&mut self, items: u64, cause: &str, now: Instant) {
        self.lost = self.lost.saturating_add(items);
        let cause = self.voice.redactor.redact_text(cause).text.into_owned();
        self.tell(cause, now);
    }

    /// The collector took something.
    pub(crate) fn is_over(&mut self) {
        if let Some(address) = self.local
            && !self.voice.has_greeted.swap(true, Ordering::Relaxed)
        {
            self.greet(address);
        }
        self.failures = 0;
        if self.told.is_empty() {
            return;
        }
        self.told.clear();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let lost = std::mem::take(&mut self.lost);
        self.say(Level::INFO, "telemetry is exported again", None, lost);
    }

    fn greet(&self, address: SocketAddr) {
        let message = "development telemetry goes to the collector of this machine";
        let endpoint = format!("http://{address}");
        let Some(lines) = &self.voice.lines else {
            filter::aloud(|| tracing::info!(target: TARGET, endpoint, "{message}"));
            return;
        };
        let mut record = Record::default();
        record.reset(self.voice.clock.now(), Level::INFO, TARGET);
        record.put("message", Value::Text(message));
        record.put("endpoint", Value::Text(&endpoint));
        lines.write(&record);
    }

    fn tell(&mut self, cause: String, now: Instant) {
        self.told.retain(|told| now.saturating_duration_since(told.at) < SILENCE);
        if self.told.iter().any(|told| told.cause == cause) || self.told.len() >= MOST_CAUSES {
            return;
        }
        self.say(Level::WARN, "telemetry cannot be exported", Some(&cause), self.lost);
        self.told.push(Told { cause, at: now });
    }

    fn say(&self, level: Level, message: &str, cause: Option<&str>, lost: u64) {
        let Trouble { signal, endpoint, .. } = self;
        let Some(lines) = &self.voice.lines else {
            filter::aloud(|| match cause {
                Some(cause) => {
                    tracing::warn!(target: TARGET, signal, endpoint, cause, lost, "{message}");
                }
                None => tracing::info!(target: TARGET, signal, endpoint, lost, "{message}"),
            });
            return;
        };
        let mut record = Record::default();
        record.reset(self.voice.clock.now(), level, TARGET);
        record.put("message", Value::Text(message));
        record.put("signal", Value::Text(signal));
        record.put("endpoint", Value::Text(endpoint));
        if let Some(cause) = cause {
            record.put("cause", Value::Text(cause));
        }
        record.put("lost", Value::Unsigned(lost));
        lines.write(&record);
    }
}

#[cfg(test)]
mod tests {
    use super::{SILENCE, Trouble, Voice};
    use crate::clock::{self, Clock};
    use crate::config::{Endpoint, Protocol};
    use crate::log::Sink;
    use crate::log::record::{Record, Value};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Sink for Lines {
        fn write(&self, record: &Record) {
            let mut line = format!("{} {}", record.level, record.message);
            for field in record.fields() {
                match field.value {
                    Value::Text(text) => line.push_str(&format!(" {}={text}", field.name)),
                    Value::Unsigned(number) => line.push_str(&format!(" {}={number}", field.name)),
                    _ => {}
                }
            }
            self.0.lock().unwrap().push(line);
        }
    }

    #[test]
    fn each_change_is_told_once_and_what_lasts_every_five_minutes() {
        let lines = Arc::new(Lines::default());
        let voice = Voice {
            lines: Some(lines.clone()),
            redactor: skopos_redact::Redactor::default(),
            clock: Clock::system(),
            has_greeted: Arc::default(),
        };
        let endpoint = Endpoint {
            url: "https://u:hunter2@collector:4318/v1/traces?token=hunter2".to_owned(),
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: Duration::ZERO,
            is_compressed: false,
            certificates: crate::config::Certificates::default(),
            local: None,
        };
        let mut trouble = Trouble::new(voice, "spans", &endpoint);
        let latest = trouble.latest();
        let start = clock::instant();
        let said = || std::mem::take(&mut *lines.0.lock().unwrap());

        trouble.failed("busy", start);
        trouble.is_over();
        assert_eq!(said(), [""; 0], "one failure alone is nothing");

        trouble.failed("busy", start);
        trouble.failed("busy", start);
        trouble.lost(7, "busy", start + SILENCE / 2);
        let base = "signal=spans endpoint=https://collector:4318/v1/traces";
        assert_eq!(said(), [format!("WARN telemetry cannot be exported {base} cause=busy lost=0")]);
        let cause = "https://collector:4318/v1/traces: busy";
        assert_eq!(latest.lock().unwrap().as_deref(), Some(cause));

        trouble.lost(5, "busy", start + SILENCE);
        trouble.failed("gone, password=hunter2", start + SILENCE);
        assert_eq!(
            said(),
            [
                format!("WARN telemetry cannot be exported {base} cause=busy lost=12"),
                format!(
                    "WARN telemetry cannot be exported {base} cause=gone, password=[REDACTED] lost=12"
                ),
            ]
        );
        // Causes may take turns.
        trouble.failed("busy", start + SILENCE);
        trouble.failed("gone, password=hunter2", start + SILENCE);
        assert_eq!(said(), [""; 0]);
        trouble.is_over();
        trouble.is_over();
        assert_eq!(said(), [format!("INFO telemetry is exported again {base} lost=12")]);
        assert!(latest.lock().unwrap().is_none());
    }
}
