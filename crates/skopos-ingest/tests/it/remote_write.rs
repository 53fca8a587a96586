//! Remote write 1.0: what a foreign sender's messages become. The messages here are prost's, made
//! after the published `.proto` files: an encoder that shares nothing with ours.

use prost::Message;
use skopos_ingest::remote_write::{WriteError, decode, decompress, encode};
use skopos_ingest::{Ingested, Limits};
use skopos_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use skopos_model::{CounterResetHint, MetricBatch, MetricType, STALE_NAN, SampleValue};

use crate::support::{adjustments, rejections};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
    #[prost(string, tag = "9")]
    unknown: String,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    metric_family_name: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count_int: Option<u64>,
    #[prost(double, optional, tag = "7")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    /// Not packed, which protobuf allows as well.
    #[prost(sint64, repeated, packed = "false", tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, packed = "false", tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label =
        |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    pairs.iter().map(label).collect()
}

fn floats(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let sample = |&(timestamp, value): &(i64, f64)| Sample { value, timestamp };
    TimeSeries {
        labels: labels(pairs),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn natives(histograms: Vec<Histogram>) -> TimeSeries {
    TimeSeries {
        labels: labels(&[("__name__", "h"), ("job", "shop")]),
        histograms,
        ..TimeSeries::default()
    }
}

fn integers() -> Histogram {
    Histogram {
        count_int: Some(12),
        sum: 18.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: Some(2),
        negative_spans: vec![Span { offset: -2, length: 1 }],
        negative_deltas: vec![3],
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 1 }],
        positive_deltas: vec![1, 2, 0],
        reset_hint: 2,
        timestamp: 7,
        ..Histogram::default()
    }
}

fn receive(request: &WriteRequest) -> Ingested<MetricBatch> {
    decode(&request.encode_to_vec(), &Limits::default()).unwrap()
}

fn receive_series(timeseries: Vec<TimeSeries>) -> Ingested<MetricBatch> {
    receive(&WriteRequest { timeseries, ..WriteRequest::default() })
}

/// A request with every field in it, the seed of the fuzz target.
pub(crate) fn seed() -> Vec<u8> {
    let exemplar = Exemplar { labels: labels(&[("trace_id", "0af7")]), value: 0.5, timestamp: 6 };
    let mut with_exemplar =
        floats(&[("__name__", "a_total"), ("job", "shop")], &[(5, 1.0), (9, STALE_NAN)]);
    with_exemplar.exemplars.push(exemplar);
    let float = Histogram {
        count_float: Some(4.5),
        sum: f64::INFINITY,
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_counts: vec![1.5, 3.0],
        custom_values: vec![0.5, 5.0],
        reset_hint: 3,
        timestamp: 8,
        ..Histogram::default()
    };
    let metadata = Metadata {
        kind: 1,
        metric_family_name: "a_total".into(),
        help: "All a's.".into(),
        unit: "bytes".into(),
    };
    let timeseries = vec![with_exemplar, natives(vec![integers(), float])];
    WriteRequest { timeseries, metadata: vec![metadata], unknown: "skipped".into() }.encode_to_vec()
}

#[test]
fn everything_that_a_request_can_hold() {
    let received = decode(&seed(), &Limits::default()).unwrap();
    let batch = &received.decoded.value;
    assert!(received.decoded.rejected.is_empty() && received.adjusted.is_empty(), "{received:?}");
    let [floats, natives] = batch.series.as_slice() else { panic!("{batch:?}") };
    assert_eq!(floats.labels.to_string(), r#"a_total{job="shop"}"#);
    assert_eq!(floats.samples[0], skopos_model::Sample::float(5, 1.0));
    assert!(floats.samples[1].value.is_stale() && floats.samples[1].timestamp_ms == 9);
    let exemplar = &floats.exemplars[0];
    assert_eq!(
        (exemplar.labels.value("trace_id"), exemplar.timestamp_ms, exemplar.value),
        ("0af7", 6, 0.5)
    );

    let of = |i: usize| match &natives.samples[i].value {
        SampleValue::Histogram(histogram) => histogram,
        SampleValue::Float(value) => panic!("{value}"),
    };
    let (integer, float) = (of(0), of(1));
    assert_eq!((integer.schema, integer.count, integer.sum), (1, 12.0, 18.5));
    assert_eq!((integer.zero_count, integer.zero_threshold), (2.0, 0.001));
    assert_eq!(integer.positive_buckets, [1.0, 3.0, 3.0]);
    assert_eq!(integer.negative_buckets, [3.0]);
    assert_eq!((integer.positive_spans[1].offset, integer.negative_spans[0].offset), (3, -2));
    assert_eq!(integer.counter_reset_hint, CounterResetHint::NotCounterReset);
    assert_eq!((float.count, float.sum), (4.5, f64::INFINITY));
    assert_eq!(
        (&*float.positive_buckets, &*float.custom_values),
        (&[1.5, 3.0][..], &[0.5, 5.0][..])
    );
    assert_eq!(float.counter_reset_hint, CounterResetHint::Gauge);
    assert_eq!((natives.samples[0].timestamp_ms, natives.samples[1].timestamp_ms), (7, 8));

    let declared = &batch.metadata[0];
    assert_eq!((&*declared.metric, declared.metric_type), ("a_total", MetricType::Counter));
    assert_eq!((&*declared.help, &*declared.unit), ("All a's.", "bytes"));
}

#[test]
fn what_we_send_a_foreign_receiver_reads() {
    let sent = decode(&seed(), &Limits::default()).unwrap().decoded.value;
    let body = decompress(&encode(&sent), 1 << 20).unwrap();
    let read = WriteRequest::decode(&*body).unwrap();
    assert_eq!(read.metadata[0].kind, 1);
    assert_eq!(read.timeseries[0].labels, labels(&[("__name__", "a_total"), ("job", "shop")]));
    assert_eq!(read.timeseries[0].samples[1].value.to_bits(), STALE_NAN.to_bits());
    assert_eq!(read.timeseries[1].histograms[0].negative_spans, [Span { offset: -2, length: 1 }]);
    assert_eq!(read.timeseries[1].histograms[1].schema, CUSTOM_BUCKETS_SCHEMA);
}

#[test]
fn labels_are_sorted_and_empty_ones_left_out() {
    let pairs = [("job", "b/shop"), ("a", ""), ("__name__", "up"), ("Z", "1")];
    let received = receive_series(vec![floats(&pairs, &[(1, 1.0)])]);
    let series = &received.decoded.value.series[0];
    let found: Vec<_> = series.labels.iter().collect();
    assert_eq!(found, [("Z", "1"), ("__name__", "up"), ("job", "b/shop")]);
}

#[test]
fn values_keep_their_bits_and_times_their_sign() {
    let odd = [
        f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_1234),
        STALE_NAN,
        f64::MIN_POSITIVE,
        f64::INFINITY,
    ];
    let samples: Vec<_> = odd.iter().zip(-2..).map(|(value, ms)| (ms, *value)).collect();
    let received = receive_series(vec![floats(&[("__name__", "m")], &samples)]);
    let got: Vec<_> = received.decoded.value.series[0]
        .samples
        .iter()
        .map(|sample| match sample.value {
            SampleValue::Float(value) => (sample.timestamp_ms, value.to_bits()),
            SampleValue::Histogram(_) => panic!(),
        })
        .collect();
    let want: Vec<_> = samples.iter().map(|(ms, value)| (*ms, value.to_bits())).collect();
    assert_eq!(got, want);
}

#[test]
fn a_bad_series_never_costs_the_others() {
    let name = ("__name__", "m");
    let job = ("job", "ns/shop");
    let long = "v".repeat(3_000);
    let many: Vec<_> = (0..200).map(|i| (format!("l{i}"), "v")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let two = [(1, 1.0), (2, 2.0)];
    let received = receive_series(vec![
        floats(&[job], &two),
        floats(&[name, job, ("a", "1"), ("a", "2")], &two),
        floats(&[name, job, ("", "1")], &two),
        floats(&[name, job, ("a", &long)], &two),
        floats(&[name, job, (&long, "a")], &two),
        floats(&[("__name__", &long), job], &two),
        floats(&many, &two),
        floats(&[name, job], &[(i64::MAX, 1.0), (i64::MIN, 1.0), (3, 3.0)]),
    ]);
    assert_eq!(
        rejections(&received.decoded.rejected),
        [
            r#"duplicate_label×2 of "shop""#,
            r#"empty_name×2 of "shop""#,
            r#"invalid_label_name×2 of "shop""#,
            r#"invalid_timestamp×2 of "shop""#,
            r#"label_name_bytes×4 of "shop""#,
            r#"label_value_bytes×2 of "shop""#,
            r#"labels_per_series×2 of """#,
        ]
    );
    let series = &received.decoded.value.series;
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].samples, [skopos_model::Sample::float(3, 3.0)]);
}

#[test]
fn histograms_that_contradict_themselves_are_rejected() {
    let custom = |bounds: &[f64], spans: Vec<Span>, deltas: Vec<i64>, count| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count_int: Some(count),
        custom_values: bounds.to_vec(),
        positive_spans: spans,
        positive_deltas: deltas,
        ..Histogram::default()
    };
    let one = |offset| vec![Span { offset, length: 1 }];
    let mut nan_observed = integers();
    (nan_observed.count_int, nan_observed.sum) = (Some(13), f64::NAN);
    let good = [
        integers(),
        nan_observed,
        custom(&[1.0], one(1), vec![4], 4),
        Histogram { sum: STALE_NAN, schema: 99, ..Histogram::default() },
    ];
    let received = receive_series(vec![natives(good.to_vec())]);
    assert_eq!(received.decoded.rejected, [], "all of these are sound");
    assert!(received.decoded.value.series[0].samples[3].value.is_stale());

    let change = |change: &dyn Fn(&mut Histogram)| {
        let mut histogram = integers();
        change(&mut histogram);
        histogram
    };
    let bad = [
        change(&|h| h.schema = 9),
        change(&|h| h.schema = -5),
        change(&|h| h.count_int = Some(11)),
        change(&|h| h.count_int = Some(13)),
        change(&|h| h.positive_deltas = vec![1, -2, 3]),
        change(&|h| h.positive_spans[0].length = 3),
        change(&|h| h.positive_spans[0].length = u32::MAX),
        change(&|h| h.positive_spans[0].offset = i32::MAX),
        change(&|h| h.positive_spans[1].offset = -1),
        change(&|h| h.zero_threshold = f64::NAN),
        custom(&[1.0, 1.0], one(0), vec![1], 1),
        custom(&[f64::INFINITY], one(0), vec![1], 1),
        custom(&[1.0], one(2), vec![1], 1),
        custom(&[1.0], one(-1), vec![1], 1),
        Histogram { zero_count_int: Some(1), ..custom(&[1.0], one(0), vec![1], 2) },
    ];
    for histogram in bad {
        let received = receive_series(vec![natives(vec![histogram.clone()])]);
        let rejected = rejections(&received.decoded.rejected);
        assert_eq!(rejected, [r#"malformed_histogram×1 of "shop""#], "{histogram:?}");
        assert!(received.decoded.value.series.is_empty());
    }
    let wide = Histogram {
        positive_spans: vec![Span { offset: 0, length: 2_000 }],
        positive_deltas: vec![0; 2_000],
        count_int: Some(0),
        ..Histogram::default()
    };
    let received = receive_series(vec![natives(vec![wide])]);
    assert_eq!(rejections(&received.decoded.rejected), [r#"buckets_per_histogram×1 of "shop""#]);
}

#[test]
fn exemplars_and_metadata_never_cost_their_series() {
    let pairs = [("__name__", "m"), ("job", "shop")];
    let exemplar = |pairs: &[(&str, &str)], timestamp| Exemplar {
        labels: labels(pairs),
        value: 1.0,
        timestamp,
    };
    let mut series = floats(&pairs, &[(1, 1.0)]);
    series.exemplars = vec![
        exemplar(&[("trace_id", &"x".repeat(128))], 1),
        exemplar(&[("a", "1"), ("a", "2")], 1),
        exemplar(&[], i64::MAX),
        exemplar(&[], 4),
    ];
    let mut alone = floats(&pairs, &[]);
    alone.exemplars = (0..70).map(|ms| exemplar(&[], ms)).collect();
    let unnamed = Metadata::default();
    let unknown = Metadata { kind: 99, metric_family_name: "m".into(), ..Metadata::default() };
    let received = receive(&WriteRequest {
        timeseries: vec![series, alone],
        metadata: vec![unnamed, unknown],
        ..WriteRequest::default()
    });
    assert_eq!(received.decoded.rejected, []);
    assert_eq!(
        adjustments(&received.adjusted),
        [
            r#"exemplars_per_point×6 of "shop""#,
            r#"invalid_exemplar×3 of "shop""#,
            r#"invalid_metadata×1 of "shop""#,
        ]
    );
    let batch = received.decoded.value;
    assert_eq!(batch.series[0].exemplars.len(), 1);
    let times: Vec<_> = batch.series[1].exemplars.iter().map(|e| e.timestamp_ms).collect();
    assert_eq!((times.len(), times[0]), (64, 6), "the newest stay");
    assert_eq!(batch.metadata.len(), 1);
    assert_eq!(batch.metadata[0].metric_type, MetricType::Unknown);
}

#[test]
fn bytes_that_are_no_request_say_where() {
    let fail = |body: &[u8]| decode(body, &Limits::default()).unwrap_err();
    let error = fail(b"\x0a\x05\x0a\x03\x0a\x01\xff");
    assert_eq!(error, WriteError::Malformed { what: "text is not UTF-8", offset: 6 });
    assert_eq!(error.reason(), "malformed_protobuf");
    for body in
        [&b"\x08\x01"[..], b"\x0a\x02\x08\x01", b"\x0a\x09", b"{\"a\":1}", b"\x1a\x02\x10\x01"]
    {
        assert!(matches!(fail(body), WriteError::Malformed { .. }), "{body:?}");
    }
    assert_eq!(decode(b"", &Limits::default()).unwrap().decoded.value, MetricBatch::default());
}

#[test]
fn a_block_is_judged_before_it_is_unpacked() {
    let body = vec![7_u8; 10_000];
    let block = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert_eq!(decompress(&block, 10_000).unwrap(), body);
    let error = decompress(&block, 9_999).unwrap_err();
    assert_eq!(error, WriteError::TooLarge { limit: "request_bytes", max_bytes: 9_999 });
    // A claim of 60 MiB in five bytes.
    let claim = decompress(b"\x80\x80\x80\x1e\x00", 64 << 20).unwrap_err();
    assert_eq!(claim.reason(), "corrupt_encoding");
    assert!(claim.to_string().contains("cannot decompress to"), "{claim}");
    for broken in
        [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &block[..block.len() - 1], &body]
    {
        let error = decompress(broken, 1 << 20).unwrap_err();
        assert_eq!(error.reason(), "corrupt_encoding", "{error}");
    }
}

#[test]
fn empty_messages_cannot_fill_the_memory() {
    let limits = Limits { decoded_bytes: 1 << 20, ..Limits::default() };
    let mut series = vec![0x0a, 0x05, 0x0a, 0x03, 0x0a, 0x01, b'a'];
    for field in [0x12_u8, 0x1a, 0x22] {
        let inner = [field, 0].repeat(100_000);
        series.truncate(0);
        let named = b"\x0a\x0d\x0a\x08__name__\x12\x01m";
        series.push(0x0a);
        prost::encoding::encode_varint((named.len() + inner.len()) as u64, &mut series);
        series.extend_from_slice(named);
        series.extend_from_slice(&inner);
        let outcome = decode(&series, &limits);
        if field == 0x1a {
            // Of exemplars only the newest are built.
            assert_eq!(outcome.unwrap().decoded.value.series[0].exemplars.len(), 64);
            continue;
        }
        let error = outcome.unwrap_err();
        assert_eq!(error, WriteError::TooLarge { limit: "decoded_bytes", max_bytes: 1 << 20 });
    }
}
