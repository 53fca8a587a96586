//! inventory-service: knows what is in stock and what it costs.

use anyhow::Result;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use skopos::health::Health;
use skopos::{Service, Telemetry};

use crate::settings::{self, Settings};
use crate::{Reservation, Reserved};

const PRICES: [(&str, f64); 5] =
    [("book", 24.0), ("lamp", 79.5), ("chair", 189.0), ("desk", 449.0), ("phone", 899.0)];

/// What can be ordered.
pub fn skus() -> impl Iterator<Item = &'static str> {
    PRICES.iter().map(|(sku, _)| *sku)
}

/// Runs the service until it is asked to stop.
pub async fn run() -> Result<()> {
    let telemetry =
        Telemetry::builder(Service::new("inventory-service").version(env!("CARGO_PKG_VERSION")))
            .from_env()
            .install()?;
    let settings = Settings::from_env(8083)?;
    let routes = Router::new().route("/reservations", post(reserve));
    settings::serve(settings.listen, routes, telemetry, Health::builder().build()).await
}

async fn reserve(Json(wanted): Json<Reservation>) -> Result<Json<Reserved>, (StatusCode, String)> {
    let price = PRICES.iter().find(|(sku, _)| *sku == wanted.sku).map(|(_, price)| *price);
    let Some(unit_price) = price else {
        tracing::warn!(sku = wanted.sku, "unknown article asked for");
        return Err((StatusCode::NOT_FOUND, format!("there is no article {:?}", wanted.sku)));
    };
    tracing::info!(sku = wanted.sku, quantity = wanted.quantity, "stock reserved");
    Ok(Json(Reserved { unit_price }))
}
