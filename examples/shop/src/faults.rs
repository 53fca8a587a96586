//! Switches that break a service while it runs, so that alerts have something to find.
//!
//! `PUT /faults/NAME` with the body `{"on": true}` switches, `GET /faults` shows. Real services
//! have no such thing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// One in so many charges fails under `payment-errors`: enough for every alert on errors, and so
/// few that the ratio falls below 1 % again within seconds of the repair.
const PAYMENT_ERROR_EVERY: u64 = 12;

/// The faults of one service. Clones share their switches.
#[derive(Clone, Debug)]
pub struct Faults(Arc<BTreeMap<&'static str, Switch>>);

#[derive(Debug, Default)]
struct Switch {
    on: AtomicBool,
    asked: AtomicU64,
}

/// The body of `PUT /faults/NAME`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Whether the fault is on.
    pub on: bool,
}

impl Faults {
    /// A service with these faults, all off.
    pub fn new(names: &[&'static str]) -> Self {
        Self(Arc::new(names.iter().map(|name| (*name, Switch::default())).collect()))
    }

    /// Whether the fault is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|s| s.on.load(Ordering::Relaxed))
    }

    /// Whether this call is one of those that fail while the fault is on: every twelfth, counted,
    /// so that a demo looks the same every time.
    pub fn strikes(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|s| {
            s.on.load(Ordering::Relaxed)
                && s.asked.fetch_add(1, Ordering::Relaxed) % PAYMENT_ERROR_EVERY == 0
        })
    }

    /// The routes that show and switch.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/faults", get(show))
            .route("/faults/{name}", put(switch))
            .with_state(self.clone())
    }
}

async fn show(State(faults): State<Faults>) -> Json<BTreeMap<&'static str, bool>> {
    Json(faults.0.keys().map(|name| (*name, faults.is_on(name))).collect())
}

async fn switch(
    State(faults): State<Faults>,
    Path(name): Path<String>,
    Json(setting): Json<Setting>,
) -> StatusCode {
    let Some(switch) = faults.0.get(name.as_str()) else { return StatusCode::NOT_FOUND };
    switch.on.store(setting.on, Ordering::Relaxed);
    tracing::warn!(fault = name, on = setting.on, "fault switched");
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_every_twelfth_call_while_on() {
        let faults = Faults::new(&["payment-errors"]);
        assert!(!(0..100).any(|_| faults.strikes("payment-errors")));
        faults.0["payment-errors"].on.store(true, Ordering::Relaxed);
        assert_eq!((0..120).filter(|_| faults.strikes("payment-errors")).count(), 10);
        assert!(!faults.strikes("unknown"));
    }
}
