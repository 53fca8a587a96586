//! Kustomizations: what an overlay takes in and what it changes.

use super::node::Node;
use super::text::Text;
use crate::Span;

/// A `kustomization.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Kustomization {
    /// Files and folders it takes in, as written: resources, bases, components.
    pub takes: Vec<Text>,
    /// Files with patches.
    pub patches: Vec<Text>,
    /// Patches written in place: the text and its place.
    pub inline: Vec<Text>,
    /// `namespace`.
    pub namespace: Option<Text>,
    /// Images that are renamed: from, to.
    pub images: Vec<(Text, Option<Text>)>,
    /// Files that become ConfigMaps.
    pub config_files: Vec<Text>,
    /// Literals that become ConfigMaps, `KEY=value`.
    pub literals: Vec<Text>,
    /// ConfigMaps that it makes of literals and of files of variables.
    pub maps: Vec<Generated>,
    /// Where it stands.
    pub span: Span,
}

/// A ConfigMap that a kustomization makes.
#[derive(Clone, Debug, Default)]
pub struct Generated {
    /// Its name, without the hash that is put behind it.
    pub name: Text,
    /// `KEY=value`.
    pub literals: Vec<Text>,
    /// Files of variables, as written.
    pub envs: Vec<Text>,
}

/// Whether a path is a kustomization.
pub fn is_kustomization(path: &str) -> bool {
    matches!(super::name(path), "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// Reads a kustomization.
pub fn read(root: &Node) -> Kustomization {
    let mut found = Kustomization {
        namespace: root.text_at("namespace"),
        span: Span { start: root.span.start, end: root.last_byte() },
        ..Kustomization::default()
    };
    for key in ["resources", "bases", "components", "crds"] {
        found.takes.extend(root.get(key).texts());
    }
    found.patches.extend(root.get("patchesStrategicMerge").texts());
    for key in ["patches", "patchesJson6902"] {
        for item in root.get(key).items() {
            found.patches.extend(item.text_at("path"));
            found.inline.extend(item.text_at("patch"));
        }
    }
    // A strategic merge patch may stand in the list itself, as a block.
    let (inline, files) = found.patches.drain(..).partition(|text| text.contains('\n'));
    found.patches = files;
    let inline: Vec<Text> = inline;
    found.inline.extend(inline);
    for item in root.get("images").items() {
        let Some(name) = item.text_at("name") else { continue };
        found.images.push((name, item.text_at("newName")));
    }
    for generator in root.get("configMapGenerator").items() {
        let files = generator.get("files").texts().into_iter().chain(generator.get("envs").texts());
        found.config_files.extend(files.map(|text| {
            let file = text.value.rsplit('=').next().unwrap_or_default().to_owned();
            Text { value: file, span: text.span }
        }));
        let literals = generator.get("literals").texts();
        found.literals.extend(literals.iter().cloned());
        if let Some(name) = generator.text_at("name") {
            let envs =
                generator.get("envs").texts().into_iter().chain(generator.get("env").texts());
            found.maps.push(Generated { name, literals, envs: envs.collect() });
        }
    }
    found
}

/// Reads any bytes as a kustomization, for the fuzzer.
pub fn fuzz_audit_kustomize(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        let _ = read(&document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_and_what_it_takes() {
        let text = "resources: [../../base, extra.yaml]\npatches:\n- path: p.yaml\n- patch: |-\n    - op: add\nimages: [{name: api, newName: x/api}]\nconfigMapGenerator:\n- name: c\n  files: [otel.yaml=otel-prod.yaml]\n  literals: [LOG_LEVEL=debug]\n";
        let found = crate::files::yaml::read(text);
        let overlay = read(&found.documents[0]);
        assert_eq!(overlay.takes.len(), 2);
        assert_eq!((overlay.patches.len(), overlay.inline.len()), (1, 1));
        assert_eq!(overlay.config_files[0].value, "otel-prod.yaml");
        assert_eq!(overlay.literals[0].value, "LOG_LEVEL=debug");
        assert_eq!((&*overlay.maps[0].name.value, overlay.maps[0].literals.len()), ("c", 1));
    }
}
