//! SQL through `sqlx`: a pool that sees its queries, and its own gauges.
//!
//! ```no_run
//! # async fn get(telemetry: &skopos::Telemetry, pool: sqlx::Pool<sqlx::Sqlite>) -> sqlx::Result<()> {
//! let db = telemetry.sqlx("orders", pool);
//! let order: (i64, String) =
//!     sqlx::query_as("SELECT id, article FROM orders WHERE id = ?").bind(17).fetch_one(&db).await?;
//!
//! let mut transaction = db.begin().await?;
//! sqlx::query("DELETE FROM orders WHERE id = ?").bind(order.0).execute(db.on(&mut *transaction)).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! # fn main() {}
//! ```
//!
//! A query's arguments are never looked at. Its span covers the wait for a connection, which is also told apart in
//! `db_client_connection_wait_seconds{pool}`, and ends with the last row.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::sqlx::error::BoxDynError;
use ::sqlx::{
    Connection, Database as Driver, Either, Error, Execute, Executor, SqlStr, Transaction,
};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use tracing::Instrument as _;

use super::{Database, Operation};
use crate::clock;
use crate::saturation::PoolState;

/// Returns how full a pool is.
pub(crate) fn state<D: Driver>(pool: &::sqlx::Pool<D>) -> PoolState {
    PoolState {
        size: pool.size(),
        idle: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
        max: pool.options().get_max_connections(),
    }
}

/// Returns what the semantic conventions call a driver's database.
pub(crate) fn system<D: Driver>() -> &'static str {
    match D::NAME {
        "PostgreSQL" => "postgresql",
        "MySQL" => "mysql",
        "SQLite" => "sqlite",
        _ => "other_sql",
    }
}

/// A pool whose queries are seen; made by [`Telemetry::sqlx`](crate::Telemetry::sqlx). A reference to it is an executor, as with
/// `sqlx`'s own.
///
/// ```
/// # async fn example(telemetry: skopos::Telemetry) -> Result<(), sqlx::Error> {
/// let pool = sqlx::PgPool::connect("postgres://localhost/shop").await?;
/// let pool = telemetry.sqlx("shop", pool);
/// let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&pool).await?;
/// # let _ = orders;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool<D: Driver> {
    inner: ::sqlx::Pool<D>,
    database: Database,
}

impl<D: Driver> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Pool { inner: self.inner.clone(), database: self.database.clone() }
    }
}

impl<D: Driver> Pool<D> {
    pub(crate) fn new(inner: ::sqlx::Pool<D>, database: Database) -> Pool<D> {
        Pool { inner, database }
    }

    /// Returns the pool as it was given, for what is not to be seen.
    ///
    /// ```
    /// # fn example(pool: skopos::db::sqlx::Pool<sqlx::Postgres>) {
    /// let idle = pool.inner().num_idle();
    /// # let _ = idle;
    /// # }
    /// ```
    pub fn inner(&self) -> &::sqlx::Pool<D> {
        &self.inner
    }

    /// Begins a transaction. Its queries are seen through [`Pool::on`].
    ///
    /// ```
    /// # async fn example(pool: skopos::db::sqlx::Pool<sqlx::Postgres>) -> Result<(), sqlx::Error> {
    /// let mut transaction = pool.begin().await?;
    /// sqlx::query("DELETE FROM carts").execute(pool.on(&mut *transaction)).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `sqlx`.
    pub async fn begin(&self) -> Result<Transaction<'static, D>, Error> {
        let mut operation = self.database.begin("BEGIN", "BEGIN", None, None);
        let began = self.inner.begin().instrument(operation.span.clone()).await;
        judge(&mut operation, began.as_ref().err());
        began
    }

    /// Sees the queries on a connection or a transaction.
    ///
    /// ```
    /// # async fn example(pool: skopos::db::sqlx::Pool<sqlx::Postgres>) -> Result<(), sqlx::Error> {
    /// let mut connection = pool.inner().acquire().await?;
    /// sqlx::query("DELETE FROM carts").execute(pool.on(&mut *connection)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on<'c>(&self, connection: &'c mut D::Connection) -> On<'c, D> {
        On { connection, database: self.database.clone() }
    }

    async fn acquire(
        pool: ::sqlx::Pool<D>,
        database: &Database,
        operation: &Operation,
    ) -> Result<::sqlx::pool::PoolConnection<D>, Error> {
        let asked = clock::instant();
        let connection = pool.acquire().await;
        database.waited(asked.elapsed().as_secs_f64(), &operation.span);
        connection
    }
}

/// A connection whose queries are seen; made by [`Pool::on`].
pub struct On<'c, D: Driver> {
    connection: &'c mut D::Connection,
    database: Database,
}

impl<D: Driver> std::fmt::Debug for On<'_, D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("On").field("database", &self.database).finish_non_exhaustive()
    }
}

fn judge(operation: &mut Operation, error: Option<&Error>) {
    let Some(error) = error else { return operation.succeed() };
    let kind = match error {
        Error::Database(error) => {
            if let Some(code) = error.code() {
                operation.span.record("db.response.status_code", &*code);
            }
            "database"
        }
        // That a row is not there is an answer, not a failure.
        Error::RowNotFound => return operation.succeed(),
        Error::PoolTimedOut => "pool_timed_out",
        Error::PoolClosed => "pool_closed",
        Error::Io(_) => "io",
        Error::Tls(_) => "tls",
        Error::Protocol(_) => "protocol",
        _ => "request_failed",
    };
    // A database's words may repeat a value (`Key (mail)=(…) already exists`): the kind and the code are told.
    operation.fail(kind, kind);
}

/// A query as it was given, its statement known.
struct Seen<D: Driver> {
    sql: SqlStr,
    statement: Option<D::Statement>,
    arguments: Option<Result<Option<D::Arguments>, BoxDynError>>,
    is_persistent: bool,
}

impl<D: Driver> Seen<D> {
    fn new<'q>(mut query: impl Execute<'q, D>) -> Seen<D> {
        Seen {
            arguments: Some(query.take_arguments()),
            statement: query.statement().cloned(),
            is_persistent: query.persistent(),
            sql: query.sql(),
        }
    }
}

impl<'q, D: Driver> Execute<'q, D> for Seen<D> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&D::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<D::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}

type Item<D> = Result<Either<<D as Driver>::QueryResult, <D as Driver>::Row>, Error>;

/// Rows on their way. The operation ends with the stream, or when the stream is dropped: who has enough rows has succeeded.
struct Rows<'e, D: Driver> {
    inner: BoxStream<'e, Item<D>>,
    operation: Option<Operation>,
    count: u64,
}

impl<D: Driver> Stream for Rows<'_, D> {
    type Item = Item<D>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item<D>>> {
        let this = &mut *self;
        let polled = {
            let _entered = this.operation.as_ref().map(|operation| operation.span.enter());
            this.inner.as_mut().poll_next(context)
        };
        match &polled {
            Poll::Ready(Some(Ok(Either::Right(_)))) => this.count += 1,
            Poll::Ready(Some(Err(error))) => {
                if let Some(mut operation) = this.operation.take() {
                    judge(&mut operation, Some(error));
                }
            }
            Poll::Ready(None) => this.finish(),
            _ => {}
        }
        polled
    }
}

impl<D: Driver> Rows<'_, D> {
    fn finish(&mut self) {
        if let Some(mut operation) = self.operation.take() {
            operation.span.record("db.response.returned_rows", self.count);
            operation.succeed();
        }
    }
}

impl<D: Driver> Drop for Rows<'_, D> {
    fn drop(&mut self) {
        // Dropped before the first row it was cancelled; after that the caller had what it wanted.
        if self.count > 0 {
            self.finish();
        }
    }
}

fn rows<'e, D: Driver>(
    operation: Operation,
    inner: BoxStream<'e, Item<D>>,
) -> BoxStream<'e, Item<D>> {
    Box::pin(Rows::<D> { inner, operation: Some(operation), count: 0 })
}

impl<'p, D: Driver> Executor<'p> for &'_ Pool<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    type Database = D;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Item<D>>
    where
        'p: 'e,
        E: 'q + Execute<'q, D>,
    {
        let query = Seen::new(query);
        let operation = self.database.begin_statement(query.sql.as_str());
        let (pool, database, span) =
            (self.inner.clone(), self.database.clone(), operation.span.clone());
        let asked = clock::instant();
        let all: BoxStream<'e, Item<D>> = Box::pin(sqlx_core::try_stream! {
            let connection = pool.acquire().await;
            database.waited(asked.elapsed().as_secs_f64(), &span);
            let mut connection = connection?;
            let mut rows = (&mut *connection).fetch_many(query);
            while let Some(row) = next::<D>(&mut rows).await {
                r#yield!(row?);
            }
            Ok(())
        });
        rows::<D>(operation, all)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<D::Row>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, D>,
    {
        let query = Seen::new(query);
        let mut operation = self.database.begin_statement(query.sql.as_str());
        let (pool, database, span) =
            (self.inner.clone(), self.database.clone(), operation.span.clone());
        Box::pin(
            async move {
                let found = match Pool::acquire(pool, &database, &operation).await {
                    Ok(mut connection) => (&mut *connection).fetch_optional(query).await,
                    Err(error) => Err(error),
                };
                if let Ok(row) = &found {
                    let count = u64::from(row.is_some());
                    operation.span.record("db.response.returned_rows", count);
                }
                judge(&mut operation, found.as_ref().err());
                found
            }
            .instrument(span),
        )
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [D::TypeInfo],
    ) -> BoxFuture<'e, Result<D::Statement, Error>>
    where
        'p: 'e,
    {
        let pool = self.inner.clone();
        Box::pin(async move { pool.acquire().await?.prepare_with(sql, parameters).await })
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<::sqlx::Describe<D>, Error>>
    where
        'p: 'e,
    {
        let pool = self.inner.clone();
        Box::pin(async move { pool.acquire().await?.describe(sql).await })
    }
}

impl<'c, D: Driver> Executor<'c> for On<'c, D>
where
    for<'any> &'any mut D::Connection: Executor<'any, Database = D>,
    D::Connection: Connection,
{
    type Database = D;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Item<D>>
    where
        'c: 'e,
        E: 'q + Execute<'q, D>,
    {
        let query = Seen::new(query);
        let operation = self.database.begin_statement(query.sql.as_str());
        rows::<D>(operation, self.connection.fetch_many(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<D::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, D>,
    {
        let query = Seen::new(query);
        let mut operation = self.database.begin_statement(query.sql.as_str());
        let found = self.connection.fetch_optional(query).instrument(operation.span.clone());
        Box::pin(async move {
            let found = found.await;
            judge(&mut operation, found.as_ref().err());
            found
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [D::TypeInfo],
    ) -> BoxFuture<'e, Result<D::Statement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<::sqlx::Describe<D>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

async fn next<D: Driver>(rows: &mut BoxStream<'_, Item<D>>) -> Option<Item<D>> {
    std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await
}
