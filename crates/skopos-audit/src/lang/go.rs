//! Go.

mod classify;
mod logs;
mod lower;
mod telemetry;

use crate::Language;
use crate::lang::{
    Extracted, GO, classify::finish, classify::words, first_error, guards, lower::comments, read,
};

pub(crate) fn extract(_path: &str, text: &str) -> Extracted {
    let made = read(text, &GO, |root| {
        let module = lower::lower(text, root);
        let is_main = text.lines().any(|line| line.trim() == "package main");
        let mut facts = classify::facts(&module, is_main);
        guards::tell(text, &module, Language::Go, &mut facts);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
