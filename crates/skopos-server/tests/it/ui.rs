//! The web UI over HTTP: which paths are pages, which headers they carry, and that data stays behind its token.

use http::{StatusCode, header};
use reqwest::Response;

use crate::harness::TestServer;

const BROWSER: [(&str, &str); 1] = [("accept", "text/html,*/*;q=0.8")];

async fn fetch(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = reqwest::Client::new().get(server.http(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header_of(response: &Response, name: impl header::AsHeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_pages_and_endpoints_are_not() {
    let server = TestServer::start().await;
    for path in ["/logs", "/alerts/High%20load/00ff/1700000000000?t=1h", "/traces/abc", "/nope"] {
        let answer = fetch(&server, path, &BROWSER).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(header_of(&answer, header::CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
        assert!(answer.text().await.unwrap().contains("<title>Skopos</title>"), "{path}");
    }
    for path in ["/api/v1/logz", "/health/nope", "/metrics/x", "/assets/gone.js", "/x.css"] {
        let answer = fetch(&server, path, &[("accept", "text/html")]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header_of(&answer, header::CONTENT_TYPE), "application/json", "{path}");
    }
    // Programs look for endpoints, not for pages.
    for path in ["/logs", "/nope", "/federation", "/-/nope", "/graph"] {
        let answer = fetch(&server, path, &[("accept", "*/*")]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/-/nope", "/federate/x"] {
        assert_eq!(fetch(&server, path, &BROWSER).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let post = reqwest::Client::new().post(server.http("/logs")).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::NOT_FOUND);
    // Who asks as a browser gets the page at the root, who asks as a program the list.
    let page = fetch(&server, "/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(header_of(&page, header::CONTENT_TYPE), "text/html; charset=utf-8");
    let list = fetch(&server, "/", &[("accept", "*/*")]).await;
    assert_eq!(header_of(&list, header::CONTENT_TYPE), "application/json");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_run_only_our_own_scripts_and_be_framed_by_nobody() {
    let server = TestServer::start().await;
    let page = fetch(&server, "/alerts", &BROWSER).await;
    let policy = header_of(&page, header::CONTENT_SECURITY_POLICY);
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header_of(&page, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(header_of(&page, header::CACHE_CONTROL), "no-cache");
    let etag = header_of(&page, header::ETAG).to_owned();
    assert!(!etag.is_empty());
    let again = fetch(&server, "/alerts", &[BROWSER[0], ("if-none-match", &etag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header_of(&again, header::ETAG), etag);
    assert!(again.bytes().await.unwrap().is_empty());
    // A page of somebody else who points a name at us gets nothing, not even the page.
    let rebound = fetch(&server, "/alerts", &[("host", "evil.example")]).await;
    assert_eq!(rebound.status(), StatusCode::MISDIRECTED_REQUEST);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_compressed_and_from_a_folder_when_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("assets")).unwrap();
    for (name, text) in [
        ("index.html", "<title>Mine</title>"),
        ("assets/a-1.js", "plain"),
        ("assets/a-1.js.br", "brotli"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let ui_dir = folder.path().to_owned();
    let server = TestServer::with(|settings| settings.ui_dir = Some(ui_dir)).await;
    let page = fetch(&server, "/logs", &BROWSER).await;
    assert_eq!(page.text().await.unwrap(), "<title>Mine</title>");
    let script = fetch(&server, "/assets/a-1.js", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(header_of(&script, header::CONTENT_ENCODING), "br");
    assert!(header_of(&script, header::CACHE_CONTROL).contains("immutable"));
    assert!(header_of(&script, header::VARY).contains("accept-encoding"));
    assert_eq!(script.bytes().await.unwrap(), "brotli");
    let plain = fetch(&server, "/assets/a-1.js", &[]).await;
    assert_eq!(plain.bytes().await.unwrap(), "plain");
    server.stop().await;
}
