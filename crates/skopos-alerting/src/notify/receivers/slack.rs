//! A message with one attachment for Slack.

use serde_json::{Map, Value, json};

use super::{RenderError, Request, Words, cut};
use crate::alertmanager::{Slack, SlackAction};

/// Longest title, characters.
const MAX_TITLE: usize = 1024;

pub(super) fn render(config: &Slack, words: &Words<'_>) -> Result<Request, RenderError> {
    let mut attachment = Map::new();
    let title = cut(words.expand("title", &config.title)?, MAX_TITLE);
    put(&mut attachment, "title", title);
    for (name, text) in [
        ("title_link", &config.title_link),
        ("pretext", &config.pretext),
        ("image_url", &config.image_url),
        ("thumb_url", &config.thumb_url),
        ("color", &config.color),
    ] {
        put(&mut attachment, name, words.expand(name, text)?);
    }
    for (name, text) in [
        ("text", &config.text),
        ("fallback", &config.fallback),
        ("callback_id", &config.callback_id),
        ("footer", &config.footer),
    ] {
        attachment.insert(name.into(), words.expand(name, text)?.into());
    }
    let mut fields = Vec::new();
    for field in &config.fields {
        fields.push(json!({
            "title": words.expand("fields.title", &field.title)?,
            "value": words.expand("fields.value", &field.value)?,
            "short": field.short.unwrap_or(config.short_fields),
        }));
    }
    let mut actions = Vec::new();
    for item in &config.actions {
        actions.push(action(item, words)?);
    }
    for (name, list) in [("fields", fields), ("actions", actions)] {
        if !list.is_empty() {
            attachment.insert(name.into(), list.into());
        }
    }
    attachment.insert("mrkdwn_in".into(), config.mrkdwn_in.clone().into());

    let mut message = Map::new();
    for (name, text) in [
        ("channel", &config.channel),
        ("username", &config.username),
        ("icon_emoji", &config.icon_emoji),
        ("icon_url", &config.icon_url),
    ] {
        put(&mut message, name, words.expand(name, text)?);
    }
    put(&mut message, "text", words.expand("message_text", &config.message_text)?);
    if config.link_names {
        message.insert("link_names".into(), true.into());
    }
    message.insert("attachments".into(), vec![Value::Object(attachment)].into());
    Ok(Request::post(message))
}

fn action(config: &SlackAction, words: &Words<'_>) -> Result<Value, RenderError> {
    let mut action = Map::new();
    for (name, text) in [
        ("type", &config.kind),
        ("text", &config.text),
        ("url", &config.url),
        ("style", &config.style),
        ("name", &config.name),
        ("value", &config.value),
    ] {
        put(&mut action, name, words.expand(name, text)?);
    }
    if let Some(confirm) = &config.confirm {
        let mut question = Map::new();
        for (name, text) in [
            ("title", &confirm.title),
            ("text", &confirm.text),
            ("ok_text", &confirm.ok_text),
            ("dismiss_text", &confirm.dismiss_text),
        ] {
            put(&mut question, name, words.expand(name, text)?);
        }
        action.insert("confirm".into(), question.into());
    }
    Ok(action.into())
}

/// Slack wants keys left out rather than empty.
fn put(map: &mut Map<String, Value>, name: &str, text: String) {
    if !text.is_empty() {
        map.insert(name.into(), text.into());
    }
}

pub(super) fn texts(config: &Slack) -> Vec<String> {
    let mut texts: Vec<String> = [
        &config.channel,
        &config.username,
        &config.color,
        &config.title,
        &config.title_link,
        &config.pretext,
        &config.text,
        &config.message_text,
        &config.footer,
        &config.fallback,
        &config.callback_id,
        &config.icon_emoji,
        &config.icon_url,
        &config.image_url,
        &config.thumb_url,
    ]
    .map(String::clone)
    .to_vec();
    for field in &config.fields {
        texts.extend([field.title.clone(), field.value.clone()]);
    }
    for action in &config.actions {
        let own = [&action.kind, &action.text, &action.url, &action.style, &action.name];
        texts.extend(own.map(String::clone));
        texts.push(action.value.clone());
        if let Some(confirm) = &action.confirm {
            let own = [&confirm.title, &confirm.text, &confirm.ok_text, &confirm.dismiss_text];
            texts.extend(own.map(String::clone));
        }
    }
    texts
}
