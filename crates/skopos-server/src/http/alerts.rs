//! What people do with alerts and notifications: who took an alert on and how fast, what was
//! delivered, and what could not be.

mod history;
mod report;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_alerting::notify::{AckError, Acknowledgement, AlertSummary, IntentId, Severity};
use skopos_model::{Labels, Timestamp};

use super::Route;
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::state::SharedState;

/// Most bytes of a request of this module.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Most characters of a name.
const MAX_NAME: usize = 200;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "skopos";
    vec![
        history::route().tag(TAG),
        report::route().tag(TAG),
        Route::get("/api/v1/skopos/alerts", Scope::Read, list)
            .summary("The firing alerts with severity, receivers, what keeps them quiet, until when somebody must respond, and who did.")
            .tag(TAG),
        Route::post("/api/v1/alerts/ack", Scope::Admin, acknowledge)
            .summary("Acknowledges a firing alert: `fingerprint`, `by`, and a `comment` if there is one.")
            .tag(TAG),
        Route::get("/api/v1/skopos/deliveries", Scope::Read, deliveries)
            .summary("Notifications that wait, and those settled lately: delivered, failed or dropped, and why.")
            .tag(TAG),
        Route::get("/api/v1/skopos/notify/dead", Scope::Read, dead)
            .summary("Notifications that could not be delivered.")
            .tag(TAG),
        Route::post("/api/v1/skopos/notify/dead/discard", Scope::Admin, discard)
            .summary("Discards notifications that could not be delivered: their `ids`, or `all`: true; `by` says who. Noted in the log and among the deliveries.")
            .tag(TAG),
        Route::post("/api/v1/skopos/notify/dead/retry", Scope::Admin, retry)
            .summary("Sends a notification again that could not be delivered: its `id`, or `{}` for all.")
            .tag(TAG),
    ]
}

async fn list(State(state): State<SharedState>) -> Json<Value> {
    let (alerts, now) = state.rules.with_dispatcher(|d, now| (d.firing(now), now));
    Json(json!({"alerts": alerts.iter().map(|alert| print(alert, now)).collect::<Vec<_>>()}))
}

fn pairs(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

fn print(alert: &AlertSummary, now: Timestamp) -> Value {
    let respond_by = alert.severity.map(|severity| severity.respond_by(alert.starts_at));
    let responded_at = alert.acknowledged.as_ref().map_or(now, |ack| ack.at);
    json!({
        "fingerprint": alert.fingerprint,
        "labels": pairs(&alert.labels),
        "annotations": alert.annotations,
        "starts_at": alert.starts_at.to_string(),
        "severity": alert.severity.map(Severity::as_str),
        "receivers": alert.receivers,
        "inhibited_by": alert.status.inhibited_by,
        "silenced_by": alert.status.silenced_by,
        "muted_by": alert.status.muted_by,
        "respond_by": respond_by.map(|at| at.to_string()),
        "overdue": respond_by.is_some_and(|at| responded_at > at),
        "acknowledged": alert.acknowledged.as_ref().map(print_acknowledgement),
    })
}

fn print_acknowledgement(ack: &Acknowledgement) -> Value {
    json!({
        "by": ack.by,
        "comment": ack.comment,
        "at": ack.at.to_string(),
        "response_seconds": ack.response_time().as_secs_f64(),
    })
}

/// Reads a body of JSON.
async fn body<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|_| {
        let message = format!("the body was cut off or is larger than {MAX_BODY_BYTES} bytes");
        ApiError::new(ErrorClass::TooLarge, message)
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))
}

fn stopping() -> ApiError {
    ApiError::new(ErrorClass::Unavailable, "the server stops: repeat later")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    fingerprint: String,
    by: String,
    #[serde(default)]
    comment: String,
}

async fn acknowledge(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let Acknowledge { fingerprint, by, comment } = body(request).await?;
    let acting = state.rules.acknowledge(&fingerprint, &by, &comment);
    match acting.await.ok_or_else(stopping)? {
        Ok(ack) => Ok(Json(json!({
            "fingerprint": fingerprint,
            "labels": pairs(&ack.labels),
            "starts_at": ack.starts_at.to_string(),
            "acknowledged": print_acknowledgement(&ack),
        }))),
        Err(error @ AckError::NotFiring(_)) => Err(ApiError::not_found(error.to_string())),
        Err(error @ AckError::Taken { .. }) => {
            Err(ApiError::new(ErrorClass::Unprocessable, error.to_string()))
        }
        Err(error) => Err(ApiError::bad_request(error.to_string())),
    }
}

async fn deliveries(State(state): State<SharedState>) -> Json<Value> {
    let notifier = state.rules.notifier();
    let name = |receiver: &str, at| notifier.integration_name(receiver, at);
    let deliveries: Vec<Value> = state
        .rules
        .deliveries()
        .iter()
        .map(|record| {
            json!({
                "id": record.id.to_string(),
                "group": record.group_key,
                "receiver": record.receiver,
                "integration": record.integration,
                "integration_name": name(&record.receiver, record.integration),
                "created_at": record.created_at.to_string(),
                "settled_at": record.settled_at.to_string(),
                "attempts": record.attempts,
                "verdict": record.verdict.as_str(),
                "reason": record.reason,
            })
        })
        .collect();
    let waiting: Vec<Value> = state
        .rules
        .waiting()
        .iter()
        .map(|(intent, attempts, reason)| {
            json!({
                "id": intent.id.to_string(),
                "group": intent.group_key,
                "receiver": intent.receiver,
                "integration": intent.integration,
                "integration_name": name(&intent.receiver, intent.integration),
                "created_at": intent.created_at.to_string(),
                "attempts": attempts,
                "reason": reason,
            })
        })
        .collect();
    Json(json!({"deliveries": deliveries, "waiting": waiting}))
}

async fn dead(State(state): State<SharedState>) -> Json<Value> {
    let notifier = state.rules.notifier();
    let letters: Vec<Value> = state
        .rules
        .dead_letters()
        .iter()
        .map(|letter| {
            json!({
                "id": letter.intent.id.to_string(),
                "group": letter.intent.group_key,
                "receiver": letter.intent.receiver,
                "integration": letter.intent.integration,
                "integration_name":
                    notifier.integration_name(&letter.intent.receiver, letter.intent.integration),
                "status": letter.intent.status.as_str(),
                "created_at": letter.intent.created_at.to_string(),
                "failed_at": letter.failed_at.to_string(),
                "attempts": letter.attempts,
                "reason": letter.reason,
            })
        })
        .collect();
    Json(json!({"dead": letters}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    id: Option<String>,
}

async fn retry(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let Retry { id } = body(request).await?;
    let parsed = match &id {
        None => None,
        Some(text) => Some(text.parse::<IntentId>().map_err(|_| unknown(text))?),
    };
    match (state.rules.retry_dead(parsed).await, &id) {
        (0, Some(id)) => Err(unknown(id)),
        (count, _) => Ok(Json(json!({"retried": count}))),
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no dead letter {id:?}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Discard {
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    by: String,
}

async fn discard(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let Discard { ids, all, by } = body(request).await?;
    if all != ids.is_empty() {
        return Err(ApiError::bad_request("give either `ids` or `all`: true"));
    }
    let by = by.trim();
    if by.is_empty() || by.chars().count() > MAX_NAME || by.chars().any(char::is_control) {
        let message = format!("`by` must say who discards them, in 1 to {MAX_NAME} characters");
        return Err(ApiError::bad_request(message));
    }
    let mut parsed = Vec::new();
    for text in &ids {
        let id = text.parse::<IntentId>().map_err(|_| unknown(text))?;
        if !parsed.contains(&id) {
            parsed.push(id);
        }
    }
    let discarded = state.rules.discard_dead((!all).then_some(&parsed[..]), by).await;
    let count = discarded.map_err(|id| unknown(&id.to_string()))?;
    Ok(Json(json!({"discarded": count})))
}
