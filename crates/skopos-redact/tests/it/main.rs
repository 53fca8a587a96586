//! The redactor seen from outside: notations, foreign spellings, and the canary that never survives.

use proptest::prelude::*;
use skopos_redact::{Detector, REDACTED, Redactor, Secret};

const CANARY: &str = "cAnArY9Zx";

/// At any depth, where others stop at two: <https://github.com/pinojs/redact/issues/19>.
#[test]
fn secrets_in_every_notation() {
    let redactor = Redactor::builder().deny("**.otp").build().unwrap();
    for text in [
        "password=cAnArY9Zx",
        "password = cAnArY9Zx, next",
        "PASSWORD: cAnArY9Zx",
        "password := cAnArY9Zx",
        "password => 'cAnArY9Zx'",
        r#"{"password":"cAnArY9Zx"}"#,
        r#"{"password" : "cAn\"ArY cAnArY9Zx"}"#,
        r#"{"user":{"password":{"old":"cAnArY9Zx","new":["cAnArY9Zx"]}}}"#,
        r#""{\"access_token\":\"cAnArY9Zx\",\"b\":1}""#,
        r#"Login { user: "ann", password: "cAnArY9Zx" }"#,
        r#"Login { user: "ann", password: Some("cAnArY9Zx") }"#,
        r#"Login { password: Secret(Inner { value: "cAnArY9Zx)" }) }"#,
        r#"[("authorization", "Bearer cAnArY9Zx"), ("accept", "*/*")]"#,
        "<password>cAnArY9Zx</password>",
        "run --password cAnArY9Zx --verbose",
        "run --api-key=cAnArY9Zx",
        "/callback?state=1&access_token=cAnArY9Zx&x=2",
        "/callback?token%3DcAnArY9Zx",
        "Authorization: Bearer cAnArY9Zx",
        "authorization: Basic cAnArY9Zx==",
        "Authorization: Digest username=x, response=cAnArY9Zx",
        "Cookie: a=b; session=cAnArY9Zx",
        "set-cookie: sid=cAnArY9Zx; Path=/; HttpOnly",
        "got bearer cAnArY9Zx from peer",
        "postgres://app:cAnArY9Zx@db:5432/orders",
        "amqp://u:p@cAnArY9Zx@host/",
        "request.body={\"a\":\"cAnArY9Zx\"}",
        "http.request.body: cAnArY9Zx",
        "headers['x-api-key'] = 'cAnArY9Zx'",
        "otp=cAnArY9Zx",
        "password=\"cAnArY9Zx",
        "password: {cAnArY9Zx cAnArY9Zx",
        "-----BEGIN RSA PRIVATE KEY-----\ncAnArY9Zx\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncAnArY9Zx",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjQW5BclkifQ.cAnArY9Zx",
        "key AKIAcAnArY9Zx00000000",
        "пароль password=cAnArY9Zx ü",
        "email: cAnArY9Zx@example.org",
        r#"{"customer":{"phone":"cAnArY9Zx","billing_address":{"street":"cAnArY9Zx"}}}"#,
        "User { address: \"cAnArY9Zx 12, Bonn\", date_of_birth: \"cAnArY9Zx\" }",
        "GET https://bucket.example/o?X-Amz-Signature=cAnArY9Zx&x=1",
        "https://bucket.example/o?se=2026&sig=cAnArY9Zx%3D",
        "https://bucket.example/o?a=1&Signature=cAnArY9Zx",
        "key AIzacAnArY9Zx00000000",
    ] {
        let redacted = redactor.redact_text(text);
        assert!(!redacted.text.contains(CANARY), "{text} -> {}", redacted.text);
        assert!(redacted.text.contains(REDACTED), "{text} -> {}", redacted.text);
        assert!(!redacted.hits.is_empty(), "{text}");
    }
}

#[test]
fn what_surrounds_a_secret_stays() {
    let redactor = Redactor::default();
    for (text, expected) in [
        (r#"{"a":1,"password":"x y","b":2}"#, r#"{"a":1,"password":"[REDACTED]","b":2}"#),
        ("user=ann token=abc order=7", "user=ann token=[REDACTED] order=7"),
        ("postgres://app:pw@db:5432/orders", "postgres://app:[REDACTED]@db:5432/orders"),
        ("GET /a?token=abc&page=2", "GET /a?token=[REDACTED]&page=2"),
        (r#"L { password: Some("x"), id: 3 }"#, r#"L { password: [REDACTED], id: 3 }"#),
        ("card 4111 1111 1111 1111 declined", "card [REDACTED] declined"),
        ("ssn: 078-05-1120, ok", "ssn: [REDACTED], ok"),
        ("/o?sig=abc&page=2", "/o?sig=[REDACTED]&page=2"),
        ("email=a@b.example id=7", "email=[REDACTED] id=7"),
    ] {
        assert_eq!(redactor.redact_text(text).text, expected);
    }
}

#[test]
fn clean_text_is_borrowed() {
    let redactor = Redactor::default();
    for text in [
        "",
        "order placed",
        "User ann login failed: expired token",
        "max_tokens=4096 input_tokens: 17",
        "http://localhost:4318/v1/logs",
        "see https://example.org/a:b@c",
        "token_count=17",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "2026-11-22T13:58:05.123456789Z",
        "basic functionality works",
        "bearer authentication failed",
        "the password was wrong",
        "größer als 100 €",
        "mail to ann@example.org",
        "listening on address=127.0.0.1:8080",
        "bind address: [::1]:80 is taken",
        "failed to lookup address information: Name or service not known",
        "server.address=shop",
        "the signature=valid",
    ] {
        let redacted = redactor.redact_text(text);
        assert!(
            matches!(redacted.text, std::borrow::Cow::Borrowed(_)),
            "{text} -> {}",
            redacted.text
        );
        assert!(redacted.hits.is_empty());
    }
}

#[test]
fn allowed_names_are_shown_and_own_rules_win() {
    let redactor =
        Redactor::builder().allow("page.token").allow("user.pin").deny("user.pin").build().unwrap();
    assert!(!redactor.redact_name("page.token"));
    assert!(redactor.redact_name("other.token"));
    assert!(redactor.redact_name("user.pin"));
    assert_eq!(redactor.name_rule("other.token"), Some("token"));
    assert_eq!(redactor.name_rule("user.pin"), Some("user.pin"));
}

#[test]
fn an_address_is_judged_by_its_value_too() {
    let redactor = Redactor::default();
    for shown in ["127.0.0.1", "10.0.0.1:80", "[::1]:80", "db:5432", ":8080", "http://db:1/x"] {
        assert_eq!(redactor.redact_value("address", shown), shown);
    }
    for hidden in ["Hauptstr. 12, Bonn", "12 Elm Street", "", "Bonn:", "a b:80", "Elm: 12"] {
        assert_eq!(redactor.redact_value("address", hidden), REDACTED, "{hidden}");
    }
    assert_eq!(redactor.redact_value("server.address", "anything"), "anything");
    assert_eq!(redactor.redact_value("email", "10.0.0.1"), REDACTED);
}

#[test]
fn detectors_are_turned_on_and_off() {
    let emails = Redactor::builder().detect(Detector::Email).build().unwrap();
    for (text, expected) in [
        ("to ann.b+c@example.co.uk, bob@x.de.", "to [REDACTED], [REDACTED]."),
        ("@here user@localhost a@b.1", "@here user@localhost a@b.1"),
        ("postgres://app:pw@db.internal:5432/x", "postgres://app:[REDACTED]:5432/x"),
    ] {
        assert_eq!(emails.redact_text(text).text, expected);
    }
    let text = "4111111111111111 and 078-05-1120 Bearer abcdef123 /a?sig=x postgres://a:b@c";
    let (mut builder, mut left) =
        (Redactor::builder(), Redactor::default().redact_text(text).hits.len());
    assert_eq!(left, 5);
    for detector in [Detector::CardNumber, Detector::UsSsn, Detector::Bearer, Detector::Url] {
        builder = builder.ignore(detector);
        left -= if detector == Detector::Url { 2 } else { 1 };
        let redactor = builder.clone().build().unwrap();
        assert_eq!(redactor.redact_text(text).hits.len(), left, "without {detector:?}");
    }
}

#[test]
fn a_secret_is_shown_by_nothing_but_expose() {
    #[derive(Debug, Clone)]
    struct NotShown;
    let secret = Secret::new(CANARY.to_owned());
    let debug = format!("{secret} {secret:?} {secret:#?} {:?}", Some(&secret));
    assert!(!debug.contains(CANARY), "{debug}");
    assert_eq!(
        (secret.expose().as_str(), secret.clone().into_exposed().as_str()),
        (CANARY, CANARY)
    );
    assert_eq!(format!("{:?}", Secret::from(NotShown)), REDACTED);
}

#[test]
fn a_hostile_text_takes_linear_time() {
    let redactor = Redactor::default();
    for unit in [
        "password:{",
        "password",
        "token=",
        "://a:",
        "-----BEGIN ",
        "eyJ.",
        "1 ",
        "4-",
        "\\\"token\\\":",
        "bearer ",
    ] {
        let text = unit.repeat(200_000 / unit.len());
        // Quadratic work on this size would take minutes in a debug build.
        let _ = redactor.redact_text(&text);
    }
}

fn denied_name() -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec![
        "password",
        "passwd",
        "token",
        "access_token",
        "refreshToken",
        "Authorization",
        "cookie",
        "Set-Cookie",
        "client_secret",
        "api_key",
        "apiKey",
        "X-Api-Key",
        "credit_card",
        "cardNumber",
        "cvv",
        "ssn",
        "request.body",
    ]);
    let prefix = prop::sample::select(vec!["", "user.", "req.headers.", "a.b.c.d.", "my_", "old-"]);
    (prefix, base, any::<bool>()).prop_map(|(prefix, base, upper)| {
        let name = format!("{prefix}{base}");
        // Upper case would hide the camelCase boundary that a name relies on, but not when it is one word.
        if upper { name.to_uppercase() } else { name }
    })
}

fn notation() -> impl Strategy<Value = (&'static str, &'static str, &'static str)> {
    prop::sample::select(vec![
        ("", "=", ""),
        ("", ": ", ""),
        ("\"", "\":\"", "\""),
        ("\"", "\": \"", "\""),
        ("{\"", "\":[\"", "\"]}"),
        ("S { ", ": \"", "\" }"),
        ("S { ", ": Some(\"", "\") }"),
        ("?a=1&", "=", "&b=2"),
        ("\\\"", "\\\":\\\"", "\\\""),
        ("(\"", "\", \"", "\")"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canary_never_survives(name in denied_name(), (open, middle, close) in notation(), before in "[ -~äß\n]{0,40}", after in "[ -~äß\n]{0,40}") {
        let redactor = Redactor::default();
        prop_assert!(redactor.redact_name(&name), "{name}");
        // A name glued to other letters is another name.
        let text = format!("{before} {open}{name}{middle}{CANARY}{close} {after}");
        let redacted = redactor.redact_text(&text);
        prop_assert!(!redacted.text.contains(CANARY), "{text:?} -> {:?}", redacted.text);
    }

    #[test]
    fn twice_is_once(text in "([ -~\n]{0,20}(password|token|cookie|4111111111111111|Bearer |://u:p@|eyJa.b.c|=|:|\"|\\{){0,1}){0,8}") {
        let redactor = Redactor::default();
        let once = redactor.redact_text(&text).text.into_owned();
        let twice = redactor.redact_text(&once).text.into_owned();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn any_text_is_handled(text in any::<String>(), path in any::<String>()) {
        let redactor = Redactor::default();
        let _ = redactor.redact_text(&text);
        let _ = redactor.redact_name(&path);
    }
}
