//! Where a signal is sent, and how: address, protocol, headers, compression, certificates.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Lookup, millis, pairs};

/// Where one signal is sent.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// With the path: of the resource, or of the gRPC method.
    pub(crate) url: String,
    pub(crate) protocol: Protocol,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) is_compressed: bool,
    pub(crate) certificates: Certificates,
    /// Where to look whether anybody listens, before each attempt; none when the endpoint was asked for by name.
    pub(crate) local: Option<SocketAddr>,
}

impl Endpoint {
    /// Returns the URL as it may be shown: without user, password and query; of a gRPC method only the host.
    #[cfg(feature = "otlp")]
    pub(crate) fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else { return String::new() };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default();
        match self.protocol {
            Protocol::Grpc => format!("{scheme}://{host}"),
            Protocol::HttpProtobuf => format!("{scheme}://{host}/{path}"),
        }
    }
}

/// How a request is made.
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "only the exporters need it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    Grpc,
}

/// PEM texts for TLS.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS needs them"))]
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Certificates {
    /// Whom we trust instead of the usual authorities.
    pub(crate) authority: Option<Vec<u8>>,
    /// Who we are: certificate and key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Certificates")
            .field("has_authority", &self.authority.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

/// A signal as the variables and the paths name it.
#[derive(Clone, Copy)]
pub(crate) struct SignalNames {
    /// `TRACES`
    pub(crate) variable: &'static str,
    /// `v1/traces`
    pub(crate) path: &'static str,
    /// `trace.v1.TraceService`
    pub(crate) service: &'static str,
}

pub(crate) const TRACES: SignalNames =
    SignalNames { variable: "TRACES", path: "v1/traces", service: "trace.v1.TraceService" };
pub(crate) const LOGS: SignalNames =
    SignalNames { variable: "LOGS", path: "v1/logs", service: "logs.v1.LogsService" };
pub(crate) const METRICS: SignalNames =
    SignalNames { variable: "METRICS", path: "v1/metrics", service: "metrics.v1.MetricsService" };

/// Whether a signal is lines on the console, too.
pub(super) fn wants_console(signal: SignalNames, variable: Lookup<'_>) -> bool {
    exporters(signal, variable).iter().any(|exporter| exporter == "console")
}

/// What `OTEL_…_EXPORTER` names, each once.
fn exporters(signal: SignalNames, variable: Lookup<'_>) -> Vec<String> {
    let asked = variable(&format!("OTEL_{}_EXPORTER", signal.variable));
    let mut exporters: Vec<String> = Vec::new();
    for exporter in asked.as_deref().unwrap_or("otlp").split(',') {
        let exporter = exporter.trim().to_ascii_lowercase();
        if !exporter.is_empty() && !exporters.contains(&exporter) {
            exporters.push(exporter);
        }
    }
    exporters
}

/// Whether a signal goes to a collector, when there is one.
pub(super) fn is_pushed(signal: SignalNames, variable: Lookup<'_>) -> bool {
    exporters(signal, variable).iter().any(|exporter| exporter == "otlp")
}

/// Reads where a signal goes; nowhere without an endpoint, or with one that cannot be used. Certificates are the one thing that
/// is read from files.
pub(super) fn read(
    signal: SignalNames,
    variable: Lookup<'_>,
    warnings: &mut Vec<String>,
) -> Option<Endpoint> {
    let name = signal.variable;
    let mut is_pushed = false;
    for exporter in exporters(signal, variable) {
        match exporter.as_str() {
            "otlp" => is_pushed = true,
            // Lines are on the console anyway; spans and metrics are there when asked for.
            "none" | "console" => {}
            // Metrics are always there to be scraped: this says that they are not pushed.
            "prometheus" if name == "METRICS" => {}
            other => warnings.push(format!(
                "OTEL_{name}_EXPORTER={other} is not supported: otlp, console, {}none",
                if name == "METRICS" { "prometheus or " } else { "or " }
            )),
        }
    }
    if !is_pushed {
        return None;
    }
    let either = |part: &str| {
        variable(&format!("OTEL_EXPORTER_OTLP_{name}_{part}"))
            .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{part}")))
    };
    let exact = variable(&format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT"));
    let source = match &exact {
        Some(_) => format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT"),
        None => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
    };
    let given = exact.clone().or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let asked = either("PROTOCOL").map(|protocol| protocol.to_ascii_lowercase());
    let protocol = read_protocol(asked.as_deref(), &given, warnings);
    let url = match protocol {
        Protocol::Grpc => {
            let is_insecure =
                either("INSECURE").is_some_and(|text| text.eq_ignore_ascii_case("true"));
            grpc_url(&given, is_insecure, signal.service)
        }
        Protocol::HttpProtobuf => {
            let url = match exact {
                Some(exact) => exact,
                None => format!("{}/{}", given.trim_end_matches('/'), signal.path),
            };
            if url.contains(":4317/") && asked.as_deref() != Some("http/protobuf") {
                warnings.push(
                    "port 4317 is OTLP over gRPC, for which this SDK needs the cargo feature `grpc`; \
                     http/protobuf on port 4318 of that host is used"
                        .to_owned(),
                );
                url.replacen(":4317/", ":4318/", 1)
            } else {
                url
            }
        }
    };
    let is_https = url.starts_with("https://");
    let is_usable = url.starts_with("http://") || (is_https && cfg!(feature = "tls"));
    if !is_usable {
        // The URL may hold credentials: it is not repeated.
        let reason = if is_https {
            "needs the cargo feature `tls`"
        } else {
            "is no URL: write it as http://HOST:4318"
        };
        let signal = name.to_ascii_lowercase();
        warnings.push(format!("{source} {reason}; no {signal} are exported"));
        return None;
    }
    if cfg!(not(feature = "otlp")) {
        warnings.push("an OTLP endpoint is set, but the cargo feature `otlp` is off".to_owned());
    }
    // Without TLS they mean nothing: one environment may serve several endpoints.
    let certificates =
        if is_https { read_certificates(&either) } else { Ok(Certificates::default()) };
    let certificates = match certificates {
        Ok(certificates) => certificates,
        // Without the certificate that was asked for, somebody else might be trusted.
        Err(problem) => {
            warnings.push(format!("{problem}; nothing is exported for {name}"));
            return None;
        }
    };
    let headers = either("HEADERS")
        .map(|text| pairs("OTEL_EXPORTER_OTLP_HEADERS", &text, warnings))
        .unwrap_or_default();
    let timeout = either("TIMEOUT")
        .and_then(|text| millis("OTEL_EXPORTER_OTLP_TIMEOUT", &text, warnings))
        .unwrap_or(Duration::from_secs(10));
    let compression = either("COMPRESSION").map(|compression| compression.to_ascii_lowercase());
    let is_compressed = match compression.as_deref() {
        None | Some("none") => false,
        Some("gzip") => true,
        Some(other) => {
            warnings.push(format!("OTLP compression {other} is not supported: gzip or none"));
            false
        }
    };
    Some(Endpoint { url, protocol, headers, timeout, is_compressed, certificates, local: None })
}

fn read_protocol(asked: Option<&str>, endpoint: &str, warnings: &mut Vec<String>) -> Protocol {
    let is_grpc_port = endpoint.trim_end_matches('/').ends_with(":4317");
    match asked {
        Some("http/protobuf") => Protocol::HttpProtobuf,
        Some("grpc") if cfg!(feature = "grpc") => Protocol::Grpc,
        None if is_grpc_port && cfg!(feature = "grpc") => Protocol::Grpc,
        None => Protocol::HttpProtobuf,
        Some("grpc") => {
            // Where the port says so too, one warning is enough.
            if !is_grpc_port {
                warnings.push(
                    "OTLP over gRPC needs the cargo feature `grpc`: http/protobuf is used"
                        .to_owned(),
                );
            }
            Protocol::HttpProtobuf
        }
        Some(other) => {
            warnings.push(format!("OTLP protocol {other} is not supported: http/protobuf is used"));
            Protocol::HttpProtobuf
        }
    }
}

/// A gRPC endpoint may lack its scheme, and its path means nothing.
fn grpc_url(endpoint: &str, is_insecure: bool, service: &str) -> String {
    let (scheme, rest) = match endpoint.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => (if is_insecure { "http" } else { "https" }, endpoint),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/opentelemetry.proto.collector.{service}/Export")
}

fn read_certificates(either: &dyn Fn(&str) -> Option<String>) -> Result<Certificates, String> {
    let read = |part: &str, marker: &str| -> Result<Option<Vec<u8>>, String> {
        let Some(path) = either(part) else { return Ok(None) };
        let name = format!("OTEL_EXPORTER_OTLP_{part}");
        let text = std::fs::read(&path)
            .map_err(|error| format!("{name} names a file that cannot be read ({error})"))?;
        let is_pem = text.windows(marker.len()).any(|window| window == marker.as_bytes());
        if is_pem { Ok(Some(text)) } else { Err(format!("{name} names a file without {marker}")) }
    };
    let authority = read("CERTIFICATE", "-----BEGIN CERTIFICATE-----")?;
    let certificate = read("CLIENT_CERTIFICATE", "-----BEGIN CERTIFICATE-----")?;
    let key = read("CLIENT_KEY", "PRIVATE KEY-----")?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("a client has a certificate and a key, or neither".to_owned()),
    };
    Ok(Certificates { authority, identity })
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, LOGS, Protocol, TRACES, read};

    fn with(variables: &[(&str, &str)]) -> (Option<Endpoint>, Vec<String>) {
        let mut warnings = Vec::new();
        let look_up = |key: &str| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        };
        let endpoint = read(TRACES, &look_up, &mut warnings);
        (endpoint, warnings)
    }

    #[test]
    fn the_protocol_decides_about_path_and_port() {
        let http = |host: &str| Some((Protocol::HttpProtobuf, format!("http://{host}/v1/traces")));
        let method = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let grpc = |base: &str| {
            if cfg!(feature = "grpc") {
                Some((Protocol::Grpc, format!("{base}/{method}")))
            } else {
                None
            }
        };
        for (endpoint, protocol, expected) in [
            ("http://c:4318", "", http("c:4318")),
            ("http://c:4318/", "http/protobuf", http("c:4318")),
            ("http://c:4317", "http/protobuf", http("c:4317")),
            ("http://c:4317", "", grpc("http://c:4317").or(http("c:4318"))),
            ("http://c:4317/", "grpc", grpc("http://c:4317").or(http("c:4318"))),
            ("http://c:9/ignored", "grpc", grpc("http://c:9").or(http("c:9/ignored"))),
            ("http://c:9", "http/json", http("c:9")),
        ] {
            let (found, warnings) = with(
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ]
                .map(|(key, value)| (if value.is_empty() { "" } else { key }, value)),
            );
            let found = found.map(|found| (found.protocol, found.url));
            assert_eq!(found, expected, "{endpoint} {protocol}: {warnings:?}");
        }
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_grpc_endpoint_may_lack_its_scheme() {
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317");
        let (found, _) = with(&[grpc, bare, ("OTEL_EXPORTER_OTLP_INSECURE", "true")]);
        assert!(found.unwrap().url.starts_with("http://c:4317/"));
        // Secure unless said otherwise: without TLS there is no export.
        assert_eq!(with(&[grpc, bare]).0.is_some(), cfg!(feature = "tls"));
    }

    #[test]
    fn compression_is_gzip_or_none() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (compression, expected, warnings) in
            [("gzip", true, 0), ("GZIP", true, 0), ("none", false, 0), ("br", false, 1)]
        {
            let (found, said) = with(&[base, ("OTEL_EXPORTER_OTLP_COMPRESSION", compression)]);
            assert_eq!((found.unwrap().is_compressed, said.len()), (expected, warnings));
        }
    }

    #[test]
    fn certificates_are_read_where_there_is_tls() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let certificate = path("c.pem", "-----BEGIN CERTIFICATE-----\nx\n");
        let key = path("k.pem", "-----BEGIN PRIVATE KEY-----\nsecret\n");
        let secure = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318");
        let plain = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let all = [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.as_str()),
            // What is said for the signal wins over what is said for all.
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/nowhere/c.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", &certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
        ];
        let with_all = |endpoint| with(&[&[endpoint][..], &all].concat());
        let (found, warnings) = with_all(plain);
        let found = found.unwrap().certificates;
        assert!(found.authority.is_none() && found.identity.is_none() && warnings.is_empty());
        if cfg!(not(feature = "tls")) {
            return;
        }
        let found = with_all(secure).0.unwrap();
        assert!(found.certificates.authority.is_some() && found.certificates.identity.is_some());
        assert!(!format!("{found:?}").contains("secret"));
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/c.pem"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", key.as_str()),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
        ] {
            let (found, warnings) = with(&[secure, (variable, value)]);
            assert!(found.is_none() && warnings.len() == 1, "{variable}={value}: {warnings:?}");
            assert!(with(&[plain, (variable, value)]).0.is_some(), "{variable}={value}");
        }
    }

    #[test]
    fn each_signal_has_its_method() {
        let look_up = |key: &str| {
            (key == "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT").then(|| "http://c:1/custom".to_owned())
        };
        let logs = read(LOGS, &look_up, &mut Vec::new()).unwrap();
        assert_eq!(logs.url, "http://c:1/custom", "one that is given for the signal is exact");
        assert!(read(TRACES, &look_up, &mut Vec::new()).is_none());
    }
}
