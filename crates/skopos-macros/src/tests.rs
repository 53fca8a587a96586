//! What the derives refuse, and with which words. What they accept is tested through `skopos`, which the code they write
//! needs.

use syn::DeriveInput;

use crate::{labels, redacted};

type Expand = fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>;

fn error(expand: Expand, source: &str) -> String {
    let input: DeriveInput = syn::parse_str(source).expect(source);
    match expand(&input) {
        Ok(code) => panic!("{source} is accepted: {code}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_cannot_be_redacted_does_not_compile() {
    for (source, expected) in [
        ("union U { a: u8 }", "a union"),
        ("struct S { #[redact(hide)] a: u8 }", "write #[redact], #[redact(show)]"),
        ("struct S { #[redact()] a: u8 }", "says nothing"),
        ("struct S { #[redact] #[redact(show)] a: u8 }", "second"),
        ("#[redact(none)] struct S { a: u8 }", "#[redact(all)] only"),
        ("enum E { #[redact(skip)] A(u8) }", "cannot be skipped"),
        ("enum E { A(#[redact(shown)] u8) }", "unknown option"),
    ] {
        let error = error(redacted::expand, source);
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn labels_without_a_bound_do_not_compile() {
    let many: String = (0..100).map(|index| format!("V{index},")).collect();
    for (source, expected) in [
        ("struct S(String);", "no bounded set of values"),
        ("enum E {}", "without variants"),
        ("enum E { A(String) }", "variant with fields"),
        ("enum E { FooBar, Foo_Bar2, #[label(rename = \"foo_bar\")] C }", "two variants"),
        ("enum E { #[label(name = \"a\")] A }", "write #[label(rename"),
        (&format!("enum E {{ {many} }}"), "100 values are too many"),
    ] {
        let error = error(labels::expand_value, source);
        assert!(error.contains(expected), "{source}: {error}");
    }
    for (source, expected) in [
        ("enum E { A }", "structs with named fields"),
        ("struct S(bool);", "structs with named fields"),
        ("struct S {}", "without labels"),
        ("struct S<T> { a: T }", "no parameters"),
        ("struct S { le: bool }", "belongs to histograms"),
        ("struct S { #[label(rename = \"a-b\")] a: bool }", "no label name"),
        ("struct S { #[label(rename = \"__a\")] a: bool }", "no label name"),
        ("struct S { a: bool, #[label(rename = \"a\")] b: bool }", "two fields"),
    ] {
        let error = error(labels::expand_set, source);
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn names_become_snake_case() {
    for (name, expected) in [
        ("Card", "card"),
        ("CreditCard", "credit_card"),
        ("HTTPError", "http_error"),
        ("Http2", "http2"),
        ("V2Api", "v2_api"),
        ("already_snake", "already_snake"),
    ] {
        assert_eq!(labels::snake_case(name), expected);
    }
}
