//! An unchanged `alertmanager.yml`: its whole schema, read strictly and reported completely.
//!
//! [`load`] reads the file once and says everything that is wrong with it, each mistake with line,
//! column and the nearest key. What is delivered by us becomes a typed [`Integration`]; the other
//! receiver types are checked as strictly and kept as [`Settings::Foreign`], so that a file loads
//! whatever it notifies.
//!
//! Not here: matchers and time intervals are kept as text with their place, because their language
//! belongs to [`crate::notify`]; templates are kept as text, because their files are read by the
//! host. Secrets print as `[REDACTED]`, in error snippets too, and a secret in a file is read when
//! it is needed, not here.

mod http;
mod load;
mod reader;
mod receiver;
mod route;
mod schema;
mod secret;
mod section;
mod source;
mod tables;

use std::sync::Arc;
use std::time::Duration;

pub use http::{Authorization, BasicAuth, HttpConfig, HttpHeader, OAuth2, TlsConfig};
pub use load::{fuzz_alertmanager_config, load};
pub use receiver::{
    Email, Integration, IntegrationKind, MsTeams, MsTeamsV2, OpsGenie, PagerDuty, PagerDutyImage,
    PagerDutyLink, Receiver, Responder, Settings, Slack, SlackAction, SlackConfirm, SlackField,
    Webhook,
};
pub use secret::{Secret, SecretSource};
pub use section::{Section, Value};
pub use source::{ConfigError, Located, Place, Source};

/// A configuration without mistakes of its own; routes and time intervals are still texts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from: makes errors about [`Place`]s.
    pub source: Arc<Source>,
    /// After this time without news an alert that names no end counts as resolved
    /// (`global.resolve_timeout`, 5 minutes).
    pub resolve_timeout: Duration,
    /// Patterns of template files (`templates`), relative ones meant from the file's folder.
    pub templates: Vec<Located<String>>,
    /// The root route.
    pub route: RawRoute,
    /// The inhibition rules.
    pub inhibit_rules: Vec<RawInhibitRule>,
    /// The receivers, in order.
    pub receivers: Vec<Receiver>,
    /// Named time intervals, those under the old key `mute_time_intervals` included.
    pub time_intervals: Vec<RawTimeInterval>,
}

impl Config {
    /// The receiver of this name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name.value == name)
    }
}

/// A route as written; what is not given is inherited from the parent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRoute {
    /// Where it stands.
    pub place: Place,
    /// Name of the receiver; checked to exist.
    pub receiver: Option<Located<String>>,
    /// Labels to group by; `...` alone means all.
    pub group_by: Option<Vec<Located<String>>>,
    /// `match`: label and value that must be equal (the old form).
    pub match_equal: Vec<(Located<String>, Located<String>)>,
    /// `match_re`: label and anchored regular expression (the old form).
    pub match_regex: Vec<(Located<String>, Located<String>)>,
    /// `matchers`: texts such as `severity=~"page|critical"`.
    pub matchers: Vec<Located<String>>,
    /// Whether later siblings are tried after a match.
    pub continues: bool,
    /// How long a new group waits for more alerts.
    pub group_wait: Option<Duration>,
    /// How long a known group waits before it reports changes; not zero.
    pub group_interval: Option<Duration>,
    /// How long until an unchanged group is reported again; not zero.
    pub repeat_interval: Option<Duration>,
    /// Names of time intervals in which nothing is sent; checked to exist.
    pub mute_time_intervals: Vec<Located<String>>,
    /// Names of time intervals outside of which nothing is sent; checked to exist.
    pub active_time_intervals: Vec<Located<String>>,
    /// The children, in order.
    pub routes: Vec<RawRoute>,
}

/// An inhibition rule as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawInhibitRule {
    /// Where it stands.
    pub place: Place,
    /// Its optional name.
    pub name: Option<String>,
    /// Old form: labels that a source alert must have.
    pub source_match: Vec<(Located<String>, Located<String>)>,
    /// Old form, with regular expressions.
    pub source_match_re: Vec<(Located<String>, Located<String>)>,
    /// Matchers of the alert that mutes.
    pub source_matchers: Vec<Located<String>>,
    /// Old form: labels that a target alert must have.
    pub target_match: Vec<(Located<String>, Located<String>)>,
    /// Old form, with regular expressions.
    pub target_match_re: Vec<(Located<String>, Located<String>)>,
    /// Matchers of the alerts that are muted.
    pub target_matchers: Vec<Located<String>>,
    /// Labels that both must have in common; a missing one is empty.
    pub equal: Vec<Located<String>>,
}

/// A named list of intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTimeInterval {
    /// Its name, unique in the file.
    pub name: Located<String>,
    /// Any of them makes it active.
    pub intervals: Vec<RawInterval>,
}

/// One interval: what is given must hold, of each list one entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawInterval {
    /// Where it stands.
    pub place: Place,
    /// `HH:MM` from (inclusive) and to (exclusive, `24:00` allowed).
    pub times: Vec<(Located<String>, Located<String>)>,
    /// `monday`, `monday:friday`
    pub weekdays: Vec<Located<String>>,
    /// `1`, `1:5`, `-3:-1`
    pub days_of_month: Vec<Located<String>>,
    /// `january`, `1:3`
    pub months: Vec<Located<String>>,
    /// `2026`, `2026:2028`
    pub years: Vec<Located<String>>,
    /// A name of the tz database; UTC when absent.
    pub location: Option<Located<String>>,
}
