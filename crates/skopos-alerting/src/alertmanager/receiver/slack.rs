//! Slack's settings: an incoming webhook's URL, or the API with a bot's token.

use super::super::http::source_of;
use super::super::reader::Reader;
use super::super::section::Section;
use super::super::{Authorization, HttpConfig, SecretSource};
use super::template;

/// Slack, through an incoming webhook or `chat.postMessage`. Texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// Where to: the webhook's URL, or the API's method.
    pub url: SecretSource,
    /// The channel.
    pub channel: String,
    /// The name shown.
    pub username: String,
    /// The bar's colour.
    pub color: String,
    /// The attachment's title.
    pub title: String,
    /// Where the title leads.
    pub title_link: String,
    /// Above the attachment.
    pub pretext: String,
    /// The attachment's text.
    pub text: String,
    /// The message's own text.
    pub message_text: String,
    /// Name and value pairs.
    pub fields: Vec<SlackField>,
    /// Whether fields stand side by side that do not say themselves.
    pub short_fields: bool,
    /// Below the attachment.
    pub footer: String,
    /// For clients that show no attachments.
    pub fallback: String,
    /// The attachment's id for actions.
    pub callback_id: String,
    /// The icon, as an emoji's name.
    pub icon_emoji: String,
    /// The icon, as a URL.
    pub icon_url: String,
    /// An image.
    pub image_url: String,
    /// A small image.
    pub thumb_url: String,
    /// Whether names of people and channels become links.
    pub link_names: bool,
    /// Which parts are written in Slack's markup.
    pub mrkdwn_in: Vec<String>,
    /// Buttons.
    pub actions: Vec<SlackAction>,
    /// Whether the configuration asks for messages that are updated or threaded.
    pub edits: bool,
}

/// A name and value pair; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackField {
    /// Its name.
    pub title: String,
    /// Its value.
    pub value: String,
    /// Whether others may stand beside it.
    pub short: Option<bool>,
}

/// A button; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackAction {
    /// `button`
    pub kind: String,
    /// What stands on it.
    pub text: String,
    /// Where it leads; empty for one that sends `name` and `value`.
    pub url: String,
    /// `default`, `primary` or `danger`.
    pub style: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What is asked first.
    pub confirm: Option<SlackConfirm>,
}

/// The question before an action; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackConfirm {
    /// The question.
    pub text: String,
    /// Its title.
    pub title: String,
    /// The word for yes.
    pub ok_text: String,
    /// The word for no.
    pub dismiss_text: String,
}

/// The API's method, where tokens are used.
const POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

impl Reader<'_> {
    pub(super) fn slack_globals(&mut self, global: &Section) {
        let token = ["slack_app_token", "slack_app_token_file"];
        let url = ["slack_api_url", "slack_api_url_file"];
        let given = |keys: [&'static str; 2]| keys.into_iter().find(|key| global.is_filled(key));
        let (Some(_), Some(second)) = (given(token), given(url)) else { return };
        // A global API URL that is the API's own was the way to use tokens before there was a key
        // for them.
        let app_url = global.filled("slack_app_url").unwrap_or_else(|| POST_MESSAGE.into());
        if global.secret("slack_api_url").is_none_or(|url| url.expose() != app_url) {
            let message = format!("`slack_app_token` and `{second}` exclude each other");
            self.error(global.key_place(second), "conflict", message);
        }
    }

    pub(super) fn slack(
        &mut self,
        section: &Section,
        global: &Section,
        http: &mut HttpConfig,
    ) -> Option<Slack> {
        self.at_most_one(section, &["api_url", "api_url_file", "app_token", "app_token_file"]);
        let own_url = source_of(section, "api_url", "api_url_file");
        let own_token = source_of(section, "app_token", "app_token_file");
        let own_authorization =
            section.section("http_config").is_some_and(|http| http.has("authorization"));
        let global_token = || source_of(global, "slack_app_token", "slack_app_token_file");
        let token = match own_url.is_none() && !own_authorization {
            true => own_token.clone().or_else(global_token),
            false => own_token.clone(),
        };
        let app_url = section.filled("app_url").or_else(|| global.filled("slack_app_url"));
        let app_url = app_url.unwrap_or_else(|| POST_MESSAGE.into());
        let url = match &token {
            Some(_) => Some(SecretSource::inline(app_url)),
            None => own_url.or_else(|| source_of(global, "slack_api_url", "slack_api_url_file")),
        };
        if let Some(token) = token {
            if own_authorization {
                let message = "`authorization` cannot stand beside a Slack app token";
                self.error(section.key_place("http_config"), "conflict", message);
            }
            http.authorization =
                Some(Authorization { scheme: "Bearer".into(), credentials: Some(token) });
        }
        if url.is_none() {
            let message = "a slack receiver needs `api_url` or `app_token`, its own or in global";
            self.error(section.place, "missing-key", message);
        }
        let edits = self.strategy(section, url.as_ref());
        let mrkdwn_in = match section.texts("mrkdwn_in") {
            none if none.is_empty() => ["fallback", "pretext", "text"].map(String::from).to_vec(),
            given => given,
        };
        let default = |key: &str, name: &str| {
            template(section, key, &format!("{{{{ template \"slack.default.{name}\" . }}}}"))
        };
        Some(Slack {
            url: url?,
            channel: template(section, "channel", ""),
            username: default("username", "username"),
            color: template(
                section,
                "color",
                r#"{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}"#,
            ),
            title: default("title", "title"),
            title_link: default("title_link", "titlelink"),
            pretext: default("pretext", "pretext"),
            text: default("text", "text"),
            message_text: template(section, "message_text", ""),
            short_fields: section.switch("short_fields").unwrap_or(false),
            footer: default("footer", "footer"),
            fallback: default("fallback", "fallback"),
            callback_id: default("callback_id", "callbackid"),
            icon_emoji: default("icon_emoji", "iconemoji"),
            icon_url: default("icon_url", "iconurl"),
            image_url: template(section, "image_url", ""),
            thumb_url: template(section, "thumb_url", ""),
            link_names: section.switch("link_names").unwrap_or(false),
            mrkdwn_in,
            fields: self.slack_fields(section),
            actions: self.slack_actions(section),
            edits,
        })
    }

    /// Whether messages are to be changed later, which needs the API.
    fn strategy(&mut self, section: &Section, url: Option<&SecretSource>) -> bool {
        let updates = section.switch("update_message") == Some(true);
        let strategy = section.filled("message_strategy");
        if updates && strategy.as_ref().is_some_and(|strategy| strategy != "update") {
            let message = "`update_message` only goes with `message_strategy: update`";
            self.error(section.key_place("update_message"), "conflict", message);
        }
        let threads = strategy.as_deref() == Some("thread");
        if section.has("threaded_options") && !threads {
            let message = "`threaded_options` needs `message_strategy: thread`";
            self.error(section.key_place("threaded_options"), "conflict", message);
        }
        let edits = updates || threads || strategy.as_deref() == Some("update");
        if let (true, Some(SecretSource::Inline(url))) = (edits, url)
            && url.expose() != POST_MESSAGE
        {
            let key = if updates { "update_message" } else { "message_strategy" };
            let message =
                format!("`{key}` needs a bot's token: webhooks cannot change their messages");
            let hint = format!("set `app_token`, or `api_url: {POST_MESSAGE}` with a token");
            self.error_with_hint(section.key_place(key), "conflict", message, Some(hint));
        }
        edits
    }

    fn slack_fields(&mut self, section: &Section) -> Vec<SlackField> {
        let mut fields = Vec::new();
        for field in section.sections("fields") {
            self.at_least_one(field, &["title"], "a field of a slack receiver");
            self.at_least_one(field, &["value"], "a field of a slack receiver");
            fields.push(SlackField {
                title: template(field, "title", ""),
                value: template(field, "value", ""),
                short: field.switch("short"),
            });
        }
        fields
    }

    fn slack_actions(&mut self, section: &Section) -> Vec<SlackAction> {
        let mut actions = Vec::new();
        for action in section.sections("actions") {
            let what = "an action of a slack receiver";
            self.at_least_one(action, &["type"], what);
            self.at_least_one(action, &["text"], what);
            self.at_least_one(action, &["url", "name"], what);
            let leads = action.is_filled("url");
            // Beside a link Slack knows neither name nor value.
            let unless_link =
                |key: &str| if leads { String::new() } else { template(action, key, "") };
            let confirm = action.section("confirm").filter(|_| !leads);
            actions.push(SlackAction {
                kind: template(action, "type", ""),
                text: template(action, "text", ""),
                url: template(action, "url", ""),
                style: template(action, "style", ""),
                name: unless_link("name"),
                value: unless_link("value"),
                confirm: confirm.map(|confirm| SlackConfirm {
                    text: template(confirm, "text", ""),
                    title: template(confirm, "title", ""),
                    ok_text: template(confirm, "ok_text", ""),
                    dismiss_text: template(confirm, "dismiss_text", ""),
                }),
            });
            if let Some(confirm) = action.section("confirm") {
                self.at_least_one(confirm, &["text"], "the confirmation of a slack action");
            }
        }
        actions
    }
}
