//! What is read: texts and their normal forms.

use skopos_filter::Filter;

use crate::random::{Random, filter};

#[track_caller]
fn normal(text: &str) -> String {
    Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}\n{}", e.snippet(text))).to_string()
}

#[test]
fn texts_and_their_normal_forms() {
    for (text, want) in [
        ("", ""),
        ("  \n", ""),
        (
            r#"service.name=checkout level>=error "pool timeout" duration>500ms"#,
            r#"service.name=checkout level>=error "pool timeout" duration>500ms"#,
        ),
        ("service=a severity=warn", "service.name=a level=warn"),
        ("a AND b and c", "a b c"),
        ("a OR b or c d", "a OR b OR c d"),
        ("(a OR b) c", "(a OR b) c"),
        ("((a))", "a"),
        ("(a b) (c)", "a b c"),
        ("NOT a b", "NOT a b"),
        ("NOT (a b)", "NOT (a b)"),
        ("-a -(b OR c)", "NOT a NOT (b OR c)"),
        ("not -a", "NOT NOT a"),
        ("-level=error", "NOT level=error"),
        ("--release", r#""--release""#),
        ("order-service", "order-service"),
        ("\"and\"", "\"and\""),
        ("status = error", "status=error"),
        ("http.route=/pay/*", "http.route=/pay/*"),
        ("http.url=http://h/?a=1&b=2", "http.url=http://h/?a=1&b=2"),
        ("x=\"a*\"", r#"x="a*""#),
        (r"x=a\*", r#"x="a*""#),
        (r"x=a\**", r"x=a\**"),
        ("x=\"\"", "x=\"\""),
        ("x=~a.*b", "x~a.*b"),
        (r#"x~"\d+ \"q\"""#, r#"x~"\d+ \"q\"""#),
        ("has(x)", "x=*"),
        ("has (x)", ""),
        ("has ( \"x y\" )", ""),
        (r#""odd name"=1"#, r#""odd name"=1"#),
        ("\"x\"=1", "x=1"),
        ("temperature>-5.5", "temperature>-5.5"),
        ("po*l", "po*l"),
        ("*", "*"),
        (r#""tab\tü\u{1f600}""#, r#""tab\tü😀""#),
        ("12:30:01", r#""12:30:01""#),
        ("don't", "don't"),
        ("wow!", r#""wow!""#),
        ("resource.service.name=x", "resource.service.name=x"),
        ("attributes.status=500", "attributes.status=500"),
        ("scope.name=lib scope.x=1", "scope.name=lib scope.x=1"),
        ("trace_id=4bf9*", "trace_id=4bf9*"),
        ("duration<=1m30s", "duration<=1m30s"),
    ] {
        if want.is_empty() && !text.trim().is_empty() {
            // `has` with a space before the parenthesis is a word, and a group follows.
            assert!(Filter::parse(text).is_ok());
            continue;
        }
        assert_eq!(normal(text), want, "{text}");
        assert_eq!(normal(want), want, "{text}");
    }
}

#[test]
fn what_is_printed_is_what_was_read() {
    let mut r = Random::new(11);
    let mut read = 0;
    for _ in 0..4_000 {
        let text = filter(&mut r, 4);
        let Ok(first) = Filter::parse(&text) else { continue };
        read += 1;
        let printed = first.to_string();
        let again = Filter::parse(&printed).unwrap_or_else(|e| panic!("{text} → {printed}: {e}"));
        assert_eq!(first.ast(), again.ast(), "{text} → {printed}");
        assert_eq!(again.to_string(), printed);
    }
    assert!(read > 3_000, "most random filters are filters: {read}");
}

#[test]
fn nodes_know_where_they_stand() {
    use skopos_filter::ast::Expr;
    let text = "a (level >= error OR \"b c\")";
    let filter = Filter::parse(text).unwrap();
    let Expr::All(all) = &filter.ast().expr else { panic!("{filter}") };
    let Expr::Any(any) = &all[1].expr else { panic!("{filter}") };
    let text_of = |span: skopos_filter::Span| &text[span.start..span.end];
    assert_eq!(text_of(all[0].span), "a");
    assert_eq!(text_of(all[1].span), "(level >= error OR \"b c\")");
    assert_eq!(text_of(any[0].span), "level >= error");
    assert_eq!(text_of(any[1].span), "\"b c\"");
    let Expr::Compare(comparison) = &any[0].expr else { panic!("{filter}") };
    assert_eq!(text_of(comparison.field_span), "level");
    assert_eq!(text_of(comparison.operator_span), ">=");
    assert_eq!(text_of(comparison.value_span), "error");
}
