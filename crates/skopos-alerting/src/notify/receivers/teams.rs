//! Cards for Microsoft Teams: a MessageCard for Office 365 connectors, an adaptive card for
//! workflows.

use serde_json::json;

use super::super::NotificationStatus;
use super::{RenderError, Request, Words, cut};
use crate::alertmanager::{MsTeams, MsTeamsV2};

/// Longest text of a card, characters: Teams refuses messages above 28 KB.
const MAX_TEXT: usize = 20_000;

pub(super) fn connector(config: &MsTeams, words: &Words<'_>) -> Result<Request, RenderError> {
    let colour = match words.notification.status {
        NotificationStatus::Firing => "8C1A1A",
        NotificationStatus::Resolved => "2DC72D",
    };
    Ok(Request::post(json!({
        "@context": "http://schema.org/extensions",
        "@type": "MessageCard",
        "title": words.expand("title", &config.title)?,
        "summary": words.expand("summary", &config.summary)?,
        "text": cut(words.expand("text", &config.text)?, MAX_TEXT),
        "themeColor": colour,
    })))
}

pub(super) fn workflow(config: &MsTeamsV2, words: &Words<'_>) -> Result<Request, RenderError> {
    let colour = match words.notification.status {
        NotificationStatus::Firing => "Attention",
        NotificationStatus::Resolved => "Good",
    };
    let title = words.expand("title", &config.title)?;
    let text = cut(words.expand("text", &config.text)?, MAX_TEXT);
    Ok(Request::post(json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": [
                    {
                        "type": "TextBlock",
                        "text": title,
                        "weight": "Bolder",
                        "size": "Medium",
                        "wrap": true,
                        "style": "heading",
                        "color": colour,
                    },
                    {"type": "TextBlock", "text": text, "wrap": true},
                ],
                "msteams": {"width": "full"},
            },
        }],
    })))
}
