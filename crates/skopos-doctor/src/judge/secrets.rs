//! Secrets: the canary in telemetry, real ones in answers, and what answers tell of the software.

use skopos_redact::Redactor;

use super::{Case, Finding};
use crate::seen::{Answer, Seen};
use crate::shown::{list, shown};

pub(super) fn telemetry(case: &Case<'_>) -> Finding {
    let seen = case.seen;
    let canary = seen.ids.canary();
    let mut places = Vec::new();
    let lines = &seen.heard.lines;
    if lines.iter().any(|line| line.raw.contains(&canary)) {
        places.push("log lines");
    }
    let spans = &seen.heard.spans;
    if spans.iter().any(|span| span.text.contains(&canary)) {
        places.push("spans");
    }
    let metrics = seen.metrics_after.as_ref().ok();
    if metrics.is_some_and(|answer| answer.body.contains(&canary)) {
        places.push("/metrics");
    }
    if !places.is_empty() {
        return Finding::failed(format!(
            "a token that was sent as Authorization, cookie and query stands in {}",
            places.join(" and ")
        ));
    }
    let redactor = Redactor::default();
    for line in lines {
        if let Some(kind) = redactor.redact_text(&line.raw).hits.first() {
            return Finding::failed(format!("a line shows {kind}: {}", shown(&line.raw)));
        }
    }
    // A Skopos has redacted what it shows; that is no proof of what it was sent.
    if seen.source.from_skopos || (lines.is_empty() && spans.is_empty()) {
        return Finding::unknown(match seen.source.from_skopos {
            true => "what a Skopos shows is redacted already",
            false => "neither lines nor spans came",
        });
    }
    Finding::ok(format!("{} lines and {} spans looked through", lines.len(), spans.len()))
}

/// Bytes of one answer that are looked through for secrets.
const LOOKED_THROUGH: usize = 2 << 20;

/// Marks of a stack trace or of source files.
const TRACES: &[&str] = &[
    "Traceback (most recent call last)",
    "panicked at",
    "goroutine 1 [",
    "Exception in thread",
    "\n\tat ",
    "\n    at ",
    "stack backtrace:",
];

pub(super) fn answers(seen: &Seen) -> Finding {
    let canary = seen.ids.canary();
    let redactor = Redactor::default();
    let all = [
        ("the answer", &seen.plain[0]),
        ("the answer to an unknown path", &seen.unknown),
        ("the answer to malformed ids", &seen.hostile),
        ("/health/live", &seen.live),
        ("/health/ready", &seen.ready),
        ("/health/startup", &seen.startup),
        ("/metrics", &seen.metrics_after),
    ];
    let mut looked = 0;
    for (name, answer) in all {
        let Ok(answer) = answer else { continue };
        looked += 1;
        if let Some(mark) = TRACES.iter().find(|mark| answer.body.contains(**mark)) {
            return Finding::failed(format!("{name} shows a stack trace ({})", shown(mark)));
        }
        if answer.body.contains(&canary) {
            return Finding::failed(format!("{name} shows a token of another request"));
        }
        // A page for people has forms and scripts with such names.
        let is_page = answer.header("content-type").is_some_and(|kind| kind.contains("html"));
        if is_page {
            continue;
        }
        let end = answer.body.floor_char_boundary(LOOKED_THROUGH);
        if let Some(kind) = redactor.redact_text(&answer.body[..end]).hits.first() {
            return Finding::failed(format!("{name} shows a secret ({kind})"));
        }
    }
    match looked {
        0 => Finding::settled_by("nothing answered", "see the last section"),
        _ => Finding::ok(format!("{looked} answers looked through")),
    }
}

pub(super) fn versions(seen: &Seen) -> Finding {
    let mut told = Vec::new();
    for answer in [&seen.plain[0], &seen.unknown, &seen.live].into_iter().flatten() {
        told.extend(telling(answer));
    }
    told.sort();
    told.dedup();
    if !told.is_empty() {
        return Finding::failed(list(told, 3));
    }
    match seen.plain[0].is_ok() {
        true => Finding::ok(""),
        false => Finding::settled_by("nothing answered", "see the last section"),
    }
}

fn telling(answer: &Answer) -> impl Iterator<Item = String> {
    answer.headers.iter().filter_map(|(name, value)| {
        let is_told = match name.as_str() {
            "server" => value.bytes().any(|byte| byte.is_ascii_digit()),
            "x-powered-by" | "x-aspnet-version" | "x-aspnetmvc-version" | "x-runtime-version" => {
                true
            }
            _ => false,
        };
        is_told.then(|| format!("{name}: {value}"))
    })
}
