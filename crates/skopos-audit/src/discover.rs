//! Services from files: where units begin, what each of them is, and what shows it.
//!
//! A *unit* is a folder with a manifest, with a Dockerfile, or, where neither is above it, one whose code starts a server;
//! where one manifest is above several that know nothing of each other, each of them. A file belongs to the deepest unit
//! above it. Libraries of the repository are folded into what depends on them, by name: what a shared package sets up
//! (logging, tracing) counts for every service that uses it. With one service only, files of no unit of their own
//! (manifests of a cluster, rules) are its too.

mod copied;
mod go;
mod kind;
mod naming;
mod siblings;
mod starts;

use self::kind::classify;
use std::collections::{BTreeMap, BTreeSet};

use crate::files::{Document, Manifest, folder, is_below, name};
use crate::repository::Role;
use crate::service::Kind;
use crate::{Config, FactKind, File, Place, Repository, Service, Span};

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
///
/// `folder` is the path of what is audited, where that is a folder of a disk: see [`naming`].
pub(crate) fn services(
    repository: &Repository,
    config: &Config,
    folder: Option<&str>,
) -> Vec<Service> {
    let audited = naming::of_folder(folder.unwrap_or_default());
    let mut units = units(repository, config);
    let modules = go::modules(repository, &units);
    modules.iter().for_each(|module| module.divide(&mut units, config));
    let shared = siblings::divide(repository, &mut units);
    let mut units: Vec<Unit<'_>> = units.into_values().collect();
    assign(repository, &mut units);
    modules.iter().for_each(|module| module.link(repository, &mut units));
    siblings::link(&shared, &mut units);
    copied::link(repository, &mut units);
    let mut services: Vec<Service> =
        units.iter().map(|unit| classify(repository, unit, config, &audited)).collect();
    let keep: Vec<bool> =
        units.iter().zip(&services).map(|(unit, service)| is_worth_naming(unit, service)).collect();
    fold(&units, &mut services);
    let mut kept = keep.iter();
    services.retain(|_| *kept.next().unwrap_or(&true));
    for service in services.iter_mut().filter(|service| service.kind == Kind::Job) {
        if let Some((place, kind)) = crate::rules::deployed::kept_running(repository, service) {
            service.kind = Kind::Worker;
            service.evidence.push(crate::service::Evidence {
                place,
                what: format!("kept running by a {kind}"),
            });
        }
    }
    share_with_the_only_one(repository, &mut services);
    naming::make_unique(&mut services);
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
    root.is_empty() || path == root || is_below(path, root)
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

#[cfg(test)]
mod tests;
