//! MET004 and MET005: do the values of labels have a bound?

use std::collections::BTreeSet;

use crate::fact::{Field, Source};
use crate::{Case, FactKind, Verdicts};

/// Whether a label's name says that its values have no bound.
fn is_unbounded(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let exact = [
        "user_id",
        "userid",
        "user",
        "username",
        "user_name",
        "email",
        "user_email",
        "session_id",
        "sessionid",
        "session",
        "request_id",
        "requestid",
        "req_id",
        "correlation_id",
        "trace_id",
        "traceid",
        "span_id",
        "order_id",
        "orderid",
        "customer_id",
        "customerid",
        "account_id",
        "accountid",
        "transaction_id",
        "transactionid",
        "payment_id",
        "invoice_id",
        "cart_id",
        "ip",
        "ip_address",
        "client_ip",
        "remote_addr",
        "remote_ip",
        "uuid",
        "guid",
        "timestamp",
        "message",
        "error_message",
        "errormessage",
        "exception_message",
        "query",
        "sql",
        "token",
        "phone",
        "device_id",
        "deviceid",
        "message_id",
        "job_id",
        "task_id",
        "product_id",
        "productid",
        "item_id",
        "document_id",
        "user_agent",
        "useragent",
        "enduser_id",
        "client_address",
        "url_full",
        "full_url",
        "uid",
        "member_id",
    ];
    exact.contains(&name.as_str())
}

/// Calls that leave a value what it is.
const HANDS_ON: [&str; 26] = [
    "str",
    "String",
    "toString",
    "to_string",
    "to_owned",
    "as_str",
    "as_ref",
    "clone",
    "into",
    "unwrap",
    "expect",
    "unwrap_or_default",
    "unwrap_or",
    "format",
    "format!",
    "Sprint",
    "Sprintf",
    "Itoa",
    "FormatInt",
    "valueOf",
    "string",
    "trim",
    "strip",
    "lower",
    "toLowerCase",
    "hex",
];

/// Whether a value is what an error says: each names another file, address or id.
fn is_error_text(source: &Source) -> bool {
    const SAYS: [&str; 9] = [
        "str",
        "String",
        "toString",
        "to_string",
        "format",
        "format!",
        "Error",
        "getMessage",
        "Sprint",
    ];
    let is_error = |name: &str| matches!(name, "e" | "err" | "exc" | "error" | "ex" | "exception");
    let says = |call: &String| SAYS.contains(&call.rsplit(['.', ':']).next().unwrap_or(call));
    let is_told = !source.wrapped.is_empty() && source.wrapped.iter().all(says);
    is_told && is_error(&source.path) || source.path.strip_suffix(".message").is_some_and(is_error)
}

/// Whether what flows into a label has no bound, although its name says nothing.
fn unbounded_source(field: &Field) -> Option<String> {
    field.sources.iter().find_map(|source| {
        let last = source.path.trim_end_matches("()").rsplit('.').next().unwrap_or_default();
        let is_error = is_error_text(source);
        let object = source.path.rsplit('.').nth(1).unwrap_or_default();
        let is_id = last == "id"
            && ["user", "order", "customer", "account", "session", "request", "req", "cart"]
                .contains(&object);
        let bounded = source.wrapped.iter().any(|w| {
            matches!(w.rsplit('.').next(), Some("len" | "bool" | "bucket" | "type" | "normalize"))
        });
        // What an unknown call makes of a value is another one: `client.post(headers(token)).status()`.
        let is_itself = source.wrapped.iter().all(|call| {
            let name = call.rsplit(['.', ':']).next().unwrap_or(call);
            HANDS_ON.contains(&name)
        });
        let by_name = is_itself
            && is_unbounded(last)
            && last != "message"
            && last != "user"
            && last != "query";
        (!bounded && !source.only_truth && (is_error || is_id || by_name))
            .then(|| source.path.clone())
    })
}

pub(super) fn met004(case: &Case<'_>, out: &mut Verdicts) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let given = || {
        let uses = case.facts().filter_map(|(_, fact)| match &fact.kind {
            FactKind::MetricUse(used) => Some(&used.labels),
            _ => None,
        });
        uses.flatten()
    };
    let raw = given().find_map(raw_path);
    let has_patterns = given().any(holds_pattern);
    let is_given = given().any(|field| !field.sources.is_empty());
    for (file, fact) in case.facts() {
        match &fact.kind {
            FactKind::Metric(metric) => {
                for (label, span) in &metric.labels {
                    let is_address = !has_patterns && is_address(label);
                    if !is_unbounded(label) && !is_address {
                        continue;
                    }
                    if is_address && raw.is_some() {
                        // MET005 tells it where the path is put in.
                        continue;
                    }
                    if is_address && (!is_given || matches!(label.as_str(), "path" | "uri")) {
                        out.unknown(
                            format!(
                                "whether label `{label}` holds paths or the patterns of routes"
                            ),
                            format!("the value that `{label}` is given, where it can be read"),
                        );
                        continue;
                    }
                    seen.insert(label.clone());
                    out.finding(
                        file.place(*span),
                        format!("label `{label}` has no bound: each value is a series of its own"),
                    );
                }
            }
            FactKind::MetricUse(used) => {
                for field in &used.labels {
                    let by_name = field
                        .name
                        .as_deref()
                        .filter(|name| is_unbounded(name) && !seen.contains(*name));
                    let is_fixed = field.sources.is_empty();
                    if let Some(name) = by_name.filter(|_| !is_fixed) {
                        out.finding(
                            file.place(field.span),
                            format!(
                                "label `{name}` has no bound: each value is a series of its own"
                            ),
                        );
                    } else if let Some(path) = unbounded_source(field)
                        && !field.name.as_deref().is_some_and(|name| seen.contains(name))
                        && raw_path(field).is_none()
                    {
                        out.finding(
                            file.place(field.span),
                            format!("`{path}` as a label value has no bound"),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a label's name says that it holds an address, which may be the pattern of a route all the same.
fn is_address(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let words = [
        "url",
        "path",
        "uri",
        "request_url",
        "request_path",
        "http_url",
        "http_target",
        "raw_path",
    ];
    words.contains(&name.as_str())
}

/// Whether the pattern of a route flows into a label.
fn holds_pattern(field: &Field) -> bool {
    let is_pattern = |path: &str| {
        let lower = path.to_ascii_lowercase();
        ["route", "template", "endpoint.", "url_rule", "pattern", "matched", "normali"]
            .iter()
            .any(|word| lower.contains(word))
    };
    field.sources.iter().any(|source| {
        is_pattern(&source.path)
            || source.origins.iter().any(|origin| is_pattern(origin))
            || source.wrapped.iter().any(|call| is_pattern(call))
    })
}

/// The raw path of a request that flows into a label, unless a route's pattern does too.
fn raw_path(field: &Field) -> Option<String> {
    let is_raw = |path: &str| {
        let plain = path.trim_start_matches("this.");
        [
            "request.url.path",
            "request.path",
            "req.path",
            "req.url",
            "req.originalUrl",
            "request.url",
            "scope.path",
            "ctx.path",
            "ctx.url",
            "ctx.request.path",
            "r.URL.Path",
            "req.URL.Path",
            "request.raw.url",
            "request.full_path",
            "request.originalUrl",
            "c.Request.URL.Path",
            "r.RequestURI",
            "uri.path()",
            "req.uri().path()",
            "request.uri().path()",
            "request.getRequestURI()",
            "c.Path()",
            "getServletPath()",
            "getRequestURI()",
            "getRequestURL()",
            "getPathInfo()",
        ]
        .iter()
        .any(|raw| plain == *raw || plain.ends_with(&format!(".{raw}")))
    };
    if holds_pattern(field) {
        return None;
    }
    field.sources.iter().find_map(|source| {
        let passes = source.wrapped.iter().all(|w| {
            matches!(
                w.rsplit('.').next(),
                Some(
                    "str"
                        | "String"
                        | "toString"
                        | "to_string"
                        | "to_owned"
                        | "format"
                        | "toLowerCase"
                        | "lower"
                )
            )
        });
        let raw = std::iter::once(&source.path).chain(&source.origins).find(|path| is_raw(path))?;
        (passes && !source.only_truth).then(|| raw.clone())
    })
}

pub(super) fn met005(case: &Case<'_>, out: &mut Verdicts) {
    for (file, fact) in case.facts() {
        let FactKind::MetricUse(used) = &fact.kind else { continue };
        for field in &used.labels {
            if let Some(path) = raw_path(field) {
                out.finding(
                    file.place(field.span),
                    format!("`{path}` as a label value: every id in a path is a series of its own"),
                );
            }
        }
    }
}
