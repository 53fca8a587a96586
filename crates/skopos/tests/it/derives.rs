//! `#[derive(Redacted)]` and the derives for labels, as their users see them.

use skopos::metrics::{Bounded, Format, LabelSet, LabelValue, Registry};
use skopos::redact::Canary;
use skopos::{Redacted, Secret};

/// Not `Debug`: a hidden field need not be.
struct Opaque;

#[derive(Redacted)]
#[expect(dead_code, reason = "read through Debug")]
enum Credentials<T> {
    None,
    Password {
        user: T,
        password: String,
        r#type: u8,
    },
    Key(#[redact] String, u32),
    #[redact]
    Recovery(T, T),
    Mixed {
        #[redact(show)]
        token: &'static str,
        #[redact(skip)]
        cache: Opaque,
        #[redact]
        handle: Opaque,
    },
}

#[derive(Redacted)]
#[redact(all)]
#[expect(dead_code, reason = "read through Debug")]
struct Card {
    number: String,
    #[redact(show)]
    brand: &'static str,
}

#[derive(Redacted)]
struct Unit;

#[test]
fn hidden_shown_and_skipped_fields() {
    for (value, expected) in [
        (Credentials::None, "None"),
        (
            Credentials::Password { user: "ann", password: "x".into(), r#type: 1 },
            r#"Password { user: "ann", password: [REDACTED], type: 1 }"#,
        ),
        (Credentials::Key("x".into(), 7), "Key([REDACTED], 7)"),
        (Credentials::Recovery("a", "b"), "Recovery([REDACTED], [REDACTED])"),
        (
            Credentials::Mixed { token: "public", cache: Opaque, handle: Opaque },
            r#"Mixed { token: "public", handle: [REDACTED], .. }"#,
        ),
    ] {
        assert_eq!(format!("{value:?}"), expected);
    }
    let card = Card { number: "1".into(), brand: "visa" };
    assert_eq!(format!("{card:?}"), r#"Card { number: [REDACTED], brand: "visa" }"#);
    assert_eq!(format!("{card:#?}"), "Card {\n    number: [REDACTED],\n    brand: \"visa\",\n}");
    assert_eq!(format!("{Unit:?}"), "Unit");
}

#[test]
fn no_form_of_debug_shows_the_canary() {
    let canary = Canary::new("derives");
    #[derive(Redacted)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Request {
        authorization: String,
        email: Option<String>,
        #[redact]
        pin: String,
        key: Secret<String>,
        note: String,
        nested: Vec<Inner>,
    }
    #[derive(Redacted)]
    #[expect(dead_code, reason = "read through Debug")]
    struct Inner {
        api_key: String,
    }
    let request = Request {
        authorization: canary.to_string(),
        email: Some(canary.to_string()),
        pin: canary.to_string(),
        key: Secret::new(canary.to_string()),
        note: format!("postgres://app:{canary}@db token={canary}"),
        nested: vec![Inner { api_key: canary.to_string() }],
    };
    canary.assert_absent("{:?}", format!("{request:?}"));
    canary.assert_absent("{:#?}", format!("{request:#?}"));
    canary.assert_absent("inside another", format!("{:?}", Some(&request)));
}

#[derive(LabelValue)]
enum Outcome {
    Approved,
    TimedOut,
    #[label(rename = "declined_by_bank")]
    Declined,
}

#[derive(LabelSet)]
struct PaymentLabels {
    outcome: Outcome,
    #[label(rename = "currency_code")]
    currency: Bounded<2>,
    r#retry: bool,
}

#[test]
fn derived_labels_name_a_metric() {
    assert_eq!((Outcome::LIMIT, Outcome::TimedOut.label()), (3, "timed_out"));
    assert_eq!(PaymentLabels::NAMES, ["outcome", "currency_code", "retry"]);
    assert_eq!(PaymentLabels::LIMITS, [3, 2, 2]);
    let registry = Registry::new();
    let payments = registry.counter_family::<PaymentLabels>("payments_total", "Payments.");
    for (outcome, currency) in
        [(Outcome::Approved, "EUR"), (Outcome::Declined, "USD"), (Outcome::TimedOut, "JPY")]
    {
        payments.get(&PaymentLabels { outcome, currency: currency.into(), retry: false }).inc();
    }
    let text = registry.encode(Format::Prometheus);
    for line in [
        r#"payments_total{outcome="approved",currency_code="EUR",retry="false"} 1"#,
        r#"payments_total{outcome="declined_by_bank",currency_code="USD",retry="false"} 1"#,
        r#"payments_total{outcome="timed_out",currency_code="other",retry="false"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
