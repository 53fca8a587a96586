//! Events for PagerDuty's Events API v2, and v1 for service keys.
//!
//! The incident's key is the hash of the group's key, so a group opens one incident and closes it.
//! The runbook is the first link of every incident.

use serde_json::{Map, Value, json};

use super::super::NotificationStatus;
use super::{RenderError, Request, Words, cut};
use crate::alertmanager::PagerDuty;

/// Longest summary, characters.
const MAX_SUMMARY: usize = 1024;
/// Largest event, bytes.
const MAX_EVENT: usize = 512_000;
/// The annotation that links the runbook.
const RUNBOOK: &str = r#"{{ with .CommonAnnotations.runbook_url }}{{ . }}{{ end }}"#;

pub(super) fn render(config: &PagerDuty, words: &Words<'_>) -> Result<Request, RenderError> {
    let summary = cut(words.expand("description", &config.description)?, MAX_SUMMARY);
    let details = match expand_below(&Value::Object(config.details.clone()), words)? {
        Value::Object(details) => details,
        _ => Map::new(),
    };
    let (key_field, event) = match config.v1 {
        true => ("service_key", event_v1(config, words, summary, &details)?),
        false => ("routing_key", event_v2(config, words, summary, &details)?),
    };
    let mut request = Request::post(&event);
    if request.body.len() > MAX_EVENT {
        let removed = json!({"error": format!("details were left out: the event was larger than {MAX_EVENT} bytes")});
        let mut event = event;
        match config.v1 {
            true => event["details"] = removed,
            false => event["payload"]["custom_details"] = removed,
        }
        request = Request::post(&event);
    }
    Ok(Request { key_field: Some(key_field.into()), ..request })
}

fn event_v2(
    config: &PagerDuty,
    words: &Words<'_>,
    summary: String,
    details: &Map<String, Value>,
) -> Result<Value, RenderError> {
    let mut payload = Map::new();
    payload.insert("summary".into(), summary.into());
    payload.insert("source".into(), words.expand("source", &config.source)?.into());
    payload.insert("severity".into(), words.expand("severity", &config.severity)?.into());
    for (name, text) in
        [("class", &config.class), ("component", &config.component), ("group", &config.group)]
    {
        let text = words.expand(name, text)?;
        if !text.is_empty() {
            payload.insert(name.into(), text.into());
        }
    }
    payload.insert("custom_details".into(), details.clone().into());
    let mut images = Vec::new();
    for image in &config.images {
        let src = words.expand("images.src", &image.src)?;
        let alt = words.expand("images.alt", &image.alt)?;
        let href = words.expand("images.href", &image.href)?;
        if !src.is_empty() {
            images.push(json!({"src": src, "alt": alt, "href": href}));
        }
    }
    let mut event = Map::new();
    event.insert("event_action".into(), action(words).into());
    event.insert("dedup_key".into(), words.incident_key().into());
    event.insert("payload".into(), payload.into());
    event.insert("client".into(), words.expand("client", &config.client)?.into());
    event.insert("client_url".into(), words.expand("client_url", &config.client_url)?.into());
    let links = links(config, words)?;
    for (name, list) in [("images", images), ("links", links)] {
        if !list.is_empty() {
            event.insert(name.into(), list.into());
        }
    }
    Ok(event.into())
}

fn event_v1(
    config: &PagerDuty,
    words: &Words<'_>,
    summary: String,
    details: &Map<String, Value>,
) -> Result<Value, RenderError> {
    let mut event = Map::new();
    event.insert("event_type".into(), action(words).into());
    event.insert("incident_key".into(), words.incident_key().into());
    event.insert("description".into(), summary.into());
    event.insert("details".into(), details.clone().into());
    if words.notification.status == NotificationStatus::Firing {
        event.insert("client".into(), words.expand("client", &config.client)?.into());
        event.insert("client_url".into(), words.expand("client_url", &config.client_url)?.into());
    }
    Ok(event.into())
}

fn action(words: &Words<'_>) -> &'static str {
    match words.notification.status {
        NotificationStatus::Firing => "trigger",
        NotificationStatus::Resolved => "resolve",
    }
}

/// The runbook unless it is among the links given, then those.
fn links(config: &PagerDuty, words: &Words<'_>) -> Result<Vec<Value>, RenderError> {
    let mut links = Vec::new();
    for link in &config.links {
        let href = words.expand("links.href", &link.href)?;
        let text = words.expand("links.text", &link.text)?;
        if !href.is_empty() {
            links.push(json!({"href": href, "text": text}));
        }
    }
    let runbook = words.expand("links", RUNBOOK)?;
    let is_web = runbook.starts_with("https://") || runbook.starts_with("http://");
    if is_web && !links.iter().any(|link| link["href"] == runbook) {
        links.insert(0, json!({"href": runbook, "text": "Runbook"}));
    }
    Ok(links)
}

/// Expands every text in a value.
fn expand_below(value: &Value, words: &Words<'_>) -> Result<Value, RenderError> {
    Ok(match value {
        Value::String(text) => words.expand("details", text)?.into(),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|v| expand_below(v, words)).collect();
            items?.into()
        }
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                out.insert(key.clone(), expand_below(value, words)?);
            }
            out.into()
        }
        other => other.clone(),
    })
}

pub(super) fn texts(config: &PagerDuty) -> Vec<String> {
    let mut texts = vec![
        config.client.clone(),
        config.client_url.clone(),
        config.description.clone(),
        config.source.clone(),
        config.severity.clone(),
        config.class.clone(),
        config.component.clone(),
        config.group.clone(),
    ];
    for image in &config.images {
        texts.extend([image.src.clone(), image.alt.clone(), image.href.clone()]);
    }
    for link in &config.links {
        texts.extend([link.href.clone(), link.text.clone()]);
    }
    texts_below(&Value::Object(config.details.clone()), &mut texts);
    texts
}

fn texts_below(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_below(item, texts)),
        Value::Object(map) => map.values().for_each(|item| texts_below(item, texts)),
        _ => {}
    }
}
