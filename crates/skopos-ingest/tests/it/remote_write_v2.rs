//! Remote write 2.0: what a foreign sender's messages become. As for 1.0, the messages are prost's.

use prost::Message;
use skopos_ingest::remote_write::{WriteError, decode_v2};
use skopos_ingest::{Ingested, Limits};
use skopos_model::{MetricBatch, MetricType, SampleValue};

use crate::support::{adjustments, rejections};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Metadata>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count_int: Option<u64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(int64, tag = "17")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    /// Not packed, which protobuf allows as well.
    #[prost(uint32, repeated, packed = "false", tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

const SYMBOLS: [&str; 11] =
    ["", "__name__", "a_total", "job", "shop", "h", "trace_id", "0af7", "All a's.", "seconds", "x"];

fn request(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    Request { symbols: SYMBOLS.map(str::to_owned).to_vec(), timeseries }.encode_to_vec()
}

fn sample(timestamp: i64, start_timestamp: i64, value: f64) -> Sample {
    Sample { value, timestamp, start_timestamp }
}

fn full() -> Vec<TimeSeries> {
    let metadata = Metadata { kind: 1, help_ref: 8, unit_ref: 9 };
    vec![
        TimeSeries {
            labels_refs: vec![3, 4, 1, 2],
            samples: vec![sample(10, 5, 1.0), sample(20, 5, 2.0), sample(30, 25, 1.0)],
            exemplars: vec![
                Exemplar { labels_refs: vec![6, 7], value: 0.5, timestamp: 12 },
                Exemplar { labels_refs: vec![6, 99], value: 0.5, timestamp: 13 },
            ],
            metadata: Some(metadata),
            ..TimeSeries::default()
        },
        TimeSeries {
            labels_refs: vec![1, 5, 3, 4],
            histograms: vec![Histogram {
                count_int: Some(3),
                sum: 1.5,
                zero_count_int: Some(3),
                timestamp: 10,
                start_timestamp: 4,
            }],
            ..TimeSeries::default()
        },
        // Only an exemplar; and metadata that is known already.
        TimeSeries {
            labels_refs: vec![1, 2, 3, 10],
            exemplars: vec![Exemplar { labels_refs: vec![], value: 1.0, timestamp: 14 }],
            metadata: Some(Metadata { kind: 2, ..Metadata::default() }),
            ..TimeSeries::default()
        },
    ]
}

/// The seed for fuzzing: everything that a request can hold.
pub(crate) fn seed() -> Vec<u8> {
    request(full())
}

fn decode(body: &[u8]) -> Ingested<MetricBatch> {
    decode_v2(body, &Limits::default()).unwrap()
}

#[test]
fn everything_that_a_request_can_hold() {
    let received = decode(&seed());
    let batch = &received.decoded.value;
    assert_eq!(rejections(&received.decoded.rejected), [""; 0]);
    let [first, second, native, lone] = batch.series.as_slice() else { panic!("{batch:?}") };
    assert_eq!(first.labels.to_string(), "a_total{job=\"shop\"}");
    // Samples with the same start stand together.
    assert_eq!((first.samples.len(), first.start_timestamp_ms), (2, Some(5)));
    assert_eq!((second.samples.len(), second.start_timestamp_ms), (1, Some(25)));
    assert_eq!(first.exemplars.len(), 1);
    assert_eq!(first.exemplars[0].labels.get("trace_id"), Some("0af7"));
    assert!(second.exemplars.is_empty());
    assert_eq!((native.labels.metric_name(), native.start_timestamp_ms), ("h", Some(4)));
    let SampleValue::Histogram(h) = &native.samples[0].value else { panic!("{native:?}") };
    assert_eq!((h.count, h.sum, h.zero_count), (3.0, 1.5, 3.0));
    assert_eq!((lone.samples.len(), lone.exemplars.len()), (0, 1));
    let [metadata] = batch.metadata.as_slice() else { panic!("{:?}", batch.metadata) };
    assert_eq!((metadata.metric.as_str(), metadata.metric_type), ("a_total", MetricType::Counter));
    assert_eq!((metadata.help.as_str(), metadata.unit.as_str()), ("All a's.", "seconds"));
    assert_eq!(adjustments(&received.adjusted), ["invalid_exemplar×1 of \"shop\""]);
}

#[test]
fn a_series_that_refers_to_nothing_costs_only_itself() {
    for refs in [vec![1, 2, 3], vec![1, 2, 3, 11], vec![3, 4], vec![]] {
        let samples = vec![sample(1, 0, 1.0), sample(2, 0, 1.0)];
        let bad = TimeSeries { labels_refs: refs.clone(), samples, ..TimeSeries::default() };
        let mut all = full();
        all.insert(0, bad);
        let received = decode(&request(all));
        assert_eq!(received.decoded.rejected.iter().map(|r| r.count).sum::<u64>(), 2, "{refs:?}");
        assert_eq!(received.decoded.value.series.len(), 4);
    }
    let huge = TimeSeries { labels_refs: vec![1; 1 << 16], ..TimeSeries::default() };
    let received = decode(&request(vec![huge]));
    assert_eq!(received.decoded.rejected.len(), 1);
}

#[test]
fn what_is_no_such_request_says_why() {
    let fail = |body: &[u8]| match decode_v2(body, &Limits::default()) {
        Err(WriteError::Malformed { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let symbols = vec!["a".to_owned()];
    let body = Request { symbols, timeseries: vec![] }.encode_to_vec();
    assert_eq!(fail(&body), "the first symbol is not the empty text");
    assert_eq!(fail(b"\x0a\x00"), "a field of remote write 1.0");
    assert_eq!(fail(b"\x28\x01"), "a field is not of its type");
    assert!(decode(b"").decoded.value.series.is_empty());
    let tight = Limits { decoded_bytes: 64, ..Limits::default() };
    let error = decode_v2(&seed(), &tight).unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { limit: "decoded_bytes", .. }), "{error}");
}
