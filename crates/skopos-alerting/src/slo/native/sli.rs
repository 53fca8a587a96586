//! What is counted: events, a histogram and a threshold, or a share.

use std::rc::Rc;

use super::super::indicator;
use super::super::load::error_with_hint;
use super::super::{Count, Indicator, Role};
use super::{given, promql};
use crate::duration::parse_duration;
use crate::rules::load::{Fields, Reader};
use crate::rules::yaml::Node;

const SLI_KEYS: &[&str] =
    &["bad", "good", "total", "histogram", "le", "native", "good_ratio", "bad_ratio"];

pub(in crate::slo) fn read_indicator(
    reader: &mut Reader<'_>,
    node: &Rc<Node>,
) -> Option<(Indicator, Vec<String>)> {
    let fields = reader.fields(node, SLI_KEYS, "`sli`")?;
    let forms = [
        ("`bad` or `good` with `total`", ["bad", "good", "total"].as_slice()),
        ("`histogram` with `le`", &["histogram", "le", "native"]),
        ("`good_ratio`", &["good_ratio"]),
        ("`bad_ratio`", &["bad_ratio"]),
    ];
    let used: Vec<&str> = forms
        .iter()
        .filter(|(_, keys)| keys.iter().any(|key| given(&fields, key).is_some()))
        .map(|(name, _)| *name)
        .collect();
    if used.len() != 1 {
        let message = match used.is_empty() {
            true => "`sli` says nothing".to_string(),
            false => format!("`sli` mixes {}", used.join(" and ")),
        };
        let hint = "give `bad` (or `good`) and `total`; or `histogram` and `le`; or `good_ratio`; or `bad_ratio`";
        error_with_hint(reader, node, "conflict", message, hint);
        return None;
    }
    for (key, role) in [("good_ratio", Role::Good), ("bad_ratio", Role::Bad)] {
        if let Some(at) = given(&fields, key) {
            return promql(reader, at, key, |text, language| {
                indicator::read_ratio(text, role, language)
            });
        }
    }
    if let Some(at) = given(&fields, "histogram") {
        return Some((read_histogram(reader, node, at, &fields)?, Vec::new()));
    }
    let (key, role) = match (given(&fields, "bad"), given(&fields, "good")) {
        (Some(_), None) => ("bad", Role::Bad),
        (None, Some(_)) => ("good", Role::Good),
        (Some(_), Some(good)) => {
            reader.error_on(good, "conflict", "only one of `bad` and `good` may be set");
            return None;
        }
        (None, None) => {
            reader.error_on(node, "missing-key", "`sli` needs `bad` or `good` beside `total`");
            return None;
        }
    };
    let Some(total) = given(&fields, "total") else {
        reader.error_on(node, "missing-key", format!("`sli` needs `total` beside `{key}`"));
        return None;
    };
    let part_at = given(&fields, key)?;
    let part = promql(reader, part_at, key, Count::read);
    let total = promql(reader, total, "total", Count::read);
    let ((part, mut by), (total, total_by)) = (part?, total?);
    if by.is_empty() {
        by = total_by;
    } else if !total_by.is_empty() && total_by != by {
        let message = format!("`{key}` and `total` sum by different labels");
        reader.error_on(part_at, "conflict", message);
        return None;
    }
    Some((Indicator::Events { role, part, total }, by))
}

fn read_histogram(
    reader: &mut Reader<'_>,
    node: &Node,
    at: &Node,
    fields: &Fields<'_>,
) -> Option<Indicator> {
    let histogram = promql(reader, at, "histogram", indicator::read_histogram);
    let Some(le) = given(fields, "le") else {
        reader.error_on(node, "missing-key", "`sli` needs `le` beside `histogram`: the threshold");
        return None;
    };
    let text = reader.string(le, "le")?;
    let seconds = parse_duration(text.trim()).ok().map(|d| d.as_secs_f64());
    let threshold =
        seconds.or_else(|| text.trim().parse::<f64>().ok()).filter(|t| t.is_finite() && *t > 0.0);
    let Some(threshold) = threshold else {
        let message = format!("`le` must be a threshold above 0, found {text:?}");
        error_with_hint(
            reader,
            le,
            "value",
            message,
            "write `300ms`, or `0.3` in the histogram's unit",
        );
        return None;
    };
    let native = given(fields, "native").map(|at| flag(reader, at, "native"));
    let is_native = native.unwrap_or(Some(false))?;
    let histogram = histogram?;
    Some(match is_native {
        true => Indicator::NativeLatency { histogram, threshold },
        false => Indicator::Latency { histogram, threshold },
    })
}

fn flag(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<bool> {
    match reader.string(node, key)?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            reader.error_on(
                node,
                "value",
                format!("`{key}` must be true or false, found {other:?}"),
            );
            None
        }
    }
}
