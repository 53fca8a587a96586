//! Python: `pyproject.toml` (PEP 621, Poetry, dependency groups, uv workspaces), `requirements*.txt`, `Pipfile`.

use super::super::node::Node;
use super::super::text::{Text, lines};
use super::super::{Document, Problem, Read, name, toml};
use super::{Dependency, Manifest, Script};
use crate::{Language, Span};

pub(crate) fn wants(path: &str) -> bool {
    let name = name(path);
    matches!(name, "pyproject.toml" | "Pipfile" | "setup.py") || is_requirements(path)
}

fn is_requirements(path: &str) -> bool {
    let name = name(path);
    let in_folder = path.rsplit('/').nth(1) == Some("requirements");
    let is_text = name.ends_with(".txt") || name.ends_with(".in");
    is_text
        && (name.starts_with("requirements") || name.ends_with("-requirements.txt") || in_folder)
}

pub(crate) fn read(path: &str, text: &str) -> Read {
    let mut read = Read::default();
    let whole = Span::new(0, text.len());
    let manifest = match name(path) {
        "pyproject.toml" => {
            let (root, problems) = toml::read(text);
            read.problems = problems;
            pyproject(&root)
        }
        "Pipfile" => {
            let (root, problems) = toml::read(text);
            read.problems = problems;
            let mut manifest = Manifest { language: Some(Language::Python), ..Manifest::default() };
            for (section, is_dev) in [("packages", false), ("dev-packages", true)] {
                table(root.get(section), is_dev, &mut manifest.dependencies);
            }
            manifest
        }
        "setup.py" => match setup(text) {
            Some(manifest) => manifest,
            None => return read,
        },
        _ => requirements(path, text, &mut read.problems),
    };
    read.documents.push((whole, Document::Manifest(manifest)));
    read
}

/// `setup.py` is a program: what is read is the literal name and the literal texts of `install_requires`.
fn setup(text: &str) -> Option<Manifest> {
    let call = text.find("setup(")?;
    let rest = &text[call..];
    let literal = |key: &str| -> Option<&str> {
        let at = rest.find(&format!("{key}="))? + key.len() + 1;
        let value = rest[at..].trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value[1..].split(quote).next()
    };
    let mut manifest = Manifest {
        language: Some(Language::Python),
        name: literal("name").map(str::to_owned),
        ..Manifest::default()
    };
    let lists = ["install_requires=[", "install_requires = [", "INSTALL_REQUIRES = ["];
    let list = lists.iter().find_map(|key| Some(text.find(key)? + key.len()));
    if let Some(start) = list {
        let end = text[start..].find(']').map_or(text.len(), |end| start + end);
        let mut at = start;
        for part in text[start..end].split_inclusive(['"', '\'']) {
            let inner = part.trim_end_matches(['"', '\'']);
            let span = Span::new(at, at + inner.len());
            manifest.dependencies.extend(dependency(&Text::new(inner, span), false));
            at += part.len();
        }
    }
    Some(manifest)
}

fn pyproject(root: &Node) -> Manifest {
    let project = root.get("project");
    let poetry = root.at("tool.poetry");
    let named = project.text_at("name").or_else(|| poetry.text_at("name"));
    let mut manifest = Manifest {
        language: named.is_some().then_some(Language::Python),
        name: named.map(|name| name.value),
        members: texts(root.at("tool.uv.workspace.members")),
        ..Manifest::default()
    };
    let found = &mut manifest.dependencies;
    found.extend(project.get("dependencies").texts().iter().filter_map(|t| dependency(t, false)));
    for (group, list) in project.get("optional-dependencies").entries() {
        let is_dev = group.text().is_some_and(is_dev_group);
        found.extend(list.texts().iter().filter_map(|text| dependency(text, is_dev)));
    }
    for (_, list) in root.get("dependency-groups").entries() {
        found.extend(list.texts().iter().filter_map(|text| dependency(text, true)));
    }
    let uv_dev = root.at("tool.uv.dev-dependencies").texts();
    found.extend(uv_dev.iter().filter_map(|text| dependency(text, true)));
    table(poetry.get("dependencies"), false, found);
    table(poetry.get("dev-dependencies"), true, found);
    for (group, node) in poetry.get("group").entries() {
        let is_dev = group.text().is_none_or(is_dev_group);
        table(node.get("dependencies"), is_dev, found);
    }
    for scripts in [project.get("scripts"), poetry.get("scripts")] {
        for (name, command) in scripts.pairs() {
            let span = name.span;
            manifest.scripts.push(Script { name: name.value, command: command.value, span });
        }
    }
    let classifiers = project.get("classifiers").texts();
    manifest.is_library =
        classifiers.iter().any(|text| text.contains("Software Development :: Libraries"));
    manifest
}

fn is_dev_group(name: &str) -> bool {
    ["dev", "test", "tests", "lint", "docs", "typing", "doc", "develop", "testing"].contains(&name)
}

fn texts(node: &Node) -> Vec<String> {
    node.texts().into_iter().map(|text| text.value).collect()
}

/// Poetry's and Pipenv's tables: name → version, or a table with `version` and `extras`.
fn table(node: &Node, is_dev: bool, found: &mut Vec<Dependency>) {
    for (key, value) in node.entries() {
        let Some(key) = key.spanned().filter(|key| key.value != "python") else { continue };
        found.push(Dependency {
            name: normal(&key),
            version: value
                .text()
                .map(str::to_owned)
                .or_else(|| value.text_at("version").map(|text| text.value)),
            is_dev,
            features: texts(value.get("extras")),
            span: key.span,
        });
    }
}

/// `name[extra]>=1,<2; marker`.
fn dependency(text: &Text, is_dev: bool) -> Option<Dependency> {
    let requirement = text.split(';').next().unwrap_or_default().trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = requirement.find(|c| !is_name(c)).unwrap_or(requirement.len());
    let name = &requirement[..length];
    if name.is_empty() {
        return None;
    }
    let rest = requirement[length..].trim_start();
    let (extras, version) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((extras, version)) => (extras, version),
        None => ("", rest),
    };
    let extras = extras.split(',').map(str::trim).filter(|extra| !extra.is_empty());
    let version = version.trim();
    Some(Dependency {
        name: normal(name),
        version: (!version.is_empty()).then(|| version.to_owned()),
        is_dev,
        features: extras.map(str::to_owned).collect(),
        span: text.span,
    })
}

/// Names as PEP 503 compares them.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

fn requirements(path: &str, text: &str, problems: &mut Vec<Problem>) -> Manifest {
    let lower = name(path).to_lowercase();
    let is_dev = ["dev", "test", "lint", "doc", "ci"].iter().any(|word| lower.contains(word));
    let mut manifest = Manifest { language: Some(Language::Python), ..Manifest::default() };
    for (at, line) in lines(text).take(20_000) {
        let requirement = line.split(" #").next().unwrap_or_default().trim().trim_end_matches('\\');
        if requirement.is_empty() || requirement.starts_with(['#', '-']) {
            continue;
        }
        let start = at + line.len() - line.trim_start().len();
        let span = Span::new(start, start + requirement.len());
        // `name @ https://…` and bare addresses: the egg's name is all that is said.
        let named = match requirement.split_once("#egg=") {
            Some((_, egg)) => egg,
            None => requirement,
        };
        match dependency(&Text::new(named, span), is_dev) {
            Some(dependency) => manifest.dependencies.push(dependency),
            None if problems.len() < 10 => {
                problems.push(Problem::new(start..start + requirement.len(), "not a requirement"));
            }
            None => {}
        }
    }
    manifest
}

/// Reads any bytes as Python's manifests, for the fuzzer.
pub fn fuzz_audit_python_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for path in ["pyproject.toml", "requirements.txt", "Pipfile"] {
        super::assert_inside(&read(path, &text), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str, text: &str) -> Manifest {
        let read = read(path, text);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let Some((_, Document::Manifest(manifest))) = read.documents.into_iter().next() else {
            panic!("no manifest")
        };
        manifest
    }

    #[test]
    fn pyproject_in_both_styles() {
        let text = "[project]\nname = \"shop\"\ndependencies = [\"FastAPI[standard]>=0.100; python_version > '3'\", \"opentelemetry_sdk\"]\n[dependency-groups]\ndev = [\"structlog\"]\n[project.scripts]\nshop = \"shop.main:run\"\n[tool.uv.workspace]\nmembers = [\"packages/*\"]\n";
        let found = manifest("pyproject.toml", text);
        let fastapi = found.dependency("fastapi").unwrap();
        assert_eq!(
            (fastapi.features.as_slice(), fastapi.version.as_deref()),
            (&["standard".to_owned()][..], Some(">=0.100"))
        );
        assert!(found.dependency("opentelemetry-sdk").is_some());
        assert!(found.dependency("structlog").is_none());
        assert_eq!(found.members, ["packages/*"]);
        let poetry = manifest(
            "pyproject.toml",
            "[tool.poetry]\nname = \"a\"\n[tool.poetry.dependencies]\npython = \"^3.12\"\nflask = { version = \"^3\", extras = [\"async\"] }\n[tool.poetry.group.dev.dependencies]\npytest = \"8\"\n",
        );
        assert_eq!(poetry.dependency("flask").unwrap().version.as_deref(), Some("^3"));
        assert!(poetry.dependency("pytest").is_none() && poetry.dependency("python").is_none());
    }

    #[test]
    fn requirements_lines() {
        let found = manifest(
            "requirements.txt",
            "# c\n-r base.txt\nDjango==5.0 # why\ngit+https://x/y.git#egg=My_Lib\n",
        );
        let names: Vec<&str> = found.dependencies.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["django", "my-lib"]);
        assert!(manifest("requirements-dev.txt", "pytest\n").dependencies[0].is_dev);
    }
}
