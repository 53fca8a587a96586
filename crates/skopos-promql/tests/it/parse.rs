//! The parser: what it accepts, what it says of what it does not, and that printing is faithful.

use regex::Regex;
use skopos_promql::ast::{self, BinaryOp, ExprKind};
use skopos_promql::{Expr, ParseOptions, parse, parse_selector};

use crate::random::{Random, vector};

fn all(query: &str) -> Expr {
    parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}\n{}", e.render()))
}

/// The tree without places, as text.
fn shape(expr: &Expr) -> String {
    let spans = Regex::new(r"Span \{ start: \d+, end: \d+ \}").unwrap();
    spans.replace_all(&format!("{expr:?}"), "_").into_owned()
}

#[test]
fn printing_and_parsing_again_gives_the_same_tree() {
    let mut r = Random::new(20_261_122);
    let mut refused = 0;
    for _ in 0..3_000 {
        let depth = 1 + r.below(4);
        let query = vector(&mut r, depth);
        // Without parentheses operators regroup, which now and then pairs what does not fit.
        let Ok(expr) = parse(&query, &ParseOptions::all()) else {
            refused += 1;
            continue;
        };
        let printed = expr.to_string();
        assert_eq!(shape(&expr), shape(&all(&printed)), "{query}\nprinted as\n{printed}");
        let pretty = expr.pretty();
        assert_eq!(shape(&expr), shape(&all(&pretty)), "{query}\nprinted as\n{pretty}");
        assert_eq!(pretty.contains('\n'), printed.chars().count() > 100, "{pretty}");
    }
    assert!(refused < 1_000, "{refused} of 3000 random queries refused");
}

#[test]
fn long_expressions_take_several_lines() {
    let query = r#"histogram_quantile(0.95, sum by (job, le) (rate(http_request_duration_seconds_bucket{env="prod"}[5m]))) > bool on (job) group_left (team) max by (job, team) (-objectives{kind="latency"} or vector(0.25))"#;
    let want = r#"  histogram_quantile(
    0.95,
    sum by (job, le) (rate(http_request_duration_seconds_bucket{env="prod"}[5m]))
  )
> bool on (job) group_left (team)
  max by (job, team) (-objectives{kind="latency"} or vector(0.25))"#;
    assert_eq!(all(query).pretty(), want);
    assert_eq!(all("a   +  b").pretty(), "a + b");
    let subquery = format!("max_over_time(({query})[1h:5m] offset 1d)");
    let pretty = all(&subquery).pretty();
    assert!(pretty.starts_with("max_over_time(\n  (\n      histogram_quantile("), "{pretty}");
    assert!(pretty.ends_with("\n  )[1h:5m] offset 1d\n)"), "{pretty}");
}

#[test]
fn every_node_spans_its_text() {
    let query = "sum by (a) (rate(m{x=\"é\"}[5m] offset 1m)) / on(a) (up @ end()) > bool 2";
    let expr = all(query);
    assert_eq!(expr.span.text(query), query);
    let texts: Vec<&str> = expr.descendants().iter().map(|e| e.span.text(query)).collect();
    let want = [
        query,
        "sum by (a) (rate(m{x=\"é\"}[5m] offset 1m)) / on(a) (up @ end())",
        "sum by (a) (rate(m{x=\"é\"}[5m] offset 1m))",
        "rate(m{x=\"é\"}[5m] offset 1m)",
        "m{x=\"é\"}[5m] offset 1m",
        "(up @ end())",
        "up @ end()",
        "2",
    ];
    assert_eq!(texts, want);
    let ExprKind::Binary(comparison) = &expr.kind else { panic!("{expr:?}") };
    assert_eq!(comparison.op_span.text(query), ">");
    assert_eq!(comparison.op, BinaryOp::Greater);
}

#[test]
fn precedence_is_prometheus_own() {
    for (query, grouped) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("-2 ^ 2", "-(2 ^ 2)"),
        ("-a * b", "(-a) * b"),
        ("a or b and c", "a or (b and c)"),
        ("a and b unless c", "(a and b) unless c"),
        ("a > b + c", "a > (b + c)"),
        ("a - b - c", "(a - b) - c"),
        ("a % b atan2 c", "(a % b) atan2 c"),
        ("a offset 2 ^ 2", "(a offset 2) ^ 2"),
    ] {
        assert_eq!(paren_free(&all(query)), paren_free(&all(grouped)), "{query}");
    }
}

/// Fully grouped text, parentheses nodes ignored.
fn paren_free(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Paren(inner) => paren_free(inner),
        ExprKind::Binary(b) => {
            format!("[{} {} {}]", paren_free(&b.lhs), b.op.as_str(), paren_free(&b.rhs))
        }
        ExprKind::Unary { expr, .. } => format!("[-{}]", paren_free(expr)),
        _ => expr.to_string(),
    }
}

#[test]
fn words_are_names_where_they_can_be() {
    for (query, printed) in [
        ("sum", "sum"),
        ("sum + avg", "sum + avg"),
        ("offset offset 5m", "offset offset 5m"),
        ("by{without=\"x\"}", "by{without=\"x\"}"),
        ("start", "start"),
        ("and and or or unless", "{\"and\"} and {\"or\"} or {\"unless\"}"),
        ("{__name__=\"a\", __name__=~\"a|b\"}", "{__name__=\"a\", __name__=~\"a|b\"}"),
        ("fill + fill(0) fill", "fill + fill (0) fill"),
        ("up # a comment\n + 1", "up + 1"),
        ("{\"my metric\", a=\"b\"}", "{\"my metric\", a=\"b\"}"),
        ("{a=\"b\", \"plain\"}", "plain{a=\"b\"}"),
        ("sum(up) by (job,)", "sum by (job) (up)"),
        ("NaN", "NaN"),
        ("iNf", "Inf"),
        ("1h30m", "1h30m"),
        ("0x10", "16"),
        ("m @ 1609746000", "m @ 1609746000.000"),
        ("m[5m] @ start() offset -1m", "m[5m] @ start() offset -1m"),
        ("m[5m:] offset 1m", "m[5m:] offset 1m"),
    ] {
        assert_eq!(all(query).to_string(), printed, "{query}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (query, at, message, suggestion) in [
        ("", "1:1", "no expression found in input", None),
        ("rat(up[5m])", "1:1", "unknown function with name \"rat\"", Some("rate")),
        ("sum(\n  histogram_quantil(1, x))", "2:3", "unknown function", Some("histogram_quantile")),
        (
            "rate(up)",
            "1:6",
            "expected type range vector in call to function \"rate\", got instant vector",
            Some("up[5m]"),
        ),
        ("sum(1)", "1:5", "expected type instant vector in aggregation expression", None),
        ("1 > 2", "1:3", "comparisons between scalars must use BOOL modifier", None),
        ("1 and up", "1:3", "set operator \"and\" not allowed in binary scalar expression", None),
        ("up + bool up", "1:6", "bool modifier can only be used on comparison operators", None),
        ("{}", "1:1", "must contain at least one non-empty matcher", None),
        ("{a=~\".*\"}", "1:1", "must contain at least one non-empty matcher", None),
        ("up{a=~\"(\"}", "1:7", "invalid regular expression", None),
        ("up{a==\"b\"}", "1:5", "expected label matching operator", Some("=")),
        ("up{__name__=\"b\"}", "1:1", "must not be set twice: \"up\" or \"b\"", None),
        ("up{__name__=~\"b.*\"}", "1:1", "metric name must not be set twice", None),
        ("up ofset 5m", "1:4", "unexpected identifier \"ofset\"", Some("offset")),
        ("sum(up) bye (a)", "1:9", "unexpected identifier \"bye\"", Some("by")),
        ("sum by foo (up)", "1:8", "unexpected identifier \"foo\" in grouping opts", None),
        ("foo(1)", "1:1", "unknown function with name \"foo\"", None),
        ("up[0s]", "1:4", "duration must be greater than 0", None),
        ("up[-(5m)]", "1:4", "duration must be greater than 0", None),
        ("up[5m:0s]", "1:7", "duration must be greater than 0", None),
        ("up[5m][5m]", "1:1", "ranges only allowed for vector selectors", None),
        ("1[5m]", "1:1", "ranges only allowed for vector selectors", None),
        ("up{a=b}", "1:6", "unexpected identifier \"b\" in label matching, expected string", None),
        ("up{a", "1:5", "unexpected end of input in label matching", None),
        ("foo{\"bar\"}", "1:5", "metric name must not be set twice", None),
        ("sum(up", "1:4", "unclosed left parenthesis", None),
        ("(up", "1:1", "unclosed left parenthesis", None),
        ("sum(", "1:4", "unclosed left parenthesis", None),
        ("sum(rate(up[5m]) +", "1:4", "unclosed left parenthesis", None),
        ("sum by (job", "1:8", "unclosed left parenthesis", None),
        ("up offse 5m", "1:4", "unexpected identifier \"offse\"", Some("offset")),
        ("sum bye (job) (up)", "1:5", "unexpected identifier \"bye\"", Some("by")),
        ("a * on(x) group_lft b", "1:21", "unexpected identifier \"b\"", Some("group_left")),
        ("a * on(x) group_lft(y) b", "1:11", "unknown function", Some("group_left")),
        ("up @ strt()", "1:6", "unexpected identifier \"strt\"", Some("start")),
        ("foo{__name__=\"bar\"}", "1:1", "must not be set twice: \"foo\" or \"bar\"", None),
        ("temp{__name__=~\"temp\"}", "1:1", "set twice: \"temp\" or \"temp\"", None),
        ("sum(\n  foo{a=\"b\", __name__!=\"bar\"})", "2:3", "must not be set twice", None),
        ("up)", "1:3", "unexpected right parenthesis ')'", None),
        ("up[5m", "1:6", "unexpected end of input in matrix selector", None),
        ("up offset 5m[5m]", "1:1", "no offset modifiers allowed before range", None),
        ("up offset 5m offset 6m", "1:14", "offset may not be set multiple times", None),
        ("sum(up) offset 5m", "1:9", "offset modifier must be preceded by", None),
        (
            "rate(up[5m])[5m]",
            "1:1",
            "ranges only allowed for vector selectors",
            Some("rate(up[5m])[5m:]"),
        ),
        ("topk(up)", "1:1", "wrong number of arguments for aggregate expression", None),
        ("clamp(up, 1)", "1:1", "expected 3 argument(s) in call to \"clamp\", got 2", None),
        ("up and on(a) group_left b", "1:14", "no grouping allowed for \"and\" operation", None),
        (
            "a * on(x) group_left(x) b",
            "1:11",
            "label \"x\" must not occur in ON and GROUP clause",
            None,
        ),
        ("2 * on(x) up", "1:3", "vector matching only allowed between instant vectors", None),
        ("-\"a\"", "1:1", "unary expression only allowed on", None),
        ("\"a", "1:1", "unterminated quoted string", None),
        ("1mm", "1:1", "bad number or duration syntax", None),
        ("up ! 3", "1:4", "unexpected character after '!'", None),
        ("up up", "1:4", "unexpected identifier \"up\"", None),
        ("sum by (a b) (up)", "1:11", "unexpected identifier \"b\" in grouping opts", None),
        ("up @ \"x\"", "1:6", "unexpected string", None),
    ] {
        let error = parse(query, &ParseOptions::all()).expect_err(query);
        assert_eq!(error.at.to_string(), at, "{query}: {error}");
        assert!(error.message.contains(message), "{query}: {error}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{query}");
    }
}

#[test]
fn errors_render_with_carets() {
    let error = parse("sum by (job) (\n  rat(up[5m])\n)", &ParseOptions::default()).unwrap_err();
    assert_eq!(
        error.render(),
        "2:3: parse error: unknown function with name \"rat\"\n\
         2 |   rat(up[5m])\n  \
           |   ^^^\n\
         help: did you mean \"rate\"?"
    );
}

#[test]
fn experimental_parts_need_their_switch() {
    for query in
        ["limitk(1, up)", "info(up)", "max_of(1, 2)", "up + fill(0) up", "rate(up[5m] anchored)"]
    {
        assert!(parse(query, &ParseOptions::default()).is_err(), "{query}");
        all(query);
    }
    for query in ["info(up)", "limitk(1, up)", "up + fill(0) up", "rate(up[5m] anchored)"] {
        let error = parse(query, &ParseOptions::default()).unwrap_err();
        assert!(error.message.contains("query.experimental"), "{error}");
    }
    // Without a name before the braces, the name is a matcher like others.
    all("{\"bar\", __name__=\"baz\"}");
    let strict = ParseOptions { duration_expressions: false, ..ParseOptions::all() };
    assert!(parse("up[5m * 2]", &strict).is_err());
    assert!(parse("up[5m]", &strict).is_ok());
}

#[test]
fn depth_is_bounded() {
    for deep in [
        "(".repeat(10_000),
        "-".repeat(100_000) + "1",
        "1+".repeat(100_000) + "1",
        "1^".repeat(100_000) + "1",
        "up[1:]".to_owned() + &"[1:]".repeat(50_000),
        format!("up[{}1]", "(".repeat(50_000)),
        "sum(".repeat(50_000),
        format!("label_join(a{})", ",\"\"".repeat(60_000)),
    ] {
        assert!(parse(&deep, &ParseOptions::all()).is_err());
    }
}

#[test]
fn selectors_functions_and_aggregations_are_listed() {
    let expr = all("sum(rate(a[5m])) / max_over_time(sum(b{c=\"d\"})[1h:])");
    let selectors: Vec<_> = ast::selectors(&expr).iter().map(|(e, _)| e.to_string()).collect();
    assert_eq!(selectors, ["a[5m]", "b{c=\"d\"}"]);
    let functions: Vec<_> = ast::functions(&expr).iter().map(|(_, f)| f.name).collect();
    assert_eq!(functions, ["rate", "max_over_time"]);
    assert_eq!(ast::aggregations(&expr).len(), 2);

    assert_eq!(parse_selector("up{job=\"x\"}").unwrap().matchers.len(), 2);
    assert!(parse_selector("rate(up[5m])").is_err());
    assert!(parse_selector("up offset 5m").is_err());
}
