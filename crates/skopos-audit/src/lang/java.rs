//! Java.

mod classify;
mod lower;
mod telemetry;

use crate::lang::{
    Extracted, classify::finish, classify::words, first_error, lower::comments, parse,
};

pub(crate) fn extract(_path: &str, text: &str) -> Extracted {
    let Some(tree) = parse(text, &tree_sitter_java::LANGUAGE.into()) else {
        return Extracted::default();
    };
    let root = tree.root_node();
    let file = lower::lower(text, root);
    let mut facts = classify::facts(&file, text);
    words(text, &mut facts);
    Extracted { facts: finish(facts), comments: comments(root, text), broken: first_error(root) }
}
