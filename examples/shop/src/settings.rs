//! Where a service listens and whom it calls, from the environment.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use skopos::Telemetry;
use skopos::health::Health;

/// Settings of one service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Base URL of payment-service.
    pub payment_url: String,
    /// Base URL of inventory-service.
    pub inventory_url: String,
    /// Where order-service keeps its orders.
    pub database_url: String,
}

impl Settings {
    /// Reads `SHOP_LISTEN`, `SHOP_PAYMENT_URL`, `SHOP_INVENTORY_URL` and `SHOP_DATABASE_URL`; what
    /// is not set has the default that lets the three services find each other on one machine.
    pub fn from_env(default_port: u16) -> Result<Self> {
        let var =
            |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let listen = var("SHOP_LISTEN", &format!("127.0.0.1:{default_port}"));
        Ok(Self {
            listen: listen.parse().with_context(|| format!("read SHOP_LISTEN={listen:?}"))?,
            payment_url: var("SHOP_PAYMENT_URL", "http://127.0.0.1:8082"),
            inventory_url: var("SHOP_INVENTORY_URL", "http://127.0.0.1:8083"),
            database_url: var("SHOP_DATABASE_URL", "sqlite::memory:"),
        })
    }
}

/// Serves `routes` beside the probes and `/metrics` until the process is asked to stop, then
/// flushes what telemetry is left.
pub async fn serve(
    listen: SocketAddr,
    routes: Router,
    telemetry: Telemetry,
    health: Health,
) -> Result<()> {
    let app = routes.merge(telemetry.ops_router(health.clone())).layer(telemetry.http_layer());
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    tracing::info!(listening = %listener.local_addr()?, "service started");
    health.mark_started();
    axum::serve(listener, app)
        .with_graceful_shutdown(skopos::shutdown_signal(health))
        .await
        .context("serve")?;
    let report = telemetry.shutdown(std::time::Duration::from_secs(5)).await;
    if !report.is_complete() {
        eprintln!("telemetry lost at shutdown: {report}");
    }
    Ok(())
}
