//! Configuration files: how they become documents.
//!
//! Code becomes facts (`lang/`); everything else that a repository is run and watched by becomes *documents*: typed, with
//! a span for each piece a rule may point at. A reader never judges and never fails: what it cannot make out it leaves out
//! and says so in [`Read::problems`].
//!
//! To add a reader:
//! 1. `files/<noun>.rs` with its types (public, documented, `Clone + Debug`) and a function
//!    `pub(crate) fn read(path: &str, text: &str) -> Read`. What is YAML, JSON or TOML reads a [`node::Node`] instead and
//!    gets its row in `files/shape.rs`, which parses a file once and asks every document what it is.
//! 2. A variant of [`Document`] here for its type.
//! 3. A row in [`READERS`]: which paths it wants (by path alone, cheap), the function. A file goes to *every*
//!    reader that wants it: a YAML file may be a workload and hold a collector's configuration.
//! 4. A `pub fn fuzz_<noun>(data: &[u8])` in the same file, driven by `tests/it/fuzzing.rs`.

pub mod alerting;
pub mod alertmanager;
pub mod collector;
pub mod compose;
pub mod dockerfile;
pub mod environment;
pub mod helm;
pub mod json;
pub mod kubernetes;
pub mod kustomize;
pub mod log_conf;
pub mod log_xml;
pub mod manifest;
pub mod node;
pub mod objective;
pub mod platform;
pub mod process;
pub mod prometheus;
pub mod proto;
pub mod settings;
mod shape;
pub mod text;
pub mod toml;
pub mod yaml;

use std::sync::Arc;

use serde::Serialize;

use crate::Span;

pub use manifest::Manifest;
pub use shape::fuzz_audit_files;
pub use text::Text;

/// What a configuration file says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Document {
    /// A list of dependencies and what a package is: `pyproject.toml`, `package.json`, `go.mod`, …
    Manifest(Manifest),
    /// A Dockerfile.
    Dockerfile(dockerfile::Dockerfile),
    /// A Compose file.
    Compose(compose::Compose),
    /// A Kubernetes resource.
    Kubernetes(Box<kubernetes::Resource>),
    /// A kustomization.
    Kustomization(kustomize::Kustomization),
    /// `Chart.yaml` of Helm.
    Chart(helm::Chart),
    /// Values of a chart, for [`helm::resolve`].
    Values(Arc<node::Node>),
    /// Prometheus' configuration.
    Prometheus(prometheus::Prometheus),
    /// Alerting and recording rules.
    Rules(prometheus::Rules),
    /// Alertmanager's configuration.
    Alertmanager(alertmanager::Alertmanager),
    /// An OpenTelemetry Collector's configuration.
    Collector(collector::Collector),
    /// Logback's or Log4j's configuration.
    LogXml(log_xml::LogXml),
    /// `application.yml`, properties, `.env`.
    Settings(settings::Settings),
    /// A Procfile, a systemd unit, or what a platform is told.
    Processes(process::Processes),
    /// Messages of Protocol Buffers.
    Proto(proto::Proto),
    /// A GitHub workflow.
    Workflow(process::Workflow),
    /// A service level objective.
    Objective(objective::Objective),
    /// An alert or a receiver that is not Prometheus'.
    AlertingElsewhere(alerting::AlertingElsewhere),
}

/// Something of a file that could not be made out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, as far as it is known.
    pub span: Span,
    /// What.
    pub message: String,
}

/// What a reader made of a file.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The documents in it, each with its place.
    pub documents: Vec<(Span, Document)>,
    /// Comments, for suppressions: place and text with its sign (`# …`).
    pub comments: Vec<(Span, String)>,
    /// What could not be made out.
    pub problems: Vec<Problem>,
}

impl Read {
    /// Takes in what another reader made of the same file.
    pub(crate) fn extend(&mut self, other: Read) {
        self.documents.extend(other.documents);
        self.comments.extend(other.comments);
        self.problems.extend(other.problems);
    }
}

/// One reader.
pub(crate) struct Reader {
    /// Whether it wants the file at this path (from the root, with `/`).
    pub(crate) wants: fn(&str) -> bool,
    /// Reads it.
    pub(crate) read: fn(&str, &str) -> Read,
}

/// Every reader.
pub(crate) const READERS: &[Reader] = &[
    Reader { wants: manifest::wants, read: manifest::read },
    Reader { wants: manifest::cargo::wants, read: manifest::cargo::read },
    Reader { wants: manifest::go::wants, read: manifest::go::read },
    Reader { wants: manifest::java::wants, read: manifest::java::read },
    Reader { wants: manifest::others::wants, read: manifest::others::read },
    Reader { wants: manifest::python::wants, read: manifest::python::read },
    Reader { wants: proto::wants, read: proto::read },
    Reader { wants: shape::wants, read: shape::read },
];

/// Whether any reader wants the file at this path.
pub(crate) fn is_wanted(path: &str) -> bool {
    READERS.iter().any(|reader| (reader.wants)(path))
}

/// Reads a file with every reader that wants it.
pub(crate) fn read(path: &str, text: &str) -> Read {
    let mut all = Read { comments: comments(text), ..Read::default() };
    for reader in READERS.iter().filter(|reader| (reader.wants)(path)) {
        all.extend((reader.read)(path, text));
    }
    all.comments.sort();
    all.comments.dedup();
    all
}

/// Comments that speak to us: `# skopos-ignore[…]: …`, and XML's.
fn comments(text: &str) -> Vec<(Span, String)> {
    let mut found = Vec::new();
    if !text.contains("skopos-ignore") {
        return found;
    }
    for (at, line) in text::lines(text) {
        let Some(word) = line.find("skopos-ignore") else { continue };
        let start = line[..word].rfind("<!--").or_else(|| line[..word].rfind(['#', '/']));
        let start = start.unwrap_or(word);
        found.push((Span::new(at + start, at + line.len()), line[start..].to_owned()));
    }
    found
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folder of a path; empty for the root.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a path stands below a folder, at any depth; nothing stands below the root, of which all would.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    !folder.is_empty() && path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
