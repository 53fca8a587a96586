//! What keeps a signal from its collector, told on the service's own lines.
//!
//! A WARN when something is lost or an attempt failed twice in a row; another for each other cause, and again every five minutes
//! while it lasts; an INFO when the collector takes telemetry again. What a collector refuses of a batch that it takes otherwise is
//! told in the same way, without an end: the next batch may have the like. The lines go to standard output and are not exported:
//! they would tell of themselves. A service that writes no lines of its own gets them as events. Endpoint and cause are redacted.
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
    /// Items that were refused of batches that were taken otherwise, since the start.
    refused: u64,
    /// What was said, each cause once.
    told: Vec<Told>,
}

/// Causes of a kind that are remembered at most; they may take turns.
const MOST_CAUSES: usize = 8;

/// What was said, and when.
struct Told {
    kind: Kind,
    cause: String,
    at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing arrives.
    Outage,
    /// All arrives but for some items.
    Part,
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
            refused: 0,
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
        self.note(Some(&cause));
        if self.failures > 1 {
            self.tell(Kind::Outage, cause, self.lost, now);
        }
    }

    /// Keeps what the report says at the end.
    fn note(&self, cause: Option<&str>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) =
            cause.map(|cause| format!("{}: {cause}", self.endpoint));
    }

    /// Items will never arrive.
    pub(crate) fn lost(&mut self, items: u64, cause: &str, now: Instant) {
        self.lost = self.lost.saturating_add(items);
        let cause = self.voice.redactor.redact_text(cause).text.into_owned();
        self.tell(Kind::Outage, cause, self.lost, now);
    }

    /// The collector took a batch ([`Trouble::is_over`] was said) but for these items, and says why.
    pub(crate) fn refused_part(&mut self, items: u64, why: &str, now: Instant) {
        self.refused = self.refused.saturating_add(items);
        let cause = format!("it refused a part: {why}");
        let cause = self.voice.redactor.redact_text(&cause).text.into_owned();
        self.note(Some(&cause));
        self.tell(Kind::Part, cause, self.refused, now);
    }

    /// The collector took something.
    pub(crate) fn is_over(&mut self) {
        if let Some(address) = self.local
            && !self.voice.has_greeted.swap(true, Ordering::Relaxed)
        {
            self.greet(address);
        }
        self.failures = 0;
        self.note(None);
        if self.told.iter().all(|told| told.kind == Kind::Part) {
            return;
        }
        self.told.retain(|told| told.kind == Kind::Part);
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

    fn tell(&mut self, kind: Kind, cause: String, lost: u64, now: Instant) {
        self.told.retain(|told| now.saturating_duration_since(told.at) < SILENCE);
        let alike = self.told.iter().filter(|told| told.kind == kind);
        if alike.clone().any(|told| told.cause == cause) || alike.count() >= MOST_CAUSES {
            return;
        }
        self.say(Level::WARN, "telemetry cannot be exported", Some(&cause), lost);
        self.told.push(Told { kind, cause, at: now });
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
    use crate::log::testing::Lines;
    use std::sync::Arc;
    use std::time::Duration;

    const BASE: &str = "signal=spans endpoint=https://collector:4318/v1/traces";

    fn trouble() -> (Trouble, Lines) {
        let lines = Lines::default();
        let voice = Voice {
            lines: Some(Arc::new(lines.clone())),
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
        (Trouble::new(voice, "spans", &endpoint), lines)
    }

    fn cannot(rest: &str) -> String {
        format!("WARN telemetry cannot be exported {BASE} {rest}")
    }

    fn again(lost: u64) -> String {
        format!("INFO telemetry is exported again {BASE} lost={lost}")
    }

    #[test]
    fn each_change_is_told_once_and_what_lasts_every_five_minutes() {
        let (mut trouble, lines) = trouble();
        let latest = trouble.latest();
        let start = clock::instant();

        trouble.failed("busy", start);
        assert!(latest.lock().unwrap().is_some());
        trouble.is_over();
        assert_eq!(lines.take(), [""; 0], "one failure alone is nothing");
        assert_eq!(*latest.lock().unwrap(), None, "nor is it the reason for what is lost later");

        trouble.failed("busy", start);
        trouble.failed("busy", start);
        trouble.lost(7, "busy", start + SILENCE / 2);
        assert_eq!(lines.take(), [cannot("cause=busy lost=0")]);
        let cause = "https://collector:4318/v1/traces: busy";
        assert_eq!(latest.lock().unwrap().as_deref(), Some(cause));

        trouble.lost(5, "busy", start + SILENCE);
        trouble.failed("gone, password=hunter2", start + SILENCE);
        assert_eq!(
            lines.take(),
            [cannot("cause=busy lost=12"), cannot("cause=gone, password=[REDACTED] lost=12"),]
        );
        // Causes may take turns.
        trouble.failed("busy", start + SILENCE);
        trouble.failed("gone, password=hunter2", start + SILENCE);
        assert_eq!(lines.take(), [""; 0]);
        trouble.is_over();
        trouble.is_over();
        assert_eq!(lines.take(), [again(12)]);
        assert!(latest.lock().unwrap().is_none());
    }

    #[test]
    fn a_part_that_is_refused_of_each_batch_is_told_every_five_minutes() {
        let (mut trouble, lines) = trouble();
        let latest = trouble.latest();
        let start = clock::instant();
        let batch = |trouble: &mut Trouble, now| {
            trouble.is_over();
            trouble.refused_part(1, "too old", now);
        };
        for second in 0..300 {
            batch(&mut trouble, start + Duration::from_secs(second));
            // One that is taken whole ends nothing: the next may have the like.
            trouble.is_over();
        }
        assert_eq!(lines.take(), [cannot("cause=it refused a part: too old lost=1")]);
        batch(&mut trouble, start + SILENCE);
        assert_eq!(lines.take(), [cannot("cause=it refused a part: too old lost=301")]);
        let cause = "https://collector:4318/v1/traces: it refused a part: too old";
        assert_eq!(latest.lock().unwrap().as_deref(), Some(cause));

        // An outage in between is told, and its end.
        trouble.lost(9, "gone", start + SILENCE);
        batch(&mut trouble, start + SILENCE);
        assert_eq!(lines.take(), [cannot("cause=gone lost=9"), again(9)]);
        trouble.is_over();
        assert_eq!(*latest.lock().unwrap(), None);
    }
}
