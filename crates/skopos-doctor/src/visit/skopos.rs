//! A running Skopos in the receiver's place: it took the service's telemetry, and is asked for it.

use http::{HeaderValue, header};
use serde_json::Value;

use super::client::{Client, METRICS_BYTES, Target};
use crate::heard::{Heard, HeardSpan};
use crate::line::Line;
use crate::{Error, Ids};

/// A Skopos and how to speak to it.
pub(super) struct Asked {
    client: Client,
    target: Target,
    token: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn new(client: Client, server: &str, token: Option<&str>) -> Result<Asked, Error> {
        let target = Target::parse(server)?;
        let token = token.map(|token| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::Header {
                    name: "Authorization".to_owned(),
                    reason: "the token has characters that no header may have",
                })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Asked { client, target, token: token.transpose()? })
    }

    pub(super) fn address(&self) -> &str {
        &self.target.origin
    }

    /// Whether a Skopos answers there, and lets us read.
    pub(super) async fn answers(&self) -> Result<(), String> {
        self.get("/api/v1/status").await.map(drop)
    }

    /// What it has of the marked trace, and of its service's lines since then.
    pub(super) async fn heard(&self, ids: &Ids, since_unix_secs: u64) -> Result<Heard, String> {
        let mut heard = Heard::default();
        // A trace that is not there yet is answered by 404.
        let Ok(trace) = self.get(&format!("/api/traces/{}", ids.trace_id)).await else {
            return Ok(heard);
        };
        spans(&trace, &mut heard);
        let service = heard.spans.iter().find_map(|span| span.resource(&["service.name"]));
        if let Some(service) = service.map(percent_encoded) {
            let path = format!("/api/v1/logs?service={service}&start={since_unix_secs}&limit=1000");
            let logs = self.get(&path).await?;
            for log in logs["data"]["logs"].as_array().into_iter().flatten() {
                heard.add_line(line(log));
            }
        }
        heard.exports = 1;
        Ok(heard)
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let headers: Vec<_> =
            self.token.iter().map(|token| (header::AUTHORIZATION, token.clone())).collect();
        let uri = self.target.at(path).map_err(|error| error.to_string())?;
        let answer = self.client.get(&uri, &headers, METRICS_BYTES).await?;
        match answer.status {
            200 => answer.json().ok_or_else(|| "its answer is no JSON".to_owned()),
            401 | 403 => Err(format!("it answers {}: give a token (SKOPOS_TOKEN)", answer.status)),
            status => Err(format!("it answers {status}")),
        }
    }
}

/// Reads a trace in Jaeger's form.
fn spans(trace: &Value, heard: &mut Heard) {
    let data = &trace["data"][0];
    for span in data["spans"].as_array().into_iter().flatten() {
        let process = &data["processes"][span["processID"].as_str().unwrap_or_default()];
        let mut resource = tags(&process["tags"]);
        if let Some(name) = process["serviceName"].as_str() {
            resource.push(("service.name".to_owned(), name.to_owned()));
        }
        let attributes = tags(&span["tags"]);
        let mut references = span["references"].as_array().into_iter().flatten();
        let parent = references.find(|reference| reference["refType"] == "CHILD_OF");
        let kind = attributes.iter().find(|(key, _)| key == "span.kind");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        heard.add_span(HeardSpan {
            trace_id: text(&span["traceID"]),
            parent_id: parent.map(|parent| text(&parent["spanID"])).unwrap_or_default(),
            name: text(&span["operationName"]),
            kind: kind.map(|(_, kind)| kind.clone()).unwrap_or_default(),
            resource,
            attributes,
            text: span.to_string(),
        });
    }
}

fn tags(list: &Value) -> Vec<(String, String)> {
    let tags = list.as_array().into_iter().flatten();
    tags.filter_map(|tag| {
        let value = match &tag["value"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((tag["key"].as_str()?.to_owned(), value))
    })
    .collect()
}

/// Reads a stored record.
fn line(log: &Value) -> Line {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let attributes = Line::parse(&log["attributes"].to_string());
    Line {
        raw: format!("{} {}", log["body"], log["attributes"]),
        is_structured: true,
        is_record: true,
        has_time: true,
        level: text(&log["severity"]).or_else(|| text(&log["severity_text"])),
        has_message: !log["body"].is_null() || text(&log["event_name"]).is_some(),
        service: text(&log["service"]),
        request_id: attributes.request_id,
        trace_id: text(&log["trace_id"]).or(attributes.trace_id),
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
