//! Batches on disk: exact round trips, and decoders that survive anything.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use skopos_model::*;
use skopos_store::codec::{self, DecodeError, MAX_DEPTH, NumberedSeries, SeriesNumbers, TooDeep};

use crate::support::{rich_logs, rich_metrics, rich_traces};

/// NaN differs from itself, so equality is judged twice: by the printed form, and by encoding
/// again, which shows every bit.
fn same<T: Debug>(original: &T, bytes: &[u8], decoded: &T, again: &[u8]) {
    assert_eq!(format!("{original:?}"), format!("{decoded:?}"));
    assert_eq!(bytes, again);
}

fn round_trip_metrics(batch: &MetricBatch) {
    let bytes = codec::encode_metrics(batch);
    let decoded = codec::decode_metrics(&bytes).unwrap();
    same(batch, &bytes, &decoded, &codec::encode_metrics(&decoded));
}

fn round_trip_logs(first: u64, batch: &LogBatch) {
    let bytes = codec::encode_logs(first, batch).unwrap();
    let (decoded_first, decoded) = codec::decode_logs(&bytes).unwrap();
    assert_eq!(first, decoded_first);
    same(batch, &bytes, &decoded, &codec::encode_logs(first, &decoded).unwrap());
}

fn round_trip_traces(first: u64, batch: &TraceBatch) {
    let bytes = codec::encode_traces(first, batch).unwrap();
    let (decoded_first, decoded) = codec::decode_traces(&bytes).unwrap();
    assert_eq!(first, decoded_first);
    same(batch, &bytes, &decoded, &codec::encode_traces(first, &decoded).unwrap());
}

#[test]
fn every_corner_of_the_model_round_trips() {
    round_trip_metrics(&rich_metrics());
    round_trip_metrics(&MetricBatch::default());
    round_trip_logs(u64::MAX, &rich_logs());
    round_trip_traces(0, &rich_traces());
}

#[test]
fn nan_payloads_keep_their_bits() {
    let bits = [0x7ff0_0000_0000_0002, 0xfff8_0000_0000_0001, 0x7ff8_1234_5678_9abc, 1, 1 << 63];
    let samples = bits.iter().map(|bits| Sample::float(1, f64::from_bits(*bits))).collect();
    let mut series = SeriesSamples::single(Labels::empty(), 0, 0.0);
    series.samples = samples;
    let bytes = codec::encode_metrics(&MetricBatch { series: vec![series], metadata: vec![] });
    let decoded = codec::decode_metrics(&bytes).unwrap();
    let read: Vec<u64> = decoded.series[0]
        .samples
        .iter()
        .map(|sample| match &sample.value {
            SampleValue::Float(value) => value.to_bits(),
            SampleValue::Histogram(_) => panic!("not a float"),
        })
        .collect();
    assert_eq!(read, bits);
}

#[test]
fn repeated_texts_are_stored_once_and_shared() {
    let record = |n: i64| {
        let mut record = LogRecord { body: "x".into(), ..LogRecord::default() };
        record.attributes.set("http.request.method", "DELETE");
        record.attributes.set("n", n);
        record
    };
    let records: Vec<_> = (0..100).map(record).collect();
    let group = ScopedLogs { records, ..ScopedLogs::default() };
    let bytes = codec::encode_logs(0, &LogBatch { groups: vec![group] }).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("http.request.method").count(), 1);
    assert_eq!(text.matches("DELETE").count(), 1);
    assert!(bytes.len() < 100 * 24, "{} bytes", bytes.len());
    let (_, decoded) = codec::decode_logs(&bytes).unwrap();
    let method = |i: usize| match decoded.groups[0].records[i].attributes.get("http.request.method")
    {
        Some(AnyValue::String(text)) => Arc::clone(text),
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&method(0), &method(99)));
}

#[test]
fn too_deep_values_are_refused_both_ways() {
    let nested =
        |depth: usize| (0..depth).fold(AnyValue::Int(1), |inner, _| AnyValue::Array(vec![inner]));
    let batch = |body| {
        let record = LogRecord { body, ..LogRecord::default() };
        LogBatch { groups: vec![ScopedLogs { records: vec![record], ..ScopedLogs::default() }] }
    };
    round_trip_logs(1, &batch(nested(MAX_DEPTH)));
    assert_eq!(codec::encode_logs(1, &batch(nested(MAX_DEPTH + 1))), Err(TooDeep));
}

#[test]
fn every_truncation_and_every_extra_byte_is_an_error() {
    let check = |bytes: &[u8], decode: &dyn Fn(&[u8]) -> Result<(), DecodeError>| {
        decode(bytes).unwrap();
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
        let longer = [bytes, &[0]].concat();
        assert_eq!(decode(&longer).unwrap_err().reason, "bytes left over");
    };
    check(&codec::encode_metrics(&rich_metrics()), &|b| codec::decode_metrics(b).map(drop));
    let numbered = codec::encode_numbered(&rich_metrics(), &mut SeriesNumbers::new());
    check(&numbered, &|b| codec::decode_numbered(b, &mut NumberedSeries::new()).map(drop));
    check(&codec::encode_logs(3, &rich_logs()).unwrap(), &|b| codec::decode_logs(b).map(drop));
    let traces = codec::encode_traces(3, &rich_traces()).unwrap();
    check(&traces, &|b| codec::decode_traces(b).map(drop));
}

#[test]
fn claimed_lengths_take_no_memory() {
    // A table of 2^60 strings, a series list of 2^60 items, a text of 2^60 bytes.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for prefix in [&[][..], &[0], &[1]] {
        let bytes = [prefix, &huge].concat();
        assert!(codec::decode_metrics(&bytes).is_err());
        assert!(codec::decode_numbered(&bytes, &mut NumberedSeries::new()).is_err());
        let bytes = [prefix, &[0], &huge].concat();
        assert!(codec::decode_numbered(&bytes, &mut NumberedSeries::new()).is_err());
        assert!(codec::decode_logs(&bytes).is_err());
    }
}

#[test]
fn unsorted_labels_are_refused() {
    let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
    let batch =
        MetricBatch { series: vec![SeriesSamples::single(labels, 1, 1.0)], metadata: vec![] };
    let mut bytes = codec::encode_metrics(&batch);
    // The table holds a, 1, b, 2; swapping the names unsorts the list.
    let (a, b) = (2, 6);
    assert_eq!((bytes[a], bytes[b]), (b'a', b'b'));
    bytes.swap(a, b);
    let error = codec::decode_metrics(&bytes).unwrap_err();
    assert!(error.reason.contains("sorted"), "{error}");
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), (-1000..1000_i64).prop_map(|n| n as f64)]
}

fn any_labels() -> impl Strategy<Value = Labels> {
    vec(("[a-c_]{1,3}", ".{0,8}"), 0..6).prop_map(Labels::from_pairs)
}

fn any_spans() -> impl Strategy<Value = Vec<BucketSpan>> {
    let span = (any::<i32>(), any::<u32>());
    vec(span.prop_map(|(offset, length)| BucketSpan { offset, length }), 0..4)
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let hint = prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::CounterReset),
        Just(CounterResetHint::NotCounterReset),
        Just(CounterResetHint::Gauge),
    ];
    let numbers = (hint, any::<i32>(), any::<[u64; 4]>());
    let floats = || vec(any_float(), 0..5);
    let buckets = (any_spans(), floats(), any_spans(), floats(), floats());
    (numbers, buckets).prop_map(|((counter_reset_hint, schema, bits), buckets)| {
        let [zero_threshold, zero_count, count, sum] = bits.map(f64::from_bits);
        let (positive_spans, positive_buckets, negative_spans, negative_buckets, custom_values) =
            buckets;
        Histogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values,
        }
    })
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![
        4 => any_float().prop_map(SampleValue::Float),
        1 => any_histogram().prop_map(|h| SampleValue::Histogram(Arc::new(h))),
    ];
    (any::<i64>(), value).prop_map(|(timestamp_ms, value)| Sample { timestamp_ms, value })
}

fn any_series() -> impl Strategy<Value = SeriesSamples> {
    let exemplar = (any_labels(), any::<i64>(), any_float());
    let exemplar =
        exemplar.prop_map(|(labels, timestamp_ms, value)| Exemplar { labels, timestamp_ms, value });
    let start = proptest::option::of(any::<i64>());
    (any_labels(), vec(any_sample(), 0..6), any::<bool>(), start, vec(exemplar, 0..3)).prop_map(
        |(labels, samples, delta, start_timestamp_ms, exemplars)| SeriesSamples {
            labels,
            samples,
            temporality: if delta { Temporality::Delta } else { Temporality::Cumulative },
            start_timestamp_ms,
            exemplars,
        },
    )
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(AnyValue::Empty),
        ".{0,40}".prop_map(AnyValue::from),
        any::<bool>().prop_map(AnyValue::Bool),
        any::<i64>().prop_map(AnyValue::Int),
        any_float().prop_map(AnyValue::Double),
        vec(any::<u8>(), 0..9).prop_map(|bytes| AnyValue::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(AnyValue::Array),
            vec((".{0,5}", inner), 0..4)
                .prop_map(|pairs| AnyValue::Map(pairs.into_iter().collect())),
        ]
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    // Pushed, not set: a sender may repeat a key, and the codec must not mind.
    vec(("[a-d.]{0,4}", any_value()), 0..5).prop_map(|pairs| {
        let mut attributes = Attributes::new();
        pairs.into_iter().for_each(|(key, value)| attributes.push(key, value));
        attributes
    })
}

fn any_record() -> impl Strategy<Value = LogRecord> {
    let times = any::<(i64, i64, u8, u32, u32)>();
    let ids = any::<([u8; 16], [u8; 8])>();
    (times, ".{0,9}", any_value(), any_attributes(), ids, "[a-z.]{0,9}").prop_map(
        |(numbers, severity_text, body, attributes, ids, event_name)| LogRecord {
            time: Timestamp(numbers.0),
            observed_time: Timestamp(numbers.1),
            severity: SeverityNumber(numbers.2),
            severity_text: severity_text.into(),
            body,
            attributes,
            dropped_attributes_count: numbers.3,
            flags: numbers.4,
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.1),
            event_name: event_name.into(),
        },
    )
}

fn any_span() -> impl Strategy<Value = Span> {
    let event =
        (any::<(i64, u32)>(), ".{0,9}", any_attributes()).prop_map(|(n, name, attributes)| {
            SpanEvent {
                time: Timestamp(n.0),
                name: name.into(),
                attributes,
                dropped_attributes_count: n.1,
            }
        });
    let link =
        (any::<([u8; 16], [u8; 8], u32, u32)>(), any_attributes()).prop_map(|(n, attributes)| {
            SpanLink {
                trace_id: TraceId(n.0),
                span_id: SpanId(n.1),
                trace_state: "s".into(),
                attributes,
                dropped_attributes_count: n.2,
                flags: n.3,
            }
        });
    let numbers = any::<([u8; 16], [u8; 8], [u8; 8], i64, i64, [u32; 4])>();
    let codes = (0..6_i32, 0..3_u8);
    (numbers, codes, ".{0,9}", any_attributes(), vec(event, 0..3), vec(link, 0..3)).prop_map(
        |(n, (kind, code), name, attributes, events, links)| Span {
            trace_id: TraceId(n.0),
            span_id: SpanId(n.1),
            parent_span_id: SpanId(n.2),
            trace_state: "".into(),
            flags: n.5[0],
            name: name.as_str().into(),
            kind: SpanKind::from_number(kind),
            start_time: Timestamp(n.3),
            end_time: Timestamp(n.4),
            attributes,
            dropped_attributes_count: n.5[1],
            events,
            dropped_events_count: n.5[2],
            links,
            dropped_links_count: n.5[3],
            status: SpanStatus {
                code: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error][usize::from(code)],
                message: name.into(),
            },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_metrics_round_trip(series in vec(any_series(), 0..5)) {
        round_trip_metrics(&MetricBatch { series, metadata: vec![] });
    }

    /// Batches of one file, of series that come again as clones, as equal label sets, or not.
    #[test]
    fn any_numbered_metrics_round_trip(
        series in vec(any_series(), 1..6),
        batches in vec(vec((any::<prop::sample::Index>(), any::<bool>()), 0..5), 0..6),
        refused in any::<prop::sample::Index>(),
    ) {
        let mut numbers = SeriesNumbers::new();
        let mut known = NumberedSeries::new();
        let refused = refused.index(batches.len().max(1));
        for (i, picks) in batches.iter().enumerate() {
            let series = picks.iter().map(|(at, clone)| {
                let mut one = series[at.index(series.len())].clone();
                if !clone {
                    one.labels = one.labels.to_builder().build();
                }
                one
            });
            let batch = MetricBatch { series: series.collect(), metadata: vec![] };
            let bytes = codec::encode_numbered(&batch, &mut numbers);
            if i == refused {
                // As if it had been too large: nobody reads it, and its numbers are given anew.
                numbers.take_back();
                continue;
            }
            let decoded = codec::decode_numbered(&bytes, &mut known).unwrap();
            let plain = codec::encode_metrics(&batch);
            same(&batch, &plain, &decoded, &codec::encode_metrics(&decoded));
        }
    }

    #[test]
    fn any_logs_round_trip(
        first: u64, attributes in any_attributes(), records in vec(any_record(), 0..5)
    ) {
        let resource = Arc::new(Resource { attributes, ..Resource::default() });
        let group = ScopedLogs { resource, records, ..ScopedLogs::default() };
        round_trip_logs(first, &LogBatch { groups: vec![group] });
    }

    #[test]
    fn any_spans_round_trip(
        first: u64, attributes in any_attributes(), spans in vec(any_span(), 0..4)
    ) {
        let scope = Arc::new(Scope { attributes, ..Scope::default() });
        let group = ScopedSpans { scope, spans, ..ScopedSpans::default() };
        round_trip_traces(first, &TraceBatch { groups: vec![group] });
    }
}

/// Runs a fuzz target on its corpus and on seeded mutations of it for a while.
pub(crate) fn fuzz(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|seed| run(seed));
    let seconds = std::env::var("SKOPOS_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let budget = std::time::Duration::from_secs(seconds.unwrap_or(1));
    #[expect(clippy::disallowed_methods, reason = "fuzzing takes real time")]
    let started = std::time::Instant::now();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below.max(1) as u64) as usize
    };
    while started.elapsed() < budget {
        let mut data = corpus[next(corpus.len())].clone();
        for _ in 0..=next(6) {
            let at = next(data.len());
            match next(5) {
                0 if !data.is_empty() => data[at] ^= 1 << next(8),
                1 if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)],
                2 => data.truncate(at),
                3 => data.insert(at.min(data.len()), next(256) as u8),
                _ => {
                    let other = &corpus[next(corpus.len())];
                    let from = next(other.len());
                    data.splice(at.min(data.len()).., other[from..].iter().copied());
                }
            }
        }
        run(&data);
    }
}

#[test]
fn fuzz_batches() {
    fuzz("batch", codec::fuzz_decode);
}

#[test]
fn fuzz_numbered_batches() {
    fuzz("numbered", codec::fuzz_numbered);
}

#[test]
fn fuzz_state_frames() {
    fuzz("state", skopos_store::fuzz_state);
}

/// Writes the fuzz corpus anew: `cargo test -p skopos-store -- --ignored write_corpus`.
#[test]
#[ignore = "writes files into the source tree"]
fn write_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: Vec<u8>| {
        std::fs::create_dir_all(corpus.join(target)).unwrap();
        std::fs::write(corpus.join(target).join(name), bytes).unwrap();
    };
    write("batch", "metrics", codec::encode_metrics(&rich_metrics()));
    write("batch", "logs", codec::encode_logs(7, &rich_logs()).unwrap());
    write("batch", "traces", codec::encode_traces(7, &rich_traces()).unwrap());
    write("batch", "empty", codec::encode_metrics(&MetricBatch::default()));
    let (batch, numbers) = (rich_metrics(), &mut SeriesNumbers::new());
    write("numbered", "first", codec::encode_numbered(&batch, numbers));
    write("numbered", "later", codec::encode_numbered(&batch, numbers));
    // Behind two series that the target knows.
    let two = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name)]));
    let series = two.map(|labels| SeriesSamples::single(labels, 5, 1.5)).to_vec();
    let (batch, numbers) = (MetricBatch { series, metadata: vec![] }, &mut SeriesNumbers::new());
    codec::encode_numbered(&batch, numbers);
    write("numbered", "known", codec::encode_numbered(&batch, numbers));
}
