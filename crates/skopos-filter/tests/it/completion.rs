//! What may stand at a place.

use skopos_filter::complete::{Completion, ItemKind, Known, NoData, Request, Source, complete};
use skopos_filter::field_name;
use skopos_model::event::{EventSignal, Field};

/// Knows some attributes and services.
struct Shop;

impl Source for Shop {
    fn fields(&self) -> Vec<Known> {
        let known = |text: &str, count| Known { text: text.into(), count: Some(count) };
        vec![known("http.route", 90), known("order.id", 10), known("odd name", 1)]
    }

    fn values(&self, field: &Field) -> Vec<Known> {
        let values: &[(&str, u64)] = match field_name(field).as_str() {
            "service.name" => &[("payment", 5), ("order", 9), ("odd service", 1)],
            "level" => &[("error", 3)],
            _ => &[],
        };
        values.iter().map(|(v, n)| Known { text: (*v).into(), count: Some(*n) }).collect()
    }
}

/// Completes where `|` stands.
fn at(marked: &str, signal: Option<EventSignal>) -> (String, Completion) {
    let cursor = marked.find('|').unwrap();
    let text = marked.replacen('|', "", 1);
    let answer = complete(&Request { text: &text, cursor, signal }, &Shop);
    (text, answer)
}

#[test]
fn what_is_proposed_and_what_it_replaces() {
    for (marked, replaced, first, kind) in [
        ("|", "", "service.name", ItemKind::Field),
        ("lev|", "lev", "level", ItemKind::Field),
        ("lev|=x", "lev", "level", ItemKind::Field),
        ("a (not lev|", "lev", "level", ItemKind::Field),
        ("-dur|", "dur", "duration", ItemKind::Field),
        ("route|", "route", "http.route", ItemKind::Field),
        ("odd|", "odd", "\"odd name\"", ItemKind::Field),
        ("has(ord|", "ord", "order.id", ItemKind::Field),
        ("level|", "level", "level>=", ItemKind::Operator),
        ("level |", "", ">=", ItemKind::Operator),
        ("level!|", "!", ">=", ItemKind::Operator),
        ("service.name=|", "", "order", ItemKind::Value),
        ("service=pa|", "pa", "payment", ItemKind::Value),
        ("a OR service=pa|x b", "pax", "payment", ItemKind::Value),
        ("service=\"odd s|", "\"odd s", "\"odd service\"", ItemKind::Value),
        ("service=odd|", "odd", "\"odd service\"", ItemKind::Value),
        ("level>=|", "", "error", ItemKind::Value),
        ("level>=w|", "w", "warn", ItemKind::Value),
        ("kind=s|", "s", "server", ItemKind::Value),
        ("duration>|", "", "100ms", ItemKind::Value),
        ("level=error pare|", "pare", "parent_span_id", ItemKind::Field),
    ] {
        let (text, answer) = at(marked, None);
        let span = answer.replace;
        assert_eq!(&text[span.start..span.end], replaced, "{marked}");
        let item = answer.items.first().unwrap_or_else(|| panic!("{marked}: nothing"));
        assert_eq!((item.text.as_str(), item.kind), (first, kind), "{marked}: {:?}", answer.items);
    }
}

#[test]
fn keywords_stand_where_they_can() {
    let keywords = |marked: &str| {
        let (_, answer) = at(marked, None);
        let of_kind = answer.items.into_iter().filter(|i| i.kind == ItemKind::Keyword);
        of_kind.map(|i| i.text).collect::<Vec<_>>()
    };
    assert_eq!(keywords("|"), ["NOT"]);
    assert_eq!(keywords("level=error |"), ["AND", "OR", "NOT"]);
    assert_eq!(keywords("level=error O|"), ["OR"]);
    assert_eq!(keywords("(a) |"), ["AND", "OR", "NOT"]);
    assert_eq!(keywords("a OR |"), ["NOT"]);
}

#[test]
fn fields_of_the_other_signal_are_left_out() {
    let fields = |signal| {
        let (_, answer) = at("|", Some(signal));
        answer.items.into_iter().map(|i| i.label).collect::<Vec<_>>()
    };
    let (logs, spans) = (fields(EventSignal::Logs), fields(EventSignal::Spans));
    assert!(logs.contains(&"level".into()) && !logs.contains(&"duration".into()));
    assert!(!spans.contains(&"level".into()) && spans.contains(&"duration".into()));
}

#[test]
fn free_text_and_nonsense_complete_to_nothing() {
    for marked in ["\"some te|", "a\"b|", "==|", "x=fn(|"] {
        assert_eq!(at(marked, None).1.items, [], "{marked}");
    }
    let beyond = complete(&Request { text: "é", cursor: 1, signal: None }, &NoData);
    assert_eq!((beyond.replace.start, beyond.replace.end), (0, 0), "within a character: before it");
    let beyond = complete(&Request { text: "é", cursor: 9, signal: None }, &NoData);
    assert_eq!((beyond.replace.start, beyond.replace.end), (0, 2));
}
