//! What a service sends while it is visited is heard, whatever the wire.

use std::collections::HashMap;

use axum::extract::Request;
use axum::response::Response;
use skopos_doctor::{Logs, Options, Otlp, Report, Status};

use crate::double::{
    self, Port, Wire, answer, header, log, options, send_both, serve, trace, visit,
};
use crate::verdicts::ids;

fn statuses(report: &Report) -> HashMap<&str, (Status, &str)> {
    let verdicts = report.verdicts.iter();
    verdicts.map(|verdict| (verdict.demand.id, (verdict.status, verdict.found.as_str()))).collect()
}

async fn respond(request: Request, wire: Wire, port: Port) -> Response {
    let traceparent = header(&request, "traceparent").to_owned();
    let request_id = header(&request, "x-request-id").to_owned();
    if let [_, trace_id, parent_id, _] = traceparent.split('-').collect::<Vec<_>>()[..]
        && trace_id.len() == 32
    {
        let attributes = [
            ("http.request.method", "GET"),
            ("http.route", "/"),
            ("http.response.status_code", "200"),
        ];
        let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"double"}},{"key":"service.version","value":{"stringValue":"1"}},{"key":"deployment.environment","value":{"stringValue":"test"}}]}"#;
        let attribute = |(key, value): (&str, &str)| {
            format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
        };
        let of_span = attributes.map(attribute).join(",");
        let spans = format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{{"traceId":"{trace_id}","spanId":"0101010101010101","parentSpanId":"{parent_id}","name":"GET /","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{of_span}]}}]}}]}}]}}"#
        );
        let of_record = attribute(("request_id", &request_id));
        let logs = format!(
            r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"logRecords":[{{"severityNumber":9,"body":{{"stringValue":"greeted"}},"traceId":"{trace_id}","attributes":[{of_record}]}}]}}]}}]}}"#
        );
        send_both(
            port.get(),
            wire,
            trace(trace_id, parent_id, &attributes),
            log(trace_id, &request_id),
            [&spans, &logs],
        )
        .await;
    }
    answer(200, "text/plain", "hello")
}

#[tokio::test]
async fn spans_and_records_come_by_every_wire_through_one_port() {
    for wire in [Wire::Json, Wire::Protobuf, Wire::Gzip, Wire::Grpc, Wire::GrpcGzip] {
        let port = Port::default();
        let its_port = port.clone();
        let address = serve(move |request| respond(request, wire, its_port.clone())).await;
        let report = visit(&options(address), &port).await.unwrap();
        let statuses = statuses(&report);
        for id in [
            "trace-continued",
            "trace-resource",
            "trace-request-span",
            "log-structured",
            "log-complete",
            "log-correlated",
            "log-level",
            "log-no-secrets",
        ] {
            assert_eq!(statuses[id].0, Status::Ok, "{wire:?} {id}: {}", statuses[id].1);
        }
    }
}

#[tokio::test]
async fn what_is_no_otlp_is_refused_and_said() {
    let port = Port::default();
    let its_port = port.clone();
    let address = serve(move |request: Request| {
        let port = its_port.clone();
        async move {
            if !header(&request, "traceparent").is_empty() {
                let junk = vec![0xff; 100];
                let refusals = [
                    double::post(port.get(), Wire::Protobuf, "traces", junk.clone(), "").await,
                    double::post(port.get(), Wire::Json, "logs", Vec::new(), "{").await,
                    double::post(port.get(), Wire::Json, "profiles", Vec::new(), "{}").await,
                    double::post(port.get(), Wire::Protobuf, "logs", vec![0; 17 << 20], "").await,
                    double::post(port.get(), Wire::Gzip, "logs", vec![0; 17 << 20], "").await,
                ];
                assert!(refusals.iter().all(|(status, _)| *status == 400), "{refusals:?}");
                let (status, headers) =
                    double::post(port.get(), Wire::Grpc, "traces", junk, "").await;
                assert_eq!(
                    (status, &headers.unwrap()["grpc-status"]),
                    (200, &"3".parse().unwrap())
                );
            }
            answer(200, "text/plain", "hello")
        }
    })
    .await;
    let report = visit(&options(address), &port).await.unwrap();
    assert!(report.notes.iter().any(|note| note.contains("OTLP came that could not be read")));
    assert_eq!(statuses(&report)["trace-continued"].0, Status::Unknown);
}

#[tokio::test]
async fn lines_are_read_from_a_file_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.log");
    std::fs::write(
        &path,
        "{\"timestamp\":\"t\",\"level\":\"INFO\",\"service\":\"s\",\"message\":\"started\"}\n",
    )
    .unwrap();
    let file = path.clone();
    let address = serve(move |request: Request| {
        use std::io::Write as _;
        let id = header(&request, "x-request-id").to_owned();
        let trace = header(&request, "traceparent").split('-').nth(1).unwrap_or_default().to_owned();
        if trace.len() == 32 {
            let mut log = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
            writeln!(log, "{{\"timestamp\":\"t\",\"level\":\"INFO\",\"service\":\"s\",\"message\":\"greeted\",\"request_id\":\"{id}\",\"trace_id\":\"{trace}\"}}").unwrap();
        }
        async { answer(200, "text/plain", "hello") }
    })
    .await;
    let options = Options {
        logs: Some(Logs::File(path)),
        otlp: Otlp::Nowhere,
        patience: std::time::Duration::from_secs(20),
        ..options(address)
    };
    let report = visit(&options, &Port::default()).await.unwrap();
    let statuses = statuses(&report);
    assert_eq!(statuses["log-structured"], (Status::Ok, "2 lines"));
    assert_eq!(statuses["log-correlated"], (Status::Ok, "1 line of the request with ids"));
    // The line is witness enough.
    assert_eq!(statuses["trace-continued"], (Status::Ok, "a log line has the caller's trace id"));
    assert_eq!(ids().trace_id.len(), 32);
}
