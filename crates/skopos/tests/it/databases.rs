//! SQL and Redis against the real things: PostgreSQL and Redis from their Debian packages, each in a folder of its own and on a
//! socket in it, and SQLite in the process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use redis::AsyncCommands as _;
use skopos::metrics::Format;
use sqlx::Row as _;

use crate::exposition::parse;
use crate::support::{Collector, Manner, Output, PATIENCE, attribute, builder, runtime, scoped};

/// A server of one test. It ends with the test.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id` runs");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// A command of PostgreSQL's. It refuses to run as root: there its own user runs it.
fn postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn postgres_folder() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is needed: apt-get install postgresql");
    let mut folders: Vec<PathBuf> =
        versions.map(|version| version.unwrap().path().join("bin")).collect();
    folders.sort();
    folders.pop().expect("PostgreSQL is needed: apt-get install postgresql")
}

fn start_postgres() -> Server {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
        assert!(owned.success());
    }
    let (programs, data) = (postgres_folder(), folder.path().join("data"));
    let made = postgres(&programs.join("initdb"))
        .args(["--username=skopos", "--auth=trust", "--no-sync", "--encoding=UTF8", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "initdb");
    let child = postgres(&programs.join("postgres"))
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(folder.path())
        .args(["-c", "listen_addresses=", "-c", "fsync=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Server { child, folder }
}

fn start_redis() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(folder.path().join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect("Redis is needed: apt-get install redis-server");
    Server { child, folder }
}

/// Tries until the server answers.
async fn answered<T, E: std::fmt::Display>(attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let mut last = String::new();
    for _ in 0..400 {
        match attempt().await {
            Ok(connected) => return connected,
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server does not answer: {last}");
}

fn spans(collector: &Collector) -> Vec<(String, Span)> {
    let all = collector.spans().into_iter();
    all.filter(|span| span.kind == 3).map(|span| (span.name.clone(), span)).collect()
}

fn get(span: &Span, key: &str) -> Option<String> {
    attribute(&span.attributes, key)
}

/// What holds for any database: the same queries, the same spans.
async fn use_sql<D>(db: &skopos::db::sqlx::Pool<D>, placeholder: &'static str)
where
    D: sqlx::Database,
    for<'c> &'c mut D::Connection: sqlx::Executor<'c, Database = D>,
    for<'q> i64: sqlx::Encode<'q, D> + sqlx::Type<D>,
    for<'r> i64: sqlx::Decode<'r, D>,
    for<'q> String: sqlx::Encode<'q, D> + sqlx::Type<D>,
    for<'r> String: sqlx::Decode<'r, D>,
    D::Arguments: sqlx::IntoArguments<D>,
    usize: sqlx::ColumnIndex<D::Row>,
{
    use sqlx::{AssertSqlSafe, query};
    let make = "CREATE TABLE orders (id BIGINT PRIMARY KEY, article TEXT NOT NULL)";
    query(make).execute(db).await.unwrap();
    let insert = format!("INSERT INTO orders (id, article) VALUES ({placeholder}1, 'cAnArY-tea')");
    for id in [1_i64, 2, 3] {
        query(AssertSqlSafe(insert.clone())).bind(id).execute(db).await.unwrap();
    }
    let one = format!("SELECT article FROM orders WHERE id = {placeholder}1");
    let row = query(AssertSqlSafe(one.clone())).bind(2_i64).fetch_one(db).await.unwrap();
    assert_eq!(row.get::<String, _>(0_usize), "cAnArY-tea");
    let none = query(AssertSqlSafe(one.clone())).bind(99_i64).fetch_optional(db).await.unwrap();
    assert!(none.is_none());
    let missing = query(AssertSqlSafe(one)).bind(99_i64).fetch_one(db).await;
    assert!(matches!(missing, Err(sqlx::Error::RowNotFound)));
    let all = query("SELECT id FROM orders").fetch_all(db).await.unwrap();
    assert_eq!(all.len(), 3);
    let twice = query(AssertSqlSafe(insert)).bind(1_i64).execute(db).await;
    assert!(matches!(twice, Err(sqlx::Error::Database(_))));

    let mut transaction = db.begin().await.unwrap();
    query("DELETE FROM orders").execute(db.on(&mut *transaction)).await.unwrap();
    transaction.rollback().await.unwrap();
    let left = query("SELECT id FROM orders").fetch_all(db).await.unwrap();
    assert_eq!(left.len(), 3);
}

fn check_sql(
    start: impl AsyncFnOnce(&skopos::Telemetry),
    system: &str,
    placeholder: &str,
    duplicate: &str,
) {
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    runtime().block_on(start(&telemetry));
    drop(guard);
    assert!(telemetry.flush(PATIENCE));

    let spans = spans(&collector);
    let names: Vec<&str> = spans.iter().map(|(name, _)| name.as_str()).collect();
    let insert = "INSERT orders";
    let select = "SELECT orders";
    let expected = [
        "CREATE orders",
        insert,
        insert,
        insert,
        select,
        select,
        select,
        select,
        insert,
        "BEGIN",
        "DELETE orders",
        select,
    ];
    assert_eq!(names, expected);
    for (name, span) in &spans {
        assert_eq!(get(span, "db.system.name").as_deref(), Some(system), "{name}");
        assert_eq!(get(span, "db.operation.name").as_deref(), name.split(' ').next());
    }
    let text = get(&spans[1].1, "db.query.text").unwrap();
    assert_eq!(text, format!("INSERT INTO orders (id, article) VALUES ({placeholder}1, ?)"));
    assert_eq!(get(&spans[1].1, "db.collection.name").as_deref(), Some("orders"));
    assert_eq!(get(&spans[1].1, "db.query.summary").as_deref(), Some(insert));
    assert_eq!(get(&spans[4].1, "db.response.returned_rows").as_deref(), Some("1"));
    assert_eq!(get(&spans[5].1, "db.response.returned_rows").as_deref(), Some("0"));
    assert_eq!(get(&spans[7].1, "db.response.returned_rows").as_deref(), Some("3"));
    for (place, (name, span)) in spans.iter().enumerate() {
        let code = span.status.clone().unwrap_or_default().code();
        // Only the second insertion of the same row: that a row is not there is an answer.
        assert_eq!(code == StatusCode::Error, place == 8, "{place} {name}");
    }
    assert_eq!(get(&spans[8].1, "db.response.status_code").as_deref(), Some(duplicate));
    assert_eq!(get(&spans[8].1, "error.type").as_deref(), Some("database"));
    let sent = collector.bytes();
    assert!(!String::from_utf8_lossy(&sent).contains("cAnArY"), "no value leaves the process");

    let encoded = telemetry.registry().encode(Format::Prometheus);
    let series = parse(&encoded, Format::Prometheus).series;
    let count = |operation: &str, outcome: &str| {
        let name = format!(
            "db_client_operation_duration_seconds_count{{db_system=\"{system}\",operation=\"{operation}\",outcome=\"{outcome}\",pool=\"orders\"}}"
        );
        series[&name]
    };
    assert_eq!((count("SELECT", "success"), count("INSERT", "success")), (5.0, 3.0));
    assert_eq!(count("INSERT", "failure"), 1.0);
    assert_eq!(series[r#"db_connection_pool_usage_ratio{pool="orders"}"#], 0.0);
    assert_eq!(series[r#"db_client_connection_max{pool="orders"}"#], 2.0);
    let waits = series[r#"db_client_connection_wait_seconds_count{pool="orders"}"#];
    assert_eq!(waits, 10.0, "all but the transaction's");
}

#[test]
fn sqlite() {
    check_sql(
        async |telemetry| {
            let folder = tempfile::tempdir().unwrap();
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("orders.sqlite"))
                .create_if_missing(true);
            let pool = sqlx::sqlite::SqlitePoolOptions::new()
                .max_connections(2)
                .connect_with(options)
                .await
                .unwrap();
            let db = telemetry.sqlx("orders", pool);
            use_sql(&db, "?").await;
            db.inner().close().await;
        },
        "sqlite",
        "?",
        "1555",
    );
}

#[test]
fn postgresql() {
    let server = start_postgres();
    check_sql(
        async |telemetry| {
            let options = sqlx::postgres::PgConnectOptions::new()
                .socket(server.folder.path())
                .username("skopos")
                .database("postgres");
            let pool = answered(async || {
                let pool = sqlx::postgres::PgPoolOptions::new().max_connections(2);
                pool.connect_with(options.clone()).await
            })
            .await;
            let db = telemetry.sqlx("orders", pool);
            use_sql(&db, "$").await;
            db.inner().close().await;
        },
        "postgresql",
        "$",
        "23505",
    );
}

#[test]
fn a_pool_that_is_used_up_shows_as_saturation_and_a_closed_one_as_failed_calls() {
    let output = Output::default();
    let (telemetry, _guard) = scoped(builder(&output, &[]));
    runtime().block_on(async {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let db = telemetry.sqlx("orders", pool.connect("sqlite::memory:").await.unwrap());
        let series = || {
            let encoded = telemetry.registry().encode(Format::Prometheus);
            parse(&encoded, Format::Prometheus).series
        };
        let kept = db.inner().acquire().await.unwrap();
        assert_eq!(series()[r#"db_connection_pool_usage_ratio{pool="orders"}"#], 1.0);
        drop(kept);
        db.inner().close().await;
        let refused = sqlx::query("SELECT 1").fetch_one(&db).await;
        assert!(matches!(refused, Err(sqlx::Error::PoolClosed)));
        let failed = r#"db_client_operation_duration_seconds_count{db_system="sqlite",operation="SELECT",outcome="failure",pool="orders"}"#;
        assert_eq!(series()[failed], 1.0);
    });
}

#[test]
fn redis_server() {
    let server = start_redis();
    let collector = Collector::start(Manner::Accepts);
    let endpoint = collector.endpoint();
    let output = Output::default();
    let (telemetry, guard) =
        scoped(builder(&output, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    runtime().block_on(async {
        let socket = server.folder.path().join("redis.sock");
        let client = redis::Client::open(format!("unix://{}", socket.display())).unwrap();
        let connection = answered(async || client.get_multiplexed_async_connection().await).await;
        let mut cache = telemetry.redis("sessions", connection);
        let () = cache.set("cAnArY-key", "cAnArY-value").await.unwrap();
        let value: String = cache.get("cAnArY-key").await.unwrap();
        assert_eq!(value, "cAnArY-value");
        let wrong: redis::RedisResult<i64> = cache.incr("cAnArY-key", 1).await;
        wrong.unwrap_err();
        let (one, two): (i64, i64) =
            redis::pipe().incr("a", 1).incr("b", 2).query_async(&mut cache).await.unwrap();
        assert_eq!((one, two), (1, 2));
        let mut odd = redis::cmd("cAnArY not a word");
        let odd: redis::RedisResult<()> = odd.arg(1).query_async(&mut cache).await;
        odd.unwrap_err();
    });
    drop(guard);
    assert!(telemetry.flush(PATIENCE));
    let spans = spans(&collector);
    let names: Vec<&str> = spans.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["SET", "GET", "INCRBY", "PIPELINE INCRBY", "other"]);
    for (name, span) in &spans {
        assert_eq!(get(span, "db.system.name").as_deref(), Some("redis"), "{name}");
        assert_eq!(get(span, "db.query.text"), None);
        let failed = span.status.clone().unwrap_or_default().code() == StatusCode::Error;
        assert_eq!(failed, matches!(name.as_str(), "INCRBY" | "other"), "{name}");
    }
    assert_eq!(get(&spans[3].1, "db.operation.batch.size").as_deref(), Some("2"));
    assert_eq!(get(&spans[2].1, "db.response.status_code").as_deref(), Some("ERR"));
    assert!(!String::from_utf8_lossy(&collector.bytes()).contains("cAnArY"));
    let encoded = telemetry.registry().encode(Format::Prometheus);
    let series = parse(&encoded, Format::Prometheus).series;
    let gets = r#"db_client_operation_duration_seconds_count{db_system="redis",operation="GET",outcome="success",pool="sessions"}"#;
    assert_eq!(series[gets], 1.0);
}
