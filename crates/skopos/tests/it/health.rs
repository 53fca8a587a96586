//! The probes: the guide's bodies and codes, whatever the checks do.

use std::future::pending;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use skopos::health::{self, Check, Health};
use skopos::{Service, Telemetry};
use tower::ServiceExt as _;

use crate::support::runtime;

/// A runtime whose time stands still until everybody waits for it.
fn stopped() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn bodies_and_codes() {
    runtime().block_on(async {
        let health = Health::builder()
            .critical("database", || async { Ok::<(), String>(()) })
            .degraded("mailer", || async { Err::<(), _>("connection \"refused\"") })
            .build();
        let live = health.live();
        let body: serde_json::Value = serde_json::from_str(&live.body).unwrap();
        assert_eq!((live.status.as_u16(), body["status"].as_str()), (200, Some("alive")));
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));

        assert_eq!((health.startup().status.as_u16(), &*health.startup().body), (503, r#"{"status":"starting"}"#));
        health.mark_started();
        assert_eq!((health.startup().status.as_u16(), &*health.startup().body), (200, r#"{"status":"started"}"#));

        let ready = health.ready().await;
        assert_eq!(ready.status.as_u16(), 200);
        assert_eq!(
            ready.body,
            r#"{"status":"ready","checks":{"database":{"status":"healthy"},"mailer":{"status":"unhealthy","error":"connection \"refused\""}}}"#
        );

        health.mark_draining();
        let ready = health.ready().await;
        assert_eq!(ready.status.as_u16(), 503);
        assert!(ready.body.starts_with(r#"{"status":"not_ready""#), "{}", ready.body);
        assert_eq!(health.live().status.as_u16(), 200);
    });
}

#[test]
fn checks_run_at_once_and_none_harms_another() {
    stopped().block_on(async {
        let health = Health::builder()
            .critical("slow", || async {
                tokio::time::sleep(Duration::from_millis(1900)).await;
                Ok::<(), String>(())
            })
            .critical("hangs", pending::<Result<(), String>>)
            .critical("leaks", || async {
                Err::<(), _>("password=hunter2 at postgres://u:hunter2@db")
            })
            .build();
        let started = tokio::time::Instant::now();
        let ready = health.ready().await;
        assert_eq!(started.elapsed(), Duration::from_secs(2), "one timeout, not their sum");
        let body: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
        assert_eq!(ready.status.as_u16(), 503);
        assert_eq!(body["checks"]["slow"]["status"], "healthy");
        assert_eq!(body["checks"]["hangs"]["error"], "no answer within 2000 ms");
        assert!(!ready.body.contains("hunter2"), "{}", ready.body);
    });
}

#[test]
fn each_check_has_its_own_timeout_and_details_say_so() {
    stopped().block_on(async {
        let health = Health::builder()
            .check(Check::new("slow", pending::<Result<(), String>>).timeout(Duration::from_secs(5)))
            .check(Check::new("mailer", || async { Ok::<(), String>(()) }).degraded())
            .build();
        let started = tokio::time::Instant::now();
        let ready = health.ready_with_details().await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert_eq!(
            ready.body,
            r#"{"status":"not_ready","checks":{"slow":{"status":"unhealthy","error":"no answer within 5000 ms","critical":true,"duration_ms":5000,"age_ms":0,"timeout_ms":5000},"mailer":{"status":"healthy","critical":false,"duration_ms":0,"age_ms":5000,"timeout_ms":2000}}}"#
        );
        assert!(health.k8s_yaml(80).contains("timeoutSeconds: 7"), "{}", health.k8s_yaml(80));
    });
}

/// A check that counts how often it ran.
fn counted(runs: &Arc<AtomicUsize>) -> Check {
    let runs = runs.clone();
    Check::new("counted", move || {
        let runs = runs.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    })
}

#[test]
fn results_are_shared_kept_and_made_in_the_background() {
    let at_once = |health: Health| async move {
        let probes: Vec<_> = (0..20)
            .map(|_| {
                let health = health.clone();
                tokio::spawn(async move { health.ready().await.status.as_u16() })
            })
            .collect();
        for probe in probes {
            assert_eq!(probe.await.unwrap(), 200);
        }
    };
    stopped().block_on(async {
        // Probes that come together share one run.
        let runs = Arc::new(AtomicUsize::new(0));
        let health = Health::builder().check(counted(&runs)).build();
        at_once(health.clone()).await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        health.ready().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);

        // A kept result serves until it is too old.
        let runs = Arc::new(AtomicUsize::new(0));
        let health =
            Health::builder().check(counted(&runs).cache_for(Duration::from_secs(10))).build();
        for (seconds, expected) in [(0, 1), (9, 1), (2, 2)] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            health.ready().await;
            assert_eq!(runs.load(Ordering::SeqCst), expected, "after {seconds} s more");
        }

        // In the background nobody waits, and the age shows.
        let runs = Arc::new(AtomicUsize::new(0));
        let health = Health::builder().check(counted(&runs).every(Duration::from_secs(10))).build();
        health.ready().await;
        tokio::time::sleep(Duration::from_secs(35)).await;
        assert!((4..=5).contains(&runs.load(Ordering::SeqCst)), "{runs:?}");
        let started = tokio::time::Instant::now();
        let body: serde_json::Value =
            serde_json::from_str(&health.ready_with_details().await.body).unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert!(body["checks"]["counted"]["age_ms"].as_u64().unwrap() > 1_000, "{body}");
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(health.ready().await.status.as_u16(), 200, "while it runs, too");
        }
        drop(health);
        let before = runs.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(runs.load(Ordering::SeqCst) <= before + 1, "nobody holds it: it ends");
    });
}

#[test]
fn a_check_that_panics_is_unhealthy_every_time() {
    stopped().block_on(async {
        async fn panics() -> Result<(), String> {
            panic!("in the check")
        }
        let health = Health::builder()
            .critical("panics", panics)
            .check(Check::new("panics later", panics).every(Duration::from_secs(1)))
            .critical("fine", || async { Ok::<(), String>(()) })
            .build();
        for _ in 0..3 {
            let ready = health.ready().await;
            assert_eq!(
                ready.body,
                r#"{"status":"not_ready","checks":{"panics":{"status":"unhealthy","error":"the check panicked"},"panics later":{"status":"unhealthy","error":"the check panicked"},"fine":{"status":"healthy"}}}"#
            );
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
}

#[test]
fn startup_waits_for_its_checks_once() {
    stopped().block_on(async {
        let is_migrated = Arc::new(AtomicBool::new(false));
        let migrated = is_migrated.clone();
        let health = Health::builder()
            .startup("migrations", move || {
                let is_migrated = migrated.load(Ordering::SeqCst);
                async move { if is_migrated { Ok(()) } else { Err("3 to go") } }
            })
            .build();
        assert_eq!(health.check_startup().await.body, r#"{"status":"starting"}"#);
        assert_eq!(health.ready().await.body, r#"{"status":"ready","checks":{}}"#);
        is_migrated.store(true, Ordering::SeqCst);
        assert_eq!(health.startup().status.as_u16(), 503, "nobody has looked yet");
        assert_eq!(health.check_startup().await.status.as_u16(), 200);
        is_migrated.store(false, Ordering::SeqCst);
        assert_eq!(health.check_startup().await.status.as_u16(), 200, "started stays started");
    });
}

#[test]
fn the_router_answers_with_details_on_request() {
    let (telemetry, _layer) =
        Telemetry::builder(Service::new("s")).without_lines().build().unwrap();
    let health = Health::builder().critical("database", || async { Ok::<(), String>(()) }).build();
    let router: axum::Router = telemetry.ops_router(health);
    runtime().block_on(async {
        for (path, has_details) in [
            ("/health/ready", false),
            ("/health/ready?details", true),
            ("/health/ready?a=1&details=1", true),
            ("/health/ready?detail", false),
        ] {
            let request = http::Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()["cache-control"], "no-store");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            assert_eq!(body.contains("age_ms"), has_details, "{path}: {body}");
        }
    });
}

/// A server that gives one fixed answer to everybody.
fn server(answer: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn ready_made_checks() {
    // Bound and dropped: nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ok = server(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let bad = server(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let redis = server(b"+PONG\r\n");
    let with_auth = server(b"+OK\r\n+PONG\r\n");
    let health = Health::builder()
        .degraded("tcp", health::tcp(redis.clone()))
        .degraded("tcp closed", health::tcp(closed.to_string()))
        .degraded("http", health::http(format!("http://{ok}/up")))
        .degraded("http 500", health::http(format!("http://ann:hunter2@{bad}/up?token=hunter2")))
        .degraded("http closed", health::http(format!("http://ann:hunter2@{closed}/")))
        .degraded("redis", health::redis(redis))
        .degraded("redis auth", health::redis(format!("redis://:hunter2@{with_auth}/0")))
        .degraded(
            "redis wrong",
            health::redis(format!(
                "redis://:hunter2@{}",
                server(b"-WRONGPASS hunter2\r\n-NOAUTH x\r\n")
            )),
        )
        .degraded("redis asks", health::redis(server(b"-NOAUTH Authentication required.\r\n")))
        .degraded("redis not", health::redis(server(b"SSH-2.0-x\r\n")))
        .degraded("redis gone", health::redis(server(b"")))
        .build();
    let body = runtime().block_on(health.ready()).body;
    assert!(!body.contains("hunter2"), "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    for (check, error) in [
        ("tcp", ""),
        ("tcp closed", "refused"),
        ("http", ""),
        ("http 500", "the server answered 500"),
        ("http closed", "does not answer"),
        ("redis", ""),
        ("redis auth", ""),
        ("redis wrong", "the server answered NOAUTH"),
        ("redis asks", ""),
        ("redis not", "not Redis"),
        ("redis gone", "closed before an answer"),
    ] {
        let found = &body["checks"][check];
        assert_eq!(found["status"] == "healthy", error.is_empty(), "{check}: {found}");
        assert!(found["error"].as_str().unwrap_or_default().contains(error), "{check}: {found}");
    }
}

#[cfg(feature = "disk")]
#[test]
fn free_space_is_checked() {
    let health = Health::builder()
        .degraded("enough", health::disk("/", 1))
        .degraded("too little", health::disk("/", u64::MAX))
        .degraded("nowhere", health::disk("/nowhere/at/all", 1))
        .build();
    let body = runtime().block_on(health.ready()).body;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["checks"]["enough"]["status"], "healthy");
    assert!(body["checks"]["too little"]["error"].as_str().unwrap().contains("bytes free"));
    assert_eq!(body["checks"]["nowhere"]["status"], "unhealthy");
}
