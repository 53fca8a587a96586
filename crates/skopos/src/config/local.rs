//! The collector of this machine: where telemetry goes at a developer's desk when nobody has said where.
//!
//! It is what OpenTelemetry's SDKs do by default, with the doubts taken out: only on a loopback address, in clear http without
//! headers and compression, whatever the environment holds for other endpoints (an `authorization` is not for whoever happens
//! to listen), and only when no endpoint at all is named. Who may look for it decides the builder: never a service in
//! production. And nobody in Kubernetes, where what listens on a node's loopback address may serve everybody's pods, unless the
//! address is named. Nothing is kept or retried for it, because nobody promised that it is there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Lookup;
use super::endpoint::{self, Endpoint, LOGS, METRICS, Protocol, SignalNames, TRACES};

/// OTLP over HTTP, by its usual port.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4318);
const VARIABLE: &str = "SKOPOS_LOCAL_COLLECTOR";
/// How long one request may take: it does not leave the machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where each signal would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LocalCollector {
    pub(crate) traces: Option<Endpoint>,
    pub(crate) logs: Option<Endpoint>,
    pub(crate) metrics: Option<Endpoint>,
}

/// Reads where it would be; nowhere with `SKOPOS_LOCAL_COLLECTOR=none`, where any endpoint is named, or in Kubernetes without the
/// address.
pub(super) fn read(variable: Lookup<'_>, warnings: &mut Vec<String>) -> LocalCollector {
    let address = match variable(VARIABLE) {
        None if variable("KUBERNETES_SERVICE_HOST").is_some() => return LocalCollector::default(),
        None => USUAL,
        Some(text) if text.eq_ignore_ascii_case("none") => return LocalCollector::default(),
        Some(text) => match parse(&text) {
            Ok(address) => address,
            Err(problem) => {
                warnings.push(format!("{VARIABLE} {problem}; no collector is looked for"));
                return LocalCollector::default();
            }
        },
    };
    let is_named = ["", "TRACES_", "LOGS_", "METRICS_"]
        .iter()
        .any(|signal| variable(&format!("OTEL_EXPORTER_OTLP_{signal}ENDPOINT")).is_some());
    if is_named {
        return LocalCollector::default();
    }
    let endpoint = |signal: SignalNames| {
        endpoint::is_pushed(signal, variable).then(|| Endpoint {
            url: format!("http://{address}/{}", signal.path),
            protocol: Protocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: TIMEOUT,
            is_compressed: false,
            certificates: endpoint::Certificates::default(),
            local: Some(address),
        })
    };
    LocalCollector { traces: endpoint(TRACES), logs: endpoint(LOGS), metrics: endpoint(METRICS) }
}

fn parse(text: &str) -> Result<SocketAddr, &'static str> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let address = address.replacen("localhost:", "127.0.0.1:", 1);
    let address: SocketAddr =
        address.parse().map_err(|_| "is neither an address such as 127.0.0.1:4318 nor `none`")?;
    if !address.ip().is_loopback() {
        return Err("is not on this machine: name it in OTEL_EXPORTER_OTLP_ENDPOINT");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::{LocalCollector, read};

    fn with(variables: &[(&str, &str)]) -> (LocalCollector, Vec<String>) {
        let mut warnings = Vec::new();
        let look_up = |key: &str| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        };
        let local = read(&look_up, &mut warnings);
        (local, warnings)
    }

    #[test]
    fn it_is_at_the_usual_port_of_this_machine_and_gets_no_credentials() {
        let (local, warnings) = with(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
        ]);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(local.metrics, None);
        let traces = local.traces.unwrap();
        assert_eq!(traces.url, "http://127.0.0.1:4318/v1/traces");
        assert!(traces.headers.is_empty() && traces.local.is_some() && !traces.is_compressed);
        assert_eq!(local.logs.unwrap().url, "http://127.0.0.1:4318/v1/logs");
    }

    #[test]
    fn whoever_names_an_endpoint_or_none_or_runs_in_a_pod_gets_what_was_named() {
        for (variable, value, warnings) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", 0),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector:4318", 0),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1", 0),
            ("SKOPOS_LOCAL_COLLECTOR", "none", 0),
            ("SKOPOS_LOCAL_COLLECTOR", "10.0.0.7:4318", 1),
            ("SKOPOS_LOCAL_COLLECTOR", "https://127.0.0.1:4318", 1),
        ] {
            let (local, said) = with(&[(variable, value)]);
            assert_eq!(local, LocalCollector::default(), "{variable}={value}");
            assert_eq!(said.len(), warnings, "{variable}={value}: {said:?}");
        }
        for address in ["127.0.0.1:9", "http://localhost:9/"] {
            // A pod's own sidecar can be named.
            let pod = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
            let (local, _) = with(&[("SKOPOS_LOCAL_COLLECTOR", address), pod]);
            assert_eq!(local.traces.unwrap().url, "http://127.0.0.1:9/v1/traces");
        }
        let (local, _) = with(&[("SKOPOS_LOCAL_COLLECTOR", "[::1]:9")]);
        assert_eq!(local.logs.unwrap().url, "http://[::1]:9/v1/logs");
    }
}
