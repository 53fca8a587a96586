//! Silences.

use std::cmp::Reverse;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_alerting::notify::matcher::Matcher;
use skopos_alerting::notify::{Silence, SilenceError, SilenceState};
use skopos_model::{MatchOp, Timestamp};

use super::{Fault, answer, body, filter, no_store, satisfies, time};
use crate::state::SharedState;

pub(super) async fn list(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, Fault> {
    let (_, matchers) = filter(request).await?;
    let (mut silences, now) = state
        .rules
        .with_dispatcher(|d, now| (d.silences().cloned().collect::<Vec<Silence>>(), now));
    silences.retain(|silence| {
        let own = &silence.matchers;
        satisfies(&matchers, |name| own.iter().rfind(|m| m.name() == name).map(Matcher::value))
    });
    // Active ones that end first, pending ones that begin first, then those that ended last.
    silences.sort_by_key(|silence| {
        let state = silence.state(now);
        let ended = (state == SilenceState::Expired).then_some(Reverse(silence.ends_at));
        let time = if state == SilenceState::Active { silence.ends_at } else { silence.starts_at };
        (state, ended, time, silence.id.clone())
    });
    Ok(answer(silences.iter().map(|silence| print(silence, now)).collect()))
}

pub(super) async fn get(
    State(state): State<SharedState>,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    check_id(&id)?;
    let (silence, now) = state.rules.with_dispatcher(|d, now| (d.silence(&id).cloned(), now));
    Ok(answer(print(&silence.ok_or_else(Fault::not_found)?, now)))
}

pub(super) async fn delete(
    State(state): State<SharedState>,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    check_id(&id)?;
    let ending = state.rules.change(|dispatcher, now| match dispatcher.expire_silence(&id, now) {
        Ok(dispatched) => (Ok(()), dispatched),
        Err(error) => (Err(error), Default::default()),
    });
    match ending.await.ok_or_else(Fault::stopping)? {
        Ok(()) => Ok(no_store().into_response()),
        Err(SilenceError::NotFound) => Err(Fault::not_found()),
        Err(error) => Err(Fault::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<PostedMatcher>,
    #[serde(deserialize_with = "time::optional")]
    starts_at: Option<Timestamp>,
    #[serde(deserialize_with = "time::optional")]
    ends_at: Option<Timestamp>,
    created_by: String,
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn post(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, Fault> {
    let posted: Posted = body(&state, request).await?;
    let mut matchers = Vec::new();
    for matcher in &posted.matchers {
        let op = match (matcher.is_regex, matcher.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        let matcher = Matcher::new(&matcher.name, op, &matcher.value);
        matchers.push(matcher.map_err(|error| {
            Fault::bad_request(format!("silence invalid: invalid label matcher: {error}"))
        })?);
    }
    let required = |name: &str| {
        let message = format!("{name} in body is required");
        Fault::malformed(StatusCode::UNPROCESSABLE_ENTITY, 602, message)
    };
    for (name, text) in [("comment", &posted.comment), ("createdBy", &posted.created_by)] {
        if text.trim().is_empty() {
            return Err(required(name));
        }
    }
    let starts_at = posted.starts_at.ok_or_else(|| required("startsAt"))?;
    let ends_at = posted.ends_at.ok_or_else(|| required("endsAt"))?;
    let fresh_id = fresh_id().map_err(|error| {
        Fault::text(StatusCode::INTERNAL_SERVER_ERROR, format!("no randomness: {error}"))
    })?;
    if starts_at >= ends_at {
        let message = "Failed to create silence: start time must be before end time";
        return Err(Fault::bad_request(message));
    }
    let silence = Silence {
        id: posted.id.unwrap_or_default(),
        matchers,
        starts_at,
        ends_at,
        updated_at: starts_at,
        created_by: posted.created_by,
        comment: posted.comment,
    };
    let setting = state.rules.change(|dispatcher, now| {
        if ends_at < now {
            return (Ok(None), Default::default());
        }
        match dispatcher.set_silence(silence, fresh_id, now) {
            Ok((id, dispatched)) => (Ok(Some(id)), dispatched),
            Err(error) => (Err(error), Default::default()),
        }
    });
    match setting.await.ok_or_else(Fault::stopping)? {
        Ok(Some(id)) => Ok(answer(json!({"silenceID": id}))),
        Ok(None) => {
            Err(Fault::bad_request("Failed to create silence: end time can't be in the past"))
        }
        Err(error @ SilenceError::NotFound) => {
            Err(Fault::text(StatusCode::NOT_FOUND, error.to_string()))
        }
        Err(error) => Err(Fault::bad_request(error.to_string())),
    }
}

fn print(silence: &Silence, now: Timestamp) -> Value {
    let matchers = silence.matchers.iter().map(|matcher| {
        json!({
            "isEqual": matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
            "isRegex": matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            "name": matcher.name(),
            "value": matcher.value(),
        })
    });
    json!({
        "id": silence.id,
        "status": {"state": silence.state(now).as_str()},
        "updatedAt": time::millis(silence.updated_at),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": time::millis(silence.ends_at),
        "matchers": matchers.collect::<Vec<Value>>(),
        "startsAt": time::millis(silence.starts_at),
    })
}

/// Ids are UUIDs.
fn check_id(id: &str) -> Result<(), Fault> {
    let groups: Vec<&str> = id.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_uuid {
        return Ok(());
    }
    let message = format!("silenceID in path must be of type uuid: {id:?}");
    Err(Fault::malformed(StatusCode::UNPROCESSABLE_ENTITY, 601, message))
}

/// A random UUID, version 4.
fn fresh_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids() {
        let id = fresh_id().unwrap();
        assert!(check_id(&id).is_ok(), "{id}");
        assert_eq!(&id[14..15], "4");
        for wrong in ["", "x", "0-0-0-0-0", "0123456789abcdef0123456789abcdef"] {
            assert!(check_id(wrong).is_err(), "{wrong}");
        }
    }
}
