//! Traces of the shop: an order calls the inventory and the payment.

use std::sync::Arc;

use skopos_model::{
    AnyValue, Attributes, ScopedSpans, Span, SpanEvent, SpanId, SpanKind, SpanLink, SpanStatus,
    StatusCode, Timestamp, TraceBatch, TraceId,
};

use super::{Random, SERVICES, resource, scope};

/// So many traces of up to six spans each, started within the second after `time`.
pub fn trace_batch(random: &mut Random, traces: usize, time: Timestamp) -> TraceBatch {
    let mut groups: Vec<ScopedSpans> = SERVICES
        .iter()
        .map(|service| ScopedSpans { resource: resource(service), scope: scope(), spans: vec![] })
        .collect();
    for _ in 0..traces {
        trace(random, time, &mut groups);
    }
    groups.retain(|group| !group.spans.is_empty());
    TraceBatch { groups }
}

fn trace(random: &mut Random, time: Timestamp, groups: &mut [ScopedSpans]) {
    let trace_id = TraceId(random.bytes());
    let start = time.0 + random.below(1_000_000_000) as i64;
    let failed = random.one_in(5);
    let root = span(random, trace_id, SpanId::INVALID, "POST /orders", SpanKind::Server, start);
    let calls = [(2, "GET /stock"), (1, "POST /pay/{id}")];
    for (group, name) in calls {
        let client = span(random, trace_id, root.span_id, name, SpanKind::Client, start + 1_000);
        let mut server =
            span(random, trace_id, client.span_id, name, SpanKind::Server, start + 200_000);
        if failed && group == 1 {
            fail(&mut server);
        }
        groups[0].spans.push(client);
        groups[group].spans.push(server);
    }
    if random.one_in(2) {
        let internal =
            span(random, trace_id, root.span_id, "validate", SpanKind::Internal, start + 500);
        groups[0].spans.push(internal);
    }
    groups[0].spans.push(root);
}

fn span(
    random: &mut Random,
    trace_id: TraceId,
    parent_span_id: SpanId,
    name: &str,
    kind: SpanKind,
    start: i64,
) -> Span {
    let duration = random.below(50_000_000) as i64;
    let mut attributes = Attributes::new();
    attributes.set("http.response.status_code", 200_i64);
    attributes.set("http.route", name);
    if random.one_in(10) {
        attributes.set("payload", AnyValue::Bytes(random.bytes::<4>()[..].into()));
    }
    let links = if random.one_in(6) {
        let attributes = Attributes::from_iter([("reason", AnyValue::Double(f64::NAN))]);
        vec![SpanLink {
            trace_id: TraceId(random.bytes()),
            span_id: SpanId(random.bytes()),
            trace_state: "a=b".into(),
            attributes,
            dropped_attributes_count: 1,
            flags: 1,
        }]
    } else {
        vec![]
    };
    Span {
        trace_id,
        span_id: SpanId(random.bytes()),
        parent_span_id,
        trace_state: if random.one_in(4) { "vendor=1".into() } else { "".into() },
        flags: 1,
        name: name.into(),
        kind,
        start_time: Timestamp(start),
        end_time: Timestamp(start + duration),
        attributes,
        links,
        ..Span::default()
    }
}

fn fail(span: &mut Span) {
    span.status = SpanStatus { code: StatusCode::Error, message: Arc::from("card declined") };
    span.attributes.set("http.response.status_code", 502_i64);
    span.events.push(SpanEvent {
        time: span.start_time,
        name: "exception".into(),
        attributes: Attributes::from_iter([("exception.type", "CardDeclined")]),
        dropped_attributes_count: 0,
    });
}
