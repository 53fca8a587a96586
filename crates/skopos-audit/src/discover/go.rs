//! Go: one module may hold many programs. Each `package main` of production code is a unit of its own, with the packages
//! of the module that it imports, near and far: a command line beside a server is not judged for the server's code.

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;
use crate::files::folder;
use crate::repository::Role;
use crate::{Config, FactKind, Language, Repository};

/// A module with several programs, or a tree that holds some and says no module.
#[derive(Default)]
pub(super) struct GoModule {
    /// Its folder.
    root: String,
    /// Its name, as imports begin; none in a tree without `go.mod`, where imports are known by how they end.
    name: Option<String>,
    /// Folders of its programs.
    programs: BTreeSet<String>,
    /// Folders that hold files without a `main`.
    packages: BTreeSet<String>,
}

/// The modules that hold more than one program.
pub(super) fn modules(
    repository: &Repository,
    units: &BTreeMap<String, Unit<'_>>,
) -> Vec<GoModule> {
    let mut found: BTreeMap<&str, GoModule> = BTreeMap::new();
    for (root, unit) in units {
        let of_go = unit.manifests.iter().find(|(_, m)| m.language == Some(Language::Go));
        if let Some(name) = of_go.and_then(|(_, manifest)| manifest.name.clone()) {
            let name = Some(name);
            let module = GoModule { root: root.clone(), name, ..GoModule::default() };
            found.insert(root.as_str(), module);
        }
    }
    if found.is_empty() {
        found.insert("", GoModule::default());
    }
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        if file.language != Some(Language::Go) {
            continue;
        }
        let is_program = file.facts.iter().any(|fact| matches!(fact.kind, FactKind::EntryPoint(_)));
        let above = found.values_mut().filter(|module| super::is_within(&file.path, &module.root));
        if let Some(module) = above.max_by_key(|module| module.root.len()) {
            let folders = if is_program { &mut module.programs } else { &mut module.packages };
            folders.insert(folder(&file.path).to_owned());
        }
    }
    found.into_values().filter(|module| module.programs.len() > 1).collect()
}

impl GoModule {
    /// Makes a unit of each program.
    pub(super) fn divide<'r>(&self, units: &mut BTreeMap<String, Unit<'r>>, config: &Config) {
        if self.name.is_none() {
            // What serves there is a package of the programs, not one of its own.
            let is_package = |root: &str| {
                let is_said = config.services.iter().any(|service| service.folder() == root);
                self.packages.contains(root) && !self.programs.contains(root) && !is_said
            };
            units.retain(|root, unit| {
                !unit.manifests.is_empty() || unit.has_image.is_some() || !is_package(root)
            });
        }
        for program in &self.programs {
            let unit = units.entry(program.clone()).or_insert_with(|| Unit::empty(program));
            unit.is_program = true;
        }
        if let Some(unit) = units.get_mut(&self.root) {
            unit.is_shared = !self.programs.contains(&self.root);
        }
    }

    /// Gives each program the packages that it imports, and the module's own program no others.
    pub(super) fn link(&self, repository: &Repository, units: &mut [Unit<'_>]) {
        let mut packages: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, file) in repository.files.iter().enumerate() {
            if file.language == Some(Language::Go) && super::is_within(&file.path, &self.root) {
                packages.entry(folder(&file.path)).or_default().push(at);
            }
        }
        let manifests: Vec<usize> = repository
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| folder(&file.path) == self.root && file.path.ends_with("go.mod"))
            .map(|(at, _)| at)
            .collect();
        for unit in units.iter_mut().filter(|unit| self.programs.contains(&unit.root)) {
            let reached = self.reached(repository, &packages, &unit.root);
            let is_go = |at: &usize| repository.files[*at].language == Some(Language::Go);
            if unit.root == self.root {
                unit.files.retain(|at| {
                    !is_go(at) || reached.contains(folder(&repository.files[*at].path))
                });
            }
            unit.files.extend(reached.iter().filter_map(|package| packages.get(package)).flatten());
            unit.files.extend(&manifests);
            unit.files.sort_unstable();
            unit.files.dedup();
        }
    }

    /// The folders of the packages that a program is made of.
    fn reached<'p>(
        &self,
        repository: &Repository,
        packages: &BTreeMap<&'p str, Vec<usize>>,
        program: &str,
    ) -> BTreeSet<&'p str> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<String> = vec![program.to_owned()];
        while let Some(package) = next.pop() {
            let Some((package, files)) = packages.get_key_value(package.as_str()) else { continue };
            if !reached.insert(*package) {
                continue;
            }
            let files = files.iter().map(|at| &repository.files[*at]);
            for file in files.filter(|file| file.role != Role::Test) {
                next.extend(file.facts.iter().filter_map(|fact| match &fact.kind {
                    FactKind::Import(path) if self.name.is_none() => by_end(packages, path),
                    FactKind::Import(path) => self.folder_of(path),
                    _ => None,
                }));
            }
        }
        reached
    }

    /// The folder of a package of this module.
    fn folder_of(&self, import: &str) -> Option<String> {
        let rest = import.strip_prefix(self.name.as_deref()?)?;
        let rest = match rest.strip_prefix('/') {
            Some(rest) => rest,
            None if rest.is_empty() => "",
            None => return None,
        };
        Some(match (self.root.is_empty(), rest.is_empty()) {
            (true, _) => rest.to_owned(),
            (false, true) => self.root.clone(),
            (false, false) => format!("{}/{rest}", self.root),
        })
    }
}

/// The folder that an import ends with, the longest one.
fn by_end(packages: &BTreeMap<&str, Vec<usize>>, import: &str) -> Option<String> {
    let mut rest = Some(import);
    while let Some(path) = rest {
        if packages.contains_key(path) {
            return Some(path.to_owned());
        }
        rest = path.split_once('/').map(|(_, rest)| rest);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Config, MemoryTree, audit};

    #[test]
    fn programs_are_told_apart_without_a_module_too() {
        let server = "package web\nimport \"net/http\"\nfunc Serve() { http.ListenAndServe(\":80\", nil) }\n";
        let api = "package main\nimport \"example.com/shop/web\"\nfunc main() { web.Serve() }\n";
        let tool = "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"done\") }\n";
        for manifest in ["README.md", "Dockerfile"] {
            let tree = MemoryTree::of([
                (manifest, "FROM golang:1.25\nCOPY . .\nCMD [\"api\"]\n"),
                ("web/web.go", server),
                ("api/main.go", api),
                ("cmd/dump/main.go", tool),
            ]);
            let report = audit(&tree, &Config::default());
            let units: Vec<(&str, &str)> =
                report.services.iter().map(|s| (s.name.as_str(), s.kind.as_str())).collect();
            assert!(units.contains(&("api", "service")), "{manifest}: {units:?}");
            assert!(units.contains(&("dump", "cli")), "{manifest}: {units:?}");
            assert!(!units.iter().any(|(name, _)| *name == "web"), "{manifest}: {units:?}");
            assert!(report.failures().all(|f| f.rule != "LOG002"), "a command line prints");
        }
    }

    #[test]
    fn programs_of_a_module_have_what_they_import() {
        let server = "package web\nimport \"net/http\"\nfunc Serve() { http.ListenAndServe(\":80\", nil) }\n";
        let api =
            "package main\nimport \"example.com/shop/internal/web\"\nfunc main() { web.Serve() }\n";
        let tool = "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"done\") }\n";
        let tree = MemoryTree::of([
            ("go.mod", "module example.com/shop\n\ngo 1.24\n"),
            ("internal/web/web.go", server),
            ("cmd/api/main.go", api),
            ("cmd/shopctl/main.go", tool),
        ]);
        let report = audit(&tree, &Config::default());
        let units: Vec<(&str, &str)> =
            report.services.iter().map(|s| (s.name.as_str(), s.kind.as_str())).collect();
        assert_eq!(units, [("api", "service"), ("shop", "library"), ("shopctl", "cli")]);
        let files: Vec<usize> = report.services.iter().map(|s| s.files).collect();
        assert_eq!(files[0], 3, "main.go, web.go, go.mod");
        assert!(report.failures().all(|f| f.rule != "LOG002"), "a command line prints");
    }
}
