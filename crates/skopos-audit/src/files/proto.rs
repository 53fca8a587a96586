//! Protocol Buffers: messages with their fields, and which message a call of a service is given.
//!
//! Read for one question only: what is in a message that a log line takes whole. Options, enums, maps' keys and
//! everything else of the language is passed over; nested messages are known by their own name.

use std::collections::BTreeMap;

use super::{Document, Read, name};
use crate::Span;

/// How deep messages within messages are followed.
const DEEPEST: usize = 4;

/// A `.proto` file.
#[derive(Clone, Debug, Default)]
pub struct Proto {
    /// Messages by name: their fields and the types of those, as written.
    pub messages: BTreeMap<String, Vec<(String, String)>>,
    /// Calls of services: name of the call, message that it is given.
    pub calls: Vec<(String, String)>,
}

pub(crate) fn wants(path: &str) -> bool {
    name(path).ends_with(".proto")
}

pub(crate) fn read(_path: &str, text: &str) -> Read {
    let found = parse(text);
    let mut read = Read::default();
    if !found.messages.is_empty() || !found.calls.is_empty() {
        read.documents.push((Span::new(0, text.len()), Document::Proto(found)));
    }
    read
}

impl Proto {
    /// The first field of a message, or of a message in it, for which `test` holds: dotted.
    pub fn field(&self, message: &str, test: &dyn Fn(&str) -> bool) -> Option<String> {
        self.field_within(message, test, 0)
    }

    fn field_within(
        &self,
        message: &str,
        test: &dyn Fn(&str) -> bool,
        depth: usize,
    ) -> Option<String> {
        let bare = message.rsplit('.').next().unwrap_or(message);
        let fields = self.messages.get(bare).filter(|_| depth < DEEPEST)?;
        // `card.number` says more than `number`: a field is judged with what it stands in.
        let below = |(field, kind): &(String, String)| {
            let inner = |name: &str| test(&format!("{field}.{name}"));
            let below = self.field_within(kind, &inner, depth + 1)?;
            Some(format!("{field}.{below}"))
        };
        let is_message =
            |kind: &str| self.messages.contains_key(kind.rsplit('.').next().unwrap_or(kind));
        let own = fields.iter().find(|(field, kind)| test(field) && !is_message(kind));
        own.map(|(field, _)| field.clone()).or_else(|| fields.iter().find_map(below))
    }

    /// The message that the handler of a call is given, by the handler's name (`Charge`, `chargeHandler`).
    pub fn request_of(&self, handler: &str) -> Option<&str> {
        let wanted = handler.to_lowercase().replace('_', "");
        let wanted = wanted.trim_end_matches("handler").trim_end_matches("service");
        let found = self.calls.iter().find(|(call, _)| call.to_lowercase() == wanted);
        found.map(|(_, message)| message.rsplit('.').next().unwrap_or(message))
    }
}

fn parse(text: &str) -> Proto {
    let mut found = Proto::default();
    // What is open: the name of a message, or none for anything else.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut statement: Vec<String> = Vec::new();
    for word in words(text) {
        match word.as_str() {
            "{" => {
                let is_message = statement.first().is_some_and(|w| w == "message");
                call(&statement, &mut found);
                // `oneof` and `extend` hold fields of the message around them.
                let is_oneof = statement.first().is_some_and(|w| w == "oneof");
                let around = open.last().cloned().flatten();
                let name = statement.get(1).filter(|_| is_message).cloned();
                if let Some(name) = &name {
                    found.messages.entry(name.clone()).or_default();
                }
                open.push(if is_oneof { around } else { name });
                statement.clear();
            }
            "}" => {
                open.pop();
                statement.clear();
            }
            ";" => {
                call(&statement, &mut found);
                if let Some(Some(message)) = open.last()
                    && let Some((field, kind)) = field_of(&statement)
                    && let Some(fields) = found.messages.get_mut(message)
                {
                    fields.push((field, kind));
                }
                statement.clear();
            }
            _ if statement.len() < 64 => statement.push(word),
            _ => {}
        }
    }
    found
}

/// `rpc Charge ( ChargeRequest ) returns ( ChargeResponse )`.
fn call(statement: &[String], found: &mut Proto) {
    let [keyword, name, paren, rest @ ..] = statement else { return };
    if keyword == "rpc" && paren == "(" {
        let message = rest.iter().find(|word| *word != "stream");
        found.calls.extend(message.map(|message| (name.clone(), message.clone())));
    }
}

/// `repeated string name = 1`.
fn field_of(statement: &[String]) -> Option<(String, String)> {
    let at = statement.iter().position(|word| word == "=")?;
    let first = statement.first()?.as_str();
    if matches!(first, "option" | "reserved" | "extensions" | "syntax") || at < 2 {
        return None;
    }
    Some((statement[at - 1].clone(), statement[at - 2].clone()))
}

/// Names and signs, comments and texts left out.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            let first = rest.chars().next()?;
            if rest.starts_with("//") {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
            } else if rest.starts_with("/*") {
                rest = rest.split_once("*/").map_or("", |(_, after)| after);
            } else if first == '"' || first == '\'' {
                rest = rest[1..].split_once(first).map_or("", |(_, after)| after);
            } else if first.is_alphanumeric() || first == '_' || first == '.' {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after;
                return Some(word.to_owned());
            } else {
                rest = &rest[first.len_utf8()..];
                return Some(first.to_string());
            }
        }
    })
}

/// Reads any bytes as Protocol Buffers, for the fuzzer.
pub fn fuzz_audit_proto(data: &[u8]) {
    let found = parse(&String::from_utf8_lossy(data));
    for message in found.messages.keys() {
        let _ = found.field(message, &|name| name.ends_with("secret"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_messages_and_calls_are_given_them() {
        let found = parse(
            "syntax = \"proto3\";\npackage shop; // message No {\nmessage Card { string number = 1; }\n\
             message Pay {\n  oneof by { Card card = 1; string voucher = 2; }\n  repeated string tags = 3 [deprecated = true];\n}\n\
             service Till { rpc Charge (stream Pay) returns (Done) {} rpc Ping(shop.Empty) returns (Done); }\n",
        );
        let is_number = |name: &str| name.ends_with("card.number");
        assert_eq!(found.field("Pay", &is_number).as_deref(), Some("card.number"));
        assert_eq!(found.field("Card", &is_number), None);
        assert_eq!(found.request_of("chargeServiceHandler"), Some("Pay"));
        assert_eq!(found.request_of("Ping"), Some("Empty"));
        assert_eq!(found.request_of("Chargeback"), None);
        let tags = &found.messages["Pay"];
        assert!(tags.contains(&("tags".into(), "string".into())), "{tags:?}");
    }

    #[test]
    fn messages_in_a_circle_end() {
        let found = parse("message A { B b = 1; } message B { A a = 1; }");
        assert_eq!(found.field("A", &|_| false), None);
    }
}
