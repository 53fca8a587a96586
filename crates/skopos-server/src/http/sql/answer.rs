//! Answers: rows as JSON columns, or as a stream.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use skopos_model::Clock;
use skopos_sql::SqlRows;
use skopos_sql::encode::{ARROW_STREAM, ArrowStream, JsonColumns, csv_header, csv_rows, ndjson};

use super::error::SqlFailure;
use super::{Format, failed};
use crate::http::body;
use crate::query::Read;

/// The whole answer: `{"status":"success","data":{"columns":[…],"rows":…,"truncated":…,
/// "elapsed_ms":…}}`. What it holds is charged to the query's budget.
pub(super) async fn json(
    mut rows: SqlRows,
    read: &Read,
    clock: &dyn Clock,
    before: Duration,
    headers: &HeaderMap,
) -> Result<Response, SqlFailure> {
    let mut columns = JsonColumns::new(rows.schema());
    let mut held = 0;
    let gathered = read.run(async {
        while let Some(batch) = rows.next().await {
            let added = batch.and_then(|batch| columns.rows(&batch));
            match added {
                Ok(bytes) => {
                    read.budget().charge_bytes((bytes - held) as u64)?;
                    held = bytes;
                }
                Err(error) => return failed(error).map(Err),
            }
        }
        Ok(Ok(()))
    });
    gathered.await??;
    let (count, truncated) = (columns.len(), rows.truncated());
    let elapsed = clock.monotonic().saturating_sub(before).as_millis();
    let end = format!(",\"rows\":{count},\"truncated\":{truncated},\"elapsed_ms\":{elapsed}}}}}");
    let start = "{\"status\":\"success\",\"data\":{\"columns\":".to_owned();
    let pieces = std::iter::once(start).chain(columns.end()).chain(std::iter::once(end));
    Ok(body::json(headers, pieces))
}

/// Writes rows piece by piece.
enum Writer {
    Ndjson,
    Csv,
    Arrow(Box<ArrowStream>),
}

impl Writer {
    fn rows(&mut self, batch: &skopos_sql::RecordBatch) -> Result<Vec<u8>, SqlFailure> {
        Ok(match self {
            Self::Ndjson => ndjson(batch)?.into_bytes(),
            Self::Csv => csv_rows(batch)?.into_bytes(),
            Self::Arrow(writer) => writer.rows(batch)?,
        })
    }

    fn end(self) -> Result<Vec<u8>, SqlFailure> {
        match self {
            Self::Arrow(writer) => Ok(writer.end()?),
            _ => Ok(Vec::new()),
        }
    }
}

/// An answer under way. The read keeps its place among the queries until the client has all.
struct Stream {
    first: Option<Vec<u8>>,
    rows: SqlRows,
    /// Empty once the end is written.
    writer: Option<Writer>,
    read: Read,
}

/// A streamed answer. Its first rows are waited for, so that most failures have their own status.
pub(super) async fn stream(
    format: Format,
    mut rows: SqlRows,
    read: Read,
) -> Result<Response, SqlFailure> {
    let (content_type, head, mut writer) = match format {
        Format::Csv => {
            ("text/csv; charset=utf-8", csv_header(rows.schema()).into_bytes(), Writer::Csv)
        }
        Format::Arrow => {
            let writer = ArrowStream::new(rows.schema())?;
            (ARROW_STREAM, Vec::new(), Writer::Arrow(Box::new(writer)))
        }
        Format::Ndjson | Format::Json => ("application/x-ndjson", Vec::new(), Writer::Ndjson),
    };
    let first = read.run(async {
        match rows.next().await {
            Some(Err(error)) => failed(error).map(Err),
            Some(Ok(batch)) => Ok(Ok(Some(batch))),
            None => Ok(Ok(None)),
        }
    });
    let mut bytes = head;
    if let Some(batch) = first.await?? {
        bytes.extend(writer.rows(&batch)?);
    }
    let stream = Stream { first: Some(bytes), rows, writer: Some(writer), read };
    let body = Body::from_stream(stream::unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((chunk, stream))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(Ok(first.into()));
        }
        let mut writer = self.writer.take()?;
        let chunk = match self.rows.next().await {
            Some(Ok(batch)) => {
                let chunk = writer.rows(&batch);
                self.writer = Some(writer);
                chunk
            }
            Some(Err(error)) => Err(error.into()),
            None => match writer.end() {
                Ok(end) if end.is_empty() => return None,
                end => end,
            },
        };
        Some(chunk.map(Bytes::from).map_err(|failure| {
            tracing::warn!(error = %failure.message(), "sql answer broken off");
            std::io::Error::other(failure.message().to_owned())
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Whoever leaves early stops the query; what it read so far is in its budget.
        self.read.budget().cancel();
    }
}
