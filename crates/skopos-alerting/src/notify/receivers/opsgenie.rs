//! Opsgenie's alert API: an alert is created under an alias, and closed by it.

use serde_json::{Map, Value, json};

use super::super::NotificationStatus;
use super::webhook::common;
use super::{Method, RenderError, Request, Words, cut};
use crate::alertmanager::{OpsGenie, Responder};

/// Longest message, characters.
const MAX_MESSAGE: usize = 130;

pub(super) fn render(config: &OpsGenie, words: &Words<'_>) -> Result<Vec<Request>, RenderError> {
    let alias = words.incident_key();
    let of_alias = |action: &str| format!("v2/alerts/{alias}/{action}?identifierType=alias");
    let source = words.expand("source", &config.source)?;
    if words.notification.status == NotificationStatus::Resolved {
        let close = Request::post(json!({"source": source}));
        return Ok(vec![Request { path: of_alias("close"), ..close }]);
    }
    let message = cut(words.expand("message", &config.message)?, MAX_MESSAGE);
    let description = words.expand("description", &config.description)?;
    let mut alert = Map::new();
    alert.insert("alias".into(), alias.clone().into());
    alert.insert("message".into(), message.clone().into());
    put(&mut alert, "description", description.clone());
    alert.insert("details".into(), details(config, words)?.into());
    alert.insert("source".into(), source.into());
    for (name, list) in [("responders", &config.responders), ("visibleTo", &config.visible_to)] {
        let list = responders(list, words)?;
        if !list.is_empty() {
            alert.insert(name.into(), list.into());
        }
    }
    for (name, text) in [("tags", &config.tags), ("actions", &config.actions)] {
        let list = split(&words.expand(name, text)?);
        if !list.is_empty() {
            alert.insert(name.into(), list.into());
        }
    }
    for (name, text) in
        [("note", &config.note), ("priority", &config.priority), ("entity", &config.entity)]
    {
        put(&mut alert, name, words.expand(name, text)?);
    }
    let create = Request { path: "v2/alerts".into(), ..Request::post(alert) };
    let mut requests = vec![create];
    if config.update_alerts {
        // A known alias keeps its texts otherwise.
        for (name, text) in [("message", message), ("description", description)] {
            let update = Request::post(json!({name: text}));
            requests.push(Request { method: Method::Put, path: of_alias(name), ..update });
        }
    }
    Ok(requests)
}

/// The common labels, and beside them what the configuration adds.
fn details(config: &OpsGenie, words: &Words<'_>) -> Result<Map<String, Value>, RenderError> {
    let shared = common(&words.notification.alerts, |alert| alert.labels.iter().collect());
    let mut details: Map<String, Value> =
        shared.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    for (name, text) in &config.details {
        details.insert(name.clone(), words.expand("details", text)?.into());
    }
    Ok(details)
}

fn responders(config: &[Responder], words: &Words<'_>) -> Result<Vec<Value>, RenderError> {
    let mut responders = Vec::new();
    for item in config {
        let id = words.expand("responders.id", &item.id)?;
        let name = words.expand("responders.name", &item.name)?;
        let username = words.expand("responders.username", &item.username)?;
        let kind = words.expand("responders.type", &item.kind)?;
        // Templates may leave one empty: then there is nobody to name.
        if id.is_empty() && name.is_empty() && username.is_empty() {
            continue;
        }
        if kind == "teams" {
            responders.extend(split(&name).into_iter().map(|t| json!({"name": t, "type": "team"})));
            continue;
        }
        let mut responder = Map::new();
        for (key, text) in [("id", id), ("name", name), ("username", username)] {
            put(&mut responder, key, text);
        }
        responder.insert("type".into(), kind.into());
        responders.push(responder.into());
    }
    Ok(responders)
}

fn split(text: &str) -> Vec<String> {
    text.trim().split(',').filter(|part| !part.is_empty()).map(String::from).collect()
}

fn put(map: &mut Map<String, Value>, name: &str, text: String) {
    if !text.is_empty() {
        map.insert(name.into(), text.into());
    }
}

pub(super) fn texts(config: &OpsGenie) -> Vec<String> {
    let own = [
        &config.message,
        &config.description,
        &config.source,
        &config.entity,
        &config.actions,
        &config.tags,
        &config.note,
        &config.priority,
    ];
    let details = config.details.iter().map(|(_, text)| text.clone());
    let people = config.responders.iter().chain(&config.visible_to);
    let people =
        people.flat_map(|r| [r.id.clone(), r.name.clone(), r.username.clone(), r.kind.clone()]);
    own.map(String::clone).into_iter().chain(details).chain(people).collect()
}
