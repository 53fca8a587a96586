//! Code that a Dockerfile copies beside a service's own: `COPY common/*.js ./` lays `common/tracing.js` where the service
//! says `require('./tracing')`. What a service imports so, near and far, is its own; a folder of which nothing else is left
//! is no unit.

use std::collections::{BTreeMap, BTreeSet};

use super::{Unit, is_within};
use crate::files::{Document, folder};
use crate::repository::Role;
use crate::rules::deployed::join;
use crate::{FactKind, File, Language, Repository};

/// Endings of what an import may mean.
const ENDINGS: [&str; 7] = [".js", ".ts", ".mjs", ".cjs", ".py", "/index.js", "/__init__.py"];

/// Gives services what is copied beside them.
pub(super) fn link(repository: &Repository, units: &mut [Unit<'_>]) {
    let folders = copied(repository, units);
    if folders.is_empty() {
        return;
    }
    let at: BTreeMap<&str, usize> =
        repository.files.iter().enumerate().map(|(at, file)| (&*file.path, at)).collect();
    let mut shared: BTreeSet<usize> = BTreeSet::new();
    for unit in units.iter_mut().filter(|unit| !unit.manifests.is_empty()) {
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        let mut next = unit.files.clone();
        while let Some(from) = next.pop() {
            for to in imported(&repository.files[from], &folders, &at) {
                if unit.files.binary_search(&to).is_err() && reached.insert(to) {
                    next.push(to);
                }
            }
        }
        shared.extend(&reached);
        unit.files.extend(reached);
        unit.files.sort_unstable();
    }
    for unit in units.iter_mut().filter(|unit| unit.manifests.is_empty()) {
        let mut code = unit.files.iter().filter(|at| {
            let file = &repository.files[**at];
            file.language.is_some() && file.role == Role::Production
        });
        let is_left = code.clone().next().is_some()
            && code.all(|at| {
                shared.contains(at)
                    || folders.iter().any(|root| is_within(&repository.files[*at].path, root))
            });
        unit.is_shared |= is_left && unit.files.iter().any(|at| shared.contains(at));
    }
}

/// Folders of code that images copy and that are nobody's own.
fn copied(repository: &Repository, units: &[Unit<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        for (_, document) in &file.documents {
            let Document::Dockerfile(dockerfile) = document else { continue };
            let words = dockerfile.image().into_iter().flat_map(|image| image.copies);
            for (words, _) in words {
                let Some((_, sources)) = words.split_last() else { continue };
                if words.iter().any(|word| word.starts_with("--from")) {
                    continue;
                }
                for source in sources.iter().filter(|source| !source.contains('$')) {
                    found.extend(folder_of(repository, &file.path, source));
                }
            }
        }
    }
    let is_own = |root: &String| {
        let mut own = units.iter().filter(|unit| !unit.manifests.is_empty());
        own.any(|unit| is_within(root, &unit.root) || is_within(&unit.root, root))
    };
    found.retain(|root| !is_own(root));
    found
}

/// The folder of code that a source of `COPY` names, from the Dockerfile's folder or one above it.
fn folder_of(repository: &Repository, dockerfile: &str, source: &str) -> Option<String> {
    let (root, last) = source.rsplit_once('/').unwrap_or(("", source));
    let named = if last.contains(['*', '.']) && last != "." { root } else { source };
    let named = named.trim_end_matches('/');
    if matches!(named, "" | "." | "..") {
        return None;
    }
    let has_code = |root: &str| {
        let mut code = repository.files.iter().filter(|file| file.language.is_some());
        code.any(|file| folder(&file.path) == root)
    };
    let mut context = folder(dockerfile);
    loop {
        let root = join(context, named);
        if has_code(&root) {
            return Some(root);
        }
        if context.is_empty() {
            return None;
        }
        context = folder(context);
    }
}

/// What a file imports that is not where it says, and lies in one of the folders.
fn imported(file: &File, folders: &BTreeSet<String>, at: &BTreeMap<&str, usize>) -> Vec<usize> {
    let is_script = matches!(file.language, Some(Language::JavaScript | Language::TypeScript));
    if !is_script && file.language != Some(Language::Python) {
        return Vec::new();
    }
    let find = |root: &str, name: &str| {
        let path = join(root, name);
        let exact = at.get(path.as_str()).copied();
        exact
            .or_else(|| ENDINGS.iter().find_map(|e| at.get(format!("{path}{e}").as_str()).copied()))
    };
    let mut found = Vec::new();
    for fact in &file.facts {
        let FactKind::Import(name) = &fact.kind else { continue };
        let own = folder(&file.path);
        let (plain, name) = match is_script {
            true if name.starts_with('.') => {
                (name.clone(), name.rsplit('/').next().unwrap_or(name))
            }
            true => continue,
            false => {
                let first = name.trim_start_matches('.').split('.').next().unwrap_or(name);
                (first.to_owned(), first)
            }
        };
        // What lies there is meant; within a shared folder that is the folder's own.
        let here = find(own, &plain);
        match here {
            Some(to) if folders.contains(own) => found.push(to),
            Some(_) => {}
            None => found.extend(folders.iter().find_map(|root| find(root, name))),
        }
    }
    found
}
