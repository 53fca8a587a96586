//! The smallest service that is observable in full: `cargo run -p hello`, then `curl -i localhost:8000`.

use std::time::Duration;

use axum::{Router, routing::get};
use skopos::health::Health;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = skopos::init!()?; // logs, traces, metrics; process and runtime are watched
    let health = Health::builder().build();
    let app = Router::new()
        .route("/", get(hello))
        .merge(telemetry.ops_router(health.clone())) // /metrics, /health/*
        .layer(telemetry.http_layer()); // request id, span, RED metrics, access line
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    tracing::info!(listening = %listener.local_addr()?, "service started");
    health.mark_started();
    axum::serve(listener, app).with_graceful_shutdown(skopos::shutdown_signal(health)).await?;
    eprintln!("{}", telemetry.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

async fn hello() -> &'static str {
    tracing::info!(greeting = "hello", "greeted");
    "hello\n"
}
