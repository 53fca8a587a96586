//! Alerts and receivers that are not Prometheus': Grafana, Terraform, Datadog, CloudWatch, jsonnet.
//!
//! They are evidence that somebody is woken, no more: what they ask is not judged.

use super::node::Node;
use super::text::Text;

/// Evidence of alerting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingElsewhere {
    /// Where the alert lives: `grafana`, `datadog`, `terraform`, `jsonnet`.
    pub system: &'static str,
    /// What stands there.
    pub what: Text,
    /// Whether it is where alerts go (a contact point, a service of PagerDuty), not an alert.
    pub is_receiver: bool,
}

/// Resources of Terraform that are alerts, and those that are receivers.
const TERRAFORM: [(&str, bool); 22] = [
    ("datadog_monitor", false),
    ("datadog_service_level_objective", false),
    ("aws_cloudwatch_metric_alarm", false),
    ("aws_cloudwatch_composite_alarm", false),
    ("aws_prometheus_rule_group_namespace", false),
    ("google_monitoring_alert_policy", false),
    ("azurerm_monitor_metric_alert", false),
    ("azurerm_monitor_scheduled_query_rules_alert", false),
    ("grafana_rule_group", false),
    ("newrelic_nrql_alert_condition", false),
    ("newrelic_alert_policy", false),
    ("signalfx_detector", false),
    ("honeycombio_trigger", false),
    ("pagerduty_service", true),
    ("pagerduty_escalation_policy", true),
    ("opsgenie_team", true),
    ("opsgenie_api_integration", true),
    ("grafana_contact_point", true),
    ("grafana_notification_policy", true),
    ("google_monitoring_notification_channel", true),
    ("azurerm_monitor_action_group", true),
    ("aws_sns_topic_subscription", true),
];

/// Whether a path may hold such evidence outside of YAML.
pub fn wants(path: &str) -> bool {
    [".tf", ".jsonnet", ".libsonnet"].iter().any(|ending| path.ends_with(ending))
}

/// Reads Terraform or jsonnet by its resources' names.
pub fn read_text(path: &str, text: &str) -> Vec<AlertingElsewhere> {
    let mut found = Vec::new();
    if path.ends_with(".tf") {
        for (at, line) in super::text::lines(text) {
            let Some(rest) = line.trim_start().strip_prefix("resource") else { continue };
            let kind = rest.split('"').nth(1).unwrap_or_default();
            if let Some((_, is_receiver)) = TERRAFORM.iter().find(|(name, _)| *name == kind) {
                let what = Text::new(kind, at..at + line.len());
                found.push(AlertingElsewhere {
                    system: "terraform",
                    what,
                    is_receiver: *is_receiver,
                });
            }
        }
        return found;
    }
    for (at, line) in super::text::lines(text) {
        let trimmed = line.trim_start();
        if trimmed.starts_with("alert:") || trimmed.starts_with("prometheusAlerts") {
            let what = Text::new(trimmed, at..at + line.len());
            found.push(AlertingElsewhere { system: "jsonnet", what, is_receiver: false });
        }
    }
    found
}

/// Reads a YAML or JSON document: Grafana's provisioning and Datadog's monitors.
pub fn read(root: &Node) -> Vec<AlertingElsewhere> {
    let mut found = Vec::new();
    let mut add = |system, what: Text, is_receiver| {
        found.push(AlertingElsewhere { system, what, is_receiver });
    };
    for group in root.get("groups").items() {
        for rule in group.get("rules").items() {
            if rule.has("condition") && rule.has("data") && !rule.has("alert") {
                let what = rule.text_at("title").unwrap_or_else(|| Text::new("rule", rule.span));
                add("grafana", what, false);
            }
        }
    }
    for point in root.get("contactPoints").items() {
        for receiver in point.get("receivers").items() {
            let kind = receiver.text_at("type").unwrap_or_else(|| Text::new("", receiver.span));
            let mut is_placeholder = false;
            receiver.walk(&mut |_, node| {
                is_placeholder |= node.text().is_some_and(super::alertmanager::is_placeholder);
            });
            if !is_placeholder {
                add("grafana", kind, true);
            }
        }
    }
    let is_datadog = root.get("type").text().is_some_and(|kind| kind.ends_with(" alert"));
    if is_datadog && root.has("query") && root.has("message") {
        add(
            "datadog",
            root.text_at("name").unwrap_or_else(|| Text::new("monitor", root.span)),
            false,
        );
    }
    // Rules of Prometheus before 2.0, which are no YAML.
    if root.get("kind").text() == Some("ConfigMap") {
        for (_, value) in root.get("data").entries() {
            let text = value.text().unwrap_or_default();
            let mut lines = text.lines().map(str::trim_start);
            if lines.by_ref().any(|line| line.starts_with("ALERT "))
                && lines.any(|line| line.starts_with("IF "))
            {
                add("prometheus", Text::new("ALERT", value.span), false);
            }
        }
    }
    if root.get("kind").text() == Some("DatadogMonitor") {
        add("datadog", root.text_at("metadata.name").unwrap_or_default(), false);
    }
    found
}

/// Reads any bytes as such evidence, for the fuzzer.
pub fn fuzz_audit_alerting(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (read_text("a.tf", &text), read_text("a.jsonnet", &text));
    for document in super::yaml::read(&text).documents {
        let _ = read(&document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terraform_and_grafana() {
        let found = read_text(
            "a.tf",
            "resource \"pagerduty_service\" \"x\" {}\nresource \"aws_s3_bucket\" \"b\" {}\n",
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].is_receiver);
        let text = "apiVersion: 1\ngroups: [{orgId: 1, name: g, rules: [{uid: a, title: High, condition: C, data: []}]}]\ncontactPoints: [{name: c, receivers: [{type: email, settings: {addresses: a@example.com}}]}]\n";
        let found = read(&crate::files::yaml::read(text).documents[0]);
        assert_eq!(found.len(), 1, "the contact point is an example: {found:?}");
    }
}
