//! The language of notification templates: functions, methods and data, against known outputs.

use std::collections::BTreeMap;

use skopos_alerting::notify::template::{TemplateData, Templates, fuzz_notification_template};
use skopos_alerting::notify::{
    Notification, NotificationReason, NotificationStatus, NotifiedAlert,
};
use skopos_model::{Labels, Timestamp};

use crate::fuzzing;

fn data() -> TemplateData {
    let alert = |instance: &str, over: bool| NotifiedAlert {
        labels: Labels::from_pairs([
            ("alertname", "Down"),
            ("instance", instance),
            ("job", "shop"),
        ]),
        annotations: BTreeMap::from([("summary".into(), "a <b> & 'c'".into())]),
        starts_at: Timestamp::from_secs(1_700_000_000),
        ends_at: over.then(|| Timestamp::from_secs(1_700_000_090)),
        generator_url: "http://p/graph".into(),
    };
    let notification = Notification {
        receiver: "team.x".into(),
        integration: 0,
        group_key: "{}:{alertname=\"Down\"}".into(),
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        status: NotificationStatus::Firing,
        alerts: vec![alert("a", false), alert("b", true)],
        reason: NotificationReason::NewAlerts,
        at: Timestamp::from_secs(1_700_000_100),
    };
    TemplateData::new(&notification, "http://am")
}

#[test]
fn texts_expand_as_alertmanagers_do() {
    let cases = [
        ("plain", "plain"),
        ("{{ .Receiver }} {{ .Status }} {{ .ExternalURL }}", r"team\.x firing http://am"),
        ("{{ len .Alerts }} {{ .Alerts.Firing | len }} {{ len .Alerts.Resolved }}", "2 1 1"),
        ("{{ .CommonLabels }}", "alertname=Down, job=shop"),
        ("{{ .CommonLabels.SortedPairs }}", "alertname=Down, job=shop"),
        ("{{ .CommonLabels.Names | join \",\" }}", "alertname,job"),
        ("{{ .CommonLabels.SortedPairs.Values | join \"/\" }}", "Down/shop"),
        ("{{ (.CommonLabels.Remove .GroupLabels.Names).Values | join \" \" }}", "shop"),
        (
            "{{ with .CommonLabels.Remove (stringSlice \"alertname\" \"job\") }}x{{ else }}none{{ end }}",
            "none",
        ),
        (
            "{{ range .CommonLabels.SortedPairs }}{{ .Name }}:{{ .Value }};{{ end }}",
            "alertname:Down;job:shop;",
        ),
        ("{{ range $k, $v := .GroupLabels }}{{ $k }}={{ $v }}{{ end }}", "alertname=Down"),
        ("{{ (index .Alerts 1).Labels.instance }}{{ .CommonLabels.missing }}", "b"),
        ("{{ (index .Alerts 0).Fingerprint | len }}", "16"),
        (
            "{{ .Status | toUpper }} {{ \"ÄB c\" | toLower }} {{ title \"hIGH error rATE\" }}",
            "FIRING äb c High Error Rate",
        ),
        ("{{ trimSpace \"  a  \" }}|{{ match \"^te\" .Receiver }}", "a|true"),
        ("{{ reReplaceAll \"(.)b\" \"$1-\" \"abcb\" }}", "a-c-"),
        ("{{ urlUnescape \"a%20b+c%26\" }} {{ \"a b&\" | urlquery }}", "a b c& a+b%26"),
        (
            "{{ (index .Alerts 0).StartsAt.Format \"2006-01-02T15:04:05Z07:00\" }}",
            "2023-11-14T22:13:20Z",
        ),
        (
            "{{ date \"Jan 2 15:04 MST\" (tz \"Europe/Athens\" (index .Alerts 0).StartsAt) }}",
            "Nov 15 00:13 EET",
        ),
        (
            "{{ (index .Alerts 0).StartsAt | tz \"America/New_York\" | date \"15:04:05 -0700\" }}",
            "17:13:20 -0500",
        ),
        (
            "{{ since (index .Alerts 0).StartsAt }} {{ since (index .Alerts 0).StartsAt | humanizeDuration }}",
            "1m40s 1m 40s",
        ),
        (
            "{{ with index .Alerts 1 }}{{ .EndsAt.Sub .StartsAt }} {{ (.EndsAt.Sub .StartsAt).Minutes }}{{ end }}",
            "1m30s 1.5",
        ),
        (
            "{{ (index .Alerts 0).EndsAt }} {{ (index .Alerts 0).EndsAt.IsZero }}",
            "0001-01-01 00:00:00 +0000 UTC true",
        ),
        (
            "{{ (index .Alerts 1).StartsAt.Weekday }} {{ (index .Alerts 1).StartsAt.Month }}",
            "Tuesday November",
        ),
        (
            "{{ toJson .GroupLabels }} {{ toJson (list 1 \"a\" true) }}",
            "{\"alertname\":\"Down\"} [1,\"a\",true]",
        ),
        (
            "{{ $d := dict \"a\" 1 \"b\" \"x\" }}{{ $d.b }}{{ range append (list \"y\") \"z\" }}{{ . }}{{ end }}",
            "xyz",
        ),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .Status }}", "<firing>"),
        ("{{ template \"__subject\" . }}", "[FIRING:1] Down (shop)"),
        ("{{ template \"__alertmanagerURL\" . }}", "http://am/alerts?receiver=team%5C.x"),
        ("{{ .NotificationReason }}", "new alerts in group"),
        ("{{ if and (eq .Status \"firing\") (gt (len .Alerts) 1) }}many{{ end }}", "many"),
        ("{{ printf \"%s:%d\" .Status (len .Alerts) }}", "firing:2"),
        ("{{ safeHtml \"<b>\" }}", "<b>"),
    ];
    let (templates, data) = (Templates::builtin(), data());
    let mut wrong = Vec::new();
    for (text, want) in cases {
        let got = templates.expand(text, &data).unwrap_or_else(|error| format!("error: {error}"));
        if got != want {
            wrong.push(format!("{text}\nwant {want}\ngot  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn html_is_escaped_unless_it_says_that_it_is_safe() {
    let (templates, data) = (Templates::builtin(), data());
    for (text, want) in [
        ("<p>{{ .CommonAnnotations.summary }}</p>", "<p>a &lt;b&gt; &amp; &#39;c&#39;</p>"),
        (
            "{{ safeHtml \"<b>\" }}{{ \"<\" | html }}{{ safeUrl \"http://x?a&b\" }}",
            "<b>&lt;http://x?a&b",
        ),
    ] {
        assert_eq!(templates.expand_html(text, &data).unwrap(), want);
    }
    let page = templates.expand_html("{{ template \"email.default.html\" . }}", &data).unwrap();
    assert!(page.contains("a &lt;b&gt;") && !page.contains("<b>"), "{page}");
}

#[test]
fn mistakes_are_errors_and_never_endless() {
    let (templates, data) = (Templates::builtin(), data());
    for (text, want) in [
        ("{{ .Nothing }}", "can't evaluate field Nothing in type *template.Data"),
        ("{{ template \"nowhere\" . }}", "template \"nowhere\" not defined"),
        ("{{ humanize 1 }}", "function \"humanize\" not defined"),
        ("{{ query \"up\" }}", "function \"query\" not defined"),
        (
            "{{ tz \"Mars/Olympus\" (index .Alerts 0).StartsAt }}",
            "error calling tz: unknown time zone Mars/Olympus",
        ),
        (
            "{{ join 1 .Alerts }}",
            "error calling join: wrong type for value; expected string; got int",
        ),
        ("{{ index .Alerts 7 }}", "error calling index: index out of range: 7"),
        (
            "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}",
            "templates call each other too deeply",
        ),
        (
            "{{ range 99999 }}{{ range 99999 }}x{{ end }}{{ end }}",
            "template takes more than 100000 steps",
        ),
    ] {
        let error = templates.expand(text, &data).expect_err(text);
        assert_eq!(error.message, want, "{text}");
    }
}

#[test]
fn fuzz_notification_template_files() {
    fuzzing::run("notification_template", fuzz_notification_template);
}
