//! gRPC calls with bodies that no generated client would send.

use crate::harness::TestServer;

pub(crate) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// Sends `body` as it is over HTTP/2 and returns the gRPC code of the answer.
pub(crate) async fn call(
    server: &TestServer,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> i32 {
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}{path}", server.server.addresses().otlp_grpc);
    let mut request = client.post(url).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.header("te", "trailers").body(body.to_vec()).send().await.unwrap();
    // An error comes without a body, its status in the headers.
    let status = response.headers().get("grpc-status").expect("a failed call");
    status.to_str().unwrap().parse().unwrap()
}
