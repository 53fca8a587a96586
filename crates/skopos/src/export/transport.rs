//! One request, with the answers sorted by what they mean for the batch.
//!
//! Blocking, on an exporter's own thread, and bounded in time. Redirects are not followed: they would take the headers, and
//! the secrets in them, to another host.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::StatusCode;

use crate::clock;
use crate::config::{Endpoint, Protocol};

#[cfg(feature = "grpc")]
mod grpc;

/// Longest answer that is read; a partial-success message is far shorter.
const LONGEST_RESPONSE: usize = 64 * 1024;
/// Longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The batch was accepted, perhaps in part.
    Taken { response: Vec<u8> },
    /// Sending the same again is of no use.
    Refused,
    /// Overloaded, unreachable or too slow.
    TryAgain { after: Option<Duration> },
}

/// Posts to one endpoint. Belongs to one thread.
pub(crate) struct Transport {
    agent: Agent,
    endpoint: Endpoint,
    /// Made on the thread that uses it, because a runtime must not be dropped inside another one.
    #[cfg(feature = "grpc")]
    connection: std::cell::OnceCell<Option<grpc::Connection>>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint) -> Transport {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("skopos-sdk/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = config.tls_config(tls_config(&endpoint.certificates));
        Transport {
            agent: config.build().new_agent(),
            endpoint: endpoint.clone(),
            #[cfg(feature = "grpc")]
            connection: std::cell::OnceCell::new(),
        }
    }

    /// Posts a body; gives up at the endpoint's timeout or the deadline, whichever comes first.
    pub(crate) fn post(&self, body: &[u8], deadline: Instant) -> Outcome {
        let left = deadline.saturating_duration_since(clock::instant());
        let timeout = self.endpoint.timeout.min(left);
        if timeout == Duration::ZERO {
            return Outcome::TryAgain { after: None };
        }
        if self.endpoint.protocol == Protocol::Grpc {
            #[cfg(feature = "grpc")]
            if let Some(connection) =
                self.connection.get_or_init(|| grpc::Connection::new(&self.endpoint))
            {
                return connection.post(body, timeout);
            }
            return Outcome::Refused;
        }
        let body = if self.endpoint.is_compressed { compress(body) } else { Cow::Borrowed(body) };
        let mut request =
            self.agent.post(&self.endpoint.url).header("content-type", "application/x-protobuf");
        if matches!(body, Cow::Owned(_)) {
            request = request.header("content-encoding", "gzip");
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        let sent = request.config().timeout_global(Some(timeout)).build().send(&*body);
        let mut response = match sent {
            Ok(response) => response,
            Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => return Outcome::Refused,
            Err(_) => return Outcome::TryAgain { after: None },
        };
        match response.status() {
            status if status.is_success() => {
                let body =
                    response.body_mut().with_config().limit(LONGEST_RESPONSE as u64).read_to_vec();
                Outcome::Taken { response: body.unwrap_or_default() }
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after =
                    response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                Outcome::TryAgain { after: after.and_then(retry_after) }
            }
            _ => Outcome::Refused,
        }
    }
}

/// Compresses a body; one that cannot be is sent as it is.
fn compress(body: &[u8]) -> Cow<'_, [u8]> {
    let capacity = body.len() / 4;
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(capacity), flate2::Compression::fast());
    match encoder.write_all(body).and_then(|()| encoder.finish()) {
        Ok(compressed) => Cow::Owned(compressed),
        Err(_) => Cow::Borrowed(body),
    }
}

/// Whom we trust and who we are. What cannot be used trusts nobody: the handshake fails, and the batch is counted as lost.
#[cfg(feature = "tls")]
fn tls_config(certificates: &crate::config::Certificates) -> ureq::tls::TlsConfig {
    use ureq::tls::{
        Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem,
    };

    let all_in = |pem: &[u8]| -> Vec<Certificate<'static>> {
        parse_pem(pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect()
    };
    let mut config = TlsConfig::builder();
    if let Some(authority) = &certificates.authority {
        config = config.root_certs(RootCerts::new_with_certs(&all_in(authority)));
    }
    if let Some((chain, key)) = &certificates.identity
        && let Ok(key) = PrivateKey::from_pem(key)
    {
        config = config.client_cert(Some(ClientCert::new_with_certs(&all_in(chain), key)));
    }
    config.build()
}

/// Reads `Retry-After` in seconds; a date is left to the ordinary backoff.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
