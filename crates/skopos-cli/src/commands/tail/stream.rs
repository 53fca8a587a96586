//! The server's stream, item by item, and which events were shown already.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::Value;

use crate::client::Client;

/// Longest line that is read: far above any event that a server takes in.
const MOST_LINE_BYTES: usize = 64 << 20;
/// Events remembered, so that none is shown twice after a reconnect.
const REMEMBERED: usize = 20_000;

type Chunks = Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Vec<u8>>>>>;

/// An open stream.
pub(super) struct Stream {
    chunks: Chunks,
    pending: Vec<u8>,
    /// Up to where no line ends.
    searched: usize,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    /// A span or a record, with `signal` saying which.
    Event(Value),
    /// So many were left out, and why.
    Skipped(u64, String),
    /// The server is there.
    Heartbeat,
}

impl Stream {
    pub(super) async fn open(
        client: &Client,
        parameters: &[(&'static str, String)],
    ) -> Result<Self> {
        let chunks = client.stream("/api/v1/tail", parameters).await?.bytes_stream();
        let chunks = chunks.map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Ok(Self { chunks: Box::pin(chunks), pending: Vec::new(), searched: 0 })
    }

    /// The next item; `None` at the end. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let unsearched = self.pending.get(self.searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                self.searched = 0;
                if let Some(item) = item(&line)? {
                    return Ok(Some(item));
                }
                continue;
            }
            self.searched = self.pending.len();
            if self.searched > MOST_LINE_BYTES {
                bail!("the server sent a line of more than {MOST_LINE_BYTES} bytes");
            }
            match self.chunks.next().await {
                Some(chunk) => self.pending.extend(chunk.context("read the stream")?),
                None => return Ok(None),
            }
        }
    }
}

fn item(line: &[u8]) -> Result<Option<Item>> {
    let mut item: Value = serde_json::from_slice(line).context("read the stream")?;
    for signal in ["log", "span"] {
        if item[signal].is_object() {
            let mut event = item[signal].take();
            event["signal"] = signal.into();
            return Ok(Some(Item::Event(event)));
        }
    }
    if let Some(count) = item["skipped"].as_u64() {
        return Ok(Some(Item::Skipped(count, item["reason"].as_str().unwrap_or("").to_owned())));
    }
    Ok((item["heartbeat"] == true).then_some(Item::Heartbeat))
}

/// The ids of events shown lately.
#[derive(Default)]
pub(super) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether an event was not shown before; it now counts as shown.
    pub(super) fn is_new(&mut self, event: &Value) -> bool {
        let id = event["id"].as_str().unwrap_or("").to_owned();
        if id.is_empty() {
            return true;
        }
        // Ids of logs and spans are handed out in one sequence, yet be safe.
        let key = format!("{}{id}", event["signal"].as_str().unwrap_or(""));
        if !self.ids.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_items() {
        for (line, want) in [
            (r#"{"log":{"id":"1"}}"#, Some(Item::Event(json!({"id": "1", "signal": "log"})))),
            (r#"{"skipped":5,"reason":"rate"}"#, Some(Item::Skipped(5, "rate".into()))),
            (r#"{"heartbeat":true,"per_second":3}"#, Some(Item::Heartbeat)),
            // Of a later version.
            (r#"{"something":"else"}"#, None),
        ] {
            assert_eq!(item(line.as_bytes()).unwrap(), want, "{line}");
        }
        assert!(item(b"{").is_err());
    }

    #[test]
    fn an_event_is_new_once() {
        let mut seen = Seen::default();
        let event = |id: usize| json!({"id": id.to_string(), "signal": "log"});
        assert!(seen.is_new(&event(1)));
        assert!(!seen.is_new(&event(1)));
        for id in 2..REMEMBERED + 2 {
            assert!(seen.is_new(&event(id)));
        }
        assert!(seen.is_new(&event(1)), "forgotten: memory is bounded");
        assert_eq!(seen.ids.len(), REMEMBERED);
    }
}
