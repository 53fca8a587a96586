//! Languages: how code becomes facts.
//!
//! To add a language:
//! 1. `lang/<name>.rs` with `pub(crate) fn extract(path: &str, text: &str) -> Extracted`, and `lang/<name>/` when it grows. It
//!    parses with its grammar ([`read`]), lowers the tree to [`ir::Module`], and classifies calls and assignments to
//!    [`Fact`]s. Broken code is not an error: what was understood is kept, and [`Extracted::broken`] says so.
//! 2. A variant of [`Language`] here, with its file endings and its row in [`Language::extract`].
//! 3. Literals in `prefilter.rs`: a file without any of them is not parsed.
//! 4. Cases in the rule pages (`rules/*.md`): an extractor is tested through the rules that it serves.

mod builder;
pub(crate) mod classify;
mod data;
mod flow;
pub(crate) use flow::{KEY, is_client_call};
mod go;
mod guards;
mod handed;
pub mod ir;
mod java;
mod javascript;
pub(crate) mod lower;
mod memory;
mod node;
mod python;
mod rust;
mod shared;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Fact, Span};

pub(crate) use node::{Grammar, Node, Nodes};

/// A language of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript, with or without JSX.
    TypeScript,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Java.
    Java,
    /// One that is recognised, so that its services are found, but whose code is not read.
    Other,
}

/// What came out of one file of code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// In order of place.
    pub facts: Vec<Fact>,
    /// Comments, for suppressions: place and text with its sign (`# …`, `// …`).
    pub comments: Vec<(Span, String)>,
    /// The first place that the grammar did not understand.
    pub broken: Option<Span>,
}

impl Language {
    /// By the ending of a file's name.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending {
            "py" => Self::Python,
            "js" | "mjs" | "cjs" | "jsx" => Self::JavaScript,
            "ts" | "mts" | "cts" | "tsx" if !name.ends_with(".d.ts") => Self::TypeScript,
            "rs" => Self::Rust,
            "go" => Self::Go,
            "java" => Self::Java,
            "kt" | "kts" | "scala" | "rb" | "php" | "cs" | "fs" | "ex" | "exs" | "erl" | "cpp"
            | "cc" | "c" | "swift" | "dart" | "clj" | "hs" | "lua" | "pl" => Self::Other,
            _ => return None,
        })
    }

    /// The facts of a file; nothing for languages that are not read.
    pub(crate) fn extract(self, path: &str, text: &str) -> Extracted {
        match self {
            Self::Python => python::extract(path, text),
            Self::JavaScript | Self::TypeScript => javascript::extract(path, text),
            Self::Rust => rust::extract(path, text),
            Self::Go => go::extract(path, text),
            Self::Java => java::extract(path, text),
            Self::Other => Extracted::default(),
        }
    }

    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Java => "java",
            Self::Other => "other",
        }
    }
}

/// Reads any bytes as code of every language, for the fuzzer: facts stay inside of the text.
#[doc(hidden)]
pub fn fuzz_audit_code(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (language, path) in [
        (Language::Go, "main.go"),
        (Language::Java, "A.java"),
        (Language::JavaScript, "a.js"),
        (Language::Python, "a.py"),
        (Language::Rust, "src/main.rs"),
        (Language::TypeScript, "a.ts"),
    ] {
        for fact in language.extract(path, &text).facts {
            assert!(fact.span.end as usize <= text.len(), "{path}: {fact:?}");
        }
    }
}

/// Parses with a grammar, and gives the root to `make`. None when the parser gave up, which it does only for a grammar of a
/// foreign version.
pub(crate) fn read<R: memory::Apart>(
    text: &str,
    grammar: &'static Grammar,
    make: impl FnOnce(Node<'_>) -> R,
) -> Option<R> {
    memory::parsed(text, &grammar.language, |root| make(Node::new(root, grammar)))
}

/// Names of a grammar. The parser's memory is set before anything is asked of it.
fn grammar(of: impl Into<tree_sitter::Language>) -> Grammar {
    memory::set();
    Grammar::of(of.into())
}

pub(crate) static GO: LazyLock<Grammar> = LazyLock::new(|| grammar(tree_sitter_go::LANGUAGE));
pub(crate) static JAVA: LazyLock<Grammar> = LazyLock::new(|| grammar(tree_sitter_java::LANGUAGE));
pub(crate) static JAVASCRIPT: LazyLock<Grammar> =
    LazyLock::new(|| grammar(tree_sitter_javascript::LANGUAGE));
pub(crate) static PYTHON: LazyLock<Grammar> =
    LazyLock::new(|| grammar(tree_sitter_python::LANGUAGE));
pub(crate) static RUST: LazyLock<Grammar> = LazyLock::new(|| grammar(tree_sitter_rust::LANGUAGE));
pub(crate) static TSX: LazyLock<Grammar> =
    LazyLock::new(|| grammar(tree_sitter_typescript::LANGUAGE_TSX));
pub(crate) static TYPESCRIPT: LazyLock<Grammar> =
    LazyLock::new(|| grammar(tree_sitter_typescript::LANGUAGE_TYPESCRIPT));

/// The first node that the grammar did not understand.
pub(crate) fn first_error(root: Node<'_>) -> Option<Span> {
    let root = root.raw();
    if !root.has_error() {
        return None;
    }
    let mut node = root;
    loop {
        if node.is_error() || node.is_missing() {
            return Some(Span::new(node.start_byte(), node.end_byte()));
        }
        let mut cursor = node.walk();
        let next = node.children(&mut cursor).find(|child| child.has_error() || child.is_missing());
        match next {
            Some(child) => node = child,
            None => return Some(Span::new(node.start_byte(), node.end_byte())),
        }
    }
}
