//! Compose files: services, what they are built from, what they run and how their health is asked.

use std::collections::BTreeMap;

use super::dockerfile::{Command, Health, words};
use super::node::Node;
use super::text::Text;
use crate::Span;

/// A Compose file.
#[derive(Clone, Debug, Default)]
pub struct Compose {
    /// Its services.
    pub services: Vec<ComposeService>,
    /// Other Compose files that it includes, or that services extend.
    pub includes: Vec<Text>,
}

/// One service.
#[derive(Clone, Debug, Default)]
pub struct ComposeService {
    /// Its name.
    pub name: Text,
    /// `image`.
    pub image: Option<Text>,
    /// The folder it is built from.
    pub build: Option<Text>,
    /// The Dockerfile in that folder.
    pub dockerfile: Option<String>,
    /// The stage that is built.
    pub target: Option<String>,
    /// `command`.
    pub command: Option<(Command, Span)>,
    /// `entrypoint`.
    pub entrypoint: Option<(Command, Span)>,
    /// `environment`.
    pub env: BTreeMap<String, Text>,
    /// `env_file`.
    pub env_files: Vec<Text>,
    /// Ports inside of the container, published or exposed.
    pub ports: Vec<(u16, Span)>,
    /// `healthcheck`.
    pub health: Option<(Health, Span)>,
    /// Services it depends on, and whether it waits for their health.
    pub depends_on: Vec<(String, bool)>,
    /// `init: true`: a small process 1 hands signals on.
    pub init: bool,
    /// `profiles`.
    pub profiles: Vec<String>,
    /// Files and folders of the repository that are mounted: from, to.
    pub mounts: Vec<(String, String)>,
    /// Labels.
    pub labels: Vec<(Text, Text)>,
    /// All of it.
    pub span: Span,
}

/// Whether a document is a Compose file: it has services that are mappings with an image or a build.
pub fn is_compose(root: &Node) -> bool {
    let is_service = |node: &Node| {
        ["image", "build", "extends", "command", "environment", "healthcheck"]
            .iter()
            .any(|k| node.has(k))
    };
    root.get("services").entries().iter().any(|(_, node)| is_service(node))
}

/// Reads a Compose file.
pub fn read(root: &Node) -> Compose {
    let services = root.get("services").entries().iter();
    let services = services.filter_map(|(name, node)| Some(service(name.spanned()?, node)));
    let mut file = Compose { services: services.collect(), includes: Vec::new() };
    for item in root.get("include").items() {
        file.includes.extend(item.spanned().or_else(|| item.text_at("path")));
    }
    for (_, node) in root.get("services").entries() {
        file.includes.extend(node.text_at("extends.file"));
    }
    file
}

fn service(name: Text, node: &Node) -> ComposeService {
    let build = node.get("build");
    let mut service = ComposeService {
        span: Span { start: name.span.start, end: node.last_byte().max(name.span.end) },
        name,
        image: node.text_at("image"),
        build: build.spanned().or_else(|| build.text_at("context")),
        dockerfile: build.text_at("dockerfile").map(|text| text.value),
        target: build.text_at("target").map(|text| text.value),
        command: command(node.get("command")),
        entrypoint: command(node.get("entrypoint")),
        env: environment(node.get("environment")),
        init: node.get("init").boolean() == Some(true),
        labels: node.get("labels").pairs(),
        ..ComposeService::default()
    };
    if service.build.is_none() && node.has("build") {
        service.build = Some(Text::new(".", build.span));
    }
    for item in node.get("env_file").items() {
        service.env_files.extend(item.spanned().or_else(|| item.text_at("path")));
    }
    service.env_files.extend(node.get("env_file").spanned());
    for item in node.get("ports").items().iter().chain(node.get("expose").items()) {
        let port = match item.text() {
            Some(text) => container_port(text),
            None => item.get("target").integer().and_then(|port| u16::try_from(port).ok()),
        };
        service.ports.extend(port.map(|port| (port, item.span)));
    }
    service.health = node.find("healthcheck").and_then(|check| {
        let span = node.key("healthcheck").map_or(check.span, |key| key.span);
        if check.get("disable").boolean() == Some(true) {
            return Some((Health::Disabled, span));
        }
        let test = check.get("test");
        if let Some(line) = test.text() {
            return Some((Health::Command(Command::Shell(line.to_owned())), span));
        }
        let words: Vec<String> =
            test.items().iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        let health = match words.split_first()? {
            (first, _) if first == "NONE" => Health::Disabled,
            (first, rest) if first == "CMD-SHELL" => {
                Health::Command(Command::Shell(rest.join(" ")))
            }
            (first, rest) if first == "CMD" => Health::Command(Command::Exec(rest.to_vec())),
            _ => Health::Command(Command::Exec(words)),
        };
        Some((health, span))
    });
    let depends = node.get("depends_on");
    service.depends_on =
        depends.items().iter().filter_map(|n| Some((n.text()?.into(), false))).collect();
    service.depends_on.extend(depends.entries().iter().filter_map(|(key, value)| {
        let waits = value.get("condition").text() == Some("service_healthy");
        Some((key.text()?.to_owned(), waits))
    }));
    service.profiles = node.get("profiles").texts().into_iter().map(|text| text.value).collect();
    for item in node.get("volumes").items() {
        let mount = match item.text() {
            Some(text) => {
                let mut parts = text.split(':');
                parts.next().zip(parts.next()).map(|(from, to)| (from.to_owned(), to.to_owned()))
            }
            None => {
                item.text_at("source").zip(item.text_at("target")).map(|(a, b)| (a.value, b.value))
            }
        };
        service.mounts.extend(mount.filter(|(from, _)| from.contains('/') || from.contains('.')));
    }
    service
}

fn command(node: &Node) -> Option<(Command, Span)> {
    if let Some(line) = node.text() {
        // Compose splits a line itself: no shell stands between.
        return Some((Command::Exec(words(line)), node.span));
    }
    let words: Vec<String> =
        node.items().iter().filter_map(|item| item.text().map(str::to_owned)).collect();
    (!words.is_empty()).then_some((Command::Exec(words), node.span))
}

/// `environment` as a mapping or as a list of `KEY=value`.
pub(super) fn environment(node: &Node) -> BTreeMap<String, Text> {
    let mut env: BTreeMap<String, Text> =
        node.pairs().into_iter().map(|(key, value)| (key.value, value)).collect();
    for item in node.items() {
        let Some(text) = item.text() else { continue };
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        env.insert(key.trim().to_owned(), Text::new(value, item.span));
    }
    env
}

/// The port inside of the container: `8080`, `80:8080`, `127.0.0.1:80:8080/tcp`, `9000-9001`.
fn container_port(text: &str) -> Option<u16> {
    let inner = text.rsplit(':').next()?;
    let inner = inner.split(['/', '-']).next()?;
    inner.trim_end_matches('}').trim().parse().ok()
}

/// Reads any bytes as a Compose file, for the fuzzer.
pub fn fuzz_audit_compose(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        let _ = is_compose(&document);
        let _ = read(&document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_with_their_health_and_ports() {
        let text = r#"
x-base: &base
  environment: [LOG_LEVEL=debug, OTEL_SERVICE_NAME=api]
services:
  api:
    <<: *base
    build: {context: ./api, dockerfile: Dockerfile.prod, target: run}
    command: gunicorn -w 4 app:app
    ports: ["127.0.0.1:80:8080/tcp", {target: 9090}]
    healthcheck:
      test: ["CMD-SHELL", "curl -f http://localhost:8080/health"]
    depends_on:
      db: {condition: service_healthy}
    volumes: [./otel.yaml:/etc/otel.yaml:ro, data:/data]
  db:
    image: postgres:16
    healthcheck: {disable: true}
"#;
        let found = crate::files::yaml::read(text);
        assert!(is_compose(&found.documents[0]));
        let file = read(&found.documents[0]);
        let api = &file.services[0];
        assert_eq!(api.env["LOG_LEVEL"].value, "debug");
        assert_eq!(api.build.as_ref().unwrap().value, "./api");
        assert_eq!(api.ports.iter().map(|(p, _)| *p).collect::<Vec<_>>(), [8080, 9090]);
        assert!(
            matches!(&api.health, Some((Health::Command(Command::Shell(l)), _)) if l.contains("8080"))
        );
        assert_eq!(api.depends_on, [("db".to_owned(), true)]);
        assert_eq!(api.mounts, [("./otel.yaml".to_owned(), "/etc/otel.yaml".to_owned())]);
        assert!(matches!(file.services[1].health, Some((Health::Disabled, _))));
    }
}
