//! Go: one module may hold many programs. Each `package main` of production code is a unit of its own, with the packages
//! of the module that it imports, near and far: a command line beside a server is not judged for the server's code.

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;
use crate::files::folder;
use crate::repository::Role;
use crate::{FactKind, Language, Repository};

/// A module with several programs.
pub(super) struct GoModule {
    /// Its folder.
    root: String,
    /// Its name, as imports begin.
    name: String,
    /// Folders of its programs.
    programs: BTreeSet<String>,
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
            let module = GoModule { root: root.clone(), name, programs: BTreeSet::new() };
            found.insert(root.as_str(), module);
        }
    }
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        let is_program = file.language == Some(Language::Go)
            && file.facts.iter().any(|fact| matches!(fact.kind, FactKind::EntryPoint(_)));
        if !is_program {
            continue;
        }
        let above = found.values_mut().filter(|module| super::is_within(&file.path, &module.root));
        if let Some(module) = above.max_by_key(|module| module.root.len()) {
            module.programs.insert(folder(&file.path).to_owned());
        }
    }
    found.into_values().filter(|module| module.programs.len() > 1).collect()
}

impl GoModule {
    /// Makes a unit of each program.
    pub(super) fn divide<'r>(&self, units: &mut BTreeMap<String, Unit<'r>>) {
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
                    FactKind::Import(path) => self.folder_of(path),
                    _ => None,
                }));
            }
        }
        reached
    }

    /// The folder of a package of this module.
    fn folder_of(&self, import: &str) -> Option<String> {
        let rest = import.strip_prefix(&self.name)?;
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

#[cfg(test)]
mod tests {
    use crate::{Config, MemoryTree, audit};

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
