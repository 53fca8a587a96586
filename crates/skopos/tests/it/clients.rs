//! Clients over real sockets: tonic's on both sides, hyper's through tower, and to whom ids go.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::{Buf as _, BufMut as _};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use skopos::Telemetry;
use skopos::metrics::Format;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::exposition::parse;
use crate::support::{
    Collector, Manner, Output, PATIENCE, attribute, builder, hex, runtime, scoped,
};

/// A message that is a text, so that nothing need be generated.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = tonic::Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, tonic::Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(String::from_utf8(bytes.to_vec()).unwrap()))
    }
}

/// `shop.Orders/Place`: what is ordered decides what becomes of it.
#[derive(Clone)]
struct Orders;

impl tonic::server::NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<tonic::body::Body>> for Orders {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let place = tower::service_fn(|order: tonic::Request<String>| async move {
                tracing::info!("placing");
                let id = skopos::current_request_id().unwrap();
                match order.get_ref().as_str() {
                    "nothing" => Err(tonic::Status::not_found("no such article")),
                    "bomb" => Err(tonic::Status::internal("it went off")),
                    _ => Ok(tonic::Response::new(id)),
                }
            });
            Ok(tonic::server::Grpc::new(Text).unary(place, request).await)
        })
    }
}

async fn serve_grpc(telemetry: &Telemetry) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .layer(telemetry.http_layer().grpc())
        .add_service(Orders);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[test]
fn a_grpc_call_is_one_trace_with_its_own_status() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    runtime().block_on(async {
        let address = serve_grpc(&telemetry).await;
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let layer = telemetry.client_layer().peer("orders.internal");
        let mut client = tonic::client::Grpc::new(layer.layer(channel));
        for (order, expected) in [
            ("tea", tonic::Code::Ok),
            ("nothing", tonic::Code::NotFound),
            ("bomb", tonic::Code::Internal),
        ] {
            client.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static("/shop.Orders/Place");
            let request = tonic::Request::new(order.to_owned());
            let answer: Result<tonic::Response<String>, _> =
                client.unary(request, path, Text).await;
            match answer {
                Ok(answer) => {
                    assert_eq!(expected, tonic::Code::Ok);
                    let made = answer.into_inner();
                    assert!(uuid::Uuid::parse_str(&made).is_ok(), "an id went along: {made}");
                }
                Err(status) => assert_eq!(status.code(), expected),
            }
        }
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.name == "shop.Orders/Place"), "{spans:?}");
    let of = |kind: i32, code: &str| {
        let has_code = |span: &&opentelemetry_proto::tonic::trace::v1::Span| {
            span.kind == kind
                && attribute(&span.attributes, "rpc.grpc.status_code").as_deref() == Some(code)
        };
        spans.iter().find(has_code).unwrap_or_else(|| panic!("{kind} {code}: {spans:?}")).clone()
    };
    for (code, fails_server, fails_client) in
        [("0", false, false), ("5", false, true), ("13", true, true)]
    {
        let (server, client) = (of(2, code), of(3, code));
        assert_eq!(server.parent_span_id, client.span_id, "{code}");
        assert_eq!(server.trace_id, client.trace_id);
        let is_error = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
            span.status.clone().unwrap_or_default().code() == SpanStatus::Error
        };
        assert_eq!((is_error(&server), is_error(&client)), (fails_server, fails_client), "{code}");
        for (key, value) in
            [("rpc.system", "grpc"), ("rpc.service", "shop.Orders"), ("rpc.method", "Place")]
        {
            assert_eq!(attribute(&client.attributes, key).as_deref(), Some(value), "{key}");
            assert_eq!(attribute(&server.attributes, key).as_deref(), Some(value), "{key}");
        }
    }
    let address = attribute(&of(3, "0").attributes, "server.address");
    assert_eq!(address.as_deref(), Some("orders.internal"));

    let text = telemetry.registry().encode(Format::Prometheus);
    let series = parse(&text, Format::Prometheus).series;
    let endpoint = r#"endpoint="/shop.Orders/Place",method="POST""#;
    assert_eq!(series[&format!("http_requests_total{{{endpoint},status_code=\"200\"}}")], 3.0);
    let errors = format!("http_request_errors_total{{{endpoint},reason=\"INTERNAL\"}}");
    assert_eq!(series[&errors], 1.0, "not finding is the caller's");
    let lines = output.lines();
    let access: Vec<&serde_json::Value> =
        lines.iter().filter(|line| line["message"] == "request finished").collect();
    let of_lines: Vec<(Option<&str>, Option<u64>)> =
        access.iter().map(|line| (line["level"].as_str(), line["grpc_status"].as_u64())).collect();
    let expected = [(Some("INFO"), Some(0)), (Some("INFO"), Some(5)), (Some("WARN"), Some(13))];
    assert_eq!(of_lines, expected);
}

/// Answers with the ids that it got.
async fn echo() -> SocketAddr {
    let app: Router = Router::new().route(
        "/ids",
        get(|headers: http::HeaderMap| async move {
            let get = |name| headers.get(name).map_or("-", |value| value.to_str().unwrap());
            format!("{} {}", get("traceparent"), get("x-request-id"))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[test]
fn a_tower_client_carries_ids_to_whom_they_may_go() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) = scoped(
        builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)])
            .propagate_to(["partner.example"]),
    );
    runtime().block_on(async {
        let address = echo().await;
        let hyper =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<Body>();
        let ask = async |layer: skopos::ClientLayer| {
            let request = http::Request::get(format!("http://{address}/ids?token=x"))
                .body(Body::empty())
                .unwrap();
            let response = layer.layer(hyper.clone()).oneshot(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        // The builder's list holds for every client, and a client may have its own.
        assert_eq!(ask(telemetry.client_layer()).await, "- -");
        let span = tracing::info_span!("order");
        let asked = tracing::Instrument::instrument(
            ask(telemetry.client_layer().propagate_to(["127.0.0.1"])),
            span,
        );
        let ids = asked.await;
        let (parent, request_id) = ids.split_once(' ').unwrap();
        assert!(parent.starts_with("00-") && uuid::Uuid::parse_str(request_id).is_ok(), "{ids}");
        let refused =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<Body>();
        let request = http::Request::get("http://127.0.0.1:1/").body(Body::empty()).unwrap();
        let failed = telemetry.client_layer().layer(refused).oneshot(request).await;
        assert!(failed.is_err());
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let spans = collector.spans();
    let calls: Vec<_> = spans.iter().filter(|span| span.kind == 3).collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(hex(&calls[1].parent_span_id), hex(&collector.span("order").span_id));
    let url = attribute(&calls[0].attributes, "url.full").unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/ids"), "no query: {url}");
    assert_eq!(calls[2].status.clone().unwrap().code(), SpanStatus::Error);
    let kind = attribute(&calls[2].attributes, "error.type");
    assert_eq!(kind.as_deref(), Some("request_failed"));
}

#[test]
fn a_public_host_is_left_out_and_told_once() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    let seen = std::sync::Mutex::new(Vec::new());
    let client =
        telemetry.client_layer().layer(tower::service_fn(|request: http::Request<Body>| {
            let host = request.uri().host().unwrap().to_owned();
            let had = request.headers().contains_key("traceparent")
                || request.headers().contains_key("x-request-id");
            seen.lock().unwrap().push((host, had));
            async { Ok::<_, Infallible>(http::Response::new(Body::empty())) }
        }));
    runtime().block_on(async {
        for host in ["payments", "api.example.com", "api.example.com", "10.0.0.7"] {
            let request =
                http::Request::get(format!("http://{host}/")).body(Body::empty()).unwrap();
            client.clone().oneshot(request).await.unwrap();
        }
    });
    drop(guard);
    telemetry.flush(PATIENCE);
    let seen = seen.lock().unwrap();
    let had: Vec<bool> = seen.iter().map(|(_, had)| *had).collect();
    assert_eq!(had, [true, false, false, true]);
    let lines = output.lines();
    assert_eq!((lines.len(), lines[0]["host"].as_str()), (1, Some("api.example.com")));
}
