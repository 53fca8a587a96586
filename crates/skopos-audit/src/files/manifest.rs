//! Dependency manifests: what a package is called, what it depends on, how it is started.
//!
//! One type for every ecosystem, so that rules ask "is there a dependency of this name" and not how a language writes
//! it. `package.json` is read here; each other ecosystem has its file beside.

pub mod cargo;
pub mod go;
pub mod java;
pub mod others;
pub mod python;

use std::collections::HashMap;

use serde_json::Value;

use super::{Document, Problem, Read, name};
use crate::{Language, Span};

/// A manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The language of its package; none for a workspace root that says nothing.
    pub language: Option<Language>,
    /// The package's name.
    pub name: Option<String>,
    /// What it depends on, directly.
    pub dependencies: Vec<Dependency>,
    /// Workspace members, as written (folders, with globs).
    pub members: Vec<String>,
    /// How it is started or what it runs, as written: scripts (`start`, `dev`), console scripts, binaries.
    pub scripts: Vec<Script>,
    /// Whether it says that it is published for others to use (`exports`, a library target, a build of a wheel).
    pub is_library: bool,
}

/// A dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name as the registry writes it; Python's in lower case with `-`.
    pub name: String,
    /// What is demanded of its version.
    pub version: Option<String>,
    /// Only for development, tests or builds.
    pub is_dev: bool,
    /// Extras or features that are asked for.
    pub features: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// A named command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// `start`, the name of a binary, of a console script.
    pub name: String,
    /// The command or entry point (`node dist/main.js`, `app.main:run`, `src/bin/api.rs`).
    pub command: String,
    /// Where it stands.
    pub span: Span,
}

impl Manifest {
    /// A dependency that is there at run time.
    pub fn dependency(&self, name: &str) -> Option<&Dependency> {
        self.dependencies.iter().find(|d| !d.is_dev && d.name == name)
    }
}

pub(crate) fn wants(path: &str) -> bool {
    name(path) == "package.json"
}

pub(crate) fn read(_path: &str, text: &str) -> Read {
    let mut read = Read::default();
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let whole = Span::new(0, text.len());
            read.documents.push((whole, Document::Manifest(package_json(&value, text))));
        }
        Err(error) => {
            let start = text.split_inclusive('\n').take(error.line().saturating_sub(1));
            let at = start.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
            let at = at.min(text.len());
            read.problems.push(Problem {
                span: Span::new(at, at),
                message: format!("package.json is not JSON: {error}"),
            });
        }
    }
    read
}

fn package_json(value: &Value, text: &str) -> Manifest {
    let mut manifest = Manifest {
        language: Some(Language::JavaScript),
        name: value["name"].as_str().map(str::to_owned),
        ..Manifest::default()
    };
    let sections = [
        ("dependencies", false),
        ("optionalDependencies", false),
        ("peerDependencies", false),
        ("devDependencies", true),
    ];
    let quoted = Quoted::of(text);
    for (section, is_dev) in sections {
        for (name, version) in value[section].as_object().into_iter().flatten() {
            manifest.dependencies.push(Dependency {
                name: name.clone(),
                version: version.as_str().map(str::to_owned),
                is_dev,
                features: Vec::new(),
                span: quoted.key(section, name),
            });
        }
    }
    for (name, command) in value["scripts"].as_object().into_iter().flatten() {
        let command = command.as_str().unwrap_or_default().to_owned();
        let span = quoted.key("scripts", name);
        manifest.scripts.push(Script { name: name.clone(), command, span });
    }
    let workspaces = match &value["workspaces"] {
        Value::Object(object) => object.get("packages").unwrap_or(&Value::Null),
        other => other,
    };
    let members = workspaces.as_array().into_iter().flatten().filter_map(Value::as_str);
    manifest.members = members.map(str::to_owned).collect();
    let is_private = value["private"].as_bool() == Some(true);
    let has_exports = ["exports", "module", "types", "typings", "files"];
    // What has a command or is started is a program, published or not.
    let is_program = !value["bin"].is_null() || !value["scripts"]["start"].is_null();
    manifest.is_library =
        !is_private && !is_program && has_exports.iter().any(|key| !value[*key].is_null());
    manifest
}

/// What the fuzzers of all manifests check.
pub(crate) fn assert_inside(read: &Read, text: &str) {
    let spans = read.documents.iter().map(|(span, _)| *span);
    let problems = read.problems.iter().map(|problem| problem.span);
    let dependencies = read.documents.iter().flat_map(|(_, document)| match document {
        Document::Manifest(manifest) => manifest.dependencies.iter().map(|d| d.span).collect(),
        _ => Vec::new(),
    });
    for span in spans.chain(problems).chain(dependencies) {
        assert!(span.start <= span.end && span.end as usize <= text.len(), "{span:?}");
    }
}

/// Where the quoted words of a JSON text stand: it is read without places, and keys are unique enough to find again.
struct Quoted<'t>(HashMap<&'t str, Vec<usize>>);

impl<'t> Quoted<'t> {
    fn of(text: &'t str) -> Self {
        let mut found: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut from = 0;
        while let Some(open) = memchr::memchr(b'"', &text.as_bytes()[from..]).map(|at| from + at) {
            let mut end = open + 1;
            while let Some(at) = memchr::memchr2(b'"', b'\\', &text.as_bytes()[end..]) {
                end += at;
                if text.as_bytes()[end] == b'"' {
                    break;
                }
                end = (end + 2).min(text.len());
            }
            if let Some(word) = text.get(open + 1..end) {
                found.entry(word).or_default().push(open);
            }
            from = (end + 1).min(text.len());
        }
        Self(found)
    }

    /// Where `"key"` stands behind `"section"`.
    fn key(&self, section: &str, key: &str) -> Span {
        let from = self.0.get(section).map_or(0, |all| all[0]);
        let all = self.0.get(key).map_or(&[][..], Vec::as_slice);
        match all.get(all.partition_point(|at| *at < from)) {
            Some(at) => Span::new(*at, at + key.len() + 2),
            None => Span::new(0, 0),
        }
    }
}

/// Reads any bytes as a `package.json`.
#[doc(hidden)]
pub fn fuzz_package_json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (span, _) in read("package.json", &text).documents {
        assert!(span.end as usize <= text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        match read("package.json", text).documents.remove(0).1 {
            Document::Manifest(manifest) => manifest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_package_json_says_what_it_needs_and_how_it_starts() {
        let text = r#"{"name": "shop", "private": true, "workspaces": ["apps/*"],
            "scripts": {"start": "node index.js"},
            "dependencies": {"express": "^4"}, "devDependencies": {"pino": "9"}}"#;
        let manifest = manifest(text);
        assert_eq!(manifest.name.as_deref(), Some("shop"));
        let express = manifest.dependency("express").unwrap();
        let Span { start, end } = express.span;
        assert_eq!(&text[start as usize..end as usize], "\"express\"");
        assert!(manifest.dependency("pino").is_none(), "only for development");
        assert_eq!(manifest.members, ["apps/*"]);
        assert_eq!(manifest.scripts[0].command, "node index.js");
        assert!(!manifest.is_library);
    }

    #[test]
    fn a_broken_one_is_a_problem_with_its_place() {
        let read = read("package.json", "{\n  \"name\": ,\n}");
        assert!(read.documents.is_empty());
        assert_eq!(read.problems[0].span.start, 12, "{:?}", read.problems);
    }
}
