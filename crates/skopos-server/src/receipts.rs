//! Ingest receipts: what was accepted, refused and redacted, per sender, since the start.
//!
//! Kept in memory and bounded: at most [`MAX_SENDERS`] senders and [`MAX_ROWS_PER_SENDER`] reasons
//! or keys each; what comes beyond is counted under `other`, so that a hostile sender can neither
//! fill the memory nor hide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skopos::metrics::{Bounded, Counter, Family, LabelValue, Registry};
use skopos_model::Rejection;

mod printable;

use printable::printable;

/// Senders told apart.
pub const MAX_SENDERS: usize = 1_000;
/// Reasons and keys told apart per sender.
pub const MAX_ROWS_PER_SENDER: usize = 64;

const OTHER: &str = "other";

/// The three signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Samples.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    /// Name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

impl LabelValue for Signal {
    const LIMIT: usize = 3;

    fn label(&self) -> &str {
        self.as_str()
    }
}

/// How telemetry arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Prometheus remote write.
    RemoteWrite,
    /// A scrape.
    Scrape,
}

impl Transport {
    /// Name in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::RemoteWrite => "remote_write",
            Self::Scrape => "scrape",
        }
    }
}

impl LabelValue for Transport {
    const LIMIT: usize = 4;

    fn label(&self) -> &str {
        self.as_str()
    }
}

skopos::labels! {
    struct AcceptedLabels { signal: Signal, sender: Bounded<99> }
}

skopos::labels! {
    struct RejectedLabels { signal: Signal, sender: Bounded<99>, reason: Bounded<64> }
}

skopos::labels! {
    struct RedactedLabels { sender: Bounded<99> }
}

skopos::labels! {
    struct RefusedLabels { transport: Transport, reason: Bounded<32> }
}

/// The same counts as metrics; the keys of redacted values stay out, they are the senders' words.
struct Counters {
    accepted: Family<AcceptedLabels, Counter>,
    rejected: Family<RejectedLabels, Counter>,
    redacted: Family<RedactedLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

/// One sender's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Items stored, per signal.
    pub accepted: BTreeMap<Signal, u64>,
    /// Items refused, per signal and reason.
    pub rejected: BTreeMap<(Signal, String), u64>,
    /// The first refusal's explanation, per signal and reason.
    pub messages: BTreeMap<(Signal, String), String>,
    /// Values replaced because their names must never be logged, per key.
    pub redacted: BTreeMap<String, u64>,
    /// Whole requests refused, per transport and reason.
    pub refused_requests: BTreeMap<(Transport, String), u64>,
    /// The ways its metrics came: more than a scrape or a push means that they count twice.
    pub metrics_by: BTreeSet<Transport>,
}

impl Receipt {
    /// Whether the sender's metrics are scraped and pushed, so that sums over them count twice.
    pub fn is_both_scraped_and_pushed(&self) -> bool {
        self.metrics_by.contains(&Transport::Scrape) && self.metrics_by.len() > 1
    }
}

/// All accounts.
pub struct Receipts {
    senders: Mutex<BTreeMap<String, Receipt>>,
    counters: Counters,
}

impl Receipts {
    /// Empty accounts whose sums are also exposed by `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counters = Counters {
            accepted: registry.counter_family(
                "skopos_ingest_accepted_items_total",
                "Samples, log records and spans stored, by signal and sender.",
            ),
            rejected: registry.counter_family(
                "skopos_ingest_rejected_items_total",
                "Samples, log records and spans refused, by signal, sender and reason.",
            ),
            redacted: registry.counter_family(
                "skopos_ingest_redacted_values_total",
                "Values replaced because they must never be stored, by sender.",
            ),
            refused: registry.counter_family(
                "skopos_ingest_refused_requests_total",
                "Requests and scrapes refused as a whole, by transport and reason.",
            ),
        };
        Self { senders: Mutex::default(), counters }
    }

    /// Counts items stored.
    pub fn accept(&self, signal: Signal, sender: &str, count: u64) {
        let sender = &*printable(sender);
        self.counters.accepted.get(&AcceptedLabels { signal, sender: sender.into() }).add(count);
        self.with(sender, |receipt| *receipt.accepted.entry(signal).or_default() += count);
    }

    /// Notes the way in which a sender's metrics came, and reports once a sender whose metrics are
    /// both scraped and pushed. The name stands for the service: a scrape's job, a push's
    /// `service.name`. Call it after [`accept`](Self::accept).
    pub fn metrics_came(&self, transport: Transport, sender: &str) {
        let sender = &*printable(sender);
        let mut senders = self.lock();
        // Absent are only those that are counted under `other`.
        let Some(receipt) = senders.get_mut(sender) else { return };
        let before = receipt.is_both_scraped_and_pushed();
        receipt.metrics_by.insert(transport);
        let found = !before && receipt.is_both_scraped_and_pushed();
        drop(senders);
        if found {
            tracing::warn!(
                sender,
                "metrics of this sender are both scraped and pushed: sums over them count twice"
            );
        }
    }

    /// Counts items refused.
    pub fn reject(&self, signal: Signal, rejection: &Rejection) {
        let sender = &*printable(&rejection.sender);
        let labels = RejectedLabels {
            signal,
            sender: sender.into(),
            reason: Bounded::new(rejection.reason.clone()),
        };
        self.counters.rejected.get(&labels).add(rejection.count);
        self.with(sender, |receipt| {
            let full = receipt.rejected.len() >= MAX_ROWS_PER_SENDER;
            let key = (signal, rejection.reason.to_string());
            let key = if full && !receipt.rejected.contains_key(&key) {
                (signal, OTHER.to_owned())
            } else {
                key
            };
            *receipt.rejected.entry(key.clone()).or_default() += rejection.count;
            receipt.messages.entry(key).or_insert_with(|| rejection.message.clone());
        });
    }

    /// Counts values redacted.
    pub fn redact(&self, sender: &str, key: &str, count: u64) {
        let (sender, key) = (&*printable(sender), &*printable(key));
        self.counters.redacted.get(&RedactedLabels { sender: sender.into() }).add(count);
        self.with(sender, |receipt| {
            let full = receipt.redacted.len() >= MAX_ROWS_PER_SENDER;
            let key = if full && !receipt.redacted.contains_key(key) { OTHER } else { key };
            *receipt.redacted.entry(key.to_owned()).or_default() += count;
        });
    }

    /// Counts a request refused as a whole; the sender is then the peer's address.
    pub fn refuse(&self, transport: Transport, sender: &str, reason: &'static str) {
        let sender = &*printable(sender);
        self.counters.refused.get(&RefusedLabels { transport, reason: reason.into() }).inc();
        self.with(sender, |receipt| {
            *receipt.refused_requests.entry((transport, reason.to_owned())).or_default() += 1;
        });
    }

    /// A copy of all accounts by sender.
    pub fn snapshot(&self) -> BTreeMap<String, Receipt> {
        self.lock().clone()
    }

    fn with(&self, sender: &str, change: impl FnOnce(&mut Receipt)) {
        let sender = &*printable(sender);
        let mut senders = self.lock();
        let full = senders.len() >= MAX_SENDERS;
        let sender = if full && !senders.contains_key(sender) { OTHER } else { sender };
        if let Some(receipt) = senders.get_mut(sender) {
            return change(receipt);
        }
        change(senders.entry(sender.to_owned()).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Receipt>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scrape_and_a_push_of_one_sender_count_twice() {
        use Transport::{OtlpGrpc, OtlpHttp, RemoteWrite, Scrape};
        for (ways, want) in [
            (&[][..], false),
            (&[Scrape, Scrape], false),
            (&[OtlpGrpc, OtlpHttp, RemoteWrite], false),
            (&[OtlpHttp, Scrape], true),
            (&[Scrape, RemoteWrite, Scrape], true),
        ] {
            let receipts = Receipts::new(&Registry::new());
            for sender in ["another", "shop"] {
                receipts.accept(Signal::Metrics, sender, 1);
            }
            receipts.metrics_came(OtlpGrpc, "another");
            for way in ways {
                receipts.metrics_came(*way, "shop");
            }
            let snapshot = receipts.snapshot();
            assert_eq!(snapshot["shop"].is_both_scraped_and_pushed(), want, "{ways:?}");
            assert!(!snapshot["another"].is_both_scraped_and_pushed());
        }
    }

    #[test]
    fn a_flood_of_senders_and_reasons_stays_bounded() {
        let receipts = Receipts::new(&Registry::new());
        for i in 0..MAX_SENDERS + 10 {
            receipts.accept(Signal::Logs, &format!("s{i}"), 1);
        }
        for i in 0..MAX_ROWS_PER_SENDER + 10 {
            receipts.redact("s0", &format!("k{i}"), 1);
        }
        let snapshot = receipts.snapshot();
        assert_eq!(snapshot.len(), MAX_SENDERS + 1);
        assert_eq!(snapshot["other"].accepted[&Signal::Logs], 10);
        assert_eq!(snapshot["s0"].redacted["other"], 10);
    }
}
