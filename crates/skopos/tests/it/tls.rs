//! OTLP over TLS: whom we trust, who we are, and what is said when the other end is not whom it should be.
//!
//! The authorities and certificates are made anew at each run, so that none is in the repository and none expires there.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};

use crate::support::{Collector, Manner, Output, PATIENCE, builder, scoped, wait_until};

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// Signs a certificate for a name that ends with this year.
    fn identity(&self, name: &str, year: i32) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

/// Serves as somebody; asks callers for a certificate that an authority signed, if one is given.
fn server(identity: &Identity, callers: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match callers {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let mut config =
        config.with_single_cert(vec![identity.certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// PEM files, for the variables that name them.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn protocols() -> &'static [&'static str] {
    if cfg!(feature = "grpc") { &["http/protobuf", "grpc"] } else { &["http/protobuf"] }
}

#[test]
fn the_right_certificates_are_taken_and_the_wrong_ones_are_named() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let valid = ours.identity("127.0.0.1", 2099);
    let caller = ours.identity("orders", 2099);
    let stranger = theirs.identity("orders", 2099);
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let authority = files.put("authority.pem", &ours.certificate.pem());
    // Several in one file, as such bundles are.
    let bundle = format!("{}{}", theirs.certificate.pem(), ours.certificate.pem());
    let bundle = files.put("bundle.pem", &bundle);
    let as_caller = |name: &str, identity: &Identity| {
        let certificate = files.put(&format!("{name}.pem"), &identity.certificate.pem());
        [certificate, files.put(&format!("{name}.key"), &identity.key.serialize_pem())]
    };
    let caller = as_caller("caller", &caller);
    let stranger = as_caller("stranger", &stranger);
    let mismatched = [caller[0].clone(), stranger[1].clone()];
    let no_key = [caller[0].clone(), files.put("no.key", "-----BEGIN PRIVATE KEY-----\nx\n")];

    let plain = || server(&valid, None);
    let asking = || server(&valid, Some(&ours));
    let expired = || server(&ours.identity("127.0.0.1", 2001), None);
    let renamed = || server(&ours.identity("collector.example", 2099), None);
    let trusted = Some(&authority);
    // What the collector is, whom we trust, who we are; and what is said, or nothing where all is well.
    type Case<'c> =
        (&'c str, ServerConfig, Option<&'c String>, Option<&'c [String; 2]>, Option<&'c str>);
    let cases = || -> Vec<Case<'_>> {
        vec![
            ("trusted", plain(), trusted, None, None),
            ("one of a bundle", plain(), Some(&bundle), None, None),
            ("not asked for", plain(), trusted, Some(&caller), None),
            ("known caller", asking(), trusted, Some(&caller), None),
            ("usual authorities", plain(), None, None, Some("signed by nobody we trust")),
            ("expired", expired(), trusted, None, Some("its certificate has expired")),
            (
                "another name",
                renamed(),
                trusted,
                None,
                Some("not for 127.0.0.1, but for collector.example"),
            ),
            ("no caller", asking(), trusted, None, Some("asks for a client certificate")),
            (
                "unknown caller",
                asking(),
                trusted,
                Some(&stranger),
                Some("does not accept our client certificate"),
            ),
            ("mismatched", asking(), trusted, Some(&mismatched), Some("is not the key of")),
            ("no key", asking(), trusted, Some(&no_key), Some("CLIENT_KEY names")),
        ]
    };
    for protocol in protocols() {
        for (case, server, trusted, identity, problem) in cases() {
            let collector = Collector::start_tls(Manner::Accepts, server);
            let mut variables = Vec::from([
                ("OTEL_EXPORTER_OTLP_PROTOCOL", *protocol),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
                ("OTEL_LOGS_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "none"),
            ]);
            let endpoint = collector.endpoint();
            variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint));
            variables.extend(trusted.map(|path| ("OTEL_EXPORTER_OTLP_CERTIFICATE", &**path)));
            if let Some([certificate, key]) = identity {
                variables.push(("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", certificate));
                variables.push(("OTEL_EXPORTER_OTLP_CLIENT_KEY", key));
            }
            let output = Output::default();
            let (telemetry, guard) = scoped(builder(&output, &variables));
            tracing::info_span!("work").in_scope(|| ());
            drop(guard);
            let case = format!("{protocol}, {case}");
            let Some(problem) = problem else {
                assert!(telemetry.flush(PATIENCE), "{case}: {}", output.text());
                assert_eq!(collector.spans().len(), 1, "{case}");
                assert_eq!(output.text(), "", "{case}");
                continue;
            };
            wait_until(|| output.text().contains("telemetry cannot be exported"));
            let report = telemetry.shutdown_blocking(Duration::from_millis(100));
            let line = &output.lines()[0];
            assert_eq!((&line["level"], &line["signal"]), (&"WARN".into(), &"spans".into()));
            let (cause, named) = (line["cause"].as_str().unwrap(), &line["endpoint"]);
            assert!(cause.contains(problem), "{case}: {line}");
            assert!(named.as_str().unwrap().starts_with(&endpoint), "{case}: {line}");
            assert_eq!((report.spans_lost, collector.spans().len()), (1, 0), "{case}: {report}");
            let told = report.cause.expect("a cause");
            assert!(told.starts_with(&endpoint) && told.contains(problem), "{case}: {told}");
        }
    }
}

#[test]
fn a_collector_without_tls_is_recognised() {
    for protocol in protocols() {
        let collector = Collector::start(Manner::Accepts);
        let endpoint = collector.endpoint().replace("http://", "https://");
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", *protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ];
        let output = Output::default();
        let (telemetry, guard) = scoped(builder(&output, &variables));
        tracing::info!("one");
        drop(guard);
        wait_until(|| output.text().contains("telemetry cannot be exported"));
        let report = telemetry.shutdown_blocking(Duration::from_millis(100));
        let told = report.cause.expect("a cause");
        assert!(told.contains("does not speak TLS"), "{protocol}: {told}");
    }
}
