//! Log lines and records.

use super::Finding;
use crate::line::Line;
use crate::seen::{Ids, Seen};
use crate::shown::{list, shown};

/// Whether a line is of the marked request.
pub(super) fn is_marked(line: &Line, ids: &Ids) -> bool {
    // The secret and the unknown path of the other requests hold the same word: their ids are longer.
    let request_id = ids.request_id();
    line.request_id.as_deref() == Some(&request_id)
        || line.trace_id.as_deref() == Some(&ids.trace_id)
        || line.raw.contains(&ids.trace_id)
}

fn none(seen: &Seen) -> Finding {
    match (&seen.source.otlp, &seen.source.logs) {
        (_, Some(logs)) => Finding::unknown(format!("no line came: {logs}")),
        (Some(otlp), None) => Finding::unknown(format!("no log record came to {otlp}")),
        (None, None) => Finding::unknown("no log lines were looked at"),
    }
}

/// How many, of which kinds.
fn counted(lines: &[Line]) -> String {
    let records = lines.iter().filter(|line| line.is_record).count();
    match (lines.len() - records, records) {
        (lines, 0) => format!("{lines} lines"),
        (0, records) => format!("{records} records"),
        (lines, records) => format!("{lines} lines, {records} records"),
    }
}

pub(super) fn structured(seen: &Seen) -> Finding {
    let lines = &seen.heard.lines;
    let mut plain = lines.iter().filter(|line| !line.is_structured);
    let Some(first) = plain.next() else {
        return if lines.is_empty() { none(seen) } else { Finding::ok(counted(lines)) };
    };
    Finding::failed(format!(
        "{} of {} lines are none, such as: {}",
        1 + plain.count(),
        lines.len(),
        shown(&first.raw)
    ))
}

pub(super) fn complete(seen: &Seen) -> Finding {
    let lines: Vec<&Line> = seen.heard.lines.iter().filter(|line| line.is_structured).collect();
    if lines.is_empty() {
        return match seen.heard.lines.is_empty() {
            true => none(seen),
            false => Finding::failed("no line has fields"),
        };
    }
    let mut worst: Option<(&Line, Vec<&str>)> = None;
    for line in lines {
        let facts = [
            ("time", line.has_time),
            ("level", line.level.is_some()),
            ("message", line.has_message),
            ("service", line.service.is_some()),
        ];
        let missing: Vec<&str> =
            facts.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| *name).collect();
        if missing.len() > worst.as_ref().map_or(0, |(_, missing)| missing.len()) {
            worst = Some((line, missing));
        }
    }
    match worst {
        None => Finding::ok(counted(&seen.heard.lines)),
        Some((line, missing)) => {
            Finding::failed(format!("{} missing in: {}", list(missing, 4), shown(&line.raw)))
        }
    }
}

pub(super) fn correlated(seen: &Seen) -> Finding {
    let lines = &seen.heard.lines;
    if lines.is_empty() {
        return none(seen);
    }
    let ids = &seen.ids;
    let request_id = ids.request_id();
    let marked: Vec<&Line> = lines.iter().filter(|line| is_marked(line, ids)).collect();
    if marked.is_empty() {
        // A line that names the path of a request is of a request.
        let access = lines.iter().find(|line| {
            line.raw.contains(&ids.unknown_path())
                || (line.raw.contains("GET")
                    && seen.path.len() > 1
                    && line.raw.contains(&seen.path))
        });
        return match access {
            Some(line) => {
                Finding::failed(format!("a line of a request has neither id: {}", shown(&line.raw)))
            }
            None => Finding::settled_by(
                "no line was written for the request that had ids",
                "give the address of a route that logs",
            ),
        };
    }
    for line in &marked {
        let has_request = line.request_id.as_deref() == Some(&request_id);
        let has_trace = line.trace_id.as_deref() == Some(&ids.trace_id);
        let missing = match (has_request, has_trace) {
            (true, true) => continue,
            (false, _) => "request_id",
            (true, false) => "trace_id",
        };
        return Finding::failed(format!("no {missing} of the request in: {}", shown(&line.raw)));
    }
    Finding::ok(match marked.len() {
        1 => "1 line of the request with ids".to_owned(),
        count => format!("{count} lines of the request with ids"),
    })
}

pub(super) fn level(seen: &Seen) -> Finding {
    let lines = &seen.heard.lines;
    if lines.is_empty() {
        return none(seen);
    }
    let mut below = lines.iter().filter(|line| line.is_below_info());
    match below.next() {
        Some(line) => Finding::failed(format!(
            "{} lines below INFO, such as: {}",
            1 + below.count(),
            shown(&line.raw)
        )),
        None if lines.iter().any(|line| line.level.is_some()) => Finding::ok(counted(lines)),
        None => Finding::settled_by("no line has a level", "give every line a level"),
    }
}

pub(super) fn probes(seen: &Seen) -> Finding {
    let lines = &seen.heard.lines;
    // Without a line of any request it is not known whether there is an access log.
    let mut probes = lines.iter().filter(|line| line.raw.contains("/health/"));
    if let Some(line) = probes.next() {
        return Finding::failed(format!(
            "{} lines, such as: {}",
            1 + probes.count(),
            shown(&line.raw)
        ));
    }
    if lines.is_empty() { none(seen) } else { Finding::ok("") }
}
