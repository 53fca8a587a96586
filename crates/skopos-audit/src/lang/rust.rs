//! Rust.

mod classify;
mod logs;
mod lower;
mod telemetry;

use crate::lang::{
    Extracted, RUST, classify::finish, classify::words, first_error, lower::comments, read,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let made = read(text, &RUST, |root| {
        let lower::File { module, own_print } = lower::lower(text, root);
        let mut facts = classify::facts(path, &module, &own_print);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
