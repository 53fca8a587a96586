//! The kinds of integrations.

use super::super::schema::Schema;
use super::super::tables;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $name:literal $schema:ident $resolved:literal,)*) => {
        /// What is told: the 18 kinds of Alertmanager.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum IntegrationKind {
            $($(#[$doc])* $variant,)*
        }

        impl IntegrationKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind's name: `slack`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The key of a receiver under which integrations of this kind stand.
            pub fn key(self) -> &'static str {
                match self { $(Self::$variant => concat!($name, "_configs"),)* }
            }

            /// Whether it is told of resolved alerts unless the configuration says otherwise.
            pub fn sends_resolved(self) -> bool {
                match self { $(Self::$variant => $resolved,)* }
            }

            pub(in super::super) fn schema(self) -> &'static Schema {
                match self { $(Self::$variant => &tables::$schema,)* }
            }
        }
    };
}

kinds! {
    /// Discord.
    Discord "discord" DISCORD true,
    /// E-mail over SMTP.
    Email "email" EMAIL false,
    /// incident.io.
    IncidentIo "incidentio" INCIDENTIO true,
    /// Jira.
    Jira "jira" JIRA true,
    /// Mattermost.
    Mattermost "mattermost" MATTERMOST true,
    /// Microsoft Teams, Office 365 connector.
    MsTeams "msteams" MSTEAMS true,
    /// Microsoft Teams, workflow.
    MsTeamsV2 "msteamsv2" MSTEAMSV2 true,
    /// Opsgenie.
    OpsGenie "opsgenie" OPSGENIE true,
    /// PagerDuty.
    PagerDuty "pagerduty" PAGERDUTY true,
    /// Pushover.
    Pushover "pushover" PUSHOVER true,
    /// Rocket.Chat.
    RocketChat "rocketchat" ROCKETCHAT false,
    /// Slack.
    Slack "slack" SLACK false,
    /// Amazon SNS.
    Sns "sns" SNS true,
    /// Telegram.
    Telegram "telegram" TELEGRAM true,
    /// VictorOps.
    VictorOps "victorops" VICTOROPS true,
    /// Webex.
    Webex "webex" WEBEX true,
    /// A generic webhook.
    Webhook "webhook" WEBHOOK true,
    /// WeChat.
    WeChat "wechat" WECHAT false,
}

impl IntegrationKind {
    pub(super) fn of_key(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.key() == key)
    }
}
