//! One request through a router in the process: bare, with our one layer, and with the layers that people stack to get the
//! same: request id, span, trace export, RED metrics.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::Service as _;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::measure::Bench;

const GROUP: &str = "request";
const COUNT: u32 = 20_000;

fn router() -> Router {
    Router::new().route("/orders/{id}", get(|| async { "ok" }))
}

fn measure(bench: &mut Bench, name: &str, threads: usize, app: &Router, dispatch: &Dispatch) {
    bench.run(GROUP, name, threads, COUNT, || {
        std::mem::forget(tracing::dispatcher::set_default(dispatch));
        let mut app = app.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        move || {
            let request = Request::get("/orders/17").body(Body::empty()).expect("a request");
            let response = runtime.block_on(app.call(request)).expect("infallible");
            assert!(response.status().is_success());
        }
    });
}

/// What the others keep for the life of the process.
pub struct Others {
    red: axum_prometheus::PrometheusMetricLayer<'static>,
    /// Its exporter keeps every observation and drains them now and then.
    _upkeep: tokio::runtime::Runtime,
}

impl Others {
    pub fn install() -> Others {
        let upkeep = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime");
        let entered = upkeep.enter();
        let (red, _handle) = axum_prometheus::PrometheusMetricLayer::pair();
        drop(entered);
        Others { red, _upkeep: upkeep }
    }

    pub fn run(&self, bench: &mut Bench) {
        run(bench, &self.red);
    }
}

fn run(bench: &mut Bench, red: &axum_prometheus::PrometheusMetricLayer<'static>) {
    for threads in [1, 2, 4] {
        measure(bench, "bare axum", threads, &router(), &Dispatch::none());

        let (telemetry, layer) = skopos::Telemetry::builder(skopos::Service::new("bench"))
            .format(skopos::LogFormat::Json)
            .output(std::io::sink())
            .build()
            .expect("the default filter parses");
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        let app = router().layer(telemetry.http_layer());
        measure(bench, "skopos: id, span, metrics, access line", threads, &app, &dispatch);

        let provider = SdkTracerProvider::builder().build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
        let lines = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
        let filter = tracing_subscriber::EnvFilter::new("info");
        let subscriber = tracing_subscriber::registry().with(filter).with(spans).with(lines);
        let dispatch = Dispatch::new(subscriber);
        let traced = TraceLayer::new_for_http()
            .make_span_with(|request: &Request<Body>| {
                tracing::info_span!(
                    "request",
                    http.request.method = %request.method(),
                    url.path = request.uri().path(),
                    request_id = request
                        .headers()
                        .get("x-request-id")
                        .and_then(|id| id.to_str().ok())
                        .unwrap_or_default(),
                    http.response.status_code = tracing::field::Empty,
                )
            })
            .on_response(tower_http::trace::DefaultOnResponse::new().level(tracing::Level::INFO));
        let app = router()
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(traced)
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(red.clone());
        let name = "tower-http + axum-prometheus + tracing-opentelemetry";
        measure(bench, name, threads, &app, &dispatch);
    }
}
