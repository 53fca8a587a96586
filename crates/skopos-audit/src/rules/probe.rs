//! HLT002, HLT003, HLT005 and HLT008: are containers asked for their health, and can what asks run?

use super::deployed::{self, Pod};
use crate::files::dockerfile::{Command, Health, Image};
use crate::files::kubernetes::{Probe, ProbeAction};
use crate::files::{Document, helm};
use crate::{Case, Place, Span, Verdicts};

/// HLT002: a container of a workload is asked neither whether it is ready nor whether it lives.
pub(super) fn missing(case: &Case<'_>, verdicts: &mut Verdicts) {
    let pods = deployed::pods(case);
    if pods.is_empty() {
        verdicts.not_applicable();
        return;
    }
    for pod in pods.iter().filter(|pod| pod.environment.may_be_production()) {
        let container = pod.container;
        if container.readiness.is_some() || container.liveness.is_some() || is_patched(&pods, pod) {
            continue;
        }
        let name = if container.name.is_empty() { "?" } else { &container.name };
        let place = pod.file.place(if container.name.span == Span::default() {
            container.span
        } else {
            container.name.span
        });
        let kind = &pod.resource.kind;
        let what = match pod.workload.containers.len() {
            1 => format!("this {kind}"),
            _ => format!("container `{name}` of this {kind}"),
        };
        if helm::is_open(&container.name) && container.image.is_none() {
            continue;
        }
        verdicts.finding(place, format!("{what} has neither a readiness nor a liveness probe"));
    }
}

/// Whether another file of the same workload (a patch, an overlay) brings the probes.
fn is_patched(pods: &[Pod<'_>], pod: &Pod<'_>) -> bool {
    pods.iter().any(|other| {
        other.resource.name.value == pod.resource.name.value
            && other.container.name.value == pod.container.name.value
            && other.file.path != pod.file.path
            && (other.container.readiness.is_some() || other.container.liveness.is_some())
    }) || pod.container.image.is_none()
}

/// HLT003: nobody asks the container: no HEALTHCHECK, none in Compose, no probe of an orchestrator.
pub(super) fn healthcheck(case: &Case<'_>, verdicts: &mut Verdicts) {
    let images = deployed::images(case);
    if images.is_empty() || deployed::is_in_kubernetes(case) {
        verdicts.not_applicable();
        return;
    }
    let composed = deployed::composed(case);
    let is_asked =
        composed.iter().any(|(_, service)| matches!(service.health, Some((Health::Command(_), _))));
    let by_platform = case
        .documents()
        .any(|(_, _, document)| matches!(document, Document::Processes(p) if !p.health.is_empty()));
    if is_asked || by_platform {
        return;
    }
    for (file, _, image) in &images {
        match &image.health {
            Some((Health::Command(_), _)) => {}
            Some((Health::Disabled, span)) => {
                verdicts.finding(file.place(*span), "the image's health check is switched off");
            }
            None if is_for_building(image) => {}
            None => {
                let message = "nothing asks this image for its health: no HEALTHCHECK, no healthcheck in Compose, no probe";
                verdicts.finding(file.place(image.span), message);
            }
        }
    }
}

/// Whether an image starts nothing and stands on what programs are built with.
fn is_for_building(image: &Image) -> bool {
    let base = image.base.rsplit('/').next().unwrap_or_default();
    let name = base.split([':', '@']).next().unwrap_or_default();
    let starts = image.entrypoint.as_ref().or(image.command.as_ref());
    let is_for_programs = matches!(name, "golang" | "rust" | "maven" | "gradle" | "gcc");
    // A script on an image of compilers: it builds, packs or tests.
    let is_script = starts.is_some_and(|(command, _)| {
        let line = command.line();
        let first = line.split_whitespace().next().unwrap_or_default();
        first.trim_matches('"').ends_with(".bash") || first.contains("build")
    });
    is_for_programs && is_script
        || starts.is_none()
            && (is_for_programs
                || matches!(name, "debian" | "ubuntu" | "alpine" | "fedora" | "centos"))
}

/// HLT005: liveness asks what readiness asks, with the same patience.
pub(super) fn equal(case: &Case<'_>, verdicts: &mut Verdicts) {
    let mut is_judged = false;
    for pod in deployed::pods(case) {
        let given = |probe: &Option<Probe>| deployed::probe(case, pod.file, probe.as_ref());
        let (Some(live), Some(ready)) =
            (&given(&pod.container.liveness), &given(&pod.container.readiness))
        else {
            continue;
        };
        is_judged = true;
        let same_action = match (&live.action, &ready.action) {
            (ProbeAction::Http { path: a, port: p }, ProbeAction::Http { path: b, port: q }) => {
                a.value == b.value && p == q && !helm::is_open(a)
            }
            (ProbeAction::Unknown, _) => false,
            (a, b) => a == b,
        };
        let patience = |probe: &Probe| {
            let number = |key: &str, default: f64| {
                probe
                    .thresholds
                    .get(key)
                    .map_or(Some(default), |text| text.trim().parse::<f64>().ok())
            };
            Some((
                number("periodSeconds", 10.0)?,
                number("failureThreshold", 3.0)?,
                number("timeoutSeconds", 1.0)?,
            ))
        };
        if same_action && patience(live).is_some() && patience(live) == patience(ready) {
            verdicts.finding(
                pod.file.place(live.span),
                "liveness and readiness ask the same with the same patience: what should only stop traffic restarts the pod",
            );
        }
    }
    if !is_judged {
        verdicts.not_applicable();
    }
}

/// HLT008: the health check runs a program that the image does not have.
pub(super) fn binary(case: &Case<'_>, verdicts: &mut Verdicts) {
    let mut checks: Vec<(Place, Command, Image)> = Vec::new();
    let images = deployed::images(case);
    for (file, _, image) in &images {
        if let Some((Health::Command(command), span)) = &image.health {
            checks.push((file.place(*span), command.clone(), image.clone()));
        }
    }
    for (file, service) in deployed::composed(case) {
        let Some((Health::Command(command), span)) = &service.health else { continue };
        let built = images
            .iter()
            .find_map(|(_, dockerfile, _)| dockerfile.target(service.target.as_deref()));
        if let (Some(image), true) = (built, service.build.is_some()) {
            checks.push((file.place(*span), command.clone(), image));
        }
    }
    for pod in deployed::pods(case) {
        for probe in [&pod.container.liveness, &pod.container.readiness].into_iter().flatten() {
            let ProbeAction::Exec(words) = &probe.action else { continue };
            if let [(_, _, image)] = images.as_slice() {
                checks.push((
                    pod.file.place(probe.span),
                    Command::Exec(words.clone()),
                    image.clone(),
                ));
            }
        }
    }
    if checks.is_empty() {
        verdicts.not_applicable();
        return;
    }
    for (place, command, image) in checks {
        let is_shell = matches!(command, Command::Shell(_));
        let base = image.base.to_lowercase();
        if (is_shell
            || command.words().first().is_some_and(|word| word.ends_with("/sh") || word == "sh"))
            && lacks_shell(&base)
        {
            verdicts.finding(
                place,
                format!("the health check needs a shell, which `{}` does not have", image.base),
            );
            continue;
        }
        let line = command.line();
        let words: Vec<&str> = line.split_whitespace().collect();
        let missing = ["curl", "wget", "nc", "grpc_health_probe"].into_iter().find(|program| {
            words.iter().any(|word| word.rsplit('/').next() == Some(program))
                && lacks(&base, program)
                && !image.installs(program)
        });
        if let Some(program) = missing {
            verdicts.finding(
                place,
                format!("the health check runs `{program}`, which `{}` does not have and nothing installs", image.base),
            );
        }
    }
}

fn lacks_shell(base: &str) -> bool {
    base == "scratch"
        || (base.contains("distroless") && !base.contains("debug"))
        || base.contains("chainguard")
}

/// Whether a base image is known to lack a program. Unknown images are given the benefit.
fn lacks(base: &str, program: &str) -> bool {
    let name = base.split('@').next().unwrap_or(base);
    let is_slim = name.contains("-slim") || name.ends_with("slim");
    let is_alpine = name.contains("alpine");
    if lacks_shell(base) || program == "grpc_health_probe" {
        return true;
    }
    match program {
        "curl" => {
            is_slim
                || is_alpine
                || ["debian", "ubuntu"].iter().any(|known| name.split(':').next() == Some(known))
        }
        // BusyBox brings wget and nc to Alpine.
        "wget" | "nc" => {
            (is_slim || name.starts_with("debian") || name.starts_with("ubuntu")) && !is_alpine
        }
        _ => false,
    }
}
