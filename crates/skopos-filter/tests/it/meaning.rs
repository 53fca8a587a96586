//! What filters mean: a table by hand, and an oracle that reads the tree in the most naive way.

use skopos_filter::Filter;
use skopos_filter::ast::{Comparison, Expr, Node, Operator, Part, Pattern};
use skopos_model::event::{EventFields, Field, FieldValue, LogEvent, SpanRecord};
use skopos_model::{
    AnyValue, Attributes, LogRecord, Resource, Scope, SeverityNumber, Span, SpanKind, SpanStatus,
    StatusCode, Timestamp, TraceId,
};

use crate::random::{self, Random};

fn sender() -> (Resource, Scope) {
    let attributes =
        Attributes::from_iter([("service.name", "payment"), ("region", "eu"), ("os", "linux")]);
    let scope = Scope {
        name: "lib".into(),
        attributes: Attributes::from_iter([("tier", "gold")]),
        ..Scope::default()
    };
    (Resource { attributes, ..Resource::default() }, scope)
}

#[test]
fn filters_on_a_log_record() {
    let (resource, scope) = sender();
    let mut record = LogRecord {
        severity: SeverityNumber(18),
        body: AnyValue::from("Pool timeout\nafter 1500 ms"),
        trace_id: TraceId([0xab; 16]),
        event_name: "pool.exhausted".into(),
        ..LogRecord::default()
    };
    record.attributes.set("http.status_code", 503_i64);
    record.attributes.set("region", "us");
    record.attributes.set("empty", "");
    record.attributes.set("user name", "Ana");
    let event = LogEvent { resource: &resource, scope: &scope, record: &record };
    let unspecified = LogRecord::default();
    let bare = LogEvent { resource: &resource, scope: &scope, record: &unspecified };
    for (text, want) in [
        ("", true),
        ("pool", true),
        ("\"POOL TIMEOUT\"", true),
        ("pool after", true),
        ("pool*1500", true),
        ("pool*x", false),
        ("service=payment", true),
        ("service=pay*", true),
        ("service=pay", false),
        ("service=\"pay*\"", false),
        ("level>=error", true),
        ("level>error", false),
        ("level=error", true),
        ("level=17", false),
        ("level=18", true),
        ("level<fatal", true),
        ("level<=error", true),
        ("level<error", false),
        ("level!=error", false),
        ("http.status_code>=500", true),
        ("http.status_code=503", true),
        ("http.status_code=5*", true),
        ("http.status_code<500", false),
        // The event's own attribute stands before its resource's.
        ("region=us", true),
        ("region=eu", false),
        ("resource.region=eu", true),
        ("attributes.region=us", true),
        ("attributes.os=linux", false),
        ("os=linux", true),
        ("scope.tier=gold", true),
        ("scope.name=lib", true),
        ("name=pool.*", true),
        ("\"user name\"=Ana", true),
        ("body~\"^Pool .*\\n\"", true),
        ("body~after$", false),
        ("body=pool*", false),
        ("body=Pool*ms", true),
        ("body=\"Pool timeout\"", false),
        ("trace_id=ABABABABABABABABABABABABABABABAB", true),
        ("trace_id=abab*", true),
        ("trace_id=cd*", false),
        ("trace_id!=\"\"", true),
        ("span_id=\"\"", true),
        ("has(region)", true),
        ("has(empty)", false),
        ("has(absent)", false),
        ("empty=\"\"", true),
        ("absent=\"\"", true),
        ("absent=*", false),
        ("absent!=x", true),
        ("absent!~x", true),
        ("absent!=*", true),
        ("NOT absent=x", true),
        ("absent=* absent!=x", false),
        ("absent>0", false),
        ("absent<0", false),
        ("NOT absent>0", true),
        // Fields of spans are missing.
        ("duration>0s", false),
        ("NOT duration>0s", true),
        ("kind=server", false),
        ("a OR pool", true),
        ("-pool OR nothing", false),
        ("pool (nothing OR service=payment)", true),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filter.predicate().matches(&event), want, "{text}");
        assert_eq!(filter.predicates().iter().all(|p| p.matches(&event)), want, "{text}");
    }
    // An unspecified level is a missing field.
    for (text, want) in [
        ("level=*", false),
        ("level<fatal", false),
        ("level<=24", false),
        ("level>=1", false),
        ("level!=error", true),
        ("level=\"\"", true),
    ] {
        assert_eq!(Filter::parse(text).unwrap().predicate().matches(&bare), want, "{text}");
    }
}

#[test]
fn filters_on_a_span() {
    let (resource, scope) = sender();
    let mut span = Span {
        name: "POST /pay".into(),
        kind: SpanKind::Server,
        start_time: Timestamp(0),
        end_time: Timestamp(1_500_000_000),
        status: SpanStatus { code: StatusCode::Error, message: "card declined".into() },
        ..Span::default()
    };
    span.attributes.set("db.system", "PostgreSQL");
    span.events.push(skopos_model::SpanEvent {
        name: "exception".into(),
        attributes: Attributes::from_iter([("exception.message", "connection refused")]),
        ..Default::default()
    });
    let event = SpanRecord { resource: &resource, scope: &scope, span: &span };
    for (text, want) in [
        ("duration>1s", true),
        ("duration>=1500ms", true),
        ("duration=1.5s", true),
        ("duration!=1.5s", false),
        ("duration>1.5s", false),
        ("duration<1m30s", true),
        ("status=error", true),
        ("status=ERROR", true),
        ("status!=ok", true),
        ("status=err*", true),
        ("kind=Server", true),
        ("kind~^ser", true),
        ("name=POST*", true),
        ("name~^POST", true),
        ("pay", true),
        ("declined", true),
        ("postgresql", true),
        ("\"connection refused\"", true),
        ("exception", true),
        ("db.system", false),
        ("payment", false),
        ("status_message=\"card declined\"", true),
        ("parent_span_id=\"\"", true),
        ("level>=error", false),
        ("body=*", false),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filter.predicate().matches(&event), want, "{text}");
    }
}

/// Reads the tree as the documentation says it.
fn oracle(node: &Node, event: &dyn EventFields) -> bool {
    match &node.expr {
        Expr::All(all) => all.iter().all(|node| oracle(node, event)),
        Expr::Any(any) => any.iter().any(|node| oracle(node, event)),
        Expr::Not(inner) => !oracle(inner, event),
        Expr::Text(pattern) => {
            let Some(text) = event.field(&Field::Text) else { return pattern.is_any() };
            let text = text.text().to_ascii_lowercase();
            let mut around = vec![Part::Any];
            around.extend(pattern.parts().iter().map(|part| match part {
                Part::Text(text) => Part::Text(text.to_ascii_lowercase()),
                Part::Any => Part::Any,
            }));
            around.push(Part::Any);
            glob(&around, &text)
        }
        Expr::Compare(comparison) => compare(comparison, event),
    }
}

fn compare(c: &Comparison, event: &dyn EventFields) -> bool {
    match c.operator {
        Operator::NotEqual => return !compare(&with(c, Operator::Equal), event),
        Operator::NotMatch => return !compare(&with(c, Operator::Match), event),
        _ => {}
    }
    let value = event.field(&c.field).filter(|value| match (&c.field, value) {
        (Field::Severity, FieldValue::Number(n)) => *n > 0.0,
        _ => true,
    });
    let is_there = value.as_ref().is_some_and(|v| !v.text().is_empty());
    if c.operator == Operator::Equal && c.value.is_any() {
        return is_there;
    }
    if c.operator == Operator::Equal && c.value.as_text() == Some("") {
        return !is_there;
    }
    let Some(value) = value else { return false };
    let written = c.value.as_text().map(str::to_owned);
    let wanted = |text: &str| match c.field {
        Field::Severity => match SeverityNumber::from_name(text) {
            Some(band) => (f64::from(band.0), f64::from(band.0 + 3)),
            None => (text.parse().unwrap(), text.parse().unwrap()),
        },
        Field::Duration => {
            let seconds = match text {
                "10ms" => 0.01,
                "1.5s" => 1.5,
                "1m30s" => 90.0,
                "250us" => 0.000_25,
                "0s" => 0.0,
                other => panic!("{other}"),
            };
            (seconds, seconds)
        }
        _ => match text.parse() {
            Ok(number) => (number, number),
            Err(_) => (f64::NAN, f64::NAN),
        },
    };
    let number = match &value {
        FieldValue::Number(number) => Some(*number),
        FieldValue::Text(text) => text.parse().ok(),
    };
    let ordered = |holds: fn(f64, (f64, f64)) -> bool| {
        number.is_some_and(|number| holds(number, wanted(written.as_deref().unwrap())))
    };
    match c.operator {
        Operator::Greater => ordered(|n, (_, high)| n > high),
        Operator::GreaterOrEqual => ordered(|n, (low, _)| n >= low),
        Operator::Less => ordered(|n, (low, _)| n < low),
        Operator::LessOrEqual => ordered(|n, (_, high)| n <= high),
        Operator::Match => regex::Regex::new(&written.unwrap()).unwrap().is_match(&value.text()),
        _ => match (&c.field, &value) {
            (Field::Severity | Field::Duration, _) => {
                ordered(|n, (low, high)| low <= n && n <= high)
            }
            (Field::Kind | Field::Status | Field::TraceId, _) => {
                let lower = Pattern::clone(&c.value);
                let parts: Vec<Part> = lower
                    .parts()
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => Part::Text(text.to_lowercase()),
                        Part::Any => Part::Any,
                    })
                    .collect();
                glob(&parts, &value.text().to_lowercase())
            }
            (_, FieldValue::Number(number)) if written.is_some() => {
                wanted(written.as_deref().unwrap()).0 == *number
            }
            _ => glob(c.value.parts(), &value.text()),
        },
    }
}

fn with(c: &Comparison, operator: Operator) -> Comparison {
    Comparison { operator, ..c.clone() }
}

/// Whether the whole text fits.
fn glob(parts: &[Part], text: &str) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Text(start), rest @ ..] => {
            text.strip_prefix(start.as_str()).is_some_and(|text| glob(rest, text))
        }
        [Part::Any, rest @ ..] => {
            let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.into_iter().any(|at| glob(rest, &text[at..]))
        }
    }
}

#[test]
fn evaluation_over_random_events_equals_the_oracle() {
    let mut r = Random::new(5);
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..1_000 {
        let text = random::filter(&mut r, 3);
        let Ok(filter) = Filter::parse(&text) else { continue };
        let (resource, scope) = (random::resource(&mut r), random::scope(&mut r));
        for _ in 0..4 {
            let record = random::log(&mut r);
            let span = random::span(&mut r);
            let log = LogEvent { resource: &resource, scope: &scope, record: &record };
            let span = SpanRecord { resource: &resource, scope: &scope, span: &span };
            for event in [&log as &dyn EventFields, &span] {
                let want = oracle(filter.ast(), event);
                assert_eq!(
                    filter.predicate().matches(event),
                    want,
                    "{text} on {record:?} {span:?}"
                );
                *(if want { &mut hits } else { &mut misses }) += 1;
            }
        }
    }
    assert!(hits > 1_000 && misses > 1_000, "{hits} hits, {misses} misses");
}
