//! MET008 and MET009: can what scrapes reach the metrics, and does anything scrape them?

use super::{deployed, runs};
use crate::fact::Exposed;
use crate::files::kubernetes::{Body, Monitor, ServicePorts};
use crate::files::prometheus::Prometheus;
use crate::files::{Document, helm};
use crate::{Case, FactKind, File, Place, Verdicts};

/// Where the service offers its metrics, and by what.
fn offered(case: &Case<'_>) -> Option<(Place, String)> {
    let by_code = case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::MetricsExposed(Exposed::Pulled(by) | Exposed::Middleware(by)) => {
            Some((file.place(fact.span), by.clone()))
        }
        FactKind::Route(route) if is_metrics(&route.path) => {
            Some((file.place(fact.span), route.path.clone()))
        }
        _ => None,
    });
    by_code
        .or_else(|| Some((super::met::actuator_offers(case)?, "/actuator/prometheus".to_owned())))
}

fn is_metrics(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path.ends_with("/metrics") || path.ends_with("/prometheus") || path == "metrics"
}

/// MET008: the metrics stand behind authentication that no scrape job has.
pub(super) fn auth(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some(_) = offered(case) else {
        verdicts.not_applicable();
        return;
    };
    let everywhere = case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::AuthEverywhere { by, except } => Some((file, fact, by, except)),
        _ => None,
    });
    let guarded = case.facts().find_map(|(file, fact)| match &fact.kind {
        FactKind::MetricsGuarded(by) => Some((file, fact, by)),
        _ => None,
    });
    let is_free = |path: &String| {
        let is_pattern = path.starts_with("/actuator") && path.contains('*');
        is_metrics(path) || path.contains("metrics") || path.contains("prometheus") || is_pattern
    };
    let everywhere = everywhere.filter(|(.., except)| !except.iter().any(is_free));
    // Django's decorator for views that nobody has to log in for: it may be the metrics'.
    let spared = |kind: &FactKind| matches!(kind, FactKind::Import(name) if name.ends_with("login_not_required"));
    let everywhere = everywhere.filter(|_| !case.any(spared));
    let (file, fact, message) = match (guarded, everywhere) {
        (Some((file, fact, by)), _) => {
            (file, fact, format!("`{by}` stands before the metrics: Prometheus is refused"))
        }
        (None, Some((file, fact, by, _))) => {
            let message =
                format!("`{by}` holds for every route, the metrics too: Prometheus is refused");
            (file, fact, message)
        }
        (None, None) => return,
    };
    // A port of its own has none of the application's middleware.
    let own_port = case.any(|kind| {
        matches!(kind, FactKind::MetricsExposed(Exposed::Pulled(by)) if by.contains("start_http_server"))
    });
    if own_port {
        return;
    }
    let authenticated = deployed::documents(case).find_map(|(file, document)| match document {
        Document::Prometheus(config) => {
            let job = config.jobs.iter().find(|job| job.has_auth)?;
            Some(file.place(job.name.span))
        }
        Document::Kubernetes(resource) => match &resource.body {
            Body::Monitor(monitor) if monitor.endpoints.iter().any(|e| e.has_auth) => {
                Some(file.place(resource.name.span))
            }
            _ => None,
        },
        _ => None,
    });
    match authenticated {
        Some(at) => verdicts.mitigated(Some(file.place(fact.span)), at, message),
        None => {
            verdicts.finding(file.place(fact.span), message);
        }
    }
}

/// What scrapes in the repository, and whether it is the service that is scraped.
#[derive(Default)]
struct Scraping {
    /// The first thing that scrapes anything.
    any: Option<Place>,
    /// What scrapes the service.
    ours: Option<Place>,
    /// What means to and cannot.
    broken: Vec<(Place, String)>,
}

/// MET009: metrics are offered, and what scrapes passes by.
pub(super) fn scraped(case: &Case<'_>, verdicts: &mut Verdicts) {
    let Some((place, by)) = offered(case) else {
        verdicts.not_applicable();
        return;
    };
    let pushes = case.any(|kind| matches!(kind, FactKind::MetricsExposed(Exposed::Pushed(_))));
    let mut scraping = Scraping::default();
    annotations(case, &mut scraping);
    monitors(case, &mut scraping);
    jobs(case, &mut scraping);
    for (place, message) in std::mem::take(&mut scraping.broken) {
        verdicts.finding(place, message);
    }
    if scraping.ours.is_some() || pushes || !verdicts.said.is_empty() {
        return;
    }
    match (&scraping.any, &case.config.scraping.external) {
        (None, None) => verdicts.unknown(
            format!("metrics are offered (`{by}`); nothing in this repository scrapes anything"),
            "`[scraping] external = …` in skopos-audit.toml, or the scrape configuration itself",
        ),
        (None, Some(_)) => {}
        (Some(_), _) => {
            verdicts.finding(
                place,
                format!("metrics are offered (`{by}`), and none of the repository's scrape jobs asks this service"),
            );
        }
    }
}

/// `prometheus.io/scrape` on pods.
fn annotations(case: &Case<'_>, scraping: &mut Scraping) {
    let all = Case { service: None, ..*case };
    let says =
        |pod: &deployed::Pod<'_>| pod.workload.annotations.get("prometheus.io/scrape").cloned();
    for pod in deployed::pods(&all) {
        if says(&pod).is_some_and(|value| value.value == "true") {
            scraping.any.get_or_insert(pod.file.place(pod.resource.span));
        }
    }
    for pod in deployed::pods(case) {
        let Some(value) = says(&pod).filter(|value| value.value == "true" || helm::is_open(value))
        else {
            continue;
        };
        let port = pod.workload.annotations.get("prometheus.io/port");
        let numbers: Vec<u16> =
            pod.workload.containers.iter().flat_map(|c| &c.ports).map(|(_, n, _)| *n).collect();
        match port.and_then(|port| Some((port, port.parse::<u16>().ok()?))) {
            Some((text, number)) if !numbers.is_empty() && !numbers.contains(&number) => {
                let message = format!(
                    "Prometheus is told to scrape port {number}, which no container of the pod has"
                );
                scraping.broken.push((pod.file.place(text.span), message));
            }
            _ => {
                scraping.ours.get_or_insert(pod.file.place(value.span));
            }
        }
    }
}

/// ServiceMonitors and PodMonitors.
fn monitors(case: &Case<'_>, scraping: &mut Scraping) {
    let mut services: Vec<(&crate::files::kubernetes::Resource, &ServicePorts)> = Vec::new();
    let mut monitors: Vec<(&File, &crate::files::kubernetes::Resource, &Monitor)> = Vec::new();
    for (file, document) in deployed::documents(case) {
        let Document::Kubernetes(resource) = document else { continue };
        match &resource.body {
            Body::Service(ports) => services.push((resource, ports)),
            Body::Monitor(monitor) => monitors.push((file, resource, monitor)),
            _ => {}
        }
    }
    let pods = deployed::pods(case);
    for (file, resource, monitor) in monitors {
        let place = file.place(resource.name.span);
        scraping.any.get_or_insert(place.clone());
        let is_selected = |labels: &std::collections::BTreeMap<String, String>| {
            monitor
                .selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value) || helm::is_open(value))
        };
        let selects_pods = pods.iter().any(|pod| is_selected(&pod.workload.labels));
        let chosen: Vec<_> = services
            .iter()
            .filter(|(service, ports)| {
                let takes_us = pods.iter().any(|pod| {
                    !ports.selector.is_empty()
                        && ports
                            .selector
                            .iter()
                            .all(|(k, v)| pod.workload.labels.get(k) == Some(v) || helm::is_open(v))
                });
                takes_us && is_selected(&service.labels)
            })
            .collect();
        let names =
            [Some(resource.name.value.as_str()), monitor.selector.get("app").map(String::as_str)];
        // What a chart's helpers select is what the chart runs.
        let is_open =
            monitor.selector.is_empty() || monitor.selector.values().any(|v| helm::is_open(v));
        let of_chart = deployed::chart_of(&file.path).is_some_and(|chart| {
            is_open && pods.iter().any(|pod| deployed::chart_of(&pod.file.path) == Some(chart))
        });
        let is_ours = match monitor.is_pods {
            true => selects_pods,
            false => {
                !chosen.is_empty()
                    || of_chart
                    || (services.is_empty() && deployed::belongs(case, file, &names))
            }
        };
        if !is_ours && !monitor.has_expressions {
            continue;
        }
        let missing = monitor.endpoints.iter().find_map(|endpoint| {
            let port = endpoint.port.as_ref().filter(|port| !helm::is_open(port))?;
            let exists = match monitor.is_pods {
                true => pods.iter().any(|pod| pod.container.port_number(port).is_some()),
                false => chosen.iter().any(|(_, ports)| {
                    ports.ports.iter().any(|p| {
                        p.name.as_deref() == Some(port)
                            || p.name.as_deref().is_some_and(helm::is_open)
                    })
                }),
            };
            (!exists && (monitor.is_pods || !chosen.is_empty())).then_some(port)
        });
        match missing {
            Some(port) => {
                let message = format!(
                    "`{}` scrapes the port `{port}`, which what it selects does not have",
                    resource.name
                );
                scraping.broken.push((file.place(port.span), message));
            }
            None => {
                scraping.ours.get_or_insert(place);
            }
        }
    }
}

/// Jobs of Prometheus' own configuration.
fn jobs(case: &Case<'_>, scraping: &mut Scraping) {
    let configs: Vec<(&File, &Prometheus)> = deployed::documents(case)
        .filter_map(|(file, document)| match document {
            Document::Prometheus(config) => Some((file, config)),
            _ => None,
        })
        .collect();
    let composed = deployed::composed(case);
    let ports: Vec<u16> = composed
        .iter()
        .flat_map(|(_, service)| service.ports.iter().map(|(port, _)| *port))
        .chain(
            deployed::images(case)
                .iter()
                .flat_map(|(_, _, image)| image.ports.iter().map(|(p, _)| *p)),
        )
        .collect();
    let mut missed = Vec::new();
    for (file, config) in configs {
        if config.has_scrape_config_files {
            scraping.ours.get_or_insert(file.place(config.span));
        }
        for job in &config.jobs {
            let place = file.place(job.name.span);
            if job.discovers {
                scraping.any.get_or_insert(place.clone());
                scraping.ours.get_or_insert(place);
                continue;
            }
            for target in &job.targets {
                let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
                let is_local = matches!(host, "localhost" | "127.0.0.1" | "host.docker.internal");
                // Prometheus scraping itself says nothing about services.
                if is_local && port == "9090" {
                    continue;
                }
                scraping.any.get_or_insert(place.clone());
                let is_named = composed.iter().any(|(_, service)| service.name.value == host)
                    || deployed::belongs_by_name(
                        case,
                        &[Some(host), Some(job.name.value.as_str())],
                    );
                let has_port = port.parse().is_ok_and(|port: u16| ports.contains(&port));
                let misses = || {
                    (!has_port && !ports.is_empty() && has_one_port(case, port))
                        .then(|| {
                            format!("`{target}` is scraped, a port that the service does not open")
                        })
                        .or_else(|| misses_path(case, job))
                };
                if deployed::belongs_by_name(case, &[Some(host)])
                    && let Some(message) = misses()
                {
                    missed.push((file.place(target.span), message));
                    continue;
                }
                if is_named || has_port && (is_local || is_unknown(case, host)) {
                    scraping.ours.get_or_insert(file.place(target.span));
                }
            }
        }
    }
    if scraping.ours.is_none() {
        scraping.broken.append(&mut missed);
    }
}

/// Whether metrics stand on one of the application's routes, and nothing offers them by a path or a port that is set elsewhere.
fn is_by_route(case: &Case<'_>) -> bool {
    let by_itself = ["start_http_server", "Exporter", "Builder", "HTTPServer", "Reader", "Module"];
    let elsewhere = |kind: &FactKind| match kind {
        FactKind::MetricsExposed(Exposed::Pulled(by)) => {
            by_itself.iter().any(|word| by.contains(word))
        }
        FactKind::MetricsExposed(Exposed::Middleware(_)) => true,
        _ => false,
    };
    case.any(|kind| matches!(kind, FactKind::Route(route) if is_metrics(&route.path)))
        && !case.any(elsewhere)
}

/// Whether a service opens the ports that its containers say and no other, as far as its code and its settings tell: it
/// has one server, and nothing names this port.
fn has_one_port(case: &Case<'_>, port: &str) -> bool {
    let servers = case.facts().filter(|(_, fact)| {
        matches!(&fact.kind, FactKind::Server(by)
            if !matches!(by.0.as_str(), "werkzeug" | "uvicorn" | "gunicorn" | "asgi" | "wsgi"))
    });
    port.parse::<u16>().is_ok()
        && is_by_route(case)
        && servers.count() < 2
        && deployed::pods(case).is_empty()
        && !runs::environment(case).iter().any(|(_, _, value)| value.contains(port))
        && !runs::commands(case).iter().any(|(_, line)| line.contains(port))
}

/// What to say of a job whose path is none of the service's.
fn misses_path(case: &Case<'_>, job: &crate::files::prometheus::Job) -> Option<String> {
    let asked = job.path.as_ref().map_or("/metrics", |path| path.value.as_str());
    let asked = asked.trim_end_matches('/');
    // Routes may stand below a prefix that is said elsewhere.
    let answers = |kind: &FactKind| match kind {
        FactKind::Route(route) => {
            let own = route.path.trim_matches('/');
            !own.is_empty() && asked.ends_with(own)
        }
        _ => false,
    };
    let is_missed = asked.starts_with('/')
        && is_by_route(case)
        && super::met::actuator_offers(case).is_none()
        && !case.any(answers);
    is_missed.then(|| format!("`{asked}` is scraped, a path that the service does not have"))
}

/// Whether a host is a service of Compose that runs an image of the house that nothing ties to a service: `app-a`, `app-b`.
fn is_unknown(case: &Case<'_>, host: &str) -> bool {
    deployed::documents(case).any(|(_, document)| match document {
        Document::Compose(compose) => compose.services.iter().any(|service| {
            let image = service.image.as_ref().map(|image| image.value.as_str());
            service.name.value == host
                && service.build.is_none()
                && image.is_some_and(|image| !deployed::is_product(image))
                && deployed::is_nobodys(case, &[Some(host)])
        }),
        _ => false,
    })
}
