//! What must hold of the receivers that we do not deliver to: as strict as Alertmanager, so that a
//! mistake shows before the file goes there.

use super::super::reader::Reader;
use super::super::section::Section;
use super::IntegrationKind;

/// Names of VictorOps' own fields.
const VICTOROPS_FIELDS: [&str; 7] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
    "entity_state",
];

impl Reader<'_> {
    pub(super) fn foreign(&mut self, kind: IntegrationKind, section: &Section, global: &Section) {
        let what = kind.schema().what;
        match kind {
            IntegrationKind::Discord => {
                self.at_least_one(section, &["webhook_url", "webhook_url_file"], what);
                self.at_most_one(section, &["webhook_url", "webhook_url_file"]);
            }
            IntegrationKind::IncidentIo => {
                self.at_least_one(section, &["url", "url_file"], what);
                self.at_most_one(section, &["url", "url_file"]);
                self.at_most_one(section, &["alert_source_token", "alert_source_token_file"]);
                if !has_authorization(section) {
                    let keys = ["alert_source_token", "alert_source_token_file"];
                    self.at_least_one(section, &keys, what);
                }
            }
            IntegrationKind::Jira => {
                self.at_least_one(section, &["project"], what);
                self.at_least_one(section, &["issue_type"], what);
                self.own_or_global(section, &["api_url"], global, &["jira_api_url"], what);
            }
            IntegrationKind::Mattermost => self.own_or_global(
                section,
                &["webhook_url", "webhook_url_file"],
                global,
                &["mattermost_webhook_url", "mattermost_webhook_url_file"],
                what,
            ),
            IntegrationKind::Pushover => {
                for keys in [["user_key", "user_key_file"], ["token", "token_file"]] {
                    self.at_least_one(section, &keys, what);
                    self.at_most_one(section, &keys);
                }
                if section.switch("html") == Some(true) && section.switch("monospace") == Some(true)
                {
                    let message = "at most one of `html` and `monospace` may be true";
                    self.error(section.key_place("monospace"), "conflict", message);
                }
            }
            IntegrationKind::RocketChat => {
                for (own, shared) in [
                    (["token", "token_file"], ["rocketchat_token", "rocketchat_token_file"]),
                    (
                        ["token_id", "token_id_file"],
                        ["rocketchat_token_id", "rocketchat_token_id_file"],
                    ),
                ] {
                    self.own_or_global(section, &own, global, &shared, what);
                }
            }
            IntegrationKind::Sns => {
                let keys = ["topic_arn", "phone_number", "target_arn"];
                self.at_least_one(section, &keys, what);
                self.at_most_one(section, &keys);
                if let Some(sigv4) = section.section("sigv4")
                    && sigv4.is_filled("access_key") != sigv4.is_filled("secret_key")
                {
                    let message = "`access_key` and `secret_key` need each other";
                    self.error(sigv4.place, "missing-key", message);
                }
            }
            IntegrationKind::Telegram => {
                self.own_or_global(
                    section,
                    &["bot_token", "bot_token_file"],
                    global,
                    &["telegram_bot_token", "telegram_bot_token_file"],
                    what,
                );
                self.at_most_one(section, &["chat_id", "chat_id_file"]);
                let named = section.number("chat_id").is_some_and(|id| id != 0);
                if !named && !section.is_filled("chat_id_file") {
                    let message = "a telegram receiver needs `chat_id` or `chat_id_file`";
                    self.error(section.place, "missing-key", message);
                }
            }
            IntegrationKind::VictorOps => {
                self.at_least_one(section, &["routing_key"], what);
                self.own_or_global(
                    section,
                    &["api_key", "api_key_file"],
                    global,
                    &["victorops_api_key", "victorops_api_key_file"],
                    what,
                );
                for (name, _) in section.map("custom_fields") {
                    if VICTOROPS_FIELDS.contains(&name.value.as_str()) {
                        let message = format!("{:?} is a field of VictorOps' own", name.value);
                        self.error(name.place, "conflict", message);
                    }
                }
            }
            IntegrationKind::Webex => {
                self.at_least_one(section, &["room_id"], what);
                if !has_authorization(section) {
                    let message = "a webex receiver needs `http_config` with `authorization`";
                    self.error(section.place, "missing-key", message);
                }
            }
            IntegrationKind::WeChat => {
                self.own_or_global(
                    section,
                    &["api_secret", "api_secret_file"],
                    global,
                    &["wechat_api_secret", "wechat_api_secret_file"],
                    what,
                );
                self.own_or_global(section, &["corp_id"], global, &["wechat_api_corp_id"], what);
                let kind = section.filled("message_type");
                if kind.is_some_and(|kind| !["text", "markdown"].contains(&kind.as_str())) {
                    let message = "`message_type` must be \"text\" or \"markdown\"";
                    self.error(section.key_place("message_type"), "value", message);
                }
            }
            _ => {}
        }
    }

    /// One of the keys must be given here or globally, here at most one.
    fn own_or_global(
        &mut self,
        section: &Section,
        own: &[&str],
        global: &Section,
        shared: &[&str],
        what: &str,
    ) {
        self.at_most_one(section, own);
        let given = own.iter().any(|key| section.is_filled(key))
            || shared.iter().any(|key| global.is_filled(key));
        if !given {
            let message = format!("{what} needs `{}`, or `{}` in global", own[0], shared[0]);
            self.error(section.place, "missing-key", message);
        }
    }
}

fn has_authorization(section: &Section) -> bool {
    section.section("http_config").is_some_and(|http| {
        http.has("authorization")
            || http.is_filled("bearer_token")
            || http.is_filled("bearer_token_file")
    })
}
