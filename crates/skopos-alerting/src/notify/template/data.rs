//! What a notification's template knows: Alertmanager's `Data`.

use std::collections::BTreeMap;
use std::sync::Arc;

use skopos_model::{Labels, Timestamp};

use super::super::receivers::common;
use super::super::{
    Notification, NotificationReason, NotificationStatus, NotifiedAlert, fingerprint,
};
use crate::template::ZERO_TIME;
use crate::template::value::{Record, Value};

/// The data of one notification, made once for all its texts.
#[derive(Clone, Debug)]
pub struct TemplateData {
    root: Value,
    now: Timestamp,
}

impl TemplateData {
    /// The data of a notification. Its time is that of the decision, so that a text says the same
    /// whenever it is expanded.
    pub fn new(notification: &Notification, external_url: &str) -> Self {
        let alerts = &notification.alerts;
        let shared_labels = common(alerts, |alert| alert.labels.iter().collect());
        let shared_annotations = common(alerts, |alert| {
            alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        });
        let alerts: Vec<Value> = alerts.iter().map(alert_record).collect();
        let fields = vec![
            ("Receiver", Value::from(quote_meta(&notification.receiver))),
            ("Status", Value::from(notification.status.as_str().to_string())),
            ("Alerts", Value::List(Arc::new(alerts))),
            ("GroupLabels", kv(notification.group_labels.iter())),
            ("CommonLabels", kv(shared_labels.into_iter())),
            ("CommonAnnotations", kv(shared_annotations.into_iter())),
            ("ExternalURL", Value::from(external_url.to_string())),
            ("NotificationReason", Value::from(notification.reason.as_str().to_string())),
        ];
        let root = Value::Record(Arc::new(Record { type_name: "*template.Data", fields }));
        Self { root, now: notification.at }
    }

    /// Data to try templates on: one alert that fires and one that is over.
    pub fn example(at: Timestamp) -> Self {
        let alert = |instance: &str, ends_at| NotifiedAlert {
            labels: Labels::from_pairs([
                ("alertname", "HighErrorRate"),
                ("instance", instance),
                ("severity", "P1"),
            ]),
            annotations: BTreeMap::from([("summary".into(), "errors <&> more".into())]),
            starts_at: at,
            ends_at,
            generator_url: "http://skopos.example/graph?g0.expr=x".into(),
        };
        let notification = Notification {
            receiver: "pager".into(),
            integration: 0,
            group_key: "{}:{alertname=\"HighErrorRate\"}".into(),
            group_labels: Labels::from_pairs([("alertname", "HighErrorRate")]),
            status: NotificationStatus::Firing,
            alerts: vec![alert("a:1", None), alert("b:1", Some(at))],
            reason: NotificationReason::First,
            at,
        };
        Self::new(&notification, "http://skopos.example")
    }

    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }
}

fn kv<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Labels(Arc::new(pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect()))
}

fn alert_record(alert: &NotifiedAlert) -> Value {
    let annotations = alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let fields = vec![
        ("Status", Value::from(alert.status().as_str().to_string())),
        ("Labels", kv(alert.labels.iter())),
        ("Annotations", kv(annotations)),
        ("StartsAt", Value::Time(alert.starts_at.as_millis())),
        ("EndsAt", Value::Time(alert.ends_at.map_or(ZERO_TIME, Timestamp::as_millis))),
        ("GeneratorURL", Value::from(alert.generator_url.clone())),
        ("Fingerprint", Value::from(fingerprint(&alert.labels))),
    ];
    Value::Record(Arc::new(Record { type_name: "template.Alert", fields }))
}

/// A receiver's name as it can stand in a regular expression: Alertmanager gives it so, for links.
pub(crate) fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
