use std::time::Duration;

use axum::{Router, routing::get};
use skopos::health::Health;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = skopos::init()?;
    let health = Health::builder().critical("database", check).build();
    let reserved = telemetry.registry().counter("stock_reserved_total", "Items reserved.");
    let app = Router::new()
        .route(
            "/stock",
            get(|| async move {
                reserved.inc();
                tracing::info!(kind = "book", "item reserved");
                "reserved"
            }),
        )
        .merge(telemetry.ops_router(health.clone()))
        .layer(telemetry.http_layer());
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    axum::serve(listener, app).with_graceful_shutdown(skopos::shutdown_signal(health)).await?;
    telemetry.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn check() -> Result<(), std::io::Error> {
    Ok(())
}
