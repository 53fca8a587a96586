//! Notification: tests of receivers by the real path.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Route;
use crate::auth::Scope;
use crate::error::ApiError;
use crate::notify::SeverityLabel;
use crate::state::SharedState;
use crate::yaml::nearest;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/skopos/notify/test", Scope::Admin, test)
            .summary("Tells a receiver, or the receivers of a severity, of a marked test alert and that it is over; the answer holds the receivers' answers.")
            .tag("skopos"),
    ]
}

/// Exactly one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    /// A receiver's name.
    receiver: Option<String>,
    /// A value of the label `severity`, or P1, P2, P3.
    severity: Option<String>,
}

async fn test(
    State(state): State<SharedState>,
    body: bytes::Bytes,
) -> Result<Json<Value>, ApiError> {
    let test: Test = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("cannot read the request: {error}")))?;
    let notifier = state.rules.notifier();
    let (receivers, label) = match (test.receiver, test.severity) {
        (Some(receiver), None) => {
            let config = notifier.config();
            if config.receiver(&receiver).is_none() {
                let known = config.receivers.iter().map(|r| r.name.value.as_str());
                let hint = nearest(&receiver, known);
                let hint = hint.map(|near| format!(", did you mean {near:?}?"));
                let message =
                    format!("there is no receiver {receiver:?}{}", hint.unwrap_or_default());
                return Err(ApiError::not_found(message));
            }
            (vec![receiver], None)
        }
        (None, Some(severity)) => {
            let label = notifier.label_of(&severity);
            (notifier.receivers_of(&label.word), Some(label))
        }
        _ => return Err(ApiError::bad_request("name either `receiver` or `severity`")),
    };
    let mut trials = Vec::new();
    let severity = label.as_ref().map_or("", |label| label.word.as_str());
    for receiver in &receivers {
        trials.extend(notifier.trial(receiver, severity).await);
    }
    let mut answer = json!({"receivers": receivers, "trials": trials});
    if let Some(SeverityLabel { word, tried, named, is_routed }) = &label {
        answer["severity"] =
            json!({"label": word, "tried": tried, "routes_name": named, "routed": is_routed});
    }
    Ok(Json(answer))
}
