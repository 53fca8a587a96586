//! Python.

mod classify;
mod lifecycle;
mod logs;
mod lower;
mod telemetry;

use crate::lang::{
    Extracted, classify::finish, classify::words, first_error, lower::comments, parse,
};

pub(crate) fn extract(path: &str, text: &str) -> Extracted {
    let Some(tree) = parse(text, &tree_sitter_python::LANGUAGE.into()) else {
        return Extracted::default();
    };
    let root = tree.root_node();
    let module = lower::lower(text, root);
    let mut facts = classify::facts(path, &module);
    words(text, &mut facts);
    Extracted { facts: finish(facts), comments: comments(root, text), broken: first_error(root) }
}
