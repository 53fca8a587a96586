//! A notification in a receiver's words, and what its answer means. Pure: the host sends.
//!
//! [`Integration::render`] makes an [`Outgoing`] that is durable before it is sent, so it holds no
//! secret: URLs and keys are the integration's, looked up when it is sent
//! ([`Integration::endpoint`], [`Integration::key`]), and [`Request::key_field`] says where a key
//! belongs that travels in the body. Rendering the same notification twice gives the same bytes.

mod email;
mod judge;
mod opsgenie;
mod pagerduty;
mod slack;
mod teams;
mod webhook;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Notification;
use super::template::{TemplateData, Templates};
use crate::alertmanager::{Integration, SecretSource, Settings};
use crate::template::TemplateError;

pub use judge::{Answer, Judgement};
pub(crate) use webhook::{common, payload as webhook_payload};

/// What is to be sent, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outgoing {
    /// Requests, one after the other; a later one only after the earlier was accepted.
    Http(Vec<Request>),
    /// An e-mail.
    Mail(Mail),
}

impl Outgoing {
    /// As text, for the intent.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    /// From [`encode`](Self::encode)'s text.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A request to the integration's [`endpoint`](Integration::endpoint) with a body of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Path and query, appended to the endpoint as they are; mostly empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The body.
    pub body: String,
    /// Key of the body's outermost object under which the integration's
    /// [`key`](Integration::key) must be put before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_field: Option<String>,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// POST
    Post,
    /// PUT
    Put,
}

impl Request {
    fn post(body: impl Serialize) -> Self {
        let body = serde_json::to_string(&body).expect("texts and numbers are always JSON");
        Self { method: Method::Post, path: String::new(), body, key_field: None }
    }

    /// The body with the key at its place.
    pub fn body_with(&self, key: Option<&str>) -> String {
        let (Some(field), Some(key)) = (&self.key_field, key) else { return self.body.clone() };
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.body) {
            Ok(mut body) => {
                body.insert(field.clone(), key.into());
                serde_json::Value::Object(body).to_string()
            }
            Err(_) => self.body.clone(),
        }
    }
}

/// An e-mail; sender and receivers as they stand in the configuration, expanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The sender's address.
    pub from: String,
    /// Addresses separated by commas.
    pub to: String,
    /// Headers beside `From`, `To` and `Date`, which are the host's unless they stand here.
    pub headers: Vec<(String, String)>,
    /// The body as text; empty for none.
    pub text: String,
    /// The body as HTML; empty for none.
    pub html: String,
}

/// A notification that cannot be put into words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A template failed.
    #[error("template of `{field}` at offset {}: {error}", error.offset)]
    Template {
        /// The key it stands under.
        field: String,
        /// What went wrong.
        error: TemplateError,
    },
    /// There is no way to deliver this.
    #[error("{0}")]
    Undeliverable(String),
}

impl Integration {
    /// Puts a notification into this integration's words. `external_url` is the server's.
    pub fn render(
        &self,
        notification: &Notification,
        templates: &Templates,
        external_url: &str,
    ) -> Result<Outgoing, RenderError> {
        if let Some(reason) = self.undeliverable() {
            return Err(RenderError::Undeliverable(reason));
        }
        let data = TemplateData::new(notification, external_url);
        let words = Words { templates, data: &data, notification };
        Ok(match &self.settings {
            Settings::Webhook(webhook) => {
                Outgoing::Http(vec![webhook::render(webhook, notification, external_url)])
            }
            Settings::PagerDuty(pagerduty) => {
                Outgoing::Http(vec![pagerduty::render(pagerduty, &words)?])
            }
            Settings::Slack(slack) => Outgoing::Http(vec![slack::render(slack, &words)?]),
            Settings::OpsGenie(opsgenie) => Outgoing::Http(opsgenie::render(opsgenie, &words)?),
            Settings::Email(email) => Outgoing::Mail(email::render(email, &words)?),
            Settings::MsTeams(teams) => Outgoing::Http(vec![teams::connector(teams, &words)?]),
            Settings::MsTeamsV2(teams) => Outgoing::Http(vec![teams::workflow(teams, &words)?]),
            Settings::Foreign(_) => {
                return Err(RenderError::Undeliverable(format!(
                    "no delivery to {}",
                    self.kind.name()
                )));
            }
        })
    }

    /// Where requests go; none for e-mail.
    pub fn endpoint(&self) -> Option<SecretSource> {
        match &self.settings {
            Settings::Webhook(webhook) => Some(webhook.url.clone()),
            Settings::PagerDuty(pagerduty) => Some(SecretSource::inline(&pagerduty.url)),
            Settings::Slack(slack) => Some(slack.url.clone()),
            Settings::OpsGenie(opsgenie) => Some(SecretSource::inline(&opsgenie.api_url)),
            Settings::MsTeams(teams) => Some(teams.webhook_url.clone()),
            Settings::MsTeamsV2(teams) => Some(teams.webhook_url.clone()),
            Settings::Email(_) | Settings::Foreign(_) => None,
        }
    }

    /// The key that travels in bodies ([`Request::key_field`]) or, for Opsgenie, in the
    /// `Authorization` header behind the word `GenieKey`.
    pub fn key(&self) -> Option<SecretSource> {
        match &self.settings {
            Settings::PagerDuty(pagerduty) => Some(pagerduty.key.clone()),
            Settings::OpsGenie(opsgenie) => Some(opsgenie.api_key.clone()),
            _ => None,
        }
    }

    /// Every text of it that is a template.
    pub(crate) fn texts(&self) -> Vec<String> {
        match &self.settings {
            Settings::PagerDuty(pagerduty) => pagerduty::texts(pagerduty),
            Settings::Slack(slack) => slack::texts(slack),
            Settings::OpsGenie(opsgenie) => opsgenie::texts(opsgenie),
            Settings::Email(email) => email::texts(email),
            Settings::MsTeams(t) => vec![t.title.clone(), t.summary.clone(), t.text.clone()],
            Settings::MsTeamsV2(teams) => vec![teams.title.clone(), teams.text.clone()],
            Settings::Webhook(_) | Settings::Foreign(_) => Vec::new(),
        }
    }
}

/// What texts are expanded with.
struct Words<'a> {
    templates: &'a Templates,
    data: &'a TemplateData,
    notification: &'a Notification,
}

impl Words<'_> {
    fn expand(&self, field: &str, text: &str) -> Result<String, RenderError> {
        let expanded = self.templates.expand(text, self.data);
        expanded.map_err(|error| RenderError::Template { field: field.into(), error })
    }

    fn expand_html(&self, field: &str, text: &str) -> Result<String, RenderError> {
        let expanded = self.templates.expand_html(text, self.data);
        expanded.map_err(|error| RenderError::Template { field: field.into(), error })
    }

    /// The key under which an incident is opened and closed: the same as Alertmanager's, so that
    /// what one opened the other can close.
    fn incident_key(&self) -> String {
        hash(&self.notification.group_key)
    }
}

/// SHA-256 in hexadecimal.
fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// At most so many characters; the last one of a text that was cut is an ellipsis.
fn cut(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_characters() {
        assert_eq!(cut("äöü".into(), 3), "äöü");
        assert_eq!(cut("äöüß".into(), 3), "äö…");
    }

    #[test]
    fn keys_go_into_the_body_at_their_place() {
        let request =
            Request { key_field: Some("k".into()), ..Request::post([("a", 1)].as_slice()) };
        assert_eq!(request.body_with(Some("secret")), request.body, "not an object");
        let request =
            Request { key_field: Some("k".into()), ..Request::post(serde_json::json!({"a": 1})) };
        assert_eq!(request.body_with(Some("secret")), r#"{"a":1,"k":"secret"}"#);
        assert_eq!(
            Outgoing::decode(&Outgoing::Http(vec![request.clone()]).encode()),
            Some(Outgoing::Http(vec![request]))
        );
    }
}
