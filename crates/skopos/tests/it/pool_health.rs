//! The health check of a SQL pool, with SQLite in the process.

use std::time::Duration;

use skopos::health::{Check, Health};

use crate::support::runtime;

#[test]
fn a_pool_is_healthy_while_it_has_a_connection_that_answers() {
    runtime().block_on(async {
        let pool = sqlx::sqlite::SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap();
        let check = Check::new("database", skopos::health::sqlx(pool.clone()));
        let health = Health::builder().check(check.timeout(Duration::from_secs(1))).build();
        health.mark_started();
        let healthy = r#"{"status":"ready","checks":{"database":{"status":"healthy"}}}"#;
        let answer = health.ready().await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, healthy));

        let held = pool.acquire().await.unwrap();
        let answer = health.ready().await;
        assert_eq!(answer.status.as_u16(), 503, "{}", answer.body);
        assert!(answer.body.contains("no answer within 1000 ms"), "{}", answer.body);
        drop(held);
        assert_eq!(health.ready().await.body, healthy);

        pool.close().await;
        let answer = health.ready().await;
        assert_eq!(answer.status.as_u16(), 503);
        assert!(answer.body.contains("closed pool"), "{}", answer.body);
    });
}
