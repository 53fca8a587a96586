//! The HTTP layer end to end: a real server, a real client, a collector, and one trace through all of it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Method, Request, StatusCode};
use axum::routing::{any, get};
use http_body_util::BodyExt as _;
use skopos::Telemetry;
use skopos::health::Health;
use skopos::metrics::Format;
use tower::ServiceExt as _;

use crate::exposition::parse;
use crate::support::{
    Collector, Manner, Output, PATIENCE, attribute, builder, hex, runtime, scoped,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// `/orders/{id}` calls `/charges` of the other service and logs.
fn front(telemetry: &Telemetry, back: SocketAddr) -> Router {
    let client = telemetry.reqwest(reqwest::Client::new());
    Router::new()
        .route(
            "/orders/{id}",
            get(move |Path(id): Path<String>, State(client): State<skopos::reqwest::Client>| async move {
                tracing::info!(order_id = id, "charging");
                let answer = client.get(format!("http://{back}/charges")).send().await.unwrap();
                let id = skopos::current_request_id().unwrap();
                // A task that carries the span carries the request.
                let span = tracing::Span::current();
                let spawned = tokio::spawn(tracing::Instrument::instrument(
                    async { skopos::current_request_id().unwrap() },
                    span,
                ));
                assert_eq!(spawned.await.unwrap(), id);
                answer.text().await.unwrap()
            }),
        )
        .with_state(client)
        .layer(telemetry.http_layer())
}

fn back(telemetry: &Telemetry) -> Router {
    Router::new()
        .route(
            "/charges",
            get(|headers: axum::http::HeaderMap| async move {
                tracing::warn!("charged");
                headers["x-request-id"].to_str().unwrap().to_owned()
            }),
        )
        .layer(telemetry.http_layer())
}

#[test]
fn one_request_is_one_trace_through_two_services() {
    let collector = Collector::start(Manner::Accepts);
    let output = Output::default();
    let endpoint = collector.endpoint();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    runtime().block_on(async {
        let charges = serve(back(&telemetry)).await;
        let orders = serve(front(&telemetry, charges)).await;
        let response = reqwest::Client::new()
            .get(format!("http://{orders}/orders/17?token=x"))
            .header("x-request-id", "req-abc")
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["x-request-id"], "req-abc");
        assert_eq!(response.text().await.unwrap(), "req-abc");
        // The connections end here; bodies that are still open end with them.
        tokio::task::yield_now().await;
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let outer = collector.span("GET /orders/{id}");
    let call = collector.span("GET");
    let inner = collector.span("GET /charges");
    assert_eq!(hex(&outer.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(call.parent_span_id, outer.span_id);
    assert_eq!(inner.parent_span_id, call.span_id);
    assert_eq!((outer.kind, call.kind, inner.kind), (2, 3, 2), "server, client, server");
    for span in collector.spans() {
        assert_eq!(hex(&span.trace_id), TRACE);
    }
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/orders/17"),
        ("request_id", "req-abc"),
    ] {
        assert_eq!(attribute(&outer.attributes, key).as_deref(), Some(value), "{key}");
    }

    let lines = output.lines();
    let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["charging", "charged", "request finished", "request finished"]);
    for line in &lines {
        assert_eq!(
            (line["request_id"].as_str(), line["trace_id"].as_str()),
            (Some("req-abc"), Some(TRACE))
        );
    }
    assert_eq!(lines[0]["span_id"], hex(&outer.span_id));
    assert_eq!(lines[1]["span_id"], hex(&inner.span_id));
    let access = lines.iter().find(|line| line["endpoint"] == "/orders/{id}").unwrap();
    assert_eq!(
        (access["method"].as_str(), access["status_code"].as_u64()),
        (Some("GET"), Some(200))
    );
    assert!(access["duration_ms"].is_number());
    // Method, path, status and duration; of the request and its answer nothing else is logged.
    assert_eq!(access["path"], "/orders/17");
    let mut keys: Vec<&str> = access.as_object().unwrap().keys().map(String::as_str).collect();
    let of_every_line =
        "timestamp level service version environment request_id trace_id span_id target message";
    keys.retain(|key| !of_every_line.split(' ').any(|known| known == *key));
    keys.sort_unstable();
    assert_eq!(keys, ["duration_ms", "endpoint", "method", "path", "status_code"]);
    assert!(!output.text().contains("token"), "the query is not logged");

    let logs = collector.logs();
    assert_eq!(logs.len(), 4);
    for log in &logs {
        assert_eq!(hex(&log.trace_id), TRACE);
        assert_eq!(attribute(&log.attributes, "request_id").as_deref(), Some("req-abc"));
    }
    assert_eq!(logs[1].severity_text, "WARN");
    assert_eq!(logs[1].span_id, inner.span_id);
}

async fn call(app: &Router, method: &str, path: &str) -> StatusCode {
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[test]
fn red_metrics_as_the_guide_names_them() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let app: Router = Router::new()
            .route("/orders/{id}", any(|| async { "ok" }))
            .route("/fails", get(|| async { StatusCode::BAD_GATEWAY }))
            .merge(telemetry.ops_router(Health::builder().build()))
            .layer(telemetry.http_layer());
        for id in 0..100 {
            call(&app, "GET", &format!("/orders/{id}")).await;
        }
        for path in ["/nope", "/wp-admin", "/a/b/c"] {
            assert_eq!(call(&app, "GET", path).await, StatusCode::NOT_FOUND);
        }
        call(&app, "BREW", "/orders/1").await;
        assert_eq!(call(&app, "GET", "/fails").await, StatusCode::BAD_GATEWAY);
        for path in ["/metrics", "/health/live", "/health/ready", "/health/startup"] {
            call(&app, "GET", path).await;
        }
    });
    drop(guard);
    telemetry.flush(PATIENCE);

    let parsed = parse(&telemetry.registry().encode(Format::OpenMetrics), Format::OpenMetrics);
    let series = &parsed.series;
    assert_eq!(
        series[r#"http_requests_total{endpoint="/orders/{id}",method="GET",status_code="200"}"#],
        100.0
    );
    assert_eq!(
        series[r#"http_requests_total{endpoint="unmatched",method="GET",status_code="404"}"#],
        3.0
    );
    assert_eq!(
        series[r#"http_requests_total{endpoint="/orders/{id}",method="_OTHER",status_code="200"}"#],
        1.0
    );
    assert_eq!(
        series[r#"http_requests_total{endpoint="/fails",method="GET",status_code="502"}"#],
        1.0
    );
    assert_eq!(
        series[r#"http_request_duration_seconds_count{endpoint="/orders/{id}",method="GET"}"#],
        100.0
    );
    for bound in crate::exposition::GUIDE_BUCKETS {
        let bucket = format!(
            r#"http_request_duration_seconds_bucket{{endpoint="/orders/{{id}}",le="{bound:?}",method="GET"}}"#
        );
        assert!(series.contains_key(&bucket), "{bucket}");
    }
    assert_eq!(series[r#"http_requests_in_progress{endpoint="/orders/{id}",method="GET"}"#], 0.0);
    assert!(!series.keys().any(|key| key.contains("health") || key.contains("/metrics")));
    let exemplar = parsed
        .exemplars
        .iter()
        .find(|(key, _)| key.starts_with("http_request_duration"))
        .unwrap()
        .1;
    let trace = exemplar.strip_prefix("{trace_id=\"").unwrap().get(..32).unwrap();
    assert!(output.text().contains(trace), "the exemplar's trace is on a line");

    let lines = output.lines();
    assert_eq!(lines.len(), 105, "one access line a request, none for probes and metrics");
    assert_eq!(lines.iter().filter(|line| line["level"] == "WARN").count(), 1, "5xx is a warning");
}

/// What a scanner did to others: <https://github.com/artifact-keeper/artifact-keeper/issues/2220>.
#[test]
fn a_million_urls_make_one_endpoint() {
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("RUST_LOG", "off"), ("OTEL_SDK_DISABLED", "true")]));
    runtime().block_on(async {
        let app: Router =
            Router::new().route("/orders/{id}", get(|| async {})).layer(telemetry.http_layer());
        for number in 0..2_000 {
            call(&app, "GET", &format!("/{number}/x")).await;
        }
        // A function of one's own is bounded as well.
        let app: Router = Router::new().fallback(|| async {}).layer(
            telemetry.http_layer().route_from(|_, uri, _| Some(uri.path().to_owned().into())),
        );
        for number in 0..2_000 {
            call(&app, "GET", &format!("/{number}/x")).await;
        }
    });
    drop(guard);
    let parsed = parse(&telemetry.registry().encode(Format::Prometheus), Format::Prometheus);
    let count = parsed.series.keys().filter(|key| key.starts_with("http_requests_total")).count();
    assert!(count <= 202, "{count}");
}

#[test]
fn a_panic_counts_as_500_and_a_caller_that_leaves_as_499() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let app: Router = Router::new()
            .route("/panics", get(|| async { if true { panic!("boom") } }))
            .route("/hangs", get(std::future::pending::<()>))
            .layer(telemetry.http_layer());
        let panicking = app.clone();
        let joined = tokio::spawn(async move { call(&panicking, "GET", "/panics").await }).await;
        assert!(joined.unwrap_err().is_panic());

        let hanging = app.clone();
        let task = tokio::spawn(async move { call(&hanging, "GET", "/hangs").await });
        tokio::task::yield_now().await;
        let gauge = r#"http_requests_in_progress{endpoint="/hangs",method="GET"}"#;
        let parsed = parse(&telemetry.registry().encode(Format::Prometheus), Format::Prometheus);
        assert_eq!(parsed.series[gauge], 1.0);
        task.abort();
        let _ = task.await;
        let parsed = parse(&telemetry.registry().encode(Format::Prometheus), Format::Prometheus);
        assert_eq!(parsed.series[gauge], 0.0);
        assert_eq!(parsed.series[r#"http_requests_in_progress{endpoint="/panics",method="GET"}"#], 0.0);
        assert_eq!(parsed.series[r#"http_requests_total{endpoint="/panics",method="GET",status_code="500"}"#], 1.0);
        assert_eq!(parsed.series[r#"http_requests_total{endpoint="/hangs",method="GET",status_code="499"}"#], 1.0);
    });
    drop(guard);
    telemetry.flush(PATIENCE);
    let lines = output.lines();
    assert_eq!(lines[0]["error.type"], "panic");
    assert_eq!(
        (lines[1]["error.type"].as_str(), lines[1]["level"].as_str()),
        (Some("client_disconnected"), Some("INFO"))
    );
}

#[test]
fn the_request_ends_with_its_body() {
    let output = Output::default();
    let (telemetry, guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let app: Router = Router::new()
            .route(
                "/stream",
                get(|| async {
                    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
                    tokio::spawn(async move {
                        for _ in 0..3 {
                            if send.send(Bytes::from_static(b"part")).await.is_err() {
                                break;
                            }
                        }
                    });
                    Body::new(Parts(receive))
                }),
            )
            .layer(telemetry.http_layer());
        let in_progress = || {
            let parsed =
                parse(&telemetry.registry().encode(Format::Prometheus), Format::Prometheus);
            parsed.series[r#"http_requests_in_progress{endpoint="/stream",method="GET"}"#]
        };
        let get = || app.clone().oneshot(Request::get("/stream").body(Body::empty()).unwrap());
        let response = get().await.unwrap();
        assert_eq!(in_progress(), 1.0, "headers are out, the body is not");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 12);
        assert_eq!(in_progress(), 0.0);

        let mut response = get().await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        assert_eq!(in_progress(), 0.0);
    });
    drop(guard);
    telemetry.flush(PATIENCE);
    let lines = output.lines();
    assert!(lines[0].get("body_cut").is_none());
    assert_eq!(lines[1]["body_cut"], true);
}

/// A body made of what a channel yields.
struct Parts(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(http_body::Frame::data(part))))
    }
}

/// Where others lose the trace: <https://github.com/TrueLayer/reqwest-middleware/issues/37>.
#[test]
fn propagation_works_without_any_span() {
    for variables in [
        &[("RUST_LOG", "off")][..],
        &[("OTEL_SDK_DISABLED", "true")],
        &[("OTEL_TRACES_SAMPLER", "always_off")],
    ] {
        let output = Output::default();
        let (telemetry, _guard) = scoped(builder(&output, variables));
        runtime().block_on(async {
            let seen = serve(Router::new().route(
                "/",
                get(|headers: axum::http::HeaderMap| async move {
                    let get = |name| {
                        headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
                    };
                    format!("{} {} {}", get("x-request-id"), get("traceparent"), get("baggage"))
                }),
            ))
            .await;
            let client = telemetry.reqwest(reqwest::Client::new());
            let app: Router = Router::new()
                .route(
                    "/",
                    get(async move || {
                        client
                            .get(format!("http://{seen}/"))
                            .send()
                            .await
                            .unwrap()
                            .text()
                            .await
                            .unwrap()
                    }),
                )
                .layer(telemetry.http_layer());
            let request = Request::get("/")
                .header("x-correlation-id", "corr-1")
                .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
                .header("baggage", "tenant=a")
                .body(Body::empty())
                .unwrap();
            let body =
                app.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(
                body.starts_with(&format!("corr-1 00-{TRACE}-")) && body.ends_with("tenant=a"),
                "{variables:?}: {body}"
            );
        });
    }
}

#[test]
fn a_call_outside_any_request_begins_one() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let seen = serve(Router::new().route(
            "/",
            get(|headers: axum::http::HeaderMap| async move {
                headers["x-request-id"].to_str().unwrap().to_owned()
            }),
        ))
        .await;
        let client = telemetry.reqwest(reqwest::Client::new());
        let mut ids = Vec::new();
        for _ in 0..2 {
            let answer = client.get(format!("http://{seen}/")).send().await.unwrap();
            ids.push(answer.text().await.unwrap());
        }
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[0].len(), 36);
    });
}

#[test]
fn ids_are_only_sent_to_the_hosts_that_were_named() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let seen = serve(Router::new().route(
            "/",
            get(|headers: axum::http::HeaderMap| async move {
                headers.contains_key("traceparent").to_string()
            }),
        ))
        .await;
        for (hosts, expected) in [(["127.0.0.1"], "true"), ([".internal"], "false")] {
            let client = telemetry.reqwest(reqwest::Client::new()).propagate_to(hosts);
            let answer = tracing::Instrument::instrument(
                async {
                    client
                        .get(format!("http://{seen}/"))
                        .send()
                        .await
                        .unwrap()
                        .text()
                        .await
                        .unwrap()
                },
                tracing::info_span!("work"),
            )
            .await;
            assert_eq!(answer, expected, "{hosts:?}");
        }
    });
}

#[test]
fn probes_and_metrics_on_a_port_of_their_own() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let health = Health::builder().critical("db", || async { Err::<(), _>("down") }).build();
        let ops = telemetry.serve_ops(SocketAddr::from(([127, 0, 0, 1], 0)), health).await.unwrap();
        let get = async |path: &str, accept: &str| {
            let url = format!("http://{}{path}", ops.address());
            let response =
                reqwest::Client::new().get(url).header("accept", accept).send().await.unwrap();
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            (response.status().as_u16(), kind, response.text().await.unwrap())
        };
        let (status, kind, body) = get("/health/ready", "*/*").await;
        assert_eq!((status, kind.as_str()), (503, "application/json"));
        assert_eq!(
            body,
            r#"{"status":"not_ready","checks":{"db":{"status":"unhealthy","error":"down"}}}"#
        );
        let (status, kind, body) = get("/metrics", "*/*").await;
        assert_eq!((status, kind.as_str()), (200, Format::Prometheus.content_type()));
        parse(&body, Format::Prometheus);
        let (_, kind, body) = get("/metrics", "application/openmetrics-text").await;
        assert_eq!(kind, Format::OpenMetrics.content_type());
        parse(&body, Format::OpenMetrics);
        ops.stop().await;
    });
}

/// Sends a request with these headers through a service that calls another, and returns the headers that the other one got.
fn passed_on(
    variables: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> std::collections::BTreeMap<String, String> {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, variables));
    let body = runtime().block_on(async {
        let echo = |headers: axum::http::HeaderMap| async move {
            let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
            let pairs = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
            axum::Json(pairs.collect::<std::collections::BTreeMap<_, _>>())
        };
        let seen = serve(Router::new().route("/", get(echo))).await;
        let client = telemetry.reqwest(reqwest::Client::new());
        let call = async move || {
            let answer = client.get(format!("http://{seen}/")).send().await.unwrap();
            answer.text().await.unwrap()
        };
        let app: Router = Router::new().route("/", get(call)).layer(telemetry.http_layer());
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn the_environment_says_by_which_headers_a_trace_is_continued() {
    const CALLER: &str = "00f067aa0ba902b7";
    let single = format!("{TRACE}-{CALLER}-1");
    let w3c = format!("00-{TRACE}-{CALLER}-01");
    let other = "0af7651916cd43dd8448eb211c80319c";
    let all = [("b3", single.as_str()), ("traceparent", w3c.as_str()), ("baggage", "tenant=a")];
    let multiple = [("x-b3-traceid", TRACE), ("x-b3-spanid", CALLER), ("x-b3-sampled", "1")];

    let sent = passed_on(&[("OTEL_PROPAGATORS", "b3")], &all);
    assert!(sent["b3"].starts_with(TRACE) && sent["b3"].ends_with("-1"), "{sent:?}");
    assert!(!sent["b3"].contains(CALLER), "the parent is our own span: {sent:?}");
    for header in ["traceparent", "baggage", "x-b3-traceid"] {
        assert!(!sent.contains_key(header), "{header}: {sent:?}");
    }

    let sent = passed_on(&[("OTEL_PROPAGATORS", "b3multi,baggage")], &multiple);
    assert_eq!((&*sent["x-b3-traceid"], &*sent["x-b3-sampled"]), (TRACE, "1"));
    assert_ne!(sent["x-b3-spanid"], CALLER);
    assert!(!sent.contains_key("traceparent") && !sent.contains_key("b3"), "{sent:?}");

    // Both: the W3C header of the caller wins, and both are written.
    let mixed = [("b3", format!("{other}-{CALLER}-1")), ("traceparent", w3c.clone())];
    let mixed: Vec<(&str, &str)> =
        mixed.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let sent = passed_on(&[("OTEL_PROPAGATORS", "tracecontext,b3")], &mixed);
    assert!(sent["b3"].starts_with(TRACE), "{sent:?}");
    assert!(sent["traceparent"].starts_with(&format!("00-{TRACE}")), "{sent:?}");

    let sent = passed_on(&[("OTEL_PROPAGATORS", "none")], &all);
    for header in ["traceparent", "baggage", "b3"] {
        assert!(!sent.contains_key(header), "{header}: {sent:?}");
    }
    assert!(sent.contains_key("x-request-id"), "that one is ours: {sent:?}");

    // By default B3 is nothing but headers of others.
    let sent = passed_on(&[], &multiple);
    assert!(!sent["traceparent"].contains(TRACE), "{sent:?}");
    // Where spans are off the caller's is passed on.
    let off = [("OTEL_PROPAGATORS", "b3"), ("OTEL_SDK_DISABLED", "true")];
    assert_eq!(passed_on(&off, &all)["b3"], single);
}

#[test]
fn a_websocket_has_an_id_and_is_no_request() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    let app: Router = Router::new()
        .route("/live", get(async || StatusCode::SWITCHING_PROTOCOLS))
        .route("/orders", get(async || "ok"))
        .layer(telemetry.http_layer());
    let response = runtime().block_on(async {
        let request = Request::get("/live")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("x-request-id", "r-socket")
            .body(Body::empty());
        let response = app.clone().oneshot(request.unwrap()).await.unwrap();
        call(&app, "GET", "/orders").await;
        response
    });
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["x-request-id"], "r-socket");
    drop(response);
    assert!(telemetry.flush(PATIENCE));
    let text = telemetry.registry().encode(Format::Prometheus);
    assert!(
        text.contains(
            r#"http_requests_total{method="GET",endpoint="/orders",status_code="200"} 1"#
        )
    );
    assert!(!text.contains(r#"status_code="101""#), "{text}");
    assert!(
        !text.contains(r#"http_request_duration_seconds_count{method="GET",endpoint="/live"}"#)
    );
    let line = output.lines().into_iter().find(|line| line["path"] == "/live").unwrap();
    assert_eq!((&line["request_id"], &line["status_code"]), (&"r-socket".into(), &101.into()));
}
