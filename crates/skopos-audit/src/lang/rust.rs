//! Rust.

mod answers;
mod classify;
mod logs;
mod lower;
mod outbound;
mod telemetry;

use crate::Language;
use crate::lang::{
    Extracted, RUST, classify::finish, classify::words, first_error, guards, lower::comments, read,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let made = read(text, &RUST, |root| {
        let lower::File { module, own_print } = lower::lower(text, root);
        let mut facts = classify::facts(path, &module, &own_print);
        guards::tell(text, &module, Language::Rust, &mut facts);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
