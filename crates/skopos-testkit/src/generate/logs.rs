//! Log records of the shop.

use skopos_model::{
    AnyValue, Attributes, LogBatch, LogRecord, ScopedLogs, SeverityNumber, SpanId, Timestamp,
    TraceId,
};

use super::{Random, SERVICES, resource, scope};

/// So many log records of all services, within the second after `time`, with a few trace ids in
/// common, and attribute values of every type.
pub fn log_batch(random: &mut Random, records: usize, time: Timestamp) -> LogBatch {
    let mut groups: Vec<ScopedLogs> = SERVICES
        .iter()
        .map(|service| ScopedLogs {
            resource: resource(service),
            scope: scope(),
            records: Vec::new(),
        })
        .collect();
    for _ in 0..records {
        let group = random.below(groups.len() as u64) as usize;
        groups[group].records.push(log_record(random, time));
    }
    groups.retain(|group| !group.records.is_empty());
    LogBatch { groups }
}

fn log_record(random: &mut Random, time: Timestamp) -> LogRecord {
    let time = Timestamp(time.0 + random.below(1_000_000_000) as i64);
    let order = random.below(500);
    let severity = *random.pick(&[
        SeverityNumber::DEBUG,
        SeverityNumber::INFO,
        SeverityNumber::INFO,
        SeverityNumber::WARN,
        SeverityNumber::ERROR,
        SeverityNumber(18),
        SeverityNumber::UNSPECIFIED,
    ]);
    let body = match random.below(12) {
        0 => AnyValue::Empty,
        1 => AnyValue::Map(Attributes::from_iter([("message", AnyValue::from("structured"))])),
        2 => AnyValue::Int(order as i64),
        3 => AnyValue::Bytes(random.bytes::<5>()[..].into()),
        n => AnyValue::from(format!(
            "{} for order {order}",
            ["order placed", "Card declined", "pool timeout", "stock \"reserved\"\nok"]
                [n as usize % 4]
        )),
    };
    let mut attributes = Attributes::new();
    attributes.set("order.id", order as i64);
    attributes.set("http.route", *random.pick(&["/orders", "/pay/{id}", "/stock"]));
    if random.one_in(3) {
        attributes.set("amount", random.below(10_000) as f64 / 100.0);
    }
    if random.one_in(10) {
        attributes.set("ratio", *random.pick(&[f64::NAN, f64::INFINITY, -0.0, 1e300]));
        attributes.set("retry", random.one_in(2));
    }
    if random.one_in(10) {
        let nested = Attributes::from_iter([
            ("token", AnyValue::Bytes(random.bytes::<3>()[..].into())),
            ("empty", AnyValue::Empty),
            (
                "list",
                AnyValue::Array(vec![1_i64.into(), "zwei".into(), AnyValue::Double(f64::NAN)]),
            ),
        ]);
        attributes.set("nested", AnyValue::Map(nested));
    }
    let traced = random.one_in(2);
    // Few traces, so that records share them.
    let trace = random.below(20) as u8 + 1;
    LogRecord {
        time,
        observed_time: Timestamp(time.0 + 1_000),
        severity,
        severity_text: severity.name().to_lowercase().into(),
        body,
        attributes,
        dropped_attributes_count: random.below(2) as u32,
        flags: u32::from(traced),
        trace_id: if traced { TraceId([trace; 16]) } else { TraceId::INVALID },
        span_id: if traced { SpanId(random.bytes()) } else { SpanId::INVALID },
        event_name: if random.one_in(6) { "order.placed".into() } else { "".into() },
    }
}
