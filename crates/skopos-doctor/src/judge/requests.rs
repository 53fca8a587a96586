//! Ids of requests.

use super::{Finding, answered};
use crate::seen::{Answer, Seen};
use crate::shown::shown;

const HEADER: &str = "x-request-id";

fn id(answer: &Answer) -> Option<&str> {
    answer.header(HEADER).map(str::trim).filter(|id| !id.is_empty())
}

pub(super) fn echoed(seen: &Seen) -> Finding {
    let answer = match answered(&seen.marked) {
        Ok(answer) => answer,
        Err(finding) => return finding,
    };
    let sent = seen.ids.request_id();
    match id(answer) {
        Some(id) if id == sent => Finding::ok(""),
        Some(id) => {
            Finding::failed(format!("X-Request-ID: {sent} was sent, {} came back", shown(id)))
        }
        None => Finding::failed(format!("X-Request-ID: {sent} was sent, none came back")),
    }
}

pub(super) fn generated(seen: &Seen) -> Finding {
    let [first, second] = &seen.plain;
    let (first, second) = match (answered(first), answered(second)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(finding), _) | (_, Err(finding)) => return finding,
    };
    match (id(first), id(second)) {
        (Some(first), Some(second)) if first == second => {
            Finding::failed(format!("two requests got the same id, {}", shown(first)))
        }
        (Some(_), Some(_)) => match seen.unknown.as_ref().map(id) {
            // Errors are the requests that somebody will ask about.
            Ok(None) => Finding::failed("an answer to an unknown path has no X-Request-ID"),
            _ => Finding::ok(""),
        },
        _ => Finding::failed("the answer to a request without an id has no X-Request-ID"),
    }
}

pub(super) fn correlation(seen: &Seen) -> Finding {
    let answer = match answered(&seen.correlated) {
        Ok(answer) => answer,
        Err(finding) => return finding,
    };
    let sent = seen.ids.correlation_id();
    match id(answer) {
        Some(id) if id == sent => Finding::ok(""),
        Some(_) => Finding::failed(format!(
            "X-Correlation-ID: {sent} was sent, another X-Request-ID came back"
        )),
        None => {
            Finding::failed(format!("X-Correlation-ID: {sent} was sent, no X-Request-ID came back"))
        }
    }
}

pub(super) fn hostile(seen: &Seen) -> Finding {
    let (Ok(plain), hostile) = (&seen.plain[0], &seen.hostile) else {
        return Finding::failed("no answer even without ids");
    };
    match hostile {
        Ok(hostile) if hostile.status / 100 == plain.status / 100 => Finding::ok(""),
        Ok(hostile) => Finding::failed(format!(
            "a request with a malformed X-Request-ID and traceparent is answered {}, without them {}",
            hostile.status, plain.status
        )),
        Err(reason) => Finding::failed(format!(
            "a request with a malformed X-Request-ID and traceparent is not answered: {reason}"
        )),
    }
}
