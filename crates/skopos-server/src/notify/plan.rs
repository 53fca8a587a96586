//! Who is told what: an `alertmanager.yml`, or the severity table with what the environment names.
//!
//! Without a file, alerts go by their severity: P1 to the pager, P2 to chat, P3 to e-mail and
//! tickets. Where a class has no receiver the next less urgent way takes it, never a more urgent
//! one: only P1 may reach a pager. Words that the table lacks go the way of P2.

use std::time::Duration;

use serde_json::{Value, json};
use skopos_alerting::alertmanager::{self, Config, ConfigError, Place, RawRoute};
use skopos_alerting::notify::Severity;
use skopos_alerting::notify::route::Routing;

use super::severity::SeverityTable;
use super::templates;
use crate::ServerError;
use crate::config::{Secret, Settings};

/// Name of the receiver that has no integration: alerts show in the UI and the API.
const NOBODY: &str = "nobody";
/// Name of the receiver of `--webhook`.
const DEFAULT: &str = "webhook";

/// The configuration that the settings ask for.
pub fn plan(settings: &Settings) -> Result<Config, ServerError> {
    let Some(path) = &settings.alertmanager_config else { return Ok(built_in(settings)) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ServerError::File { path: path.clone(), source })?;
    let config = alertmanager::load(&path.display().to_string(), &text);
    config.map_err(ServerError::Rules)
}

/// What a check of a configuration found.
#[derive(Debug, Default)]
pub struct FileCheck {
    /// Mistakes: the file does not load.
    pub errors: Vec<ConfigError>,
    /// Integrations that we cannot deliver to, or deliver to in another way.
    pub warnings: Vec<Warning>,
    /// Receivers in it.
    pub receivers: usize,
    /// Routes in it.
    pub routes: usize,
    /// Files of templates, if there are mistakes in them or they cannot be read.
    pub templates: Option<String>,
}

/// An integration that is not told as Alertmanager would tell it.
#[derive(Debug)]
pub struct Warning {
    /// The receiver.
    pub receiver: String,
    /// The kind of integration.
    pub kind: &'static str,
    /// Line in the file.
    pub line: usize,
    /// What is different.
    pub reason: String,
    /// Whether nothing is delivered at all.
    pub undeliverable: bool,
    /// Whether a route leads there.
    pub reached: bool,
}

impl FileCheck {
    /// Whether a route leads to something that we cannot deliver to.
    pub fn loses_notifications(&self) -> bool {
        self.warnings.iter().any(|warning| warning.undeliverable && warning.reached)
    }
}

/// Checks the text of an `alertmanager.yml`; template files are read from beside `file`.
pub fn check_file(file: &str, text: &str) -> FileCheck {
    let config = match alertmanager::load(file, text) {
        Ok(config) => config,
        Err(errors) => return FileCheck { errors, ..FileCheck::default() },
    };
    let mut check = FileCheck {
        receivers: config.receivers.len(),
        routes: count(&config.route),
        ..FileCheck::default()
    };
    if let Err(errors) = Routing::from_config(&config) {
        check.errors = errors;
    }
    match templates::read(&config) {
        Ok(_) => {}
        Err(ServerError::Rules(errors)) => check.errors.extend(errors),
        Err(error) => check.templates = Some(error.to_string()),
    }
    for receiver in &config.receivers {
        let name = &receiver.name.value;
        for integration in &receiver.integrations {
            let line = |place: Place| config.source.error(place, "", "", None).line;
            let undeliverable = integration.undeliverable();
            let different = integration.difference().map(str::to_owned);
            let is_undeliverable = undeliverable.is_some();
            let Some(reason) = undeliverable.or(different) else { continue };
            check.warnings.push(Warning {
                receiver: name.clone(),
                kind: integration.kind.name(),
                line: line(integration.place),
                reason,
                undeliverable: is_undeliverable,
                reached: leads_to(&config.route, name),
            });
        }
    }
    check
}

fn count(route: &RawRoute) -> usize {
    1 + route.routes.iter().map(count).sum::<usize>()
}

fn leads_to(route: &RawRoute, receiver: &str) -> bool {
    route.receiver.as_ref().is_some_and(|r| r.value == receiver)
        || route.routes.iter().any(|child| leads_to(child, receiver))
}

/// What holds without a file.
fn built_in(settings: &Settings) -> Config {
    let named = &settings.notify;
    let mut receivers = vec![json!({"name": NOBODY})];
    if let Some(key) = &named.pagerduty_key {
        let severity = r#"{{ if eq .Status "firing" }}critical{{ else }}info{{ end }}"#;
        receivers.push(json!({
            "name": "page",
            "pagerduty_configs": [{"routing_key": key.expose(), "severity": severity}],
        }));
    }
    if let Some(url) = &named.slack_url {
        receivers.push(json!({
            "name": "chat",
            "slack_configs": [{"api_url": url.expose(), "send_resolved": true}],
        }));
    }
    let mut ticket = serde_json::Map::new();
    if let (Some(server), false) = (&named.smtp, named.email_to.is_empty()) {
        let mut email = json!({
            "to": named.email_to.join(", "),
            "from": server.from,
            "smarthost": server.smarthost,
            "text": r#"{{ template "email.default.text" . }}"#,
            "send_resolved": true,
            "require_tls": server.require_tls,
            "force_implicit_tls": server.implicit_tls,
            "threading": {"enabled": true},
        });
        if let Some((user, password)) = &server.login {
            email["auth_username"] = user.clone().into();
            email["auth_password"] = password.expose().clone().into();
        }
        ticket.insert("email_configs".into(), json!([email]));
    }
    if let Some(url) = &named.ticket_url {
        ticket.insert("webhook_configs".into(), json!([{"url": url.expose()}]));
    }
    if !ticket.is_empty() {
        ticket.insert("name".into(), "ticket".into());
        receivers.push(ticket.into());
    }
    let ways_named = receivers.len() > 1;
    let webhook = settings.webhooks.first().map(|url| {
        json!({"name": DEFAULT, "webhook_configs": [{"url": url.expose(), "max_alerts": 1000}]})
    });
    receivers.extend(webhook.clone());
    // All alerts of a name, without delay: what `--webhook` has always done.
    let direct = json!({
        "receiver": DEFAULT,
        "group_by": ["alertname"],
        "group_wait": "0s",
        "repeat_interval": "4h",
        "continue": ways_named,
    });
    let route = match (webhook.is_some(), ways_named) {
        (true, false) => direct,
        (has_webhook, _) => by_severity(settings, &receivers, has_webhook.then_some(direct)),
    };
    let mut config = load_made(&json!({"route": route, "receivers": receivers}));
    if webhook.is_some() {
        let direct = match ways_named {
            true => config.route.routes.first_mut(),
            false => Some(&mut config.route),
        };
        // What no file may say: changes are told at once.
        if let Some(direct) = direct {
            direct.group_interval = Some(Duration::ZERO);
        }
    }
    config
}

fn by_severity(settings: &Settings, receivers: &[Value], direct: Option<Value>) -> Value {
    let has = |name: &str| receivers.iter().any(|receiver| receiver["name"] == name);
    let first =
        |names: &[&'static str]| names.iter().copied().find(|name| has(name)).unwrap_or(NOBODY);
    let ways = [
        (Severity::P1, first(&["page", "chat", "ticket"]), "0s", "4h"),
        (Severity::P2, first(&["chat", "ticket"]), "30s", "12h"),
        (Severity::P3, first(&["ticket", "chat"]), "1m", "1d"),
    ];
    let mut routes: Vec<Value> = direct.into_iter().collect();
    for (class, receiver, wait, repeat) in ways {
        let Some(matcher) = matcher(&settings.severities, class) else { continue };
        routes.push(json!({
            "receiver": receiver,
            "matchers": [matcher],
            "group_wait": wait,
            "repeat_interval": repeat,
        }));
    }
    // Words that the table lacks.
    routes.push(json!({"receiver": first(&["chat", "ticket"])}));
    json!({
        "receiver": NOBODY,
        "group_by": ["alertname", "service"],
        "group_interval": "1m",
        "routes": routes,
    })
}

/// JSON is YAML, and what was made here passes the same checks as a file. Over several lines, because
/// it is shown where Alertmanager shows its file.
fn load_made(document: &Value) -> Config {
    let text = format!("{document:#}\n");
    let loaded = alertmanager::load("the severity table", &text);
    loaded.expect("what is made of checked settings is valid")
}

/// `severity=~"(?i:critical|page|p1)"`, quoted for both the regular expression and the matcher; none for
/// a class without words, which would be every alert without a severity.
fn matcher(table: &SeverityTable, class: Severity) -> Option<String> {
    let words: Vec<String> = table
        .words(class)
        .map(|word| {
            let special = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
            word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
        })
        .collect();
    let pattern = format!("(?i:{})", words.join("|"));
    (!words.is_empty()).then(|| format!("severity=~{}", Value::from(pattern)))
}

/// What the environment or `notify` in the configuration names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// Key of a PagerDuty integration (Events API v2).
    pub pagerduty_key: Option<Secret<String>>,
    /// Slack's incoming webhook.
    pub slack_url: Option<Secret<String>>,
    /// Addresses for e-mails.
    pub email_to: Vec<String>,
    /// The mail server.
    pub smtp: Option<MailServer>,
    /// A webhook that opens tickets.
    pub ticket_url: Option<Secret<String>>,
}

/// A mail server, from a URL such as `smtp://user:password@mail.example.org:587`.
#[derive(Clone, Debug, PartialEq)]
pub struct MailServer {
    /// `host:port`
    pub smarthost: String,
    /// The sender's address: `?from=`, else the user, else `skopos@` and the host.
    pub from: String,
    /// User and password.
    pub login: Option<(String, Secret<String>)>,
    /// TLS from the start: `smtps://`.
    pub implicit_tls: bool,
    /// No sending without STARTTLS: always but with `?tls=none`.
    pub require_tls: bool,
}

impl MailServer {
    /// Reads the URL; the error does not show it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (implicit_tls, rest) = match (url.strip_prefix("smtps://"), url.strip_prefix("smtp://"))
        {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("expected a URL that begins with smtp:// or smtps://".into()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, rest),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && !port.ends_with(']') => (host, port),
            _ => (address, if implicit_tls { "465" } else { "587" }),
        };
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err("expected smtp://HOST:PORT, with USER:PASSWORD@ before the host".into());
        }
        let decode = |text: &str| {
            let escaped = text.replace('+', "%2B");
            let pair = form_urlencoded::parse(escaped.as_bytes()).next();
            pair.map(|(key, _)| key.into_owned()).unwrap_or_default()
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decode(user), Secret::new(decode(password)))
        });
        let mut from = None;
        let mut require_tls = !implicit_tls;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("from", address) if address.contains('@') => from = Some(address.to_owned()),
                ("tls", "none") => require_tls = false,
                ("tls", "starttls") => require_tls = true,
                _ => return Err("behind `?` only from=ADDRESS and tls=none are known".into()),
            }
        }
        let user = login.as_ref().map(|(user, _)| user.clone()).filter(|user| user.contains('@'));
        let from = from.or(user).unwrap_or_else(|| format!("skopos@{host}"));
        Ok(Self { smarthost: format!("{host}:{port}"), from, login, implicit_tls, require_tls })
    }
}

#[cfg(test)]
mod tests {
    use skopos_model::Labels;

    use super::*;
    use crate::config::{ConfigFile, Effective, Overrides, resolve};

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let file = ConfigFile::default();
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let effective = Effective::new(Some(&file), variables, &Overrides::default()).unwrap();
        resolve(&effective).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    /// The receivers of an alert of each severity.
    fn told(settings: &Settings) -> Vec<String> {
        let config = plan(settings).unwrap();
        let routing = Routing::from_config(&config).unwrap();
        ["P1", "Critical", "high", "info", "urgent", ""]
            .iter()
            .map(|severity| {
                let labels = Labels::from_pairs([("alertname", "A"), ("severity", severity)]);
                let routes = routing.routes.matching(&labels).into_iter();
                let receivers = routes.map(|index| routing.routes.get(index).receiver.clone());
                receivers.collect::<Vec<_>>().join("+")
            })
            .collect()
    }

    #[test]
    fn alerts_go_by_their_severity_and_only_p1_reaches_the_pager() {
        let pager = ("SKOPOS_PAGERDUTY_KEY", "hunter2");
        let slack = ("SKOPOS_SLACK_URL", "https://hooks.example/hunter2");
        let email =
            [("SKOPOS_EMAIL_TO", "a@example.org"), ("SKOPOS_SMTP_URL", "smtp://mail.example")];
        let ticket = ("SKOPOS_TICKET_URL", "https://tickets.example/hunter2");
        let webhook = ("SKOPOS__NOTIFY__WEBHOOKS", "http://hook.example");
        let n = "nobody";
        for (variables, want) in [
            (vec![], [n, n, n, n, n, n]),
            (vec![pager], ["page", "page", n, n, n, n]),
            (vec![slack], ["chat"; 6]),
            (vec![pager, slack], ["page", "page", "chat", "chat", "chat", "chat"]),
            (
                vec![pager, slack, email[0], email[1]],
                ["page", "page", "chat", "ticket", "chat", "chat"],
            ),
            (vec![ticket], ["ticket"; 6]),
            (vec![webhook], ["webhook"; 6]),
            (vec![webhook, slack], ["webhook+chat"; 6]),
        ] {
            assert_eq!(told(&settings(&variables)), want, "{variables:?}");
        }
        let all = [pager, slack, email[0], email[1], ticket];
        let config = plan(&settings(&all)).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!config.source.redacted().contains("hunter2"));
        let kinds: Vec<_> =
            config.receiver("ticket").unwrap().integrations.iter().map(|i| i.kind.name()).collect();
        assert_eq!(kinds, ["email", "webhook"]);
    }

    #[test]
    fn the_table_can_be_changed() {
        let variables = [
            ("SKOPOS_PAGERDUTY_KEY", "k"),
            ("SKOPOS__ALERTING__SEVERITIES", "urgent=P1, sev.2=P2"),
        ];
        assert_eq!(
            told(&settings(&variables)),
            ["nobody", "nobody", "nobody", "nobody", "page", "nobody"]
        );
    }

    #[test]
    fn mail_servers_are_read_from_urls() {
        for (url, want) in [
            ("smtp://mail.example", ("mail.example:587", "skopos@mail.example", None, false, true)),
            (
                "smtps://a%40b.example:p%3Aw+d@mail.example",
                ("mail.example:465", "a@b.example", Some(("a@b.example", "p:w+d")), true, false),
            ),
            (
                "smtp://u:p@localhost:2525/?from=s@example.org&tls=none",
                ("localhost:2525", "s@example.org", Some(("u", "p")), false, false),
            ),
        ] {
            let server = MailServer::parse(url).unwrap();
            let login = server.login.as_ref().map(|(u, p)| (u.as_str(), p.expose().as_str()));
            let got = (
                server.smarthost.as_str(),
                server.from.as_str(),
                login,
                server.implicit_tls,
                server.require_tls,
            );
            assert_eq!(got, want, "{url}");
        }
        for url in ["http://x", "smtp://", "smtp://h:port", "smtp://h?form=x", "smtp://h?from=x"] {
            assert!(MailServer::parse(url).is_err(), "{url}");
        }
    }
}
