//! Services from files: where units begin, what each of them is, and what shows it.
//!
//! A *unit* is a folder with a manifest, with a Dockerfile, or, where neither is above it, one whose code starts a server;
//! where one manifest is above several that know nothing of each other, each of them. A file belongs to the deepest unit above it. Libraries of the repository are folded into what depends on them, by name: what a
//! shared package sets up (logging, tracing) counts for every service that uses it. With one service only, files of no unit
//! of their own (manifests of a cluster, rules) are its too.

mod go;
mod siblings;
mod starts;

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{Document, Manifest, folder, manifest, name};
use crate::repository::Role;
use crate::service::{Evidence, Kind};
use crate::{Config, FactKind, File, Language, Place, Repository, Service, Span};

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

struct Unit<'r> {
    root: String,
    manifests: Vec<(&'r File, &'r Manifest)>,
    has_image: Option<Place>,
    files: Vec<usize>,
    /// Code of several programs that are units of their own.
    is_shared: bool,
    /// One of several programs of a module.
    is_program: bool,
}

impl Unit<'_> {
    fn empty(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            manifests: Vec::new(),
            has_image: None,
            files: Vec::new(),
            is_shared: false,
            is_program: false,
        }
    }
}

/// Finds the units of a repository and says what each is.
pub(crate) fn services(repository: &Repository, config: &Config) -> Vec<Service> {
    let mut units = units(repository, config);
    let modules = go::modules(repository, &units);
    modules.iter().for_each(|module| module.divide(&mut units));
    let shared = siblings::divide(repository, &mut units);
    let mut units: Vec<Unit<'_>> = units.into_values().collect();
    assign(repository, &mut units);
    modules.iter().for_each(|module| module.link(repository, &mut units));
    siblings::link(&shared, &mut units);
    let mut services: Vec<Service> =
        units.iter().map(|unit| classify(repository, unit, config)).collect();
    let keep: Vec<bool> =
        units.iter().zip(&services).map(|(unit, service)| is_worth_naming(unit, service)).collect();
    fold(&units, &mut services);
    let mut kept = keep.iter();
    services.retain(|_| *kept.next().unwrap_or(&true));
    share_with_the_only_one(repository, &mut services);
    make_unique(&mut services);
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

fn is_worth_naming(unit: &Unit<'_>, service: &Service) -> bool {
    // A root that only binds its members together is no unit of its own.
    service.kind.is_watched()
        || unit.is_program
        || !(unit.manifests.iter().all(|(_, manifest)| manifest.language.is_none())
            && unit.has_image.is_none())
}

fn units<'r>(repository: &'r Repository, config: &Config) -> BTreeMap<String, Unit<'r>> {
    let mut roots: BTreeMap<String, Unit<'r>> = BTreeMap::new();
    let empty = Unit::empty;
    for file in &repository.files {
        if matches!(file.role, Role::Vendored | Role::Generated) {
            continue;
        }
        for (_, document) in &file.documents {
            if let Document::Manifest(manifest) = document {
                let root = manifest_root(folder(&file.path));
                let unit = roots.entry(root.to_owned()).or_insert_with(|| empty(root));
                unit.manifests.push((file, manifest));
            }
        }
        if is_dockerfile(&file.path) && file.role == Role::Production {
            let root = image_root(folder(&file.path));
            let unit = roots.entry(root.to_owned()).or_insert_with(|| empty(root));
            unit.has_image.get_or_insert_with(|| file.place(Span::new(0, 0)));
        }
    }
    // An image of nothing but what others made is packed here, not written here.
    let has_code = |root: &str| {
        let mut code = repository.files.iter().filter(|file| file.language.is_some());
        code.any(|file| is_within(&file.path, root))
    };
    roots.retain(|root, unit| !unit.manifests.is_empty() || has_code(root));
    for service in &config.services {
        let root = service.path.trim_matches('/').trim_start_matches("./");
        let root = if root == "." { "" } else { root };
        roots.entry(root.to_owned()).or_insert_with(|| empty(root));
    }
    // Where no manifest says so, a unit is each top-most folder whose code serves or consumes.
    let mut running: BTreeSet<&str> = BTreeSet::new();
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        let is_covered = || roots.keys().any(|root| is_within(&file.path, root));
        if file.facts.iter().any(|fact| runs(&fact.kind)) && !is_covered() {
            running.insert(folder(&file.path));
        }
    }
    for root in top_most(&running) {
        roots.insert(root.to_owned(), empty(root));
    }
    roots
}

/// `requirements/` holds the manifests of the folder above.
fn manifest_root(root: &str) -> &str {
    if name(root) == "requirements" { folder(root) } else { root }
}

fn is_dockerfile(path: &str) -> bool {
    let name = name(path);
    name == "Dockerfile" || name == "Containerfile"
}

/// `docker/` and the like hold the image of the folder above.
fn image_root(root: &str) -> &str {
    match name(root) {
        "docker" | "build" | "deploy" | ".docker" | "container" | "deployment" => folder(root),
        _ => root,
    }
}

fn is_within(path: &str, root: &str) -> bool {
    root.is_empty()
        || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Gives every file to the deepest unit above it.
fn assign(repository: &Repository, units: &mut [Unit<'_>]) {
    for (at, file) in repository.files.iter().enumerate() {
        let above = units.iter_mut().filter(|unit| is_within(&file.path, &unit.root));
        if let Some(unit) = above.max_by_key(|unit| unit.root.len()) {
            unit.files.push(at);
        }
    }
}

fn runs(kind: &FactKind) -> bool {
    matches!(kind, FactKind::Server(_) | FactKind::Worker(_))
}

/// Folders that stand in no other of them.
fn top_most<'f>(folders: &BTreeSet<&'f str>) -> Vec<&'f str> {
    let is_inside =
        |root: &&str| folders.iter().any(|other| other != root && is_within(root, other));
    folders.iter().copied().filter(|root| !is_inside(root)).collect()
}

fn classify(repository: &Repository, unit: &Unit<'_>, config: &Config) -> Service {
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
    let is_part = |evidence: &Evidence| {
        let file = repository.file(&evidence.place.path);
        file.and_then(|file| file.language) == Some(Language::Java)
            && bare.contains(&evidence.what.as_str())
            && has_main.is_none()
            && unit.has_image.is_none()
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
    let is_own = |manifest: &Manifest| {
        let scripts = [Language::JavaScript, Language::TypeScript];
        manifest.language.is_some_and(|of| {
            of == language
                || (of == Language::Java && language == Language::Other)
                || (scripts.contains(&of) && scripts.contains(&language))
        })
    };
    let name_in = |wanted: &dyn Fn(&Manifest) -> bool| {
        unit.manifests.iter().filter(|(_, m)| wanted(m)).find_map(|(_, m)| m.name.clone())
    };
    let named = name_in(&is_own).or_else(|| name_in(&|manifest| manifest.language.is_none()));
    let short = named.as_deref().map(short_name);
    let unit_name = match (unit.root.is_empty(), short) {
        (true, Some(short)) => short,
        (true, None) => "repository".to_owned(),
        (false, short) => folder_name(&unit.root, short),
    };
    let mut service = Service {
        name: unit_name,
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
        if let Some(kind) = corrected.kind.as_deref().and_then(Kind::from_name) {
            service.kind = kind;
        }
    }
    service
}

/// The last part of a package's name; versions of Go's modules are no part of it.
fn short_name(full: &str) -> String {
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
    let mut parts = full.rsplit('/').filter(|part| !is_version(part));
    parts.next().unwrap_or(full).to_owned()
}

/// The name of a folder; `src` and the like say nothing, so the folder above does.
fn folder_name(root: &str, named: Option<String>) -> String {
    let says_nothing =
        |part: &str| matches!(part, "src" | "source" | "app" | "code" | "cmd" | "main");
    let mut at = root;
    while says_nothing(name(at)) && !folder(at).is_empty() {
        at = folder(at);
    }
    match named {
        Some(named) if says_nothing(name(at)) || matches!(name(at), "services" | "apps") => named,
        _ if says_nothing(name(at)) => name(root).to_owned(),
        _ => name(at).to_owned(),
    }
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

/// Gives services the files of the libraries that they depend on, near and far.
fn fold(units: &[Unit<'_>], services: &mut [Service]) {
    let names: BTreeMap<&str, usize> = units
        .iter()
        .enumerate()
        .flat_map(|(at, unit)| unit.manifests.iter().map(move |(_, m)| (at, m)))
        .filter_map(|(at, manifest)| Some((manifest.name.as_deref()?, at)))
        .collect();
    let needs = |at: usize| -> Vec<usize> {
        let manifests = units[at].manifests.iter();
        let all = manifests.flat_map(|(_, m)| m.dependencies.iter().filter(|d| !d.is_dev));
        all.filter_map(|d| names.get(d.name.as_str()).copied()).filter(|to| *to != at).collect()
    };
    for at in 0..services.len() {
        if !services[at].kind.is_watched() {
            continue;
        }
        let mut seen = BTreeSet::from([at]);
        let mut next = needs(at);
        while let Some(to) = next.pop() {
            if !seen.insert(to) || services[to].kind != Kind::Library {
                continue;
            }
            next.extend(needs(to));
            let more = units[to].files.clone();
            services[at].files.extend(more);
        }
        services[at].files.sort_unstable();
        services[at].files.dedup();
    }
}

/// The only service of a repository has all that no other unit has.
fn share_with_the_only_one(repository: &Repository, services: &mut [Service]) {
    let taken: BTreeSet<usize> = services.iter().flat_map(|s| s.files.iter().copied()).collect();
    let mut watched = services.iter_mut().filter(|service| service.kind.is_watched());
    if let (Some(only), None) = (watched.next(), watched.next()) {
        only.files.extend((0..repository.files.len()).filter(|at| !taken.contains(at)));
        only.files.sort_unstable();
    }
}

/// Names that several have are told apart by their folders.
fn make_unique(services: &mut [Service]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for service in services.iter() {
        *counts.entry(service.name.clone()).or_default() += 1;
    }
    for service in services.iter_mut().filter(|s| counts[&s.name] > 1 && !s.root.is_empty()) {
        service.name.clone_from(&service.root);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, MemoryTree, audit};

    fn units(files: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let report = audit(&MemoryTree::of(files.iter().copied()), &Config::default());
        report.services.iter().map(|s| (s.name.clone(), s.kind.as_str())).collect()
    }

    #[test]
    fn folders_that_say_nothing_give_no_names() {
        let flask = "from flask import Flask\napp = Flask(__name__)\n";
        let found = units(&[
            ("src/cart/src/requirements/prod.txt", "flask\n"),
            ("src/cart/src/app.py", flask),
            ("src/till/cmd/requirements.txt", "flask\n"),
            ("src/till/cmd/app.py", flask),
        ]);
        assert_eq!(found, [("cart".to_owned(), "service"), ("till".to_owned(), "service")]);
    }

    #[test]
    fn packaging_of_what_others_made_is_no_service() {
        let found = units(&[
            ("docker/kafka/Dockerfile", "FROM apache/kafka:4\nCOPY server.properties /etc/\n"),
            (
                "pom.xml",
                "<project><artifactId>shop</artifactId><modules><module>a</module></modules></project>",
            ),
            ("docker/Dockerfile", "FROM eclipse-temurin:21\nCOPY app.jar .\n"),
            (
                "setup.py",
                "from setuptools import setup\nsetup(name='board', install_requires=['flask'])\n",
            ),
            ("board/app.py", "from flask import Flask\nclass Board(Flask):\n    pass\n"),
        ]);
        assert_eq!(found, [("board".to_owned(), "service")]);
    }

    #[test]
    fn what_an_image_serves_is_a_service_whatever_its_code_says() {
        let django = |command: &'static str| {
            units(&[
                ("shop/requirements.txt", "django\n"),
                ("shop/manage.py", "import os\nif __name__ == '__main__':\n    main()\n"),
                ("shop/shop/settings.py", "DEBUG = True\nROOT_URLCONF = 'shop.urls'\n"),
                ("shop/shop/urls.py", "urlpatterns = []\n"),
                ("shop/Dockerfile", command),
            ])
        };
        let gunicorn = django("FROM python:3.12\nCMD [\"gunicorn\", \"shop.wsgi\"]\n");
        assert_eq!(gunicorn, [("shop".to_owned(), "service")]);
        let worker = django("FROM python:3.12\nCMD celery -A shop worker\n");
        assert_eq!(worker, [("shop".to_owned(), "worker")]);
        let migration = django("FROM python:3.12\nCMD python manage.py migrate\n");
        assert_ne!(migration, [("shop".to_owned(), "service")]);
    }

    #[test]
    fn entry_points_are_evidence_beside_manifests_too() {
        let flask = "from flask import Flask\napp = Flask(__name__)\n";
        let found = units(&[
            ("services/a/requirements.txt", "flask\n"),
            ("services/a/app.py", flask),
            ("noman/x/app.py", flask),
            ("noman/x/views/more.py", flask),
            ("jobs/mail.py", "from celery import Celery\napp = Celery('mail')\n"),
        ]);
        let wanted = [("a", "service"), ("jobs", "worker"), ("x", "service")];
        assert_eq!(found, wanted.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn servers_that_share_a_manifest_are_several() {
        let flask = "from flask import Flask\napp = Flask(__name__)\n";
        let found = units(&[
            ("requirements.txt", "flask\n"),
            ("shared/log.py", "import logging\n"),
            ("services/cart/app.py", flask),
            ("services/till/app.py", flask),
        ]);
        let wanted = [("cart", "service"), ("repository", "library"), ("till", "service")];
        assert_eq!(found, wanted.map(|(name, kind)| (name.to_owned(), kind)));
        // What they depend on counts for each.
        let tree = MemoryTree::of([
            ("requirements.txt", "flask\nstructlog\n"),
            ("services/cart/app.py", flask),
            ("services/till/app.py", flask),
        ]);
        let report = audit(&tree, &Config::default());
        assert!(report.services.iter().filter(|s| s.kind.is_watched()).all(|s| s.files == 2));

        // One that takes in the other is one program.
        let mounted =
            "from flask import Flask\nfrom shop.admin import app as admin\napp = Flask(__name__)\n";
        let found = units(&[
            ("requirements.txt", "flask\n"),
            ("shop/admin/app.py", flask),
            ("shop/api/app.py", mounted),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn services_in_languages_that_are_not_read_are_listed() {
        let tree = MemoryTree::of([
            ("rb/Gemfile", "gem 'rails'\n"),
            ("rb/package.json", "{\"devDependencies\": {\"vite\": \"5\"}}"),
            ("rb/app/models/order.rb", "class Order\nend\n"),
            ("net/Orders.csproj", "<Project Sdk=\"Microsoft.NET.Sdk.Web\"></Project>"),
            ("net/Program.cs", "var app = WebApplication.Create();\n"),
            ("php/composer.json", "{\"require\": {\"laravel/framework\": \"^11\"}}"),
            ("php/public/index.php", "<?php\n"),
            ("ex/mix.exs", "[app: :shop]\n[{:phoenix, \"1\"}]\n"),
            ("ex/lib/shop.ex", "defmodule Shop do\nend\n"),
            ("docs/Gemfile", "gem 'jekyll'\n"),
        ]);
        let report = audit(&tree, &Config::default());
        let found: Vec<&str> = report.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(found, ["ex", "net", "php", "rb"]);
        for service in &report.services {
            assert_eq!(service.kind.as_str(), "service", "{}", service.name);
            assert!(service.not_judged.is_some() && service.score.is_none(), "{}", service.name);
        }
    }
}
