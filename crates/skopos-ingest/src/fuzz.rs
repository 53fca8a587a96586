//! Fuzz targets: any bytes in, no panic, and what comes out holds its invariants.
//!
//! Plain functions on stable Rust. `tests/it/fuzz.rs` drives them over the committed corpus and
//! its mutations; `cargo xtask fuzz` does so for longer.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use skopos_model::{MetricBatch, SampleValue, SeriesSamples, Timestamp};

use crate::compression::{ContentEncoding, decompress};
use crate::exposition::{ExpositionFormat, ExpositionOptions, parse};
use crate::limits::Limits;
use crate::otlp::{
    DecodeError, OtlpEncoding, OtlpOptions, decode_logs, decode_metrics, decode_traces,
};
use crate::remote_write::{self, LabelCache, WriteError};
use crate::report::{Ingested, MAX_ENTRIES};

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
const ENCODINGS: [OtlpEncoding; 2] = [OtlpEncoding::Protobuf, OtlpEncoding::Json];

/// Small enough to be full soon.
const LABEL_BYTES: usize = 64 << 10;

thread_local! {
    static LABELS: LabelCache = LabelCache::new(&Limits::default(), LABEL_BYTES);
    /// Compiling the redactor per input would take nearly all the time.
    static OPTIONS: OtlpOptions = OtlpOptions::default();
}

/// OTLP logs in both encodings: every record is stored or rejected.
pub fn fuzz_otlp_logs(data: &[u8]) {
    OPTIONS.with(|options| {
        for encoding in ENCODINGS {
            let report = match decode_logs(encoding, data, options, NOW) {
                Ok(report) => report,
                Err(error) => {
                    check_error(&error, data);
                    continue;
                }
            };
            check_report(&report);
            let kept: usize = report.decoded.value.groups.iter().map(|g| g.records.len()).sum();
            if encoding == OtlpEncoding::Protobuf {
                let request = ExportLogsServiceRequest::decode(data).unwrap_or_default();
                let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
                let sent: usize = scopes.map(|s| s.log_records.len()).sum();
                assert_eq!(kept as u64 + report.decoded.rejected_count(), sent as u64);
            }
        }
    });
}

/// OTLP traces in both encodings: every span is stored or rejected, and what is stored is sound.
pub fn fuzz_otlp_traces(data: &[u8]) {
    OPTIONS.with(|options| {
        for encoding in ENCODINGS {
            let report = match decode_traces(encoding, data, options) {
                Ok(report) => report,
                Err(error) => {
                    check_error(&error, data);
                    continue;
                }
            };
            check_report(&report);
            let spans = || report.decoded.value.groups.iter().flat_map(|g| &g.spans);
            for span in spans() {
                assert!(span.trace_id.is_valid() && span.span_id.is_valid());
                assert!(span.start_time <= span.end_time && !span.name.is_empty());
            }
            if encoding == OtlpEncoding::Protobuf {
                let request = ExportTraceServiceRequest::decode(data).unwrap_or_default();
                let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
                let sent: usize = scopes.map(|s| s.spans.len()).sum();
                assert_eq!(spans().count() as u64 + report.decoded.rejected_count(), sent as u64);
            }
        }
    });
}

/// OTLP metrics in both encodings: every series is sound.
pub fn fuzz_otlp_metrics(data: &[u8]) {
    OPTIONS.with(|options| {
        for encoding in ENCODINGS {
            match decode_metrics(encoding, data, options) {
                Ok(report) => {
                    check_report(&report);
                    report.decoded.value.series.iter().for_each(check_series);
                }
                Err(error) => check_error(&error, data),
            }
        }
    });
}

/// Both text formats: an error lies within the body, and printed series read back the same.
pub fn fuzz_exposition(data: &[u8]) {
    let limits = Limits::default();
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
        let options = ExpositionOptions::new(format, 7, &limits);
        let scrape = match parse(data, &options) {
            Ok(scrape) => scrape,
            Err(error) => {
                let line = data.split(|byte| *byte == b'\n').nth(error.line - 1);
                assert!(line.is_some_and(|line| error.column <= line.len() + 1), "{error}");
                continue;
            }
        };
        let mut printed = String::new();
        for series in &scrape.batch.series {
            check_series(series);
            printed.push_str(&format!("{} 1\n", series.labels));
        }
        let options = ExpositionOptions::new(ExpositionFormat::Text, 7, &limits);
        let again = parse(printed.as_bytes(), &options).expect("printed series are readable");
        let labels =
            |batch: &MetricBatch| batch.series.iter().map(|s| s.labels.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&again.batch), labels(&scrape.batch));
    }
}

/// Remote write: the bytes as a request, and as a block; every series is sound, and what was kept
/// is kept again when it is sent on.
pub fn fuzz_remote_write(data: &[u8]) {
    const MAX_BYTES: usize = 1 << 16;
    let limits = Limits::default();
    let unpacked = remote_write::decompress(data, MAX_BYTES);
    assert!(unpacked.as_ref().is_ok_and(|body| body.len() <= MAX_BYTES) || unpacked.is_err());
    for body in [Some(data), unpacked.as_deref().ok()].into_iter().flatten() {
        let decoded = remote_write::decode(body, &limits);
        same_with_cache(&decoded, |cache| remote_write::decode_with(body, &limits, Some(cache)));
        let report = match decoded {
            Ok(report) => report,
            Err(WriteError::Malformed { offset, .. }) => {
                assert!(offset <= body.len());
                continue;
            }
            Err(error) => panic!("small inputs are within the limit: {error}"),
        };
        check_report(&report);
        let kept = report.decoded.value;
        kept.series.iter().for_each(check_series);
        let block = remote_write::encode(&kept);
        let sent_on = remote_write::decompress(&block, usize::MAX).expect("our own block");
        let again = remote_write::decode(&sent_on, &limits).expect("our own request");
        assert_eq!(again.decoded.rejected, []);
        // Through text, because NaN does not equal itself.
        assert_eq!(format!("{:?}", again.decoded.value), format!("{kept:?}"));
    }
}

/// Remote write 2.0: like [`fuzz_remote_write`].
pub fn fuzz_remote_write_v2(data: &[u8]) {
    let limits = Limits::default();
    let decoded = remote_write::decode_v2(data, &limits);
    same_with_cache(&decoded, |cache| remote_write::decode_v2_with(data, &limits, Some(cache)));
    let report = match decoded {
        Ok(report) => report,
        Err(WriteError::Malformed { offset, .. }) => {
            assert!(offset <= data.len());
            return;
        }
        Err(error) => panic!("small inputs are within the limit: {error}"),
    };
    check_report(&report);
    let kept = report.decoded.value;
    kept.series.iter().for_each(check_series);
    let block = remote_write::encode_v2(&kept);
    let sent_on = remote_write::decompress(&block, usize::MAX).expect("our own block");
    let again = remote_write::decode_v2(&sent_on, &limits).expect("our own request");
    assert_eq!(again.decoded.rejected, []);
    // Through text, because NaN does not equal itself.
    assert_eq!(format!("{:?}", again.decoded.value), format!("{kept:?}"));
}

/// A cache changes nothing: neither one that knows the labels of inputs before, nor one that knows
/// those of this.
fn same_with_cache(
    plain: &Result<Ingested<MetricBatch>, WriteError>,
    decode: impl Fn(&LabelCache) -> Result<Ingested<MetricBatch>, WriteError>,
) {
    let plain = format!("{plain:?}");
    LABELS.with(|cache| {
        for _ in 0..2 {
            // Through text, because NaN does not equal itself.
            assert_eq!(format!("{:?}", decode(cache)), plain);
        }
        assert!(cache.size_bytes() <= LABEL_BYTES);
    });
}

/// Every encoding: never more than the limit comes out.
pub fn fuzz_decompress(data: &[u8]) {
    const MAX_BYTES: usize = 1 << 16;
    for encoding in [
        ContentEncoding::Identity,
        ContentEncoding::Gzip,
        ContentEncoding::Deflate,
        ContentEncoding::Zstd,
    ] {
        if let Ok(out) = decompress(encoding, data, MAX_BYTES) {
            assert!(out.len() <= MAX_BYTES);
        }
    }
}

fn check_error(error: &DecodeError, data: &[u8]) {
    let (DecodeError::Malformed { offset, .. } | DecodeError::InvalidUtf8 { offset, .. }) = error
    else {
        panic!("small inputs are within the limit: {error}");
    };
    assert!(*offset <= data.len(), "{error}");
    assert!(!error.to_string().is_empty());
}

fn check_report<T>(report: &Ingested<T>) {
    // One list keeps growing by reasons under the empty sender, a closed set.
    assert!(report.decoded.rejected.len() < 2 * MAX_ENTRIES);
    assert!(report.adjusted.len() < 2 * MAX_ENTRIES);
    assert!(report.redactions.len() <= MAX_ENTRIES + 1);
    assert!(report.decoded.rejected.iter().all(|r| r.count > 0 && !r.message.is_empty()));
    assert!(report.adjusted.iter().all(|a| a.count > 0 && !a.message.is_empty()));
}

fn check_series(series: &SeriesSamples) {
    assert!(!series.labels.metric_name().is_empty());
    assert!(series.labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    for sample in &series.samples {
        if let SampleValue::Histogram(histogram) = &sample.value {
            assert!(histogram.is_well_formed(), "{histogram:?}");
        }
    }
}

/// The protobuf form of a logs request in JSON, for the corpus.
pub fn logs_seed(json: &[u8]) -> Vec<u8> {
    crate::otlp::json::logs(json, usize::MAX)
        .map(|request| request.encode_to_vec())
        .unwrap_or_default()
}

/// The protobuf form of a traces request in JSON, for the corpus.
pub fn traces_seed(json: &[u8]) -> Vec<u8> {
    crate::otlp::json::traces(json, usize::MAX)
        .map(|request| request.encode_to_vec())
        .unwrap_or_default()
}

/// The protobuf form of a metrics request in JSON, for the corpus.
pub fn metrics_seed(json: &[u8]) -> Vec<u8> {
    crate::otlp::json::metrics(json, usize::MAX)
        .map(|request| request.encode_to_vec())
        .unwrap_or_default()
}
