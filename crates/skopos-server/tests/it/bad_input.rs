//! Bad input gets the documented status, is counted with reason and sender, and harms nothing.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use prost::Message;
use serde_json::json;
use tonic::transport::Channel;

use crate::harness::TestServer;
use crate::otlp::{gzip, logs_json, logs_request, now_nanos};

const LIMIT: usize = 64 << 10;

async fn server() -> TestServer {
    TestServer::with(|settings| settings.max_request_bytes = LIMIT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_over_http() {
    let server = server().await;
    let protobuf = "application/x-protobuf";
    let json = "application/json";
    let good = logs_request("good").encode_to_vec();
    let truncated = good[..good.len() - 3].to_vec();
    let mut not_utf8 = good.clone();
    let at = not_utf8.windows(4).position(|w| w == b"good").unwrap();
    not_utf8[at] = 0xff;
    let large = logs_json("large", &"x".repeat(LIMIT + 1)).to_string().into_bytes();
    let bomb = gzip(&vec![b' '; 40 << 20]);
    // Two bytes each, hundreds in memory.
    let many = nested([0x12, 0].repeat(20_000));
    assert!(many.len() < LIMIT);
    assert!(bomb.len() < LIMIT, "the bomb must be small on the wire");
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Vec<u8>, u16, &'a str);
    let cases: Vec<Case> = vec![
        ("truncated protobuf", Some(protobuf), None, truncated, 400, "malformed_protobuf"),
        ("protobuf said to be JSON", Some(json), None, good.clone(), 400, "invalid_utf8"),
        ("broken JSON", Some(json), None, b"{\"resourceLogs\":[".to_vec(), 400, "malformed_json"),
        ("text that is not UTF-8", Some(protobuf), None, not_utf8, 400, "invalid_utf8"),
        ("no content type", None, None, good.clone(), 415, "content_type"),
        (
            "a form",
            Some("application/x-www-form-urlencoded"),
            None,
            good.clone(),
            415,
            "content_type",
        ),
        (
            "wrong content encoding",
            Some(protobuf),
            Some("br"),
            good.clone(),
            415,
            "content_encoding",
        ),
        ("not gzip", Some(protobuf), Some("gzip"), good.clone(), 400, "corrupt_encoding"),
        ("not zstd", Some(protobuf), Some("zstd"), good, 400, "corrupt_encoding"),
        ("too large", Some(json), None, large, 413, "request_bytes"),
        ("a bomb", Some(json), Some("gzip"), bomb, 413, "request_bytes"),
        ("many empty records", Some(protobuf), None, many, 413, "decoded_bytes"),
    ];
    for (what, content_type, encoding, body, status, reason) in cases {
        let before = refused(&server, reason).await;
        let mut request = server.client.post(server.otlp("/v1/logs"));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{what}");
        assert!(!response.headers().contains_key("retry-after"), "{what} is not to be repeated");
        let answered = response.headers()["content-type"].to_str().unwrap().to_owned();
        let in_kind = content_type.filter(|kind| [json, protobuf].contains(kind)).unwrap_or(json);
        assert_eq!(answered, in_kind, "{what}");
        let body = response.bytes().await.unwrap();
        let status = if in_kind == json {
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"].as_i64().unwrap()
        } else {
            i64::from(skopos_ingest::otlp::RpcStatus::decode(body).unwrap().code)
        };
        assert!(status > 0, "{what}: google.rpc.Status in the request's format");
        assert_eq!(refused(&server, reason).await, before + 1, "{what}");
    }
    // The header that no form can send does not make a content type right.
    let request = server.client.post(server.otlp("/v1/logs")).header("x-skopos-request", "1");
    let response = request.header("content-type", "text/plain").body("x").send().await.unwrap();
    assert_eq!(response.status(), 415);
    assert_eq!(refused(&server, "content_type").await, 3);
    let path = server.client.post(server.otlp("/v1/profiles")).send().await.unwrap();
    assert_eq!(path.status(), 404);
    let method = server.client.get(server.otlp("/v1/logs")).send().await.unwrap();
    assert_eq!(method.status(), 405);

    assert!(server.logs().await.is_empty());
    assert_unharmed(&server).await;
}

/// An `ExportLogsServiceRequest` around the bytes of one `ScopeLogs`.
fn nested(scope_logs: Vec<u8>) -> Vec<u8> {
    let mut message = scope_logs;
    // `ResourceLogs.scope_logs`, then `ExportLogsServiceRequest.resource_logs`.
    for tag in [0x12, 0x0a] {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(message.len() as u64, &mut outer);
        outer.extend(message);
        message = outer;
    }
    message
}

/// Requests refused for a reason, by whoever sends from this machine.
async fn refused(server: &TestServer, reason: &str) -> u64 {
    let receipts = server.get_json("/api/v1/skopos/receipts").await;
    let sender =
        receipts["senders"].as_array().unwrap().iter().find(|s| s["sender"] == "127.0.0.1");
    let rows =
        sender.map(|s| s["refused_requests"].as_array().unwrap().clone()).unwrap_or_default();
    let row = rows.iter().find(|row| row["reason"] == reason);
    row.map_or(0, |row| row["count"].as_u64().unwrap())
}

async fn assert_unharmed(server: &TestServer) {
    let request = server.client.post(server.otlp("/v1/logs"));
    let request = request.header("content-type", "application/x-protobuf");
    let response = request.body(logs_request("after").encode_to_vec()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let ready = server.client.get(server.http("/health/ready")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_never_fails_its_batch() {
    let server = server().await;
    let now = now_nanos();
    let far = now + 3_600_000_000_000;
    let record = |time: u64, body: &str| json!({"timeUnixNano": time.to_string(), "body": {"stringValue": body}});
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "mixed"}}]});
    let logs = json!({"unknownField": {"deep": [1, 2]}, "resourceLogs": [{"resource": resource,
        "scopeLogs": [{"logRecords": [record(now, "fine"), record(far, "from the future"),
            {"timeUnixNano": now.to_string(), "body": {"stringValue": "bad id"}, "traceId": "xyz"}]}]}]});
    let post = |path: &str, body: serde_json::Value| {
        let request = server.client.post(server.otlp(path));
        request.header("content-type", "application/json").body(body.to_string()).send()
    };
    let response = post("/v1/logs", logs).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: serde_json::Value = response.json().await.unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1", "{answer}");
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    for word in ["far_future", "mixed", "invalid_trace_id"] {
        assert!(message.contains(word), "{message}");
    }
    let stored = server.logs().await;
    let bodies: Vec<_> = stored.iter().map(|log| log.record.body.as_str().unwrap()).collect();
    assert_eq!(bodies, ["fine", "bad id"], "a record is kept without its bad id");

    let point = json!({"timeUnixNano": now.to_string(), "asDouble": 1.0});
    let metrics = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
        {"name": "", "gauge": {"dataPoints": [point]}},
        {"name": "kept", "gauge": {"dataPoints": [point]}}]}]}]});
    let response = post("/v1/metrics", metrics).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: serde_json::Value = response.json().await.unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1", "{answer}");
    assert_eq!(server.series("kept").await.len(), 1);

    let receipts = server.get_json("/api/v1/skopos/receipts").await;
    let senders = receipts["senders"].as_array().unwrap();
    let row = senders.iter().find(|row| row["sender"] == "mixed").unwrap();
    let reasons: Vec<&str> = row["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert!(reasons.contains(&"far_future"), "{row}");
    let metrics = server.get_text("/metrics").await;
    let line = "skopos_ingest_rejected_items_total{signal=\"logs\",sender=\"mixed\",reason=\"far_future\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_foreign_senders_are_redacted_and_counted() {
    let server = server().await;
    let mut request = logs_json("leaky", "login password=hunter2");
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"] = json!([
        {"key": "user.password", "value": {"stringValue": "hunter2"}}]);
    let post = server.client.post(server.otlp("/v1/logs"));
    let post = post.header("content-type", "application/json").body(request.to_string());
    assert_eq!(post.send().await.unwrap().status(), 200);
    let stored = format!("{:?}", server.logs().await);
    assert!(!stored.contains("hunter2"), "{stored}");
    let receipts = server.get_json("/api/v1/skopos/receipts").await;
    let senders = receipts["senders"].as_array().unwrap();
    let row = senders.iter().find(|row| row["sender"] == "leaky").unwrap();
    assert_eq!(row["redacted"]["user.password"], 1, "{row}");
    assert_eq!(row["redacted"]["body"], 1, "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_codes_follow_otlp() {
    let server = server().await;
    let url = format!("http://{}", server.server.addresses().otlp_grpc);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();

    let mut large = logs_request("large");
    let record = &mut large.resource_logs[0].scope_logs[0].log_records[0];
    record.severity_text = "x".repeat(LIMIT + 1);
    for compression in [None, Some(tonic::codec::CompressionEncoding::Gzip)] {
        let mut client = LogsServiceClient::new(channel.clone());
        if let Some(encoding) = compression {
            client = client.send_compressed(encoding);
        }
        let status = client.export(large.clone()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{compression:?}");
        assert!(status.details().is_empty(), "RetryInfo would make clients send it again");
        assert!(status.message().contains("limits.request_bytes"), "{}", status.message());
    }

    let many = nested([0x12, 0].repeat(20_000));
    let length = u32::try_from(many.len()).unwrap().to_be_bytes();
    let many = [&[0][..], &length, &many].concat();
    for (what, path, frame, code) in [
        ("many empty records", crate::grpc_raw::LOGS, &many[..], 8),
        ("no protobuf", crate::grpc_raw::LOGS, &[0, 0, 0, 0, 2, 0xff, 0xff][..], 3),
        ("half a frame", crate::grpc_raw::LOGS, &[0, 0, 0, 0, 9, 1], 3),
        ("two messages", crate::grpc_raw::LOGS, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 3),
        (
            "no such method",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Import",
            &[0; 5],
            12,
        ),
    ] {
        let got = crate::grpc_raw::call(&server, path, &[], frame).await;
        assert_eq!(got, code, "{what}");
    }
    assert_eq!(refused(&server, "request_bytes").await, 2);
    assert_eq!(refused(&server, "decoded_bytes").await, 1);
    assert_eq!(refused(&server, "malformed_frame").await, 2);
    assert_eq!(refused(&server, "malformed_protobuf").await, 1);
    let unknown = [("grpc-encoding", "br")];
    let got =
        crate::grpc_raw::call(&server, crate::grpc_raw::LOGS, &unknown, &[1, 0, 0, 0, 0]).await;
    assert_eq!(got, 12);
    assert!(server.logs().await.is_empty());
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_asks_to_come_back() {
    let server = TestServer::with(|settings| {
        settings.max_request_bytes = LIMIT;
        settings.max_inflight_bytes = LIMIT;
        settings.max_concurrent_requests = 1;
    })
    .await;
    // A request that never ends holds the only place.
    let body = futures_util::stream::unfold(0, |n| async move {
        if n > 0 {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, std::io::Error>(vec![b' '; 16]), n + 1))
    });
    let body = reqwest::Body::wrap_stream(body);
    let slow = server
        .client
        .post(server.otlp("/v1/logs"))
        .header("content-type", "application/json")
        .body(body);
    let slow = tokio::spawn(slow.send());
    let url = server.otlp("/v1/logs");
    crate::harness::eventually("the place is taken", || async {
        server.get_text("/metrics").await.contains("skopos_ingest_requests_in_flight 1")
    })
    .await;
    let request = server.client.post(&url).header("content-type", "application/x-protobuf");
    let response = request.body(logs_request("x").encode_to_vec()).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    let got = crate::grpc_raw::call(&server, crate::grpc_raw::LOGS, &[], &[0; 5]).await;
    assert_eq!(got, 14, "UNAVAILABLE");
    slow.abort();
    crate::harness::eventually("room again", || async {
        let request = server.client.post(&url).header("content-type", "application/x-protobuf");
        request.body(logs_request("x").encode_to_vec()).send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_gives_its_place_back() {
    let server = TestServer::with(|settings| {
        settings.request_timeout = std::time::Duration::from_millis(100);
    })
    .await;
    let body = futures_util::stream::once(async { Ok::<_, std::io::Error>(vec![b' '; 16]) });
    let body = reqwest::Body::wrap_stream(futures_util::StreamExt::chain(
        body,
        futures_util::stream::pending(),
    ));
    let request = server.client.post(server.otlp("/v1/logs"));
    let request = request.header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 408);
    assert_eq!(refused(&server, "request_timeout").await, 1);
    assert_unharmed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_its_header_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::with(|settings| {
        settings.request_timeout = std::time::Duration::from_millis(100);
    })
    .await;
    let addresses = server.server.addresses();
    let whole = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let half = &whole[..30];
    for address in [addresses.http, addresses.otlp_http] {
        for (what, sent) in [
            ("nothing", String::new()),
            ("half a preface of HTTP/2", "PRI * HTTP".into()),
            ("half a header", half.into()),
            ("half a header after a request", format!("{whole}{half}")),
        ] {
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let end = client.read_to_end(&mut answer);
            let patience = std::time::Duration::from_secs(10);
            let ended = tokio::time::timeout(patience, end).await;
            assert!(ended.is_ok(), "{what}: the connection stays open");
            let answered = String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count();
            assert!(answered >= sent.matches(whole).count(), "{what}: {answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_head_refuses_ingest_and_goes_on_answering() {
    let server = TestServer::with(|settings| settings.max_head_bytes = Some(1 << 20)).await;
    // Blocks cannot be written, so the head cannot be flushed.
    std::fs::remove_dir(server.data().join("default/blocks")).unwrap();
    let url = server.otlp("/v1/logs");
    let mut accepted = 0;
    let refusal = loop {
        let body = logs_json("flood", &"x".repeat(200 << 10)).to_string();
        let request = server.client.post(&url).header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        accepted += 1;
        assert!(accepted < 100, "the head never fills");
    };
    assert_eq!(refusal.status(), 503);
    assert_eq!(refusal.headers()["retry-after"], "1");
    let message: serde_json::Value = refusal.json().await.unwrap();
    assert!(message["message"].as_str().unwrap().contains("max_head_bytes"), "{message}");
    assert_eq!(refused(&server, "unavailable").await, 1);
    assert_eq!(server.logs().await.len(), accepted, "what was acknowledged can be read");
    let metrics = server.get_text("/metrics").await;
    assert!(metrics.contains("skopos_store_refused_head_full_total 1"), "{metrics}");
    server.stop().await;
}
