//! The three probes.

use serde_json::Value;

use super::Finding;
use crate::seen::{Answer, Seen, Try};
use crate::shown::{list, shown};

/// An answer in JSON that came in time, or what is wrong with it.
fn body<'a>(seen: &Seen, path: &str, probe: &'a Try) -> Result<(&'a Answer, Value), String> {
    let answer = probe.as_ref().map_err(|reason| format!("{path} gives no answer: {reason}"))?;
    match answer.status {
        404 => return Err(format!("there is no {path} (404)")),
        401 | 403 | 407 => return Err(format!("{path} wants credentials ({})", answer.status)),
        300..=399 => return Err(format!("{path} redirects ({})", answer.status)),
        _ => {}
    }
    if answer.took > seen.probe_limit {
        return Err(format!("{path} takes longer than {:?}", seen.probe_limit));
    }
    match answer.json() {
        Some(value @ Value::Object(_)) => Ok((answer, value)),
        _ => Err(format!(
            "{path} answers {} without a JSON object: {}",
            answer.status,
            shown(&answer.body)
        )),
    }
}

/// Whether status code and the word for it belong together, as the guide has them.
fn agree(path: &str, answer: &Answer, body: &Value, good: &str, bad: &str) -> Result<bool, String> {
    let word = body["status"].as_str().unwrap_or_default();
    match (answer.status, word) {
        (200, word) if word == good => Ok(true),
        (503, word) if word == bad => Ok(false),
        (status, "") => Err(format!("{path} answers {status} without \"status\"")),
        (status, word) => {
            Err(format!("{path} answers {status} with \"status\":\"{}\"", shown(word)))
        }
    }
}

pub(super) fn live(seen: &Seen) -> Finding {
    let path = "/health/live";
    let judged = body(seen, path, &seen.live).and_then(|(answer, body)| {
        if answer.status != 200 {
            return Err(format!("{path} answers {}", answer.status));
        }
        agree(path, answer, &body, "alive", "")?;
        let time = body["timestamp"].as_str().unwrap_or_default();
        // `2026-11-23T05:00:00`, with whatever follows.
        let is_time = time.len() >= 19 && time.is_char_boundary(19) && time.as_bytes()[10] == b'T';
        if is_time { Ok(()) } else { Err(format!("{path} has no \"timestamp\" in ISO 8601")) }
    });
    match judged {
        Ok(()) => Finding::ok(""),
        Err(reason) => Finding::failed(reason),
    }
}

pub(super) fn live_alone(seen: &Seen) -> Finding {
    let Ok(live) = &seen.live else { return Finding::failed("/health/live gives no answer") };
    let body = live.json().unwrap_or_default();
    let names: Vec<&str> = body
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .map(String::as_str)
        .filter(|name| {
            let name = name.to_ascii_lowercase();
            let words = [
                "check",
                "depend",
                "database",
                "db",
                "redis",
                "cache",
                "queue",
                "components",
                "details",
            ];
            words.iter().any(|word| name.contains(word))
        })
        .collect();
    if !names.is_empty() {
        return Finding::failed(format!("its answer has {}", list(names, 3)));
    }
    match (live.status, &seen.ready) {
        (200, Ok(ready)) if ready.status == 503 => {
            Finding::ok("it is alive while the service is not ready")
        }
        (200, _) if body.is_object() => Finding::ok("its answer names none"),
        _ => Finding::settled_by(
            "/health/live does not answer 200 with a JSON object",
            "mend /health/live first",
        ),
    }
}

pub(super) fn ready(seen: &Seen) -> Finding {
    let path = "/health/ready";
    let judged = body(seen, path, &seen.ready).and_then(|(answer, body)| {
        let is_ready = agree(path, answer, &body, "ready", "not_ready")?;
        let Some(checks) = body["checks"].as_object() else {
            return Err(format!("{path} has no object \"checks\""));
        };
        let mut sick = Vec::new();
        for (name, check) in checks {
            match check["status"].as_str() {
                Some("healthy") => {}
                Some("unhealthy") => sick.push(name.as_str()),
                _ => return Err(format!("check {} is neither healthy nor unhealthy", shown(name))),
            }
        }
        Ok(match (is_ready, sick.is_empty()) {
            (false, _) => format!("it is not ready now: {}", list(sick, 3)),
            (true, true) if checks.len() == 1 => "1 check, healthy".to_owned(),
            (true, true) => format!("{} checks, all healthy", checks.len()),
            (true, false) => format!("ready, though not all is well: {}", list(sick, 3)),
        })
    });
    match judged {
        Ok(found) => Finding::ok(found),
        Err(reason) => Finding::failed(reason),
    }
}

pub(super) fn startup(seen: &Seen) -> Finding {
    let path = "/health/startup";
    let judged = body(seen, path, &seen.startup)
        .and_then(|(answer, body)| agree(path, answer, &body, "started", "starting"));
    match judged {
        Ok(true) => Finding::ok(""),
        Ok(false) => Finding::ok("it is still starting"),
        Err(reason) => Finding::failed(reason),
    }
}

pub(super) fn open(seen: &Seen) -> Finding {
    let probes = [("live", &seen.live), ("ready", &seen.ready), ("startup", &seen.startup)];
    let closed: Vec<String> = probes
        .iter()
        .filter_map(|(name, probe)| {
            let status = probe.as_ref().ok()?.status;
            let wants = matches!(status, 401 | 403 | 407 | 300..=399);
            wants.then(|| format!("/health/{name} ({status})"))
        })
        .collect();
    if !closed.is_empty() {
        return Finding::failed(format!("closed without credentials: {}", list(closed, 3)));
    }
    let is_there = |probe: &Try| probe.as_ref().is_ok_and(|answer| answer.status != 404);
    match probes.iter().any(|(_, probe)| is_there(probe)) {
        true => Finding::ok(""),
        false => Finding::settled_by(
            "there is no probe",
            "serve the probes; or say where they are with --ops URL",
        ),
    }
}
