//! What people note about objectives: deploys and incidents, corrections, leave to deploy.

use axum::Json;
use axum::extract::{Path, Request, State};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use skopos_alerting::slo::{Annotation, AnnotationKind, Correction, GateOverride, NoteError};
use skopos_model::Timestamp;

use super::super::params::Params;
use super::{DAY_MS, look, success, unknown_slo};
use crate::error::ApiError;
use crate::slos::NoteFailure;
use crate::state::SharedState;

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))
}

fn refused(failure: NoteFailure) -> ApiError {
    match failure {
        NoteFailure::Storage(error) => error.into(),
        NoteFailure::Note(NoteError::UnknownSlo(name)) => unknown_slo(&name),
        NoteFailure::Note(
            error @ (NoteError::UnknownService(_) | NoteError::UnknownCorrection(_)),
        ) => ApiError::not_found(error.to_string()),
        NoteFailure::Note(error) => ApiError::bad_request(error.to_string()),
    }
}

pub(super) async fn annotations(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["service", "start", "end"], &[])?;
    let now = state.clock.now();
    let month_ago = Timestamp::from_millis(now.as_millis() - 30 * DAY_MS);
    let start = params.time("start", now)?.unwrap_or(month_ago);
    let end = params.time("end", now)?.unwrap_or(now);
    let service = params.get("service").map(str::to_owned);
    let found = look(&state, move |engine, _| engine.annotations(service.as_deref(), start, end));
    Ok(success(json!({"annotations": found.await?})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotate {
    kind: AnnotationKind,
    service: String,
    text: String,
    #[serde(default)]
    start_ms: Option<i64>,
    #[serde(default)]
    end_ms: Option<i64>,
    #[serde(default)]
    by: String,
    #[serde(default)]
    link: String,
}

pub(super) async fn annotate(
    State(state): State<SharedState>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Annotate { kind, service, text, start_ms, end_ms, by, link } = read(&body)?;
    let start_ms = start_ms.unwrap_or_else(|| state.clock.now().as_millis());
    let id = String::new();
    let note = Annotation { id, kind, service, start_ms, end_ms, text, by, link };
    let noted = state.slos.note(|engine, now| engine.annotate(note, now)).await.map_err(refused)?;
    tracing::info!(id = %noted.id, kind = noted.kind.as_str(), service = %noted.service, by = %noted.by, "annotation was noted");
    Ok(success(json!({"annotation": noted})))
}

pub(super) async fn corrections(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request).await?;
    params.check_names(&["slo"], &[])?;
    let slo = params.get("slo").map(str::to_owned);
    let found = look(&state, move |engine, _| engine.corrections(slo.as_deref())).await?;
    Ok(success(json!({"corrections": found})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correct {
    slo: String,
    start_ms: i64,
    end_ms: i64,
    reason: String,
    by: String,
}

pub(super) async fn correct(
    State(state): State<SharedState>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Correct { slo, start_ms, end_ms, reason, by } = read(&body)?;
    let (id, created_ms, revoked_ms) = (String::new(), 0, None);
    let note = Correction { id, slo, start_ms, end_ms, reason, by, created_ms, revoked_ms };
    let noted = state.slos.note(|engine, now| engine.correct(note, now)).await.map_err(refused)?;
    tracing::info!(id = %noted.id, slo = %noted.slo, by = %noted.by, "an objective was corrected");
    Ok(success(json!({"correction": noted})))
}

pub(super) async fn revoke_correction(
    State(state): State<SharedState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let revoking = state.slos.note(|engine, now| engine.revoke_correction(&id, now));
    let noted = revoking.await.map_err(refused)?;
    tracing::info!(id = %noted.id, slo = %noted.slo, "a correction of an objective was taken back");
    Ok(success(json!({"correction": noted})))
}

pub(super) async fn overrides(State(state): State<SharedState>) -> Result<Json<Value>, ApiError> {
    let found = look(&state, |engine, _| engine.overrides()).await?;
    Ok(success(json!({"overrides": found})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    service: String,
    reason: String,
    by: String,
    until_ms: i64,
}

pub(super) async fn override_gate(
    State(state): State<SharedState>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Override { service, reason, by, until_ms } = read(&body)?;
    let note = GateOverride { id: String::new(), service, reason, by, created_ms: 0, until_ms };
    let overriding = state.slos.note(|engine, now| engine.override_gate(note, now));
    let noted = overriding.await.map_err(refused)?;
    tracing::warn!(id = %noted.id, service = %noted.service, by = %noted.by, reason = %noted.reason, until = %Timestamp::from_millis(noted.until_ms), "the gate of a service was overridden");
    Ok(success(json!({"override": noted})))
}
