//! Texts become indicators: selectors and queries that people write are taken apart, or refused with the place and a hint.

use skopos_model::METRIC_NAME;
use skopos_promql::ast::{AggregateOp, BinaryOp, Expr, ExprKind, VectorSelector, selectors};
use skopos_promql::{ParseOptions, parse};

use super::{Bucket, Count, Indicator, Role, find_variable};

/// Why a text is no indicator, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::slo) struct Mistake {
    /// Byte offset in the text.
    pub(in crate::slo) offset: usize,
    /// Characters meant.
    pub(in crate::slo) length: usize,
    pub(in crate::slo) message: String,
    pub(in crate::slo) hint: Option<String>,
}

impl Mistake {
    fn whole(text: &str, message: impl Into<String>, hint: &str) -> Self {
        let offset = text.len() - text.trim_start().len();
        let length = text.trim().chars().count().max(1);
        let hint = (!hint.is_empty()).then(|| hint.to_string());
        Self { offset, length, message: message.into(), hint }
    }
}

/// Parses a query in which the variable stands for a width of the same length, so that places of
/// errors hold.
fn parse_query(text: &str, language: &ParseOptions) -> Result<Expr, Mistake> {
    let mut same_length = text.to_string();
    while let Some((at, length)) = find_variable(&same_length) {
        same_length.replace_range(at..at + length, &format!("{:length$}", "5m"));
    }
    parse(&same_length, language).map_err(|error| Mistake {
        offset: error.span.start,
        length: error.span.end.saturating_sub(error.span.start).max(1),
        message: format!("not PromQL: {}", error.message),
        hint: error.suggestion.map(|meant| format!("did you mean `{meant}`?")),
    })
}

/// A counter that a query sums, and by which labels.
#[derive(Debug, PartialEq)]
struct Summed {
    selector: String,
    by: Vec<String>,
}

/// `sum by (…) (rate(selector[…]))`, with `increase` or without `by`.
fn summed(expr: &Expr) -> Option<Summed> {
    let ExprKind::Aggregate(aggregate) = &expr.unparenthesised().kind else { return None };
    if aggregate.op != AggregateOp::Sum || aggregate.without {
        return None;
    }
    let ExprKind::Call(call) = &aggregate.expr.unparenthesised().kind else { return None };
    if !matches!(call.func.name, "rate" | "increase") {
        return None;
    }
    let ExprKind::Matrix { selector, .. } = &call.args.first()?.kind else { return None };
    let mut by = aggregate.grouping.clone();
    by.sort();
    Some(Summed { selector: plain_selector(selector)?, by })
}

fn plain_selector(selector: &VectorSelector) -> Option<String> {
    if selector.offset.is_some() || selector.at.is_some() || selector.mode.is_some() {
        return None;
    }
    let span = skopos_promql::Span { start: 0, end: 0 };
    Some(Expr { span, kind: ExprKind::Vector(selector.clone()) }.to_string())
}

impl Count {
    /// Reads a selector or a query. Labels by which it sums are returned beside it.
    pub(in crate::slo) fn read(
        text: &str,
        language: &ParseOptions,
    ) -> Result<(Self, Vec<String>), Mistake> {
        let expr = parse_query(text, language)?;
        if let ExprKind::Vector(selector) = &expr.unparenthesised().kind {
            let hint = "name the counter by its selector alone: the slices say which time is meant";
            return match plain_selector(selector) {
                Some(selector) => Ok((Self::Counter(selector), Vec::new())),
                None => Err(Mistake::whole(text, "a counter has no `offset` and no `@`", hint)),
            };
        }
        if let Some(Summed { selector, by }) = summed(&expr) {
            return Ok((Self::Counter(selector), by));
        }
        if matches!(expr.kind, ExprKind::Matrix { .. }) {
            let hint = "leave the range in brackets away";
            return Err(Mistake::whole(text, "events are a counter, not a range of one", hint));
        }
        if find_variable(text).is_none() {
            let hint =
                "name a counter (`http_requests_total{…}`), or write the window as `[$window]`";
            let message = "this query does not say over which window it counts";
            return Err(Mistake::whole(text, message, hint));
        }
        Ok((Self::Query(text.trim().to_string()), Vec::new()))
    }
}

/// A query with the labels by which its parts sum, if it is a quotient of counters.
pub(in crate::slo) fn read_ratio(
    text: &str,
    role: Role,
    language: &ParseOptions,
) -> Result<(Indicator, Vec<String>), Mistake> {
    let expr = parse_query(text, language)?;
    if let Some(found) = quotient(&expr, role) {
        return Ok(found);
    }
    if !matches!(expr.value_type(), skopos_promql::ValueType::Vector) {
        let message =
            format!("a ratio must be an instant vector, found a {}", expr.value_type().describe());
        return Err(Mistake::whole(text, message, ""));
    }
    Ok((Indicator::Ratio { role, query: text.trim().to_string() }, Vec::new()))
}

/// `part / total` or `1 - part / total`.
fn quotient(expr: &Expr, role: Role) -> Option<(Indicator, Vec<String>)> {
    let ExprKind::Binary(binary) = &expr.unparenthesised().kind else { return None };
    match binary.op {
        BinaryOp::Sub => {
            let ExprKind::Number(number) = &binary.lhs.unparenthesised().kind else { return None };
            if number.value != 1.0 {
                return None;
            }
            let other = match role {
                Role::Bad => Role::Good,
                Role::Good => Role::Bad,
            };
            quotient(&binary.rhs, other)
        }
        BinaryOp::Div => {
            let (part, total) = (summed(&binary.lhs)?, summed(&binary.rhs)?);
            if part.by != total.by {
                return None;
            }
            let counter = |summed: &Summed| Count::Counter(summed.selector.clone());
            let (part_count, total) = (counter(&part), counter(&total));
            Some((Indicator::Events { role, part: part_count, total }, part.by))
        }
        _ => None,
    }
}

/// The bucket that a selector or a query counts.
pub(super) fn bucket_of(text: &str) -> Option<Bucket> {
    let expr = parse_query(text, &ParseOptions::default()).ok()?;
    selectors(&expr).into_iter().find_map(|(_, selector)| {
        selector.name.as_ref().filter(|name| name.ends_with("_bucket"))?;
        let bound = selector.matchers.iter().find(|m| m.name() == "le")?.value().to_string();
        let mut all = selector.clone();
        all.matchers.retain(|m| m.name() != "le");
        Some(Bucket { bound, all: plain_selector(&all) })
    })
}

/// Whether a selector selects all observations of the very series of which another one selects a bucket.
pub(super) fn is_whole_of(total: &str, bucket: &str) -> bool {
    let read = |text: &str| match parse_query(text, &ParseOptions::default()).ok()?.kind {
        ExprKind::Vector(selector) => Some(selector),
        _ => None,
    };
    let (Some(total), Some(bucket)) = (read(total), read(bucket)) else { return false };
    let base = |selector: &VectorSelector, suffix: &str| -> Option<String> {
        selector.name.as_deref()?.strip_suffix(suffix).map(str::to_string)
    };
    let is_all = |m: &skopos_model::LabelMatcher| m.name() == "le" && m.value() == "+Inf";
    let name = match total.matchers.iter().any(is_all) {
        true => base(&total, "_bucket"),
        false => base(&total, "_count"),
    };
    // In any order: they all have to hold.
    let others = |selector: &VectorSelector| {
        let others = selector.matchers.iter().map(|m| (m.name(), m));
        let others = others.filter(|(name, _)| !matches!(*name, METRIC_NAME | "le"));
        let mut others: Vec<String> = others.map(|(_, m)| m.to_string()).collect();
        others.sort();
        others
    };
    name.is_some() && name == base(&bucket, "_bucket") && others(&total) == others(&bucket)
}

/// Reads the selector of a histogram; `_bucket`, `_count` and `_sum` at the end of its name and `le`
/// among its labels are mistakes worth naming.
pub(in crate::slo) fn read_histogram(
    text: &str,
    language: &ParseOptions,
) -> Result<String, Mistake> {
    let expr = parse_query(text, language)?;
    let selector = match &expr.unparenthesised().kind {
        ExprKind::Vector(selector) => selector,
        _ => return Err(Mistake::whole(text, "a histogram is named by a selector", "")),
    };
    let plain = plain_selector(selector);
    let plain =
        plain.ok_or_else(|| Mistake::whole(text, "a histogram has no `offset` and no `@`", ""))?;
    let Some(name) = &selector.name else {
        return Err(Mistake::whole(
            text,
            "a histogram is named by its metric",
            "write the name before the braces",
        ));
    };
    if plain.starts_with('{') {
        let hint = "give its counters as `good` and `total` instead";
        return Err(Mistake::whole(text, "a histogram's name must do without quotes", hint));
    }
    for suffix in ["_bucket", "_count", "_sum"] {
        if let Some(base) = name.strip_suffix(suffix) {
            let hint = format!("write `{base}`");
            return Err(Mistake::whole(
                text,
                format!("name the histogram without `{suffix}`"),
                &hint,
            ));
        }
    }
    if selector.matchers.iter().any(|matcher| matcher.name() == "le") {
        let hint = "the threshold stands beside it, as `le: 300ms`";
        return Err(Mistake::whole(text, "a histogram is selected without `le`", hint));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(text: &str) -> Count {
        Count::Counter(text.into())
    }

    #[test]
    fn the_guides_queries_are_taken_apart() {
        let language = ParseOptions::default();
        let availability = "1 - (sum(rate(http_requests_total{status_code=~\"5..\"}[30d]))\n/ sum(rate(http_requests_total[30d])))\n";
        let (found, by) = read_ratio(availability, Role::Good, &language).unwrap();
        let want = Indicator::Events {
            role: Role::Bad,
            part: counter(r#"http_requests_total{status_code=~"5.."}"#),
            total: counter("http_requests_total"),
        };
        assert_eq!((found, by), (want, Vec::new()));

        let latency = "sum(rate(http_request_duration_seconds_bucket{le=\"0.2\"}[30d]))\n/ sum(rate(http_request_duration_seconds_count[30d]))";
        let (found, _) = read_ratio(latency, Role::Good, &language).unwrap();
        let want = Indicator::Events {
            role: Role::Good,
            part: counter(r#"http_request_duration_seconds_bucket{le="0.2"}"#),
            total: counter("http_request_duration_seconds_count"),
        };
        assert_eq!(found, want);
    }

    #[test]
    fn buckets_know_the_counters_of_all_their_observations() {
        for (total, bucket, want) in [
            ("h_count", r#"h_bucket{le="1"}"#, true),
            (r#"h_bucket{le="+Inf"}"#, r#"h_bucket{le="1"}"#, true),
            (r#"h_count{a="b",c=~"d"}"#, r#"h_bucket{c=~"d",le="1",a="b"}"#, true),
            (r#"h_count{a="b"}"#, r#"h_bucket{a="c",le="1"}"#, false),
            // What failed is not within any time: of such series there is no good bucket.
            ("h_count", r#"h_bucket{le="1",code!="500"}"#, false),
            ("other_count", r#"h_bucket{le="1"}"#, false),
            ("h_total", r#"h_bucket{le="1"}"#, false),
            (r#"h_bucket{le="2"}"#, r#"h_bucket{le="1"}"#, false),
        ] {
            assert_eq!(is_whole_of(total, bucket), want, "{total} {bucket}");
        }
    }

    #[test]
    fn counts_are_read_and_refused() {
        let language = ParseOptions::default();
        for (text, want) in [
            ("a_total", Ok(counter("a_total"))),
            (r#"(a_total{x="1"})"#, Ok(counter(r#"a_total{x="1"}"#))),
            ("sum by (r) (rate(a_total[{{.window}}]))", Ok(counter("a_total"))),
            ("sum(increase(a_total[$window]))", Ok(counter("a_total"))),
            (
                "count_over_time(up[$window])",
                Ok(Count::Query("count_over_time(up[$window])".into())),
            ),
            (
                "sum(rate(a[$window] offset 1h))",
                Ok(Count::Query("sum(rate(a[$window] offset 1h))".into())),
            ),
            ("a_total offset 5m", Err("no `offset`")),
            ("a_total[5m]", Err("not a range")),
            ("max(a)", Err("which window")),
            ("sum(", Err("not PromQL")),
        ] {
            match (Count::read(text, &language), want) {
                (Ok((found, _)), Ok(want)) => assert_eq!(found, want, "{text}"),
                (Err(found), Err(want)) => assert!(found.message.contains(want), "{found:?}"),
                (found, want) => panic!("{text}: {found:?}, wanted {want:?}"),
            }
        }
        let (_, by) = Count::read("sum by (r) (rate(a_total[1m]))", &language).unwrap();
        assert_eq!(by, ["r"]);
    }

    #[test]
    fn errors_keep_their_places_beside_variables() {
        let text = "sum_over_time(a[{{ .window }}:]) + foo(";
        let error = Count::read(text, &ParseOptions::default()).unwrap_err();
        assert!(error.offset >= text.find("foo").unwrap(), "{error:?}");
        assert_eq!(super::super::with_window(text, "1m"), "sum_over_time(a[1m:]) + foo(");
    }
}
