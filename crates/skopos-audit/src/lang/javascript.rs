//! JavaScript and TypeScript.

mod classify;
mod lower;
mod setup;

use crate::Language;
use crate::lang::{
    Extracted, Grammar, JAVASCRIPT, TSX, TYPESCRIPT, classify::finish, classify::words,
    first_error, guards, lower::comments, read,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let is_typed = [".ts", ".mts", ".cts"].iter().any(|ending| path.ends_with(ending));
    let grammar: &'static Grammar = if is_typed {
        &TYPESCRIPT
    } else if path.ends_with(".tsx") {
        &TSX
    } else {
        &JAVASCRIPT
    };
    let made = read(text, grammar, |root| {
        let module = lower::lower(text, root);
        let mut facts = classify::facts(path, &module);
        guards::tell(text, &module, Language::JavaScript, &mut facts);
        words(text, &mut facts);
        Extracted {
            facts: finish(facts),
            comments: comments(root, text),
            broken: first_error(root),
        }
    });
    made.unwrap_or_default()
}
