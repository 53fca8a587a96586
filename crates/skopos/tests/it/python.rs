//! The OpenTelemetry Python SDK as the other end of a trace, called by us and calling us: one trace, every parent right.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::routing::get;

use crate::support::{Collector, Manner, Output, PATIENCE, builder, hex, runtime, scoped};

const SCRIPT: &str = include_str!("peer.py");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A Python service of one test. It ends with the test.
struct Peer {
    child: Child,
    url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(environment: &Path, endpoint: &str, onward: &str) -> Peer {
        let mut child = Command::new(environment.join("bin/python"))
            .args(["-c", SCRIPT, endpoint, onward])
            .env_remove("OTEL_PROPAGATORS")
            .env_remove("OTEL_TRACES_SAMPLER")
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut port).expect("it prints its port");
        Peer { child, url: format!("http://127.0.0.1:{}/", port.trim()) }
    }
}

async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[test]
fn a_trace_goes_through_python_and_back() {
    let Some(environment) = std::env::var_os("SKOPOS_PY_OTEL").map(PathBuf::from) else {
        println!("skipped: SKOPOS_PY_OTEL is not set (`cargo xtask test` makes the environment)");
        return;
    };
    let collector = Collector::start(Manner::Accepts);
    let output = Output::default();
    let endpoint = collector.endpoint();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let (through_us, from_python) = runtime().block_on(async {
        let leaf =
            Router::new().route("/leaf", get(async || skopos::current_request_id().unwrap()));
        let leaf = serve(leaf.layer(telemetry.http_layer())).await;
        let peer = Peer::start(&environment, &endpoint, &format!("http://{leaf}/leaf"));
        let client = telemetry.reqwest(reqwest::Client::new());
        let url = peer.url.clone();
        let entry = Router::new().route(
            "/entry",
            get(async move || client.get(url).send().await.unwrap().text().await.unwrap()),
        );
        let entry = serve(entry.layer(telemetry.http_layer())).await;
        let caller = reqwest::Client::new();
        let through_us = caller
            .get(format!("http://{entry}/entry"))
            .header("x-request-id", "req-abc")
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .send();
        let through_us = through_us.await.unwrap().text().await.unwrap();
        let from_python = caller.get(&peer.url).send().await.unwrap().text().await.unwrap();
        tokio::task::yield_now().await;
        (through_us, from_python)
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    // The request's id came along, in Python's hands too.
    assert_eq!((through_us.as_str(), from_python.as_str()), ("req-abc", "python-made"));

    let spans = collector.spans();
    let of_trace = |is_ours: bool| {
        let spans = spans.iter().filter(move |span| (hex(&span.trace_id) == TRACE) == is_ours);
        spans.collect::<Vec<_>>()
    };
    for (is_ours, root_parent, chain) in [
        (
            true,
            "00f067aa0ba902b7",
            &["GET /entry", "GET", "python serves", "python calls", "GET /leaf"][..],
        ),
        (false, "", &["python serves", "python calls", "GET /leaf"]),
    ] {
        let spans = of_trace(is_ours);
        assert_eq!(spans.len(), chain.len(), "{spans:#?}");
        assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
        let mut parent = root_parent.to_owned();
        for name in chain {
            let span = spans.iter().find(|span| span.name == *name);
            let span = span.unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
            assert_eq!(hex(&span.parent_span_id), parent, "{name}");
            parent = hex(&span.span_id);
        }
    }
}
