//! Nothing of one request is seen in another, nor after it.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::support::{Output, PATIENCE, builder, runtime, scoped};

/// Logs before and after it lets others run, inside a span of its own and outside any.
async fn handler(Path(user): Path<String>) -> String {
    let span = tracing::info_span!("order", user_id = user);
    async {
        for step in ["begun", "done"] {
            tracing::info!(step, "in the span");
            tracing::info!(parent: None, step, "in no span");
            tokio::task::yield_now().await;
        }
    }
    .instrument(span)
    .await;
    skopos::current_request_id().unwrap()
}

async fn call(app: &Router, user: &str) {
    let request = Request::get(format!("/orders/{user}"))
        .header("x-request-id", format!("req-{user}"))
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], *format!("req-{user}"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("req-{user}"));
}

fn nothing_is_current() {
    assert_eq!((skopos::current_request_id(), skopos::current_trace_id()), (None, None));
    assert!(skopos::propagation_headers().is_empty());
    tracing::info!("between requests");
}

#[test]
fn nothing_leaks_from_one_request_into_the_next_or_past_the_last() {
    for variables in [&[][..], &[("OTEL_SDK_DISABLED", "true")]] {
        let output = Output::default();
        let (telemetry, guard) = scoped(builder(&output, variables));
        let app: Router =
            Router::new().route("/orders/{user}", get(handler)).layer(telemetry.http_layer());
        // One thread: a context that is not left shows at once.
        runtime().block_on(async {
            nothing_is_current();
            call(&app, "ann").await;
            nothing_is_current();
            call(&app, "bob").await;
            nothing_is_current();
            tokio::join!(call(&app, "cid"), call(&app, "dan"), async {
                for _ in 0..3 {
                    nothing_is_current();
                    tokio::task::yield_now().await;
                }
            });
            nothing_is_current();
        });
        drop(guard);
        assert!(telemetry.flush(PATIENCE));

        let lines = output.lines();
        let message = |line: &serde_json::Value| line["message"].as_str().unwrap().to_owned();
        for line in lines.iter().filter(|line| message(line) == "between requests") {
            for key in ["request_id", "trace_id", "span_id", "user_id"] {
                assert!(line.get(key).is_none(), "{line}");
            }
        }
        for user in ["ann", "bob", "cid", "dan"] {
            let id = format!("req-{user}");
            let of_user: Vec<_> = lines.iter().filter(|line| line["request_id"] == *id).collect();
            let messages: Vec<String> = of_user.iter().map(|line| message(line)).collect();
            let expected =
                ["in the span", "in no span", "in the span", "in no span", "request finished"];
            assert_eq!(messages, expected, "{user}");
            for line in &of_user {
                let expected = (message(line) == "in the span").then_some(user);
                assert_eq!(line["user_id"].as_str(), expected, "{line}");
            }
        }
        // The interleaved ones did take turns: each began before the other was done.
        let order: Vec<&str> = lines
            .iter()
            .filter(|line| message(line) == "in the span")
            .map(|line| line["user_id"].as_str().unwrap())
            .skip(4)
            .collect();
        assert_eq!(order.len(), 4);
        assert!(order[0] != order[1] && order[2] != order[3], "{order:?}");
    }
}
