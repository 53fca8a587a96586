//! Several servers below one manifest: folders beside each other, of which each serves and none knows of another, are
//! units of their own. The manifest and all code that is nobody's own count for each of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Unit, is_within, top_most};
use crate::files::{folder, name};
use crate::repository::Role;
use crate::{FactKind, File, Language, Repository};

/// The folder of a manifest, and the units below that share it.
pub(super) struct Shared {
    root: String,
    units: BTreeSet<String>,
}

/// Makes a unit of each folder that serves, where several do that share a manifest.
pub(super) fn divide<'r>(
    repository: &'r Repository,
    units: &mut BTreeMap<String, Unit<'r>>,
) -> Vec<Shared> {
    // By unit: the files of its code.
    let mut code: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        // Go has its modules, Rust its packages, Java its modules: these say where a program begins.
        use Language::{JavaScript, Python, TypeScript};
        if !matches!(file.language, Some(JavaScript | Python | TypeScript)) {
            continue;
        }
        let above = units.keys().filter(|root| is_within(&file.path, root));
        if let Some(root) = above.max_by_key(|root| root.len()) {
            code.entry(root).or_default().push(file);
        }
    }
    let mut found = Vec::new();
    for (root, files) in code {
        let Some(unit) = units.get(root) else { continue };
        if unit.manifests.is_empty() || unit.has_image.is_some() || unit.is_program {
            continue;
        }
        let serving: BTreeSet<&str> = files
            .iter()
            .filter(|file| file.facts.iter().any(|fact| serves(&fact.kind)))
            .map(|file| folder(&file.path))
            .collect();
        let serving = top_most(&serving);
        let [first, .., _] = serving.as_slice() else { continue };
        let are_siblings = serving.iter().all(|own| folder(own) == folder(first) && *own != root);
        if are_siblings && !serving.iter().any(|own| is_known(own, &files)) {
            let units = serving.into_iter().map(str::to_owned).collect();
            found.push(Shared { root: root.to_owned(), units });
        }
    }
    for shared in &found {
        for own in &shared.units {
            units.entry(own.clone()).or_insert_with(|| Unit::empty(own));
        }
        if let Some(unit) = units.get_mut(&shared.root) {
            unit.is_shared = true;
        }
    }
    found
}

fn serves(kind: &FactKind) -> bool {
    matches!(kind, FactKind::Server(framework) if framework.0 != "tcp")
}

/// Whether code outside of a folder imports from it.
fn is_known(own: &str, files: &[&File]) -> bool {
    let mut others = files.iter().filter(|file| !is_within(&file.path, own));
    others.any(|file| {
        file.facts.iter().any(|fact| match &fact.kind {
            FactKind::Import(import) => import.split(['.', '/']).any(|part| part == name(own)),
            _ => false,
        })
    })
}

/// Gives each unit what it shares.
pub(super) fn link(shared: &[Shared], units: &mut [Unit<'_>]) {
    for Shared { root, units: own } in shared {
        let common = units.iter().find(|unit| unit.root == *root);
        let Some(files) = common.map(|unit| unit.files.clone()) else { continue };
        for unit in units.iter_mut().filter(|unit| own.contains(&unit.root)) {
            unit.files.extend(&files);
            unit.files.sort_unstable();
            unit.files.dedup();
        }
    }
}
