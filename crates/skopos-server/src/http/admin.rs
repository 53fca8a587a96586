//! The server's own administration: receipts, tokens, reload.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Path, Request, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Route;
use super::params::Params;
use crate::ServerError;
use crate::auth::{Scope, Scopes};
use crate::error::ApiError;
use crate::state::SharedState;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "skopos";
    vec![
        Route::get("/api/v1/skopos/receipts", Scope::Read, receipts)
            .summary("What each sender sent: accepted, refused by reason, redacted by key.")
            .tag(TAG),
        Route::post("/-/reload", Scope::Admin, reload)
            .summary("Reads the rule files again; with any mistake the old rules stay in force.")
            .tag(TAG),
        Route::new(http::Method::PUT, "/-/reload", Scope::Admin, reload)
            .summary("As POST.")
            .tag(TAG),
        Route::post("/api/v1/skopos/reload", Scope::Admin, reload)
            .summary("As POST /-/reload.")
            .tag(TAG),
        Route::post("/api/v1/skopos/snapshot", Scope::Admin, snapshot)
            .summary("Copies all data, consistently, into a new folder on the server's machine; ingest and queries go on.")
            .tag(TAG),
        Route::get("/api/v1/skopos/tokens", Scope::Admin, list_tokens)
            .summary("Names and scopes of the access tokens.")
            .tag(TAG),
        Route::post("/api/v1/skopos/tokens", Scope::Admin, create_token)
            .summary("Makes an access token; the answer is the only place where it is shown.")
            .tag(TAG),
        Route::new(
            http::Method::DELETE,
            "/api/v1/skopos/tokens/{name}",
            Scope::Admin,
            revoke_token,
        )
        .summary("Revokes an access token.")
        .param("force", "`true`: revoke even the last admin token.")
        .tag(TAG),
    ]
}

async fn receipts(State(state): State<SharedState>) -> Json<Value> {
    let mut senders = Vec::new();
    for (sender, receipt) in state.receipts.snapshot() {
        let accepted: Value =
            receipt.accepted.iter().map(|(s, n)| (s.as_str().to_owned(), json!(n))).collect();
        let rejected: Vec<Value> = receipt
            .rejected
            .iter()
            .map(|(key, count)| {
                let message = receipt.messages.get(key).map_or("", String::as_str);
                let (signal, reason) = (key.0.as_str(), &key.1);
                json!({"signal": signal, "reason": reason, "count": count, "message": message})
            })
            .collect();
        let refused: Vec<Value> = receipt
            .refused_requests
            .iter()
            .map(|((transport, reason), count)| {
                json!({"transport": transport.as_str(), "reason": reason, "count": count})
            })
            .collect();
        senders.push(json!({
            "sender": sender,
            "accepted": accepted,
            "rejected": rejected,
            "redacted": receipt.redacted,
            "refused_requests": refused,
            "both_scraped_and_pushed": receipt.is_both_scraped_and_pushed(),
        }));
    }
    Json(json!({"since": state.started_at.to_string(), "senders": senders}))
}

async fn reload(State(state): State<SharedState>) -> Result<Json<Value>, ApiError> {
    let rules = state.rules.reload().await.map_err(|error| match error {
        ServerError::Rules(_) | ServerError::File { .. } => {
            ApiError::bad_request(error.to_string())
        }
        other => ApiError::internal(other.to_string()),
    })?;
    Ok(Json(json!({"rules": rules})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeSnapshot {
    dir: PathBuf,
}

async fn snapshot(
    State(state): State<SharedState>,
    body: bytes::Bytes,
) -> Result<Json<Value>, ApiError> {
    let TakeSnapshot { dir } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))?;
    if !dir.is_absolute() {
        // The server's own folder means nothing to who asks.
        return Err(ApiError::bad_request("`dir` must be an absolute path on the server"));
    }
    let report = state.folder.snapshot(&dir).await?;
    tracing::info!(dir = %dir.display(), files = report.files, bytes = report.bytes, "snapshot was taken");
    Ok(Json(json!({
        "dir": dir,
        "files": report.files,
        "bytes": report.bytes,
        "linked_bytes": report.linked_bytes,
    })))
}

async fn list_tokens(State(state): State<SharedState>) -> Json<Value> {
    let tokens: Vec<Value> = state
        .tokens
        .list()
        .iter()
        .map(|info| {
            json!({
                "name": info.name,
                "scopes": info.scopes.to_string(),
                "created_at": info.created_at.to_string(),
            })
        })
        .collect();
    Json(json!({"tokens": tokens}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateToken {
    name: String,
    scopes: String,
}

async fn create_token(
    State(state): State<SharedState>,
    body: bytes::Bytes,
) -> Result<Json<Value>, ApiError> {
    let body: CreateToken = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))?;
    let scopes = Scopes::parse(&body.scopes)
        .ok_or_else(|| ApiError::bad_request("scopes are ingest, read and admin, joined by `+`"))?;
    let now = state.clock.now();
    let token = state.tokens.create(&body.name, scopes, &*state.store, now).await?;
    Ok(Json(json!({
        "name": body.name,
        "scopes": scopes.to_string(),
        "token": token.expose(),
    })))
}

async fn revoke_token(
    State(state): State<SharedState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    let is_bool = |text: &str| text.parse::<bool>().ok();
    let force = params.parsed("force", "true or false", is_bool)?.unwrap_or(false);
    state.tokens.revoke(&name, force, &*state.store, state.clock.now()).await?;
    Ok(Json(json!({"revoked": name})))
}
