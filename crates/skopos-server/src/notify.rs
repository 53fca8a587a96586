//! Notifications on their way: who is told ([`plan`]), in which words, and by which wire.
//!
//! `skopos-alerting` decides and renders; this module reads configuration and secrets, speaks HTTP
//! and SMTP, and says what came of it. URLs, keys and passwords are looked up when something is sent
//! and appear in no log, answer or error.

mod heartbeat;
mod http;
mod mail;
mod plan;
mod secrets;
mod severity;
mod templates;
mod tls;
mod trial;
mod veil;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skopos_alerting::alertmanager::{Config, Integration};
use skopos_alerting::notify::receivers::{Judgement, Outgoing};
use skopos_alerting::notify::route::Routing;
use skopos_alerting::notify::template::Templates;
use skopos_alerting::notify::{DeliveryOutcome, Notification, Render};
use skopos_model::Clock;

use crate::ServerError;
use crate::config::Settings;

pub(crate) use heartbeat::Heartbeat;
pub use plan::{FileCheck, MailServer, Named, Warning, check_file, plan};
pub use severity::SeverityTable;
pub(crate) use trial::SeverityLabel;

/// The receivers of one configuration, ready to be told.
pub(crate) struct Notifier {
    config: Config,
    routing: Arc<Routing>,
    severities: SeverityTable,
    templates: Templates,
    external_url: String,
    timeout: Duration,
    wires: HashMap<String, Vec<Wire>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whether a connection failed because nobody knows the host's address. The standard library has no kind
/// of error for that, only this text.
fn is_unresolved(error: &std::io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address information")
}

/// How an integration is reached.
enum Wire {
    Http(Box<http::Sender>),
    Mail,
    /// We do not deliver to it.
    None,
}

impl Render for Notifier {
    fn render(&self, notification: &Notification) -> Result<Arc<str>, String> {
        self.words(notification).map(|outgoing| outgoing.encode().into())
    }

    fn configuration(&self) -> Option<String> {
        Some(self.config.source.redacted())
    }
}

impl Notifier {
    /// Reads the configuration, its templates and certificates. Says once which receivers cannot be
    /// delivered to.
    pub(crate) fn new(
        settings: &Settings,
        external_url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServerError> {
        let config = plan(settings)?;
        let routing = Routing::from_config(&config).map_err(ServerError::Rules)?;
        let templates = templates::read(&config)?;
        let mut wires = HashMap::new();
        for receiver in &config.receivers {
            let mut own = Vec::new();
            for (at, integration) in receiver.integrations.iter().enumerate() {
                let receiver = receiver.name.value.as_str();
                let kind = integration.kind.name();
                if let Some(reason) = integration.undeliverable() {
                    tracing::warn!(receiver, kind, at, %reason, "notifications to this receiver are not delivered");
                    own.push(Wire::None);
                    continue;
                }
                if let Some(difference) = integration.difference() {
                    tracing::warn!(
                        receiver,
                        kind,
                        at,
                        difference,
                        "receiver is told in another way than by Alertmanager"
                    );
                }
                own.push(match integration.endpoint() {
                    Some(_) => {
                        Wire::Http(Box::new(http::Sender::new(&config.source, &integration.http)?))
                    }
                    None => Wire::Mail,
                });
            }
            wires.insert(receiver.name.value.clone(), own);
        }
        Ok(Self {
            config,
            routing: Arc::new(routing),
            severities: settings.severities.clone(),
            templates,
            external_url: external_url.into(),
            timeout: settings.notify_timeout,
            wires,
            clock,
        })
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The files of its templates, or patterns of them.
    pub(crate) fn template_files(&self) -> Vec<String> {
        let paths =
            self.config.templates.iter().map(|path| self.config.source.resolve(&path.value));
        paths.map(|path| path.display().to_string()).collect()
    }

    /// Its routes.
    pub(crate) fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.routing)
    }

    /// The integrations that nothing is delivered to, with the reason.
    pub(crate) fn undeliverable(&self) -> impl Iterator<Item = String> {
        self.config.receivers.iter().flat_map(|receiver| {
            receiver.integrations.iter().filter_map(|integration| {
                let reason = integration.undeliverable()?;
                let (kind, receiver) = (integration.kind.name(), &receiver.name.value);
                Some(format!("{kind} of receiver {receiver} is told nothing: {reason}"))
            })
        })
    }

    /// Whether an alert of this severity goes where its author meant it to go.
    pub(crate) fn knows_severity(&self, severity: &str) -> bool {
        self.severities.class(severity).is_some()
    }

    /// An integration as people know it: `slack[0]`; `[0]` where the configuration has it no more.
    pub(crate) fn integration_name(&self, receiver: &str, at: usize) -> String {
        let known = self.config.receiver(receiver).and_then(|r| r.integrations.get(at));
        format!("{}[{at}]", known.map_or("", |integration| integration.kind.name()))
    }

    /// An integration of a receiver, by its place among all of them.
    fn integration(&self, receiver: &str, at: usize) -> Option<(&Integration, &Wire)> {
        let integration = self.config.receiver(receiver)?.integrations.get(at)?;
        Some((integration, self.wires.get(receiver)?.get(at)?))
    }

    /// Puts a notification into its integration's words.
    fn words(&self, notification: &Notification) -> Result<Outgoing, String> {
        let Notification { receiver, integration, .. } = notification;
        let Some((integration, _)) = self.integration(receiver, *integration) else {
            return Err("there is no such integration".into());
        };
        let rendered = integration.render(notification, &self.templates, &self.external_url);
        rendered.map_err(|error| error.to_string())
    }

    /// Sends what was rendered, and says what came of it.
    pub(crate) async fn deliver(
        &self,
        receiver: &str,
        integration: usize,
        body: &str,
        key: &str,
    ) -> DeliveryOutcome {
        let failed =
            |reason: &str| DeliveryOutcome::Judged(Judgement::Failed { reason: reason.into() });
        let Some((integration, wire)) = self.integration(receiver, integration) else {
            return failed("the receiver is no longer in the configuration");
        };
        let timeout = integration.timeout.unwrap_or(self.timeout);
        let outgoing = Outgoing::decode(body);
        let sending = async {
            match (wire, outgoing) {
                (Wire::Http(sender), Some(Outgoing::Http(requests))) => {
                    sender.send(&self.config.source, integration, &requests, key).await
                }
                // What an earlier version committed is a webhook's body as it is.
                (Wire::Http(sender), None) => {
                    sender.send_body(&self.config.source, integration, body, key).await
                }
                (Wire::Mail, Some(Outgoing::Mail(mail))) => {
                    let now = self.clock.now();
                    mail::send(&self.config.source, integration, &mail, timeout, now).await
                }
                _ => failed("the receiver is of another kind now than when this was decided"),
            }
        };
        match tokio::time::timeout(timeout, sending).await {
            Ok(outcome) => outcome,
            Err(_) => DeliveryOutcome::TimedOut,
        }
    }
}
