//! order-service: takes orders, reserves stock, charges the customer, keeps the order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skopos::health::Health;
use skopos::metrics::{Bounded, Counter, Family, Gauge, Histogram, Registry};
use skopos::{Service, Telemetry};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tracing::Instrument;

use crate::faults::Faults;
use crate::settings::{self, Settings};
use crate::{Charge, Charged, NewOrder, PlacedOrder, Reservation, Reserved};

const CURRENCY: &str = "EUR";
const POOL_SIZE: u32 = 8;

skopos::labels! {
    struct OrderLabels { payment_method: Bounded<8>, region: Bounded<8> }
}

/// The business metrics of the guide.
struct Metrics {
    orders_placed: Family<OrderLabels, Counter>,
    order_value: Histogram,
    active_users: Gauge,
}

impl Metrics {
    fn register(registry: &Registry) -> Self {
        Self {
            orders_placed: registry.counter_family("orders_placed_total", "Total orders"),
            order_value: registry.histogram(
                "order_value_dollars",
                "Order value",
                &[10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0],
            ),
            active_users: registry.gauge("active_users_current", "Currently active users"),
        }
    }
}

struct App {
    database: SqlitePool,
    http: skopos::reqwest::Client,
    settings: Settings,
    metrics: Metrics,
}

/// Runs the service until it is asked to stop.
pub async fn run() -> Result<()> {
    let telemetry =
        Telemetry::builder(Service::new("order-service").version(env!("CARGO_PKG_VERSION")))
            .from_env()
            .install()?;
    let settings = Settings::from_env(8081)?;
    let database = open_database(&settings.database_url).await?;

    let pool = database.clone();
    telemetry.registry().gauge_fn(
        "db_connection_pool_usage_ratio",
        "Pool utilization (0-1)",
        &[],
        move || f64::from(pool.size() - pool.num_idle() as u32) / f64::from(POOL_SIZE),
    );
    let pool = database.clone();
    let health = Health::builder()
        .critical("database", move || {
            let pool = pool.clone();
            async move { sqlx::query("SELECT 1").execute(&pool).await.map(drop) }
        })
        .build();

    let faults = Faults::new(&["db-pool"]);
    tokio::spawn(hold_connections(database.clone(), faults.clone()));

    let app = Arc::new(App {
        database,
        http: telemetry
            .reqwest(reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?),
        metrics: Metrics::register(telemetry.registry()),
        settings: settings.clone(),
    });
    let routes = Router::new()
        .route("/orders", post(create_order))
        .route("/orders/{id}", get(show_order))
        .with_state(app)
        .merge(faults.router());
    settings::serve(settings.listen, routes, telemetry, health).await
}

async fn open_database(url: &str) -> Result<SqlitePool> {
    let options: SqliteConnectOptions = url.parse().context("read SHOP_DATABASE_URL")?;
    let pool = SqlitePoolOptions::new()
        .max_connections(POOL_SIZE)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(options.create_if_missing(true))
        .await
        .context("open the database")?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, user_id TEXT NOT NULL, \
         sku TEXT NOT NULL, quantity INTEGER NOT NULL, amount REAL NOT NULL, transaction_id TEXT NOT NULL)",
    )
    .execute(&pool)
    .await
    .context("create the table of orders")?;
    Ok(pool)
}

/// The fault `db-pool`: takes every connection and keeps it, as a leak would.
async fn hold_connections(pool: SqlitePool, faults: Faults) {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut held = Vec::new();
    loop {
        if faults.is_on("db-pool") {
            if let Ok(Ok(connection)) = tokio::time::timeout(PAUSE, pool.acquire()).await {
                held.push(connection);
            }
        } else {
            held.clear();
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn create_order(
    State(app): State<Arc<App>>,
    Json(order): Json<NewOrder>,
) -> Result<(StatusCode, Json<PlacedOrder>), StatusCode> {
    let _active = app.metrics.active_users.track();
    let span = tracing::info_span!(
        "process_order",
        order.id = tracing::field::Empty,
        order.sku = order.sku,
        user.id = order.user_id,
    );
    process(&app, &order).instrument(span).await.map(|placed| (StatusCode::CREATED, Json(placed)))
}

async fn process(app: &App, order: &NewOrder) -> Result<PlacedOrder, StatusCode> {
    let key = skopos::new_request_id();
    let reservation = Reservation { sku: order.sku.clone(), quantity: order.quantity };
    let reserved: Reserved = app
        .call(&app.settings.inventory_url, "/reservations", &reservation)
        .instrument(tracing::info_span!("validate_inventory"))
        .await?;

    let amount = reserved.unit_price * f64::from(order.quantity);
    let charge = Charge {
        order_key: key,
        amount,
        currency: CURRENCY.into(),
        payment_method: order.payment_method.clone(),
    };
    let charged: Charged = app
        .call(&app.settings.payment_url, "/charges", &charge)
        .instrument(tracing::info_span!("charge_payment", payment.amount = amount))
        .await?;

    let order_id = app
        .insert(order, amount, &charged.transaction_id)
        .instrument(tracing::info_span!(
            "INSERT orders",
            otel.kind = "client",
            db.system.name = "sqlite"
        ))
        .await
        .map_err(|error| {
            tracing::error!(%error, "order paid but not stored");
            StatusCode::SERVICE_UNAVAILABLE
        })?;

    let labels = OrderLabels {
        payment_method: order.payment_method.clone().into(),
        region: order.region.clone().into(),
    };
    app.metrics.orders_placed.get(&labels).inc();
    app.metrics.order_value.observe(amount);
    tracing::Span::current().record("order.id", order_id);
    // A log line, and, being inside `process_order`, an event of that span.
    tracing::info!(order_id, user_id = order.user_id, amount, currency = CURRENCY, "order_placed");
    Ok(PlacedOrder { order_id, amount, currency: CURRENCY.into() })
}

impl App {
    /// Calls another service. Its failure is ours: the customer sees 502, the log says whose.
    async fn call<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, StatusCode> {
        let answer = self.http.post(format!("{base}{path}")).json(body).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => answer.json().await.map_err(|error| {
                tracing::error!(%error, path, "answer not understood");
                StatusCode::BAD_GATEWAY
            }),
            Err(error) if error.status() == Some(reqwest::StatusCode::NOT_FOUND) => {
                Err(StatusCode::NOT_FOUND)
            }
            Err(error) => {
                tracing::error!(%error, path, "call failed");
                Err(StatusCode::BAD_GATEWAY)
            }
        }
    }

    async fn insert(
        &self,
        order: &NewOrder,
        amount: f64,
        transaction_id: &str,
    ) -> sqlx::Result<i64> {
        let done = sqlx::query(
            "INSERT INTO orders (user_id, sku, quantity, amount, transaction_id) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&order.user_id)
        .bind(&order.sku)
        .bind(order.quantity)
        .bind(amount)
        .bind(transaction_id)
        .execute(&self.database)
        .await?;
        Ok(done.last_insert_rowid())
    }
}

async fn show_order(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Json<PlacedOrder>, StatusCode> {
    let row: Option<(i64, f64)> = sqlx::query_as("SELECT id, amount FROM orders WHERE id = ?")
        .bind(id)
        .fetch_optional(&app.database)
        .await
        .map_err(|error| {
            tracing::error!(%error, "order not readable");
            StatusCode::SERVICE_UNAVAILABLE
        })?;
    let (order_id, amount) = row.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(PlacedOrder { order_id, amount, currency: CURRENCY.into() }))
}
