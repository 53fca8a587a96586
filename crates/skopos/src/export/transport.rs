//! One request, with the answers sorted by what they mean for the batch.
//!
//! Blocking, on an exporter's own thread, and bounded in time. Redirects are not followed: they would take the headers, and
//! the secrets in them, to another host. Whatever fails says why, in words of [`cause`].

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::StatusCode;

use crate::clock;
use crate::config::{Endpoint, Protocol};

mod cause;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "tls")]
mod identity;

/// Longest answer that is read; a partial-success message is far shorter.
const LONGEST_RESPONSE: usize = 64 * 1024;
/// Longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long it may take to find out whether anybody of this machine listens.
const LOOK: Duration = Duration::from_millis(200);

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The batch was accepted, perhaps in part.
    Taken { response: Vec<u8> },
    /// Sending the same again is of no use.
    Refused { cause: String },
    /// Overloaded, unreachable or too slow.
    TryAgain { after: Option<Duration>, cause: String },
}

/// Posts to one endpoint. Belongs to one thread.
pub(crate) struct Transport {
    /// What HTTP is spoken with; or why it cannot be.
    agent: Result<Agent, String>,
    endpoint: Endpoint,
    /// Whether the last attempt was taken.
    was_taken: Cell<bool>,
    /// Made on the thread that uses it, because a runtime must not be dropped inside another one.
    #[cfg(feature = "grpc")]
    connection: std::cell::OnceCell<Result<grpc::Connection, String>>,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint) -> Transport {
        Transport {
            agent: agent(endpoint),
            endpoint: endpoint.clone(),
            was_taken: Cell::new(false),
            #[cfg(feature = "grpc")]
            connection: std::cell::OnceCell::new(),
        }
    }

    /// Whether it goes to a collector of this machine that nobody has named: what it does not take is let go.
    pub(crate) fn is_local(&self) -> bool {
        self.endpoint.local.is_some()
    }

    /// Whether it is worth an attempt. Only of a collector that nobody has named it is asked.
    pub(crate) fn is_there(&self) -> bool {
        let Some(address) = self.endpoint.local else { return true };
        self.was_taken.get() || TcpStream::connect_timeout(&address, LOOK).is_ok()
    }

    /// Posts a body; gives up at the endpoint's timeout or the deadline, whichever comes first.
    pub(crate) fn post(&self, body: &[u8], deadline: Instant) -> Outcome {
        let left = deadline.saturating_duration_since(clock::instant());
        let timeout = self.endpoint.timeout.min(left);
        if timeout == Duration::ZERO {
            return Outcome::TryAgain { after: None, cause: "no time was left".to_owned() };
        }
        // A panic in a library shall cost this batch and not the thread.
        let posted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if self.endpoint.protocol == Protocol::Grpc {
                self.call(body, timeout)
            } else {
                self.send(body, timeout)
            }
        }));
        let outcome = posted
            .unwrap_or_else(|_| Outcome::Refused { cause: "the exporter panicked".to_owned() });
        self.was_taken.set(matches!(outcome, Outcome::Taken { .. }));
        outcome
    }

    /// Posts over HTTP.
    fn send(&self, body: &[u8], timeout: Duration) -> Outcome {
        let agent = match &self.agent {
            Ok(agent) => agent,
            Err(problem) => return Outcome::Refused { cause: problem.clone() },
        };
        let body = if self.endpoint.is_compressed { compress(body) } else { Cow::Borrowed(body) };
        let mut request =
            agent.post(&self.endpoint.url).header("content-type", "application/x-protobuf");
        if matches!(body, Cow::Owned(_)) {
            request = request.header("content-encoding", "gzip");
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        let sent = request.config().timeout_global(Some(timeout)).build().send(&*body);
        let mut response = match sent {
            Ok(response) => response,
            // Says which header or which part of the URL, not what is in it.
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                return Outcome::Refused { cause: cause::of_request(&error, timeout) };
            }
            Err(error) => {
                let cause = cause::of_request(&error, timeout);
                return Outcome::TryAgain { after: None, cause };
            }
        };
        let answer = response
            .body_mut()
            .with_config()
            .limit(LONGEST_RESPONSE as u64)
            .read_to_vec()
            .unwrap_or_default();
        let status = response.status();
        if status.is_success() {
            return Outcome::Taken { response: answer };
        }
        let cause = cause::of_answer(&status.to_string(), &words(&answer));
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after =
                    response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                Outcome::TryAgain { after: after.and_then(retry_after), cause }
            }
            _ => Outcome::Refused { cause },
        }
    }

    /// Posts over gRPC.
    #[cfg(feature = "grpc")]
    fn call(&self, body: &[u8], timeout: Duration) -> Outcome {
        match self.connection.get_or_init(|| grpc::Connection::new(&self.endpoint)) {
            Ok(connection) => connection.post(body, timeout),
            Err(problem) => Outcome::Refused { cause: problem.clone() },
        }
    }

    #[cfg(not(feature = "grpc"))]
    fn call(&self, _: &[u8], _: Duration) -> Outcome {
        Outcome::Refused { cause: "gRPC needs the cargo feature `grpc`".to_owned() }
    }
}

/// Prepares to speak HTTP, or says why that is not possible.
fn agent(endpoint: &Endpoint) -> Result<Agent, String> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("skopos-sdk/", env!("CARGO_PKG_VERSION")));
    #[cfg(feature = "tls")]
    let config = config.tls_config(tls_config(&endpoint.certificates)?);
    // What is meant for this machine takes no way through another one.
    let config = if endpoint.local.is_some() { config.proxy(None) } else { config };
    Ok(config.build().new_agent())
}

/// `google.rpc.Status`, as far as it has words: what OTLP answers in when it refuses.
#[derive(Clone, PartialEq, prost::Message)]
struct Refusal {
    #[prost(string, tag = "2")]
    message: String,
}

/// The words of an answer; none when it is something else, such as a page of a proxy.
fn words(answer: &[u8]) -> String {
    use prost::Message as _;
    Refusal::decode(answer).map(|refusal| refusal.message).unwrap_or_default()
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

/// Whom we trust and who we are. What cannot be used is an error: without it somebody else might be trusted.
#[cfg(feature = "tls")]
fn tls_config(certificates: &crate::config::Certificates) -> Result<ureq::tls::TlsConfig, String> {
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
    if let Some((chain, key)) = &certificates.identity {
        identity::check(chain, key)?;
        let key = PrivateKey::from_pem(key).map_err(|error| error.to_string())?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&all_in(chain), key)));
    }
    Ok(config.build())
}

/// Reads `Retry-After` in seconds; a date is left to the ordinary backoff.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
