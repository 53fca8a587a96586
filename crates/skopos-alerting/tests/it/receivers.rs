//! What receivers are told, to the byte, and what their answers mean. The expected texts stand in
//! `tests/golden/receivers`; `SKOPOS_UPDATE_GOLDEN=1` writes them anew, to be read before they are
//! committed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use skopos_alerting::alertmanager::{self, Config, Integration, SecretSource};
use skopos_alerting::notify::receivers::{Answer, Judgement, Outgoing};
use skopos_alerting::notify::template::Templates;
use skopos_alerting::notify::{
    Notification, NotificationReason, NotificationStatus, NotifiedAlert,
};
use skopos_model::{Labels, Timestamp};

const EXTERNAL_URL: &str = "https://skopos.example";
const START: i64 = 1_700_000_000;

fn alert(instance: &str, ends_after: Option<i64>) -> NotifiedAlert {
    NotifiedAlert {
        labels: Labels::from_pairs([
            ("alertname", "HighErrorRate"),
            ("instance", instance),
            ("service", "checkout"),
            ("severity", "P1"),
        ]),
        annotations: BTreeMap::from([
            ("summary".into(), "5% of <checkout> fail & more".into()),
            ("runbook_url".into(), "https://runbooks.example/high-error-rate".into()),
            ("owner".into(), format!("team of {instance}")),
        ]),
        starts_at: Timestamp::from_secs(START),
        ends_at: ends_after.map(|after| Timestamp::from_millis(START * 1000 + after)),
        generator_url: "https://skopos.example/graph?g0.expr=up&g0.tab=1".into(),
    }
}

fn notification(alerts: Vec<NotifiedAlert>) -> Notification {
    let fires = alerts.iter().any(|alert| alert.ends_at.is_none());
    let (status, reason) = match fires {
        true => (NotificationStatus::Firing, NotificationReason::First),
        false => (NotificationStatus::Resolved, NotificationReason::AllResolved),
    };
    Notification {
        receiver: "team+checkout".into(),
        integration: 0,
        group_key: "{}/{severity=\"P1\"}:{alertname=\"HighErrorRate\"}".into(),
        group_labels: Labels::from_pairs([("alertname", "HighErrorRate")]),
        status,
        alerts,
        reason,
        at: Timestamp::from_secs(START + 90),
    }
}

fn firing() -> Notification {
    notification(vec![alert("a:80", None), alert("b:80", None), alert("c:80", Some(61_500))])
}

fn resolved() -> Notification {
    notification(vec![alert("a:80", Some(61_500)), alert("b:80", Some(75_000))])
}

fn config(integration: &str) -> Config {
    let text = format!("route: {{receiver: r}}\nreceivers:\n- name: r\n{integration}");
    alertmanager::load("am.yml", &text).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn integration(text: &str) -> Integration {
    config(text).receivers.remove(0).integrations.remove(0)
}

/// A readable form: JSON bodies spread over lines.
fn show(outgoing: &Outgoing) -> String {
    match outgoing {
        Outgoing::Http(requests) => requests
            .iter()
            .map(|request| {
                let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
                let key = request.key_field.as_ref().map(|k| format!(" (key in `{k}`)"));
                let method = serde_json::to_value(request.method).unwrap();
                format!(
                    "{} {:?}{}\n{}\n",
                    method.as_str().unwrap(),
                    request.path,
                    key.unwrap_or_default(),
                    serde_json::to_string_pretty(&body).unwrap()
                )
            })
            .collect(),
        Outgoing::Mail(mail) => {
            let headers: String =
                mail.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            format!(
                "from {}\nto {}\n{headers}\n--- text\n{}--- html\n{}",
                mail.from, mail.to, mail.text, mail.html
            )
        }
        _ => unreachable!(),
    }
}

#[test]
fn payloads_are_as_written_down() {
    let cases = [
        ("webhook", "  webhook_configs: [{url: 'http://w.example/hunter2', max_alerts: 2}]\n"),
        ("pagerduty", "  pagerduty_configs: [{routing_key: hunter2}]\n"),
        (
            "pagerduty_full",
            "  pagerduty_configs:
  - routing_key_file: key
    url: https://events.eu.example/v2/enqueue
    description: '{{ .CommonAnnotations.summary | title }}'
    severity: '{{ if eq .CommonLabels.severity \"P1\" }}critical{{ else }}warning{{ end }}'
    class: '{{ .GroupLabels.alertname }}'
    component: '{{ .CommonLabels.service }}'
    group: shop
    details: {num_firing: '', who: {names: ['{{ range .Alerts }}{{ .Labels.instance }} {{ end }}'], count: 3}}
    links: [{href: 'https://wiki.example', text: '{{ .Receiver }}'}, {href: '{{ .CommonLabels.none }}', text: x}]
    images: [{src: 'https://i.example/x.png', alt: x}]
",
        ),
        ("pagerduty_v1", "  pagerduty_configs: [{service_key: hunter2}]\n"),
        ("slack", "  slack_configs: [{api_url: 'https://hooks.example/hunter2'}]\n"),
        (
            "slack_full",
            "  slack_configs:
  - app_token: hunter2
    channel: '#{{ .CommonLabels.service }}'
    title: '{{ len .Alerts.Firing }} firing'
    text: '{{ range .Alerts }}{{ .Labels.instance }}{{ \"\\n\" }}{{ end }}'
    message_text: hello
    fields: [{title: Service, value: '{{ .CommonLabels.service }}'}, {title: Long, value: v, short: false}]
    short_fields: true
    link_names: true
    mrkdwn_in: [text]
    actions: [{type: button, text: Runbook, url: '{{ (index .Alerts 0).Annotations.runbook_url }}'}, {type: button, text: Ack, name: ack, value: v, style: danger, confirm: {text: Sure?, ok_text: y}}]
",
        ),
        ("opsgenie", "  opsgenie_configs: [{api_key: hunter2}]\n"),
        (
            "opsgenie_full",
            "  opsgenie_configs:
  - api_key: hunter2
    api_url: https://api.eu.example
    message: '{{ range .Alerts }}{{ .Annotations.summary }} {{ end }}{{ range .Alerts }}{{ .Annotations.summary }} {{ end }}'
    responders: [{name: 'a,b', type: teams}, {username: 'x@example.org', type: user}, {name: '{{ .CommonLabels.none }}', type: team}]
    tags: 'x,,y'
    actions: restart
    priority: P1
    entity: '{{ .CommonLabels.service }}'
    note: n
    details: {firing: '{{ .Alerts.Firing | len }}'}
    update_alerts: true
",
        ),
        ("msteams", "  msteams_configs: [{webhook_url: 'https://t.example/hunter2'}]\n"),
        ("msteamsv2", "  msteamsv2_configs: [{webhook_url: 'https://t.example/hunter2'}]\n"),
        (
            "email",
            "  email_configs: [{to: 'a@example.org, B <b@example.org>', from: s@example.org, smarthost: 'm:25', text: '{{ template \"email.default.text\" . }}', headers: {x-team: '{{ .CommonLabels.service }}'}, threading: {enabled: true}}]\n",
        ),
    ];
    let templates = Templates::builtin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/receivers");
    let update = std::env::var_os("SKOPOS_UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, text) in cases {
        let integration = integration(text);
        for (state, notification) in [("firing", firing()), ("resolved", resolved())] {
            let outgoing = integration.render(&notification, &templates, EXTERNAL_URL).unwrap();
            let again = integration.render(&notification, &templates, EXTERNAL_URL).unwrap();
            assert_eq!(outgoing, again, "{name}: rendering is repeatable");
            let stored = outgoing.encode();
            assert!(!stored.contains("hunter2"), "{name}: a secret would be stored");
            assert_eq!(Outgoing::decode(&stored), Some(outgoing.clone()));
            let file = folder.join(format!("{name}.{state}.txt"));
            let shown = show(&outgoing);
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &shown).unwrap();
            } else if std::fs::read_to_string(&file).unwrap_or_default() != shown {
                wrong.push(format!("{}:\n{shown}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "differs from what is written down:\n{}", wrong.join("\n"));
}

#[test]
fn secrets_are_looked_up_when_sending() {
    let webhook = integration("  webhook_configs: [{url_file: secret/url}]\n");
    assert_eq!(webhook.endpoint(), Some(SecretSource::File("secret/url".into())));
    let pagerduty = integration("  pagerduty_configs: [{routing_key: hunter2}]\n");
    assert_eq!(pagerduty.key(), Some(SecretSource::inline("hunter2")));
    let rendered = pagerduty.render(&firing(), &Templates::builtin(), "").unwrap();
    let Outgoing::Http(requests) = rendered else { panic!() };
    let body: serde_json::Value =
        serde_json::from_str(&requests[0].body_with(Some("hunter2"))).unwrap();
    assert_eq!(body["routing_key"], "hunter2");
    // sha256 of the group's key, as Alertmanager has it.
    assert_eq!(
        body["dedup_key"],
        "27bed83da9f0ae9a52c5ef9bb4a06e09ec4418c6998c427162bd0bfa6b96001e"
    );
}

#[test]
fn large_events_and_texts_are_cut() {
    let mut large = firing();
    let text = "x".repeat(300_000);
    for alert in &mut large.alerts {
        alert.annotations.insert("long".into(), text.clone());
    }
    let pagerduty = integration(
        "  pagerduty_configs: [{routing_key: k, description: '{{ range .Alerts }}{{ .Annotations.long }}{{ end }}'}]\n",
    );
    let Ok(Outgoing::Http(requests)) = pagerduty.render(&large, &Templates::builtin(), "") else {
        panic!()
    };
    let event: serde_json::Value = serde_json::from_str(&requests[0].body).unwrap();
    assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), 1024);
    assert!(event["payload"]["custom_details"]["error"].is_string());
    let teams = integration(
        "  msteamsv2_configs: [{webhook_url: 'http://t', text: '{{ range .Alerts }}{{ .Annotations.long }}{{ end }}'}]\n",
    );
    let Ok(Outgoing::Http(requests)) = teams.render(&large, &Templates::builtin(), "") else {
        panic!()
    };
    assert!(requests[0].body.len() < 28_000);
}

#[test]
fn answers_are_judged() {
    let json = "application/json; charset=utf-8";
    let cases: &[(&str, u16, &str, &str, &str)] = &[
        ("webhook_configs: [{url: 'http://w'}]", 200, "", "", "delivered"),
        ("webhook_configs: [{url: 'http://w'}]", 204, "", "", "delivered"),
        ("webhook_configs: [{url: 'http://w'}]", 503, "", "secret", "retry: receiver answered 503"),
        ("webhook_configs: [{url: 'http://w'}]", 429, "", "", "retry: receiver answered 429"),
        ("webhook_configs: [{url: 'http://w'}]", 404, "", "", "failed: receiver answered 404"),
        ("webhook_configs: [{url: 'http://w'}]", 302, "", "", "failed: receiver answered 302"),
        ("slack_configs: [{api_url: 'http://s'}]", 200, "text/html", "ok", "delivered"),
        (
            "slack_configs: [{api_url: 'http://s'}]",
            404,
            "text/html",
            "channel_not_found",
            "failed: receiver answered 404: channel_not_found",
        ),
        (
            "slack_configs: [{api_url: 'http://s'}]",
            200,
            "text/html",
            "no_service",
            "failed: receiver answered 200: no_service",
        ),
        ("slack_configs: [{app_token: t}]", 200, json, r#"{"ok":true,"ts":"1"}"#, "delivered"),
        (
            "slack_configs: [{app_token: t}]",
            200,
            json,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            "failed: receiver answered 200: invalid_auth",
        ),
        (
            "slack_configs: [{app_token: t}]",
            200,
            json,
            r#"{"ok":false,"error":"ratelimited"}"#,
            "retry: receiver answered 200: ratelimited",
        ),
        (
            "pagerduty_configs: [{routing_key: k}]",
            202,
            json,
            r#"{"status":"success","message":"Event processed"}"#,
            "delivered",
        ),
        (
            "pagerduty_configs: [{routing_key: k}]",
            400,
            json,
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is too short","x"]}"#,
            "failed: receiver answered 400: Event object is invalid: 'routing_key' is too short, x",
        ),
        ("pagerduty_configs: [{routing_key: k}]", 403, "", "", "failed: receiver answered 403"),
        ("pagerduty_configs: [{service_key: k}]", 403, "", "", "retry: receiver answered 403"),
        (
            "opsgenie_configs: [{api_key: k}]",
            422,
            json,
            r#"{"message":"Request body is not processable."}"#,
            "failed: receiver answered 422: Request body is not processable.",
        ),
        ("opsgenie_configs: [{api_key: k}]", 202, json, "{}", "delivered"),
        ("msteams_configs: [{webhook_url: 'http://t'}]", 200, "", "1", "delivered"),
        (
            "msteams_configs: [{webhook_url: 'http://t'}]",
            200,
            "",
            "Microsoft Teams endpoint returned HTTP error 429",
            "retry: receiver answered 200: Microsoft Teams endpoint returned HTTP error 429",
        ),
        ("msteamsv2_configs: [{webhook_url: 'http://t'}]", 202, "", "", "delivered"),
    ];
    for (text, status, content_type, body, want) in cases {
        let integration = integration(&format!("  {text}\n"));
        let answer = Answer {
            status: *status,
            content_type,
            retry_after: Some(Duration::from_secs(7)),
            body: body.as_bytes(),
        };
        let got = match integration.judge(answer, &|said| said.replace("hunter2", "<secret>")) {
            Judgement::Delivered => "delivered".to_string(),
            Judgement::Failed { reason } => format!("failed: {reason}"),
            Judgement::Retry { reason, after } => {
                assert_eq!(after, Some(Duration::from_secs(7)));
                format!("retry: {reason}")
            }
        };
        assert_eq!(got, *want, "{text}");
    }
}

#[test]
fn templates_of_files_replace_and_extend_the_built_in_ones() {
    let config = config(
        "  slack_configs: [{api_url: 'http://s', title: '{{ template \"shop.title\" . }}', text: '{{ template \"shop.txt\" . }}'}]\n",
    );
    let mut templates = Templates::builtin();
    let missing = templates.check(&config);
    assert_eq!(missing.len(), 2);
    assert_eq!(missing[0].message, "template \"shop.title\" is not defined in any file");
    assert_eq!((missing[0].line, missing[0].column), (4, 62));
    templates
        .add_file(
            "shop.tmpl",
            "{{ define \"shop.title\" }}{{ template \"__subject\" . }}!{{ end }}{{ define \"shop.txt\" }}x{{ end }}{{ define \"__subject\" }}mine{{ end }}",
        )
        .unwrap();
    assert!(templates.check(&config).is_empty());
    let integration = &config.receivers[0].integrations[0];
    let Ok(Outgoing::Http(requests)) = integration.render(&firing(), &templates, "") else {
        panic!()
    };
    assert!(requests[0].body.contains(r#""title":"mine!""#), "{}", requests[0].body);
    let error = templates.add_file("bad.tmpl", "a\n  {{ define \"x\" }}").unwrap_err();
    assert_eq!(error.to_string(), "bad.tmpl:2:6: missing {{end}}");
}
