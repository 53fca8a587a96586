//! JavaScript and TypeScript.

mod classify;
mod lower;
mod setup;

use crate::lang::{
    Extracted, classify::finish, classify::words, first_error, lower::comments, parse,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let is_typed = [".ts", ".mts", ".cts"].iter().any(|ending| path.ends_with(ending));
    let grammar = if is_typed {
        tree_sitter_typescript::LANGUAGE_TYPESCRIPT
    } else if path.ends_with(".tsx") {
        tree_sitter_typescript::LANGUAGE_TSX
    } else {
        tree_sitter_javascript::LANGUAGE
    };
    let Some(tree) = parse(text, &grammar.into()) else {
        return Extracted::default();
    };
    let root = tree.root_node();
    let module = lower::lower(text, root);
    let mut facts = classify::facts(path, &module);
    words(text, &mut facts);
    Extracted { facts: finish(facts), comments: comments(root, text), broken: first_error(root) }
}
