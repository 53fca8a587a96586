//! RED and saturation on `/metrics`.

use super::page::Page;
use super::{Case, Finding};
use crate::shown::{list, shown};

const RATE: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const IN_PROGRESS: &str = "http_requests_in_progress";

/// What a page needs to settle what it does not.
const OPEN_FIRST: &str = "let /metrics be read first; or say where it is with --ops URL";

fn pages<'a>(case: &'a Case<'_>) -> Result<(&'a Page, &'a Page), Finding> {
    match (&case.before, &case.after) {
        (Ok(before), Ok(after)) => Ok((before, after)),
        (Err(reason), _) | (_, Err(reason)) => Err(Finding::settled_by(reason.clone(), OPEN_FIRST)),
    }
}

/// Labels that no series of a metric has.
fn missing<'a>(page: &Page, name: &str, labels: &[&'a str]) -> Vec<&'a str> {
    let has = |label: &str| page.named(name).any(|(series, _)| series.labels.get(label).is_some());
    labels.iter().copied().filter(|label| !has(label)).collect()
}

/// What there is in the place of a metric.
fn instead(page: &Page, name: &str, words: &[&str]) -> String {
    let mut like = page.like(words);
    // Each of the guide's own metrics has its own demand.
    like.retain(|name| ![RATE, DURATION, IN_PROGRESS].iter().any(|own| name.starts_with(own)));
    // A histogram is three names of one thing; its count stands for it.
    let is_part =
        |name: &str| ["_bucket", "_sum", "_created"].iter().any(|end| name.ends_with(end));
    if words.iter().all(|word| !word.starts_with('_')) {
        like.retain(|name| !is_part(name));
    }
    match like.is_empty() {
        true => format!("there is no {name}"),
        false => format!("there is no {name}; but {}", list(like, 3)),
    }
}

pub(super) fn open(case: &Case<'_>) -> Finding {
    match (&case.before, &case.after) {
        (Ok(_), Ok(after)) if after.all().is_empty() => Finding::failed("/metrics is empty"),
        (Ok(_), Ok(after)) => Finding::ok(format!("{} series", after.all().len())),
        (Err(reason), _) | (_, Err(reason)) => Finding::failed(reason.clone()),
    }
}

pub(super) fn rate(case: &Case<'_>) -> Finding {
    let (before, after) = match pages(case) {
        Ok(pages) => pages,
        Err(finding) => return finding,
    };
    if after.named(RATE).next().is_none() {
        return Finding::failed(instead(after, RATE, &["http", "request"]));
    }
    let missing = missing(after, RATE, &["method", "endpoint", "status_code"]);
    if !missing.is_empty() {
        return Finding::failed(format!("{RATE} has no label {}", list(missing, 3)));
    }
    let rose = after.sum(RATE) - before.sum(RATE);
    let sent = case.seen.requests;
    #[expect(clippy::cast_precision_loss, reason = "a dozen requests")]
    let sent_as_float = sent as f64;
    if rose >= sent_as_float {
        return Finding::ok("");
    }
    Finding::failed(match rose > 0.0 {
        false => format!("{RATE} did not rise while {sent} requests were answered"),
        // One page of several processes: each counts its own.
        true => format!(
            "{RATE} rose by {rose} while {sent} requests were answered; does every worker process answer for itself?"
        ),
    })
}

pub(super) fn errors(case: &Case<'_>) -> Finding {
    let (before, after) = match pages(case) {
        Ok(pages) => pages,
        Err(finding) => return finding,
    };
    if after.named(RATE).next().is_none() {
        return Finding::failed(instead(after, RATE, &["http", "request"]));
    }
    let Some(status) = case.seen.unknown.as_ref().ok().map(|answer| answer.status) else {
        return Finding::settled_by("the unknown path was not answered", "see the last section");
    };
    if status < 400 {
        return Finding::settled_by(
            format!("no error could be caused: the unknown path answers {status}"),
            "look at http_requests_total after a real error",
        );
    }
    let word = status.to_string();
    let count = |page: &Page| -> f64 {
        let of_status = |label: Option<&str>| label == Some(&word);
        let named = page.named(RATE);
        named
            .filter(|(series, _)| of_status(series.labels.get("status_code")))
            .map(|(_, v)| v)
            .sum()
    };
    match count(after) > count(before) {
        true => Finding::ok(format!("the {status} is counted under status_code=\"{status}\"")),
        false => Finding::failed(format!(
            "an answer {status} left no trace under status_code=\"{status}\""
        )),
    }
}

pub(super) fn duration(case: &Case<'_>) -> Finding {
    let (before, after) = match pages(case) {
        Ok(pages) => pages,
        Err(finding) => return finding,
    };
    let bucket = format!("{DURATION}_bucket");
    if after.named(&bucket).next().is_none() {
        if after.named(DURATION).any(|(series, _)| series.labels.get("quantile").is_some()) {
            return Finding::failed(format!(
                "{DURATION} is a summary: its quantiles cannot be added up over instances"
            ));
        }
        return Finding::failed(instead(after, DURATION, &["duration", "_bucket"]));
    }
    let missing = missing(after, &bucket, &["method", "endpoint"]);
    if !missing.is_empty() {
        return Finding::failed(format!("{DURATION} has no label {}", list(missing, 2)));
    }
    let mut bounds: Vec<f64> = after
        .named(&bucket)
        .filter_map(|(series, _)| series.labels.get("le")?.parse().ok())
        .filter(|bound: &f64| bound.is_finite())
        .collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    let has = |low: f64, high: f64| bounds.iter().any(|bound| (low..=high).contains(bound));
    if bounds.len() < 6 || !has(0.001, 0.05) || !has(0.1, 0.5) || !has(1.0, 10.0) {
        let shown: Vec<String> = bounds.iter().map(f64::to_string).collect();
        return Finding::failed(format!(
            "its buckets do not resolve 5 ms to 10 s: {}",
            if shown.is_empty() { "none".to_owned() } else { list(shown, 12) }
        ));
    }
    let count = format!("{DURATION}_count");
    match after.sum(&count) > before.sum(&count) {
        true => Finding::ok(format!("{} buckets", bounds.len())),
        false => Finding::failed(format!("{count} did not rise while requests were answered")),
    }
}

pub(super) fn in_progress(case: &Case<'_>) -> Finding {
    let (_, after) = match pages(case) {
        Ok(pages) => pages,
        Err(finding) => return finding,
    };
    if after.named(IN_PROGRESS).next().is_none() {
        return Finding::failed(instead(after, IN_PROGRESS, &["http", "progress"]));
    }
    let missing = missing(after, IN_PROGRESS, &["method", "endpoint"]);
    if !missing.is_empty() {
        return Finding::failed(format!("{IN_PROGRESS} has no label {}", list(missing, 2)));
    }
    match after.named(IN_PROGRESS).find(|(_, value)| *value < 0.0) {
        Some((series, value)) => {
            Finding::failed(format!("{} is {value}", shown(&series.labels.to_string())))
        }
        None => Finding::ok(""),
    }
}

pub(super) fn saturation(case: &Case<'_>) -> Finding {
    let (_, after) = match pages(case) {
        Ok(pages) => pages,
        Err(finding) => return finding,
    };
    let usage = "db_connection_pool_usage_ratio";
    if let Some((_, value)) = after.named(usage).find(|(_, value)| !(0.0..=1.0).contains(value)) {
        return Finding::failed(format!("{usage} is {value}, not between 0 and 1"));
    }
    let mut found: Vec<&str> = after
        .all()
        .iter()
        .map(|series| series.labels.metric_name())
        .filter(|name| is_saturation(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    match found.is_empty() {
        true => Finding::failed("nothing on /metrics tells of pools, queues or memory"),
        false => Finding::ok(list(found, 3)),
    }
}

fn is_saturation(name: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    (has(&["pool"]) && has(&["usage", "in_use", "idle", "connections", "wait", "active", "size"]))
        || (has(&["queue"]) && has(&["depth", "length", "size"]))
        || has(&[
            "resident_memory_bytes",
            "memory_usage",
            "heap_inuse",
            "memory_used_bytes",
            "heap_size_used",
        ])
}
