//! What a judge may ask: the facts and documents of one service, or of the whole repository.

use crate::fact::TypeDef;
use crate::files::Document;
use crate::repository::Role;
use crate::{Config, Fact, FactKind, File, Language, Live, Place, Repository, Service, Span};

/// What is judged.
#[derive(Clone, Copy)]
pub struct Case<'r> {
    /// Everything that was read.
    pub repository: &'r Repository,
    /// The service, or none when the rule judges the repository.
    pub service: Option<&'r Service>,
    /// What the house says.
    pub config: &'r Config,
    /// What a running server has seen, where one was asked.
    pub live: Option<&'r Live>,
}

impl<'r> Case<'r> {
    /// The files concerned, whatever their role.
    pub fn files(self) -> impl Iterator<Item = &'r File> {
        let repository = self.repository;
        let own = self.service.map(|service| service.files.iter().map(|at| &repository.files[*at]));
        let all = self.service.is_none().then(|| repository.files.iter());
        own.into_iter().flatten().chain(all.into_iter().flatten())
    }

    /// The facts of what runs in production, each with its file.
    pub fn facts(self) -> impl Iterator<Item = (&'r File, &'r Fact)> {
        self.files()
            .filter(move |file| self.runs(file))
            .flat_map(|file| file.facts.iter().map(move |fact| (file, fact)))
    }

    /// Whether a file runs in production. Scripts of pages do not: a browser runs them.
    fn runs(self, file: &File) -> bool {
        file.role == Role::Production && !(self.has_pages() && file.is_script())
    }

    /// Whether scripts among the files of the service are those of its pages: it is in another language.
    pub(crate) fn has_pages(self) -> bool {
        self.service.is_some_and(|service| {
            use Language::{Go, Java, Python, Rust};
            matches!(service.language, Go | Java | Python | Rust)
        })
    }

    /// The types of this name that production code declares.
    pub(crate) fn types(self, name: &str) -> impl Iterator<Item = &'r TypeDef> {
        let repository = self.repository;
        let is_own = move |at: &usize| {
            self.service.is_none_or(|service| service.files.binary_search(at).is_ok())
                && self.runs(&repository.files[*at])
        };
        let all = repository.types(name).iter().filter(move |(at, _)| is_own(at));
        all.filter_map(|(at, nth)| match &repository.files[*at].facts[*nth].kind {
            FactKind::Type(def) => Some(def),
            _ => None,
        })
    }

    /// Whether a fact holds anywhere in production code.
    pub fn any(self, test: impl Fn(&FactKind) -> bool) -> bool {
        self.facts().any(|(_, fact)| test(&fact.kind))
    }

    /// The documents of the files concerned, whatever their role.
    pub fn documents(self) -> impl Iterator<Item = (&'r File, Span, &'r Document)> {
        self.files().flat_map(|file| file.documents.iter().map(move |(s, d)| (file, *s, d)))
    }

    /// The run-time dependency of one of these names, with its place. A name may end in `*`.
    pub fn dependency(self, names: &[&str]) -> Option<Place> {
        for (file, _, document) in self.documents() {
            let Document::Manifest(manifest) = document else { continue };
            let is_meant = |name: &str| {
                names.iter().any(|wanted| match wanted.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => name == *wanted,
                })
            };
            let found = manifest.dependencies.iter().find(|d| !d.is_dev && is_meant(&d.name));
            if let Some(dependency) = found {
                return Some(file.place(dependency.span));
            }
        }
        None
    }
}

impl File {
    /// Whether it is JavaScript or TypeScript.
    pub(crate) fn is_script(&self) -> bool {
        matches!(self.language, Some(Language::JavaScript | Language::TypeScript))
    }

    /// A place in this file.
    pub fn place(&self, span: Span) -> Place {
        Place { path: self.path.clone(), span }
    }
}
