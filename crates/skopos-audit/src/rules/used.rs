//! Whether a dependency is used: a manifest says what is installed, code says what is done with it.
//!
//! Package and import rarely have one spelling (`prometheus-client` is `prometheus_client`, `@opentelemetry/sdk-node` has a
//! scope, Maven has groups), so both are compared by their words alone. What a framework switches on because it is there
//! (starters of Spring Boot, extensions of Quarkus, apps of Django) counts as used; what a wrapper starts from outside
//! (`opentelemetry-instrument`, `ddtrace-run`) cannot be told from code.

use super::runs;
use crate::files::Document;
use crate::files::manifest::Dependency;
use crate::{Case, FactKind, Language, Place, Role, Verdicts};

/// Dependencies that do their work by being there: the beginnings of their names.
const BY_BEING_THERE: &[&str] = &[
    "org.springframework.boot:",
    "org.springframework.cloud:",
    "com.google.cloud:spring-cloud-gcp-starter",
    "io.opentracing.contrib:opentracing-spring",
    "io.quarkus:",
    "io.micronaut",
    "io.micrometer:micrometer-tracing",
    "io.micrometer:micrometer-registry",
    "io.opentelemetry.instrumentation:opentelemetry-spring-boot",
    "org.apache.dubbo:",
    "org.apache.skywalking:",
    "django-",
    "libs:",
];

/// Dependencies that a wrapper or a flag starts, outside of the code.
const FROM_OUTSIDE: &[&str] = &[
    "opentelemetry-distro",
    "opentelemetry-instrumentation",
    "opentelemetry-exporter",
    "opentelemetry-sdk",
    "@opentelemetry/auto-instrumentations-node",
    "ddtrace",
    "dd-trace",
    "newrelic",
    "elastic-apm",
    "azure-monitor-opentelemetry",
    "splunk-opentelemetry",
];

/// A dependency that nothing uses.
pub(super) struct Idle {
    place: Place,
    name: String,
    /// Whether a wrapper that this repository does not show may start it.
    may_be_started: bool,
}

impl Idle {
    /// Whether a wrapper that this repository does not show may start it.
    pub(super) fn may_be_started(&self) -> bool {
        self.may_be_started
    }

    /// Says so: `lack` is what is missing then.
    pub(super) fn say(self, lack: &str, out: &mut Verdicts) {
        let name = self.name;
        if self.may_be_started {
            out.unknown(
                format!("`{name}` is installed, and nothing here says whether what starts the service starts it too"),
                "the command that starts the service, in a Dockerfile, a manifest or a Procfile",
            );
        } else {
            out.finding(self.place, format!("`{name}` is installed and nothing uses it: {lack}"));
        }
    }
}

/// Whether one of these dependencies is there and used. A name may end in `*`.
pub(super) fn is_used(case: &Case<'_>, names: &[&str]) -> bool {
    installed(case, names).any(|(_, dependency)| works(case, dependency))
}

/// Whether code imports one of these, whatever the manifests say: not every repository has one.
pub(super) fn is_imported(case: &Case<'_>, names: &[&str]) -> bool {
    // What a package of the house may be called as well.
    let is_plain = |name: &str| name.chars().all(char::is_alphabetic) && name != "statsd";
    let modules: Vec<String> = names
        .iter()
        .map(|name| name.trim_end_matches('*'))
        // A framework's own group is imported for much else.
        .filter(|name| {
            !is_plain(name) && !BY_BEING_THERE.iter().any(|start| name.starts_with(start))
        })
        .map(module_of)
        .collect();
    case.any(|kind| match kind {
        FactKind::Import(path) if !path.starts_with('.') => {
            let path = words(path);
            modules.iter().any(|module| {
                path.strip_prefix(module.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        }
        _ => false,
    })
}

/// Whether a dependency whose name has one of these words is there and used.
pub(super) fn is_named_and_used(case: &Case<'_>, wanted: &[&str]) -> bool {
    case.documents().any(|(_, _, document)| match document {
        Document::Manifest(manifest) => manifest.dependencies.iter().any(|d| {
            let is_meant = words(&d.name).split('.').any(|word| wanted.contains(&word));
            !d.is_dev && is_meant && works(case, d)
        }),
        _ => false,
    })
}

/// The first of these dependencies that is installed and not used.
pub(super) fn idle(case: &Case<'_>, names: &[&str]) -> Option<Idle> {
    let has_command = !runs::commands(case).is_empty();
    let mut found: Vec<Idle> = installed(case, names)
        .filter(|(_, dependency)| !works(case, dependency))
        .map(|(place, dependency)| Idle {
            place,
            name: dependency.name.clone(),
            may_be_started: !has_command
                && FROM_OUTSIDE.iter().any(|start| dependency.name.starts_with(start)),
        })
        .collect();
    found.sort_by_key(|idle| !idle.may_be_started);
    found.into_iter().next()
}

fn installed<'r>(case: &Case<'r>, names: &[&str]) -> impl Iterator<Item = (Place, &'r Dependency)> {
    case.documents().flat_map(move |(file, _, document)| {
        let found: Vec<(Place, &Dependency)> = match document {
            Document::Manifest(manifest) => manifest
                .dependencies
                .iter()
                .filter(|d| !d.is_dev && names.iter().any(|name| is_named(name, &d.name)))
                .map(|d| (file.place(d.span), d))
                .collect(),
            _ => Vec::new(),
        };
        found.into_iter()
    })
}

fn is_named(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    }
}

/// Whether code, or a framework, does something with a dependency.
fn works(case: &Case<'_>, dependency: &Dependency) -> bool {
    if BY_BEING_THERE.iter().any(|start| dependency.name.starts_with(start)) {
        return true;
    }
    let module = module_of(&dependency.name);
    let is_within = |path: &str| {
        let path = words(path);
        path.strip_prefix(&module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    case.files().filter(|file| matches!(file.role, Role::Production | Role::Script)).any(|file| {
        file.facts.iter().any(|fact| match &fact.kind {
            FactKind::Import(name) => is_within(name),
            // Rust needs no import to use a crate.
            FactKind::Function(function) if file.language == Some(Language::Rust) => {
                function.calls.iter().any(|(call, _)| is_within(call))
            }
            _ => false,
        })
    })
}

/// What a dependency is called where it is imported, in the form of [`words`].
fn module_of(name: &str) -> String {
    let special = [
        ("python-json-logger", "pythonjsonlogger"),
        ("elastic-apm", "elasticapm"),
        ("traceloop-sdk", "traceloop.sdk"),
        ("py-healthcheck", "healthcheck"),
        ("grpcio-health-checking", "grpc.health"),
        ("scrubadub", "scrubadub"),
    ];
    if let Some((_, module)) = special.iter().find(|(package, _)| *package == name) {
        return (*module).to_owned();
    }
    // Maven: classes live under the group.
    words(name.split(':').next().unwrap_or(name))
}

/// The words of a name in lower case, with dots between.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_alphanumeric() {
            out.extend(letter.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('.') {
            out.push('.');
        }
    }
    out.truncate(out.trim_end_matches('.').len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_imports_are_compared_by_their_words() {
        let cases = [
            ("prometheus-client", "prometheus_client.Counter", true),
            ("@opentelemetry/sdk-node", "@opentelemetry/sdk-node.NodeSDK", true),
            ("opentelemetry-instrumentation-flask", "opentelemetry.instrumentation.flask", true),
            (
                "github.com/prometheus/client_golang",
                "github.com/prometheus/client_golang/prometheus",
                true,
            ),
            ("io.prometheus:simpleclient", "io.prometheus.client.Counter", true),
            ("python-json-logger", "pythonjsonlogger.jsonlogger", true),
            ("prom-client", "prometheus", false),
            ("opentelemetry-sdk", "opentelemetry.api", false),
        ];
        for (package, import, is_within) in cases {
            let (module, path) = (module_of(package), words(import));
            let rest = path.strip_prefix(&module);
            let found = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            assert_eq!(found, is_within, "{package} {import}");
        }
    }
}
