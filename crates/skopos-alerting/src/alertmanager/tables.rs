//! The schema of Alertmanager's configuration (0.34): every mapping and its keys.
//!
//! Only keys and the form of their values; what must not stand together, and what must stand at
//! all, is checked where a mapping becomes a typed value.

use super::schema::{Field, Kind, Schema, fields};

const TEXTS: Kind = Kind::Texts;

/// The keys of proxies, which stand beside those of their mapping.
macro_rules! with_proxy {
    ($($name:literal: $kind:expr),* $(,)?) => {
        fields! {
            $($name: $kind,)*
            "proxy_url": Kind::SecretUrl,
            "no_proxy": Kind::Text,
            "proxy_from_environment": Kind::Switch,
            "proxy_connect_header": Kind::SecretListMap,
        }
    };
}

/// The keys that all receivers over HTTP share.
macro_rules! receiver {
    ($($name:literal: $kind:expr),* $(,)?) => {
        fields! {
            "send_resolved": Kind::Switch,
            "http_config": Kind::Object(&HTTP),
            $($name: $kind,)*
        }
    };
}

pub(super) static TOP: Schema = Schema {
    what: "the configuration",
    fields: fields! {
        "global": Kind::Any,
        "route": Kind::Any,
        "inhibit_rules": Kind::Any,
        "receivers": Kind::Any,
        "mute_time_intervals": Kind::Any,
        "time_intervals": Kind::Any,
        "templates": TEXTS,
        "tracing": Kind::Any,
    },
};

pub(super) static TLS: Schema = Schema {
    what: "tls_config",
    fields: fields! {
        "ca": Kind::Text,
        "cert": Kind::Text,
        "key": Kind::Secret,
        "ca_file": Kind::Path,
        "cert_file": Kind::Path,
        "key_file": Kind::Path,
        "ca_ref": Kind::Text,
        "cert_ref": Kind::Text,
        "key_ref": Kind::Text,
        "server_name": Kind::Text,
        "insecure_skip_verify": Kind::Switch,
        "min_version": Kind::Choice(&["TLS10", "TLS11", "TLS12", "TLS13"]),
        "max_version": Kind::Choice(&["TLS10", "TLS11", "TLS12", "TLS13"]),
    },
};

static AUTHORIZATION: Schema = Schema {
    what: "authorization",
    fields: fields! {
        "type": Kind::Text,
        "credentials": Kind::Secret,
        "credentials_file": Kind::Path,
        "credentials_ref": Kind::Text,
    },
};

static BASIC_AUTH: Schema = Schema {
    what: "basic_auth",
    fields: fields! {
        "username": Kind::Text,
        "username_file": Kind::Path,
        "username_ref": Kind::Text,
        "password": Kind::Secret,
        "password_file": Kind::Path,
        "password_ref": Kind::Text,
    },
};

static OAUTH2: Schema = Schema {
    what: "oauth2",
    fields: with_proxy! {
        "client_id": Kind::Text,
        "client_secret": Kind::Secret,
        "client_secret_file": Kind::Path,
        "client_secret_ref": Kind::Text,
        "client_certificate_key_id": Kind::Text,
        "client_certificate_key": Kind::Secret,
        "client_certificate_key_file": Kind::Path,
        "client_certificate_key_ref": Kind::Text,
        "signature_algorithm": Kind::Text,
        "iss": Kind::Text,
        "audience": Kind::Text,
        "claims": Kind::Any,
        "grant_type": Kind::Text,
        "scopes": TEXTS,
        "token_url": Kind::Url,
        "endpoint_params": Kind::TextMap,
        "tls_config": Kind::Object(&TLS),
    },
};

pub(super) static HEADER: Schema = Schema {
    what: "an entry of http_headers",
    fields: fields! { "values": TEXTS, "secrets": Kind::SecretTexts, "files": TEXTS },
};

pub(super) static HTTP: Schema = Schema {
    what: "http_config",
    fields: with_proxy! {
        "authorization": Kind::Object(&AUTHORIZATION),
        "basic_auth": Kind::Object(&BASIC_AUTH),
        "oauth2": Kind::Object(&OAUTH2),
        "bearer_token": Kind::Secret,
        "bearer_token_file": Kind::Path,
        "tls_config": Kind::Object(&TLS),
        "follow_redirects": Kind::Switch,
        "enable_http2": Kind::Switch,
        "http_headers": Kind::Headers,
    },
};

pub(super) static GLOBAL: Schema = Schema {
    what: "global",
    fields: fields! {
        "resolve_timeout": Kind::Duration,
        "http_config": Kind::Object(&HTTP),
        "smtp_from": Kind::Template,
        "smtp_hello": Kind::Text,
        "smtp_smarthost": Kind::HostPort,
        "smtp_auth_username": Kind::Text,
        "smtp_auth_password": Kind::Secret,
        "smtp_auth_password_file": Kind::Path,
        "smtp_auth_secret": Kind::Secret,
        "smtp_auth_secret_file": Kind::Path,
        "smtp_auth_identity": Kind::Text,
        "smtp_require_tls": Kind::Switch,
        "smtp_tls_config": Kind::Object(&TLS),
        "smtp_force_implicit_tls": Kind::Switch,
        "slack_api_url": Kind::SecretUrl,
        "slack_api_url_file": Kind::Path,
        "slack_app_token": Kind::Secret,
        "slack_app_token_file": Kind::Path,
        "slack_app_url": Kind::Url,
        "pagerduty_url": Kind::Url,
        "opsgenie_api_url": Kind::Url,
        "opsgenie_api_key": Kind::Secret,
        "opsgenie_api_key_file": Kind::Path,
        "wechat_api_url": Kind::Url,
        "wechat_api_secret": Kind::Secret,
        "wechat_api_secret_file": Kind::Path,
        "wechat_api_corp_id": Kind::Text,
        "victorops_api_url": Kind::Url,
        "victorops_api_key": Kind::Secret,
        "victorops_api_key_file": Kind::Path,
        "telegram_api_url": Kind::Url,
        "telegram_bot_token": Kind::Secret,
        "telegram_bot_token_file": Kind::Path,
        "webex_api_url": Kind::Url,
        "jira_api_url": Kind::Url,
        "rocketchat_api_url": Kind::Url,
        "rocketchat_token": Kind::Secret,
        "rocketchat_token_file": Kind::Path,
        "rocketchat_token_id": Kind::Secret,
        "rocketchat_token_id_file": Kind::Path,
        "mattermost_webhook_url": Kind::SecretUrl,
        "mattermost_webhook_url_file": Kind::Path,
    },
};

pub(super) static WEBHOOK: Schema = Schema {
    what: "a webhook receiver",
    fields: receiver! {
        "url": Kind::SecretUrl,
        "url_file": Kind::Path,
        "max_alerts": Kind::Number,
        "timeout": Kind::Duration,
    },
};

pub(super) static PAGERDUTY: Schema = Schema {
    what: "a pagerduty receiver",
    fields: receiver! {
        "service_key": Kind::Secret,
        "service_key_file": Kind::Path,
        "routing_key": Kind::Secret,
        "routing_key_file": Kind::Path,
        "url": Kind::Url,
        "client": Kind::Template,
        "client_url": Kind::Template,
        "description": Kind::Template,
        "details": Kind::Any,
        "images": Kind::Objects(&PAGERDUTY_IMAGE),
        "links": Kind::Objects(&PAGERDUTY_LINK),
        "source": Kind::Template,
        "severity": Kind::Template,
        "class": Kind::Template,
        "component": Kind::Template,
        "group": Kind::Template,
        "timeout": Kind::Duration,
    },
};

static PAGERDUTY_IMAGE: Schema = Schema {
    what: "an image of a pagerduty receiver",
    fields: fields! { "src": Kind::Template, "alt": Kind::Template, "href": Kind::Template },
};

static PAGERDUTY_LINK: Schema = Schema {
    what: "a link of a pagerduty receiver",
    fields: fields! { "href": Kind::Template, "text": Kind::Template },
};

pub(super) static SLACK: Schema = Schema {
    what: "a slack receiver",
    fields: receiver! {
        "api_url": Kind::SecretUrl,
        "api_url_file": Kind::Path,
        "app_token": Kind::Secret,
        "app_token_file": Kind::Path,
        "app_url": Kind::Url,
        "channel": Kind::Template,
        "username": Kind::Template,
        "color": Kind::Template,
        "title": Kind::Template,
        "title_link": Kind::Template,
        "pretext": Kind::Template,
        "text": Kind::Template,
        "message_text": Kind::Template,
        "fields": Kind::Objects(&SLACK_FIELD),
        "short_fields": Kind::Switch,
        "footer": Kind::Template,
        "fallback": Kind::Template,
        "callback_id": Kind::Template,
        "icon_emoji": Kind::Template,
        "icon_url": Kind::Template,
        "image_url": Kind::Template,
        "thumb_url": Kind::Template,
        "link_names": Kind::Switch,
        "mrkdwn_in": TEXTS,
        "actions": Kind::Objects(&SLACK_ACTION),
        "message_strategy": Kind::Choice(&["new", "update", "thread"]),
        "update_message": Kind::Switch,
        "threaded_options": Kind::Object(&SLACK_THREAD),
        "timeout": Kind::Duration,
    },
};

static SLACK_FIELD: Schema = Schema {
    what: "a field of a slack receiver",
    fields: fields! { "title": Kind::Template, "value": Kind::Template, "short": Kind::Switch },
};

static SLACK_ACTION: Schema = Schema {
    what: "an action of a slack receiver",
    fields: fields! {
        "type": Kind::Template,
        "text": Kind::Template,
        "url": Kind::Template,
        "style": Kind::Template,
        "name": Kind::Template,
        "value": Kind::Template,
        "confirm": Kind::Object(&SLACK_CONFIRM),
    },
};

static SLACK_CONFIRM: Schema = Schema {
    what: "the confirmation of a slack action",
    fields: fields! {
        "text": Kind::Template,
        "title": Kind::Template,
        "ok_text": Kind::Template,
        "dismiss_text": Kind::Template,
    },
};

static SLACK_THREAD: Schema = Schema {
    what: "threaded_options",
    fields: fields! {
        "use_summary_header": Kind::Switch,
        "summary_header": Kind::Object(&SLACK_SUMMARY),
    },
};

static SLACK_SUMMARY: Schema =
    Schema { what: "summary_header", fields: fields! { "resolve_color": Kind::Template } };

pub(super) static OPSGENIE: Schema = Schema {
    what: "an opsgenie receiver",
    fields: receiver! {
        "api_key": Kind::Secret,
        "api_key_file": Kind::Path,
        "api_url": Kind::Url,
        "message": Kind::Template,
        "description": Kind::Template,
        "source": Kind::Template,
        "details": Kind::TemplateMap,
        "entity": Kind::Template,
        "responders": Kind::Objects(&OPSGENIE_RESPONDER),
        "visible_to": Kind::Objects(&OPSGENIE_RESPONDER),
        "actions": Kind::Template,
        "tags": Kind::Template,
        "note": Kind::Template,
        "priority": Kind::Template,
        "update_alerts": Kind::Switch,
    },
};

static OPSGENIE_RESPONDER: Schema = Schema {
    what: "a responder of an opsgenie receiver",
    fields: fields! {
        "id": Kind::Template,
        "name": Kind::Template,
        "username": Kind::Template,
        "type": Kind::Template,
    },
};

pub(super) static EMAIL: Schema = Schema {
    what: "an email receiver",
    fields: fields! {
        "send_resolved": Kind::Switch,
        "to": Kind::Template,
        "from": Kind::Template,
        "hello": Kind::Text,
        "smarthost": Kind::HostPort,
        "auth_username": Kind::Text,
        "auth_password": Kind::Secret,
        "auth_password_file": Kind::Path,
        "auth_secret": Kind::Secret,
        "auth_secret_file": Kind::Path,
        "auth_identity": Kind::Text,
        "headers": Kind::TemplateMap,
        "html": Kind::Template,
        "text": Kind::Template,
        "require_tls": Kind::Switch,
        "force_implicit_tls": Kind::Switch,
        "tls_config": Kind::Object(&TLS),
        "threading": Kind::Object(&EMAIL_THREADING),
    },
};

static EMAIL_THREADING: Schema = Schema {
    what: "threading",
    fields: fields! {
        "enabled": Kind::Switch,
        "thread_by_date": Kind::Choice(&["daily", "none", ""]),
    },
};

pub(super) static MSTEAMS: Schema = Schema {
    what: "an msteams receiver",
    fields: receiver! {
        "webhook_url": Kind::SecretUrl,
        "webhook_url_file": Kind::Path,
        "title": Kind::Template,
        "summary": Kind::Template,
        "text": Kind::Template,
    },
};

pub(super) static MSTEAMSV2: Schema = Schema {
    what: "an msteamsv2 receiver",
    fields: receiver! {
        "webhook_url": Kind::SecretUrl,
        "webhook_url_file": Kind::Path,
        "title": Kind::Template,
        "text": Kind::Template,
    },
};

pub(super) static DISCORD: Schema = Schema {
    what: "a discord receiver",
    fields: receiver! {
        "webhook_url": Kind::SecretUrl,
        "webhook_url_file": Kind::Path,
        "content": Kind::Template,
        "title": Kind::Template,
        "message": Kind::Template,
        "username": Kind::Text,
        "avatar_url": Kind::Text,
    },
};

pub(super) static INCIDENTIO: Schema = Schema {
    what: "an incidentio receiver",
    fields: receiver! {
        "url": Kind::Url,
        "url_file": Kind::Path,
        "alert_source_token": Kind::Secret,
        "alert_source_token_file": Kind::Path,
        "max_alerts": Kind::Number,
        "timeout": Kind::Duration,
    },
};

pub(super) static JIRA: Schema = Schema {
    what: "a jira receiver",
    fields: receiver! {
        "api_url": Kind::Url,
        "api_type": Kind::Choice(&["auto", "cloud", "datacenter"]),
        "project": Kind::Template,
        "summary": Kind::Any,
        "description": Kind::Any,
        "labels": TEXTS,
        "priority": Kind::Template,
        "issue_type": Kind::Template,
        "reopen_transition": Kind::Text,
        "resolve_transition": Kind::Text,
        "wont_fix_resolution": Kind::Text,
        "reopen_duration": Kind::Duration,
        "fields": Kind::Any,
    },
};

pub(super) static MATTERMOST: Schema = Schema {
    what: "a mattermost receiver",
    fields: receiver! {
        "webhook_url": Kind::SecretUrl,
        "webhook_url_file": Kind::Path,
        "channel": Kind::Template,
        "username": Kind::Template,
        "text": Kind::Template,
        "icon_url": Kind::Template,
        "icon_emoji": Kind::Template,
        "attachments": Kind::Objects(&MATTERMOST_ATTACHMENT),
        "type": Kind::Text,
        "props": Kind::Object(&MATTERMOST_PROPS),
        "priority": Kind::Object(&MATTERMOST_PRIORITY),
    },
};

static MATTERMOST_FIELD: Schema = Schema {
    what: "a field of a mattermost receiver",
    fields: fields! { "title": Kind::Template, "value": Kind::Template, "short": Kind::Switch },
};

static MATTERMOST_ATTACHMENT: Schema = Schema {
    what: "an attachment of a mattermost receiver",
    fields: fields! {
        "fallback": Kind::Template,
        "color": Kind::Template,
        "pretext": Kind::Template,
        "text": Kind::Template,
        "author_name": Kind::Template,
        "author_link": Kind::Template,
        "author_icon": Kind::Template,
        "title": Kind::Template,
        "title_link": Kind::Template,
        "fields": Kind::Objects(&MATTERMOST_FIELD),
        "thumb_url": Kind::Template,
        "footer": Kind::Template,
        "footer_icon": Kind::Template,
        "image_url": Kind::Template,
    },
};

static MATTERMOST_PROPS: Schema =
    Schema { what: "props of a mattermost receiver", fields: fields! { "card": Kind::Template } };

static MATTERMOST_PRIORITY: Schema = Schema {
    what: "priority of a mattermost receiver",
    fields: fields! {
        "priority": Kind::Template,
        "requested_ack": Kind::Switch,
        "persistent_notifications": Kind::Switch,
    },
};

pub(super) static PUSHOVER: Schema = Schema {
    what: "a pushover receiver",
    fields: receiver! {
        "user_key": Kind::Secret,
        "user_key_file": Kind::Path,
        "token": Kind::Secret,
        "token_file": Kind::Path,
        "title": Kind::Template,
        "message": Kind::Template,
        "url": Kind::Template,
        "url_title": Kind::Template,
        "device": Kind::Template,
        "sound": Kind::Template,
        "priority": Kind::Template,
        "retry": Kind::Duration,
        "expire": Kind::Duration,
        "ttl": Kind::Duration,
        "html": Kind::Switch,
        "monospace": Kind::Switch,
    },
};

pub(super) static ROCKETCHAT: Schema = Schema {
    what: "a rocketchat receiver",
    fields: receiver! {
        "api_url": Kind::Url,
        "token_id": Kind::Secret,
        "token_id_file": Kind::Path,
        "token": Kind::Secret,
        "token_file": Kind::Path,
        "channel": Kind::Template,
        "color": Kind::Template,
        "title": Kind::Template,
        "title_link": Kind::Template,
        "text": Kind::Template,
        "fields": Kind::Objects(&MATTERMOST_FIELD),
        "short_fields": Kind::Switch,
        "emoji": Kind::Template,
        "icon_url": Kind::Template,
        "image_url": Kind::Template,
        "thumb_url": Kind::Template,
        "link_names": Kind::Switch,
        "actions": Kind::Objects(&ROCKETCHAT_ACTION),
    },
};

static ROCKETCHAT_ACTION: Schema = Schema {
    what: "an action of a rocketchat receiver",
    fields: fields! {
        "type": Kind::Template,
        "text": Kind::Template,
        "url": Kind::Template,
        "image_url": Kind::Template,
        "is_webview": Kind::Switch,
        "webview_height_ratio": Kind::Text,
        "msg": Kind::Template,
        "msg_in_chat_window": Kind::Switch,
        "msg_processing_type": Kind::Text,
    },
};

pub(super) static SNS: Schema = Schema {
    what: "an sns receiver",
    fields: receiver! {
        "api_url": Kind::Template,
        "sigv4": Kind::Object(&SIGV4),
        "topic_arn": Kind::Template,
        "phone_number": Kind::Template,
        "target_arn": Kind::Template,
        "subject": Kind::Template,
        "message": Kind::Template,
        "attributes": Kind::TemplateMap,
    },
};

static SIGV4: Schema = Schema {
    what: "sigv4",
    fields: fields! {
        "region": Kind::Text,
        "access_key": Kind::Text,
        "secret_key": Kind::Secret,
        "profile": Kind::Text,
        "role_arn": Kind::Text,
        "external_id": Kind::Text,
        "use_fips_sts_endpoint": Kind::Switch,
    },
};

pub(super) static TELEGRAM: Schema = Schema {
    what: "a telegram receiver",
    fields: receiver! {
        "api_url": Kind::Url,
        "bot_token": Kind::Secret,
        "bot_token_file": Kind::Path,
        "chat_id": Kind::Number,
        "chat_id_file": Kind::Path,
        "message_thread_id": Kind::Number,
        "message": Kind::Template,
        "disable_notifications": Kind::Switch,
        "parse_mode": Kind::Choice(&["", "Markdown", "MarkdownV2", "HTML"]),
    },
};

pub(super) static VICTOROPS: Schema = Schema {
    what: "a victorops receiver",
    fields: receiver! {
        "api_key": Kind::Secret,
        "api_key_file": Kind::Path,
        "api_url": Kind::Url,
        "routing_key": Kind::Template,
        "message_type": Kind::Template,
        "state_message": Kind::Template,
        "entity_display_name": Kind::Template,
        "monitoring_tool": Kind::Template,
        "custom_fields": Kind::TemplateMap,
    },
};

pub(super) static WEBEX: Schema = Schema {
    what: "a webex receiver",
    fields: receiver! {
        "api_url": Kind::Url,
        "message": Kind::Template,
        "room_id": Kind::Template,
    },
};

pub(super) static WECHAT: Schema = Schema {
    what: "a wechat receiver",
    fields: receiver! {
        "api_secret": Kind::Secret,
        "api_secret_file": Kind::Path,
        "corp_id": Kind::Template,
        "message": Kind::Template,
        "api_url": Kind::Url,
        "to_user": Kind::Template,
        "to_party": Kind::Template,
        "to_tag": Kind::Template,
        "agent_id": Kind::Template,
        "message_type": Kind::Template,
    },
};

/// The names of a schema's keys.
pub(super) fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.name).collect()
}
