//! What is refused: where, why, and what could stand there instead.

use skopos_filter::{ErrorKind, Filter, limits};

#[test]
fn mistakes_have_a_place_a_reason_and_a_remedy() {
    for (text, place, reason, suggestion) in [
        ("level>=eror", "eror", "is no level", "error"),
        ("level>=25", "25", "1–24", ""),
        ("level~err", "~", "level is a level: it compares with", "="),
        ("level:error", "level:error", "not with a colon", "level=error"),
        ("status=eror", "eror", "attributes.status", "error"),
        ("status>ok", ">", "one of few words", "="),
        ("kind=servr", "servr", "span kind", "server"),
        ("duration>500", "500", "duration: write one as 500ms", "500ms"),
        ("duration>fast", "fast", "is no duration", ""),
        ("duration~5", "~", "a duration", "="),
        ("durations>500ms", "durations", "number", "duration"),
        ("levl>=error", "levl", "number", "level"),
        ("x>abc", "abc", "is no number", ""),
        ("x>NaN", "NaN", "is no number", ""),
        ("service.name>a", ">", "service.name is text", "="),
        ("trace_id=4bf92f35", "4bf92f35", "32 hexadecimal digits", "4bf92f35*"),
        ("span_id=xyz", "xyz", "16 hexadecimal digits", ""),
        ("a==b", "==", "no operator ==", "="),
        ("a<>b", "<>", "no operator", "!="),
        ("a=>1", "=>", "no operator", ">="),
        ("a && b", "&&", "no operator &&", "AND"),
        ("a || b", "||", "no operator", "OR"),
        ("x=", "", "expected a value, found the end", ""),
        ("level=", "", "expected a value", "trace"),
        ("level= )", ")", "expected a value", "trace"),
        ("=x", "=", "expected a condition", ""),
        ("a OR", "", "found the end", ""),
        ("a AND OR b", "OR", "quote it to search for the word", ""),
        ("(a b", "(", "parenthesis is never closed", ""),
        ("a)", ")", "expected AND, OR or the end", ""),
        ("()", ")", "expected a condition", ""),
        ("\"abc", "\"", "never closed", ""),
        ("x=fn(y)", "(", "touches", ""),
        ("a\"b\"", "\"", "touches", ""),
        ("\"a\"b", "b", "touches", ""),
        (r#""\q""#, r"\q", "unknown escape \\q", ""),
        (r#""\u{110000}""#, r"\u{110000}", "unknown escape", ""),
        ("x~[", "[", "invalid regular expression", ""),
        ("x~a{999}{999}{999}", "a{999}{999}{999}", "size limit", ""),
        ("po*l=x", "po*l", "wildcard cannot stand in a field's name", ""),
        ("\"\"=x", "\"\"", "the name of a field", ""),
        ("has(", "", "the name of a field", ""),
        ("has(x", "(", "never closed", ""),
        ("has(x y)", "y", "expected )", ""),
        ("NOT", "", "expected a condition", ""),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(text.get(error.span.start..error.span.end), Some(place), "{text}: {error}");
        let message = error.to_string();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(message.ends_with(&format!("(at byte {})", error.span.start)), "{message}");
        let first = error.suggestions.first().map_or("", String::as_str);
        assert_eq!(first, suggestion, "{text}: {message}");
    }
}

#[test]
fn a_snippet_points_at_the_place() {
    let text = "é level>=eror b";
    let error = Filter::parse(text).unwrap_err();
    assert_eq!(error.snippet(text), "é level>=eror b\n         ^^^^");
    let text = "a\nlevel=";
    assert_eq!(Filter::parse(text).unwrap_err().snippet(text), "level=\n      ^");
}

#[test]
fn what_a_suggestion_proposes_is_understood() {
    for text in ["level>=eror", "status=eror", "duration>500", "trace_id=4bf92f35", "a==b", "a<>b"]
    {
        let error = Filter::parse(text).unwrap_err();
        let mut mended = text.to_owned();
        mended.replace_range(error.span.start..error.span.end, &error.suggestions[0]);
        assert!(Filter::parse(&mended).is_ok(), "{text} → {mended}");
    }
}

#[test]
fn everything_is_bounded() {
    let limit = |text: &str| match Filter::parse(text).unwrap_err().kind {
        ErrorKind::Limit { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(limit(&"a".repeat(limits::LENGTH + 1)), "bytes");
    assert_eq!(limit(&"a ".repeat(limits::TERMS + 1)), "conditions");
    assert_eq!(limit(&"(".repeat(4000)), "levels of nesting");
    assert_eq!(limit(&"not ".repeat(2000)), "levels of nesting");
    assert_eq!(limit(&"-(".repeat(2000)), "levels of nesting");
    assert_eq!(limit(&"a* ".repeat(limits::PATTERNS + 1)), "expressions and wildcards");
    assert!(Filter::parse(&"a ".repeat(limits::TERMS)).is_ok());
    // A long row binds without nesting.
    assert!(Filter::parse(&vec!["a"; limits::TERMS].join(" OR ")).is_ok());
}
