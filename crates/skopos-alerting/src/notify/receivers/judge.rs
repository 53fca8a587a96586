//! What a receiver's answer means: some say no with status 200.

use std::time::Duration;

use crate::alertmanager::{Integration, Settings};

/// An answer to a request.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: &'a [u8],
}

/// What follows from an answer. Reasons are short and hold no secret of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It was accepted.
    Delivered,
    /// It may be accepted later.
    Retry {
        /// Why not now.
        reason: String,
        /// How long the receiver asked to wait.
        after: Option<Duration>,
    },
    /// It will never be accepted.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Longest text of a receiver in a reason, characters.
const MAX_REASON: usize = 200;

impl Integration {
    /// Judges an answer. A receiver may repeat what it was sent, so what it says passes through
    /// `redact`, which takes our secrets out, before it is shortened.
    pub fn judge(&self, answer: Answer<'_>, redact: &dyn Fn(&str) -> String) -> Judgement {
        let status = answer.status;
        let said = self.said(&answer).map(|said| {
            let printable: String = said.chars().filter(|c| !c.is_control()).collect();
            redact(&printable).chars().take(MAX_REASON).collect::<String>()
        });
        let reason = match &said {
            Some(said) => format!("receiver answered {status}: {said}"),
            None => format!("receiver answered {status}"),
        };
        let retry = || Judgement::Retry { reason: reason.clone(), after: answer.retry_after };
        match status {
            200..=299 => {}
            408 | 429 | 500..=599 => return retry(),
            // The Events API v1 says 403 to those who ask too often.
            403 if matches!(&self.settings, Settings::PagerDuty(p) if p.v1) => return retry(),
            _ => return Judgement::Failed { reason },
        }
        match (&self.settings, said) {
            (Settings::Slack(_), Some(said)) if said == "ratelimited" || said == "rate_limited" => {
                retry()
            }
            (Settings::Slack(_), Some(_)) => Judgement::Failed { reason },
            (Settings::MsTeams(_), Some(said)) => match said.contains("429") {
                true => retry(),
                false => Judgement::Failed { reason },
            },
            _ => Judgement::Delivered,
        }
    }

    /// What the receiver says is wrong, where it is known how it says so.
    fn said(&self, answer: &Answer<'_>) -> Option<String> {
        let text = String::from_utf8_lossy(answer.body);
        let json = || serde_json::from_slice::<serde_json::Value>(answer.body).ok();
        let is_ok = (200..300).contains(&answer.status);
        let said = match &self.settings {
            Settings::Slack(_) if answer.content_type.starts_with("application/json") => {
                let json = json()?;
                if json["ok"] == true {
                    return None;
                }
                json["error"].as_str().unwrap_or("no `ok` in the answer").to_string()
            }
            Settings::Slack(_) => match text.trim() {
                "ok" if is_ok => return None,
                text => text.to_string(),
            },
            // Connectors answer `1`; what else they say with 200 is an error of Teams behind them.
            Settings::MsTeams(_) if is_ok => match text.trim() {
                "" | "1" => return None,
                text => text.to_string(),
            },
            Settings::PagerDuty(_) if !is_ok => {
                let json = json()?;
                let errors: Vec<&str> =
                    json["errors"].as_array()?.iter().filter_map(|e| e.as_str()).collect();
                format!("{}: {}", json["message"].as_str().unwrap_or("error"), errors.join(", "))
            }
            Settings::OpsGenie(_) if !is_ok => json()?["message"].as_str()?.to_string(),
            _ => return None,
        };
        Some(said)
    }
}
