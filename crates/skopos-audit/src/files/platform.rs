//! Files that tell a platform how to run a service: Fly, Render, Railway, Heroku and Dokku, App Engine, DigitalOcean,
//! Amazon ECS and Copilot. What they say is what a Procfile says, and which path or command they ask for health.

use super::node::Node;
use super::process::{Processes, Source};
use super::text::Text;
use crate::Span;

/// Whether a path is named like a file of a platform.
pub fn is_named(path: &str) -> bool {
    let name = super::name(path);
    matches!(
        name,
        "fly.toml"
            | "railway.toml"
            | "railway.json"
            | "render.yaml"
            | "render.yml"
            | "app.json"
            | "app.yaml"
            | "app.yml"
    ) || name.starts_with("fly.") && name.ends_with(".toml")
        || name.contains("task-definition") && name.ends_with(".json")
        || name.contains("taskdef") && name.ends_with(".json")
}

/// What a document says to a platform; none when it is no such document.
pub fn read(path: &str, root: &Node) -> Option<Processes> {
    let span = Span { start: root.span.start, end: root.last_byte() };
    let mut found = Processes { source: Source::Platform, span, ..Processes::default() };
    let name = super::name(path);
    if name.starts_with("fly") && name.ends_with(".toml") {
        fly(root, &mut found);
    } else if name.starts_with("railway.") {
        let deploy = root.get("deploy");
        found.health.extend(deploy.text_at("healthcheckPath"));
        command(deploy, "startCommand", &mut found);
    } else if name == "app.json" {
        for (_, checks) in root.get("healthchecks").entries() {
            for check in checks.items() {
                found.health.extend(check.text_at("path").or_else(|| check.text_at("command")));
            }
        }
        for (key, value) in root.get("env").entries() {
            let value = value.text_at("value").or_else(|| value.spanned());
            found.env.extend(key.spanned().zip(value));
        }
    } else if root.has("runtime") && (name == "app.yaml" || name == "app.yml") {
        for check in ["liveness_check", "readiness_check", "health_check"] {
            found.health.extend(root.text_at(&format!("{check}.path")));
        }
        command(root, "entrypoint", &mut found);
        found.env.extend(root.get("env_variables").pairs());
    } else if !root.get("containerDefinitions").items().is_empty() {
        for container in root.get("containerDefinitions").items() {
            let check = container.get("healthCheck").get("command");
            found.health.extend(check.items().last().and_then(|word| word.spanned()));
            pairs(container.get("environment"), "name", &mut found);
        }
    } else if !root.get("services").items().is_empty() {
        services(root, &mut found);
    } else if root.text_at("type").is_some_and(|t| t.value.ends_with("Web Service")) {
        let check = root.at("http.healthcheck");
        found.health.extend(check.spanned().or_else(|| check.text_at("path")));
        found.env.extend(root.get("variables").pairs());
    } else {
        return None;
    }
    let says = !found.health.is_empty() || !found.commands.is_empty() || !found.env.is_empty();
    says.then_some(found)
}

/// `fly.toml`: checks stand at the service, at services, or by name at the top.
fn fly(root: &Node, found: &mut Processes) {
    let mut take = |checks: &Node| {
        for check in checks.items() {
            found.health.extend(check.text_at("path"));
        }
    };
    take(root.get("http_service").get("checks"));
    take(root.get("http_service").get("http_checks"));
    for service in root.get("services").items() {
        take(service.get("http_checks"));
        take(service.get("checks"));
    }
    for (name, check) in root.get("checks").entries() {
        found.health.extend(check.text_at("path").or_else(|| name.spanned()));
    }
    for service in root.get("services").items() {
        if let Some(first) = service.get("tcp_checks").items().first() {
            found.health.push(Text::new("tcp", first.span));
        }
    }
    found.commands.extend(root.get("processes").pairs());
    found.env.extend(root.get("env").pairs());
}

/// `render.yaml` and DigitalOcean's specification: a list of services.
fn services(root: &Node, found: &mut Processes) {
    for service in root.get("services").items() {
        found.health.extend(service.text_at("healthCheckPath"));
        found.health.extend(service.text_at("health_check.http_path"));
        for key in ["startCommand", "dockerCommand", "run_command"] {
            command(service, key, found);
        }
        pairs(service.get("envVars"), "key", found);
        pairs(service.get("envs"), "key", found);
    }
}

fn command(node: &Node, key: &str, found: &mut Processes) {
    if let (Some(name), Some(value)) =
        (node.key(key).and_then(Node::spanned), node.get(key).spanned())
    {
        found.commands.push((name, value));
    }
}

/// `- key: LOG_LEVEL` with `value: debug`.
fn pairs(list: &Node, key: &str, found: &mut Processes) {
    for item in list.items() {
        found.env.extend(item.text_at(key).zip(item.text_at("value")));
    }
}

/// Reads any bytes as a file of a platform, for the fuzzer.
pub fn fuzz_audit_platform(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (root, _) = super::toml::read(&text);
    let mut roots = vec![("fly.toml", root)];
    roots.extend(super::yaml::read(&text).documents.into_iter().flat_map(|root| {
        ["render.yaml", "app.yaml", "app.json", "railway.json", "manifest.yml"]
            .map(|name| (name, root.clone()))
    }));
    for (name, root) in roots {
        if let Some(found) = read(name, &root) {
            for text_in in found.health.iter().chain(found.env.iter().map(|(_, value)| value)) {
                assert!(text_in.span.end as usize <= text.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(path: &str, text: &str) -> Option<Processes> {
        read(path, &super::super::yaml::read(text).documents[0])
    }

    fn health(found: Option<Processes>) -> Vec<String> {
        found.into_iter().flat_map(|f| f.health).map(|text| text.value).collect()
    }

    #[test]
    fn platforms_ask_for_health() {
        let fly = "app = \"shop\"\n[env]\nLOG_LEVEL = \"debug\"\n[[http_service.checks]]\npath = \"/health\"\n";
        let found = read("fly.toml", &super::super::toml::read(fly).0).unwrap();
        assert_eq!(found.env[0].1.value, "debug");
        assert_eq!(health(Some(found)), ["/health"]);
        let render = "services:\n- type: web\n  startCommand: node .\n  healthCheckPath: /healthz\n  envVars:\n  - key: A\n    value: b\n";
        let found = yaml("render.yaml", render).unwrap();
        assert_eq!((found.commands.len(), found.env.len()), (1, 1));
        assert_eq!(health(Some(found)), ["/healthz"]);
        let ocean =
            "name: shop\nservices:\n- name: api\n  health_check:\n    http_path: /health_check\n";
        assert_eq!(health(yaml("spec.yaml", ocean)), ["/health_check"]);
        let engine = "runtime: python312\nliveness_check:\n  path: /live\n";
        assert_eq!(health(yaml("app.yaml", engine)), ["/live"]);
        let copilot = "name: api\ntype: Load Balanced Web Service\nhttp:\n  healthcheck: /ok\n";
        assert_eq!(health(yaml("copilot/api/manifest.yml", copilot)), ["/ok"]);
        assert!(yaml("compose.yaml", "services:\n  api:\n    image: x\n").is_none());
    }
}
