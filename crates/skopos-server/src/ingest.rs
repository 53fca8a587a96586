//! From a received body to a durable batch: decompress, decode, store, account.
//!
//! One path for all transports and signals. Decoding runs on the blocking pool, as many at a
//! time as there are cores, because it is work and not waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use skopos_ingest::derive::Tally;
use skopos_ingest::otlp::{self, DecodeError, OtlpEncoding, OtlpOptions};
use skopos_ingest::remote_write::{self, LabelCache, WriteError};
use skopos_ingest::{
    Adjustment, ContentEncoding, DecompressError, Ingested, Limits, MetricScope, decompress,
};
use skopos_model::storage::StorageError;
use skopos_model::{Clock, Rejection, SampleValue, SignalBatch};
use skopos_store::SeriesLimits;
use skopos_store::cardinality::Cardinality;
use tokio::sync::Semaphore;

use crate::admission::{Admission, Admitted, BodyError};
use crate::config::Settings;
use crate::derive::Deriver;
use crate::error::{ApiError, ErrorClass};
use crate::receipts::{Receipts, Signal, Transport};
use crate::slos::LateSamples;
use crate::state::Storage;

/// Bodies up to this size are decoded where they arrive: moving them costs more.
const INLINE_DECODE_BYTES: usize = 16 << 10;
/// Memory a decoded request may take for each byte that a request may have: what the decoder's own
/// defaults allow, so that a smaller `limits.request_bytes` bounds both.
const DECODED_PER_REQUEST_BYTE: usize = 8;

/// The ingest path; one per server.
pub(crate) struct Ingest {
    store: Arc<dyn Storage>,
    cardinality: Arc<dyn Cardinality>,
    clock: Arc<dyn Clock>,
    receipts: Arc<Receipts>,
    deriver: Arc<Deriver>,
    options: Arc<OtlpOptions>,
    /// Label sets that remote write has brought before.
    label_sets: Arc<LabelCache>,
    decoders: Semaphore,
    pub(crate) admission: Admission,
    /// What objectives must read again.
    pub(crate) late: Arc<LateSamples>,
}

/// A request as it arrived.
pub(crate) struct Export {
    pub(crate) transport: Transport,
    pub(crate) signal: Signal,
    pub(crate) encoding: OtlpEncoding,
    pub(crate) compression: ContentEncoding,
    /// The peer's address: the sender as long as nothing is decoded.
    pub(crate) peer: String,
}

/// What the sender is told: (0, "") on full success.
pub(crate) struct Exported {
    pub(crate) rejected: u64,
    pub(crate) message: String,
    pub(crate) written: Written,
}

/// What of a metric batch was stored, as remote write 2.0 wants to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) samples: u64,
    pub(crate) histograms: u64,
    pub(crate) exemplars: u64,
}

impl Written {
    fn of(batch: &SignalBatch) -> Self {
        let mut written = Self::default();
        let SignalBatch::Metrics(batch) = batch else { return written };
        for series in &batch.series {
            let floats = series.samples.iter().filter(|s| matches!(s.value, SampleValue::Float(_)));
            let floats = floats.count();
            written.samples += floats as u64;
            written.histograms += (series.samples.len() - floats) as u64;
            written.exemplars += series.exemplars.len() as u64;
        }
        written
    }

    /// Takes off what the store refused. It does not say of which kind that was; most are numbers.
    fn without(self, refused: u64) -> Self {
        let of_samples = refused.min(self.samples);
        Self {
            samples: self.samples - of_samples,
            histograms: self.histograms.saturating_sub(refused - of_samples),
            ..self
        }
    }
}

/// Which version of remote write a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteVersion {
    V1,
    V2,
}

impl Ingest {
    pub(crate) fn new(
        store: Arc<dyn Storage>,
        cardinality: Arc<dyn Cardinality>,
        clock: Arc<dyn Clock>,
        receipts: Arc<Receipts>,
        deriver: Arc<Deriver>,
        settings: &Settings,
        label_bytes: usize,
    ) -> Self {
        let options = OtlpOptions { limits: decoder_limits(settings), ..OtlpOptions::default() };
        let label_sets = Arc::new(LabelCache::new(&options.limits, label_bytes));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            store,
            cardinality,
            clock,
            receipts,
            deriver,
            options: Arc::new(options),
            label_sets,
            decoders: Semaphore::new(cores),
            admission: Admission::new(settings),
            late: Arc::new(LateSamples::new(settings.retention_metrics.age)),
        }
    }

    /// Takes a body in.
    pub(crate) async fn export(
        &self,
        export: &Export,
        body: Bytes,
        admitted: &mut Admitted,
    ) -> Result<Exported, ApiError> {
        let decoded = self.decode(export, body, admitted).await?;
        self.keep(export, decoded).await
    }

    /// Takes in the body of a remote-write request.
    pub(crate) async fn write(
        &self,
        export: &Export,
        version: WriteVersion,
        block: Bytes,
        admitted: &mut Admitted,
    ) -> Result<Exported, ApiError> {
        let max_bytes = self.options.limits.request_bytes;
        let refuse = |error: WriteError| {
            self.refuse(export, error.reason());
            match error {
                WriteError::TooLarge { limit: "request_bytes", .. } => too_large(max_bytes),
                WriteError::TooLarge { .. } => {
                    ApiError::new(ErrorClass::TooLarge, error.to_string())
                }
                _ => ApiError::bad_request(error.to_string()),
            }
        };
        let len = remote_write::decompressed_len(&block, max_bytes).map_err(refuse)?;
        admitted.hold(len).map_err(|error| self.body_error(export, error))?;
        let permit = self.decoders.acquire().await;
        let (options, label_sets) = (Arc::clone(&self.options), Arc::clone(&self.label_sets));
        let decode = move || {
            let plain = remote_write::decompress(&block, max_bytes)?;
            let (limits, known) = (&options.limits, Some(&*label_sets));
            match version {
                WriteVersion::V1 => remote_write::decode_with(&plain, limits, known),
                WriteVersion::V2 => remote_write::decode_v2_with(&plain, limits, known),
            }
        };
        let decoded = if len <= INLINE_DECODE_BYTES { decode() } else { work(decode).await? };
        drop(permit);
        let decoded = decoded.map_err(refuse)?;
        self.keep(export, Derived::nothing(decoded.map(SignalBatch::Metrics))).await
    }

    /// Stores what was decoded, counts it and accounts for all of it.
    async fn keep(&self, export: &Export, derived: Derived) -> Result<Exported, ApiError> {
        let Derived { ingested, tally, dropped } = derived;
        let Ingested { decoded, mut adjusted, redactions, scopes } = ingested;
        for redaction in &redactions {
            self.receipts.redact(&redaction.sender, &redaction.key, redaction.count);
        }
        let mut rejected = decoded.rejected;
        let batch = decoded.value;
        let mut sent = senders(&batch);
        let mut written = Written::of(&batch);
        if !batch.is_empty() {
            let late = self.late.of(&batch, self.clock.now());
            let appended = self.store.append(batch).await.map_err(|error| {
                let error = storage_error(error);
                self.refuse(export, error.1);
                error.0
            })?;
            // The store does not say which samples it refused; of none it took nothing came late.
            let late = late.filter(|_| appended.accepted > 0);
            late.into_iter().for_each(|late| self.late.note(late));
            written = written.without(appended.rejected.iter().map(|r| r.count).sum());
            for mut rejection in appended.rejected {
                // The store names the job, which for pushed metrics is `namespace/service`.
                if let Some((_, service)) = rejection.sender.rsplit_once('/') {
                    rejection.sender = service.to_owned();
                }
                if let Some(count) = sent.get_mut(&rejection.sender) {
                    *count = count.saturating_sub(rejection.count);
                }
                self.name_scopes(&mut rejection, &scopes);
                rejected.push(rejection);
            }
            for mut folded in appended.folded {
                if let Some((_, service)) = folded.sender.rsplit_once('/') {
                    folded.sender = service.to_owned();
                }
                self.name_scopes(&mut folded, &scopes);
                let Rejection { reason, sender, count, message } = folded;
                let known = SeriesLimits::REASONS.into_iter().find(|known| *known == reason);
                let reason = known.unwrap_or("folded");
                adjusted.push(Adjustment { reason, sender, count, message });
            }
        }
        self.deriver.add(&tally);
        self.account(export, &sent, &rejected);
        // Dropped by our own configuration: shown in the sender's receipt, but no error of the
        // sender's, which would have its SDK complain with every batch.
        self.account(export, &BTreeMap::new(), &dropped);
        let (rejected, message) = otlp::partial_message(&rejected, &adjusted);
        Ok(Exported { rejected, message, written })
    }

    /// Names the scopes whose new series went beyond a limit: the store does not know them.
    fn name_scopes(&self, rejection: &mut Rejection, scopes: &[MetricScope]) {
        if !SeriesLimits::REASONS.contains(&&*rejection.reason) {
            return;
        }
        for MetricScope { metric, service, scope } in scopes {
            if **service != *rejection.sender {
                continue;
            }
            self.cardinality.name_scope(service, metric, scope);
            if rejection.message.starts_with(&format!("new series of {metric}")) {
                let named = format!("scope={scope:?}");
                rejection.message = rejection.message.replacen("scope=\"\"", &named, 1);
            }
        }
    }

    async fn decode(
        &self,
        export: &Export,
        body: Bytes,
        admitted: &mut Admitted,
    ) -> Result<Derived, ApiError> {
        let permit = self.decoders.acquire().await;
        let (signal, encoding, compression) = (export.signal, export.encoding, export.compression);
        let options = Arc::clone(&self.options);
        let now = self.clock.now();
        let max_bytes = options.limits.request_bytes;
        let plain = if compression == ContentEncoding::Identity {
            body
        } else {
            let unpack = move || {
                decompress(compression, &body, max_bytes).map(|out| Bytes::from(out.into_owned()))
            };
            let unpacked = work(unpack).await?;
            unpacked.map_err(|error| {
                self.refuse(export, error.reason());
                match error {
                    DecompressError::TooLarge { .. } => too_large(max_bytes),
                    DecompressError::Corrupt { .. } => ApiError::bad_request(error.to_string()),
                }
            })?
        };
        admitted.hold(plain.len()).map_err(|error| self.body_error(export, error))?;
        let decode = {
            let plain = plain.clone();
            let deriver = Arc::clone(&self.deriver);
            move || {
                let decoded = match signal {
                    Signal::Logs => otlp::decode_logs(encoding, &plain, &options, now)
                        .map(|logs| logs.map(SignalBatch::Logs)),
                    Signal::Traces => otlp::decode_traces(encoding, &plain, &options)
                        .map(|traces| traces.map(SignalBatch::Traces)),
                    Signal::Metrics => otlp::decode_metrics(encoding, &plain, &options)
                        .map(|metrics| metrics.map(SignalBatch::Metrics)),
                };
                decoded.map(|mut ingested| {
                    let (tally, dropped) = deriver.tally(&mut ingested.decoded.value, now);
                    Derived { ingested, tally, dropped }
                })
            }
        };
        let decoded =
            if plain.len() <= INLINE_DECODE_BYTES { decode() } else { work(decode).await? };
        drop(permit);
        decoded.map_err(|error| {
            self.refuse(export, error.reason());
            match error {
                DecodeError::TooLarge { .. } => {
                    ApiError::new(ErrorClass::TooLarge, error.to_string())
                }
                _ => ApiError::bad_request(error.to_string()),
            }
        })
    }

    /// Counts a request refused as a whole.
    pub(crate) fn refuse(&self, export: &Export, reason: &'static str) {
        self.receipts.refuse(export.transport, &export.peer, reason);
    }

    /// Counts and words a body that was not taken in.
    pub(crate) fn body_error(&self, export: &Export, error: BodyError) -> ApiError {
        let (reason, error) = match error {
            BodyError::Overloaded => {
                ("overloaded", ApiError::unavailable("too many requests in flight, come back"))
            }
            BodyError::TooLarge => ("request_bytes", too_large(self.options.limits.request_bytes)),
            BodyError::TimedOut => (
                "request_timeout",
                ApiError::new(
                    ErrorClass::RequestTimeout,
                    "the request was not complete within limits.request_timeout",
                ),
            ),
            BodyError::Broken => {
                ("broken_connection", ApiError::bad_request("the connection broke"))
            }
        };
        self.refuse(export, reason);
        error
    }

    fn account(&self, export: &Export, accepted: &BTreeMap<String, u64>, rejected: &[Rejection]) {
        for (sender, count) in accepted.iter().filter(|(_, count)| **count > 0) {
            self.receipts.accept(export.signal, sender, *count);
            if export.signal == Signal::Metrics {
                self.receipts.metrics_came(export.transport, sender);
            }
        }
        for rejection in rejected {
            self.receipts.reject(export.signal, rejection);
        }
    }
}

/// A decoded batch with what is derived from it.
struct Derived {
    ingested: Ingested<SignalBatch>,
    /// Counted once the batch is stored.
    tally: Tally,
    /// Taken out of the batch because the configuration says so.
    dropped: Vec<Rejection>,
}

impl Derived {
    fn nothing(ingested: Ingested<SignalBatch>) -> Self {
        Self { ingested, tally: Tally::default(), dropped: Vec::new() }
    }
}

/// Runs work on the blocking pool.
async fn work<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| ApiError::internal(format!("decoder stopped: {error}")))
}

fn too_large(max_bytes: usize) -> ApiError {
    ApiError::new(
        ErrorClass::TooLarge,
        format!("request exceeds limits.request_bytes = {max_bytes} after decompression"),
    )
}

fn storage_error(error: StorageError) -> (ApiError, &'static str) {
    let reason = error.kind.as_str();
    (ApiError::from(error), reason)
}

/// What the decoders let through. What a series may look like is decided by the store, which knows
/// whether it is new, and names metric and label of what it refuses to everybody; the decoders' own
/// bounds lie well above that, for what only wastes memory.
pub(crate) fn decoder_limits(settings: &Settings) -> Limits {
    let (own, series) = (Limits::default(), &settings.series_limits);
    Limits {
        request_bytes: settings.max_request_bytes,
        decoded_bytes: settings.max_request_bytes.saturating_mul(DECODED_PER_REQUEST_BYTE),
        labels_per_series: above(own.labels_per_series, series.labels_per_series),
        label_name_bytes: above(own.label_name_bytes, series.label_name_bytes),
        label_value_bytes: above(own.attribute_value_bytes, series.label_value_bytes),
        ..own
    }
}

fn above(own: usize, of_series: usize) -> usize {
    own.max(of_series).saturating_mul(4)
}

/// How many items each sender has in a batch.
pub(crate) fn senders(batch: &SignalBatch) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |sender: &str, count: usize| match counts.get_mut(sender) {
        Some(total) => *total += count as u64,
        None => {
            counts.insert(sender.to_owned(), count as u64);
        }
    };
    match batch {
        SignalBatch::Logs(batch) => {
            for group in &batch.groups {
                add(group.resource.service_name(), group.records.len());
            }
        }
        SignalBatch::Traces(batch) => {
            for group in &batch.groups {
                add(group.resource.service_name(), group.spans.len());
            }
        }
        SignalBatch::Metrics(batch) => {
            for series in &batch.series {
                // `job` is `service.namespace/service.name`; rejections name the service alone.
                let job = series.labels.value("job");
                add(job.rsplit('/').next().unwrap_or(job), series.samples.len());
            }
        }
    }
    counts
}
