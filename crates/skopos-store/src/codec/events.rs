//! Log records and spans with their senders.

use std::sync::Arc;

use skopos_model::{
    LogBatch, LogRecord, Resource, Scope, ScopedLogs, ScopedSpans, SeverityNumber, Span, SpanEvent,
    SpanId, SpanKind, SpanLink, SpanStatus, StatusCode, Timestamp, TraceBatch, TraceId,
};

use super::TooDeep;
use super::attributes;
use super::decoder::{DecodeError, Decoder};
use super::encoder::Encoder;
use super::metrics::list;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn encode_logs(out: &mut Encoder, batch: &LogBatch) -> std::result::Result<(), TooDeep> {
    out.count(batch.groups.len());
    for group in &batch.groups {
        encode_sender(out, &group.resource, &group.scope)?;
        out.count(group.records.len());
        for record in &group.records {
            encode_record(out, record)?;
        }
    }
    Ok(())
}

pub(super) fn decode_logs(from: &mut Decoder<'_>) -> Result<LogBatch> {
    let groups = list(from, |from| {
        let (resource, scope) = decode_sender(from)?;
        Ok(ScopedLogs { resource, scope, records: list(from, decode_record)? })
    })?;
    Ok(LogBatch { groups })
}

pub(super) fn encode_traces(
    out: &mut Encoder,
    batch: &TraceBatch,
) -> std::result::Result<(), TooDeep> {
    out.count(batch.groups.len());
    for group in &batch.groups {
        encode_sender(out, &group.resource, &group.scope)?;
        out.count(group.spans.len());
        for span in &group.spans {
            encode_span(out, span)?;
        }
    }
    Ok(())
}

pub(super) fn decode_traces(from: &mut Decoder<'_>) -> Result<TraceBatch> {
    let groups = list(from, |from| {
        let (resource, scope) = decode_sender(from)?;
        Ok(ScopedSpans { resource, scope, spans: list(from, decode_span)? })
    })?;
    Ok(TraceBatch { groups })
}

fn encode_sender(
    out: &mut Encoder,
    resource: &Resource,
    scope: &Scope,
) -> std::result::Result<(), TooDeep> {
    attributes::encode(out, &resource.attributes)?;
    out.varint(resource.dropped_attributes_count.into());
    out.text_ref(&resource.schema_url);
    out.text_ref(&scope.name);
    out.text_ref(&scope.version);
    attributes::encode(out, &scope.attributes)?;
    out.varint(scope.dropped_attributes_count.into());
    out.text_ref(&scope.schema_url);
    Ok(())
}

fn decode_sender(from: &mut Decoder<'_>) -> Result<(Arc<Resource>, Arc<Scope>)> {
    let resource = Resource {
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
        schema_url: from.text_ref()?.into(),
    };
    let scope = Scope {
        name: from.text_ref()?.into(),
        version: from.text_ref()?.into(),
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
        schema_url: from.text_ref()?.into(),
    };
    Ok((Arc::new(resource), Arc::new(scope)))
}

fn encode_record(out: &mut Encoder, record: &LogRecord) -> std::result::Result<(), TooDeep> {
    out.time(record.time.0);
    out.time(record.observed_time.0);
    out.byte(record.severity.0);
    out.text_ref(&record.severity_text);
    attributes::encode_value(out, &record.body)?;
    attributes::encode(out, &record.attributes)?;
    out.varint(record.dropped_attributes_count.into());
    out.varint(record.flags.into());
    out.optional_id(&record.trace_id.0);
    out.optional_id(&record.span_id.0);
    out.text_ref(&record.event_name);
    Ok(())
}

fn decode_record(from: &mut Decoder<'_>) -> Result<LogRecord> {
    Ok(LogRecord {
        time: Timestamp(from.time()?),
        observed_time: Timestamp(from.time()?),
        severity: SeverityNumber(from.byte()?),
        severity_text: from.shared_ref()?,
        body: attributes::decode_value(from)?,
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
        flags: from.varint_u32()?,
        trace_id: TraceId(from.optional_id()?),
        span_id: SpanId(from.optional_id()?),
        event_name: from.shared_ref()?,
    })
}

fn encode_span(out: &mut Encoder, span: &Span) -> std::result::Result<(), TooDeep> {
    out.optional_id(&span.trace_id.0);
    out.optional_id(&span.span_id.0);
    out.optional_id(&span.parent_span_id.0);
    out.text_ref(&span.trace_state);
    out.varint(span.flags.into());
    out.text_ref(&span.name);
    out.byte(match span.kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    });
    out.time(span.start_time.0);
    out.zigzag(span.end_time.0.wrapping_sub(span.start_time.0));
    attributes::encode(out, &span.attributes)?;
    out.varint(span.dropped_attributes_count.into());
    out.count(span.events.len());
    for event in &span.events {
        out.time(event.time.0);
        out.text_ref(&event.name);
        attributes::encode(out, &event.attributes)?;
        out.varint(event.dropped_attributes_count.into());
    }
    out.varint(span.dropped_events_count.into());
    out.count(span.links.len());
    for link in &span.links {
        out.optional_id(&link.trace_id.0);
        out.optional_id(&link.span_id.0);
        out.text_ref(&link.trace_state);
        attributes::encode(out, &link.attributes)?;
        out.varint(link.dropped_attributes_count.into());
        out.varint(link.flags.into());
    }
    out.varint(span.dropped_links_count.into());
    out.byte(match span.status.code {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    });
    out.text_ref(&span.status.message);
    Ok(())
}

fn decode_span(from: &mut Decoder<'_>) -> Result<Span> {
    let trace_id = TraceId(from.optional_id()?);
    let span_id = SpanId(from.optional_id()?);
    let parent_span_id = SpanId(from.optional_id()?);
    let trace_state = from.shared_ref()?;
    let flags = from.varint_u32()?;
    let name = from.shared_ref()?;
    let kind = match from.byte()? {
        n @ 0..=5 => SpanKind::from_number(n.into()),
        _ => return Err(from.error("unknown span kind")),
    };
    let start_time = Timestamp(from.time()?);
    let end_time = Timestamp(start_time.0.wrapping_add(from.zigzag()?));
    Ok(Span {
        trace_id,
        span_id,
        parent_span_id,
        trace_state,
        flags,
        name,
        kind,
        start_time,
        end_time,
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
        events: list(from, decode_event)?,
        dropped_events_count: from.varint_u32()?,
        links: list(from, decode_link)?,
        dropped_links_count: from.varint_u32()?,
        status: SpanStatus {
            code: match from.byte()? {
                0 => StatusCode::Unset,
                1 => StatusCode::Ok,
                2 => StatusCode::Error,
                _ => return Err(from.error("unknown status code")),
            },
            message: from.shared_ref()?,
        },
    })
}

fn decode_event(from: &mut Decoder<'_>) -> Result<SpanEvent> {
    Ok(SpanEvent {
        time: Timestamp(from.time()?),
        name: from.shared_ref()?,
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
    })
}

fn decode_link(from: &mut Decoder<'_>) -> Result<SpanLink> {
    Ok(SpanLink {
        trace_id: TraceId(from.optional_id()?),
        span_id: SpanId(from.optional_id()?),
        trace_state: from.shared_ref()?,
        attributes: attributes::decode(from)?,
        dropped_attributes_count: from.varint_u32()?,
        flags: from.varint_u32()?,
    })
}
