//! Which reader reads what: files that are told by their names, and YAML or JSON told by its shape.
//!
//! A YAML file is parsed once, and every document in it is asked what it is; one may be several
//! things (a ConfigMap holds a Collector's configuration), and one that is nothing known is no
//! problem. Text inside of a ConfigMap is read like a file, with places that lead back to the
//! lines of the file around it.

use std::sync::Arc;

use super::node::{Node, NodeKind, Style};
use super::{
    Document, Problem, Read, alerting, alertmanager, collector, compose, dockerfile, helm, json,
    kubernetes, kustomize, log_conf, log_xml, name, objective, platform, process, prometheus,
    settings, toml, yaml,
};
use crate::Span;

/// JSON files that are data of somebody else, or too common to be looked into.
const NOT_JSON: [&str; 8] = [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "composer.json",
    "manifest.json",
    "renovate.json",
    "angular.json",
    "openapi.json",
];

pub(super) fn wants(path: &str) -> bool {
    let name = name(path);
    is_yaml(path)
        || is_dockerfile(path)
        || process::is_procfile(path)
        || process::is_unit(path)
        || settings::is_env(path)
        || log_xml::is_log_xml(path)
        || alerting::wants(path)
        || platform::is_named(path)
        || name == "Kustomization"
        || name.ends_with(".properties")
        || log_conf::is_log_conf(path)
        || (name.ends_with(".json") && may_be_config(path) && !NOT_JSON.contains(&name))
}

fn is_yaml(path: &str) -> bool {
    [".yml", ".yaml", ".tpl"].iter().any(|ending| path.ends_with(ending))
        && !matches!(name(path), "pnpm-lock.yaml" | "mkdocs.yml" | "openapi.yaml" | "openapi.yml")
        || path.ends_with(".rules")
}

fn may_be_config(path: &str) -> bool {
    let path = path.to_lowercase();
    [
        "k8s",
        "kube",
        "deploy",
        "monitor",
        "alert",
        "compose",
        "manifests",
        "otel",
        "collector",
        "slo",
    ]
    .iter()
    .any(|word| path.contains(word))
}

fn is_dockerfile(path: &str) -> bool {
    let name = name(path);
    let lower = name.to_lowercase();
    lower == "dockerfile"
        || lower == "containerfile"
        || (lower.starts_with("dockerfile.") && crate::Language::of_path(path).is_none())
        || ((lower.starts_with("dockerfile-") || lower.starts_with("dockerfile_"))
            && !lower.contains('.'))
        || lower.ends_with(".dockerfile")
        || lower.ends_with(".containerfile")
}

pub(super) fn read(path: &str, text: &str) -> Read {
    let whole = Span::new(0, text.len());
    let mut read = Read::default();
    let name = name(path);
    if is_dockerfile(path) {
        let file = dockerfile::read(text);
        read.problems.extend(file.problems.iter().cloned());
        if !file.stages.is_empty() {
            read.documents.push((whole, Document::Dockerfile(file)));
        }
    } else if process::is_procfile(path) {
        push_processes(process::read_procfile(text), &mut read);
    } else if process::is_unit(path) {
        push_processes(process::read_unit(text), &mut read);
    } else if settings::is_env(path) {
        let (settings, problems) = settings::read_env(path, text);
        read.problems.extend(problems);
        read.documents.push((whole, Document::Settings(settings)));
    } else if log_xml::is_log_xml(path) {
        match log_xml::read(text) {
            Ok(found) => read.documents.push((whole, Document::LogXml(found))),
            Err(problem) => read.problems.push(problem),
        }
    } else if log_conf::is_log_conf(path) {
        read.documents.extend(log_conf::read(text).map(|found| (whole, Document::LogXml(found))));
    } else if name.ends_with(".properties") {
        for settings in settings::read_properties(path, text) {
            read.documents.push((settings.span, Document::Settings(settings)));
        }
    } else if name.ends_with(".toml") {
        // Only a platform's: manifests have readers of their own.
        let (root, _) = toml::read(text);
        read.documents
            .extend(platform::read(path, &root).map(|p| (p.span, Document::Processes(p))));
    } else if alerting::wants(path) {
        for found in alerting::read_text(path, text) {
            read.documents.push((found.what.span, Document::AlertingElsewhere(found)));
        }
    } else if name.ends_with(".json") {
        match json::read(text) {
            Ok(Some(root)) => documents(path, text, &root, false, &mut read),
            Ok(None) => {}
            // JSON of other tools has dialects of its own: what is not ours is no problem.
            Err(_) => {}
        }
    } else {
        read_yaml(path, text, &mut read);
    }
    read
}

fn push_processes(found: process::Processes, read: &mut Read) {
    if !found.commands.is_empty() {
        read.documents.push((found.span, Document::Processes(found)));
    }
}

fn read_yaml(path: &str, text: &str, read: &mut Read) {
    let is_chart_template = helm::is_template(path) && text.contains("{{");
    let mut found = match is_chart_template {
        true => yaml::Documents::default(),
        false => yaml::read(text),
    };
    // Other tools put templates into YAML too; what is no YAML as it stands may be some without them.
    let is_template = is_chart_template
        || (!found.problems.is_empty() && (text.contains("{{") || text.contains("{%")));
    if is_template {
        let masked = helm::mask(text);
        found = yaml::read(&masked.text);
        found.documents =
            found.documents.iter().map(|root| helm::unmask(root, text, &masked)).collect();
        if let Some(first) = found.problems.first_mut() {
            first.message = format!(
                "not all of this template could be read without rendering it: {}",
                first.message
            );
            found.problems.truncate(1);
        }
    }
    read.problems.extend(found.problems);
    for root in &found.documents {
        documents(path, text, root, is_template, read);
    }
}

/// Asks a document what it is.
fn documents(path: &str, text: &str, root: &Arc<Node>, is_template: bool, read: &mut Read) {
    let span = Span { start: root.span.start, end: root.last_byte() };
    let name = name(path);
    if kustomize::is_kustomization(path) {
        let found = kustomize::read(root);
        read.documents.push((span, Document::Kustomization(found)));
        return;
    }
    if process::is_workflow(path) {
        read.documents.push((span, Document::Workflow(process::read_workflow(root))));
        return;
    }
    if matches!(name, "Chart.yaml" | "Chart.yml") {
        read.documents.extend(helm::read_chart(root).map(|chart| (span, Document::Chart(chart))));
        return;
    }
    if settings::is_application(path) {
        read.documents.push((span, Document::Settings(settings::read_yaml(path, root))));
        return;
    }
    if is_values(path) {
        read.documents.push((span, Document::Values(root.clone())));
    }
    for objective in objective::read(root) {
        read.documents.push((objective.span, Document::Objective(objective)));
    }
    for found in alerting::read(root) {
        read.documents.push((found.what.span, Document::AlertingElsewhere(found)));
    }
    let resources = kubernetes::read(root);
    if !resources.is_empty() {
        for resource in resources {
            inside(path, text, &resource, is_template, read);
            let span = resource.span;
            read.documents.push((span, Document::Kubernetes(Box::new(resource))));
        }
        return;
    }
    if let Some(found) = log_conf::read_mapping(root) {
        read.documents.push((span, Document::LogXml(found)));
        return;
    }
    if let Some(found) = platform::read(path, root) {
        read.documents.push((span, Document::Processes(found)));
    }
    if compose::is_compose(root) {
        read.documents.push((span, Document::Compose(compose::read(root))));
    }
    observability(path, text, root, is_template, read);
}

/// Values of a chart: `values.yaml` and its variants per environment.
fn is_values(path: &str) -> bool {
    let name = name(path);
    name.starts_with("values") || name.ends_with("values.yaml") || name.ends_with("values.yml")
}

fn is_observability(root: &Node) -> bool {
    prometheus::is_prometheus(root)
        || prometheus::is_rules(root)
        || alertmanager::is_alertmanager(root)
        || collector::is_collector(root)
}

/// What may stand in a file of its own or inside of a ConfigMap.
fn observability(path: &str, text: &str, root: &Arc<Node>, is_template: bool, read: &mut Read) {
    let span = Span { start: root.span.start, end: root.last_byte() };
    if prometheus::is_prometheus(root) {
        read.documents.push((span, Document::Prometheus(prometheus::read(root))));
    }
    if prometheus::is_rules(root) || prometheus::is_meant_as_rules(path, root) {
        let mut rules = prometheus::read_rules(root);
        rules.is_template = is_template;
        if !is_template {
            rules.lint = lint(path, text, span);
        }
        read.documents.push((span, Document::Rules(rules)));
    }
    if alertmanager::is_alertmanager(root) {
        read.documents.push((span, Document::Alertmanager(alertmanager::read(root))));
    }
    if collector::is_collector(root) {
        read.documents.push((span, Document::Collector(collector::read(root))));
    }
}

/// What `skopos-lint` says of one document, from its first line to the next document.
fn lint(path: &str, text: &str, span: Span) -> Vec<prometheus::LintFinding> {
    let within = |at: u32| (at as usize).min(text.len());
    let (first, last) = (within(span.start), within(span.end));
    let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find("\n---").map_or(text.len(), |at| last + at);
    prometheus::lint(path, &text[start..end], start)
}

/// What resources carry inside of them: rules, Collector configurations, files in ConfigMaps.
fn inside(
    path: &str,
    text: &str,
    resource: &kubernetes::Resource,
    is_template: bool,
    read: &mut Read,
) {
    use kubernetes::Body;
    match &resource.body {
        Body::PrometheusRule(spec) => {
            let mut rules = prometheus::read_rules(spec);
            rules.is_template = is_template;
            if !is_template {
                rules.lint = lint(path, text, resource.span);
            }
            read.documents.push((resource.span, Document::Rules(rules)));
        }
        Body::Collector(config) => match config.text() {
            Some(inner) => embedded(path, text, config, inner, is_template, read),
            None => observability(path, text, config, is_template, read),
        },
        Body::AlertmanagerConfig(spec) => {
            let found = alertmanager::read(spec);
            read.documents.push((resource.span, Document::Alertmanager(found)));
        }
        Body::ConfigMap(data) => {
            for (key, node) in data {
                let Some(inner) = node.text() else { continue };
                let is_file = [".yml", ".yaml", ".rules", ".json", ".conf"]
                    .iter()
                    .any(|ending| key.ends_with(ending));
                if (is_file || inner.contains('\n')) && inner.contains(':') {
                    embedded(path, text, node, inner, is_template, read);
                }
            }
        }
        _ => {}
    }
}

/// Reads the text of a scalar as a file of its own, with the places of the lines around it.
fn embedded(path: &str, text: &str, node: &Node, inner: &str, is_template: bool, read: &mut Read) {
    let NodeKind::Scalar { style, .. } = &node.kind else { return };
    let found = yaml::read(inner);
    let inside = yaml::Inside::of(text, node);
    // Most texts in ConfigMaps are dashboards and settings: only what is read needs places.
    for root in found.documents.iter().filter(|root| is_observability(root)) {
        let moved = moved(root, &|span: Span| inside.place(span.start));
        // Rules inside of a ConfigMap keep their structure; lint wants a file of its own.
        observability(path, text, &moved, true, read);
    }
    if !is_template && *style == Style::Block {
        for problem in found.problems.into_iter().take(1) {
            let span = inside.place(problem.span.start);
            let message = format!("in a text of this resource: {}", problem.message);
            if node_says_yaml(inner) {
                read.problems.push(Problem { span, message });
            }
        }
    }
}

/// Whether a text means to be YAML that the audit reads: it names what such files begin with.
fn node_says_yaml(text: &str) -> bool {
    ["receivers:", "scrape_configs:", "groups:", "rule_files:"]
        .iter()
        .any(|word| text.lines().any(|line| line.starts_with(word)))
}

/// The same tree with other places.
fn moved(node: &Arc<Node>, place: &dyn Fn(Span) -> Span) -> Arc<Node> {
    let kind = match &node.kind {
        NodeKind::Null => NodeKind::Null,
        NodeKind::Scalar { text, style } => NodeKind::Scalar { text: text.clone(), style: *style },
        NodeKind::Sequence(items) => {
            NodeKind::Sequence(items.iter().map(|item| moved(item, place)).collect())
        }
        NodeKind::Mapping(entries) => NodeKind::Mapping(
            entries.iter().map(|(k, v)| (moved(k, place), moved(v, place))).collect(),
        ),
    };
    Arc::new(Node { kind, span: place(node.span) })
}

/// Reads any bytes as every file there is, for the fuzzer: no problem lies outside of the text.
pub fn fuzz_audit_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for path in
        ["a.yaml", "templates/a.yaml", "a/monitoring.json", "kustomization.yaml", "application.yml"]
    {
        let read = super::read(path, &text);
        for problem in &read.problems {
            assert!(problem.span.end as usize <= text.len(), "{path}: {problem:?}");
        }
        for (span, document) in &read.documents {
            assert!(span.end as usize <= text.len(), "{path}: {span:?} {document:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &str, text: &str) -> Vec<String> {
        let read = super::super::read(path, text);
        assert!(read.problems.is_empty(), "{path}: {:?}", read.problems);
        let name = |(_, document): &(Span, Document)| {
            format!("{document:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
        };
        read.documents.iter().map(name).collect()
    }

    #[test]
    fn documents_are_told_by_their_shape() {
        let cases = [
            ("a.yml", "services: {a: {image: b}}\n", "Compose"),
            ("p/prometheus.yml", "scrape_configs: [{job_name: a}]\n", "Prometheus"),
            (
                "r.yml",
                "groups: [{name: g, rules: [{alert: A, expr: up == 0, for: 5m}]}]\n",
                "Rules",
            ),
            ("am.yml", "route: {receiver: a}\nreceivers: [{name: a}]\n", "Alertmanager"),
            ("c.yaml", "receivers: {otlp: {}}\nexporters: {otlp: {}}\n", "Collector"),
            ("Dockerfile", "FROM a\n", "Dockerfile"),
            ("deploy/.env.prod", "A=b\n", "Settings"),
            ("Procfile", "web: a\n", "Processes"),
            ("x.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "Kubernetes"),
            ("x.yaml", "nothing: known\n", ""),
            (".github/workflows/a.yml", "on: push\njobs: {a: {steps: [{run: x}]}}\n", "Workflow"),
        ];
        for (path, text, wanted) in cases {
            assert_eq!(kinds(path, text).join(" "), wanted, "{path}");
        }
    }

    #[test]
    fn a_configmap_holds_files_with_places_of_their_own() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  otel.yaml: |\n    receivers:\n      otlp: {}\n    exporters:\n      debug: {}\n    service:\n      pipelines:\n        traces: {receivers: [otlp], exporters: [debug]}\n";
        let read = super::super::read("c.yaml", text);
        let collector = read.documents.iter().find_map(|(_, d)| match d {
            Document::Collector(collector) => Some(collector),
            _ => None,
        });
        let span = collector.unwrap().exporters[0].id.span;
        assert!(text[span.start as usize..].starts_with("debug: {}"));
    }

    #[test]
    fn comments_that_speak_to_us_are_kept() {
        let read = super::super::read(
            "a.yml",
            "services:\n  # skopos-ignore[HLT003]: asked from outside\n  a: {image: b}\n",
        );
        assert_eq!(read.comments.len(), 1);
        assert!(read.comments[0].1.starts_with("# skopos-ignore"));
    }
}
