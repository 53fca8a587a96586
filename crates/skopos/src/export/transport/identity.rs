//! Whether a client's certificate and key can be used: asked before the libraries are given them, one of which panics otherwise.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Says what is wrong with the certificate or the key, or that they do not belong together.
pub(super) fn check(chain: &[u8], key: &[u8]) -> Result<(), String> {
    let unreadable = |part: &str| format!("OTEL_EXPORTER_OTLP_{part} names a file that is no PEM");
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable("CLIENT_CERTIFICATE"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable("CLIENT_KEY"))?;
    let ours = || Arc::new(ring::default_provider());
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(ours);
    // The error may say what it read: it is not repeated.
    CertifiedKey::from_der(chain, key, &provider).map(drop).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "OTEL_EXPORTER_OTLP_CLIENT_KEY is not the key of \
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
            .to_owned(),
        _ => "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY cannot be used".to_owned(),
    })
}
