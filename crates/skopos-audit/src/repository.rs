//! What was read from a repository: the store that rules ask.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use crate::files::{Document, Problem};
use crate::{Fact, FactKind, Language, Lines, Service, Span};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs in production, as far as its place says.
    Production,
    /// Tests, fixtures, mocks.
    Test,
    /// Examples, documentation, samples.
    Example,
    /// Scripts, tools, migrations, seeds: runs, but serves nobody.
    Script,
    /// Runs in a browser, served by a program of another kind.
    Browser,
    /// Made by a program.
    Generated,
    /// Somebody else's, copied in.
    Vendored,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root, with `/`.
    pub path: Arc<str>,
    /// For code.
    pub language: Option<Language>,
    /// What it is for.
    pub role: Role,
    /// Where its lines begin.
    pub lines: Lines,
    /// What its code says.
    pub facts: Vec<Fact>,
    /// What its configuration says.
    pub documents: Vec<(Span, Document)>,
    /// Comments that speak to us.
    pub comments: Vec<(Span, String)>,
    /// What could not be made out.
    pub problems: Vec<Problem>,
}

/// A repository that was read.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// In order of path.
    pub files: Vec<File>,
    /// In order of name.
    pub services: Vec<Service>,
    /// Every path of the tree, in order, those that nothing reads too.
    pub paths: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<(String, String)>,
    /// Where types of a name are declared: file and fact, in order. Made when first asked for.
    types: OnceLock<HashMap<String, Vec<(usize, usize)>>>,
    /// Names of the watched services that charts run, by the chart's folder. Made when first asked for.
    charts: OnceLock<Charts>,
}

type Charts = HashMap<String, BTreeSet<String>>;

impl Repository {
    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.binary_search_by(|file| (*file.path).cmp(path)).ok().map(|at| &self.files[at])
    }

    /// What was read, before services are found in it.
    pub(crate) fn of(
        files: Vec<File>,
        paths: Vec<String>,
        left_out: Vec<(String, String)>,
    ) -> Self {
        Self { files, paths, left_out, ..Self::default() }
    }

    /// Which watched services each chart runs; `of` says the charts of one, and is asked once for each.
    pub(crate) fn charts(&self, of: impl Fn(&Service) -> BTreeSet<String>) -> &Charts {
        self.charts.get_or_init(|| {
            let mut charts = Charts::new();
            for service in self.services.iter().filter(|service| service.kind.is_watched()) {
                for chart in of(service) {
                    charts.entry(chart).or_default().insert(service.name.clone());
                }
            }
            charts
        })
    }

    /// Where types of this name are declared: indices of the file and of its fact.
    pub(crate) fn types(&self, name: &str) -> &[(usize, usize)] {
        let types = self.types.get_or_init(|| {
            let mut types: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
            for (at, file) in self.files.iter().enumerate() {
                for (nth, fact) in file.facts.iter().enumerate() {
                    if let FactKind::Type(def) = &fact.kind {
                        types.entry(def.name.clone()).or_default().push((at, nth));
                    }
                }
            }
            types
        });
        types.get(name).map_or(&[], Vec::as_slice)
    }
}
