//! Alerts and their groups.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use skopos_alerting::notify::matcher::Matcher;
use skopos_alerting::notify::{AlertSummary, PostedAlert};
use skopos_model::{Labels, MatchOp, Timestamp};

use super::{Fault, answer, body, filter, no_store, satisfies, switch, time};
use crate::http::params::Params;
use crate::state::SharedState;

/// Which alerts are wanted.
struct Wanted {
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl Wanted {
    fn new(params: &Params, matchers: Vec<Matcher>) -> Result<Self, Fault> {
        let receiver = match params.get("receiver") {
            None => None,
            Some(text) => {
                Some(Matcher::new("receiver", MatchOp::Regex, text).map_err(|error| {
                    Fault::bad_request(format!("failed to parse receiver param: {error}"))
                })?)
            }
        };
        Ok(Self {
            matchers,
            receiver,
            active: switch(params, "active")?,
            silenced: switch(params, "silenced")?,
            inhibited: switch(params, "inhibited")?,
        })
    }

    fn takes(&self, alert: &AlertSummary) -> bool {
        let status = &alert.status;
        (self.active || status.state() != "active")
            && (self.silenced || status.silenced_by.is_empty())
            && (self.inhibited || status.inhibited_by.is_empty())
            && satisfies(&self.matchers, |name| alert.labels.get(name))
    }

    fn takes_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|matcher| matcher.matches_value(name))
    }
}

pub(super) async fn list(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, Fault> {
    let (params, matchers) = filter(request).await?;
    let wanted = Wanted::new(&params, matchers)?;
    switch(&params, "unprocessed")?;
    let (alerts, open_until) = state
        .rules
        .with_dispatcher(|d, now| (d.firing(now), now.saturating_add(d.routing().resolve_timeout)));
    let alerts = alerts.iter().filter(|alert| {
        wanted.takes(alert) && alert.receivers.iter().any(|name| wanted.takes_receiver(name))
    });
    Ok(answer(alerts.map(|alert| print(alert, &alert.receivers, open_until)).collect()))
}

pub(super) async fn groups(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, Fault> {
    let (params, matchers) = filter(request).await?;
    let wanted = Wanted::new(&params, matchers)?;
    let with_muted = switch(&params, "muted")?;
    let (groups, open_until) = state
        .rules
        .with_dispatcher(|d, now| (d.groups(now), now.saturating_add(d.routing().resolve_timeout)));
    let mut answers = Vec::new();
    for group in groups.iter().filter(|group| wanted.takes_receiver(&group.receiver)) {
        let is_muted = group.alerts.iter().any(|alert| !alert.status.muted_by.is_empty());
        if is_muted && !with_muted {
            continue;
        }
        let alerts: Vec<Value> = group
            .alerts
            .iter()
            .filter(|alert| wanted.takes(alert))
            .map(|alert| print(alert, &alert.receivers, open_until))
            .collect();
        if alerts.is_empty() {
            continue;
        }
        answers.push(json!({
            "alerts": alerts,
            "labels": pairs(&group.labels),
            "receiver": {"name": group.receiver},
        }));
    }
    Ok(answer(answers.into()))
}

fn pairs(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

/// An alert. One that a rule holds has no end yet; the API wants one in the future.
fn print(alert: &AlertSummary, receivers: &[String], open_until: Timestamp) -> Value {
    let mut receivers: Vec<&String> = receivers.iter().collect();
    receivers.sort();
    let receivers: Vec<Value> = receivers.iter().map(|name| json!({"name": name})).collect();
    json!({
        "annotations": alert.annotations,
        "endsAt": time::millis(alert.ends_at.unwrap_or(open_until)),
        "fingerprint": alert.fingerprint,
        "receivers": receivers,
        "startsAt": time::millis(alert.starts_at),
        "status": {
            "inhibitedBy": alert.status.inhibited_by,
            "mutedBy": alert.status.muted_by,
            "silencedBy": alert.status.silenced_by,
            "state": alert.status.state(),
        },
        "updatedAt": time::millis(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": pairs(&alert.labels),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "time::optional")]
    starts_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
}

pub(super) async fn post(
    State(state): State<SharedState>,
    request: Request,
) -> Result<Response, Fault> {
    let posted: Vec<Posted> = body(&state, request).await?;
    let alerts = posted.into_iter().map(|alert| PostedAlert {
        // Empty values are absent ones, as in every label set.
        labels: Labels::from_pairs(&alert.labels),
        annotations: alert.annotations,
        starts_at: alert.starts_at,
        ends_at: alert.ends_at,
        generator_url: alert.generator_url,
    });
    let alerts: Vec<PostedAlert> = alerts.collect();
    let posting = state.rules.change(|dispatcher, now| {
        let (dispatched, invalid) = dispatcher.post(alerts, now);
        (invalid, dispatched)
    });
    let invalid = posting.await.ok_or_else(Fault::stopping)?;
    if !invalid.is_empty() {
        let faults: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        return Err(Fault::bad_request(faults.join("; ")));
    }
    Ok(no_store().into_response())
}
