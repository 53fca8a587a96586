//! A marked notification by the real path: it says on its face that it is a test, and who asked
//! learns the receiver's answer.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use skopos_alerting::notify::matcher::Matcher;
use skopos_alerting::notify::receivers::Judgement;
use skopos_alerting::notify::{
    DeliveryOutcome, Notification, NotificationReason, NotificationStatus, NotifiedAlert,
};
use skopos_model::{Labels, Timestamp};

use super::Notifier;
use super::severity::ALL;

/// What came of telling one integration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    /// The receiver.
    pub(crate) receiver: String,
    /// Its type and its place among all integrations of the receiver: `slack[0]`.
    pub(crate) integration: String,
    /// What was reported: `firing`, then `resolved`.
    pub(crate) status: &'static str,
    /// `delivered`, `retry` (it might be accepted later) or `failed`.
    pub(crate) outcome: &'static str,
    /// Why, when it was not delivered.
    pub(crate) reason: String,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// How the routes know a severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeverityLabel {
    /// The value of the label `severity` that is used.
    pub(crate) word: String,
    /// The values that were tried.
    pub(crate) tried: Vec<String>,
    /// What the routes ask of the label: `=critical`.
    pub(crate) named: Vec<String>,
    /// Whether a route asks for the value.
    pub(crate) is_routed: bool,
}

impl Notifier {
    /// The value of the label by which the routes know a severity. Of a class, P1 to P3, all its
    /// words are tried, and the class itself first: a file may route `critical` and know no `P1`.
    pub(crate) fn label_of(&self, severity: &str) -> SeverityLabel {
        let class = ALL.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(severity));
        let others = class.into_iter().flat_map(|class| self.severities.words(class));
        let mut tried: Vec<String> = vec![severity.to_owned()];
        tried.extend(others.filter(|word| !word.eq_ignore_ascii_case(severity)).map(str::to_owned));
        let mut named: Vec<String> = Vec::new();
        for matcher in self.routing.routes.iter().flat_map(|route| &route.matchers) {
            let value = format!("{}{}", matcher.op().as_str(), matcher.value());
            if matcher.name() == "severity" && !named.contains(&value) {
                named.push(value);
            }
        }
        let routed = tried.iter().find(|word| self.is_routed_by(word)).cloned();
        let is_routed = routed.is_some();
        let word = routed.unwrap_or_else(|| severity.to_owned());
        SeverityLabel { word, tried, named, is_routed }
    }

    /// Whether a route takes this severity by name, and not only because it takes all.
    fn is_routed_by(&self, severity: &str) -> bool {
        let labels = test_labels(severity);
        let routes = &self.routing.routes;
        let names = |matcher: &Matcher| matcher.name() == "severity" && !matcher.matches_empty();
        let way = |index| routes.way_to(index);
        routes.matching(&labels).into_iter().flat_map(way).any(|r| r.matchers.iter().any(names))
    }

    /// The receivers that an alert of a severity reaches, each once.
    pub(crate) fn receivers_of(&self, severity: &str) -> Vec<String> {
        let labels = test_labels(severity);
        let mut receivers: Vec<String> = Vec::new();
        for index in self.routing.routes.matching(&labels) {
            let receiver = &self.routing.routes.get(index).receiver;
            if !receivers.contains(receiver) {
                receivers.push(receiver.clone());
            }
        }
        receivers
    }

    /// Tells every integration of a receiver of a test alert, and that it is over; both marked.
    pub(crate) async fn trial(&self, receiver: &str, severity: &str) -> Vec<Trial> {
        let now = self.clock.now();
        let mut trials = Vec::new();
        let Some(known) = self.config.receiver(receiver) else { return trials };
        for (at, integration) in known.integrations.iter().enumerate() {
            for status in [NotificationStatus::Firing, NotificationStatus::Resolved] {
                if status == NotificationStatus::Resolved && !integration.send_resolved {
                    continue;
                }
                let notification = test_notification(receiver, at, severity, status, now);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "shown to who asked, nothing depends on it"
                )]
                let start = Instant::now();
                let (outcome, reason) = self.try_once(&notification).await;
                trials.push(Trial {
                    receiver: receiver.to_owned(),
                    integration: format!("{}[{at}]", integration.kind.name()),
                    status: status.as_str(),
                    outcome,
                    reason,
                    seconds: start.elapsed().as_secs_f64(),
                });
            }
        }
        trials
    }

    async fn try_once(&self, notification: &Notification) -> (&'static str, String) {
        let body = match self.words(notification) {
            Ok(outgoing) => outgoing.encode(),
            Err(reason) => return ("failed", reason),
        };
        let status = notification.status.as_str();
        let key =
            format!("test-{}-{}-{status}", notification.at.as_millis(), notification.integration);
        let Notification { receiver, integration, .. } = notification;
        match self.deliver(receiver, *integration, &body, &key).await {
            DeliveryOutcome::Judged(Judgement::Delivered) => ("delivered", String::new()),
            DeliveryOutcome::Judged(Judgement::Retry { reason, .. }) => ("retry", reason),
            DeliveryOutcome::Judged(Judgement::Failed { reason }) => ("failed", reason),
            DeliveryOutcome::TimedOut => ("retry", "timed out".into()),
            DeliveryOutcome::Unreachable { reason } => ("retry", format!("unreachable: {reason}")),
            DeliveryOutcome::Answered { status, .. } => ("retry", format!("answered {status}")),
        }
    }
}

fn test_labels(severity: &str) -> Labels {
    let mut pairs = vec![("alertname", "SkoposTest"), ("test", "true")];
    if !severity.is_empty() {
        pairs.push(("severity", severity));
    }
    Labels::from_pairs(pairs)
}

/// The alert of a test. Its group is its own, so it opens and closes an incident of its own.
fn test_notification(
    receiver: &str,
    integration: usize,
    severity: &str,
    status: NotificationStatus,
    at: Timestamp,
) -> Notification {
    let is_over = status == NotificationStatus::Resolved;
    let summary = "[TEST] This is a test by `skopos notify test`: nothing is wrong";
    Notification {
        receiver: receiver.to_owned(),
        integration,
        group_key: format!("{{}}/test:{{alertname=\"SkoposTest\", at=\"{}\"}}", at.as_millis()),
        group_labels: Labels::from_pairs([("alertname", "SkoposTest")]),
        status,
        alerts: vec![NotifiedAlert {
            labels: test_labels(severity),
            annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
            starts_at: at,
            ends_at: is_over.then_some(at),
            generator_url: String::new(),
        }],
        reason: match is_over {
            true => NotificationReason::AllResolved,
            false => NotificationReason::First,
        },
        at,
    }
}
