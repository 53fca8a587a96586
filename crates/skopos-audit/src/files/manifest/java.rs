//! Java: `pom.xml`, and `build.gradle` as far as its lines say it.
//!
//! A Gradle build is a program; what is read are the lines of its `dependencies` and `plugins` that
//! name something literally. Dependencies are `group:artifact`; those from a version catalogue keep
//! the catalogue's name, `libs:micrometer-prometheus`. Plugins are dependencies named by their id.

use super::super::text::lines;
use super::super::{Document, Problem, Read, name};
use super::{Dependency, Manifest, Script};
use crate::{Language, Span};

pub(crate) fn wants(path: &str) -> bool {
    matches!(
        name(path),
        "pom.xml" | "build.gradle" | "build.gradle.kts" | "settings.gradle" | "settings.gradle.kts"
    )
}

pub(crate) fn read(path: &str, text: &str) -> Read {
    let mut read = Read::default();
    let manifest = match name(path) {
        "pom.xml" => match pom(text) {
            Ok(manifest) => manifest,
            Err(problem) => {
                read.problems.push(problem);
                return read;
            }
        },
        _ => gradle(path, text),
    };
    read.documents.push((Span::new(0, text.len()), Document::Manifest(manifest)));
    read
}

type Element<'a, 'i> = roxmltree::Node<'a, 'i>;

fn child<'a, 'i>(node: Element<'a, 'i>, name: &str) -> Option<Element<'a, 'i>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text_of<'a>(node: Element<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

fn pom(text: &str) -> Result<Manifest, Problem> {
    let options = roxmltree::ParsingOptions { nodes_limit: 200_000, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|error| {
        let row = usize::try_from(error.pos().row).unwrap_or(1).saturating_sub(1);
        let at = lines(text).nth(row).map_or(text.len(), |(at, _)| at);
        Problem::new(at..at, format!("pom.xml is not XML: {error}"))
    })?;
    let root = document.root_element();
    let modules = child(root, "modules");
    let modules = modules.into_iter().flat_map(|m| m.children()).filter_map(|m| m.text());
    let members: Vec<String> =
        modules.map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect();
    let mut manifest = Manifest {
        language: members.is_empty().then_some(Language::Java),
        name: text_of(root, "artifactId").map(str::to_owned),
        members,
        ..Manifest::default()
    };
    // `dependencyManagement` only says versions.
    let dependencies = child(root, "dependencies");
    for node in dependencies.into_iter().flat_map(|d| d.children()).filter(Element::is_element) {
        let (Some(group), Some(artifact)) = (text_of(node, "groupId"), text_of(node, "artifactId"))
        else {
            continue;
        };
        let scope = text_of(node, "scope").unwrap_or_default();
        manifest.dependencies.push(Dependency {
            name: format!("{group}:{artifact}"),
            version: text_of(node, "version").map(str::to_owned),
            is_dev: matches!(scope, "test" | "provided"),
            features: Vec::new(),
            span: node.range().into(),
        });
    }
    let plugins = child(root, "build").and_then(|build| child(build, "plugins"));
    for node in plugins.into_iter().flat_map(|p| p.children()).filter(Element::is_element) {
        let Some(artifact) = text_of(node, "artifactId") else { continue };
        manifest.scripts.push(Script {
            name: artifact.to_owned(),
            command: "plugin".to_owned(),
            span: node.range().into(),
        });
    }
    Ok(manifest)
}

fn gradle(path: &str, text: &str) -> Manifest {
    let mut manifest = Manifest { language: Some(Language::Java), ..Manifest::default() };
    let is_settings = name(path).starts_with("settings.");
    if is_settings {
        manifest.language = None;
    }
    for (at, line) in lines(text).take(20_000) {
        let code = line.split("//").next().unwrap_or_default().trim();
        let span = || {
            let start = at + line.len() - line.trim_start().len();
            Span::new(start, start + code.len())
        };
        if let Some(rest) = code.strip_prefix("include") {
            let quoted = rest.split(['"', '\'']).skip(1).step_by(2);
            manifest.members.extend(quoted.map(|m| m.trim_start_matches(':').replace(':', "/")));
        }
        if let Some(rest) = code.strip_prefix("rootProject.name") {
            manifest.name = rest.split(['"', '\'']).nth(1).map(str::to_owned);
        }
        let plugin = code.strip_prefix("id(").or_else(|| code.strip_prefix("id "));
        if let Some(id) = plugin.and_then(|rest| rest.split(['"', '\'']).nth(1)) {
            let command = "plugin".to_owned();
            manifest.scripts.push(Script { name: id.to_owned(), command, span: span() });
        }
        let words = ["implementation", "api", "compile", "runtimeOnly", "annotationProcessor"];
        let tests = [
            "testImplementation",
            "testRuntimeOnly",
            "testCompile",
            "developmentOnly",
            "compileOnly",
        ];
        let starts = |word: &str| {
            code.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '(', '"', '\'']))
        };
        let is_dev = tests.iter().any(|word| starts(word));
        if !is_dev && !words.iter().any(|word| starts(word)) {
            continue;
        }
        let quoted = code.split(['"', '\'']).nth(1).unwrap_or_default();
        let mut parts = quoted.split(':');
        let (dependency, version) = match (parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(artifact), version) if !group.is_empty() => {
                (format!("{group}:{artifact}"), version.map(str::to_owned))
            }
            _ => match code.split_once("libs.") {
                Some((_, alias)) => {
                    let is_alias =
                        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                    let end = alias.find(|c| !is_alias(c)).unwrap_or(alias.len());
                    (format!("libs:{}", alias[..end].replace('.', "-")), None)
                }
                None => continue,
            },
        };
        let features = Vec::new();
        manifest.dependencies.push(Dependency {
            name: dependency,
            version,
            is_dev,
            features,
            span: span(),
        });
    }
    manifest
}

/// Reads any bytes as Java's manifests, for the fuzzer.
pub fn fuzz_audit_java_manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for path in ["pom.xml", "build.gradle", "settings.gradle"] {
        super::assert_inside(&read(path, &text), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maven() {
        let text = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><parent><artifactId>p</artifactId></parent><artifactId>api</artifactId><dependencyManagement><dependencies><dependency><groupId>x</groupId><artifactId>y</artifactId></dependency></dependencies></dependencyManagement><dependencies><dependency><groupId>io.micrometer</groupId><artifactId>micrometer-core</artifactId></dependency><dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope></dependency></dependencies></project>";
        let found = pom(text).unwrap();
        assert_eq!(found.name.as_deref(), Some("api"));
        assert!(found.dependency("io.micrometer:micrometer-core").is_some());
        assert_eq!(found.dependencies.len(), 2);
        assert!(pom("<project>").is_err());
    }

    #[test]
    fn gradle_in_both_dialects() {
        let text = "plugins {\n  id(\"org.springframework.boot\") version \"3.4.0\"\n}\ndependencies {\n  implementation(\"io.micrometer:micrometer-registry-prometheus:1.14\")\n  runtimeOnly 'org.postgresql:postgresql'\n  implementation(libs.spring.web)\n  testImplementation(\"a:b:1\")\n}\n";
        let found = gradle("build.gradle.kts", text);
        let names: Vec<&str> = found.dependencies.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "io.micrometer:micrometer-registry-prometheus",
                "org.postgresql:postgresql",
                "libs:spring-web",
                "a:b"
            ]
        );
        assert!(found.dependencies[3].is_dev);
        assert_eq!(
            gradle("settings.gradle", "rootProject.name = 'x'\ninclude(\":a\", \":b:c\")\n")
                .members,
            ["a", "b/c"]
        );
    }
}
