//! What pods are given as environment: written in place, taken from ConfigMaps and from what a kustomization makes into
//! ConfigMaps, and from the values of a chart, as far as that can be read without rendering anything.
//!
//! Where a file for production says a variable anew, what a file for no environment in particular says of it is not what
//! runs there, and is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, deployed};
use crate::files::environment::Environment;
use crate::files::kubernetes::Body;
use crate::files::node::Node;
use crate::files::{Document, folder, helm, name};
use crate::{File, Place};

/// A place, a variable, its value.
type Variable = (Place, String, String);

/// The environment of the pods that run the service.
pub(super) fn environment(case: &Case<'_>) -> Vec<Variable> {
    let pods = deployed::pods(case);
    if pods.is_empty() && case.service.is_none() {
        return Vec::new();
    }
    let maps = maps(case);
    let (mut plain, mut given) = (Vec::new(), Vec::new());
    for pod in &pods {
        for (key, value) in &pod.container.env {
            let place = pod.file.place(value.span);
            let found = match helm::is_open(value) {
                true => values(case, pod.file, value),
                false => Vec::new(),
            };
            if found.is_empty() {
                plain.push((place, key.clone(), value.value.clone()));
            }
            given.extend(found.into_iter().map(|(place, value)| (place, key.clone(), value)));
        }
        let near = |from: &str| {
            let all: Vec<&Variable> =
                maps.iter().filter(|(map, _)| map == from).flat_map(|(_, all)| all).collect();
            // Maps of one name: those of the service itself, where it has any.
            let is_own = |path: &str| case.service.is_some_and(|s| is_below(path, &s.root));
            let own: Vec<&Variable> =
                all.iter().copied().filter(|(place, ..)| is_own(&place.path)).collect();
            if own.is_empty() { all } else { own }
        };
        for from in &pod.container.env_from {
            given.extend(near(from).into_iter().cloned());
        }
        for [variable, from, key] in &pod.container.env_refs {
            let found = near(from).into_iter().filter(|(_, own, _)| own == key);
            given.extend(
                found.map(|(place, _, value)| (place.clone(), variable.clone(), value.clone())),
            );
        }
    }
    let charts = pods.iter().filter_map(|pod| chart(&pod.file.path)).collect();
    given.extend(of_charts(case, &charts));
    let is_production =
        |place: &Place| Environment::of_path(&place.path) == Environment::Production;
    let said: BTreeSet<String> =
        given.iter().filter(|v| is_production(&v.0)).map(|v| v.1.clone()).collect();
    given.retain(|(place, key, _)| {
        Environment::of_path(&place.path) != Environment::Unsaid || !said.contains(key)
    });
    plain.append(&mut given);
    plain
}

/// A text of a template with its values put in, as far as they are known.
pub(super) fn resolved(case: &Case<'_>, file: &File, text: &str) -> String {
    let known = || helm::resolve(text, deployed::values(case, file));
    helm::is_open(text).then(known).flatten().unwrap_or_else(|| text.to_owned())
}

fn is_below(path: &str, root: &str) -> bool {
    !root.is_empty() && path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

/// The folder of the chart that a template belongs to.
fn chart(path: &str) -> Option<&str> {
    match path.split_once("/templates/") {
        Some((root, _)) => Some(root),
        None => path.starts_with("templates/").then_some(""),
    }
}

/// Values of charts: the file, its root.
fn all_values<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Node)> {
    deployed::documents(case).filter_map(|(file, document)| match document {
        Document::Values(node) => Some((file, &**node)),
        _ => None,
    })
}

/// What a text of a template comes to by each file of values of its chart, where that file says it.
fn values(case: &Case<'_>, file: &File, text: &str) -> Vec<(Place, String)> {
    let Some(root) = chart(&file.path) else { return Vec::new() };
    let path = helm::value_path(text);
    let is_of_chart = |own: &str| folder(own) == root || is_below(own, root);
    let mut found = Vec::new();
    for (own, node) in all_values(case).filter(|(own, _)| is_of_chart(&own.path)) {
        let said = path.map(|path| node.at(path)).filter(|node| node.text().is_some());
        if let (Some(said), Some(value)) = (said, helm::resolve(text, Some(node))) {
            found.push((own.place(said.span), value));
        }
    }
    found
}

/// The variables of every ConfigMap, by its name.
fn maps(case: &Case<'_>) -> Vec<(String, Vec<Variable>)> {
    let mut found = Vec::new();
    for (file, document) in deployed::documents(case) {
        match document {
            Document::Kubernetes(resource) => {
                let Body::ConfigMap(data) = &resource.body else { continue };
                let mut variables = Vec::new();
                for (key, node) in data {
                    let Some(text) = node.text() else { continue };
                    let said = match helm::is_open(text) {
                        true => values(case, file, text),
                        false => vec![(file.place(node.span), text.to_owned())],
                    };
                    let said = said.into_iter();
                    variables.extend(said.map(|(place, value)| (place, key.value.clone(), value)));
                }
                found.push((resource.name.value.clone(), variables));
            }
            Document::Kustomization(kustomization) => {
                for map in &kustomization.maps {
                    let literals = map.literals.iter().filter_map(|literal| {
                        let (key, value) = literal.value.split_once('=')?;
                        let value = value.trim_matches(['"', '\'']).to_owned();
                        Some((file.place(literal.span), key.trim().to_owned(), value))
                    });
                    let mut variables: Vec<Variable> = literals.collect();
                    for env in &map.envs {
                        let path = deployed::join(folder(&file.path), env);
                        variables.extend(case.repository.file(&path).into_iter().flat_map(of_file));
                    }
                    found.push((map.name.value.clone(), variables));
                }
            }
            _ => {}
        }
    }
    found
}

/// The variables of a file of them.
fn of_file(file: &File) -> Vec<Variable> {
    let settings = file.documents.iter().filter_map(|(_, document)| match document {
        Document::Settings(settings) => Some(settings),
        _ => None,
    });
    let all = settings.flat_map(|settings| &settings.values);
    all.map(|(key, value)| (file.place(value.span), key.value.clone(), value.value.clone()))
        .collect()
}

/// Variables that stand in values as such, for a template to put in whole: `env: {LOG_LEVEL: debug}`, and lists of names
/// and values. They are the service's when the chart runs nothing else, or below a key of its name.
fn of_charts(case: &Case<'_>, charts: &BTreeSet<&str>) -> Vec<Variable> {
    let mut found = Vec::new();
    for (file, root) in all_values(case) {
        let own = folder(&file.path);
        let chart = charts.iter().find(|chart| own == **chart || is_below(own, chart));
        let is_inside = case.service.is_some_and(|service| is_below(&file.path, &service.root));
        if (chart.is_none() && !is_inside) || deployed::is_product(name(own)) {
            continue;
        }
        let is_shared = !is_inside && chart.is_some_and(|chart| is_shared(case, chart));
        let mut items: BTreeMap<String, [Option<(Place, String)>; 2]> = BTreeMap::new();
        root.walk(&mut |path, node| {
            let Some(text) = node.text().filter(|text| !helm::is_open(text)) else { return };
            let top = path.split(['.', '[']).next().unwrap_or_default();
            let is_meant = !is_shared || deployed::belongs_by_name(case, &[Some(top)]);
            if deployed::is_product(top) || !is_meant {
                return;
            }
            let (above, last) = path.rsplit_once('.').unwrap_or(("", path));
            let said = (file.place(node.span), text.to_owned());
            match last {
                "name" if is_variable(text) => {
                    items.entry(above.to_owned()).or_default()[0] = Some(said)
                }
                "value" => items.entry(above.to_owned()).or_default()[1] = Some(said),
                last if is_variable(last) => found.push((said.0, last.to_owned(), said.1)),
                _ => {}
            }
        });
        for item in items.into_values() {
            let [Some((_, key)), Some((place, value))] = item else { continue };
            found.push((place, key, value));
        }
    }
    found
}

/// Whether a chart runs what belongs to other services too.
fn is_shared(case: &Case<'_>, root: &str) -> bool {
    let charts = case.repository.charts(|service| {
        let pods = deployed::pods(&Case { service: Some(service), ..*case });
        pods.iter().filter_map(|pod| chart(&pod.file.path)).map(str::to_owned).collect()
    });
    let is_other = |name: &String| case.service.is_none_or(|own| own.name != *name);
    charts.get(root).is_some_and(|services| services.iter().any(is_other))
}

/// Whether a key is written as environment variables are.
fn is_variable(key: &str) -> bool {
    key.len() > 2
        && key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
