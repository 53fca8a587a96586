//! Messages of gRPC that are logged whole: the line of code shows a variable, the `.proto` file what is in it.

use super::shown;
use crate::fact::{Field, Source};
use crate::files::Document;
use crate::files::proto::Proto;
use crate::sensitive::{keeps_all, writes_fields};
use crate::{Case, Fact, File};

/// A message that is logged whole.
pub(super) struct Dumped<'r> {
    pub(super) file: &'r File,
    pub(super) field: &'r Field,
    /// Its name in the `.proto` file.
    pub(super) message: String,
    proto: &'r Proto,
}

impl Dumped<'_> {
    /// The first of its fields, deep ones too, for which `test` holds.
    pub(super) fn holds(&self, test: &dyn Fn(&str) -> bool) -> Option<String> {
        self.proto.field(&self.message, test)
    }
}

/// Every message of the repository's `.proto` files that the service logs whole.
pub(super) fn dumped<'r>(case: &Case<'r>) -> Vec<Dumped<'r>> {
    let protos: Vec<&Proto> = case
        .repository
        .files
        .iter()
        .flat_map(|file| &file.documents)
        .filter_map(|(_, document)| match document {
            Document::Proto(proto) => Some(proto),
            _ => None,
        })
        .collect();
    if protos.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (file, fact, log) in shown(case) {
        for field in &log.fields {
            let of = |source: &Source| {
                let message = protos.iter().find_map(|p| Some((*p, message_of(p, fact, source)?)));
                message.filter(|_| is_dump(source))
            };
            if let Some((proto, message)) = field.sources.iter().find_map(of) {
                found.push(Dumped { file, field, message, proto });
            }
        }
    }
    found
}

/// The message that a value is: by its declared type, or as the request that a handler of gRPC is given.
fn message_of(proto: &Proto, fact: &Fact, source: &Source) -> Option<String> {
    if let Some(declared) = &source.declared {
        let bare = declared.rsplit(['.', ':', '*', '&', ' ']).next().unwrap_or(declared);
        return proto.messages.contains_key(bare).then(|| bare.to_owned());
    }
    let is_request = matches!(source.path.as_str(), "call.request" | "request" | "req");
    let handler = fact.scope.function.as_deref()?.rsplit('.').next()?;
    proto.request_of(handler).filter(|_| is_request).map(str::to_owned)
}

/// Whether a value is written as JSON by its fields, not by what it says of itself.
pub(super) fn is_json(source: &Source) -> bool {
    source.wrapped.iter().any(|c| writes_fields(c.rsplit('.').next().unwrap_or(c)))
}

/// Whether all of a value is printed, not a part or something about it.
pub(super) fn is_dump(source: &Source) -> bool {
    let is_whole = !source.path.contains('.') || source.path == "call.request";
    let passes = |callee: &String| {
        let name = callee.rsplit('.').next().unwrap_or(callee);
        keeps_all(name)
    };
    is_whole
        && !source.path.ends_with("()")
        && !source.only_truth
        && source.wrapped.iter().all(passes)
}
