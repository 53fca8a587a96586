//! PagerDuty's settings.

use super::super::SecretSource;
use super::super::http::source_of;
use super::super::reader::Reader;
use super::super::section::{Section, Value};
use super::template;

/// PagerDuty's Events API v2, or v1 with a service key. Texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    /// The integration's key.
    pub key: SecretSource,
    /// Whether the key is a `service_key`, so that events go to the Events API v1.
    pub v1: bool,
    /// Where events go.
    pub url: String,
    /// Who sends them.
    pub client: String,
    /// A link to that.
    pub client_url: String,
    /// The event's summary.
    pub description: String,
    /// Details; texts in it are templates.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// Images.
    pub images: Vec<PagerDutyImage>,
    /// Links.
    pub links: Vec<PagerDutyLink>,
    /// What is affected.
    pub source: String,
    /// `critical`, `error`, `warning` or `info`.
    pub severity: String,
    /// The kind of event.
    pub class: String,
    /// The part affected.
    pub component: String,
    /// A grouping of parts.
    pub group: String,
}

/// An image in an incident; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyImage {
    /// Its URL.
    pub src: String,
    /// Its description.
    pub alt: String,
    /// Where it leads.
    pub href: String,
}

/// A link in an incident; texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyLink {
    /// Where it leads.
    pub href: String,
    /// Its text.
    pub text: String,
}

/// Where events of both API versions go unless the configuration says otherwise.
const EVENTS_V2: &str = "https://events.pagerduty.com/v2/enqueue";
const EVENTS_V1: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";

impl Reader<'_> {
    pub(super) fn pagerduty(&mut self, section: &Section, global: &Section) -> Option<PagerDuty> {
        self.at_most_one(section, &["routing_key", "routing_key_file"]);
        self.at_most_one(section, &["service_key", "service_key_file"]);
        let routing = source_of(section, "routing_key", "routing_key_file");
        let service = source_of(section, "service_key", "service_key_file");
        let keys = ["routing_key", "routing_key_file", "service_key", "service_key_file"];
        self.at_least_one(section, &keys, "a pagerduty receiver");
        // Alertmanager prefers the service key when both are given.
        let v1 = service.is_some();
        let url = match v1 {
            true => EVENTS_V1.into(),
            false => section
                .filled("url")
                .or_else(|| global.filled("pagerduty_url"))
                .unwrap_or_else(|| EVENTS_V2.into()),
        };
        let client = template(section, "client", r#"{{ template "pagerduty.default.client" . }}"#);
        Some(PagerDuty {
            key: service.or(routing)?,
            v1,
            url,
            client_url: template(
                section,
                "client_url",
                r#"{{ template "pagerduty.default.clientURL" . }}"#,
            ),
            description: template(
                section,
                "description",
                r#"{{ template "pagerduty.default.description" . }}"#,
            ),
            details: self.details(section),
            images: section
                .sections("images")
                .iter()
                .map(|image| PagerDutyImage {
                    src: template(image, "src", ""),
                    alt: template(image, "alt", ""),
                    href: template(image, "href", ""),
                })
                .collect(),
            links: section
                .sections("links")
                .iter()
                .map(|link| PagerDutyLink {
                    href: template(link, "href", ""),
                    text: template(link, "text", ""),
                })
                .collect(),
            source: section.filled("source").unwrap_or_else(|| client.clone()),
            severity: section.filled("severity").unwrap_or_else(|| "error".into()),
            class: template(section, "class", ""),
            component: template(section, "component", ""),
            group: template(section, "group", ""),
            client,
        })
    }

    /// The details given, and those that are always there unless given otherwise.
    fn details(&mut self, section: &Section) -> serde_json::Map<String, serde_json::Value> {
        let mut details = match section.get("details") {
            Some(Value::Any(serde_json::Value::Object(map))) => map.clone(),
            None => serde_json::Map::new(),
            Some(_) => {
                let message = "`details` must be a mapping";
                self.error(section.key_place("details"), "value", message);
                serde_json::Map::new()
            }
        };
        for (name, text) in [
            ("firing", r#"{{ template "pagerduty.default.instances" .Alerts.Firing }}"#),
            ("resolved", r#"{{ template "pagerduty.default.instances" .Alerts.Resolved }}"#),
            ("num_firing", "{{ .Alerts.Firing | len }}"),
            ("num_resolved", "{{ .Alerts.Resolved | len }}"),
        ] {
            if !details.contains_key(name) {
                details.insert(name.into(), text.into());
            }
        }
        details
    }
}
