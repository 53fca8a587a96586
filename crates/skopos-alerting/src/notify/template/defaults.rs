//! The named texts that are always there. Their names are Alertmanager's, so that its template
//! files can call and replace them.
//!
//! The subject has Alertmanager's form to the letter, because filters of mailboxes and incident
//! rules look at it. The other texts are our own: they put the runbook first.

/// What the others are made of.
pub(super) const SHARED: &str = r#"
{{ define "__alertmanager" }}Skopos{{ end }}
{{ define "__alertmanagerURL" }}{{ .ExternalURL }}/alerts?receiver={{ .Receiver | urlquery }}{{ end }}
{{ define "__subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ len .Alerts.Firing }}{{ end }}] {{ join " " .GroupLabels.SortedPairs.Values }} {{ if gt (len .CommonLabels) (len .GroupLabels) }}({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ join " " .Values }}{{ end }}){{ end }}
{{- end }}
{{ define "__description" }}{{ end }}
{{ define "skopos.headline" }}{{ with .Annotations.summary }}{{ . }}{{ else }}{{ .Labels.alertname }}{{ end }}{{ end }}
{{ define "__text_alert_list" }}{{ range . }}{{ template "skopos.headline" . }}
{{ with .Annotations.runbook_url }}Runbook: {{ . }}
{{ else }}{{ with .Annotations.runbook }}Runbook: {{ . }}
{{ end }}{{ end }}Labels: {{ .Labels.SortedPairs }}
{{ with .Annotations.Remove (stringSlice "summary" "runbook_url" "runbook") }}{{ range .SortedPairs }}{{ .Name }}: {{ .Value }}
{{ end }}{{ end }}{{ with .GeneratorURL }}Source: {{ . }}
{{ end }}{{ end }}{{ end }}
{{ define "__text_alert_list_markdown" }}{{ range . }}**{{ template "skopos.headline" . }}**
{{ with .Annotations.runbook_url }}
[Runbook]({{ . }})
{{ else }}{{ with .Annotations.runbook }}
Runbook: {{ . }}
{{ end }}{{ end }}
{{ range .Labels.SortedPairs }}- {{ .Name }} = {{ .Value }}
{{ end }}{{ with .Annotations.Remove (stringSlice "summary" "runbook_url" "runbook") }}{{ range .SortedPairs }}- {{ .Name }}: {{ .Value }}
{{ end }}{{ end }}{{ with .GeneratorURL }}
[Source]({{ . }})
{{ end }}
{{ end }}{{ end }}
{{ define "skopos.lists" }}{{ if .Alerts.Firing }}Firing:
{{ template "__text_alert_list" .Alerts.Firing }}{{ end }}{{ if .Alerts.Resolved }}Resolved:
{{ template "__text_alert_list" .Alerts.Resolved }}{{ end }}{{ end }}
{{ define "skopos.lists.markdown" }}{{ if .Alerts.Firing }}# Firing
{{ template "__text_alert_list_markdown" .Alerts.Firing }}{{ end }}{{ if .Alerts.Resolved }}# Resolved
{{ template "__text_alert_list_markdown" .Alerts.Resolved }}{{ end }}{{ end }}
"#;

/// What the kinds of receivers are told.
pub(super) const RECEIVERS: &str = r##"
{{ define "slack.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "slack.default.fallback" }}{{ template "slack.default.title" . }} | {{ template "slack.default.titlelink" . }}{{ end }}
{{ define "slack.default.callbackid" }}{{ end }}
{{ define "slack.default.pretext" }}{{ end }}
{{ define "slack.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "slack.default.iconemoji" }}{{ end }}
{{ define "slack.default.iconurl" }}{{ end }}
{{ define "slack.default.text" }}{{ range .Alerts }}{{ if eq .Status "resolved" }}Resolved: {{ end }}{{ template "skopos.headline" . }}{{ with .Annotations.runbook_url }} (<{{ . }}|runbook>){{ end }}
{{ end }}{{ end }}
{{ define "slack.default.footer" }}{{ end }}

{{ define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end }}
{{ define "pagerduty.default.client" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "pagerduty.default.clientURL" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "pagerduty.default.instances" }}{{ template "__text_alert_list" . }}{{ end }}

{{ define "opsgenie.default.message" }}{{ template "__subject" . }}{{ end }}
{{ define "opsgenie.default.description" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "opsgenie.default.source" }}{{ template "__alertmanagerURL" . }}{{ end }}

{{ define "msteams.default.summary" }}{{ template "__subject" . }}{{ end }}
{{ define "msteams.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "msteams.default.text" }}{{ template "skopos.lists.markdown" . }}{{ end }}
{{ define "msteamsv2.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "msteamsv2.default.text" }}{{ template "skopos.lists.markdown" . }}{{ end }}

{{ define "discord.default.content" }}{{ end }}
{{ define "discord.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "discord.default.message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "jira.default.summary" }}{{ template "__subject" . }}{{ end }}
{{ define "jira.default.description" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "jira.default.priority" }}{{ end }}
{{ define "mattermost.default.text" }}{{ template "skopos.lists.markdown" . }}{{ end }}
{{ define "mattermost.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "pushover.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "pushover.default.message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "pushover.default.url" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "rocketchat.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "rocketchat.default.alias" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "rocketchat.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "rocketchat.default.emoji" }}{{ end }}
{{ define "rocketchat.default.iconurl" }}{{ end }}
{{ define "rocketchat.default.text" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "sns.default.subject" }}{{ template "__subject" . }}{{ end }}
{{ define "sns.default.message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "telegram.default.message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "victorops.default.state_message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "victorops.default.entity_display_name" }}{{ template "__subject" . }}{{ end }}
{{ define "victorops.default.monitoring_tool" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "webex.default.message" }}{{ template "skopos.lists" . }}{{ end }}
{{ define "wechat.default.message" }}{{ template "__subject" . }}
{{ template "skopos.lists" . }}{{ end }}
{{ define "wechat.default.to_user" }}{{ end }}
{{ define "wechat.default.to_party" }}{{ end }}
{{ define "wechat.default.to_tag" }}{{ end }}
{{ define "wechat.default.agent_id" }}{{ end }}
"##;

/// E-mails: a page that needs no picture and no style sheet, and a plain text.
pub(super) const EMAIL: &str = r##"
{{ define "email.default.subject" }}{{ template "__subject" . }}{{ end }}
{{ define "email.default.text" }}{{ template "skopos.lists" . }}
{{ template "__alertmanagerURL" . }}
{{ end }}
{{ define "skopos.email.alert" }}<tr><td style="padding: 10px 14px; border-left: 4px solid {{ if eq .Status "firing" }}#c0392b{{ else }}#27803b{{ end }}">
<strong>{{ template "skopos.headline" . }}</strong><br>
{{ with .Annotations.runbook_url }}<a href="{{ if match "^https?://" . }}{{ . }}{{ end }}">Runbook</a><br>{{ else }}{{ with .Annotations.runbook }}Runbook: {{ . }}<br>{{ end }}{{ end }}
<small style="color: #555">since {{ .StartsAt.Format "2006-01-02 15:04:05 MST" }}{{ if eq .Status "resolved" }}, over at {{ .EndsAt.Format "15:04:05 MST" }}{{ end }}</small>
<table style="font-size: 13px">{{ range .Labels.SortedPairs }}<tr><td style="color: #555">{{ .Name }}</td><td>{{ .Value }}</td></tr>{{ end }}
{{ with .Annotations.Remove (stringSlice "summary" "runbook_url" "runbook") }}{{ range .SortedPairs }}<tr><td style="color: #555">{{ .Name }}</td><td>{{ .Value }}</td></tr>{{ end }}{{ end }}</table>
{{ if match "^https?://" .GeneratorURL }}<a href="{{ .GeneratorURL }}">Source</a>{{ end }}
</td></tr>
{{ end }}
{{ define "email.default.html" }}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ template "__subject" . }}</title></head>
<body style="font-family: sans-serif; font-size: 14px; color: #111">
<h2 style="font-size: 16px">{{ template "__subject" . }}</h2>
<table style="border-collapse: separate; border-spacing: 0 8px">
{{ range .Alerts.Firing }}{{ template "skopos.email.alert" . }}{{ end }}{{ range .Alerts.Resolved }}{{ template "skopos.email.alert" . }}{{ end }}</table>
<p><a href="{{ template "__alertmanagerURL" . }}">Open in {{ template "__alertmanager" . }}</a></p>
</body></html>
{{ end }}
"##;
