//! Kubernetes manifests: workloads with their containers and probes, Services, monitors, ConfigMaps,
//! Ingresses, and the resources of operators that carry telemetry.
//!
//! One document is one resource; a `List` is opened. Kinds that say nothing about observability are
//! kept by name only, so that the report can say what was seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::Node;
use super::text::Text;
use crate::Span;

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `kind`.
    pub kind: String,
    /// `metadata.name`.
    pub name: Text,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, Text>,
    /// What the kind says.
    pub body: Body,
    /// All of it.
    pub span: Span,
}

/// What a kind of resource says.
#[derive(Clone, Debug)]
pub enum Body {
    /// Deployment, StatefulSet, DaemonSet, ReplicaSet, Pod, Rollout, Knative Service.
    Workload(Workload),
    /// Job, CronJob: nobody asks them for their health.
    Job(Workload),
    /// Service.
    Service(ServicePorts),
    /// ServiceMonitor or PodMonitor.
    Monitor(Monitor),
    /// ConfigMap: names and texts of its data, as nodes for places inside of them.
    ConfigMap(Vec<(Text, Arc<Node>)>),
    /// Ingress and what it demands.
    Ingress(Ingress),
    /// PrometheusRule: the node of its `spec`.
    PrometheusRule(Arc<Node>),
    /// OpenTelemetryCollector: the node or text of its `config`.
    Collector(Arc<Node>),
    /// Instrumentation of the OpenTelemetry operator: its exporter's endpoint.
    Instrumentation(Option<Text>),
    /// AlertmanagerConfig: the node of its `spec`.
    AlertmanagerConfig(Arc<Node>),
    /// An objective of a controller (Pyrra, Sloth): the whole document.
    Objective(Arc<Node>),
    /// Anything else.
    Other,
}

/// A workload: pods from a template.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its pods.
    pub annotations: BTreeMap<String, Text>,
    /// Its containers, init containers too.
    pub containers: Vec<Container>,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// How many pods; none when an autoscaler or nobody says it.
    pub replicas: Option<i64>,
}

/// What part a container plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Does the work.
    #[default]
    Main,
    /// Runs and ends before the others.
    Init,
    /// An init container that keeps running beside them.
    Sidecar,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its name.
    pub name: Text,
    /// Its image.
    pub image: Option<Text>,
    /// What part it plays.
    pub role: Role,
    /// `command`.
    pub command: Vec<Text>,
    /// `args`.
    pub args: Vec<Text>,
    /// `env` with literal values; those taken from elsewhere have an empty value.
    pub env: BTreeMap<String, Text>,
    /// ConfigMaps and Secrets that its environment comes from.
    pub env_from: Vec<String>,
    /// Variables taken from ConfigMaps: the variable, the ConfigMap, the key in it.
    pub env_refs: Vec<[String; 3]>,
    /// Ports: name and number.
    pub ports: Vec<(Option<String>, u16, Span)>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// Whether something runs before it is stopped.
    pub has_pre_stop: bool,
    /// All of it.
    pub span: Span,
}

/// A probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// How it asks.
    pub action: ProbeAction,
    /// The value of the chart that it is made of, where a template takes all of it from there.
    pub values: Option<String>,
    /// `periodSeconds`, `timeoutSeconds`, `failureThreshold`, `successThreshold`, `initialDelaySeconds`: those given.
    pub thresholds: BTreeMap<String, String>,
    /// All of it, from its key.
    pub span: Span,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// By HTTP.
    Http {
        /// The path; `/` when not given.
        path: Text,
        /// Number or name of the port.
        port: Option<String>,
    },
    /// By gRPC.
    Grpc {
        /// The port.
        port: Option<String>,
    },
    /// By opening a connection: says only that somebody listens.
    Tcp {
        /// Number or name of the port.
        port: Option<String>,
    },
    /// By a command.
    Exec(Vec<String>),
    /// Not said, or by a template.
    Unknown,
}

/// A Service.
#[derive(Clone, Debug, Default)]
pub struct ServicePorts {
    /// Labels of the pods it takes.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default)]
pub struct ServicePort {
    /// Its name.
    pub name: Option<String>,
    /// The port that clients use.
    pub port: Option<u16>,
    /// Number or name of the container's port.
    pub target: Option<String>,
    /// All of it.
    pub span: Span,
}

/// A ServiceMonitor or PodMonitor.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    /// Whether it selects pods, not Services.
    pub is_pods: bool,
    /// Labels it selects by.
    pub selector: BTreeMap<String, String>,
    /// Whether it selects by expressions, which are not followed.
    pub has_expressions: bool,
    /// What it scrapes.
    pub endpoints: Vec<Endpoint>,
}

/// What a monitor scrapes.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Name of the port.
    pub port: Option<Text>,
    /// Number or name of the target port.
    pub target_port: Option<String>,
    /// The path; `/metrics` when not given.
    pub path: Option<Text>,
    /// How often.
    pub interval: Option<String>,
    /// Whether it authenticates.
    pub has_auth: bool,
}

/// An Ingress.
#[derive(Clone, Debug, Default)]
pub struct Ingress {
    /// Paths and the Service behind each.
    pub paths: Vec<(Text, Option<String>)>,
    /// The annotation that demands authentication.
    pub auth: Option<Text>,
}

/// Whether a document is a Kubernetes resource.
pub fn is_resource(root: &Node) -> bool {
    root.get("kind").text().is_some() && root.get("apiVersion").text().is_some()
}

/// Reads a document; a `List` gives several.
pub fn read(root: &Arc<Node>) -> Vec<Resource> {
    if root.get("kind").text().is_some_and(|kind| kind.ends_with("List")) && root.has("items") {
        let items = root.get("items").items().iter().filter(|item| is_resource(item));
        return items.filter_map(resource).collect();
    }
    match is_resource(root) {
        true => resource(root).into_iter().collect(),
        false => Vec::new(),
    }
}

fn resource(root: &Arc<Node>) -> Option<Resource> {
    let kind = root.get("kind").text()?.to_owned();
    let metadata = root.get("metadata");
    let name = metadata.text_at("name").or_else(|| metadata.text_at("generateName"));
    let api = root.get("apiVersion").text().unwrap_or_default();
    let spec =
        || root.entries().iter().find(|(k, _)| k.text() == Some("spec")).map(|(_, v)| v.clone());
    let body = match kind.as_str() {
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "Rollout"
        | "ReplicationController"
        | "DeploymentConfig" => {
            let mut found = workload(root.at("spec.template"));
            found.replicas = root.at("spec.replicas").integer();
            Body::Workload(found)
        }
        "Service" if api.contains("knative") => Body::Workload(workload(root.at("spec.template"))),
        "Pod" => Body::Workload(workload(root)),
        "Job" => Body::Job(workload(root.at("spec.template"))),
        "CronJob" => Body::Job(workload(root.at("spec.jobTemplate.spec.template"))),
        "Service" => Body::Service(service(root.get("spec"))),
        "ServiceMonitor" | "PodMonitor" => {
            Body::Monitor(monitor(root.get("spec"), kind == "PodMonitor"))
        }
        "ConfigMap" => {
            let data = root.get("data").entries().iter();
            Body::ConfigMap(data.filter_map(|(k, v)| Some((k.spanned()?, v.clone()))).collect())
        }
        "Ingress" => Body::Ingress(ingress(root)),
        "PrometheusRule" => Body::PrometheusRule(spec()?),
        "OpenTelemetryCollector" => {
            let spec = spec()?;
            let config = spec.entries().iter().find(|(k, _)| k.text() == Some("config"));
            Body::Collector(config?.1.clone())
        }
        "Instrumentation" => Body::Instrumentation(root.text_at("spec.exporter.endpoint")),
        "AlertmanagerConfig" => Body::AlertmanagerConfig(spec()?),
        "ServiceLevelObjective" | "PrometheusServiceLevel" | "SLO" => Body::Objective(root.clone()),
        _ => Body::Other,
    };
    Some(Resource {
        kind,
        name: name.unwrap_or_default(),
        namespace: metadata.text_at("namespace").map(|text| text.value),
        labels: labels(metadata.get("labels")),
        annotations: texts(metadata.get("annotations")),
        body,
        span: Span { start: root.span.start, end: root.last_byte() },
    })
}

fn labels(node: &Node) -> BTreeMap<String, String> {
    node.pairs().into_iter().map(|(key, value)| (key.value, value.value)).collect()
}

fn texts(node: &Node) -> BTreeMap<String, Text> {
    node.pairs().into_iter().map(|(key, value)| (key.value, value)).collect()
}

fn workload(template: &Node) -> Workload {
    let spec = template.get("spec");
    let containers = spec.get("containers").items().iter().map(|node| container(node, Role::Main));
    let inits = spec.get("initContainers").items().iter().map(|node| {
        let role = match node.get("restartPolicy").text() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        };
        container(node, role)
    });
    Workload {
        labels: labels(template.at("metadata.labels")),
        annotations: texts(template.at("metadata.annotations")),
        containers: containers.chain(inits).collect(),
        grace_seconds: spec.get("terminationGracePeriodSeconds").integer(),
        replicas: None,
    }
}

fn container(node: &Node, role: Role) -> Container {
    let (mut env, mut env_refs) = (BTreeMap::new(), Vec::new());
    for item in node.get("env").items() {
        let Some(name) = item.get("name").text() else { continue };
        let map = item.at("valueFrom.configMapKeyRef");
        if let (Some(from), Some(key)) = (map.get("name").text(), map.get("key").text()) {
            env_refs.push([name, from, key].map(str::to_owned));
        }
        let value = item.text_at("value").unwrap_or_else(|| Text::new("", item.span));
        env.insert(name.to_owned(), value);
    }
    let env_from = node.get("envFrom").items().iter().filter_map(|item| {
        let name = item.text_at("configMapRef.name").or_else(|| item.text_at("secretRef.name"));
        Some(name?.value)
    });
    let ports = node.get("ports").items().iter().filter_map(|item| {
        let number = u16::try_from(item.get("containerPort").integer()?).ok()?;
        Some((item.text_at("name").map(|text| text.value), number, item.span))
    });
    let probe = |key: &str| node.find(key).map(|found| probe(found, node.key(key)));
    Container {
        name: node.text_at("name").unwrap_or_else(|| Text::new("", node.span)),
        image: node.text_at("image"),
        role,
        command: node.get("command").texts(),
        args: node.get("args").texts(),
        env,
        env_from: env_from.collect(),
        env_refs,
        ports: ports.collect(),
        liveness: probe("livenessProbe"),
        readiness: probe("readinessProbe"),
        startup: probe("startupProbe"),
        has_pre_stop: node.at("lifecycle.preStop").entries().iter().next().is_some(),
        span: Span { start: node.span.start, end: node.last_byte() },
    }
}

/// Reads a probe; the key before it says where it begins.
pub fn probe(node: &Node, key: Option<&Node>) -> Probe {
    let port = |at: &str| node.text_at(at).map(|text| text.value);
    let action = if let Some(http) = node.find("httpGet") {
        let path = http.text_at("path").unwrap_or_else(|| Text::new("/", http.span));
        ProbeAction::Http { path, port: port("httpGet.port") }
    } else if node.has("grpc") {
        ProbeAction::Grpc { port: port("grpc.port") }
    } else if node.has("tcpSocket") {
        ProbeAction::Tcp { port: port("tcpSocket.port") }
    } else if let Some(exec) = node.find("exec") {
        ProbeAction::Exec(exec.get("command").texts().into_iter().map(|t| t.value).collect())
    } else {
        ProbeAction::Unknown
    };
    let numbers = node
        .entries()
        .iter()
        .filter_map(|(key, value)| Some((key.text()?.to_owned(), value.text()?.to_owned())));
    Probe {
        action,
        values: node.text().and_then(super::helm::value_path).map(str::to_owned),
        thresholds: numbers.collect(),
        span: Span {
            start: key.map_or(node.span.start, |key| key.span.start),
            end: node.last_byte(),
        },
    }
}

fn service(spec: &Node) -> ServicePorts {
    let ports = spec.get("ports").items().iter().map(|item| {
        let number = item.get("port").integer().and_then(|port| u16::try_from(port).ok());
        let text = |key: &str| item.text_at(key).map(|text| text.value);
        ServicePort {
            name: text("name"),
            port: number,
            target: text("targetPort"),
            span: item.span,
        }
    });
    ServicePorts { selector: labels(spec.get("selector")), ports: ports.collect() }
}

fn monitor(spec: &Node, is_pods: bool) -> Monitor {
    let key = if is_pods { "podMetricsEndpoints" } else { "endpoints" };
    let endpoints = spec.get(key).items().iter().map(|item| Endpoint {
        port: item.text_at("port"),
        target_port: item.text_at("targetPort").map(|text| text.value),
        path: item.text_at("path"),
        interval: item.text_at("interval").map(|text| text.value),
        has_auth: ["basicAuth", "authorization", "bearerTokenSecret", "bearerTokenFile", "oauth2"]
            .iter()
            .any(|key| item.has(key)),
    });
    Monitor {
        is_pods,
        selector: labels(spec.at("selector.matchLabels")),
        has_expressions: spec.at("selector").has("matchExpressions"),
        endpoints: endpoints.collect(),
    }
}

fn ingress(root: &Node) -> Ingress {
    let mut found = Ingress::default();
    for rule in root.at("spec.rules").items() {
        for path in rule.at("http.paths").items() {
            let backend = path
                .text_at("backend.service.name")
                .or_else(|| path.text_at("backend.serviceName"))
                .map(|text| text.value);
            found.paths.extend(path.text_at("path").map(|text| (text, backend)));
        }
    }
    let is_auth = |key: &str| {
        ["auth-url", "auth-type", "auth-signin", "authentication"].iter().any(|w| key.ends_with(w))
    };
    let annotations = root.at("metadata.annotations").pairs();
    found.auth = annotations.into_iter().find(|(key, _)| is_auth(key)).map(|(key, _)| key);
    found
}

impl Resource {
    /// The workload, for the kinds that have one, jobs included.
    pub fn workload(&self) -> Option<&Workload> {
        match &self.body {
            Body::Workload(workload) | Body::Job(workload) => Some(workload),
            _ => None,
        }
    }
}

impl Container {
    /// The number of a port given by number or name.
    pub fn port_number(&self, port: &str) -> Option<u16> {
        let by_name = || {
            self.ports.iter().find(|(name, ..)| name.as_deref() == Some(port)).map(|(_, n, _)| *n)
        };
        port.parse().ok().or_else(by_name)
    }

    /// The name of the image without registry, tag and digest: `ghcr.io/x/api:1@sha…` → `api`.
    pub fn image_name(&self) -> Option<&str> {
        image_name(self.image.as_ref()?)
    }
}

/// The name of an image without registry, tag and digest.
pub fn image_name(image: &str) -> Option<&str> {
    let image = image.split('@').next()?;
    let last = image.rsplit('/').next()?;
    let name = last.split(':').next()?.trim();
    (!name.is_empty()).then_some(name)
}

/// Reads any bytes as Kubernetes manifests, for the fuzzer.
pub fn fuzz_audit_kubernetes(data: &[u8]) {
    for document in super::yaml::read(&String::from_utf8_lossy(data)).documents {
        for resource in read(&document) {
            assert!(resource.span.start <= resource.span.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_its_service_and_its_monitor() {
        let text = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {app: api}}
spec:
  template:
    metadata:
      labels: {app: api}
      annotations: {prometheus.io/scrape: "true"}
    spec:
      initContainers: [{name: migrate, image: "x/migrate:1"}]
      containers:
        - name: api
          image: registry:5000/shop/api:1.2@sha256:abc
          env: [{name: LOG_LEVEL, value: debug}, {name: DB, valueFrom: {}}]
          ports: [{name: http, containerPort: 8080}]
          livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 5}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  endpoints: [{port: metrics, path: /m, basicAuth: {}}]
"#;
        let found = crate::files::yaml::read(text);
        let all: Vec<Resource> = found.documents.iter().flat_map(read).collect();
        let workload = all[0].workload().unwrap();
        let main = &workload.containers[0];
        assert_eq!(main.image_name(), Some("api"));
        assert_eq!(main.port_number("http"), Some(8080));
        assert_eq!(main.env["LOG_LEVEL"].value, "debug");
        assert!(matches!(&main.liveness.as_ref().unwrap().action,
            ProbeAction::Http { path, .. } if path.value == "/healthz"));
        assert_eq!(workload.containers[1].role, Role::Init);
        let Body::Monitor(monitor) = &all[1].body else { panic!() };
        assert!(monitor.endpoints[0].has_auth);
    }
}
