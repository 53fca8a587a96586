//! Version 4 of Alertmanager's webhook payload, field by field.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use skopos_model::Timestamp;

use super::super::template::quote_meta;
use super::super::{Notification, NotifiedAlert, fingerprint};
use super::{Method, Request};
use crate::alertmanager::Webhook;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    receiver: String,
    status: &'static str,
    alerts: Vec<PayloadAlert<'a>>,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadAlert<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// Go's zero time: how Alertmanager says "not over".
const NOT_OVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn render(
    webhook: &Webhook,
    notification: &Notification,
    external_url: &str,
) -> Request {
    let body = payload(notification, webhook.max_alerts, external_url);
    Request { method: Method::Post, path: String::new(), body, key_field: None }
}

/// The payload as text; alerts beyond `max_alerts` (0 for no limit) are only counted.
pub(crate) fn payload(
    notification: &Notification,
    max_alerts: usize,
    external_url: &str,
) -> String {
    let most = if max_alerts == 0 { usize::MAX } else { max_alerts };
    let shown = &notification.alerts[..notification.alerts.len().min(most)];
    // As in Alertmanager, what is cut off does not count for what is common.
    let payload = Payload {
        receiver: quote_meta(&notification.receiver),
        status: notification.status.as_str(),
        alerts: shown.iter().map(payload_alert).collect(),
        group_labels: notification.group_labels.iter().collect(),
        common_labels: common(shown, |alert| alert.labels.iter().collect()),
        common_annotations: common(shown, |alert| {
            alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        }),
        external_url,
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts: notification.alerts.len() - shown.len(),
    };
    serde_json::to_string(&payload).expect("texts and numbers are always JSON")
}

fn payload_alert(alert: &NotifiedAlert) -> PayloadAlert<'_> {
    PayloadAlert {
        status: alert.status().as_str(),
        labels: alert.labels.iter().collect(),
        annotations: &alert.annotations,
        starts_at: rfc3339(alert.starts_at),
        ends_at: alert.ends_at.map_or_else(|| NOT_OVER.into(), rfc3339),
        generator_url: &alert.generator_url,
        fingerprint: fingerprint(&alert.labels),
    }
}

/// The pairs that all alerts share.
pub(crate) fn common<'a>(
    alerts: &'a [NotifiedAlert],
    pairs: impl Fn(&'a NotifiedAlert) -> Vec<(&'a str, &'a str)>,
) -> BTreeMap<&'a str, &'a str> {
    let mut shared: Option<HashMap<&str, &str>> = None;
    for alert in alerts {
        let own: HashMap<&str, &str> = pairs(alert).into_iter().collect();
        match &mut shared {
            None => shared = Some(own),
            Some(shared) => shared.retain(|name, value| own.get(name) == Some(value)),
        }
    }
    shared.unwrap_or_default().into_iter().collect()
}

/// RFC 3339 in UTC without trailing zeros in the fraction, as Go writes times into JSON.
fn rfc3339(time: Timestamp) -> String {
    let text = time.to_string();
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match fraction.trim_end_matches('Z').trim_end_matches('0') {
        "" => format!("{seconds}Z"),
        fraction => format!("{seconds}.{fraction}Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_go_prints_them() {
        let rfc3339 = |ms| rfc3339(Timestamp::from_millis(ms));
        assert_eq!(rfc3339(1_435_065_584_128), "2015-06-23T13:19:44.128Z");
        assert_eq!(rfc3339(1_435_065_584_100), "2015-06-23T13:19:44.1Z");
        assert_eq!(rfc3339(1_435_065_584_000), "2015-06-23T13:19:44Z");
    }
}
