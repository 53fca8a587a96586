//! `alertmanager.yml`: what is accepted, what is refused and how that is said.

use std::path::{Path, PathBuf};

use skopos_alerting::alertmanager::{self, IntegrationKind, SecretSource, Settings};

use crate::fuzzing;

fn errors(text: &str) -> Vec<String> {
    match alertmanager::load("am.yml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|e| {
                let hint = e.hint.as_ref().map(|hint| format!(" [{hint}]")).unwrap_or_default();
                format!("{}:{}: {}{hint}", e.line, e.column, e.message)
            })
            .collect(),
    }
}

/// A configuration whose one receiver has the integration, and the error's messages.
fn integration(key: &str, body: &str) -> Vec<String> {
    errors(&format!("route: {{receiver: r}}\nreceivers:\n- name: r\n  {key}:\n  - {body}\n"))
}

#[test]
fn files_of_alertmanager_are_accepted_or_refused_as_their_names_say() {
    let folder = std::env::var_os("SKOPOS_CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let folder = folder.join("alertmanager");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no folder {}; set SKOPOS_CONFORMANCE_DIR", folder.display());
        return;
    };
    let mut seen = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // `default` and its kin name a feature; the others name a mistake.
        let good = ["default", "empty-fields", "group-by-all", "no-username-or-password"];
        let bad =
            ["both", "no-apikey", "nil-", "invalid", "old-team", "update-message-and-webhook"];
        let is_bad = bad.iter().any(|word| name.contains(word));
        assert!(is_bad || good.iter().any(|word| name.contains(word)), "{name}: which is it?");
        let found = errors(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(found.is_empty(), !is_bad, "{name}: {found:#?}");
        seen += 1;
    }
    println!("{seen} files");
}

/// A kind's key, one that is right, and mistakes with their messages.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// For each kind: one that is right with every key that matters, and mistakes with their messages.
#[test]
fn every_kind_of_receiver_is_checked() {
    let cases: &[Case] = &[
        (
            "discord_configs",
            "{webhook_url: 'https://d.example/x', content: c, title: t, message: m, username: u, avatar_url: a, send_resolved: false}",
            &[
                ("{title: x}", "a discord receiver needs `webhook_url` or `webhook_url_file`"),
                (
                    "{webhook_url: 'https://d.example', webhook_url_file: f}",
                    "at most one of `webhook_url` and `webhook_url_file` may be given",
                ),
            ],
        ),
        (
            "email_configs",
            "{to: 'a@example.org, b@example.org', from: s@example.org, smarthost: 'mail:25', headers: {subject: x}, require_tls: no, tls_config: {insecure_skip_verify: true}, threading: {enabled: true, thread_by_date: none}}",
            &[
                ("{from: s@example.org, smarthost: 'mail:25'}", "an email receiver needs `to`"),
                (
                    "{to: a, from: s, smarthost: mail}",
                    "`smarthost` must be host:port, found \"mail\"",
                ),
                (
                    "{to: a, smarthost: 'mail:25'}",
                    "an email receiver needs `from`, or `smtp_from` in global",
                ),
                (
                    "{to: a, from: s, smarthost: 'm:1', headers: {To: a, to: b}}",
                    "header \"To\" occurs twice",
                ),
            ],
        ),
        (
            "incidentio_configs",
            "{url: 'https://i.example/x', alert_source_token: t, max_alerts: 3, timeout: 1.5s}",
            &[(
                "{url: 'https://i.example/x'}",
                "an incidentio receiver needs `alert_source_token` or `alert_source_token_file`",
            )],
        ),
        (
            "jira_configs",
            "{api_url: 'https://j.example', api_type: cloud, project: P, issue_type: Bug, labels: [x], fields: {a: {b: 1}}, reopen_duration: 1h}",
            &[
                (
                    "{api_url: 'https://j.example', project: P}",
                    "a jira receiver needs `issue_type`",
                ),
                (
                    "{project: P, issue_type: Bug}",
                    "a jira receiver needs `api_url`, or `jira_api_url` in global",
                ),
            ],
        ),
        (
            "mattermost_configs",
            "{webhook_url: 'https://m.example/hooks/x', channel: c, attachments: [{title: t, fields: [{title: a, value: b, short: true}]}], props: {card: c}, priority: {priority: urgent, requested_ack: true}}",
            &[(
                "{channel: c}",
                "a mattermost receiver needs `webhook_url`, or `mattermost_webhook_url` in global",
            )],
        ),
        (
            "msteams_configs",
            "{webhook_url: 'https://t.example/x', title: t, summary: s, text: x}",
            &[("{title: t}", "an msteams receiver needs `webhook_url` or `webhook_url_file`")],
        ),
        (
            "msteamsv2_configs",
            "{webhook_url_file: f, title: t, text: x}",
            &[(
                "{webhook_url: x, summary: s}",
                "`webhook_url` must begin with http:// or https://",
            )],
        ),
        (
            "opsgenie_configs",
            "{api_key: k, responders: [{name: x, type: TEAM}, {name: y, type: '{{ .CommonLabels.kind }}'}], details: {a: '{{ .Status }}'}, update_alerts: true}",
            &[
                (
                    "{api_key: k, responders: [{type: team}]}",
                    "a responder needs `id` or `name` or `username`",
                ),
                (
                    "{api_key: k, responders: [{name: x, type: crowd}]}",
                    "a responder's `type` must be one of team, teams, user, escalation, schedule",
                ),
            ],
        ),
        (
            "pagerduty_configs",
            "{routing_key: k, details: {a: {b: '{{ .Status }}'}}, images: [{src: s, alt: a, href: h}], links: [{href: h, text: t}], class: c, component: c, group: g, severity: '{{ .CommonLabels.severity }}'}",
            &[
                (
                    "{client: x}",
                    "a pagerduty receiver needs `routing_key` or `routing_key_file` or `service_key` or `service_key_file`",
                ),
                (
                    "{routing_key: k, routing_key_file: f}",
                    "at most one of `routing_key` and `routing_key_file` may be given",
                ),
            ],
        ),
        (
            "pushover_configs",
            "{user_key: u, token_file: t, retry: 1m, expire: 1h, ttl: 90s, html: true}",
            &[
                ("{user_key: u}", "a pushover receiver needs `token` or `token_file`"),
                (
                    "{user_key: u, token: t, html: true, monospace: true}",
                    "at most one of `html` and `monospace` may be true",
                ),
            ],
        ),
        (
            "rocketchat_configs",
            "{token: t, token_id: i, channel: c, fields: [{title: a, value: b}], actions: [{type: button, text: t, msg: m}]}",
            &[(
                "{token_id: i}",
                "a rocketchat receiver needs `token`, or `rocketchat_token` in global",
            )],
        ),
        (
            "slack_configs",
            "{api_url: 'https://s.example/x', channel: c, fields: [{title: a, value: b, short: true}], actions: [{type: button, text: t, name: n, confirm: {text: sure}}], mrkdwn_in: [text], timeout: 5s}",
            &[
                (
                    "{channel: c}",
                    "a slack receiver needs `api_url` or `app_token`, its own or in global",
                ),
                (
                    "{app_token: t, http_config: {authorization: {credentials: x}}}",
                    "`authorization` cannot stand beside a Slack app token",
                ),
                (
                    "{app_token: t, actions: [{type: button, text: t}]}",
                    "an action of a slack receiver needs `url` or `name`",
                ),
                (
                    "{app_token: t, threaded_options: {}}",
                    "`threaded_options` needs `message_strategy: thread`",
                ),
            ],
        ),
        (
            "sns_configs",
            "{topic_arn: t, sigv4: {region: r, access_key: a, secret_key: s}, attributes: {a: b}}",
            &[
                (
                    "{subject: s}",
                    "an sns receiver needs `topic_arn` or `phone_number` or `target_arn`",
                ),
                (
                    "{topic_arn: t, sigv4: {access_key: a}}",
                    "`access_key` and `secret_key` need each other",
                ),
            ],
        ),
        (
            "telegram_configs",
            "{bot_token: t, chat_id: -100, message_thread_id: 3, parse_mode: MarkdownV2}",
            &[
                ("{bot_token: t}", "a telegram receiver needs `chat_id` or `chat_id_file`"),
                (
                    "{bot_token: t, chat_id: 1, parse_mode: Latex}",
                    "`parse_mode` must be one of \"\", \"Markdown\", \"MarkdownV2\", \"HTML\", found \"Latex\"",
                ),
            ],
        ),
        (
            "victorops_configs",
            "{api_key: k, routing_key: r, custom_fields: {a: b}}",
            &[(
                "{api_key: k, routing_key: r, custom_fields: {entity_id: b}}",
                "\"entity_id\" is a field of VictorOps' own",
            )],
        ),
        (
            "webex_configs",
            "{room_id: r, http_config: {authorization: {credentials: c}}}",
            &[("{room_id: r}", "a webex receiver needs `http_config` with `authorization`")],
        ),
        (
            "webhook_configs",
            "{url: 'http://w.example', max_alerts: 5, timeout: 10s, http_config: {basic_auth: {username: u, password_file: f}, proxy_url: 'http://p:3128', http_headers: {X-A: {values: [v], secrets: [s]}}}}",
            &[
                ("{}", "a webhook receiver needs `url` or `url_file`"),
                ("{url: 'ftp://x'}", "`url` must begin with http:// or https://"),
                ("{url: 'http://'}", "`url` names no host"),
                (
                    "{url: 'http://x', max_alerts: many}",
                    "`max_alerts` must be a whole number, found \"many\"",
                ),
                (
                    "{url: 'http://x', http_config: {basic_auth: {username: u}, bearer_token: t}}",
                    "at most one of `basic_auth` and `bearer_token` may be given",
                ),
                (
                    "{url: 'http://x', http_config: {tls_config: {cert_file: c}}}",
                    "a certificate needs its key, and a key its certificate",
                ),
            ],
        ),
        (
            "wechat_configs",
            "{api_secret: s, corp_id: c, message_type: markdown}",
            &[(
                "{api_secret: s, corp_id: c, message_type: poem}",
                "`message_type` must be \"text\" or \"markdown\"",
            )],
        ),
    ];
    assert_eq!(cases.len(), IntegrationKind::ALL.len());
    let mut wrong = Vec::new();
    for (key, good, bad) in cases {
        assert_eq!(integration(key, good), Vec::<String>::new(), "{key}: {good}");
        let unknown = integration(key, "{send_resolvd: true}");
        let want = "5:6: unknown key \"send_resolvd\"";
        let is_it = |e: &String| e.starts_with(want) && e.contains("`send_resolved`");
        assert!(unknown.iter().any(is_it), "{unknown:?}");
        for (body, want) in *bad {
            let found = integration(key, body);
            if !found.iter().any(|e| e.contains(want)) {
                wrong.push(format!("{key} {body}: {found:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_frame_is_checked() {
    let receivers = "receivers:\n- name: a\n";
    for (text, want) in [
        ("", "1:1: the configuration needs a `route`"),
        (receivers, "1:1: the configuration needs a `route`"),
        ("rout: {}\n", "1:1: unknown key \"rout\" in the configuration [did you mean `route`?]"),
        ("route: {receiver: b}\nreceivers:\n- name: bb\n", "1:19: there is no receiver \"b\""),
        (
            "route: {receiver: a, matchers: ['x=\"y\"']}\nreceivers:\n- name: a\n",
            "1:33: the root route must have no matchers: it takes every alert",
        ),
        (
            "route: {receiver: a, continue: true}\nreceivers:\n- name: a\n",
            "1:8: `continue` has no meaning in the root route",
        ),
        (
            "route: {receiver: a, group_by: [x, ...]}\nreceivers:\n- name: a\n",
            "1:36: `...` groups by all labels: nothing else may stand beside it",
        ),
        (
            "route: {receiver: a, group_interval: 0s}\nreceivers:\n- name: a\n",
            "1:38: `group_interval` must not be zero",
        ),
        (
            "route:\n  receiver: a\n  routes:\n  - mute_time_intervals: [weekend]\nreceivers:\n- name: a\ntime_intervals:\n- name: weekends\n",
            "4:27: there is no time interval \"weekend\" [did you mean `weekends`?]",
        ),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\n- name: a\n",
            "4:9: receiver \"a\" occurs twice",
        ),
        ("route: {receiver: a}\nreceivers:\n- slack_configs: []\n", "3:3: a receiver needs a name"),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\n  slak_configs: []\n",
            "4:3: unknown key \"slak_configs\" in a receiver [did you mean `slack_configs`?]",
        ),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\ninhibit_rules:\n- source_match_re: {x: }\n",
            "5:21: `source_match_re`: label \"x\" has no regular expression",
        ),
        (
            "global: {slack_app_token: t, slack_api_url: 'https://x/y'}\nroute: {receiver: a}\nreceivers:\n- name: a\n",
            "1:30: `slack_app_token` and `slack_api_url` exclude each other",
        ),
        (
            "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: http://x\n  slack_configs:\n  - api_url: http://x\n    title: '{{ .Status | toUper }}'\n",
            "8:26: template of `title`: function \"toUper\" not defined [did you mean `toUpper`?]",
        ),
    ] {
        let found = errors(text);
        assert!(found.iter().any(|e| e.starts_with(want)), "{text}\nwant {want}\ngot {found:#?}");
    }
}

#[test]
fn secrets_show_in_no_error_and_no_output() {
    for text in [
        "receivers:\n- name: r\n  slack_configs:\n  - {api_url: 'https://x/hunter2', api_urll: https://x/hunter2}\n",
        "receivers:\n- name: r\n  slack_configs:\n  - {bad: 1, api_url: https://x/hunter2}\n",
        "receivers:\n- name: r\n  slack_configs:\n  - api_url: hunter2\n",
        "global: {smtp_auth_password: [hunter2]}\n",
        "receivers:\n- name: r\n  webhook_configs:\n  - http_config: {proxy_connect_header: {A: [hunter2]}, http_headers: {B: {secrets: [hunter2]}}, x: 1}\n",
        "route: {receiver: r}\nglobal:\n  slack_api_url: 'https://x/hunter2' : x\n",
        // No YAML at all: nothing but the keys that lines begin with is shown.
        "receivers:\n- name: r\n  opsgenie_configs: [ { api_key: \"hunter2\n",
        "receivers:\n- name: r\n  opsgenie_configs:\n  - api_key: \"hunter2\n    hunter2\n",
        "route: {receiver: r, a: [hunter2}\n",
        "\thunter2\n",
        // Users in URLs, in keys that are no secrets and in those that are not known.
        "receivers:\n- name: r\n  pagerduty_configs:\n  - {bad: 1, routing_key: k, url: 'http://u:hunter2@h:1/'}\n",
        "receivers:\n- name: r\n  pagerduty_configs:\n  - {bad: 1, client_url: 'http://hunter2@h'}\n",
    ] {
        let found = alertmanager::load("am.yml", text).unwrap_err();
        for error in &found {
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
    let text = "route: {receiver: r}\nreceivers:\n- name: r\n  slack_configs:\n  - api_url: https://x/hunter2\n    channel: c\n";
    let config = alertmanager::load("am.yml", text).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let shown = config.source.redacted();
    assert_eq!(shown, text.replace("x/hunter2", "<secret>"));
    let again = alertmanager::load("am.yml", &shown).unwrap_err();
    let message = "`api_url` was printed by a program that hides secrets";
    assert!(again.iter().any(|error| error.message == message), "{again:?}");
}

#[test]
fn global_settings_and_defaults_reach_the_integrations() {
    let text = "
global:
  slack_app_token: xoxb-1
  opsgenie_api_key_file: og.key
  smtp_smarthost: mail:465
  smtp_from: skopos@example.org
  smtp_require_tls: false
  http_config: {follow_redirects: false}
route: {receiver: r, routes: [{receiver: r, continue: true, group_by: ['...'], repeat_interval: 1d}]}
receivers:
- name: r
  slack_configs:
  - channel: '#a'
  - api_url: https://hooks.example/x
    send_resolved: true
  opsgenie_configs: [{}]
  email_configs: [{to: a@example.org, html: ''}]
  telegram_configs: [{bot_token: t, chat_id: 1}]
templates: ['*.tmpl']
";
    let config = alertmanager::load("/etc/am/am.yml", text).unwrap();
    let integrations = &config.receiver("r").unwrap().integrations;
    let kinds: Vec<_> = integrations.iter().map(|i| (i.kind.name(), i.send_resolved)).collect();
    assert_eq!(
        kinds,
        [
            ("slack", false),
            ("slack", true),
            ("opsgenie", true),
            ("email", false),
            ("telegram", true)
        ]
    );
    let Settings::Slack(slack) = &integrations[0].settings else { panic!() };
    assert_eq!(slack.url, SecretSource::inline("https://slack.com/api/chat.postMessage"));
    let authorization = integrations[0].http.authorization.as_ref().unwrap();
    assert_eq!(authorization.credentials, Some(SecretSource::inline("xoxb-1")));
    assert!(!integrations[0].http.follow_redirects);
    assert!(integrations[1].http.authorization.is_none(), "a webhook's URL needs no token");
    let Settings::OpsGenie(opsgenie) = &integrations[2].settings else { panic!() };
    assert_eq!(opsgenie.api_key, SecretSource::File("og.key".into()));
    let Settings::Email(email) = &integrations[3].settings else { panic!() };
    assert!(email.implicit_tls && !email.require_tls && email.html.is_empty());
    assert_eq!(email.from, "skopos@example.org");
    let why = integrations[4].undeliverable().unwrap();
    assert_eq!(why, "Skopos does not deliver to telegram");
    assert!(integrations[..4].iter().all(|i| i.undeliverable().is_none()));
    assert_eq!(config.source.resolve("*.tmpl"), Path::new("/etc/am/*.tmpl"));
    let child = &config.route.routes[0];
    assert_eq!(child.repeat_interval.unwrap().as_secs(), 86_400);
    assert!(child.continues);
}

#[test]
fn fuzz_alertmanager_config() {
    fuzzing::run("alertmanager_config", alertmanager::fuzz_alertmanager_config);
}
