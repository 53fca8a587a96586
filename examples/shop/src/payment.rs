//! payment-service: charges a card through a provider (here: a timer that may fail).

use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use skopos::health::Health;
use skopos::{Service, Telemetry};
use tracing::Instrument;

use crate::faults::Faults;
use crate::settings::{self, Settings};
use crate::{Charge, Charged};

/// How long the provider takes on a good day.
const PROVIDER_LATENCY: Duration = Duration::from_millis(8);
/// How long it takes under the fault `payment-latency`: beyond the 2 s of the guide's HighLatency.
const SLOW_PROVIDER_LATENCY: Duration = Duration::from_millis(2_600);

/// Runs the service until it is asked to stop.
pub async fn run() -> Result<()> {
    let telemetry =
        Telemetry::builder(Service::new("payment-service").version(env!("CARGO_PKG_VERSION")))
            .from_env()
            .install()?;
    let settings = Settings::from_env(8082)?;
    let faults = Faults::new(&["payment-errors", "payment-latency"]);
    let routes = Router::new()
        .route("/charges", post(charge))
        .with_state(faults.clone())
        .merge(faults.router());
    settings::serve(settings.listen, routes, telemetry, Health::builder().build()).await
}

async fn charge(
    State(faults): State<Faults>,
    Json(charge): Json<Charge>,
) -> Result<Json<Charged>, StatusCode> {
    let span = tracing::info_span!(
        "charge_provider",
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        otel.status_description = tracing::field::Empty,
        payment.method = charge.payment_method,
        payment.amount = charge.amount,
    );
    match call_provider(&faults).instrument(span.clone()).await {
        Ok(transaction_id) => {
            tracing::info!(
                order_key = charge.order_key,
                transaction_id,
                amount = charge.amount,
                currency = charge.currency,
                "payment charged"
            );
            Ok(Json(Charged { transaction_id, amount: charge.amount }))
        }
        Err(reason) => {
            span.record("otel.status_code", "ERROR");
            span.record("otel.status_description", reason);
            span.in_scope(|| {
                tracing::error!(order_key = charge.order_key, reason, "payment failed");
            });
            Err(StatusCode::BAD_GATEWAY)
        }
    }
}

async fn call_provider(faults: &Faults) -> Result<String, &'static str> {
    let slow = faults.is_on("payment-latency");
    tokio::time::sleep(if slow { SLOW_PROVIDER_LATENCY } else { PROVIDER_LATENCY }).await;
    if faults.strikes("payment-errors") {
        return Err("provider answered 503: gateway unavailable");
    }
    Ok(format!("tx-{}", skopos::new_request_id()))
}
