//! Rust: `Cargo.toml`.

use super::super::node::Node;
use super::super::{Document, Read, name, toml};
use super::{Dependency, Manifest, Script};
use crate::{Language, Span};

pub(crate) fn wants(path: &str) -> bool {
    name(path) == "Cargo.toml"
}

pub(crate) fn read(_path: &str, text: &str) -> Read {
    let (root, problems) = toml::read(text);
    let manifest = manifest(&root);
    let documents = vec![(Span::new(0, text.len()), Document::Manifest(manifest))];
    Read { documents, problems, ..Read::default() }
}

fn manifest(root: &Node) -> Manifest {
    let package = root.get("package");
    let members = root.at("workspace.members").texts();
    let mut manifest = Manifest {
        language: root.has("package").then_some(Language::Rust),
        name: package.text_at("name").map(|name| name.value),
        members: members.into_iter().map(|text| text.value).collect(),
        is_library: root.has("lib"),
        ..Manifest::default()
    };
    section(root, &mut manifest.dependencies);
    for (_, target) in root.get("target").entries() {
        section(target, &mut manifest.dependencies);
    }
    for bin in root.get("bin").items() {
        let Some(name) = bin.text_at("name") else { continue };
        let path = bin.text_at("path").map(|path| path.value);
        let command = path.unwrap_or_else(|| format!("src/bin/{}.rs", name.value));
        manifest.scripts.push(Script { name: name.value, command, span: name.span });
    }
    manifest
}

fn section(root: &Node, found: &mut Vec<Dependency>) {
    let sections =
        [("dependencies", false), ("dev-dependencies", true), ("build-dependencies", true)];
    for (section, is_dev) in sections {
        for (key, value) in root.get(section).entries() {
            let Some(key) = key.spanned() else { continue };
            let renamed = value.text_at("package").map(|text| text.value);
            let version = value.text().map(str::to_owned);
            found.push(Dependency {
                name: renamed.unwrap_or(key.value),
                version: version.or_else(|| value.text_at("version").map(|text| text.value)),
                is_dev,
                features: value.get("features").texts().into_iter().map(|t| t.value).collect(),
                span: key.span,
            });
        }
    }
}

/// Reads any bytes as a `Cargo.toml`, for the fuzzer.
pub fn fuzz_audit_cargo_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    super::assert_inside(&read("Cargo.toml", &text), &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_every_kind() {
        let text = "[package]\nname = \"api\"\n[dependencies]\naxum = \"0.8\"\nlogging = { package = \"tracing\", version = \"0.1\", features = [\"log\"] }\n[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n[dev-dependencies]\ninsta = \"1\"\n[[bin]]\nname = \"api\"\npath = \"src/server.rs\"\n";
        let (root, _) = toml::read(text);
        let found = manifest(&root);
        assert_eq!(found.dependency("tracing").unwrap().features, ["log"]);
        assert!(found.dependency("rustix").is_some() && found.dependency("insta").is_none());
        assert_eq!(found.scripts[0].command, "src/server.rs");
        let (root, _) = toml::read("[workspace]\nmembers = [\"crates/*\"]\n");
        assert_eq!(
            (manifest(&root).language, manifest(&root).members),
            (None, vec!["crates/*".to_owned()])
        );
    }
}
