//! Spans.
//!
//! Ids must have their length, and trace id, span id and start time must be there: a span without
//! them cannot be found again, so it is rejected. An end before the start (clocks that were set,
//! an end never recorded) becomes the start, counted. An empty name is legal and means an unknown
//! operation; it is stored as `unknown`, counted.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1 as proto;
use skopos_model::{
    ScopedSpans, Span, SpanEvent, SpanKind, SpanLink, SpanStatus, StatusCode, TraceBatch,
};

use super::OtlpOptions;
use super::attributes::{Converter, span_id, timestamp, trace_id};
use crate::report::{Ingested, Refusal};

pub(super) fn convert(
    request: ExportTraceServiceRequest,
    options: &OtlpOptions,
) -> Ingested<TraceBatch> {
    let mut converter = Converter::new(options);
    let mut groups = Vec::new();
    for sender in request.resource_spans {
        let resource = Arc::new(converter.resource(sender.resource, sender.schema_url));
        for scoped in sender.scope_spans {
            let scope = Arc::new(converter.scope(scoped.scope, scoped.schema_url));
            let mut spans = Vec::with_capacity(scoped.spans.len());
            for proto in scoped.spans {
                match span(&mut converter, proto) {
                    Ok(span) => spans.push(span),
                    Err(refusal) => converter.tally.reject(refusal, 1),
                }
            }
            if !spans.is_empty() {
                groups.push(ScopedSpans { resource: resource.clone(), scope, spans });
            }
        }
    }
    converter.tally.finish(TraceBatch { groups })
}

fn span(converter: &mut Converter<'_>, mut proto: proto::Span) -> Result<Span, Refusal> {
    let trace_id = trace_id(&proto.trace_id)?;
    if !trace_id.is_valid() {
        return Err(Refusal::new("invalid_trace_id", "trace id is missing or all zeros"));
    }
    let id = span_id(&proto.span_id)?;
    if !id.is_valid() {
        return Err(Refusal::new("invalid_span_id", "span id is missing or all zeros"));
    }
    let parent_span_id = span_id(&proto.parent_span_id).map_err(|refusal| {
        Refusal::new("invalid_parent_span_id", format!("parent {}", refusal.message))
    })?;
    if proto.start_time_unix_nano == 0 {
        return Err(Refusal::new("missing_timestamp", "span has no start time"));
    }
    let start_time = timestamp(proto.start_time_unix_nano, "start time")?;
    let mut end_time = timestamp(proto.end_time_unix_nano, "end time")?;
    if end_time < start_time {
        converter.tally.adjust("end_before_start", 1, || {
            format!("span ends at {end_time} before its start at {start_time}; its duration is stored as 0")
        });
        end_time = start_time;
    }
    if proto.name.is_empty() {
        let note = || "span without a name is stored as `unknown`".to_owned();
        converter.tally.adjust("empty_name", 1, note);
        proto.name.push_str("unknown");
    }

    let limits = converter.limits;
    let (max_events, max_links) = (limits.events_per_span, limits.links_per_span);
    let mut dropped_attributes_count = proto.dropped_attributes_count;
    let mut dropped_events_count = proto.dropped_events_count;
    let mut dropped_links_count = proto.dropped_links_count;
    cut(converter, &mut proto.events, "events_per_span", max_events, &mut dropped_events_count);
    cut(converter, &mut proto.links, "links_per_span", max_links, &mut dropped_links_count);

    let attributes = converter.attributes(proto.attributes, &mut dropped_attributes_count);
    let mut events = Vec::with_capacity(proto.events.len());
    for event in proto.events {
        events.push(self::event(converter, event, start_time)?);
    }
    let mut links = Vec::with_capacity(proto.links.len());
    for link in proto.links {
        match self::link(converter, link) {
            Ok(link) => links.push(link),
            Err(refusal) => {
                converter.tally.adjust("invalid_link", 1, || {
                    format!("link dropped, the span is kept: {}", refusal.message)
                });
                dropped_links_count = dropped_links_count.saturating_add(1);
            }
        }
    }
    let status = proto.status.unwrap_or_default();
    let code = match status.code {
        1 => StatusCode::Ok,
        2 => StatusCode::Error,
        _ => StatusCode::Unset,
    };
    let span = Span {
        trace_id,
        span_id: id,
        parent_span_id,
        trace_state: converter.name_text("trace state", proto.trace_state).into(),
        flags: proto.flags,
        name: converter.name_text("span name", proto.name).into(),
        kind: SpanKind::from_number(proto.kind),
        start_time,
        end_time,
        attributes,
        dropped_attributes_count,
        events,
        dropped_events_count,
        links,
        dropped_links_count,
        status: SpanStatus { code, message: converter.text("status.message", status.message) },
    };
    let (size, max) = (size_bytes(&span), converter.limits.record_bytes);
    if size > max {
        return Err(Refusal::limit("record_bytes", max, size, "span"));
    }
    Ok(span)
}

fn cut<T>(
    converter: &mut Converter<'_>,
    items: &mut Vec<T>,
    limit: &'static str,
    max: usize,
    dropped: &mut u32,
) {
    let found = items.len();
    if found > max {
        converter.tally.adjust(limit, (found - max) as u64, || {
            format!("dropped what exceeds limit `{limit}`, which is {max}, found {found}")
        });
        *dropped = dropped.saturating_add(u32::try_from(found - max).unwrap_or(u32::MAX));
        items.truncate(max);
    }
}

fn event(
    converter: &mut Converter<'_>,
    proto: proto::span::Event,
    span_start: skopos_model::Timestamp,
) -> Result<SpanEvent, Refusal> {
    let time = match proto.time_unix_nano {
        0 => span_start,
        nanos => timestamp(nanos, "time of an event")?,
    };
    let mut dropped_attributes_count = proto.dropped_attributes_count;
    let attributes = converter.attributes(proto.attributes, &mut dropped_attributes_count);
    let name = converter.name_text("event name", proto.name).into();
    Ok(SpanEvent { time, name, attributes, dropped_attributes_count })
}

fn link(converter: &mut Converter<'_>, proto: proto::span::Link) -> Result<SpanLink, Refusal> {
    let trace_id = trace_id(&proto.trace_id)?;
    let span_id = span_id(&proto.span_id)?;
    let mut dropped_attributes_count = proto.dropped_attributes_count;
    let attributes = converter.attributes(proto.attributes, &mut dropped_attributes_count);
    Ok(SpanLink {
        trace_id,
        span_id,
        trace_state: converter.name_text("trace state", proto.trace_state).into(),
        attributes,
        dropped_attributes_count,
        flags: proto.flags,
    })
}

fn size_bytes(span: &Span) -> usize {
    let event_bytes = |event: &SpanEvent| {
        size_of::<SpanEvent>() + event.name.len() + event.attributes.size_bytes()
    };
    let link_bytes = |link: &SpanLink| {
        size_of::<SpanLink>() + link.trace_state.len() + link.attributes.size_bytes()
    };
    span.name.len()
        + span.trace_state.len()
        + span.status.message.len()
        + span.attributes.size_bytes()
        + span.events.iter().map(event_bytes).sum::<usize>()
        + span.links.iter().map(link_bytes).sum::<usize>()
}
