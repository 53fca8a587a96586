//! HLT004 for Spring Boot: its health endpoints are put together by settings, so what they ask stands in no handler.

use super::{deployed, runs};
use crate::files::Document;
use crate::files::environment::Environment;
use crate::files::kubernetes::ProbeAction;
use crate::{Case, Verdicts};

/// What Boot's liveness may look at: the process itself, its disk.
const OWN: [&str; 5] = ["livenessstate", "ping", "diskspace", "ssl", "refreshscope"];

/// Starters that add a component to Boot's health which asks another service.
const ASKING: [&str; 7] = [
    "org.springframework.boot:spring-boot-starter-data-*",
    "org.springframework.boot:spring-boot-starter-jdbc",
    "org.springframework.boot:spring-boot-starter-jooq",
    "org.springframework.boot:spring-boot-starter-amqp",
    "org.springframework.boot:spring-boot-starter-mail",
    "org.springframework.boot:spring-boot-starter-artemis",
    "org.springframework.boot:spring-boot-starter-activemq",
];

/// Reports groups of liveness that hold dependencies, and liveness probes that ask for the health of everything.
pub(super) fn liveness(case: &Case<'_>, verdicts: &mut Verdicts) {
    const GROUP: &str = "management.endpoint.health.group.liveness.include";
    const VARIABLE: &str = "MANAGEMENT_ENDPOINT_HEALTH_GROUP_LIVENESS_INCLUDE";
    for (place, key, value) in runs::environment(case) {
        let is_group = key.starts_with(GROUP) || key.starts_with(VARIABLE);
        if !is_group || !Environment::of_path(&place.path).may_be_production() {
            continue;
        }
        let parts = value.split(',').map(|part| part.trim().trim_matches(['"', '\'']));
        let asked = parts.filter(|part| !part.is_empty()).find(|part| {
            let plain = part.to_lowercase().replace(['-', '_'], "");
            !OWN.contains(&plain.as_str())
        });
        if let Some(asked) = asked {
            let message = format!(
                "the liveness group of Actuator asks `{asked}`: when that is down, every pod restarts"
            );
            verdicts.finding(place, message);
        }
    }
    let Some(by) = asks_elsewhere(case) else { return };
    for pod in deployed::pods(case) {
        let Some(probe) = &pod.container.liveness else { continue };
        let ProbeAction::Http { path, .. } = &probe.action else { continue };
        let asked = path.value.split('?').next().unwrap_or_default();
        if asked.trim_end_matches('/').ends_with("/actuator/health") {
            let message = format!(
                "the liveness check `{asked}` is the sum of every component, `{by}` among them: when one is down, every pod restarts; ask `{asked}/liveness`"
            );
            verdicts.finding(pod.file.place(path.span), message);
        }
    }
}

/// The starter by which Actuator's health asks somebody else.
fn asks_elsewhere(case: &Case<'_>) -> Option<String> {
    case.dependency(&["org.springframework.boot:spring-boot-starter-actuator"])?;
    let asks = |name: &str| {
        ASKING.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *wanted,
        })
    };
    case.documents().find_map(|(_, _, document)| match document {
        Document::Manifest(manifest) => {
            let found = manifest.dependencies.iter().find(|d| !d.is_dev && asks(&d.name))?;
            Some(found.name.rsplit(':').next().unwrap_or(&found.name).to_owned())
        }
        _ => None,
    })
}
