//! TLS to receivers: rustls, trusting what the system trusts and what `tls_config` names.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use skopos_alerting::alertmanager::{Source, TlsConfig};

use super::secrets::read_now;
use crate::ServerError;

/// The configuration of connections.
pub(super) fn client_config(source: &Source, tls: &TlsConfig) -> Result<ClientConfig, ServerError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] =
        match (tls.min_version.as_deref(), tls.max_version.as_deref()) {
            (Some("TLS13"), _) => &[&rustls::version::TLS13],
            (_, Some("TLS12")) => &[&rustls::version::TLS12],
            _ => &[&rustls::version::TLS12, &rustls::version::TLS13],
        };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| wrong("versions", error))?;
    let builder = match tls.insecure_skip_verify {
        true => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
        false => builder.with_root_certificates(roots(source, tls)?),
    };
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let cert = read_now(source, cert).map_err(|error| wrong("cert", error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
    let chain = chain.map_err(|error| wrong("cert", format!("{error:?}")))?;
    let key = read_now(source, key).map_err(|error| wrong("key", error))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| wrong("key", "it is no PEM key"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| wrong("cert", error))
}

/// What the system trusts, read once: that takes many files.
static SYSTEM_ROOTS: OnceLock<RootCertStore> = OnceLock::new();

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(source: &Source, tls: &TlsConfig) -> Result<RootCertStore, ServerError> {
    let mut roots = SYSTEM_ROOTS.get_or_init(system_roots).clone();
    if let Some(ca) = &tls.ca {
        let pem = read_now(source, ca).map_err(|error| wrong("ca", error))?;
        for cert in CertificateDer::pem_slice_iter(&pem) {
            let cert = cert.map_err(|error| wrong("ca", format!("{error:?}")))?;
            roots.add(cert).map_err(|error| wrong("ca", error))?;
        }
    }
    Ok(roots)
}

fn wrong(key: &'static str, error: impl std::fmt::Display) -> ServerError {
    ServerError::Io {
        what: "set up TLS for notifications",
        source: std::io::Error::other(format!("tls_config: {key}: {error}")),
    }
}

/// `insecure_skip_verify`: whoever answers is believed; that they hold their key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a handshake failed, without names and addresses.
pub(super) fn reason(error: &rustls::Error) -> String {
    use rustls::CertificateError as C;
    let why = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            C::UnknownIssuer => "the certificate's issuer is not trusted (tls_config.ca_file)",
            C::Expired | C::ExpiredContext { .. } => "the certificate has expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "the certificate is not valid yet",
            C::NotValidForName | C::NotValidForNameContext { .. } => {
                "the certificate is for another name (tls_config.server_name)"
            }
            _ => "the certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "the receiver broke off the handshake",
        _ => "the handshake failed",
    };
    format!("TLS: {why}")
}
