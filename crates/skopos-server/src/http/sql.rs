//! SQL over HTTP.
//!
//! Answers come as JSON, column by column and cut to a number of rows; or as CSV, NDJSON and Arrow,
//! row by row as the client reads, of any length. A failure before the first rows is an error like
//! any other, with its place in the text and a hint; later it breaks the connection off, so that
//! half an answer is not taken for a whole one.
//!
//! Unknown parameters are refused.

mod answer;
mod error;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, header};
use skopos_filter::Filter;
use skopos_model::event::EventSignal;
use skopos_model::{TimeRange, Timestamp};
use skopos_sql::{SqlError, SqlQuery};

use self::error::SqlFailure;
use super::Route;
use super::params::Params;
use crate::auth::Scope;
use crate::error::{ApiError, ErrorClass};
use crate::query::{QueryClass, QueryError, QueryOptions};
use crate::state::SharedState;

/// Rows of a JSON answer unless the request says otherwise.
const DEFAULT_ROWS: usize = 10_000;
/// Most rows of a JSON answer, whose columns are gathered before they are sent.
const MOST_JSON_ROWS: usize = 1_000_000;
/// Most bytes of a JSON request.
const MOST_BODY_BYTES: usize = 1 << 20;

const PARAMS: [&str; 7] = ["query", "format", "start", "end", "filter", "limit", "timeout"];

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    [Method::POST, Method::GET].map(route).into()
}

fn route(method: Method) -> Route {
    let summary = match method {
        Method::GET => "A short SQL query; see POST.",
        _ => {
            "SQL over the tables logs, spans and metrics; only reading. Parameters stand in a JSON \
             object, a form, or the URL."
        }
    };
    Route::new(method, "/api/v1/sql", Scope::Read, sql)
        .summary(summary)
        .tag("sql")
        .required("query", "The query: one SELECT, EXPLAIN, DESCRIBE or SHOW statement.")
        .param(
            "format",
            "`json` (default, column by column), `ndjson`, `csv` or `arrow` (IPC stream).",
        )
        .param(
            "start",
            "The tables hold nothing before this time: RFC 3339, Unix seconds, now-15m.",
        )
        .param("end", "The tables hold nothing from this time on; same notations.")
        .param("filter", "The tables logs and spans hold only what satisfies this filter.")
        .param(
            "limit",
            "Most rows; `truncated` says whether there were more. 10000 for JSON unless given, and \
             at most 1000000.",
        )
        .param("timeout", "Most time, such as 30s; can only shorten the server's limit.")
        .schema("SqlAnswer")
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    Csv,
    Arrow,
}

async fn sql(State(state): State<SharedState>, request: Request) -> Result<Response, SqlFailure> {
    let headers = request.headers().clone();
    let params = read_params(request).await?;
    params.check_names(&PARAMS, &[])?;
    let text = params
        .get("query")
        .ok_or_else(|| ApiError::bad_request("parameter `query` is missing: SELECT …"))?;
    let format = params.parsed("format", "`json`, `ndjson`, `csv` or `arrow`", |text| {
        Some(match text {
            "json" => Format::Json,
            "ndjson" => Format::Ndjson,
            "csv" => Format::Csv,
            "arrow" => Format::Arrow,
            _ => return None,
        })
    })?;
    let format = format.unwrap_or(Format::Json);
    let now = state.clock.now();
    let range = TimeRange {
        start: params.time("start", now)?.unwrap_or(Timestamp::MIN),
        end: params.time("end", now)?.unwrap_or(Timestamp::MAX),
    };
    if range.start > range.end {
        return Err(ApiError::bad_request("`start` lies after `end`").into());
    }
    let most = if format == Format::Json { MOST_JSON_ROWS } else { usize::MAX };
    let wanted = format!("a whole number of rows up to {most}");
    let limit = params.parsed("limit", &wanted, |text| text.parse().ok().filter(|n| *n <= most))?;
    let limit = limit.or((format == Format::Json).then_some(DEFAULT_ROWS));
    let options = QueryOptions {
        timeout: params.parsed(
            "timeout",
            "a duration such as 30s",
            crate::config::parse_duration,
        )?,
        class: QueryClass::Interactive,
        ..QueryOptions::default()
    };

    let read = state.queries.begin(text, options.timeout, options.class).await?;
    let mut query = SqlQuery::new(text, read.budget().clone()).within(range);
    if let Some(limit) = limit {
        query = query.max_rows(limit);
    }
    if let Some(filter) = params.get("filter") {
        for predicate in Filter::parse(filter).map_err(SqlFailure::filter)?.predicates() {
            query = query.only(EventSignal::Logs, predicate.clone());
            query = query.only(EventSignal::Spans, predicate);
        }
    }
    let before = state.clock.monotonic();
    let rows = run(&state, &read, query).await?;
    if format == Format::Json {
        let answer = answer::json(rows, &read, &*state.clock, before, &headers);
        return answer.await;
    }
    answer::stream(format, rows, read).await
}

/// Starts a query; failures of the store and of budgets are those of all reads.
async fn run(
    state: &SharedState,
    read: &crate::query::Read,
    query: SqlQuery,
) -> Result<skopos_sql::SqlRows, SqlFailure> {
    let started = read.run(async {
        match state.sql.run(query).await {
            Err(error) => failed(error).map(Err),
            Ok(rows) => Ok(Ok(rows)),
        }
    });
    Ok(started.await??)
}

/// Tells the failures that every read knows from those of SQL alone.
fn failed(error: SqlError) -> Result<SqlError, QueryError> {
    use skopos_model::storage::{ErrorKind, StorageError};
    match error {
        SqlError::Storage(error) => Err(error.into()),
        SqlError::Memory { .. } => {
            Err(StorageError::new(ErrorKind::ResourceExhausted, error.to_string()).into())
        }
        other => Ok(other),
    }
}

/// Parameters of the URL, and of a form or a JSON object in the body.
async fn read_params(request: Request) -> Result<Params, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if request.method() != Method::POST || !media_type.eq_ignore_ascii_case("application/json") {
        return Params::read(request).await;
    }
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, MOST_BODY_BYTES).await.map_err(|_| {
        let message = format!("the body was cut off or is larger than {MOST_BODY_BYTES} bytes");
        ApiError::new(ErrorClass::TooLarge, message)
    })?;
    Params::of_json(&bytes, head.uri.query().unwrap_or(""))
}
