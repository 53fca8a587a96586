//! The body of a notification: version 4 of Alertmanager's webhook payload, field by field.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use skopos_model::{Labels, Timestamp};

use super::{NotificationStatus, NotifiedAlert};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<PayloadAlert<'a>>,
    group_labels: BTreeMap<&'static str, &'a str>,
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

/// The key of the group of all alerts of one name, as Alertmanager writes it for its root route.
pub(crate) fn group_key(alert_name: &str) -> String {
    format!("{{}}:{}", Labels::from_pairs([("alertname", alert_name)]))
}

/// Renders a payload; alerts beyond `max_alerts` (0 for no limit) are only counted.
pub(crate) fn render(
    alert_name: &str,
    receiver: &str,
    external_url: &str,
    mut alerts: Vec<NotifiedAlert>,
    max_alerts: usize,
) -> (NotificationStatus, String) {
    alerts.sort_by(order);
    let firing = alerts.iter().any(|alert| alert.ends_at.is_none());
    let status = if firing { NotificationStatus::Firing } else { NotificationStatus::Resolved };
    let shown = if max_alerts == 0 { alerts.len() } else { alerts.len().min(max_alerts) };
    let payload = Payload {
        receiver,
        status: status.as_str(),
        alerts: alerts[..shown].iter().map(payload_alert).collect(),
        group_labels: BTreeMap::from([("alertname", alert_name)]),
        common_labels: common(&alerts, |alert| alert.labels.iter().collect()),
        common_annotations: common(&alerts, |alert| {
            alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
        }),
        external_url,
        version: "4",
        group_key: &group_key(alert_name),
        truncated_alerts: alerts.len() - shown,
    };
    let body = serde_json::to_string(&payload).expect("texts and numbers are always JSON");
    (status, body)
}

fn payload_alert(alert: &NotifiedAlert) -> PayloadAlert<'_> {
    PayloadAlert {
        status: if alert.ends_at.is_none() { "firing" } else { "resolved" },
        labels: alert.labels.iter().collect(),
        annotations: &alert.annotations,
        starts_at: rfc3339(alert.starts_at),
        ends_at: alert.ends_at.map_or_else(|| NOT_OVER.into(), rfc3339),
        generator_url: &alert.generator_url,
        fingerprint: fingerprint(&alert.labels),
    }
}

/// The pairs that all alerts share.
fn common<'a>(
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

/// Alertmanager's order: by job and instance where both or either have them (missing last), then
/// fewer labels first, then by the first difference in the union of the label names, where the
/// set without the label comes first.
fn order(a: &NotifiedAlert, b: &NotifiedAlert) -> Ordering {
    for name in ["job", "instance"] {
        let by_override = match (a.labels.get(name), b.labels.get(name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if by_override.is_ne() {
            return by_override;
        }
    }
    let (a, b) = (&a.labels, &b.labels);
    let names: BTreeSet<&str> = a.iter().chain(b.iter()).map(|(name, _)| name).collect();
    let first_difference =
        || names.iter().map(|name| a.get(name).cmp(&b.get(name))).find(|order| order.is_ne());
    a.len().cmp(&b.len()).then_with(|| first_difference().unwrap_or(Ordering::Equal))
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

/// Alertmanager's fingerprint of a label set: 64-bit FNV-1a over names and values, in hexadecimal.
pub fn fingerprint(labels: &Labels) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let names: BTreeSet<(&str, &str)> = labels.iter().collect();
    for (name, value) in names {
        for piece in [name, value] {
            piece.bytes().for_each(&mut add);
            add(0xff);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_label_set_has_the_known_fingerprint() {
        // The offset basis of FNV-1a, which Prometheus' model package gives for no labels.
        assert_eq!(fingerprint(&Labels::empty()), "cbf29ce484222325");
    }

    #[test]
    fn times_print_as_go_prints_them() {
        let rfc3339 = |ms| rfc3339(Timestamp::from_millis(ms));
        assert_eq!(rfc3339(1_435_065_584_128), "2015-06-23T13:19:44.128Z");
        assert_eq!(rfc3339(1_435_065_584_100), "2015-06-23T13:19:44.1Z");
        assert_eq!(rfc3339(1_435_065_584_000), "2015-06-23T13:19:44Z");
    }

    #[test]
    fn alerts_stand_in_alertmanagers_order() {
        let alert = |pairs: &[(&str, &str)]| NotifiedAlert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: BTreeMap::new(),
            starts_at: Timestamp(0),
            ends_at: None,
            generator_url: String::new(),
        };
        let wanted = [
            alert(&[("job", "a"), ("instance", "1"), ("x", "1")]),
            alert(&[("job", "a"), ("instance", "2")]),
            alert(&[("job", "a")]),
            alert(&[("instance", "1")]),
            alert(&[("z", "1")]),
            alert(&[("b", "1"), ("z", "1")]),
            alert(&[("a", "1"), ("z", "1")]),
        ];
        let mut sorted = wanted.to_vec();
        sorted.reverse();
        sorted.sort_by(order);
        assert_eq!(sorted, wanted);
    }
}
