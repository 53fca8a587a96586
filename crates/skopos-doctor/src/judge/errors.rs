//! How the service fails.

use super::Finding;
use crate::seen::Seen;

pub(super) fn honest(seen: &Seen) -> Finding {
    match &seen.plain[0] {
        Err(reason) => return Finding::failed(format!("{} gives no answer: {reason}", seen.url)),
        Ok(answer) if answer.status >= 500 => {
            return Finding::failed(format!("{} answers {}", seen.url, answer.status));
        }
        Ok(_) => {}
    }
    let path = seen.ids.unknown_path();
    match &seen.unknown {
        Err(reason) => Finding::failed(format!("{path} gives no answer: {reason}")),
        Ok(answer) if answer.status >= 500 => {
            Finding::failed(format!("{path} does not exist and answers {}", answer.status))
        }
        Ok(answer) if matches!(answer.status, 404 | 410) => Finding::ok(""),
        // A gate in front of everything, or a single page for all paths: no error, and no proof.
        Ok(answer) => Finding::settled_by(
            format!("{path} does not exist and answers {}", answer.status),
            "give what the service wants with --header, or ask a service that has no page for every path",
        ),
    }
}
