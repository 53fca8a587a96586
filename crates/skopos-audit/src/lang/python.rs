//! Python.

mod classify;
mod lifecycle;
mod logs;
mod lower;
mod telemetry;

use crate::Language;
use crate::lang::{
    Extracted, PYTHON, classify::finish, classify::words, first_error, guards, lower::comments,
    read,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let made = read(text, &PYTHON, |root| {
        let module = lower::lower(text, root);
        let mut facts = classify::facts(path, &module);
        guards::tell(text, &module, Language::Python, &mut facts);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
