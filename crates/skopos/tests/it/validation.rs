//! Rejected input through a whole service: the answer, the line, the event on the span, the metric; and never the value.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::Request;
use http_body_util::BodyExt as _;
use skopos::metrics::Format;
use skopos::redact::Canary;
use skopos::{Json, Path, Query};
use tower::ServiceExt as _;

use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, runtime, scoped};

#[derive(serde::Deserialize, serde::Serialize)]
struct NewOrder {
    quantity: u32,
    method: String,
}

#[derive(serde::Deserialize)]
struct Page {
    page: u32,
}

fn router() -> Router {
    Router::new()
        .route("/orders", post(async |Json(order): Json<NewOrder>| Json(order)))
        .route("/orders/{id}", get(async |Path(id): Path<u64>| id.to_string()))
        .route("/pairs/{a}/{b}", get(async |Path((a, b)): Path<(u8, u8)>| (a + b).to_string()))
        .route("/list", get(async |Query(page): Query<Page>| page.page.to_string()))
        .layer(axum::extract::DefaultBodyLimit::max(1024))
}

struct Answer {
    status: u16,
    body: serde_json::Value,
}

async fn ask(app: &Router, method: &str, path: &str, kind: &str, body: String) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let request = request.body(Body::from(body)).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() }
}

#[test]
fn rejected_input_is_seen_everywhere_and_its_value_nowhere() {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (telemetry, guard) = scoped(builder(&output, &variables));
    let app = router().layer(telemetry.http_layer());
    let canary = Canary::new("validation");
    let json = "application/json";
    let cases = [
        (
            "POST",
            "/orders",
            json,
            format!(r#"{{"quantity":"{canary}","method":"card"}}"#),
            422,
            "quantity",
            "invalid type, expected u32",
        ),
        ("POST", "/orders", json, r#"{"quantity":1}"#.to_owned(), 422, "method", "missing"),
        (
            "POST",
            "/orders",
            json,
            format!(r#"{{"quantity":{canary}}}"#),
            400,
            "",
            "no valid JSON at line 1 column 13",
        ),
        (
            "POST",
            "/orders",
            json,
            r#"{"quantity":1,"method":"card"} {}"#.to_owned(),
            400,
            "",
            "there is more after the JSON value",
        ),
        (
            "POST",
            "/orders",
            "text/plain",
            canary.to_string(),
            415,
            "",
            "the content type is not application/json",
        ),
        ("POST", "/orders", json, format!("{:2000}", 1), 413, "", "the body is too large"),
        (
            "GET",
            &format!("/orders/{canary}"),
            "",
            String::new(),
            400,
            "id",
            "invalid value, expected u64",
        ),
        (
            "GET",
            &format!("/pairs/1/{canary}"),
            "",
            String::new(),
            400,
            "b",
            "invalid value, expected u8",
        ),
        ("GET", &format!("/list?page={canary}"), "", String::new(), 400, "page", "invalid value"),
        ("GET", "/list", "", String::new(), 400, "page", "missing"),
    ];
    runtime().block_on(async {
        for (method, path, kind, body, status, field, reason) in cases.clone() {
            let answer = ask(&app, method, path, kind, body).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            let expected =
                serde_json::json!({"error": "invalid input", "field": field, "reason": reason});
            assert_eq!(answer.body, expected, "{path}");
        }
        for (method, path, kind, body) in [
            (
                "POST",
                "/orders",
                "application/merge+json; charset=utf-8",
                r#"{"quantity":1,"method":"card"}"#,
            ),
            ("GET", "/orders/7", "", ""),
            ("GET", "/pairs/1/2", "", ""),
            ("GET", "/list?page=3", "", ""),
        ] {
            let answer = ask(&app, method, path, kind, body.to_owned()).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let lines = output.lines();
    let told: Vec<_> = lines.iter().filter(|line| line["target"] == "skopos::validation").collect();
    assert_eq!(told.len(), cases.len());
    for (line, (_, _, _, _, _, field, reason)) in told.iter().zip(&cases) {
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"invalid input".into()));
        assert_eq!(
            (line["field"].as_str(), line["reason"].as_str()),
            (Some(*field), Some(*reason))
        );
        assert!(line["request_id"].is_string() && line["trace_id"].is_string());
    }
    let span = collector.span("POST /orders");
    let event = span.events.iter().find(|event| event.name == "invalid input").unwrap();
    assert_eq!(attribute(&event.attributes, "field").as_deref(), Some("quantity"));
    let metrics = telemetry.registry().encode(Format::Prometheus);
    for line in [
        r#"validation_failures_total{endpoint="/orders",field="quantity"} 1"#,
        r#"validation_failures_total{endpoint="/orders",field="(whole)"} 4"#,
        r#"validation_failures_total{endpoint="/list",field="page"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // The access line has the path that was asked for; everything else has none of it.
    let without_paths: Vec<_> = told.iter().map(|line| line.to_string()).collect();
    canary.assert_absent("the lines", without_paths.join("\n"));
    canary.assert_absent("the metrics", metrics);
    let spans = collector.spans();
    let events = spans.iter().flat_map(|span| &span.events);
    let events = events.filter(|event| event.name == "invalid input");
    let events = events.map(|event| format!("{event:?}")).collect::<String>();
    canary.assert_absent("the span events", events);
}

#[test]
fn without_the_layer_the_answer_is_the_same() {
    runtime().block_on(async {
        let answer = ask(&router(), "GET", "/list", "", String::new()).await;
        assert_eq!((answer.status, answer.body["field"].as_str()), (400, Some("page")));
    });
}
