//! OTLP over gRPC, on a runtime of the exporter's own thread.
//!
//! The connection is made at the first batch and made again after a failure. Threads that the runtime starts (for names) are
//! silenced like the exporter's own, so that nothing here is ever exported.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Code, Request, Status};

use super::{LONGEST_RESPONSE, LONGEST_RETRY_AFTER, Outcome, cause};
use crate::config::Endpoint;
use crate::filter;

/// A connection, and the runtime that it lives on.
pub(super) struct Connection {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
    method: PathAndQuery,
    headers: Vec<(MetadataKey<tonic::metadata::Ascii>, MetadataValue<tonic::metadata::Ascii>)>,
    is_compressed: bool,
}

impl Connection {
    /// Prepares a connection, or says why the endpoint cannot be used at all.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Connection, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(filter::silence_thread)
            .build()
            .map_err(|error| error.to_string())?;
        let no_endpoint = || "the endpoint is no URL".to_owned();
        let (scheme, rest) = endpoint.url.split_once("://").ok_or_else(no_endpoint)?;
        let (authority, method) = rest.split_once('/').ok_or_else(no_endpoint)?;
        let target = Target::from_shared(format!("{scheme}://{authority}"))
            .and_then(|target| target.user_agent(concat!("skopos-sdk/", env!("CARGO_PKG_VERSION"))))
            .map_err(|_| no_endpoint())?;
        let target = with_tls(target, endpoint)?.connect_timeout(endpoint.timeout);
        let headers = endpoint
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let name = name.to_ascii_lowercase().parse().ok()?;
                let mut value: MetadataValue<_> = value.parse().ok()?;
                value.set_sensitive(true);
                Some((name, value))
            })
            .collect();
        let channel = {
            let _inside = runtime.enter();
            target.connect_lazy()
        };
        Ok(Connection {
            runtime,
            channel,
            method: format!("/{method}").parse().map_err(|_| no_endpoint())?,
            headers,
            is_compressed: endpoint.is_compressed,
        })
    }

    /// Calls the method, for at most `timeout`.
    pub(super) fn post(&self, body: &[u8], timeout: Duration) -> Outcome {
        let mut request = Request::new(Bytes::copy_from_slice(body));
        for (name, value) in &self.headers {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        request.set_timeout(timeout);
        let call = async {
            let mut client =
                Grpc::new(self.channel.clone()).max_decoding_message_size(LONGEST_RESPONSE);
            if self.is_compressed {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            client.unary(request, self.method.clone(), Plain).await
        };
        match self.runtime.block_on(async { tokio::time::timeout(timeout, call).await }) {
            Ok(Ok(response)) => Outcome::Taken { response: response.into_inner().to_vec() },
            Ok(Err(status)) => outcome_of(&status),
            Err(_) => Outcome::TryAgain { after: None, cause: cause::no_answer(timeout) },
        }
    }
}

/// What the OTLP specification says about each code.
fn outcome_of(status: &Status) -> Outcome {
    let cause = match status.source() {
        // No answer: the connection failed.
        Some(error) => cause::of_error(error),
        None => cause::of_answer(&format!("{:?}", status.code()), status.message()),
    };
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Outcome::TryAgain { after: retry_delay(status.details()), cause },
        // A connection that failed in a way that has no code of its own.
        Code::Unknown if status.source().is_some() => Outcome::TryAgain { after: None, cause },
        // Only a server that says when it will take more wants the same again.
        Code::ResourceExhausted => match retry_delay(status.details()) {
            Some(after) => Outcome::TryAgain { after: Some(after), cause },
            None => Outcome::Refused { cause },
        },
        _ => Outcome::Refused { cause },
    }
}

#[cfg(feature = "tls")]
fn with_tls(target: Target, endpoint: &Endpoint) -> Result<Target, String> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};

    if !endpoint.url.starts_with("https://") {
        return Ok(target);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &endpoint.certificates.authority {
        Some(authority) => tls.ca_certificate(Certificate::from_pem(authority)),
        None => tls.with_webpki_roots(),
    };
    if let Some((certificate, key)) = &endpoint.certificates.identity {
        super::identity::check(certificate, key)?;
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    target.tls_config(tls).map_err(|error| {
        format!(
            "the certificates of OTEL_EXPORTER_OTLP_* cannot be used: {}",
            cause::of_error(&error)
        )
    })
}

#[cfg(not(feature = "tls"))]
fn with_tls(target: Target, _: &Endpoint) -> Result<Target, String> {
    Ok(target)
}

/// `google.rpc.Status`, as far as it says when to try again.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_delay(details: &[u8]) -> Option<Duration> {
    use prost::Message as _;
    let status = RpcStatus::decode(details).ok()?;
    let info =
        status.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
    Some(Duration::new(seconds, nanos).min(LONGEST_RETRY_AFTER))
}

/// Messages that are encoded already.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::{Delay, Detail, Outcome, RetryInfo, RpcStatus, outcome_of};
    use prost::Message as _;
    use std::time::Duration;
    use tonic::{Code, Status};

    fn with_delay(code: Code, seconds: i64) -> Status {
        let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos: 500_000_000 }) };
        let type_url = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
        let detail = Detail { type_url, value: info.encode_to_vec() };
        let details = RpcStatus { details: vec![detail] }.encode_to_vec();
        Status::with_details(code, "busy", details.into())
    }

    #[test]
    fn codes_mean_what_the_specification_says() {
        for code in [Code::Unavailable, Code::Aborted, Code::DeadlineExceeded, Code::DataLoss] {
            let outcome = outcome_of(&Status::new(code, ""));
            assert!(matches!(outcome, Outcome::TryAgain { after: None, .. }), "{code}");
        }
        for code in [
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::Unimplemented,
            Code::ResourceExhausted,
        ] {
            assert!(
                matches!(outcome_of(&Status::new(code, "")), Outcome::Refused { .. }),
                "{code}"
            );
        }
        let half = Duration::from_millis(1_500);
        for code in [Code::ResourceExhausted, Code::Unavailable] {
            let outcome = outcome_of(&with_delay(code, 1));
            assert!(
                matches!(outcome, Outcome::TryAgain { after: Some(after), .. } if after == half)
            );
        }
        let forever = outcome_of(&with_delay(Code::Unavailable, i64::MAX));
        assert!(
            matches!(forever, Outcome::TryAgain { after: Some(after), .. } if after <= Duration::from_secs(60))
        );
    }
}
