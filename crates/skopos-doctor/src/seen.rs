//! What a visit brought back: answers, and what was heard meanwhile. Plain data, for the judges.

use std::time::Duration;

use crate::heard::Heard;

/// An answer, or why there is none.
pub type Try = Result<Answer, String>;

/// An HTTP answer, its body bounded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers in the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// Whether the body was longer than what is read of it.
    pub is_cut: bool,
    /// From the first byte sent, the connection included, to the last byte read.
    pub took: Duration,
}

impl Answer {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// What a visit sends, so that it can be found again. All of it is unlike anything a service makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// A word of this visit.
    pub tag: String,
    /// The trace of the marked request, 32 hexadecimal digits.
    pub trace_id: String,
    /// The caller's span in it, 16 hexadecimal digits.
    pub span_id: String,
}

impl Ids {
    /// New ones.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn random() -> Result<Ids, crate::Error> {
        let mut bytes = [0_u8; 30];
        getrandom::fill(&mut bytes).map_err(|error| crate::Error::Io {
            what: "make ids".to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
        // An id of zeros only is none.
        bytes[0] |= 1;
        bytes[16] |= 1;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Ids {
            trace_id: hex[..32].to_owned(),
            span_id: hex[32..48].to_owned(),
            tag: hex[48..].to_owned(),
        })
    }

    /// `X-Request-ID` of the marked request.
    pub fn request_id(&self) -> String {
        format!("doctor-{}", self.tag)
    }

    /// `X-Correlation-ID` of the request that has no other id.
    pub fn correlation_id(&self) -> String {
        format!("doctor-{}-c", self.tag)
    }

    /// The secret that must turn up nowhere.
    pub fn canary(&self) -> String {
        format!("canary{}", self.tag)
    }

    /// A path that no service has.
    pub fn unknown_path(&self) -> String {
        format!("/skopos-doctor-{}", self.tag)
    }

    /// `traceparent` of the marked request: sampled.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace_id, self.span_id)
    }
}

/// Where telemetry was looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Where OTLP was taken or asked for, in words; `None` when nowhere.
    pub otlp: Option<String>,
    /// Whether it came out of a running Skopos, which redacts what it takes.
    pub from_skopos: bool,
    /// Where log lines were read, in words; `None` when nowhere.
    pub logs: Option<String>,
    /// How to let the doctor see more: what `unknown` verdicts advise.
    pub advice: String,
}

/// Everything that a visit saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The address asked, without credentials and query.
    pub url: String,
    /// Path of that address.
    pub path: String,
    /// What was sent.
    pub ids: Ids,
    /// Probes slower than this fail.
    pub probe_limit: Duration,
    /// Two requests without any id.
    pub plain: [Try; 2],
    /// A request with `X-Request-ID` and `traceparent`.
    pub marked: Try,
    /// A request with `X-Correlation-ID` only.
    pub correlated: Try,
    /// A request whose ids are none.
    pub hostile: Try,
    /// A request with secrets where secrets stand.
    pub secretive: Try,
    /// A request for a path that does not exist.
    pub unknown: Try,
    /// `/health/live`.
    pub live: Try,
    /// `/health/ready`.
    pub ready: Try,
    /// `/health/startup`.
    pub startup: Try,
    /// `/metrics` before all that.
    pub metrics_before: Try,
    /// `/metrics` after all that.
    pub metrics_after: Try,
    /// Requests for the service itself that were answered between the two.
    pub requests: u64,
    /// Where telemetry was looked for.
    pub source: Source,
    /// What came of it.
    pub heard: Heard,
}
