//! One POST, with the answers sorted by what they mean for the batch.
//!
//! Blocking, on an exporter's own thread, and bounded in time. Redirects are not followed: they would take the headers, and
//! the secrets in them, to another host.

use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::StatusCode;

use crate::clock;
use crate::config::Endpoint;

/// Longest answer that is read; a partial-success message is far shorter.
const LONGEST_RESPONSE: u64 = 64 * 1024;
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

/// Posts to one endpoint.
pub(crate) struct Transport {
    agent: Agent,
    endpoint: Endpoint,
}

impl Transport {
    pub(crate) fn new(endpoint: &Endpoint) -> Transport {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("skopos-sdk/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Transport { agent, endpoint: endpoint.clone() }
    }

    /// Posts a body; gives up at the endpoint's timeout or the deadline, whichever comes first.
    pub(crate) fn post(&self, body: &[u8], deadline: Instant) -> Outcome {
        let left = deadline.saturating_duration_since(clock::instant());
        let timeout = self.endpoint.timeout.min(left);
        if timeout == Duration::ZERO {
            return Outcome::TryAgain { after: None };
        }
        let mut request =
            self.agent.post(&self.endpoint.url).header("content-type", "application/x-protobuf");
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value);
        }
        let sent = request.config().timeout_global(Some(timeout)).build().send(body);
        let mut response = match sent {
            Ok(response) => response,
            Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => return Outcome::Refused,
            Err(_) => return Outcome::TryAgain { after: None },
        };
        match response.status() {
            status if status.is_success() => {
                let body = response.body_mut().with_config().limit(LONGEST_RESPONSE).read_to_vec();
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

/// Reads `Retry-After` in seconds; a date is left to the ordinary backoff.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
