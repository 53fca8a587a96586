//! The probes: the guide's bodies and codes, whatever the checks do.

use std::future::pending;
use std::time::Duration;

use skopos::health::Health;

use crate::support::runtime;

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
            r#"{"status":"ready","checks":{"database":{"status":"healthy"},"mailer":{"status":"unhealthy","error":"connection \"refused\"","critical":false}}}"#
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
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
