//! Protobuf and JSON of the same request decode to the same value and the same account.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use skopos_ingest::otlp::{
    OtlpEncoding, OtlpOptions, convert_logs, convert_metrics, convert_traces, decode_logs,
    decode_metrics, decode_traces,
};

use crate::support::{NOW, logs_json, metrics_json, traces_json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z.]{0,6}",
        1 => "\\PC{0,6}",
        1 => Just("service.name".to_owned()),
        1 => Just("password".to_owned()),
    ]
}

fn float() -> impl Strategy<Value = f64> {
    // JSON has one NaN, where protobuf keeps the payload; prost's encoder leaves -0.0 out as if it
    // were the default.
    any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value + 0.0 })
}

fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 4 => 1..5_000_000_000_000_000_000_u64, 1 => any::<u64>()]
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        5 => vec(any::<u8>(), length),
        1 => vec(0..0xfe_u8, 0..20),
    ]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        text().prop_map(|v| Some(Value::StringValue(v))),
        any::<bool>().prop_map(|v| Some(Value::BoolValue(v))),
        any::<i64>().prop_map(|v| Some(Value::IntValue(v))),
        float().prop_map(|v| Some(Value::DoubleValue(v))),
        vec(any::<u8>(), 0..6).prop_map(|v| Some(Value::BytesValue(v))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec((text(), option::of(inner)), 0..3).prop_map(|pairs| {
                Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn pair((key, value): (String, Option<AnyValue>)) -> KeyValue {
    KeyValue { key, value, key_strindex: 0 }
}

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), option::of(any_value())).prop_map(pair), 0..4)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    option::of((pairs(), any::<u32>()).prop_map(|(attributes, dropped_attributes_count)| {
        Resource { attributes, dropped_attributes_count, entity_refs: Vec::new() }
    }))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of((text(), text(), pairs(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let first = (nanos(), nanos(), -2..30_i32, text(), option::of(any_value()));
    let second = (pairs(), any::<u32>(), any::<u32>(), id(16), id(8), text());
    (first, second).prop_map(|(a, b)| LogRecord {
        time_unix_nano: a.0,
        observed_time_unix_nano: a.1,
        severity_number: a.2,
        severity_text: a.3,
        body: a.4,
        attributes: b.0,
        dropped_attributes_count: b.1,
        flags: b.2,
        trace_id: b.3,
        span_id: b.4,
        event_name: b.5,
    })
}

fn logs_request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scoped = (scope(), vec(log_record(), 0..3), text()).prop_map(|(scope, records, url)| {
        ScopeLogs { scope, log_records: records, schema_url: url }
    });
    let sender = (resource(), vec(scoped, 0..3), text()).prop_map(|(resource, logs, url)| {
        ResourceLogs { resource, scope_logs: logs, schema_url: url }
    });
    vec(sender, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn span() -> impl Strategy<Value = Span> {
    let event = (nanos(), text(), pairs(), any::<u32>()).prop_map(|(time, name, pairs, n)| {
        let time_unix_nano = time;
        span::Event { time_unix_nano, name, attributes: pairs, dropped_attributes_count: n }
    });
    let link =
        (id(16), id(8), text(), pairs(), any::<u32>(), any::<u32>()).prop_map(|l| span::Link {
            trace_id: l.0,
            span_id: l.1,
            trace_state: l.2,
            attributes: l.3,
            dropped_attributes_count: l.4,
            flags: l.5,
        });
    let status = (text(), 0..4_i32).prop_map(|(message, code)| Status { message, code });
    let first = (id(16), id(8), text(), id(8), any::<u32>(), text(), 0..8_i32);
    let second = (nanos(), nanos(), pairs(), vec(event, 0..2), vec(link, 0..2));
    let third = (any::<u32>(), any::<u32>(), any::<u32>(), option::of(status));
    (first, second, third).prop_map(|(a, b, c)| Span {
        trace_id: a.0,
        span_id: a.1,
        trace_state: a.2,
        parent_span_id: a.3,
        flags: a.4,
        name: a.5,
        kind: a.6,
        start_time_unix_nano: b.0,
        end_time_unix_nano: b.1,
        attributes: b.2,
        dropped_attributes_count: c.0,
        events: b.3,
        dropped_events_count: c.1,
        links: b.4,
        dropped_links_count: c.2,
        status: c.3,
    })
}

fn traces_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scoped = (scope(), vec(span(), 0..3), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let sender = (resource(), vec(scoped, 0..3), text()).prop_map(|(resource, spans, url)| {
        ResourceSpans { resource, scope_spans: spans, schema_url: url }
    });
    vec(sender, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value = option::of(prop_oneof![
        float().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ]);
    let exemplar = (pairs(), nanos(), id(8), id(16), value).prop_map(|e| Exemplar {
        filtered_attributes: e.0,
        time_unix_nano: e.1,
        span_id: e.2,
        trace_id: e.3,
        value: e.4,
    });
    vec(exemplar, 0..2)
}

fn number_points() -> impl Strategy<Value = Vec<NumberDataPoint>> {
    let value = option::of(prop_oneof![
        float().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ]);
    let point =
        (pairs(), nanos(), nanos(), exemplars(), 0..2_u32, value).prop_map(|p| NumberDataPoint {
            attributes: p.0,
            start_time_unix_nano: p.1,
            time_unix_nano: p.2,
            exemplars: p.3,
            flags: p.4,
            value: p.5,
        });
    vec(point, 0..3)
}

fn histogram_points() -> impl Strategy<Value = Vec<HistogramDataPoint>> {
    let bounds = prop_oneof![
        3 => Just(vec![0.1, 1.0, 1e6]),
        1 => vec(float(), 0..3),
    ];
    let counts = prop_oneof![3 => vec(any::<u64>(), 4), 1 => vec(any::<u64>(), 0..4)];
    let first = (pairs(), nanos(), nanos(), any::<u64>(), option::of(float()));
    let second = (counts, bounds, exemplars(), 0..2_u32, option::of(float()));
    let point = (first, second).prop_map(|(a, b)| HistogramDataPoint {
        attributes: a.0,
        start_time_unix_nano: a.1,
        time_unix_nano: a.2,
        count: a.3,
        sum: a.4,
        bucket_counts: b.0,
        explicit_bounds: b.1,
        exemplars: b.2,
        flags: b.3,
        min: b.4,
        max: b.4,
    });
    vec(point, 0..3)
}

fn exponential_points() -> impl Strategy<Value = Vec<ExponentialHistogramDataPoint>> {
    let buckets = || {
        let offset = prop_oneof![4 => -20..20_i32, 1 => any::<i32>()];
        option::of(
            (offset, vec(0..9_u64, 0..8))
                .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let scale = prop_oneof![4 => -4..12_i32, 1 => any::<i32>()];
    let first = (pairs(), nanos(), nanos(), option::of(float()), scale, 0..9_u64, -1..2_i64);
    let second = (buckets(), buckets(), exemplars(), 0..2_u32, 0.0..0.1_f64);
    let point = (first, second).prop_map(|(a, b)| {
        let counted = [&b.0, &b.1].into_iter().flatten().flat_map(|b| &b.bucket_counts);
        let count = counted.sum::<u64>() + a.5;
        ExponentialHistogramDataPoint {
            attributes: a.0,
            start_time_unix_nano: a.1,
            time_unix_nano: a.2,
            count: count.saturating_add_signed(a.6 / 2),
            sum: a.3,
            scale: a.4,
            zero_count: a.5,
            positive: b.0,
            negative: b.1,
            flags: b.3,
            exemplars: b.2,
            min: None,
            max: None,
            zero_threshold: b.4,
        }
    });
    vec(point, 0..3)
}

fn summary_points() -> impl Strategy<Value = Vec<SummaryDataPoint>> {
    let quantile =
        (-0.1..1.1_f64, float()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let point = (pairs(), nanos(), nanos(), any::<u64>(), float(), vec(quantile, 0..3), 0..2_u32)
        .prop_map(|p| SummaryDataPoint {
            attributes: p.0,
            start_time_unix_nano: p.1,
            time_unix_nano: p.2,
            count: p.3,
            sum: p.4,
            quantile_values: p.5,
            flags: p.6,
        });
    vec(point, 0..3)
}

fn metric() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        number_points().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number_points(), 0..4_i32, any::<bool>()).prop_map(|(points, temporality, monotonic)| {
            Data::Sum(Sum {
                data_points: points,
                aggregation_temporality: temporality,
                is_monotonic: monotonic,
            })
        }),
        (histogram_points(), 0..4_i32).prop_map(|(points, temporality)| {
            Data::Histogram(Histogram { data_points: points, aggregation_temporality: temporality })
        }),
        (exponential_points(), 0..4_i32).prop_map(|(points, temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: points,
                aggregation_temporality: temporality,
            })
        }),
        summary_points().prop_map(|data_points| Data::Summary(Summary { data_points })),
    ];
    let unit = prop_oneof![Just(String::new()), Just("s".to_owned()), Just("1".to_owned()), text()];
    (text(), text(), unit, option::of(data)).prop_map(|(name, description, unit, data)| Metric {
        name,
        description,
        unit,
        metadata: Vec::new(),
        data,
    })
}

fn metrics_request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scoped = (scope(), vec(metric(), 0..4), text())
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let sender = (resource(), vec(scoped, 0..2), text()).prop_map(|(resource, metrics, url)| {
        ResourceMetrics { resource, scope_metrics: metrics, schema_url: url }
    });
    vec(sender, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

// NaN is not equal to itself, so the debug forms are compared; they print every field.
proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logs_agree(request in logs_request()) {
        let options = OtlpOptions::default();
        let json = logs_json(&request).to_string();
        let json = decode_logs(OtlpEncoding::Json, json.as_bytes(), &options, NOW).unwrap();
        let bytes = request.encode_to_vec();
        let protobuf = decode_logs(OtlpEncoding::Protobuf, &bytes, &options, NOW).unwrap();
        prop_assert_eq!(format!("{json:#?}"), format!("{protobuf:#?}"));
        prop_assert_eq!(&format!("{:?}", convert_logs(request, &options, NOW)), &format!("{json:?}"));
    }

    #[test]
    fn traces_agree(request in traces_request()) {
        let options = OtlpOptions::default();
        let json = traces_json(&request).to_string();
        let json = decode_traces(OtlpEncoding::Json, json.as_bytes(), &options).unwrap();
        let bytes = request.encode_to_vec();
        let protobuf = decode_traces(OtlpEncoding::Protobuf, &bytes, &options).unwrap();
        prop_assert_eq!(format!("{json:#?}"), format!("{protobuf:#?}"));
        prop_assert_eq!(&format!("{:?}", convert_traces(request, &options)), &format!("{json:?}"));
    }

    #[test]
    fn metrics_agree(request in metrics_request()) {
        let options = OtlpOptions::default();
        let json = metrics_json(&request).to_string();
        let json = decode_metrics(OtlpEncoding::Json, json.as_bytes(), &options).unwrap();
        let bytes = request.encode_to_vec();
        let protobuf = decode_metrics(OtlpEncoding::Protobuf, &bytes, &options).unwrap();
        prop_assert_eq!(format!("{json:#?}"), format!("{protobuf:#?}"));
        prop_assert_eq!(&format!("{:?}", convert_metrics(request, &options)), &format!("{json:?}"));
    }
}
