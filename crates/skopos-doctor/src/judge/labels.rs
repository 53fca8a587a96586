//! Labels of `/metrics`: bounded, or on the way to a page at three in the morning.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Finding};
use crate::shown::shown;

/// The guide's bound: fewer than so many values of one label.
const FEW: usize = 100;

/// Labels that are ids by their name, in lower case without `_`, `-` and `.`.
const ID_NAMES: &[&str] = &[
    "userid",
    "uid",
    "customerid",
    "accountid",
    "orderid",
    "sessionid",
    "session",
    "requestid",
    "correlationid",
    "traceid",
    "spanid",
    "email",
    "clientip",
    "remoteaddr",
    "timestamp",
    "uuid",
];

/// Labels whose values may look like ids: bounds, and who was built from what.
const EXEMPT: &[&str] = &["le", "quantile", "version", "revision", "commit", "otel_scope_version"];

pub(super) fn bounded(case: &Case<'_>) -> Finding {
    let page = match &case.after {
        Ok(page) => page,
        Err(reason) => {
            return Finding::settled_by(
                reason.clone(),
                "let /metrics be read first; or say where it is with --ops URL",
            );
        }
    };
    let mut values: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let unknown = case.seen.ids.unknown_path();
    for series in page.all() {
        let metric = series.labels.metric_name();
        // One series each, and there to name versions.
        if metric.ends_with("_info") {
            continue;
        }
        for (label, value) in series.labels.iter() {
            // What the doctor caused itself has its own demand.
            let is_ours = value.contains(&unknown);
            if label != "__name__" && !EXEMPT.contains(&label) && !value.is_empty() && !is_ours {
                values.entry((metric, label)).or_default().insert(value);
            }
        }
    }
    for ((metric, label), values) in &values {
        let place = || format!("{}{{{}}}", shown(metric), shown(label));
        let plain: String = label.to_ascii_lowercase().replace(['_', '-', '.'], "");
        if ID_NAMES.contains(&plain.as_str()) {
            return Finding::failed(format!("{} is an id by its name", place()));
        }
        if values.len() >= FEW {
            return Finding::failed(format!("{} has {} values", place(), values.len()));
        }
        if let Some((value, what)) =
            values.iter().find_map(|value| Some((value, looks_like_id(value)?)))
        {
            return Finding::failed(format!("{} is {what}: {}", place(), shown(value)));
        }
    }
    let most = values.values().map(BTreeSet::len).max().unwrap_or(0);
    Finding::ok(format!("at most {most} values of a label"))
}

pub(super) fn unknown_paths(case: &Case<'_>) -> Finding {
    let page = match &case.after {
        Ok(page) => page,
        Err(reason) => {
            return Finding::settled_by(
                reason.clone(),
                "let /metrics be read first; or say where it is with --ops URL",
            );
        }
    };
    let tag = &case.seen.ids.tag;
    for series in page.all() {
        for (label, value) in series.labels.iter() {
            if value.contains(tag.as_str()) {
                return Finding::failed(format!(
                    "{}{{{}=\"{}\"}}: whoever tries paths makes series",
                    shown(series.labels.metric_name()),
                    shown(label),
                    shown(value)
                ));
            }
        }
    }
    match &case.seen.unknown {
        Ok(_) => Finding::ok(""),
        Err(_) => Finding::settled_by("the unknown path was not answered", "see the last section"),
    }
}

/// What a value is, when it is none of a small set.
fn looks_like_id(value: &str) -> Option<&'static str> {
    if is_uuid(value) {
        return Some("a UUID");
    }
    if let Some(path) = value.strip_prefix('/') {
        let is_id = |part: &str| {
            !part.is_empty()
                && (is_uuid(part)
                    || is_hex_id(part)
                    || part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        return path.split('/').any(is_id).then_some("a path with an id in it");
    }
    if is_hex_id(value) {
        return Some("a hexadecimal id");
    }
    if value.len() >= 6 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("a number like an id or a time");
    }
    let bytes = value.as_bytes();
    if bytes.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b' ')
    {
        return Some("a time");
    }
    let (name, domain) = value.split_once('@')?;
    let is_mail = !name.is_empty() && domain.contains('.') && !value.contains(['/', ' ']);
    is_mail.then_some("an e-mail address")
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_hex_id(value: &str) -> bool {
    value.len() >= 16
        && value.bytes().all(|byte| byte.is_ascii_hexdigit())
        && value.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::looks_like_id;

    #[test]
    fn ids_are_told_from_names() {
        for (value, expected) in [
            ("550e8400-e29b-41d4-a716-446655440000", Some("a UUID")),
            ("4bf92f3577b34da6a3ce929d0e0e4736", Some("a hexadecimal id")),
            ("1760000000", Some("a number like an id or a time")),
            ("2026-11-23T05:00:00Z", Some("a time")),
            ("ann@example.org", Some("an e-mail address")),
            ("/orders/17", Some("a path with an id in it")),
            ("/users/550e8400-e29b-41d4-a716-446655440000/cart", Some("a path with an id in it")),
            ("/orders/{id}", None),
            ("/api/v1/query", None),
            ("200", None),
            ("8000", None),
            ("GET", None),
            ("deadbeefdeadbeef", None),
            ("eu-west-1", None),
            ("", None),
            ("@", None),
            ("ääääääääääääääääääää", None),
        ] {
            assert_eq!(looks_like_id(value), expected, "{value}");
        }
    }
}
