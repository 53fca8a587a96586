//! No route escapes: every route × {no token, a wrong one, ingest, read, admin}.

use skopos_server::auth::{Scope, Scopes};
use skopos_server::http::{self, Route};

use crate::grpc_raw;
use crate::harness::TestServer;

struct Tokens {
    ingest: String,
    read: String,
    admin: String,
}

async fn with_tokens() -> (TestServer, Tokens) {
    let server = TestServer::with(|settings| settings.protect_metrics = true).await;
    let state = server.server.state();
    let make = |name: &'static str, scopes: Scopes| async move {
        let now = state.clock.now();
        let token = state.tokens.create(name, scopes, &*state.store, now).await.unwrap();
        token.expose().clone()
    };
    let admin = make("root", Scopes::ADMIN).await;
    let ingest = make("agent", Scopes::INGEST).await;
    let read = make("dashboard", Scopes::READ).await;
    (server, Tokens { ingest, read, admin })
}

/// What a token should get on a route: 401, 403, or past the guard.
fn expected(scope: Scope, token: &str) -> u16 {
    const PAST: u16 = 0;
    match (scope, token) {
        (Scope::Public, _) | (_, "admin") => PAST,
        (_, "none" | "wrong") => 401,
        (Scope::Ingest, "ingest") | (Scope::Read, "read") => PAST,
        _ => 403,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_with_every_token() {
    let (server, tokens) = with_tokens().await;
    let settings = server.server.state().settings.clone();
    let addresses = server.server.addresses();
    let mut routes: Vec<(std::net::SocketAddr, Route)> =
        http::routes(&settings).into_iter().map(|route| (addresses.http, route)).collect();
    routes.extend(http::otlp::routes().into_iter().map(|route| (addresses.otlp_http, route)));
    assert!(routes.len() > 8);
    let cases = [
        ("none", None),
        ("wrong", Some("skopos_0000")),
        ("ingest", Some(tokens.ingest.as_str())),
        ("read", Some(tokens.read.as_str())),
        ("admin", Some(tokens.admin.as_str())),
    ];
    for (address, route) in &routes {
        let path = route.path.split('/').map(|s| if s.starts_with('{') { "x" } else { s });
        let path = path.collect::<Vec<_>>().join("/");
        for (name, token) in cases {
            let url = format!("http://{address}{path}");
            let mut request = server.client.request(route.method.clone(), url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.unwrap().status().as_u16();
            let got = if matches!(status, 401 | 403) { status } else { 0 };
            let want = expected(route.scope, name);
            assert_eq!(got, want, "{} {} with {name}: {status}", route.method, route.path);
        }
    }
    for (path, _) in skopos_server::grpc::METHODS {
        for (name, token) in cases {
            let value = token.map(|token| format!("Bearer {token}"));
            let headers: Vec<(&str, &str)> =
                value.iter().map(|value| ("authorization", value.as_str())).collect();
            // A frame that is no message: past the guard it is INVALID_ARGUMENT.
            let code = grpc_raw::call(&server, path, &headers, &[0, 0]).await;
            let want = match expected(Scope::Ingest, name) {
                401 => tonic::Code::Unauthenticated,
                403 => tonic::Code::PermissionDenied,
                _ => tonic::Code::InvalidArgument,
            };
            assert_eq!(code, want as i32, "{path} with {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_shown_once_kept_as_hashes_and_revoked() {
    let server = TestServer::start().await;
    let url = server.http("/api/v1/skopos/tokens");
    let request = server.client.post(&url).header("content-type", "application/json");
    let request = request.body(r#"{"name": "root", "scopes": "admin"}"#);
    let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("skopos_") && token.len() == 7 + 64, "{token}");

    // From the first token on nothing goes without.
    let open = server.client.get(&url).send().await.unwrap();
    assert_eq!(open.status(), 401);
    let listed = server.client.get(&url).bearer_auth(&token).send().await.unwrap();
    let listed = listed.text().await.unwrap();
    assert!(listed.contains("root") && !listed.contains(&token), "{listed}");

    let folder = server.stop().await;
    for file in walk(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!found, "{} holds the token itself", file.display());
    }
    let server = TestServer::reopen(folder, |_| {}).await;
    let url = server.http("/api/v1/skopos/tokens");
    assert_eq!(server.client.get(&url).bearer_auth(&token).send().await.unwrap().status(), 200);
    let revoke = server.client.delete(format!("{url}/root?force=true")).bearer_auth(&token);
    assert_eq!(revoke.send().await.unwrap().status(), 200);
    let request = server.client.get(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(request.status(), 200, "without tokens loopback is open again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_locks_everybody_out_by_mistake() {
    let server = TestServer::start().await;
    let url = server.http("/api/v1/skopos/tokens");
    let create = async |name: &str, scopes: &str, token: &str| {
        let body = serde_json::json!({"name": name, "scopes": scopes}).to_string();
        let request = server.client.post(&url).bearer_auth(token);
        let request = request.header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<serde_json::Value>().await.unwrap())
    };
    for scopes in ["read", "ingest+read"] {
        let (status, answer) = create("ci", scopes, "").await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("admin token first"), "{message}");
        assert!(message.contains("SKOPOS__AUTH__TOKENS"), "{message}");
    }
    // Nothing is closed by what was refused.
    let (status, answer) = create("root", "admin", "").await;
    assert_eq!(status, 200, "{answer}");
    let root = answer["token"].as_str().unwrap().to_owned();
    assert_eq!(create("ci", "ingest", &root).await.0, 200);
    assert_eq!(create("a b", "ingest", &root).await.0, 400);

    let revoke = async |path: &str| {
        let request = server.client.delete(format!("{url}/{path}")).bearer_auth(&root);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) = revoke("root").await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("force=true") && text.contains("SKOPOS__AUTH__TOKENS"), "{text}");
    assert_eq!(revoke("root?force=perhaps").await.0, 400);
    assert_eq!(revoke("ci").await.0, 200);
    let (status, answer) = create("second", "admin", &root).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(revoke("second").await.0, 200, "another one is left");
    assert_eq!(revoke("root?force=true").await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_token_of_the_configuration_counts() {
    let server = TestServer::with(|settings| {
        settings.tokens = vec![skopos_server::config::TokenEntry {
            name: "root".into(),
            scopes: Scopes::ADMIN,
            hash: skopos_server::config::Secret::new(skopos_server::auth::hash_token("t0ken")),
        }];
    })
    .await;
    let state = server.server.state();
    let now = state.clock.now();
    let (tokens, store) = (&state.tokens, &*state.store);
    tokens.create("ci", Scopes::READ, store, now).await.unwrap();
    tokens.create("second", Scopes::ADMIN, store, now).await.unwrap();
    tokens.revoke("second", false, store, now).await.unwrap();
    assert!(tokens.revoke("root", true, store, now).await.is_err(), "it is not ours to revoke");
    assert!(tokens.find("t0ken").is_some());
    server.stop().await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_get_nothing_from_a_server_without_tokens() {
    let server = TestServer::start().await;
    let tokens = server.http("/api/v1/skopos/tokens");
    let receipts = server.http("/api/v1/skopos/receipts");
    let logs = server.otlp("/v1/logs");
    let own = format!("http://{}", server.server.addresses().http);
    for (what, method, url, headers, want) in [
        ("rebinding", "GET", &receipts, &[("host", "evil.example")][..], 421),
        (
            "rebinding a probe",
            "GET",
            &server.http("/health/live"),
            &[("host", "evil.example")],
            421,
        ),
        ("another page", "GET", &receipts, &[("origin", "https://evil.example")], 403),
        ("a sandboxed page", "GET", &receipts, &[("origin", "null")], 403),
        ("our own page", "GET", &receipts, &[("origin", own.as_str())], 200),
        ("a form", "POST", &tokens, &[("content-type", "application/x-www-form-urlencoded")], 403),
        ("a text form", "POST", &tokens, &[("content-type", "text/plain")], 403),
        ("our header", "POST", &tokens, &[("x-skopos-request", "1")], 400),
        ("a form to OTLP", "POST", &logs, &[("content-type", "text/plain")], 415),
        ("nothing to OTLP", "POST", &logs, &[], 415),
        (
            "rebinding OTLP",
            "POST",
            &logs,
            &[("content-type", "application/json"), ("host", "evil.example")],
            421,
        ),
        ("OTLP", "POST", &logs, &[("content-type", "application/json")], 400),
    ] {
        let mut request = server.client.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let status = request.body("x").send().await.unwrap().status();
        assert_eq!(status, want, "{what}");
    }
}
