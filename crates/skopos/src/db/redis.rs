//! Redis and Valkey through the `redis` crate: every command a span and a timing. Keys and values are never looked at: a span
//! tells the command's name only.
//!
//! ```no_run
//! use redis::AsyncCommands as _;
//! # async fn get(telemetry: &skopos::Telemetry) -> redis::RedisResult<()> {
//! let client = redis::Client::open("redis://127.0.0.1")?;
//! let mut cache = telemetry.redis("sessions", client.get_multiplexed_async_connection().await?);
//! let session: Option<String> = cache.get("session:17").await?;
//! # let _ = session;
//! # Ok(())
//! # }
//! ```

use ::redis::aio::ConnectionLike;
use ::redis::{Arg, Cmd, Pipeline, RedisError, RedisFuture, Value};
use tracing::Instrument as _;

use super::{Database, Operation};

/// A connection whose commands are seen. Everything that takes a connection of the `redis` crate takes it.
///
/// ```
/// # async fn example(telemetry: skopos::Telemetry) -> redis::RedisResult<()> {
/// use redis::AsyncCommands as _;
///
/// let client = redis::Client::open("redis://127.0.0.1/")?;
/// let connection = client.get_multiplexed_async_connection().await?;
/// let mut cache = telemetry.redis("sessions", connection);
/// let visits: u64 = cache.incr("visits", 1).await?;
/// # let _ = visits;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connection<C> {
    inner: C,
    database: Database,
}

impl<C> Connection<C> {
    pub(crate) fn new(inner: C, database: Database) -> Connection<C> {
        Connection { inner, database }
    }

    /// Returns the connection as it was given.
    ///
    /// ```
    /// # fn example(cache: skopos::db::redis::Connection<redis::aio::MultiplexedConnection>) {
    /// let connection: redis::aio::MultiplexedConnection = cache.into_inner();
    /// # let _ = connection;
    /// # }
    /// ```
    pub fn into_inner(self) -> C {
        self.inner
    }
}

/// Returns the command's name in capitals; one that is no word is not told.
fn command_name(command: &Cmd) -> String {
    let first = match command.args_iter().next() {
        Some(Arg::Simple(name)) => name,
        _ => b"",
    };
    let is_word = (1..=24).contains(&first.len())
        && first.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    match std::str::from_utf8(first) {
        Ok(name) if is_word => name.to_ascii_uppercase(),
        _ => "other".to_owned(),
    }
}

/// Ends a call. What the server refused comes as a value among the others: the first such is told. Its words may repeat a key
/// or a value, so only its code is.
fn finish(operation: &mut Operation, answer: Result<&[Value], &RedisError>) {
    match answer {
        Err(error) => {
            if let Some(code) = error.code() {
                operation.span.record("db.response.status_code", code);
            }
            operation.fail(error.category(), error.category());
        }
        Ok(values) => {
            let refused = values.iter().find_map(|value| match value {
                Value::ServerError(error) => Some(error.code()),
                _ => None,
            });
            match refused {
                Some(code) => {
                    operation.span.record("db.response.status_code", code);
                    operation.fail(code, code);
                }
                None => operation.succeed(),
            }
        }
    }
}

impl<C: ConnectionLike + Send> ConnectionLike for Connection<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let name = command_name(command);
        let mut operation = self.database.begin(&name, &name, None, None);
        let sent = self.inner.req_packed_command(command).instrument(operation.span.clone());
        Box::pin(async move {
            let answer = sent.await;
            finish(&mut operation, answer.as_ref().map(std::slice::from_ref));
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let mut names: Vec<String> = pipeline.cmd_iter().map(command_name).collect();
        let size = names.len();
        names.dedup();
        // By convention a batch of one kind is named after it.
        let name = match names.as_slice() {
            [only] => format!("PIPELINE {only}"),
            _ => "PIPELINE".to_owned(),
        };
        let mut operation = self.database.begin("PIPELINE", &name, None, None);
        operation.span.record("db.operation.batch.size", size as u64);
        let sent = self.inner.req_packed_commands(pipeline, offset, count);
        let sent = sent.instrument(operation.span.clone());
        Box::pin(async move {
            let answers = sent.await;
            finish(&mut operation, answers.as_ref().map(Vec::as_slice));
            answers
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}
