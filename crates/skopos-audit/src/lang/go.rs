//! Go.

mod classify;
mod logs;
mod lower;
mod telemetry;

use crate::lang::{
    Extracted, classify::finish, classify::words, first_error, lower::comments, parse,
};

pub(crate) fn extract(_path: &str, text: &str) -> Extracted {
    let Some(tree) = parse(text, &tree_sitter_go::LANGUAGE.into()) else {
        return Extracted::default();
    };
    let root = tree.root_node();
    let module = lower::lower(text, root);
    let is_main = text.lines().any(|line| line.trim() == "package main");
    let mut facts = classify::facts(&module, is_main);
    words(text, &mut facts);
    Extracted { facts: finish(facts), comments: comments(root, text), broken: first_error(root) }
}
