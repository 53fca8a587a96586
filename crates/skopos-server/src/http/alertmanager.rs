//! Alertmanager's API, version 2: all nine operations, so that Prometheus sends its alerts here and
//! amtool and dashboards for Alertmanager work.
//!
//! Answers have Alertmanager's form to the letter, errors too: a JSON text, or `code` and `message`
//! where the request itself is malformed.

mod alerts;
mod silences;
mod time;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use skopos_alerting::notify::matcher::{Matcher, parse_matcher};
use skopos_model::MatchOp;

use super::Route;
use super::params::Params;
use crate::auth::Scope;
use crate::state::SharedState;

/// Where the API is.
pub(super) const PREFIX: &str = "/api/v2/";

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    const TAG: &str = "alertmanager";
    const FILTER: &str = "Matchers such as `severity=\"P1\"`; all must hold.";
    vec![
        Route::get("/api/v2/status", Scope::Read, status)
            .summary("Version, uptime and the routing configuration without its secrets.")
            .tag(TAG),
        Route::get("/api/v2/receivers", Scope::Read, receivers)
            .summary("Names of the receivers.")
            .tag(TAG),
        Route::get("/api/v2/alerts", Scope::Read, alerts::list)
            .summary("The firing alerts of rules and of other senders.")
            .repeated("filter", FILTER)
            .param("receiver", "An expression for the whole name of a receiver.")
            .param("active", "`false`: without the ones that are neither silenced nor inhibited.")
            .param("silenced", "`false`: without the silenced ones.")
            .param("inhibited", "`false`: without the inhibited ones.")
            .param("unprocessed", "Without effect: an alert is processed when it is known.")
            .tag(TAG),
        Route::post("/api/v2/alerts", Scope::Ingest, alerts::post)
            .summary("Takes in alerts, as Prometheus sends them.")
            .tag(TAG),
        Route::get("/api/v2/alerts/groups", Scope::Read, alerts::groups)
            .summary("The firing alerts in their groups.")
            .repeated("filter", FILTER)
            .param("receiver", "An expression for the whole name of a receiver.")
            .param("active", "`false`: without the ones that are neither silenced nor inhibited.")
            .param("silenced", "`false`: without the silenced ones.")
            .param("inhibited", "`false`: without the inhibited ones.")
            .param("muted", "`false`: without groups that a time interval mutes.")
            .tag(TAG),
        Route::get("/api/v2/silences", Scope::Read, silences::list)
            .summary("Silences, also those that ended in the last five days.")
            .repeated("filter", "Matchers that the silence's own must satisfy.")
            .tag(TAG),
        Route::post("/api/v2/silences", Scope::Admin, silences::post)
            .summary("Makes a silence, or changes the one whose id is given.")
            .tag(TAG),
        Route::get("/api/v2/silence/{silence}", Scope::Read, silences::get)
            .summary("One silence.")
            .tag(TAG),
        Route::new(Method::DELETE, "/api/v2/silence/{silence}", Scope::Admin, silences::delete)
            .summary("Ends a silence now.")
            .tag(TAG),
    ]
}

/// An error in Alertmanager's forms.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    body: Option<Value>,
}

impl Fault {
    /// An error whose body is a text.
    fn text(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: Some(Value::String(message.into())) }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::text(StatusCode::BAD_REQUEST, message)
    }

    /// A request that does not have the form it should.
    fn malformed(status: StatusCode, code: u16, message: impl Into<String>) -> Self {
        Self { status, body: Some(json!({"code": code, "message": message.into()})) }
    }

    fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, body: None }
    }

    /// The server stops, and the change is not durable.
    fn stopping() -> Self {
        Self::text(StatusCode::SERVICE_UNAVAILABLE, "the server stops: repeat later")
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self.body {
            Some(body) => (self.status, no_store(), Json(body)).into_response(),
            None => (self.status, no_store()).into_response(),
        }
    }
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

fn answer(body: Value) -> Response {
    (no_store(), Json(body)).into_response()
}

async fn status(State(state): State<SharedState>) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    answer(json!({
        "cluster": {"name": "", "peers": [], "status": "disabled"},
        "config": {"original": state.rules.with_dispatcher(|dispatcher, _| dispatcher.configuration())},
        "uptime": time::millis(state.started_at),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "skopos",
            "goVersion": "",
            "revision": "",
            "version": version,
        },
    }))
}

async fn receivers(State(state): State<SharedState>) -> Response {
    let names = state.rules.with_dispatcher(|dispatcher, _| {
        dispatcher.routing().receivers.keys().cloned().collect::<Vec<String>>()
    });
    answer(names.into_iter().map(|name| json!({"name": name})).collect())
}

/// The parameters and the matchers of `filter`.
async fn filter(request: Request) -> Result<(Params, Vec<Matcher>), Fault> {
    let params = Params::read(request).await;
    let params = params.map_err(|error| Fault::bad_request(error.external_message))?;
    let matchers: Result<Vec<Matcher>, _> = params.all("filter").map(parse_matcher).collect();
    let matchers =
        matchers.map_err(|error| Fault::bad_request(format!("bad matcher format: {error}")))?;
    Ok((params, matchers))
}

/// A switch that is on unless it says `false`.
fn switch(params: &Params, name: &str) -> Result<bool, Fault> {
    match params.get(name) {
        None => Ok(true),
        Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => {
            let message = format!("{name} in query must be of type boolean: \"{other}\"");
            Err(Fault::malformed(StatusCode::UNPROCESSABLE_ENTITY, 601, message))
        }
    }
}

/// Whether something with these values satisfies the matchers. A matcher of the empty text asks
/// whether there is a value at all.
fn satisfies<'a>(matchers: &[Matcher], value: impl Fn(&str) -> Option<&'a str>) -> bool {
    matchers.iter().all(|matcher| {
        let found = value(matcher.name());
        let is_negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        if matcher.value().is_empty() && found.is_some() == is_negative {
            return true;
        }
        matcher.matches_value(found.unwrap_or(""))
    })
}

/// Reads a body of JSON.
async fn body<T: serde::de::DeserializeOwned>(
    state: &SharedState,
    request: Request,
) -> Result<T, Fault> {
    let limit = state.settings.max_request_bytes;
    let bytes = axum::body::to_bytes(request.into_body(), limit).await.map_err(|_| {
        let message = format!("the body was cut off or is larger than {limit} bytes");
        Fault::malformed(StatusCode::PAYLOAD_TOO_LARGE, 413, message)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let is_shape = error.is_data();
        let message = format!("parsing body from \"\" failed, because {error}");
        match is_shape {
            true => Fault::malformed(StatusCode::UNPROCESSABLE_ENTITY, 602, error.to_string()),
            false => Fault::malformed(StatusCode::BAD_REQUEST, 400, message),
        }
    })
}
