//! The server's own administration: receipts, tokens, reload.

use std::io;
use std::path::PathBuf;

use axum::Json;
use axum::extract::{Path, Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_model::storage::{ErrorKind, StorageError};
use skopos_store::SeriesRefusal;
use skopos_store::cardinality::LimitAction;
use skopos_store::snapshot::Damaged;

use super::Route;
use super::params::Params;
use crate::ServerError;
use crate::auth::{Scope, Scopes};
use crate::error::{ApiError, ErrorClass};
use crate::state::SharedState;

/// Metrics beyond a limit that a receipt names.
const MOST_METRICS: usize = 5;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "skopos";
    vec![
        Route::get("/api/v1/skopos/receipts", Scope::Read, receipts)
            .summary("What each sender sent: accepted, refused by reason, redacted by key.")
            .tag(TAG),
        Route::post("/-/reload", Scope::Admin, reload)
            .summary("Reads the files of rules, objectives and receivers again; with any mistake the old ones stay in force.")
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
    let beyond = state.cardinality.refusals();
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
                json!({
                    "signal": signal,
                    "reason": reason,
                    "count": count,
                    "message": message,
                    "metrics": beyond_limits(&beyond, &sender, LimitAction::Refused, Some(reason)),
                })
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
            "folded": beyond_limits(&beyond, &sender, LimitAction::Folded, None),
            "redacted": receipt.redacted,
            "refused_requests": refused,
            "both_scraped_and_pushed": receipt.is_both_scraped_and_pushed(),
        }));
    }
    Json(json!({"since": state.started_at.to_string(), "senders": senders}))
}

/// The metrics of a sender that went beyond a limit with most samples.
fn beyond_limits(
    all: &[SeriesRefusal],
    sender: &str,
    action: LimitAction,
    reason: Option<&str>,
) -> Vec<Value> {
    all.iter()
        .filter(|row| row.action == action && row.sender.service == sender)
        .filter(|row| reason.is_none_or(|reason| row.reason == reason))
        .take(MOST_METRICS)
        .map(|row| {
            json!({
                "reason": row.reason,
                "limit": row.limit,
                "metric": row.metric,
                "label": row.label,
                "first_value": row.first_value,
                "scope": row.sender.scope,
                "samples": row.samples,
            })
        })
        .collect()
}

async fn reload(State(state): State<SharedState>) -> Result<Json<Value>, ApiError> {
    let rules = state.rules.reload().await.map_err(|error| match error {
        ServerError::Rules(_) | ServerError::File { .. } => {
            ApiError::bad_request(error.to_string())
        }
        other => ApiError::internal(other.to_string()),
    })?;
    Ok(Json(json!({"rules": rules, "slos": state.slos.count()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeSnapshot {
    dir: PathBuf,
    /// Leaves damaged blocks out instead of refusing.
    #[serde(default)]
    skip_damaged: bool,
}

async fn snapshot(
    State(state): State<SharedState>,
    body: bytes::Bytes,
) -> Result<Json<Value>, ApiError> {
    let TakeSnapshot { dir, skip_damaged } = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))?;
    if !dir.is_absolute() {
        // The server's own folder means nothing to who asks.
        return Err(ApiError::bad_request("`dir` must be an absolute path on the server"));
    }
    let damaged = if skip_damaged { Damaged::Skip } else { Damaged::Fail };
    let report = state.folder.snapshot(&dir, damaged).await.map_err(snapshot_error)?;
    tracing::info!(
        dir = %dir.display(),
        files = report.files,
        bytes = report.bytes,
        skipped_blocks = report.skipped.len(),
        "snapshot was taken"
    );
    let skipped: Vec<Value> = report
        .skipped
        .iter()
        .map(|block| {
            json!({
                "file": block.file,
                "signal": block.signal,
                "from": block.first.to_string(),
                "to": block.last.to_string(),
                "items": block.rows,
                "reason": block.reason,
            })
        })
        .collect();
    Ok(Json(json!({
        "dir": dir,
        "files": report.files,
        "bytes": report.bytes,
        "linked_bytes": report.linked_bytes,
        "skipped": skipped,
    })))
}

/// Who may ask for a snapshot has named the folder, and is told why it cannot be used.
fn snapshot_error(error: StorageError) -> ApiError {
    let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<io::Error>());
    let class = match (error.kind, cause.map(io::Error::kind)) {
        (ErrorKind::Internal, Some(io::ErrorKind::StorageFull)) => return error.into(),
        // The folder that was named is at fault.
        (
            ErrorKind::Internal,
            Some(
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::InvalidFilename,
            ),
        ) => ErrorClass::BadRequest,
        (ErrorKind::Internal, Some(_)) => ErrorClass::Internal,
        _ => return error.into(),
    };
    let message = format!(
        "{}; the server must be able to write there: see docs/operating.md, Backup",
        error.message
    );
    ApiError::new(class, message)
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
