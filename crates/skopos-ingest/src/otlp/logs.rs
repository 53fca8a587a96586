//! Log records.
//!
//! A record without a time gets its observed time, else `now`; without an observed time, `now`.
//! An id of the wrong length means "no trace" (the data model tells receivers to assume that), so
//! the record stays and the loss is counted.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord as ProtoRecord;
use skopos_model::{LogBatch, LogRecord, ScopedLogs, SeverityNumber, Timestamp};

use super::OtlpOptions;
use super::attributes::{Converter, span_id, timestamp, trace_id};
use crate::report::{Ingested, Refusal};

pub(super) fn convert(
    request: ExportLogsServiceRequest,
    options: &OtlpOptions,
    now: Timestamp,
) -> Ingested<LogBatch> {
    let mut converter = Converter::new(options);
    let mut groups = Vec::new();
    for sender in request.resource_logs {
        let resource = Arc::new(converter.resource(sender.resource, sender.schema_url));
        for scoped in sender.scope_logs {
            let scope = Arc::new(converter.scope(scoped.scope, scoped.schema_url));
            let mut records = Vec::with_capacity(scoped.log_records.len());
            for proto in scoped.log_records {
                match record(&mut converter, proto, now) {
                    Ok(record) => records.push(record),
                    Err(refusal) => converter.tally.reject(refusal, 1),
                }
            }
            if !records.is_empty() {
                groups.push(ScopedLogs { resource: resource.clone(), scope, records });
            }
        }
    }
    converter.tally.finish(LogBatch { groups })
}

fn record(
    converter: &mut Converter<'_>,
    proto: ProtoRecord,
    now: Timestamp,
) -> Result<LogRecord, Refusal> {
    let observed_time = match proto.observed_time_unix_nano {
        0 => now,
        nanos => timestamp(nanos, "observed time")?,
    };
    let time = match proto.time_unix_nano {
        0 => observed_time,
        nanos => timestamp(nanos, "time")?,
    };
    let mut dropped_attributes_count = proto.dropped_attributes_count;
    let mut or_none = |refusal: Refusal| {
        converter.tally.adjust(refusal.reason, 1, || {
            format!("{}: the record is kept without it", refusal.message)
        });
    };
    let trace_id = trace_id(&proto.trace_id).map_err(&mut or_none).unwrap_or_default();
    let span_id = span_id(&proto.span_id).map_err(&mut or_none).unwrap_or_default();
    let severity = match u8::try_from(proto.severity_number) {
        Ok(number @ 0..=24) => SeverityNumber(number),
        _ => {
            converter.tally.adjust("invalid_severity", 1, || {
                format!("severity number {} is not in 0 to 24", proto.severity_number)
            });
            SeverityNumber::UNSPECIFIED
        }
    };
    let record = LogRecord {
        time,
        observed_time,
        severity,
        severity_text: converter.name_text("severity text", proto.severity_text).into(),
        body: converter.body(proto.body),
        attributes: converter.attributes(proto.attributes, &mut dropped_attributes_count),
        dropped_attributes_count,
        flags: proto.flags,
        trace_id,
        span_id,
        event_name: converter.name_text("event name", proto.event_name).into(),
    };
    let size = record.body.size_bytes()
        + record.attributes.size_bytes()
        + record.severity_text.len()
        + record.event_name.len();
    let max = converter.limits.record_bytes;
    if size > max {
        return Err(Refusal::limit("record_bytes", max, size, "log record"));
    }
    Ok(record)
}
