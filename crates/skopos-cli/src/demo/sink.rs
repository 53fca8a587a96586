//! The demo's webhook receiver and remote control.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

/// Receives webhooks and keeps them.
pub(super) struct Sink {
    /// Where the server is told to send webhooks.
    pub(super) webhook_url: String,
    received: Received,
}

type Received = Arc<Mutex<Vec<Value>>>;

impl Sink {
    /// Starts to listen; when not `present`, keeps a port on which nobody answers.
    pub(super) async fn start(present: bool) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let webhook_url = format!("http://{}/webhook", listener.local_addr()?);
        let received = Received::default();
        if present {
            let routes =
                Router::new().route("/webhook", post(receive)).with_state(Arc::clone(&received));
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        Ok(Self { webhook_url, received })
    }

    /// The first webhook since the `from`th that is about this alert in this status.
    pub(super) fn find(&self, alert: &str, status: &str, from: usize) -> Option<Value> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let about = |v: &&Value| {
            v["alerts"].as_array().is_some_and(|alerts| {
                alerts.iter().any(|a| a["labels"]["alertname"] == alert && a["status"] == status)
            })
        };
        received.iter().skip(from).find(about).cloned()
    }

    /// All webhooks since the `from`th.
    pub(super) fn since(&self, from: usize) -> Vec<Value> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().skip(from).cloned().collect()
    }
}

async fn receive(State(received): State<Received>, Json(payload): Json<Value>) -> StatusCode {
    received.lock().unwrap_or_else(PoisonError::into_inner).push(payload);
    StatusCode::OK
}
