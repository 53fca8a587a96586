//! How a service is run, as one list of lines: commands of images, Compose, pods, Procfiles and scripts, and environment
//! variables. Rules that ask "is it started through an agent" or "is the endpoint set" ask here.

use super::{Case, deployed, given};
use crate::files::Document;
use crate::{FactKind, Place};

/// Every command line that starts the service, with its place.
pub(super) fn commands(case: &Case<'_>) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for (file, _, image) in deployed::images(case) {
        // `ENTRYPOINT ["python"]` and `CMD ["app.py"]` are one line.
        let interpreter = image.entrypoint.as_ref().map(|(command, _)| command.line());
        let interpreter =
            interpreter.filter(|line| matches!(line.as_str(), "python" | "python3" | "node"));
        if let (Some(interpreter), Some((command, span))) = (interpreter, &image.command) {
            found.push((file.place(*span), format!("{interpreter} {}", command.line())));
            continue;
        }
        for (command, span) in image.entrypoint.iter().chain(&image.command) {
            found.push((file.place(*span), command.line()));
        }
    }
    for (file, service) in deployed::composed(case) {
        for (command, span) in service.entrypoint.iter().chain(&service.command) {
            found.push((file.place(*span), command.line()));
        }
    }
    for pod in deployed::pods(case) {
        let words = pod.container.command.iter().chain(&pod.container.args);
        let words: Vec<String> =
            words.map(|text| given::resolved(case, pod.file, &text.value)).collect();
        if !words.is_empty() {
            found.push((pod.file.place(pod.container.span), words.join(" ")));
        }
    }
    for (file, _, document) in case.documents() {
        match document {
            Document::Manifest(manifest) => {
                let starts = manifest
                    .scripts
                    .iter()
                    .filter(|s| s.name.starts_with("start") || s.name == "serve")
                    .filter(|s| {
                        !["dev", "debug", "test", "local", "watch", "mock", "monitor"]
                            .iter()
                            .any(|word| s.name.contains(word))
                    });
                found.extend(starts.map(|s| (file.place(s.span), s.command.clone())));
            }
            Document::Processes(processes) => {
                found.extend(
                    processes.commands.iter().map(|(_, c)| (file.place(c.span), c.value.clone())),
                );
            }
            _ => {}
        }
    }
    found
}

/// Every environment variable that the service is given, with its place.
pub(super) fn environment(case: &Case<'_>) -> Vec<(Place, String, String)> {
    let mut found = Vec::new();
    for (file, _, image) in deployed::images(case) {
        found.extend(
            image.env.iter().map(|(k, v)| (file.place(v.span), k.clone(), v.value.clone())),
        );
    }
    for (file, service) in deployed::composed(case) {
        found.extend(
            service.env.iter().map(|(k, v)| (file.place(v.span), k.clone(), v.value.clone())),
        );
    }
    found.extend(given::environment(case));
    for (file, _, document) in case.documents() {
        match document {
            Document::Settings(settings) => {
                found.extend(
                    settings
                        .values
                        .iter()
                        .map(|(k, v)| (file.place(v.span), k.value.clone(), v.value.clone())),
                );
            }
            Document::Processes(processes) => {
                found.extend(
                    processes
                        .env
                        .iter()
                        .map(|(k, v)| (file.place(v.span), k.value.clone(), v.value.clone())),
                );
            }
            _ => {}
        }
    }
    found
}

/// Where a variable of this name is set in files, or read in code.
pub(super) fn variable(case: &Case<'_>, names: &[&str]) -> Option<Place> {
    let set = environment(case).into_iter().find(|(_, key, _)| names.contains(&key.as_str()));
    set.map(|(place, ..)| place).or_else(|| {
        case.facts().find_map(|(file, fact)| match &fact.kind {
            FactKind::Environment(key) if names.contains(&key.as_str()) => {
                Some(file.place(fact.span))
            }
            _ => None,
        })
    })
}

/// What traces a service from outside its code: a wrapper, an agent, an operator's annotation, a preloaded module.
pub(super) fn agent(case: &Case<'_>) -> Option<(Place, String)> {
    let signs = [
        "opentelemetry-instrument",
        "ddtrace-run",
        "newrelic-admin",
        "-javaagent:",
        "opentelemetry-javaagent",
        "dd-java-agent",
        "auto-instrumentations-node/register",
        "dd-trace/init",
        "newrelic",
        "elastic-apm-node/start",
        "applicationinsights-agent",
    ];
    let sign =
        |text: &str| signs.iter().find(|sign| text.contains(**sign)).map(|sign| (*sign).to_owned());
    let by_command =
        commands(case).into_iter().find_map(|(place, line)| Some((place, sign(&line)?)));
    let by_env = || {
        environment(case).into_iter().find_map(|(place, key, value)| {
            let counts = matches!(
                key.as_str(),
                "JAVA_TOOL_OPTIONS"
                    | "JAVA_OPTS"
                    | "NODE_OPTIONS"
                    | "JDK_JAVA_OPTIONS"
                    | "CATALINA_OPTS"
            );
            Some((place, sign(&value).filter(|_| counts)?))
        })
    };
    let by_operator = || {
        deployed::pods(case).into_iter().find_map(|pod| {
            let mut all = pod.workload.annotations.iter().chain(&pod.resource.annotations);
            let (key, value) = all.find(|(key, value)| {
                // `inject-sdk` only sets variables: what traces has to be in the code.
                let by_otel =
                    key.contains("opentelemetry.io/inject") && !key.ends_with("inject-sdk");
                (by_otel || key.contains("admission.datadoghq.com")) && value.value != "false"
            })?;
            Some((pod.file.place(value.span), key.clone()))
        })
    };
    by_command.or_else(by_env).or_else(by_operator)
}
