//! What a service gives its frameworks, clients, drivers and jobs, so that they are seen.

use super::Telemetry;
use crate::ClientLayer;
use crate::db::{Database, DbMetrics};
use crate::http::HttpLayer;
use crate::work::{Publish, Work, WorkMetrics};

impl Telemetry {
    /// Returns the layer for HTTP services: request id, span, RED metrics, access line.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let app: axum::Router = axum::Router::new().layer(telemetry.http_layer());
    /// # let _ = app;
    /// ```
    pub fn http_layer(&self) -> HttpLayer {
        #[cfg(feature = "axum")]
        return self.inner.http.clone().validating(&self.inner.metrics);
        #[cfg(not(feature = "axum"))]
        self.inner.http.clone()
    }

    /// Returns a client that propagates the current request.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let client = telemetry.reqwest(reqwest::Client::new());
    /// # let _ = client;
    /// ```
    #[cfg(feature = "reqwest")]
    pub fn reqwest(&self, client: reqwest::Client) -> crate::reqwest::Client {
        crate::reqwest::Client::with_hosts(client, self.inner.hosts.clone())
    }

    /// Returns the layer for clients that speak `http`: hyper's, tower's, tonic's.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let layer = telemetry.client_layer(); // for tower::ServiceBuilder
    /// # let _ = layer;
    /// ```
    pub fn client_layer(&self) -> ClientLayer {
        ClientLayer::new(self.inner.hosts.clone())
    }

    /// Prepares a background job: see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// telemetry.job("clean_up").run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
    /// # }
    /// ```
    pub fn job(&self, name: &str) -> Work {
        Work::job(self.work_metrics(), self.inner.propagators, name)
    }

    /// Prepares the processing of a message of a queue (`nats`, `orders`): see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let headers = [("x-request-id", "r-1")]; // of the message
    /// let work = telemetry.consume("nats", "orders").sent_by(headers);
    /// work.run(async { Ok::<(), std::io::Error>(()) }).await.unwrap();
    /// # }
    /// ```
    pub fn consume(&self, system: &str, queue: &str) -> Work {
        Work::message(self.work_metrics(), self.inner.propagators, system, queue)
    }

    /// Prepares the sending of a message to a queue: see [`work`](crate::work).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let publish = telemetry.publish("nats", "orders");
    /// publish.run(|headers| async { Ok::<_, std::io::Error>(headers) }).await.unwrap();
    /// # }
    /// ```
    pub fn publish(&self, system: &str, queue: &str) -> Publish {
        Publish::new(system, queue)
    }

    fn work_metrics(&self) -> WorkMetrics {
        // Only a service that does such work shows its metrics.
        self.inner.work.get_or_init(|| WorkMetrics::register(&self.inner.metrics)).clone()
    }

    /// Describes a database, for drivers that are not wrapped here; `system` by the semantic conventions (`postgresql`,
    /// `mysql`), `pool` by your own.
    ///
    /// ```
    /// # let telemetry = skopos::Telemetry::builder(skopos::Service::new("doc")).without_lines().build().unwrap().0;
    /// let database = telemetry.database("mysql", "orders");
    /// # let _ = database;
    /// ```
    pub fn database(&self, system: &str, pool: &str) -> Database {
        let metrics = &self.inner.metrics;
        let metrics = self.inner.databases.get_or_init(|| DbMetrics::register(metrics));
        Database::new(metrics.clone(), system, pool)
    }

    /// Returns a pool whose queries are spans and timings, and shows how full it is: see [`db::sqlx`](crate::db::sqlx).
    ///
    /// ```
    /// # fn example(telemetry: skopos::Telemetry, pool: sqlx::PgPool) {
    /// let pool = telemetry.sqlx("orders", pool);
    /// # let _ = pool;
    /// # }
    /// ```
    #[cfg(feature = "sqlx")]
    pub fn sqlx<D: sqlx::Database>(
        &self,
        name: &str,
        pool: sqlx::Pool<D>,
    ) -> crate::db::sqlx::Pool<D> {
        let read = pool.clone();
        self.watch_pool(name, move || crate::db::sqlx::state(&read));
        let database = self.database(crate::db::sqlx::system::<D>(), name);
        crate::db::sqlx::Pool::new(pool, database)
    }

    /// Returns a connection whose commands are spans and timings: see [`db::redis`](crate::db::redis).
    ///
    /// ```
    /// # fn example(telemetry: skopos::Telemetry, connection: redis::aio::MultiplexedConnection) {
    /// let cache = telemetry.redis("sessions", connection);
    /// # let _ = cache;
    /// # }
    /// ```
    #[cfg(feature = "redis")]
    pub fn redis<C>(&self, name: &str, connection: C) -> crate::db::redis::Connection<C> {
        crate::db::redis::Connection::new(connection, self.database("redis", name))
    }
}
