//! What a service is called.
//!
//! One rule for every manifest: by its folder in the repository, where that says something; else (the root, `src`, `app`) by
//! the name in its manifest; else by the folder that is audited. That last name depends on where a clone lies: it is
//! shown and compared with what a server has seen, and nothing in the repository is matched with it.

use std::collections::BTreeMap;

use super::Unit;
use crate::files::{Manifest, folder, name};
use crate::{Language, Service};

/// What is known of a unit's name.
pub(super) struct Called {
    /// None where nothing in the repository says it.
    pub(super) name: Option<String>,
    /// Whether the name, if there is one, is none that anybody gave it.
    pub(super) is_nameless: bool,
    /// By what else it may be spoken of.
    pub(super) aliases: Vec<String>,
}

/// Finds the name of a unit whose code is in a language.
pub(super) fn of(unit: &Unit<'_>, language: Language) -> Called {
    let is_own = |manifest: &Manifest| {
        let scripts = [Language::JavaScript, Language::TypeScript];
        manifest.language.is_some_and(|of| {
            of == language
                || (of == Language::Java && language == Language::Other)
                || (scripts.contains(&of) && scripts.contains(&language))
        })
    };
    let names = |wanted: &dyn Fn(&Manifest) -> bool| -> Vec<String> {
        let manifests = unit.manifests.iter().filter(|(_, manifest)| wanted(manifest));
        manifests.filter_map(|(_, manifest)| manifest.name.as_deref().map(short_name)).collect()
    };
    let mut given = names(&is_own);
    if given.is_empty() {
        given = names(&|manifest| manifest.language.is_none());
    }
    let first = given.first().cloned();
    // `cmd/server` of a module is the module's server.
    let module = folder(folder(&unit.root));
    let name = match () {
        () if unit.root.is_empty() => first,
        () if unit.is_program && is_general(&unit.root) && !module.is_empty() => {
            Some(folder_name(module, None))
        }
        () => Some(folder_name(&unit.root, first)),
    };
    // `reviews/reviews-application` is the program of `reviews`.
    let above = crate::files::name(folder(&unit.root));
    let own = crate::files::name(&unit.root);
    let is_part = own.strip_prefix(above).is_some_and(|rest| rest.starts_with(['-', '_']));
    given.extend((is_part && !above.is_empty()).then(|| above.to_owned()));
    given.retain(|alias| name.as_ref() != Some(alias));
    Called { is_nameless: name.is_none(), name, aliases: given }
}

/// The name of the folder at the end of a path, for services that nothing else gives a name.
pub(super) fn of_folder(path: &str) -> String {
    match folder_name(path.trim_matches('/'), None) {
        name if name.is_empty() => "repository".to_owned(),
        name => name,
    }
}

/// Names that several have are told apart by their folders.
pub(super) fn make_unique(services: &mut [Service]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut watched: BTreeMap<String, usize> = BTreeMap::new();
    for service in services.iter() {
        *counts.entry(service.name.clone()).or_default() += 1;
        *watched.entry(service.name.clone()).or_default() += usize::from(service.kind.is_watched());
    }
    // The one that runs keeps its name; what it is made of has a longer one.
    let is_changed = |service: &Service| {
        counts[&service.name] > 1
            && !service.root.is_empty()
            && !(service.kind.is_watched() && watched[&service.name] == 1)
    };
    for service in services.iter_mut().filter(|service| is_changed(service)) {
        service.name.clone_from(&service.root);
    }
}

/// Whether a program's folder says only that it is the one that serves: `cmd/server`.
fn is_general(root: &str) -> bool {
    matches!(name(root), "server" | "main" | "app" | "daemon" | "run" | "start")
        && name(folder(root)) == "cmd"
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
