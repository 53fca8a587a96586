//! Seeded randomness, random filters, and random events.

use std::sync::Arc;

use skopos_filter::parse_field;
use skopos_model::{
    AnyValue, Attributes, LogRecord, Resource, Scope, SeverityNumber, Span, SpanEvent, SpanId,
    SpanKind, SpanStatus, StatusCode, Timestamp, TraceId,
};

/// SplitMix64: small, and the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn pick(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }
}

/// Text with everything that needs care.
pub(crate) fn text(r: &mut Random) -> String {
    const PIECES: [&str; 26] = [
        "a", "pool", "Timeout", " ", "\"", "\\", "*", "(", ")", "=", "!", "~", "<", ">", "-", "é",
        "🦀", "\n", "\t", "and", "OR", "not", "has", ":", "\u{1}", "0",
    ];
    (0..r.below(4) + 1).map(|_| r.pick(&PIECES)).collect()
}

/// A condition on one field, well typed, in one of many spellings.
fn comparison(r: &mut Random) -> String {
    let equality = |r: &mut Random| r.pick(&["=", "!="]).to_owned();
    match r.below(10) {
        0 => format!(
            "{}{}{}",
            r.pick(&["level", "severity"]),
            r.pick(&["=", "!=", ">", ">=", "<", "<=", " >= "]),
            r.pick(&["error", "WARN", "info", "13", "18", "debug"])
        ),
        1 => format!(
            "duration{}{}",
            r.pick(&["=", "!=", ">", ">=", "<", "<="]),
            r.pick(&["10ms", "1.5s", "1m30s", "250us", "0s"])
        ),
        2 => format!("kind{}{}", equality(r), r.pick(&["server", "CLIENT", "ser*"])),
        3 => format!("status{}{}", equality(r), r.pick(&["error", "ok", "UNSET", "*r*"])),
        4 => format!("trace_id{}{}", equality(r), r.pick(&["0101*", "*", "\"\""])),
        5 => format!(
            "{}{}{}",
            r.pick(&["order.id", "attributes.order.id", "\"order.id\""]),
            r.pick(&["=", "!=", ">", ">=", "<", "<="]),
            r.pick(&["1", "2", "1.5", "-3", "1e2"])
        ),
        6 => format!(
            "{}{}{}",
            field(r),
            r.pick(&["~", "!~", "=~"]),
            r.pick(&["^a", "po+l", "\"(pool|x) ?\"", "\"\\\"\"", r"[\d.]+"])
        ),
        7 => format!("has({})", field(r)),
        8 => format!("{}{}{}", field(r), equality(r), r.pick(&["po*", "*l", "a*b*", "\\**", "*"])),
        _ => {
            let mut quoted = String::new();
            for c in text(r).chars() {
                if c == '"' || c == '\\' {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
            format!("{}{}\"{quoted}\"", field(r), equality(r))
        }
    }
}

fn field(r: &mut Random) -> &'static str {
    const FIELDS: [&str; 13] = [
        "service.name",
        "service",
        "body",
        "name",
        "region",
        "\"odd name\"",
        "resource.region",
        "attributes.region",
        "scope.name",
        "scope.tier",
        "status_message",
        "\"and\"",
        "\"a\\\"b\"",
    ];
    r.pick(&FIELDS)
}

/// A filter of at most this depth.
pub(crate) fn filter(r: &mut Random, depth: usize) -> String {
    if depth == 0 || r.below(4) == 0 {
        return match r.below(4) {
            0 => r.pick(&["pool", "po*l", "\"pool timeout\"", "\"and\"", "*", "\\-x"]).to_owned(),
            _ => comparison(r),
        };
    }
    let d = depth - 1;
    match r.below(6) {
        0 => format!("({})", filter(r, d)),
        1 => format!("not {}", filter(r, d)),
        2 => format!("-({})", filter(r, d)),
        3 => format!("{} OR {}", filter(r, d), filter(r, d)),
        4 => format!("{} and {}", filter(r, d), filter(r, d)),
        _ => format!("{}  {}", filter(r, d), filter(r, d)),
    }
}

fn attributes(r: &mut Random) -> Attributes {
    let mut attributes = Attributes::new();
    if r.below(2) == 0 {
        attributes.set("order.id", r.below(4) as i64 - 1);
    }
    if r.below(2) == 0 {
        attributes.set("region", r.pick(&["eu", "pool", "", "a b"]));
    }
    if r.below(3) == 0 {
        attributes.set("odd name", text(r));
    }
    if r.below(5) == 0 {
        attributes.set("and", AnyValue::Array(vec![1.5.into(), "x".into()]));
    }
    attributes
}

pub(crate) fn resource(r: &mut Random) -> Resource {
    let mut attributes = attributes(r);
    if r.below(4) != 0 {
        attributes.set("service.name", r.pick(&["pool", "order-service", "a"]));
    }
    Resource { attributes, ..Resource::default() }
}

pub(crate) fn scope(r: &mut Random) -> Scope {
    let mut attributes = Attributes::new();
    if r.below(2) == 0 {
        attributes.set("tier", "pool");
    }
    Scope { name: r.pick(&["", "lib"]).into(), attributes, ..Scope::default() }
}

pub(crate) fn log(r: &mut Random) -> LogRecord {
    let body = match r.below(4) {
        0 => AnyValue::Empty,
        1 => AnyValue::Map(attributes(r)),
        _ => AnyValue::from(text(r)),
    };
    LogRecord {
        severity: SeverityNumber(r.below(25) as u8),
        body,
        attributes: attributes(r),
        trace_id: if r.below(2) == 0 { TraceId([1; 16]) } else { TraceId::INVALID },
        event_name: Arc::from(r.pick(&["", "pool", "x"])),
        ..LogRecord::default()
    }
}

pub(crate) fn span(r: &mut Random) -> Span {
    let codes = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    Span {
        trace_id: TraceId([1 + r.below(2) as u8; 16]),
        span_id: SpanId([2; 8]),
        name: Arc::from(r.pick(&["pool", "GET /x", ""])),
        kind: SpanKind::from_number(r.below(6) as i32),
        start_time: Timestamp(0),
        end_time: Timestamp([0, 10_000_000, 250_000, 1_500_000_000, 90_000_000_000][r.below(5)]),
        attributes: attributes(r),
        events: vec![SpanEvent { name: text(r).into(), ..SpanEvent::default() }],
        status: SpanStatus { code: codes[r.below(3)], message: text(r).into() },
        ..Span::default()
    }
}

#[test]
fn every_field_of_the_generator_has_its_normal_name() {
    let mut r = Random::new(1);
    for _ in 0..100 {
        let name = field(&mut r);
        if !name.contains('"') {
            let field = parse_field(name);
            assert_eq!(parse_field(&skopos_filter::field_name(&field)), field);
        }
    }
}
