//! What a unit is: a server, a worker, a command, a page, a library, by the facts of its production code, its manifests, its
//! image and the commands that start it. The first that holds, in that order, says it.

use std::collections::BTreeMap;

use super::{Unit, naming, starts};
use crate::files::{manifest, name};
use crate::repository::Role;
use crate::service::{Evidence, Kind};
use crate::{Config, FactKind, Language, Repository, Service, Span};

/// Packages that only make sense in a browser or on a phone.
const CLIENT: &[&str] = &[
    "react",
    "react-dom",
    "vue",
    "svelte",
    "@angular/core",
    "preact",
    "solid-js",
    "react-native",
    "expo",
    "react-scripts",
    "vite",
    "@sveltejs/kit",
    "gatsby",
    "astro",
    "ember-source",
    "lit",
    "next",
    "nuxt",
];

/// Packages that make load for others to serve.
const LOAD: &[&str] =
    &["locust", "locust-plugins", "artillery", "autocannon", "loadtest", "molotov"];

/// Says what a unit is, by which evidence, and what it is called; `audited` is the name of the folder that is audited.
pub(super) fn classify(
    repository: &Repository,
    unit: &Unit<'_>,
    config: &Config,
    audited: &str,
) -> Service {
    let files = || unit.files.iter().map(|at| &repository.files[*at]);
    let production = || files().filter(|file| file.role == Role::Production);
    let first = |test: &dyn Fn(&FactKind) -> Option<String>| {
        production().find_map(|file| {
            file.facts.iter().find_map(|fact| {
                let what = test(&fact.kind)?;
                Some(Evidence { place: file.place(fact.span), what })
            })
        })
    };
    // A raw socket may stand beside the server that counts.
    let serves = |is_raw: bool| {
        first(&|kind| match kind {
            FactKind::Server(framework) if (framework.0 == "tcp") == is_raw => {
                Some(format!("serves with {}", framework.0))
            }
            _ => None,
        })
    };
    // A server of sockets without a `main` is a part for programs elsewhere.
    let bare =
        ["serves with jetty", "serves with netty", "serves with tcp", "serves with undertow"];
    let has_main = first(&|kind| match kind {
        FactKind::EntryPoint(name) => Some(name.clone()),
        _ => None,
    });
    // Routes of a package of Cargo without a `main` are one, too: they are merged into the server of another.
    let serves_routes = || {
        production().flat_map(|file| &file.facts).any(|fact| match &fact.kind {
            FactKind::Function(function) => function.calls.iter().any(|(call, _)| {
                matches!(call.as_str(), "serve" | "axum.serve") || call.ends_with(".serve")
            }),
            _ => false,
        })
    };
    let is_package = unit.manifests.iter().any(|(_, m)| m.language == Some(Language::Rust));
    let is_part = |evidence: &Evidence| {
        let file = repository.file(&evidence.place.path);
        let is_open = match file.and_then(|file| file.language) {
            Some(Language::Java) => bare.contains(&evidence.what.as_str()),
            Some(Language::Rust) => {
                is_package && evidence.what == "serves with axum" && !serves_routes()
            }
            _ => false,
        };
        is_open && has_main.is_none() && unit.has_image.is_none()
    };
    let server = serves(false).or_else(|| serves(true)).filter(|server| !is_part(server));
    let worker = first(&|kind| match kind {
        FactKind::Worker(framework) => Some(format!("consumes with {}", framework.0)),
        _ => None,
    });
    let cli = first(&|kind| match kind {
        FactKind::CommandLine(framework) => Some(format!("a command line with {}", framework.0)),
        _ => None,
    });
    let entry = first(&|kind| match kind {
        FactKind::EntryPoint(name) => Some(format!("begins at {name}")),
        _ => None,
    });
    let client = unit.manifests.iter().find_map(|(file, manifest)| {
        let is_client = |d: &&crate::files::manifest::Dependency| CLIENT.contains(&d.name.as_str());
        let found = manifest.dependencies.iter().find(is_client)?;
        Some(Evidence { place: file.place(found.span), what: format!("depends on {}", found.name) })
    });
    let image =
        unit.has_image.clone().map(|place| Evidence { place, what: "an image of its own".into() });
    let is_library = unit.manifests.iter().any(|(_, manifest)| manifest.is_library);
    let started_by = server.as_ref().or(worker.as_ref()).map(|evidence| &evidence.place.path);
    let language = started_by
        .and_then(|path| repository.file(path)?.language)
        .unwrap_or_else(|| language(unit, repository));
    let foreign = unit.manifests.iter().find_map(|(file, manifest)| {
        let (kind, by) = manifest::others::runs(manifest)?;
        let is_own = manifest.language == Some(Language::Other) || language == Language::Other;
        let has_code = || production().any(|file| file.language == Some(Language::Other));
        let evidence =
            Evidence { place: file.place(by.span), what: format!("depends on {}", by.name) };
        (is_own && has_code()).then_some((kind, evidence))
    });
    let foreign = foreign.filter(|_| server.is_none() && worker.is_none() && !is_library);
    let language = if foreign.is_some() { Language::Other } else { language };
    // `setup.py` is a script wherever it stands.
    let in_tests = unit.manifests.iter().all(|(file, _)| {
        matches!(file.role, Role::Test | Role::Example | Role::Script)
            && name(&file.path) != "setup.py"
    }) && !unit.manifests.is_empty();
    let mut evidence = Vec::new();
    let makes_load = unit.manifests.iter().find_map(|(file, manifest)| {
        let found = manifest.dependencies.iter().find(|d| LOAD.contains(&d.name.as_str()))?;
        Some(Evidence { place: file.place(found.span), what: format!("depends on {}", found.name) })
    });
    let kind = if unit.is_shared {
        Kind::Library
    } else if in_tests && image.is_none() {
        Kind::Tool
    } else if let Some(load) = makes_load.filter(|_| server.is_none()) {
        evidence.push(load);
        Kind::Tool
    } else if let Some(server) =
        server.filter(|_| !is_library || image.is_some() || entry.is_some())
    {
        evidence.push(server);
        Kind::Service
    } else if let Some(worker) = worker.filter(|_| !is_library || image.is_some()) {
        evidence.push(worker);
        Kind::Worker
    } else if let Some((kind, started)) = starts::by_command(repository, &unit.root, &unit.files)
        .filter(|_| !is_library || image.is_some())
    {
        evidence.push(started);
        kind
    } else if let Some((kind, what)) = foreign {
        evidence.push(what);
        kind
    } else if let Some(client) = client {
        evidence.push(client);
        Kind::Client
    } else if let Some(cli) = cli {
        evidence.push(cli);
        Kind::Cli
    } else if language == Language::Other
        && image.is_some()
        && production().any(|file| file.language == Some(Language::Other))
    {
        Kind::Service
    } else if let Some(entry) = entry.filter(|_| !is_library) {
        evidence.push(entry);
        if image.is_some() { Kind::Job } else { Kind::Cli }
    } else {
        Kind::Library
    };
    evidence.extend(image);
    for (file, manifest) in &unit.manifests {
        let what = match &manifest.name {
            Some(name) => format!("manifest of {name}"),
            None => "manifest".to_owned(),
        };
        evidence.push(Evidence { place: file.place(Span::new(0, 0)), what });
    }
    let called = naming::of(unit, language);
    let mut service = Service {
        name: called.name.unwrap_or_else(|| audited.to_owned()),
        is_nameless: called.is_nameless,
        aliases: called.aliases,
        root: unit.root.clone(),
        kind,
        language,
        has_image: unit.has_image.is_some(),
        evidence,
        files: unit.files.clone(),
    };
    let corrected = config.services.iter().find(|s| {
        let path = s.path.trim_matches('/').trim_start_matches("./");
        (if path == "." { "" } else { path }) == service.root
    });
    if let Some(corrected) = corrected {
        service.name.clone_from(&corrected.name);
        service.is_nameless = false;
        if let Some(kind) = corrected.kind.as_deref().and_then(Kind::from_name) {
            service.kind = kind;
        }
    }
    service
}

/// What most of a unit's production code is written in.
fn language(unit: &Unit<'_>, repository: &Repository) -> Language {
    let mut counts: BTreeMap<Language, usize> = BTreeMap::new();
    for file in unit.files.iter().map(|at| &repository.files[*at]) {
        if let (Some(language), Role::Production) = (file.language, file.role) {
            *counts.entry(language).or_default() += file.lines.count();
        }
    }
    let most = counts.into_iter().max_by_key(|(_, lines)| *lines).map(|(language, _)| language);
    let said = || unit.manifests.iter().find_map(|(_, manifest)| manifest.language);
    most.or_else(said).unwrap_or(Language::Other)
}
