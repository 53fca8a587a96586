//! OTLP's messages in JSON, field for field.

use opentelemetry_proto::tonic::collector::{logs, metrics as metrics_service, trace};
use opentelemetry_proto::tonic::common::v1 as common_v1;
use opentelemetry_proto::tonic::logs::v1 as logs_v1;
use opentelemetry_proto::tonic::metrics::v1 as metrics_v1;
use opentelemetry_proto::tonic::resource::v1 as resource_v1;
use opentelemetry_proto::tonic::trace::v1 as trace_v1;
use serde::Deserialize;

use super::Mirror;
use super::scalar::{Enum, Hex, List, Named, Num, Text, Truth};
use super::value::{Any, Pair};

/// Declares a JSON counterpart with the same field names; fields left out keep protobuf's default.
macro_rules! mirror {
    ($($name:ident => $message:ty { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            $($field: $type,)*
        }

        impl Mirror for $name {
            type Message = $message;

            fn message(self) -> $message {
                let mut message = <$message>::default();
                $(message.$field = self.$field.message();)*
                message
            }
        }
    )*};
}

/// Like [`mirror!`], with a oneof: the first of its fields that is present.
macro_rules! mirror_oneof {
    ($name:ident => $message:ty { $($field:ident: $type:ty),* $(,)? }
     $oneof:ident: $enum:path { $($case:ident: $case_type:ty => $variant:path),* $(,)? }) => {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            $($field: $type,)*
            $($case: Option<$case_type>,)*
        }

        impl Mirror for $name {
            type Message = $message;

            fn message(self) -> $message {
                let mut message = <$message>::default();
                $(message.$field = self.$field.message();)*
                message.$oneof = None$(.or(self.$case.message().map($variant)))*;
                message
            }
        }
    };
}

macro_rules! named {
    ($($type:ty),*) => {$(
        impl Named for $type {
            fn number(name: &str) -> Option<i32> {
                <$type>::from_str_name(name).map(|value| value as i32)
            }
        }
    )*};
}

named!(
    logs_v1::SeverityNumber,
    metrics_v1::AggregationTemporality,
    trace_v1::span::SpanKind,
    trace_v1::status::StatusCode
);

mirror! {
    Resource => resource_v1::Resource {
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
    }
    Scope => common_v1::InstrumentationScope {
        name: Text,
        version: Text,
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
    }

    LogsRequest => logs::v1::ExportLogsServiceRequest { resource_logs: List<ResourceLogs> }
    ResourceLogs => logs_v1::ResourceLogs {
        resource: Option<Resource>,
        scope_logs: List<ScopeLogs>,
        schema_url: Text,
    }
    ScopeLogs => logs_v1::ScopeLogs {
        scope: Option<Scope>,
        log_records: List<LogRecord>,
        schema_url: Text,
    }
    LogRecord => logs_v1::LogRecord {
        time_unix_nano: Num<u64>,
        observed_time_unix_nano: Num<u64>,
        severity_number: Enum<logs_v1::SeverityNumber>,
        severity_text: Text,
        body: Option<Any>,
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
        flags: Num<u32>,
        trace_id: Hex,
        span_id: Hex,
        event_name: Text,
    }

    TracesRequest => trace::v1::ExportTraceServiceRequest { resource_spans: List<ResourceSpans> }
    ResourceSpans => trace_v1::ResourceSpans {
        resource: Option<Resource>,
        scope_spans: List<ScopeSpans>,
        schema_url: Text,
    }
    ScopeSpans => trace_v1::ScopeSpans {
        scope: Option<Scope>,
        spans: List<Span>,
        schema_url: Text,
    }
    Span => trace_v1::Span {
        trace_id: Hex,
        span_id: Hex,
        trace_state: Text,
        parent_span_id: Hex,
        flags: Num<u32>,
        name: Text,
        kind: Enum<trace_v1::span::SpanKind>,
        start_time_unix_nano: Num<u64>,
        end_time_unix_nano: Num<u64>,
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
        events: List<Event>,
        dropped_events_count: Num<u32>,
        links: List<Link>,
        dropped_links_count: Num<u32>,
        status: Option<Status>,
    }
    Event => trace_v1::span::Event {
        time_unix_nano: Num<u64>,
        name: Text,
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
    }
    Link => trace_v1::span::Link {
        trace_id: Hex,
        span_id: Hex,
        trace_state: Text,
        attributes: List<Pair>,
        dropped_attributes_count: Num<u32>,
        flags: Num<u32>,
    }
    Status => trace_v1::Status {
        message: Text,
        code: Enum<trace_v1::status::StatusCode>,
    }

    MetricsRequest => metrics_service::v1::ExportMetricsServiceRequest {
        resource_metrics: List<ResourceMetrics>,
    }
    ResourceMetrics => metrics_v1::ResourceMetrics {
        resource: Option<Resource>,
        scope_metrics: List<ScopeMetrics>,
        schema_url: Text,
    }
    ScopeMetrics => metrics_v1::ScopeMetrics {
        scope: Option<Scope>,
        metrics: List<Metric>,
        schema_url: Text,
    }
    Gauge => metrics_v1::Gauge { data_points: List<NumberDataPoint> }
    Sum => metrics_v1::Sum {
        data_points: List<NumberDataPoint>,
        aggregation_temporality: Enum<metrics_v1::AggregationTemporality>,
        is_monotonic: Truth,
    }
    Histogram => metrics_v1::Histogram {
        data_points: List<HistogramDataPoint>,
        aggregation_temporality: Enum<metrics_v1::AggregationTemporality>,
    }
    ExponentialHistogram => metrics_v1::ExponentialHistogram {
        data_points: List<ExponentialHistogramDataPoint>,
        aggregation_temporality: Enum<metrics_v1::AggregationTemporality>,
    }
    Summary => metrics_v1::Summary { data_points: List<SummaryDataPoint> }
    HistogramDataPoint => metrics_v1::HistogramDataPoint {
        attributes: List<Pair>,
        start_time_unix_nano: Num<u64>,
        time_unix_nano: Num<u64>,
        count: Num<u64>,
        sum: Option<Num<f64>>,
        bucket_counts: List<Num<u64>>,
        explicit_bounds: List<Num<f64>>,
        exemplars: List<Exemplar>,
        flags: Num<u32>,
        min: Option<Num<f64>>,
        max: Option<Num<f64>>,
    }
    ExponentialHistogramDataPoint => metrics_v1::ExponentialHistogramDataPoint {
        attributes: List<Pair>,
        start_time_unix_nano: Num<u64>,
        time_unix_nano: Num<u64>,
        count: Num<u64>,
        sum: Option<Num<f64>>,
        scale: Num<i32>,
        zero_count: Num<u64>,
        positive: Option<Buckets>,
        negative: Option<Buckets>,
        flags: Num<u32>,
        exemplars: List<Exemplar>,
        min: Option<Num<f64>>,
        max: Option<Num<f64>>,
        zero_threshold: Num<f64>,
    }
    Buckets => metrics_v1::exponential_histogram_data_point::Buckets {
        offset: Num<i32>,
        bucket_counts: List<Num<u64>>,
    }
    SummaryDataPoint => metrics_v1::SummaryDataPoint {
        attributes: List<Pair>,
        start_time_unix_nano: Num<u64>,
        time_unix_nano: Num<u64>,
        count: Num<u64>,
        sum: Num<f64>,
        quantile_values: List<ValueAtQuantile>,
        flags: Num<u32>,
    }
    ValueAtQuantile => metrics_v1::summary_data_point::ValueAtQuantile {
        quantile: Num<f64>,
        value: Num<f64>,
    }
}

mirror_oneof! {
    Metric => metrics_v1::Metric {
        name: Text,
        description: Text,
        unit: Text,
        metadata: List<Pair>,
    }
    data: metrics_v1::metric::Data {
        gauge: Gauge => metrics_v1::metric::Data::Gauge,
        sum: Sum => metrics_v1::metric::Data::Sum,
        histogram: Histogram => metrics_v1::metric::Data::Histogram,
        exponential_histogram: ExponentialHistogram => metrics_v1::metric::Data::ExponentialHistogram,
        summary: Summary => metrics_v1::metric::Data::Summary,
    }
}

mirror_oneof! {
    NumberDataPoint => metrics_v1::NumberDataPoint {
        attributes: List<Pair>,
        start_time_unix_nano: Num<u64>,
        time_unix_nano: Num<u64>,
        exemplars: List<Exemplar>,
        flags: Num<u32>,
    }
    value: metrics_v1::number_data_point::Value {
        as_double: Num<f64> => metrics_v1::number_data_point::Value::AsDouble,
        as_int: Num<i64> => metrics_v1::number_data_point::Value::AsInt,
    }
}

mirror_oneof! {
    Exemplar => metrics_v1::Exemplar {
        filtered_attributes: List<Pair>,
        time_unix_nano: Num<u64>,
        span_id: Hex,
        trace_id: Hex,
    }
    value: metrics_v1::exemplar::Value {
        as_double: Num<f64> => metrics_v1::exemplar::Value::AsDouble,
        as_int: Num<i64> => metrics_v1::exemplar::Value::AsInt,
    }
}
