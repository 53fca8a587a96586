//! Templates against outputs worked out from Go's and Prometheus' documentation.

use std::collections::BTreeMap;

use skopos_alerting::template::{Template, TemplateData, TemplateHost, fuzz_template};
use skopos_model::{Labels, Timestamp};

struct Host;

impl TemplateHost for Host {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_353_755_652_000)
    }

    fn query(&self, expr: &str) -> Result<Vec<(Labels, f64)>, String> {
        let metric = |instance: &str, value| {
            let labels = Labels::from_pairs([("__name__", "metric"), ("instance", instance)]);
            (labels, value)
        };
        match expr {
            "metric" => Ok(vec![metric("b", 21.0), metric("a", 11.0)]),
            "empty" => Ok(Vec::new()),
            "sv" => Ok(vec![(Labels::from_pairs([("__value__", "a string")]), 1.0)]),
            other => Err(format!("unexpected query {other}")),
        }
    }
}

fn expand(text: &str) -> String {
    let data = TemplateData {
        labels: Labels::from_pairs([
            ("__name__", "up"),
            ("instance", "db-1.example.com:9100"),
            ("job", "shop"),
        ]),
        value: 0.123456,
        external_labels: BTreeMap::from([("region".to_string(), "eu".to_string())]),
        external_url: "http://skopos.example/path/prefix".into(),
    };
    match Template::parse(text) {
        Ok(template) => template.expand(&data, &Host),
        Err(error) => format!("parse error at {}: {error}", error.offset),
    }
}

/// Templates and what they expand to.
const KNOWN: &[(&str, &str)] = &[
    // Text, actions, trimming, comments.
    ("plain text", "plain text"),
    ("{{ 1 }}", "1"),
    ("a  {{- 1 -}}  b", "a1b"),
    ("a {{/* nothing */}}b", "a b"),
    ("a {{- /* nothing */ -}} b", "ab"),
    ("{{ \"{{\" }}x{{ `}}` }}", "{{x}}"),
    // Variables and fields.
    ("{{ $value }}", "0.123456"),
    ("{{ .Value }} {{ $.Value }}", "0.123456 0.123456"),
    ("{{ $labels.job }}/{{ .Labels.job }}/{{ $labels.missing }}", "shop/shop/"),
    ("{{ $externalLabels.region }} {{ $externalURL }}", "eu http://skopos.example/path/prefix"),
    ("{{ $labels }}", "map[__name__:up instance:db-1.example.com:9100 job:shop]"),
    ("{{ $x := 5 }}{{ $x }}{{ $x = 6 }}{{ $x }}", "56"),
    // Control.
    ("{{ if $labels.job }}yes{{ else }}no{{ end }}", "yes"),
    (
        "{{ if eq $labels.job \"x\" }}a{{ else if eq .Labels.job \"shop\" }}b{{ else }}c{{ end }}",
        "b",
    ),
    ("{{ with $labels.cluster -}} in {{ . }} {{- end }}.", "."),
    ("{{ with $labels.job -}} in {{ . }} {{- end }}.", "in shop."),
    ("{{ with $x := $labels.job }}{{ $x }}{{ else }}none{{ end }}", "shop"),
    ("{{ range $k, $v := $externalLabels }}{{ $k }}={{ $v }};{{ end }}", "region=eu;"),
    ("{{ range query \"metric\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}", "b:21 a:11 "),
    (
        "{{ range query \"metric\" | sortByLabel \"instance\" }}{{ .Labels.instance }}{{ end }}",
        "ab",
    ),
    ("{{ range $i, $s := query \"metric\" }}{{ $i }}{{ $s.Value }};{{ end }}", "021;111;"),
    ("{{ range query \"empty\" }}x{{ else }}nothing{{ end }}", "nothing"),
    (
        "{{ range query \"metric\" }}{{ if eq .Labels.instance \"a\" }}{{ break }}{{ end }}{{ .Value }}{{ end }}",
        "21",
    ),
    (
        "{{ range query \"metric\" }}{{ if eq .Labels.instance \"b\" }}{{ continue }}{{ end }}{{ .Value }}{{ end }}",
        "11",
    ),
    ("{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" $labels.job }}", "<shop>"),
    (
        "{{ define \"x\" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template \"x\" (args 1 \"b\") }}",
        "1-b",
    ),
    ("{{ define \"x\" }}<{{ . }}>{{ end }}{{ tmpl \"x\" 5 }}", "<5>"),
    // Queries.
    ("{{ query \"metric\" | first | value }}", "21"),
    ("{{ query \"metric\" | first | label \"instance\" }}", "b"),
    ("{{ (query \"metric\" | first).Labels.instance }}", "b"),
    ("{{ with query \"metric\" }}{{ . | first | value | humanize }}{{ end }}", "21"),
    ("{{ query \"sv\" | first | strvalue }}", "a string"),
    ("{{ len (query \"metric\") }}", "2"),
    // Numbers.
    ("{{ $value | humanizePercentage }}", "12.35%"),
    ("{{ 1234567 | humanize }} {{ \"1048576\" | humanize1024 }}", "1.235M 1Mi"),
    ("{{ 5400.2 | humanizeDuration }}", "1h 30m 0s"),
    ("{{ \"43200\" | humanizeDuration }}", "12h 0m 0s"),
    ("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC"),
    ("{{ (1435065584.128 | toTime).Format \"2006\" }}", "2015"),
    ("{{ 1800 | toDuration }}", "30m0s"),
    ("{{ printf \"%.2f\" $value }} {{ printf \"%.4g\" 1234567.0 }}", "0.12 1.235e+06"),
    ("{{ $value | printf \"%.1f\" }}", "0.1"),
    ("{{ printf \"%d of %s\" 3 \"x\" }}", "3 of x"),
    ("{{ \"1h30m\" | parseDuration }}", "5400"),
    ("{{ now }}", "1.353755652e+09"),
    ("{{ 0x1f }} {{ 1e3 }} {{ -2 }} {{ 'a' }}", "31 1000 -2 97"),
    // Texts.
    ("{{ \"aa bb\" | title }} {{ \"a\" | toUpper }} {{ \"B\" | toLower }}", "Aa Bb A b"),
    ("{{ match \"a+\" \"caab\" }} {{ reReplaceAll \"(a)b\" \"x$1\" \"ab\" }}", "true xa"),
    ("{{ $labels.instance | stripPort }}", "db-1.example.com"),
    ("{{ $labels.instance | stripDomain }}", "db-1:9100"),
    ("{{ \"192.0.2.1:80\" | stripDomain }} {{ \"[::1]:80\" | stripPort }}", "192.0.2.1:80 ::1"),
    ("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
    ("{{ tableLink \"up\" }}", "/graph?g0.expr=up&g0.tab=1"),
    ("{{ externalURL }} {{ pathPrefix }}", "http://skopos.example/path/prefix /path/prefix"),
    ("{{ \"<b>\" | safeHtml }}{{ \"<\" | html }}", "<b>&lt;"),
    ("{{ index $labels \"job\" }} {{ slice \"abcdef\" 1 3 }}", "shop bc"),
    // Comparison and logic.
    ("{{ and 1 0 }} {{ or 0 \"x\" }} {{ not 0 }}", "0 x true"),
    (
        "{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 2 3 }}{{ ne 1 2 }}{{ eq 1 2 1 }}",
        "truetruefalsefalsetruetrue",
    ),
    ("{{ gt $value 0.1 }}", "true"),
    ("{{ print 1 2 \"a\" \"b\" 3 }}", "1 2ab3"),
    ("{{ println 1 2 \"a\" \"b\" }}", "1 2 a b\n"),
    ("{{ js \"it's <b>\" }} {{ urlquery \"a b\" \"&\" }}", "it\\'s \\u003Cb\\u003E a+b%26"),
    ("{{ urlQueryEscape \"/user?name=x y\" }}", "%2Fuser%3Fname%3Dx+y"),
    // The known answers of Prometheus' own functions at their edges.
    (
        "{{ range (query \"metric\") }}{{ humanize 0.0 }}:{{ humanize1024 0.0 }};{{ end }}",
        "0:0;0:0;",
    ),
    ("{{ -1 | humanizePercentage }} {{ \"NaN\" | humanizePercentage }}", "-100% NaN%"),
    ("{{ 0 | humanizeTimestamp }}", "1970-01-01 00:00:00 +0000 UTC"),
    ("{{ \"Inf\" | humanizeTimestamp }} {{ \"NaN\" | humanizeTimestamp }}", "+Inf NaN"),
    ("{{ 1435065584.128 | toTime }}", "2015-06-23 13:19:44.128 +0000 UTC"),
    ("{{ (1435065584.128 | toTime).Year }}", "2015"),
    (
        "{{ \"1800\" | toDuration }} {{ 0.5 | toDuration }} {{ -90 | toDuration }}",
        "30m0s 500ms -1m30s",
    ),
    ("{{ now | toTime }}", "2012-11-24 11:14:12 +0000 UTC"),
    ("{{ \"1y2w3d4h5m6s7ms\" | parseDuration }}", "3.3019506007e+07"),
    (
        "{{ \"localhost\" | stripDomain }} {{ \"a.b.c\" | stripDomain }} {{ \"a.b:80\" | stripPort }}",
        "localhost a a.b",
    ),
    ("{{ reReplaceAll \"localhost:(.*)\" \"my.domain:$1\" \"localhost:3000\" }}", "my.domain:3000"),
    (
        "{{ title \"aa bb CC\" }} {{ toUpper \"aa bb CC\" }} {{ toLower \"aA bB CC\" }}",
        "Aa Bb CC AA BB CC aa bb cc",
    ),
    // Failures become text.
    (
        "{{ gt $value 1 }}",
        "<error expanding template: error calling gt: incompatible types for comparison>",
    ),
    (
        "{{ query \"empty\" | first }}",
        "<error expanding template: error calling first: first() called on vector with no elements>",
    ),
    (
        "{{ query \"bad\" }}",
        "<error expanding template: error calling query: unexpected query bad>",
    ),
    ("{{ $labels.job.x }}", "<error expanding template: can't evaluate field x in type string>"),
    (
        "{{ \"x\" | humanize }}",
        "<error expanding template: error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax>",
    ),
    ("{{ printf \"%d\" $value }}", "%!d(float64=0.123456)"),
    (
        "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}",
        "<error expanding template: templates call each other too deeply>",
    ),
    (
        "{{ range 1000000 }}{{ end }}",
        "<error expanding template: range can't iterate over 1000000>",
    ),
];

#[test]
fn templates_expand_as_in_prometheus() {
    for (text, want) in KNOWN {
        assert_eq!(expand(text), *want, "{text}");
    }
}

/// Go's functions but `call` (there is no value to call), then those of Prometheus 3.
#[test]
fn every_function_has_a_known_answer() {
    let go = "and html index slice js len not or print printf println urlquery eq ge gt le lt ne";
    let prometheus = "query first label value strvalue args reReplaceAll safeHtml match title \
                      toUpper toLower graphLink tableLink sortByLabel stripPort stripDomain humanize \
                      humanize1024 humanizeDuration humanizePercentage humanizeTimestamp toTime \
                      toDuration now pathPrefix externalURL parseDuration tmpl urlQueryEscape";
    for name in go.split_whitespace().chain(prometheus.split_whitespace()) {
        let is_called =
            |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
        assert!(
            KNOWN.iter().any(|(text, want)| is_called(text) && !want.starts_with("<error")),
            "{name}"
        );
    }
}

#[test]
fn what_is_made_on_the_way_is_bounded() {
    for text in [
        r#"{{ $x := "ab" }}{{ range $i := 60 }}{{ $x = print $x $x }}{{ end }}{{ len $x }}"#,
        r#"{{ $x := "ab" }}{{ range $i := 60 }}{{ $x = args $x $x }}{{ end }}{{ $x }}"#,
        r#"{{ $x := "ab" }}{{ range $i := 60 }}{{ $x = reReplaceAll "." "$0$0$0$0" $x }}{{ end }}"#,
        r#"{{ $x := printf "%5000s" "a" }}{{ reReplaceAll "." $x $x | len }}"#,
        &format!("{{{{ printf \"{}\" }}}}", "%9999d".repeat(2_000)),
    ] {
        let expanded = expand(text);
        assert!(
            expanded.contains("makes more than 16777216 bytes") || expanded.contains("1000 verbs"),
            "{expanded}"
        );
    }
    let long = r#"{{ range $i := 1000 }}{{ printf "%d " $i | toUpper }}{{ end }}"#;
    assert!(expand(long).ends_with("998 999 "));
}

#[test]
fn what_does_not_parse_says_where() {
    for (text, offset, message) in [
        ("a {{ $value", 2, "unclosed action: }} is missing"),
        ("{{ $foo }}", 3, "undefined variable \"$foo\""),
        ("{{ humanise 1 }}", 3, "function \"humanise\" not defined"),
        ("{{ if 1 }}x", 6, "{{if}} has no {{end}}"),
        ("x{{ end }}", 4, "unexpected {{end}}"),
        ("{{ }}", 3, "missing value for command"),
        ("{{ (1 }}", 6, "unclosed left paren"),
        ("{{ \"abc }}", 3, "unterminated quoted string"),
        ("{{ break }}", 3, "{{break}} outside {{range}}"),
        ("{{ 1 2 }}", 5, "can't give argument to non-function"),
        ("{{ 1 | 2 }}", 7, "only a function can follow a pipe"),
        ("{{ @ }}", 3, "unexpected '@' in action"),
        ("{{ range $x := 1 }}{{ end }}{{ $x }}", 31, "undefined variable \"$x\""),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert_eq!((error.offset, error.message.as_str()), (offset, message), "{text}");
    }
    let error = Template::parse("{{ humanise 1 }}").unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `humanize`?"));
    let error = Template::parse("{{ $label.x }}").unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `$labels`?"));
}

#[test]
fn query_use_is_known_before_expansion() {
    assert!(Template::parse("{{ query \"up\" | first | value }}").unwrap().runs_queries());
    assert!(!Template::parse("{{ $value | humanize }}").unwrap().runs_queries());
}

#[test]
fn fuzz() {
    crate::fuzzing::run("template", fuzz_template);
}
