//! Starting, probing and stopping; and the errors when it cannot start.

use serde_json::Value;
use skopos_server::config::{Secret, TokenEntry};
use skopos_server::listen::ListenAddr;

use crate::harness::{TestServer, settings, start};

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_in_the_guides_words() {
    let server = TestServer::start().await;
    let live = server.get_json("/health/live").await;
    assert_eq!(live["status"], "alive");
    assert!(live["timestamp"].as_str().unwrap().contains('T'));
    let ready = server.get_json("/health/ready").await;
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["checks"]["wal"], serde_json::json!({"status": "healthy"}));
    assert_eq!(ready["checks"]["rules"]["status"], "healthy");
    assert_eq!(server.get_json("/health/startup").await["status"], "started");
    server.get_json("/api/v1/query?query=1").await;
    let metrics = server.get_text("/metrics").await;
    for name in [
        "prometheus_tsdb_head_series 0",
        "skopos_store_wal_bytes ",
        "skopos_store_wal_poisoned 0",
        "skopos_store_state_log_poisoned 0",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert!(metrics.lines().all(|line| !line.starts_with("http_")), "{metrics}");
    assert!(metrics.contains("skopos_http_requests_total{"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_file_tells_the_addresses_and_goes_at_the_end() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ready.json");
    let server = TestServer::with(|settings| settings.ready_file = Some(path.clone())).await;
    let ready: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(ready["pid"], std::process::id());
    let addresses = server.server.addresses();
    assert_eq!(ready["http"], addresses.http.to_string());
    assert_eq!(ready["otlp_grpc"], addresses.otlp_grpc.to_string());
    assert_eq!(ready["otlp_http"], addresses.otlp_http.to_string());
    server.stop().await;
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 0, "no temporary file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prevents_a_start_is_said_plainly() {
    let running = TestServer::start().await;
    let other = tempfile::tempdir().unwrap();
    let taken = running.server.addresses().http.to_string();
    let pid = std::process::id();

    let mut same_port = settings(other.path());
    same_port.http_listen = ListenAddr::parse(&taken).unwrap();
    let locked = settings(running.data());
    let mut exposed = settings(other.path());
    exposed.otlp_grpc_listen = ListenAddr::parse("0.0.0.0:0").unwrap();
    let mut missing = settings(other.path());
    missing.prometheus_config = Some(other.path().join("none.yml"));
    let mut wrong = settings(other.path());
    let file = other.path().join("prometheus.yml");
    std::fs::write(&file, "scrape_configs:\n  - job_name: x\n    targets: [a:1]\n").unwrap();
    wrong.prometheus_config = Some(file);
    let mut password = settings(other.path());
    password.scrape_targets = vec!["http://user:s3cret@a:1".into()];
    let mut no_objectives = settings(other.path());
    no_objectives.slo_files = vec!["slo.yml".into()];
    let mut twins = settings(other.path());
    twins.scrape_targets =
        vec!["http://a:1/one".into(), "http://a:1/two".into(), "own=http://a:1/three".into()];
    for (what, settings, wants) in [
        ("port taken", same_port, vec![taken.clone(), format!("pid {pid}")]),
        ("folder locked", locked, vec![format!("pid {pid}"), running.data().display().to_string()]),
        (
            "exposed",
            exposed,
            vec![
                "0.0.0.0:0".into(),
                "start on loopback".into(),
                "--offline".into(),
                "auth.tokens".into(),
            ],
        ),
        ("file missing", missing, vec!["none.yml".into()]),
        ("file wrong", wrong, vec!["prometheus.yml:3:5".into(), "unknown key `targets`".into()]),
        ("password in a URL", password, vec!["scrape.targets".into()]),
        ("objectives missing", no_objectives, vec!["slo.yml".into(), "No such file".into()]),
        (
            "twins",
            twins,
            vec!["http://a:1/one and http://a:1/two have the same labels".into(), "JOB=URL".into()],
        ),
    ] {
        let error = match start(settings).await {
            Ok(_) => panic!("{what}: started all the same"),
            Err(error) => error.to_string(),
        };
        for want in wants {
            assert!(error.contains(&want), "{what}\n got {error}\nwant {want}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_with_a_token_or_said_explicitly() {
    for with_token in [true, false] {
        let server = TestServer::with(|settings| {
            settings.http_listen = ListenAddr::parse("0.0.0.0:0").unwrap();
            settings.allow_without_tokens = !with_token;
            if with_token {
                settings.tokens = vec![TokenEntry {
                    name: "ci".into(),
                    scopes: skopos_server::auth::Scopes::READ,
                    hash: Secret::new(skopos_server::auth::hash_token("t0ken")),
                }];
            }
        })
        .await;
        let port = server.server.addresses().http.port();
        let url = format!("http://127.0.0.1:{port}/api/v1/skopos/receipts");
        let open = server.client.get(&url).send().await.unwrap().status();
        assert_eq!(open, if with_token { 401 } else { 200 });
        let known = server.client.get(&url).bearer_auth("t0ken").send().await.unwrap().status();
        assert_eq!(known, 200);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_exposure_leaves_no_trace_on_disk() {
    let parent = tempfile::tempdir().unwrap();
    let mut exposed = settings(&parent.path().join("data"));
    exposed.http_listen = ListenAddr::parse("0.0.0.0:0").unwrap();
    assert!(start(exposed).await.is_err());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_names_the_entry_points_and_they_exist() {
    let server = TestServer::start().await;
    let index = server.get_json("/").await;
    let routes = skopos_server::http::routes(&server.server.state().settings);
    let known = |path: &str| routes.iter().any(|route| route.path == path);
    let apis = index["apis"].as_object().unwrap();
    for value in apis.values() {
        let paths = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        assert!(paths.iter().all(|path| known(path.as_str().unwrap())), "{value}");
    }
    assert!(apis.len() > 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_lets_ports_and_folder_go() {
    let folder = tempfile::tempdir().unwrap();
    let listener = ListenAddr::any_port().bind("test").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    // With a store in it the folder must be opened before it is known that there are no tokens.
    let folder = TestServer::reopen(folder, |_| {}).await.stop().await;
    let mut exposed = settings(folder.path());
    exposed.http_listen = ListenAddr::parse(&format!("0.0.0.0:{port}")).unwrap();
    assert!(start(exposed).await.is_err());
    let server = TestServer::reopen(folder, |settings| {
        settings.http_listen = ListenAddr::parse(&format!("127.0.0.1:{port}")).unwrap();
    });
    server.await.stop().await;
}
