//! A whole visit to a service that does everything wrong, as its owner sees it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use skopos_doctor::{Logs, Options, Status};

use crate::double::{Port, Wire, answer, header, log, options, send, serve, trace, visit};

/// What the bad service counts.
#[derive(Default)]
struct Counted {
    paths: Vec<String>,
}

async fn respond(
    request: Request,
    counted: Arc<Mutex<Counted>>,
    log_file: std::path::PathBuf,
    port: Port,
) -> Response {
    use std::io::Write as _;
    let path = request.uri().path().to_owned();
    let all = request.uri().to_string();
    counted.lock().unwrap().paths.push(path.clone());
    let mut file = std::fs::OpenOptions::new().append(true).open(&log_file).unwrap();
    writeln!(file, "GET {all} auth={}", header(&request, "authorization")).unwrap();
    let mut response = match path.as_str() {
        "/" if header(&request, "x-request-id").len() > 100 => answer(500, "text/plain", "oops"),
        "/" => answer(200, "text/plain", "hello"),
        "/metrics" => {
            let counted = counted.lock().unwrap();
            let mut body = String::from("# TYPE requests counter\n");
            for (at, path) in counted.paths.iter().enumerate() {
                body += &format!("requests{{path=\"{path}\",user_id=\"{at}\"}} 1\n");
            }
            answer(200, "text/plain; version=0.0.4", body)
        }
        "/health/live" => answer(200, "application/json", r#"{"status":"UP","database":"up"}"#),
        "/health/ready" => answer(401, "text/plain", "who are you?"),
        "/health/startup" => {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            answer(200, "application/json", r#"{"status":"started"}"#)
        }
        _ => answer(
            500,
            "text/plain",
            "Traceback (most recent call last):\n  File \"app.py\", line 1\nKeyError",
        ),
    };
    let is_marked = !header(&request, "traceparent").is_empty();
    if is_marked || !header(&request, "authorization").is_empty() {
        // It begins traces of its own, and tells them everything.
        use prost::Message as _;
        let secret = ("http.request.header.authorization", header(&request, "authorization"));
        let mut own = trace(&"ab".repeat(16), "", &[secret]);
        own.resource_spans[0].resource = None;
        send(port.get(), Wire::Protobuf, "traces", own.encode_to_vec(), "").await;
        let mut own = log(&"ab".repeat(16), "");
        own.resource_logs[0].resource = None;
        own.resource_logs[0].scope_logs[0].log_records[0].severity_number = 5;
        send(port.get(), Wire::Grpc, "logs", own.encode_to_vec(), "").await;
    }
    let headers = response.headers_mut();
    headers.insert("server", "Werkzeug/2.0.1 Python/3.8".parse().unwrap());
    headers.insert("x-powered-by", "Express".parse().unwrap());
    response
}

#[tokio::test]
async fn everything_wrong_is_found_and_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.log");
    std::fs::write(&path, "").unwrap();
    let port = Port::default();
    let counted = Arc::new(Mutex::new(Counted::default()));
    let (its_port, file) = (port.clone(), path.clone());
    let address = serve(move |request| {
        respond(request, Arc::clone(&counted), file.clone(), its_port.clone())
    })
    .await;
    let options = Options {
        logs: Some(Logs::File(path)),
        probe_limit: Duration::from_secs(1),
        patience: Duration::from_secs(1),
        ..options(address)
    };
    let report = visit(&options, &port).await.unwrap();
    let text = report.render(&|_, word| word.to_owned());
    // What may differ from run to run: the port.
    let text = text.replace(&address.to_string(), "127.0.0.1:8000");
    golden("bad.txt", &text);
    let good = report.verdicts.iter().filter(|verdict| verdict.status == Status::Ok);
    let good: Vec<&str> = good.map(|verdict| verdict.demand.id).collect();
    assert_eq!(good, ["metrics-open"], "all is wrong, but for a page that shows what is");
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "SKOPOS_UPDATE_GOLDEN=1 writes {name} anew, to be read");
}
