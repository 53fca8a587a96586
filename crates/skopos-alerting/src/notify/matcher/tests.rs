use super::*;

#[test]
fn both_syntaxes_are_read() {
    for (text, want) in [
        ("", "{}"),
        ("{}", "{}"),
        ("{foo=\"bar\"}", "{foo=\"bar\"}"),
        ("foo=bar", "{foo=\"bar\"}"),
        ("foo = bar, dings != bums", "{foo=\"bar\",dings!=\"bums\"}"),
        ("{foo=bar,}", "{foo=\"bar\"}"),
        ("foo=~\"a|b\",x!~c.*", "{foo=~\"a|b\",x!~\"c.*\"}"),
        ("statuscode=~\"5..\"", "{statuscode=~\"5..\"}"),
        ("foo=", "{foo=\"\"}"),
        ("foo=\"\"", "{foo=\"\"}"),
        ("{quote=\"She said: \\\"Hi, ladies!\\\"\"}", "{quote=\"She said: \\\"Hi, ladies!\\\"\"}"),
        ("foo=a b", "{foo=\"a b\"}"),
        ("foo=\"a\\tb\"", "{foo=\"a\\\\tb\"}"),
        ("foo=~\"\\d+\"", "{foo=~\"\\\\d+\"}"),
        ("{foo=\"bar\"", "{foo=\"bar\"}"),
        ("foo=\"bar\"}", "{foo=\"bar\"}"),
        ("foo=bar=baz", "{foo=\"bar=baz\"}"),
        ("{\"a.b\"=\"c\"}", "{a.b=\"c\"}"),
        ("a.b=c", "{a.b=\"c\"}"),
        ("\"foo bar\"=\"x\"", "{\"foo bar\"=\"x\"}"),
        ("ü=\"\\u00fc\"", "{ü=\"ü\"}"),
        ("foo🙂=bar", "{foo🙂=\"bar\"}"),
    ] {
        let matchers = parse_matchers(text);
        assert_eq!(matchers.map(|m| format_matchers(&m)), Ok(want.to_string()), "{text}");
    }
}

#[test]
fn what_is_no_matcher_is_refused_with_its_place() {
    for (text, want) in [
        ("foo", "\"foo\": expected an operator such as '=', '!=', '=~' or '!~' at character 3"),
        ("=bar", "\"=bar\": expected a label name at character 0"),
        ("a.b=", "\"a.b=\": expected a label value at character 4"),
        ("{a.b=c", "\"{a.b=c\": expected a closing brace at character 6"),
        ("a.b=c}", "\"a.b=c}\": expected an opening brace at the start at character 5"),
        ("a.b=c d", "\"a.b=c d\": expected a comma or the end at character 6"),
        ("{a.b=c} x", "\"{a.b=c} x\": expected the end at character 8"),
        ("a.b=\"c", "\"a.b=\\\"c\": the quoted text at character 4 is not valid"),
        ("a.b=\"\\q\"", "\"a.b=\\\"\\\\q\\\"\": the quoted text at character 4 is not valid"),
        ("foo=~\"(\"", "invalid regular expression \"(\":"),
        ("foo=a\"b", "\"foo=a\\\"b\": the quoted text at character 5 is not valid"),
    ] {
        let error = parse_matchers(text).expect_err(text).to_string();
        assert!(error.starts_with(want), "{text}: {error}");
    }
    assert!(matches!(parse_matcher("a=b,c=d"), Err(InvalidMatcher::Count { found: 2, .. })));
    assert!(matches!(parse_matcher("{}"), Err(InvalidMatcher::Count { found: 0, .. })));
}

#[test]
fn a_missing_label_is_the_empty_text() {
    let labels = Labels::from_pairs([("a", "1")]);
    for (text, want) in [("a=1", true), ("b=", true), ("b!=1", true), ("b=~.+", false), ("", true)]
    {
        assert_eq!(all_match(&parse_matchers(text).unwrap(), &labels), want, "{text}");
    }
}

#[test]
fn order_is_by_name_value_operator() {
    let mut matchers = parse_matchers("b=1,a=~2,a=2,a!=1").unwrap();
    matchers.sort_by(Matcher::order);
    assert_eq!(format_matchers(&matchers), "{a!=\"1\",a=\"2\",a=~\"2\",b=\"1\"}");
}
