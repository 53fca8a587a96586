//! Cuts a window into slices of time with few enough rows.

use std::fmt;

use anyhow::{Result, bail};
use reqwest::Response;
use serde_json::{Map, Value, json};
use skopos_model::Timestamp;

use crate::client::{Client, Refusal};
use crate::commands::sql::rfc3339;

/// Rows of a slice: sorting them fits a query's budget even when they are large.
const MOST_ROWS: u64 = 200_000;

/// Parts that a slice without a count is cut into.
const PARTS: i64 = 8;

/// A part of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

impl Slice {
    /// Equal parts in order; one when it cannot be cut.
    fn cut(self, parts: i64) -> Vec<Self> {
        let length = self.end.0.saturating_sub(self.start.0);
        let step = (length / parts.max(2)).max(1);
        let mut out = Vec::new();
        let mut start = self.start.0;
        while start < self.end.0 {
            let end = start.saturating_add(step);
            // What rounding leaves over goes to the last part.
            let end = if end.saturating_add(step) > self.end.0 { self.end.0 } else { end };
            out.push(Self { start: Timestamp(start), end: Timestamp(end) });
            start = end;
        }
        out
    }
}

/// The slices of a window that have rows, in order.
pub(super) struct Slices<'a> {
    client: &'a Client,
    table: &'static str,
    filter: Option<String>,
    /// Not yet looked at, the next one last.
    left: Vec<Slice>,
}

impl<'a> Slices<'a> {
    pub(super) fn new(
        client: &'a Client,
        table: &'static str,
        filter: Option<String>,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        Self { client, table, filter, left: vec![Slice { start: from, end: to }] }
    }

    /// The next slice that has rows and not too many.
    pub(super) async fn next(&mut self) -> Result<Option<Slice>> {
        while let Some(slice) = self.left.pop() {
            match self.count(&slice).await? {
                Some(0) => {}
                Some(rows) if rows <= MOST_ROWS => return Ok(Some(slice)),
                Some(rows) => {
                    let parts = (rows / MOST_ROWS + 1).saturating_mul(2);
                    self.cut(slice, i64::try_from(parts).unwrap_or(PARTS).min(1024))?;
                }
                None => self.cut(slice, PARTS)?,
            }
        }
        Ok(None)
    }

    /// The rows of a slice in time order; `None` when they were too much after all, and the slice
    /// is cut.
    pub(super) async fn rows(&mut self, slice: &Slice, format: &str) -> Result<Option<Response>> {
        let sql = format!("SELECT * FROM {} ORDER BY time", self.table);
        let mut body = self.body(&sql, slice);
        body.insert("format".into(), format.into());
        match self.client.post_stream("/api/v1/sql", &Value::Object(body)).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if is_too_much(&error) => {
                self.cut(*slice, PARTS)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// An answer without rows, which has the columns.
    pub(super) async fn schema(&self) -> Result<Response> {
        let sql = format!("SELECT * FROM {} LIMIT 0", self.table);
        self.client.post_stream("/api/v1/sql", &json!({"query": sql, "format": "arrow"})).await
    }

    /// How many rows a slice has; `None` when they are too many to count.
    async fn count(&self, slice: &Slice) -> Result<Option<u64>> {
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let body = Value::Object(self.body(&sql, slice));
        match self.client.post("/api/v1/sql", &body).await {
            Ok(answer) => Ok(answer["data"]["columns"][0]["values"][0].as_u64()),
            Err(error) if is_too_much(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn body(&self, sql: &str, slice: &Slice) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("query".into(), sql.into());
        body.insert("start".into(), rfc3339(slice.start).into());
        body.insert("end".into(), rfc3339(slice.end).into());
        body.extend(self.filter.clone().map(|filter| ("filter".into(), filter.into())));
        body
    }

    fn cut(&mut self, slice: Slice, parts: i64) -> Result<()> {
        let parts = slice.cut(parts);
        if parts.len() < 2 {
            bail!(
                "the {} of {slice} are more than a query may read; raise limits.query_bytes and \
                 limits.query_samples",
                self.table
            );
        }
        self.left.extend(parts.into_iter().rev());
        Ok(())
    }
}

/// Whether the server refused for size or time: a smaller slice may pass.
fn is_too_much(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.too_much)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_slice_once() {
        for (start, end, parts) in [(0, 100, 8), (5, 7, 8), (-3, 1000, 3), (0, 1, 2), (7, 7, 2)] {
            let slice = Slice { start: Timestamp(start), end: Timestamp(end) };
            let cut = slice.cut(parts);
            let mut at = start;
            for part in &cut {
                assert_eq!(part.start.0, at);
                assert!(part.end > part.start);
                at = part.end.0;
            }
            assert_eq!(at, end, "{slice} in {parts}");
            assert!(end - start < 2 || cut.len() >= 2, "{slice} in {parts}: {cut:?}");
        }
    }
}
