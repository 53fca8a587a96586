//! Java.

mod classify;
mod lower;
mod telemetry;

use crate::Language;
use crate::lang::{
    Extracted, JAVA, classify::finish, classify::words, first_error, guards, lower::comments, read,
};

pub(crate) fn extract(_path: &str, text: &str) -> Extracted {
    let made = read(text, &JAVA, |root| {
        let file = lower::lower(text, root);
        let mut facts = classify::facts(&file, text);
        guards::tell(text, &file.module, Language::Java, &mut facts);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
