//! An output to read back, and an OTLP collector that listens on loopback in a thread of its own.

use std::io::{self, Read as _, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use skopos::{Builder, Service, Telemetry};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

/// What a test may wait for at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An output that can be read back.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines as JSON.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// How the collector behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Accepts,
    /// Answers 503 this often before it accepts.
    Busy(usize),
    /// Never answers.
    Hangs,
    Refuses,
}

/// An OTLP collector.
pub(crate) struct Collector {
    address: SocketAddr,
    scheme: &'static str,
    received: Arc<Received>,
}

#[derive(Default)]
struct Received {
    logs: Mutex<Vec<LogRecord>>,
    spans: Mutex<Vec<Span>>,
    /// The resource of each request, of both signals.
    resources: Mutex<Vec<Resource>>,
    /// The instrumentation scope of each span, beside its name.
    scopes: Mutex<Vec<(String, String)>>,
    bytes: Mutex<Vec<u8>>,
    /// The headers of each request.
    headers: Mutex<Vec<HeaderMap>>,
    requests: AtomicUsize,
    /// The metrics of each request, and the scope of each.
    metrics: Mutex<Vec<Vec<(String, Metric)>>>,
    metric_requests: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Logs,
    Spans,
    Metrics,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Collector {
        Collector::start_at(([127, 0, 0, 1], 0).into(), manner)
    }

    /// Starts one at an address that something looks at.
    pub(crate) fn start_at(address: SocketAddr, manner: Manner) -> Collector {
        let (address, received) = serve(address, manner, |listener| listener);
        Collector { address, scheme: "http", received }
    }

    /// Starts one that only speaks TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls(manner: Manner, config: rustls::ServerConfig) -> Collector {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (address, received) = serve(([127, 0, 0, 1], 0).into(), manner, move |listener| {
            tls::Listener { listener, acceptor }
        });
        Collector { address, scheme: "https", received }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.received.logs.lock().unwrap().clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().unwrap().clone()
    }

    pub(crate) fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        spans
            .iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("no {name} in {names:?}"))
            .clone()
    }

    /// The metrics of each push.
    pub(crate) fn pushes(&self) -> Vec<Vec<(String, Metric)>> {
        self.received.metrics.lock().unwrap().clone()
    }

    /// A metric of the last push.
    pub(crate) fn metric(&self, name: &str) -> Metric {
        let pushes = self.pushes();
        let last = pushes.last().expect("a push");
        let names: Vec<&str> = last.iter().map(|(_, metric)| metric.name.as_str()).collect();
        last.iter()
            .find(|(_, metric)| metric.name == name)
            .unwrap_or_else(|| panic!("no {name} in {names:?}"))
            .1
            .clone()
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        self.received.resources.lock().unwrap().clone()
    }

    /// The instrumentation scope of a span.
    pub(crate) fn scope_of(&self, span: &str) -> String {
        let scopes = self.received.scopes.lock().unwrap();
        scopes.iter().find(|(name, _)| name == span).unwrap().1.clone()
    }

    /// Everything that came in, as it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.received.bytes.lock().unwrap().clone()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.received.headers.lock().unwrap().clone()
    }

    /// Requests of logs and spans.
    pub(crate) fn requests(&self) -> usize {
        self.received.requests.load(Ordering::SeqCst)
    }
}

/// Takes telemetry at an address, through whatever is made of the listener.
fn serve<L>(
    address: SocketAddr,
    manner: Manner,
    make: impl FnOnce(tokio::net::TcpListener) -> L + Send + 'static,
) -> (SocketAddr, Arc<Received>)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let received = Arc::new(Received::default());
    let for_thread = received.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let route = |kind| {
                let received = for_thread.clone();
                post(async move |headers: HeaderMap, body: Bytes| {
                    take(&received, manner, &headers, &body, kind).await
                })
            };
            let grpc = |kind| {
                let received = for_thread.clone();
                post(async move |headers: HeaderMap, body: Bytes| {
                    take_grpc(&received, manner, &headers, &body, kind).await
                })
            };
            let method = |service: &str| format!("/opentelemetry.proto.collector.{service}/Export");
            let app = Router::new()
                .route(&method("logs.v1.LogsService"), grpc(Kind::Logs))
                .route(&method("trace.v1.TraceService"), grpc(Kind::Spans))
                .route(&method("metrics.v1.MetricsService"), grpc(Kind::Metrics))
                .route("/v1/logs", route(Kind::Logs))
                .route("/v1/traces", route(Kind::Spans))
                .route("/v1/metrics", route(Kind::Metrics));
            axum::serve(make(listener), app).await.unwrap();
        });
    });
    (told.recv().unwrap(), received)
}

#[cfg(feature = "tls")]
mod tls {
    use std::io;
    use std::net::SocketAddr;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    /// Shakes hands with each caller in turn.
    pub(super) struct Listener {
        pub(super) listener: TcpListener,
        pub(super) acceptor: TlsAcceptor,
    }

    impl axum::serve::Listener for Listener {
        type Io = TlsStream<TcpStream>;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            loop {
                let (stream, address) = self.listener.accept().await.unwrap();
                match self.acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => return (stream, address),
                    // The caller shall read why: closing with its bytes unread would take that away again.
                    Err((_, mut stream)) => {
                        tokio::spawn(async move {
                            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
                        });
                    }
                }
            }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.listener.local_addr()
        }
    }
}

/// Takes a message of gRPC out of its frame, and answers in trailers.
async fn take_grpc(
    received: &Received,
    manner: Manner,
    headers: &HeaderMap,
    body: &[u8],
    kind: Kind,
) -> Response {
    let is_compressed = body[0] == 1;
    assert_eq!(is_compressed, headers.contains_key("grpc-encoding"));
    let mut plain = headers.clone();
    if is_compressed {
        plain.insert("content-encoding", headers["grpc-encoding"].clone());
    }
    let taken = take(received, manner, &plain, &body[5..], kind).await;
    let status = match taken.status() {
        StatusCode::OK => "0",
        StatusCode::SERVICE_UNAVAILABLE => "14",
        _ => "3",
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    let message = http_body_util::Full::new(Bytes::from_static(&[0; 5]));
    let body = message.with_trailers(async move { Some(Ok(trailers)) });
    ([("content-type", "application/grpc")], axum::body::Body::new(body)).into_response()
}

async fn take(
    received: &Received,
    manner: Manner,
    headers: &HeaderMap,
    body: &[u8],
    kind: Kind,
) -> Response {
    if kind != Kind::Metrics {
        received.headers.lock().unwrap().push(headers.clone());
    }
    let mut plain = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    } else {
        plain.extend_from_slice(body);
    }
    let body = &*plain;
    let requests =
        if kind == Kind::Metrics { &received.metric_requests } else { &received.requests };
    let request = requests.fetch_add(1, Ordering::SeqCst);
    match manner {
        Manner::Busy(times) if request < times => {
            return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response();
        }
        Manner::Hangs => std::future::pending().await,
        Manner::Refuses => return StatusCode::BAD_REQUEST.into_response(),
        Manner::Accepts | Manner::Busy(_) => {}
    }
    received.bytes.lock().unwrap().extend_from_slice(body);
    match kind {
        Kind::Logs => {
            let request = ExportLogsServiceRequest::decode(body).unwrap();
            let resources = request.resource_logs.iter().filter_map(|logs| logs.resource.clone());
            received.resources.lock().unwrap().extend(resources);
            let records = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
            received.logs.lock().unwrap().extend(records.flat_map(|logs| logs.log_records));
        }
        Kind::Spans => {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for resource_spans in request.resource_spans {
                received.resources.lock().unwrap().extend(resource_spans.resource);
                for scope_spans in resource_spans.scope_spans {
                    let scope = scope_spans.scope.unwrap_or_default().name;
                    for span in scope_spans.spans {
                        received.scopes.lock().unwrap().push((span.name.clone(), scope.clone()));
                        received.spans.lock().unwrap().push(span);
                    }
                }
            }
        }
        Kind::Metrics => {
            let request = ExportMetricsServiceRequest::decode(body).unwrap();
            let scopes = request.resource_metrics.into_iter().flat_map(|all| all.scope_metrics);
            let metrics = scopes.flat_map(|of_scope| {
                let scope = of_scope.scope.unwrap_or_default().name;
                of_scope.metrics.into_iter().map(move |metric| (scope.clone(), metric))
            });
            received.metrics.lock().unwrap().push(metrics.collect());
        }
    }
    StatusCode::OK.into_response()
}

/// Waits for what another thread does.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "another thread works in real time")]
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it did not come about");
        std::thread::yield_now();
    }
}

/// A fixed moment for golden lines.
pub(crate) fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_763_820_000_123_456)
}

pub(crate) fn service() -> Service {
    Service::new("order-service").version("1.2.3").environment("production")
}

/// A builder that reads these variables and writes to the output.
pub(crate) fn builder(output: &Output, variables: &[(&str, &str)]) -> Builder {
    Telemetry::builder(service())
        .from_lookup(|key| {
            variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
        })
        .output(output.clone())
        .clock(moment)
}

/// Telemetry for the current thread, until the guard is dropped.
pub(crate) fn scoped(builder: Builder) -> (Telemetry, DefaultGuard) {
    let (telemetry, layer) = builder.build().unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    (telemetry, guard)
}

pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
