//! From what was seen to verdicts: pure, one function for each demand.

use crate::demand::DEMANDS;
use crate::heard::Heard;
use crate::report::{Report, Status, Verdict};
use crate::seen::{Answer, Seen, Try};
use crate::shown::shown;

mod errors;
mod health;
mod labels;
mod lines;
mod metrics;
mod page;
mod requests;
mod secrets;
mod traces;

use page::Page;

/// What a demand came to, before it has its name.
pub(crate) enum Finding {
    Ok(String),
    Failed(String),
    /// Nothing was seen; how to see more is the visit's advice, unless said here.
    Unknown(String, Option<String>),
}

impl Finding {
    fn ok(found: impl Into<String>) -> Finding {
        Finding::Ok(found.into())
    }

    fn failed(found: impl Into<String>) -> Finding {
        Finding::Failed(found.into())
    }

    fn unknown(found: impl Into<String>) -> Finding {
        Finding::Unknown(found.into(), None)
    }

    fn settled_by(found: impl Into<String>, settle: impl Into<String>) -> Finding {
        Finding::Unknown(found.into(), Some(settle.into()))
    }
}

/// What several judges look at.
pub(crate) struct Case<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) before: Result<Page, String>,
    pub(crate) after: Result<Page, String>,
}

/// Judges what was seen: one verdict for each demand, in the demands' order.
pub fn judge(seen: &Seen) -> Report {
    let case = Case {
        seen,
        before: Page::read(&seen.metrics_before),
        after: Page::read(&seen.metrics_after),
    };
    let verdicts = DEMANDS.iter().map(|demand| {
        let finding = match demand.id {
            "request-id-echoed" => requests::echoed(seen),
            "request-id-generated" => requests::generated(seen),
            "correlation-id-taken" => requests::correlation(seen),
            "hostile-ids-harmless" => requests::hostile(seen),
            "log-structured" => lines::structured(seen),
            "log-complete" => lines::complete(seen),
            "log-correlated" => lines::correlated(seen),
            "log-level" => lines::level(seen),
            "log-no-secrets" => secrets::telemetry(&case),
            "answers-no-secrets" => secrets::answers(seen),
            "answers-no-versions" => secrets::versions(seen),
            "trace-continued" => traces::continued(&case),
            "trace-resource" => traces::resource(seen),
            "trace-request-span" => traces::request_span(seen),
            "metrics-open" => metrics::open(&case),
            "red-rate" => metrics::rate(&case),
            "red-errors" => metrics::errors(&case),
            "red-duration" => metrics::duration(&case),
            "red-in-progress" => metrics::in_progress(&case),
            "labels-bounded" => labels::bounded(&case),
            "labels-unknown-paths" => labels::unknown_paths(&case),
            "probe-live" => health::live(seen),
            "probe-live-alone" => health::live_alone(seen),
            "probe-ready" => health::ready(seen),
            "probe-startup" => health::startup(seen),
            "probes-open" => health::open(seen),
            "probes-not-logged" => lines::probes(seen),
            "errors-honest" => errors::honest(seen),
            "saturation" => metrics::saturation(&case),
            // A demand without a judge cannot be: a test walks all of them.
            other => Finding::unknown(format!("nothing judges {other}")),
        };
        let (status, found, settle) = match finding {
            Finding::Ok(found) => (Status::Ok, found, None),
            Finding::Failed(found) => (Status::Failed, found, None),
            Finding::Unknown(found, settle) => {
                let settle = settle.unwrap_or_else(|| seen.source.advice.clone());
                (Status::Unknown, found, Some(settle))
            }
        };
        Verdict { demand, status, found, settle }
    });
    Report { url: seen.url.clone(), verdicts: verdicts.collect(), notes: notes(seen) }
}

/// Whether all that can come has come: a span and a line of the marked request, as far as somebody listens for them.
pub fn is_heard(seen: &Seen, heard: &Heard) -> bool {
    let ids = &seen.ids;
    let has_span = heard.spans.iter().any(|span| span.trace_id == ids.trace_id);
    let has_line = heard.lines.iter().any(|line| lines::is_marked(line, ids));
    let (otlp, logs) = (seen.source.otlp.is_some(), seen.source.logs.is_some());
    (has_span || !otlp) && (has_line || !(otlp || logs))
}

fn notes(seen: &Seen) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(answer) = &seen.plain[0] {
        match answer.status {
            401 | 403 => notes.push(format!(
                "{} answers {}: give what it wants with --header, to see more",
                seen.url, answer.status
            )),
            404 => notes.push(format!(
                "{} answers 404: give the address of a route that exists, to see more",
                seen.url
            )),
            300..=399 => notes.push(format!(
                "{} answers {} to {}: redirects are not followed",
                seen.url,
                answer.status,
                shown(answer.header("location").unwrap_or("nowhere"))
            )),
            _ => {}
        }
    }
    if let Some(reason) = &seen.heard.refused {
        notes.push(format!("OTLP came that could not be read: {reason}"));
    }
    if seen.heard.dropped > 0 {
        notes.push(format!("{} spans and lines came beyond what is kept", seen.heard.dropped));
    }
    notes
}

/// The answer, or the finding that there was none.
pub(crate) fn answered(answer: &Try) -> Result<&Answer, Finding> {
    answer.as_ref().map_err(|reason| Finding::failed(format!("no answer: {reason}")))
}
