//! Which deployables are a service: pods, Compose services and images, joined by folder and by name.
//!
//! A manifest in the service's own folder is the service's. One elsewhere is when its image, container, resource or label
//! has the service's name. With one service in the repository, all that is nobody else's product is its.

use crate::files::compose::ComposeService;
use crate::files::dockerfile::{Dockerfile, Image};
use crate::files::environment::Environment;
use crate::files::kubernetes::{
    Container, Probe, ProbeAction, Resource, Role as ContainerRole, Workload,
};
use crate::files::{Document, folder, helm, is_below, kubernetes};
use crate::repository::Role;
use crate::service::Kind;
use crate::{Case, File, Place, Repository, Service};

/// A container of a workload that runs the service.
#[derive(Clone, Copy)]
pub(super) struct Pod<'r> {
    pub(super) file: &'r File,
    pub(super) resource: &'r Resource,
    pub(super) workload: &'r Workload,
    pub(super) container: &'r Container,
    pub(super) environment: Environment,
}

/// Images that are products of others: nobody mends them here.
const PRODUCTS: [&str; 62] = [
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "redis",
    "valkey",
    "memcached",
    "mongo",
    "mongodb",
    "cassandra",
    "elasticsearch",
    "opensearch",
    "kibana",
    "logstash",
    "rabbitmq",
    "kafka",
    "cp-kafka",
    "zookeeper",
    "nats",
    "minio",
    "etcd",
    "consul",
    "vault",
    "nginx",
    "envoy",
    "haproxy",
    "traefik",
    "caddy",
    "httpd",
    "busybox",
    "alpine",
    "curl",
    "prometheus",
    "alertmanager",
    "grafana",
    "loki",
    "tempo",
    "promtail",
    "jaeger",
    "all-in-one",
    "zipkin",
    "opentelemetry-collector",
    "opentelemetry-collector-contrib",
    "otel-collector",
    "fluentd",
    "fluent-bit",
    "vector",
    "node-exporter",
    "postgres-exporter",
    "redis-exporter",
    "kube-state-metrics",
    "pushgateway",
    "blackbox-exporter",
    "cadvisor",
    "localstack",
    "mailhog",
    "adminer",
    "pgadmin4",
    "keycloak",
    "clickhouse-server",
    "pgbouncer",
    "flagd",
];

/// Where others keep their products: registries of vendors, and what they are called on Docker's hub.
const VENDORS: [&str; 24] = [
    "docker.elastic.co/",
    "docker.redpanda.com/",
    "docker.io/library/",
    "quay.io/prometheus/",
    "quay.io/keycloak/",
    "quay.io/minio/",
    "registry.k8s.io/",
    "gcr.io/cadvisor/",
    "gcr.io/datadoghq/",
    "public.ecr.aws/datadog/",
    "mcr.microsoft.com/",
    "bitnami/",
    "confluentinc/",
    "datadog/",
    "elastic/",
    "grafana/",
    "hashicorp/",
    "jaegertracing/",
    "openzipkin/",
    "opensearchproject/",
    "otel/",
    "prom/",
    "redpandadata/",
    "timberio/",
];

/// Whether an image is somebody else's product.
pub(super) fn is_product(image: &str) -> bool {
    VENDORS.iter().any(|vendor| image.starts_with(vendor))
        || kubernetes::image_name(image).is_some_and(|name| {
            PRODUCTS.contains(&name) || name.ends_with("-exporter") || name.ends_with("_exporter")
        })
}

/// Files that may say what runs: everything but tests, examples and what is copied in.
pub(super) fn files<'r>(case: &Case<'r>) -> impl Iterator<Item = &'r File> {
    case.repository.files.iter().filter(|file| matches!(file.role, Role::Production | Role::Script))
}

/// The documents of [`files`], each with its file.
pub(super) fn documents<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Document)> {
    files(case).flat_map(|file| file.documents.iter().map(move |(_, document)| (file, document)))
}

/// The containers that run the service; those of all services when the case is the repository.
pub(super) fn pods<'r>(case: &Case<'r>) -> Vec<Pod<'r>> {
    let mut found = Vec::new();
    let mut is_named_somewhere = false;
    for (file, document) in documents(case) {
        let Document::Kubernetes(resource) = document else { continue };
        let kubernetes::Body::Workload(workload) = &resource.body else { continue };
        let mains = workload.containers.iter().filter(|c| c.role == ContainerRole::Main);
        for container in mains {
            // What a chart's template runs is said by its values.
            let open = container.image.as_ref().filter(|image| helm::is_open(image));
            let resolved = open.and_then(|image| helm::resolve(image, values(case, file)));
            let chart = (open.is_some() && resolved.is_none() && helm::is_open(&resource.name))
                .then(|| chart_of(&file.path))
                .flatten();
            let names = [
                match &resolved {
                    Some(image) => kubernetes::image_name(image),
                    None => container.image_name(),
                },
                chart,
                Some(resource.name.value.as_str()),
                workload.labels.get("app").map(String::as_str),
                workload.labels.get("app.kubernetes.io/name").map(String::as_str),
                workload.containers.len().eq(&1).then_some(container.name.value.as_str()),
            ];
            let image = container.image.as_ref().map(|image| image.value.as_str());
            let image = resolved.as_deref().or(image);
            let is_ours = !image.is_some_and(is_product) && !is_sidecar(&container.name);
            let is_told = || {
                image.is_some_and(|image| is_tagged(case, image)) || starts_ours(case, container)
            };
            let is_another = || names_another(case, &names);
            if is_ours && (belongs(case, file, &names) || is_told() && !is_another()) {
                let environment = Environment::of_path(&file.path);
                let by_name = case.service.is_some() && is_named(case, &names);
                let is_other = !by_name
                    && !case.service.is_some_and(|service| is_below(&file.path, &service.root))
                    && container.image_name().is_some();
                is_named_somewhere |= by_name;
                let pod = Pod { file, resource, workload, container, environment };
                found.push((pod, is_other));
            }
        }
    }
    // Where some workloads bear the only service's name, those with images of other names run something else.
    found.retain(|(_, is_other)| !(is_named_somewhere && *is_other));
    found.into_iter().map(|(pod, _)| pod).collect()
}

/// The folder's name of the chart that a template belongs to.
pub(super) fn chart_of(path: &str) -> Option<&str> {
    let root = path.split_once("/templates/")?.0;
    Some(crate::files::name(root)).filter(|name| !name.is_empty())
}

/// A probe as the chart's values say it is, where a template takes all of it from them.
pub(super) fn probe(case: &Case<'_>, file: &File, probe: Option<&Probe>) -> Option<Probe> {
    let probe = probe?;
    let Some(path) = &probe.values else { return Some(probe.clone()) };
    let given = values(case, file)?.at(path);
    if given.entries().is_empty() {
        return None;
    }
    let mut read = kubernetes::probe(given, None);
    read.span = probe.span;
    if let ProbeAction::Http { path, .. } = &mut read.action {
        path.span = probe.span;
    }
    Some(read)
}

/// Where a workload that is not to end runs what else looks like a job, and its kind: by the name of its only container or
/// of its image.
pub(crate) fn kept_running<'r>(
    repository: &'r Repository,
    service: &Service,
) -> Option<(Place, &'r str)> {
    for file in repository.files.iter().filter(|file| file.role == Role::Production) {
        for (_, document) in &file.documents {
            let Document::Kubernetes(resource) = document else { continue };
            let kubernetes::Body::Workload(workload) = &resource.body else { continue };
            let lasts = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"];
            let ([container], true) =
                (workload.containers.as_slice(), lasts.contains(&resource.kind.as_str()))
            else {
                continue;
            };
            let names = [Some(container.name.value.as_str()), container.image_name()];
            let is_exact = |name: &&str| is_name_of(service, name) == Some(true);
            if names.into_iter().flatten().any(|name| is_exact(&name)) {
                return Some((file.place(container.span), &resource.kind));
            }
        }
    }
    None
}

/// Whether the tag of an image is the service's name: one name of an image for all of a repository,
/// `ghcr.io/shop/shop:cart-latest`.
fn is_tagged(case: &Case<'_>, image: &str) -> bool {
    let Some(service) = case.service else { return true };
    let last = image.split('@').next().and_then(|image| image.rsplit('/').next());
    let Some((_, tag)) = last.and_then(|last| last.split_once(':')) else { return false };
    let name = match tag.rsplit_once('-') {
        Some((name, "latest" | "main" | "master" | "stable" | "prod" | "dev")) => name,
        Some((name, version)) if version.trim_start_matches('v').starts_with(char::is_numeric) => {
            name
        }
        _ => tag,
    };
    is_name_of(service, name) == Some(true)
}

/// Whether a container starts a file that lies in the service, and in no other: `FLASK_APP=ads.py`, `node cart.js`.
fn starts_ours(case: &Case<'_>, container: &Container) -> bool {
    let Some(service) = case.service else { return true };
    let told = container.env.get("FLASK_APP").map(|value| value.value.as_str());
    let words = container.command.iter().chain(&container.args).map(|text| text.value.as_str());
    let mut files =
        told.into_iter().chain(words).flat_map(str::split_whitespace).filter(|word| {
            [".py", ".js", ".mjs", ".ts"].iter().any(|ending| word.ends_with(ending))
        });
    let has = |service: &Service, file: &str| {
        let own = file.rsplit('/').next().unwrap_or(file);
        case.repository.file(&join(&service.root, own)).is_some()
    };
    let others = || case.repository.services.iter().filter(|other| other.name != service.name);
    files.any(|file| has(service, file) && !others().any(|other| has(other, file)))
}

/// Whether what has these names is no service that is known here.
pub(super) fn is_nobodys(case: &Case<'_>, names: &[Option<&str>]) -> bool {
    !names_another(case, names)
}

fn is_sidecar(name: &str) -> bool {
    ["proxy", "sidecar", "exporter", "agent", "istio", "envoy", "otel-collector", "fluent"]
        .iter()
        .any(|word| name.contains(word))
}

/// The Compose services that run the service.
pub(super) fn composed<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r ComposeService)> {
    let mut found = Vec::new();
    for (file, document) in documents(case) {
        let Document::Compose(compose) = document else { continue };
        for service in &compose.services {
            let is_built_here = service.build.as_ref().is_some_and(|build| {
                let root = join(folder(&file.path), build);
                case.service.is_some_and(|service| service.root == root)
            });
            let is_copied = || {
                let build = service.build.as_ref()?;
                let name = service.dockerfile.as_deref().unwrap_or("Dockerfile");
                let path = join(&join(folder(&file.path), build), name);
                let file = case.repository.file(&path)?;
                file.documents.iter().find_map(|(_, document)| match document {
                    Document::Dockerfile(dockerfile) => Some((file, dockerfile)),
                    _ => None,
                })
            };
            let is_built_here = is_built_here
                || is_copied().is_some_and(|(file, made)| copies_service(case, file, made));
            let image = service.image.as_ref().map(|image| image.value.as_str());
            let names = [Some(service.name.value.as_str()), image.and_then(kubernetes::image_name)];
            let is_ours = service.build.is_some() || !image.is_some_and(is_product);
            let is_told = || image.is_some_and(|image| is_tagged(case, image));
            if is_built_here || is_ours && (is_named(case, &names) || is_only(case) || is_told()) {
                found.push((file, service));
            }
        }
    }
    found
}

/// The service's own Dockerfiles and what comes out of them; those for development and tests left out.
pub(super) fn images<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r Dockerfile, Image)> {
    let own: Vec<&str> = case.files().map(|file| &*file.path).collect();
    let mut found = Vec::new();
    for (file, document) in documents(case) {
        let Document::Dockerfile(dockerfile) = document else { continue };
        let is_ours = own.binary_search(&&*file.path).is_ok()
            || is_named_image(case, &file.path)
            || copies_service(case, file, dockerfile);
        let may_run = Environment::of_path(&file.path).may_be_production();
        if let (true, true, Some(image)) = (is_ours, may_run, dockerfile.image()) {
            found.push((file, dockerfile, image));
        }
    }
    found
}

/// Whether a Dockerfile elsewhere is made of the service's folder, and of no other service's: `COPY api/ .`.
fn copies_service(case: &Case<'_>, file: &File, dockerfile: &Dockerfile) -> bool {
    let Some(own) = case.service.filter(|service| !service.root.is_empty()) else { return false };
    let sources = dockerfile.sources().map(|source| join(folder(&file.path), source));
    let holds =
        |service: &Service, source: &str| source == service.root || is_below(source, &service.root);
    let mut is_ours = false;
    for source in sources {
        let others = case.repository.services.iter().filter(|other| other.name != own.name);
        if others.filter(|other| !other.root.is_empty()).any(|other| holds(other, &source)) {
            return false;
        }
        is_ours |= holds(own, &source);
    }
    is_ours
}

/// Whether a Dockerfile elsewhere has the service's name: `docker/cart/Dockerfile`, `build/cart.Dockerfile`.
fn is_named_image(case: &Case<'_>, path: &str) -> bool {
    let Some(service) = case.service else { return false };
    let others = case.repository.services.iter().filter(|other| other.name != service.name);
    if others.into_iter().any(|other| is_below(path, &other.root)) {
        return false;
    }
    let own = crate::files::name(path);
    let lower = own.to_lowercase();
    let after =
        lower.strip_prefix("dockerfile").and_then(|rest| rest.strip_prefix(['.', '-', '_']));
    let part = match (after, lower.strip_suffix(".dockerfile")) {
        (Some(part), _) | (_, Some(part)) => part.to_owned(),
        _ => crate::files::name(folder(path)).to_lowercase(),
    };
    is_name_of(service, &part) == Some(true)
}

/// Whether what has these names, in this file, is the service of the case.
pub(super) fn belongs(case: &Case<'_>, file: &File, names: &[Option<&str>]) -> bool {
    let Some(service) = case.service else { return true };
    is_below(&file.path, &service.root)
        || is_named(case, names)
        || (is_only(case) && !names_another(case, names))
}

/// Whether one of the names is the service's.
pub(super) fn belongs_by_name(case: &Case<'_>, names: &[Option<&str>]) -> bool {
    is_named(case, names)
}

fn is_only(case: &Case<'_>) -> bool {
    case.repository.services.iter().filter(|service| service.kind.is_watched()).count() == 1
}

/// A worker or a library may have an image of its own: then it is not the only service's.
fn names_another(case: &Case<'_>, names: &[Option<&str>]) -> bool {
    let others = case.repository.services.iter().filter(|other| may_run(other));
    let mut others =
        others.filter(|other| case.service.is_none_or(|service| other.name != service.name));
    others.any(|other| names.iter().flatten().any(|name| is_name_of(other, name) == Some(true)))
}

fn is_named(case: &Case<'_>, names: &[Option<&str>]) -> bool {
    let Some(service) = case.service else { return true };
    names.iter().flatten().any(|name| match is_name_of(service, name) {
        // `shop-api` is `api` only where no other service is nearer to the name.
        Some(is_exact) => {
            let others = case.repository.services.iter();
            let mut others = others.filter(|s| s.name != service.name && may_run(s));
            let ours = nearness(service, name);
            is_exact || others.all(|other| nearness(other, name) < ours)
        }
        None => false,
    })
}

/// Whether a unit can be what a container runs: a library runs in none, unless it is made into an image.
fn may_run(service: &Service) -> bool {
    service.kind != Kind::Library || service.has_image
}

/// How near a service's name is to a name: the same; the end of it, the longer the nearer; or a longer name that ends so.
fn nearness(service: &Service, name: &str) -> usize {
    let wanted = plain(name);
    match is_name_of(service, name) {
        Some(true) => usize::MAX,
        Some(false) => own_names(service)
            .map(plain)
            .filter(|own| wanted.ends_with(&format!("-{own}")))
            .map(|own| own.len() + 1)
            .max()
            .unwrap_or(1),
        None => 0,
    }
}

/// What the repository calls a service, but for its aliases.
fn own_names(service: &Service) -> impl Iterator<Item = &str> {
    let name = (!service.is_nameless).then_some(service.name.as_str());
    let folder = Some(crate::files::name(&service.root));
    name.into_iter().chain(folder).filter(|own| !own.is_empty())
}

/// Whether a name is the service's: exactly, or as the end of a longer one.
fn is_name_of(service: &Service, name: &str) -> Option<bool> {
    let wanted = plain(name);
    if service.aliases.iter().any(|alias| plain(alias) == wanted) {
        return Some(true);
    }
    for own in own_names(service) {
        let own = plain(own);
        if own == wanted {
            return Some(true);
        }
        // `customers` of Compose is `shop-customers`, and `shop-api` of Kubernetes is `api`.
        if wanted.ends_with(&format!("-{own}")) || own.ends_with(&format!("-{wanted}")) {
            return Some(false);
        }
    }
    None
}

/// A name without what differs between languages: `cart_service`, `CartService` and `cartservice` are one.
fn plain(name: &str) -> String {
    let lower = name.rsplit('/').next().unwrap_or(name).to_lowercase().replace(['_', '.'], "-");
    // `reviews-v1`: which of several that run beside each other.
    let one = match lower.rsplit_once("-v") {
        Some((one, version)) if !one.is_empty() && version.parse::<u32>().is_ok() => one,
        _ => &lower,
    };
    let short = one
        .strip_suffix("-service")
        .or_else(|| one.strip_suffix("-svc"))
        .or_else(|| one.strip_suffix("service"))
        .unwrap_or(one);
    match short.trim_end_matches('-') {
        "" => one.to_owned(),
        short => short.to_owned(),
    }
}

/// A path from a folder, with `.` and `..` resolved.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Values of the chart that a template belongs to, to resolve its expressions with.
pub(super) fn values<'r>(case: &Case<'r>, file: &File) -> Option<&'r crate::files::node::Node> {
    let root = file.path.split("/templates/").next().unwrap_or_default();
    let root = if file.path.starts_with("templates/") { "" } else { root };
    let wanted = join(root, "values.yaml");
    let found = case
        .repository
        .file(&wanted)
        .or_else(|| case.repository.file(&join(root, "values.yml")))?;
    found.documents.iter().find_map(|(_, document)| match document {
        Document::Values(node) => Some(&**node),
        _ => None,
    })
}

/// Whether any manifest of Kubernetes runs the service.
pub(super) fn is_in_kubernetes(case: &Case<'_>) -> bool {
    !pods(case).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_their_dress() {
        assert_eq!(plain("ghcr.io/x/CartService"), "cart");
        assert_eq!(plain("cart_service"), "cart");
        assert_eq!(plain("service"), "service");
        assert_eq!(plain("shop/reviews-v2"), "reviews");
        assert_eq!(join("a/b", "../c/./d"), "a/c/d");
        assert_eq!(join("", "."), "");
        assert!(is_product("docker.io/library/postgres:16") && !is_product("shop/api:1"));
    }
}
