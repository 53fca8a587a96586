//! Receivers and their integrations, with Alertmanager's defaults and the global settings applied.

mod email;
mod foreign;
mod kind;
mod pagerduty;
mod slack;

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

pub use email::Email;
pub use kind::IntegrationKind;
pub use pagerduty::{PagerDuty, PagerDutyImage, PagerDutyLink};
pub use slack::{Slack, SlackAction, SlackConfirm, SlackField};

use super::http::source_of;
use super::reader::Reader;
use super::section::Section;
use super::{HttpConfig, Located, Place, SecretSource, TlsConfig};
use crate::rules::yaml::{Node, NodeKind};

/// A named list of integrations; all of them are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Its name, unique in the file.
    pub name: Located<String>,
    /// What is told, in the order of the file.
    pub integrations: Vec<Integration>,
}

/// One thing that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Integration {
    /// What it is.
    pub kind: IntegrationKind,
    /// Where it stands.
    pub place: Place,
    /// Whether it is told that alerts are over.
    pub send_resolved: bool,
    /// Longest time for one attempt, where the configuration names one.
    pub timeout: Option<Duration>,
    /// How to reach it over HTTP.
    pub http: HttpConfig,
    /// Everything else.
    pub settings: Settings,
}

/// What is particular to a kind of integration.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// A generic webhook.
    Webhook(Webhook),
    /// PagerDuty.
    PagerDuty(Box<PagerDuty>),
    /// Slack.
    Slack(Box<Slack>),
    /// Opsgenie.
    OpsGenie(Box<OpsGenie>),
    /// E-mail.
    Email(Box<Email>),
    /// Microsoft Teams through an Office 365 connector.
    MsTeams(MsTeams),
    /// Microsoft Teams through a workflow.
    MsTeamsV2(MsTeamsV2),
    /// A kind that we check but cannot deliver to.
    Foreign(Section),
}

/// A generic webhook: version 4 of Alertmanager's payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where to.
    pub url: SecretSource,
    /// Alerts beyond this many are only counted; 0 for all.
    pub max_alerts: usize,
}

/// Opsgenie's alert API. Texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct OpsGenie {
    /// The API's root, ending in `/`.
    pub api_url: String,
    /// The key of the `Authorization` header.
    pub api_key: SecretSource,
    /// Title, at most 130 characters.
    pub message: String,
    /// Long text.
    pub description: String,
    /// Where it comes from.
    pub source: String,
    /// Further details beside the common labels.
    pub details: Vec<(String, String)>,
    /// What it is about.
    pub entity: String,
    /// Who is responsible.
    pub responders: Vec<Responder>,
    /// Who may see it.
    pub visible_to: Vec<Responder>,
    /// Names of actions, separated by commas.
    pub actions: String,
    /// Tags, separated by commas.
    pub tags: String,
    /// A note.
    pub note: String,
    /// `P1` to `P5`
    pub priority: String,
    /// Whether title and description of a known alert are changed.
    pub update_alerts: bool,
}

/// A responder of Opsgenie; texts are templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Responder {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The user's name.
    pub username: String,
    /// `team`, `teams`, `user`, `escalation`, `schedule`.
    pub kind: String,
}

/// A card for Microsoft Teams; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct MsTeams {
    /// Where to.
    pub webhook_url: SecretSource,
    /// The card's title.
    pub title: String,
    /// What notifications of Teams show.
    pub summary: String,
    /// The card's text.
    pub text: String,
}

/// An adaptive card for Microsoft Teams; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct MsTeamsV2 {
    /// Where to.
    pub webhook_url: SecretSource,
    /// The card's title.
    pub title: String,
    /// The card's text.
    pub text: String,
}

impl Integration {
    /// Why we cannot deliver to it; `None` when we can.
    pub fn undeliverable(&self) -> Option<String> {
        let name = self.kind.name();
        if let Settings::Foreign(_) = self.settings {
            return Some(format!("Skopos does not deliver to {name}"));
        }
        if self.http.oauth2.is_some() {
            return Some("`oauth2` is not supported: use `authorization` with a token".into());
        }
        match &self.settings {
            Settings::Webhook(Webhook { url: SecretSource::Inline(url), .. })
                if url.expose().contains("{{") =>
            {
                Some("a template in the URL is not supported".into())
            }
            Settings::Email(email)
                if email.auth_secret.is_some() && email.auth_password.is_none() =>
            {
                Some("CRAM-MD5 is not supported: use `auth_password` for PLAIN or LOGIN".into())
            }
            _ => None,
        }
    }

    /// What we do otherwise than Alertmanager would.
    pub fn difference(&self) -> Option<&'static str> {
        match &self.settings {
            Settings::Slack(slack) if slack.edits => {
                Some("messages are not updated or threaded: every notification is a new message")
            }
            Settings::Email(email) if email.auth_identity.is_some() => {
                Some("`auth_identity` is not used: we log in as `auth_username`")
            }
            _ => None,
        }
    }
}

/// The text of a template; its default when not given.
pub(super) fn template(section: &Section, key: &str, default: &str) -> String {
    section.text(key).unwrap_or_else(|| default.to_string())
}

impl Reader<'_> {
    /// What must hold of the global settings themselves.
    pub(super) fn globals(&mut self, global: &Section) -> Globals {
        for (inline, file) in [
            ("slack_app_token", "slack_app_token_file"),
            ("slack_api_url", "slack_api_url_file"),
            ("opsgenie_api_key", "opsgenie_api_key_file"),
            ("victorops_api_key", "victorops_api_key_file"),
            ("smtp_auth_password", "smtp_auth_password_file"),
            ("smtp_auth_secret", "smtp_auth_secret_file"),
            ("telegram_bot_token", "telegram_bot_token_file"),
            ("rocketchat_token", "rocketchat_token_file"),
            ("rocketchat_token_id", "rocketchat_token_id_file"),
            ("mattermost_webhook_url", "mattermost_webhook_url_file"),
            ("wechat_api_secret", "wechat_api_secret_file"),
        ] {
            self.at_most_one(global, &[inline, file]);
        }
        self.slack_globals(global);
        let tls = global.section("smtp_tls_config").map(|tls| self.tls_config(tls));
        Globals {
            http: global.section("http_config").map(|http| self.http_config(http)),
            smtp_tls: tls.unwrap_or_default(),
            section: global.clone(),
        }
    }

    pub(super) fn receivers(&mut self, node: &Rc<Node>, globals: &Globals) -> Vec<Receiver> {
        let mut names = HashSet::new();
        let mut receivers = Vec::new();
        for node in self.list(node, "receivers").to_vec() {
            let Some(receiver) = self.receiver(&node, globals) else { continue };
            if !names.insert(receiver.name.value.clone()) {
                let message = format!("receiver {:?} occurs twice", receiver.name.value);
                self.error(receiver.name.place, "duplicate", message);
            }
            receivers.push(receiver);
        }
        receivers
    }

    fn receiver(&mut self, node: &Rc<Node>, globals: &Globals) -> Option<Receiver> {
        let mut keys = vec!["name"];
        keys.extend(IntegrationKind::ALL.iter().map(|kind| kind.key()));
        let mut name = None;
        let mut integrations = Vec::new();
        for (key, value) in self.fields(node, &keys, "a receiver") {
            let Some(kind) = key.text().and_then(IntegrationKind::of_key) else {
                name = self.located(value, "name").filter(|name| !name.value.is_empty());
                continue;
            };
            for node in self.list(value, kind.key()).to_vec() {
                if matches!(node.kind, NodeKind::Null) {
                    continue;
                }
                let section = self.section(&node, kind.schema());
                integrations.extend(self.integration(kind, section, globals));
            }
        }
        if name.is_none() {
            self.error_on(node, "missing-key", "a receiver needs a name");
        }
        Some(Receiver { name: name?, integrations })
    }

    fn integration(
        &mut self,
        kind: IntegrationKind,
        section: Section,
        globals: &Globals,
    ) -> Option<Integration> {
        let own = section.section("http_config").map(|http| self.http_config(http));
        let mut http = own.or_else(|| globals.http.clone()).unwrap_or_else(HttpConfig::standard);
        let global = &globals.section;
        let settings = match kind {
            IntegrationKind::Webhook => self.webhook(&section).map(Settings::Webhook),
            IntegrationKind::PagerDuty => {
                self.pagerduty(&section, global).map(|p| Settings::PagerDuty(Box::new(p)))
            }
            IntegrationKind::Slack => {
                self.slack(&section, global, &mut http).map(|s| Settings::Slack(Box::new(s)))
            }
            IntegrationKind::OpsGenie => {
                self.opsgenie(&section, global).map(|o| Settings::OpsGenie(Box::new(o)))
            }
            IntegrationKind::Email => {
                self.email(&section, globals).map(|e| Settings::Email(Box::new(e)))
            }
            IntegrationKind::MsTeams => {
                let webhook_url = self.webhook_url(&section, kind)?;
                Some(Settings::MsTeams(MsTeams {
                    webhook_url,
                    title: template(
                        &section,
                        "title",
                        r#"{{ template "msteams.default.title" . }}"#,
                    ),
                    summary: template(
                        &section,
                        "summary",
                        r#"{{ template "msteams.default.summary" . }}"#,
                    ),
                    text: template(&section, "text", r#"{{ template "msteams.default.text" . }}"#),
                }))
            }
            IntegrationKind::MsTeamsV2 => {
                let webhook_url = self.webhook_url(&section, kind)?;
                Some(Settings::MsTeamsV2(MsTeamsV2 {
                    webhook_url,
                    title: template(
                        &section,
                        "title",
                        r#"{{ template "msteamsv2.default.title" . }}"#,
                    ),
                    text: template(
                        &section,
                        "text",
                        r#"{{ template "msteamsv2.default.text" . }}"#,
                    ),
                }))
            }
            _ => {
                self.foreign(kind, &section, global);
                Some(Settings::Foreign(section.clone()))
            }
        };
        Some(Integration {
            kind,
            place: section.place,
            send_resolved: section.switch("send_resolved").unwrap_or(kind.sends_resolved()),
            timeout: section.duration("timeout"),
            http,
            settings: settings?,
        })
    }

    fn webhook(&mut self, section: &Section) -> Option<Webhook> {
        self.at_least_one(section, &["url", "url_file"], "a webhook receiver");
        self.at_most_one(section, &["url", "url_file"]);
        let max_alerts = section.number("max_alerts").unwrap_or(0);
        let max_alerts = usize::try_from(max_alerts).unwrap_or_else(|_| {
            let message = "`max_alerts` must not be negative";
            self.error(section.key_place("max_alerts"), "value", message);
            0
        });
        Some(Webhook { url: source_of(section, "url", "url_file")?, max_alerts })
    }

    fn webhook_url(&mut self, section: &Section, kind: IntegrationKind) -> Option<SecretSource> {
        let keys = ["webhook_url", "webhook_url_file"];
        self.at_least_one(section, &keys, kind.schema().what);
        self.at_most_one(section, &keys);
        source_of(section, keys[0], keys[1])
    }

    fn opsgenie(&mut self, section: &Section, global: &Section) -> Option<OpsGenie> {
        self.at_most_one(section, &["api_key", "api_key_file"]);
        let own = source_of(section, "api_key", "api_key_file");
        let key = own.or_else(|| source_of(global, "opsgenie_api_key", "opsgenie_api_key_file"));
        if key.is_none() {
            let message = "an opsgenie receiver needs `api_key`, or `opsgenie_api_key` in global";
            self.error(section.place, "missing-key", message);
        }
        let url = section.filled("api_url").or_else(|| global.filled("opsgenie_api_url"));
        let mut api_url = url.unwrap_or_else(|| "https://api.opsgenie.com/".into());
        if !api_url.ends_with('/') {
            api_url.push('/');
        }
        let details = section.map("details");
        Some(OpsGenie {
            api_url,
            api_key: key?,
            message: template(section, "message", r#"{{ template "opsgenie.default.message" . }}"#),
            description: template(
                section,
                "description",
                r#"{{ template "opsgenie.default.description" . }}"#,
            ),
            source: template(section, "source", r#"{{ template "opsgenie.default.source" . }}"#),
            details: details.iter().map(|(k, v)| (k.value.clone(), v.value.clone())).collect(),
            entity: template(section, "entity", ""),
            responders: self.responders(section, "responders"),
            visible_to: self.responders(section, "visible_to"),
            actions: template(section, "actions", ""),
            tags: template(section, "tags", ""),
            note: template(section, "note", ""),
            priority: template(section, "priority", ""),
            update_alerts: section.switch("update_alerts").unwrap_or(false),
        })
    }

    fn responders(&mut self, section: &Section, key: &str) -> Vec<Responder> {
        let kinds = ["team", "teams", "user", "escalation", "schedule"];
        let mut responders = Vec::new();
        for item in section.sections(key) {
            self.at_least_one(item, &["id", "name", "username"], "a responder");
            let mut kind = template(item, "type", "");
            if !kind.contains("{{") {
                kind.make_ascii_lowercase();
                if !kinds.contains(&kind.as_str()) {
                    let message =
                        format!("a responder's `type` must be one of {}", kinds.join(", "));
                    self.error(item.key_place("type"), "value", message);
                }
            }
            responders.push(Responder {
                id: template(item, "id", ""),
                name: template(item, "name", ""),
                username: template(item, "username", ""),
                kind,
            });
        }
        responders
    }
}

/// The global settings that integrations fall back on.
pub(super) struct Globals {
    pub(super) section: Section,
    http: Option<HttpConfig>,
    pub(super) smtp_tls: TlsConfig,
}
