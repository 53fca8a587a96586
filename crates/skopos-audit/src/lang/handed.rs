//! What scripts are handed whole: the message of a broker in a consumer, the body of a request as a parameter. Told by names
//! and by what the file imports, for scripts seldom declare what things are.

use super::ir::{Expr, Module};

/// What a message carries, as [`crate::sensitive`] knows it.
const MESSAGE: &str = "message.message_body";

/// Calls that leave bytes what they say.
const READS: [&str; 5] = [".toString", ".decode", ".toJSON", ".strip", ".trim"];

impl Module {
    /// What of a message or a request a path is the whole of, if any: `msg.content.toString()`, `body` of pika's callback.
    pub(super) fn handed(&self, path: &str, function: Option<usize>) -> Option<String> {
        let (plain, is_read) = read(path);
        let is_carried = match plain.rsplit_once('.') {
            Some((message, part)) => self.carries(message, part, is_read),
            None => plain == "body" && self.is_callback_of_pika(function),
        };
        if is_carried {
            return Some(MESSAGE.to_owned());
        }
        self.is_body(plain, function).then(|| "request.body".to_owned())
    }

    /// Whether a part of a message is all that somebody sent.
    fn carries(&self, message: &str, part: &str, is_read: bool) -> bool {
        let last = message.rsplit('.').next().unwrap_or(message);
        let is_message = matches!(last, "message" | "msg" | "record" | "delivery");
        // Only bytes have to be read.
        if is_message && matches!(part, "content" | "value") && is_read {
            return true;
        }
        let brokers: &[&str] = match (is_message, last, part) {
            (true, _, "value") => &["kafka"],
            (true, _, "content") => &["amqp"],
            (true, _, "data") => &["pubsub", "nats", "redis"],
            (true, _, "payload") => &["mqtt"],
            (_, "job", "data") => &["bull", "bullmq", "@nestjs/bull", "bee-queue"],
            _ => return false,
        };
        self.uses(brokers)
    }

    /// Whether the file imports a package whose name has one of these words.
    fn uses(&self, brokers: &[&str]) -> bool {
        let names = |module: &str| brokers.iter().any(|broker| module.contains(broker));
        self.imports.iter().any(|import| names(&import.module))
            || self
                .calls
                .iter()
                .filter(|call| call.callee == "require")
                .any(|call| call.positional(0).and_then(Expr::text).is_some_and(names))
    }

    /// `def callback(channel, method, properties, body)`: what pika calls for each message.
    fn is_callback_of_pika(&self, function: Option<usize>) -> bool {
        let Some(function) = function.and_then(|at| self.functions.get(at)) else { return false };
        let own = function.params.iter().map(|(name, _)| name.as_str());
        let own: Vec<&str> = own.filter(|name| !matches!(*name, "self" | "cls")).collect();
        own.len() == 4 && own[3] == "body" && own[0].starts_with("ch")
            || own.len() == 4 && own[3] == "body" && self.uses(&["pika"])
    }

    /// Whether a parameter of a route of FastAPI is the body: of a type of the house, and called so.
    fn is_body(&self, name: &str, function: Option<usize>) -> bool {
        const NAMES: [&str; 7] =
            ["body", "payload", "data", "form", "dto", "credentials", "req_body"];
        const ENDS: [&str; 8] =
            ["_data", "_in", "_create", "_update", "_payload", "_body", "_request", "_dto"];
        if !(NAMES.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))) {
            return false;
        }
        let Some(function) = function.and_then(|at| self.functions.get(at)) else { return false };
        let takes = function.decorators.iter().any(|decorator| {
            let Expr::Call(at, _) = decorator else { return false };
            let call = self.calls.get(*at);
            call.is_some_and(|call| {
                matches!(call.name(), "post" | "put" | "patch")
                    && call.positional(0).or_else(|| call.named("path")).is_some()
            })
        });
        let is_typed = |declared: &str| {
            let last = declared.rsplit('.').next().unwrap_or(declared);
            last.starts_with(char::is_uppercase)
                && !last.contains(['[', '|', '('])
                && !["Request", "Session", "AsyncSession", "UploadFile", "User", "Response"]
                    .contains(&last)
        };
        takes
            && function
                .params
                .iter()
                .any(|(own, declared)| own == name && declared.as_deref().is_some_and(is_typed))
    }
}

/// A path without the calls that only read it, and whether there was one.
fn read(path: &str) -> (&str, bool) {
    let mut plain = path;
    let mut is_read = false;
    loop {
        let called = plain.strip_suffix("()").unwrap_or(plain);
        match READS.iter().find_map(|read| called.strip_suffix(read)) {
            Some(rest) if called.len() < plain.len() => (plain, is_read) = (rest, true),
            // confluent's `msg.value()`.
            _ => {
                return (
                    called,
                    is_read || called.len() < plain.len() && called.ends_with(".value"),
                );
            }
        }
    }
}
