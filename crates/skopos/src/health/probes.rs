//! Ready-made checks, for [`HealthBuilder::critical`](super::HealthBuilder::critical) and its like. None of them puts a
//! credential into its error.

use std::future::Future;
use std::pin::Pin;

/// What a ready-made check returns.
type Outcome = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A check that a TCP connection can be made.
///
/// ```
/// let health = skopos::health::Health::builder().critical("database", skopos::health::tcp("db:5432")).build();
/// # let _ = health;
/// ```
#[cfg(feature = "axum")]
pub fn tcp(address: impl Into<String>) -> impl Fn() -> Outcome + Send + Sync + 'static {
    let address = address.into();
    move || {
        let address = address.clone();
        Box::pin(async move {
            let connected = tokio::net::TcpStream::connect(address).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// A check that a Redis server answers `PING`, given `host:port`, or a URL: `redis://:password@host:6379`.
///
/// It speaks the protocol itself and opens a connection each time, so that it says the truth about the server when the pool
/// of the service is exhausted. A server that asks for a password it was not given does answer: it is healthy.
///
/// ```
/// let health = skopos::health::Health::builder().critical("cache", skopos::health::redis("redis://cache:6379")).build();
/// # let _ = health;
/// ```
#[cfg(feature = "axum")]
pub fn redis(address: impl Into<String>) -> impl Fn() -> Outcome + Send + Sync + 'static {
    let address = address.into();
    move || {
        let address = address.clone();
        Box::pin(async move { ping_redis(&address).await })
    }
}

#[cfg(feature = "axum")]
async fn ping_redis(url: &str) -> Result<(), String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let address = url.strip_prefix("redis://").unwrap_or(url);
    let address = address.split('/').next().unwrap_or_default();
    let (credentials, host) = match address.rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials), host),
        None => (None, address),
    };
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:6379") };
    let mut request = Vec::new();
    let mut expected = 1;
    if let Some(credentials) = credentials {
        let (user, password) = credentials.split_once(':').unwrap_or(("", credentials));
        let mut words: Vec<&str> = vec!["AUTH"];
        words.extend((!user.is_empty()).then_some(user));
        words.push(password);
        push_command(&mut request, &words);
        expected += 1;
    }
    push_command(&mut request, &["PING"]);

    let text = |error: std::io::Error| error.to_string();
    let mut stream = tokio::net::TcpStream::connect(host).await.map_err(text)?;
    stream.write_all(&request).await.map_err(text)?;
    let mut answer = Vec::new();
    // Each answer is one line; a server that sends more than this is none.
    while answer.iter().filter(|byte| **byte == b'\n').count() < expected && answer.len() < 1024 {
        if stream.read_buf(&mut answer).await.map_err(text)? == 0 {
            return Err("the connection was closed before an answer".to_owned());
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let last = answer.lines().nth(expected - 1).unwrap_or_default().trim_end();
    match last {
        "+PONG" => Ok(()),
        asks if asks.starts_with("-NOAUTH") && credentials.is_none() => Ok(()),
        // Only the kind of the error: its text may repeat what was sent.
        error if error.starts_with('-') => {
            let kind = error.trim_start_matches('-').split(' ').next().unwrap_or_default();
            Err(format!("the server answered {kind}"))
        }
        _ => Err("the answer is not Redis'".to_owned()),
    }
}

#[cfg(feature = "axum")]
fn push_command(request: &mut Vec<u8>, words: &[&str]) {
    request.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        request.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
}

/// A check that a database answers `SELECT 1` through this pool: the guide's check of a database. A pool that is exhausted fails
/// it too, after the check's timeout: who cannot have a connection is not ready.
///
/// ```no_run
/// # fn check(pool: sqlx::Pool<sqlx::Sqlite>) {
/// use skopos::health::Health;
///
/// let health = Health::builder().critical("database", skopos::health::sqlx(pool)).build();
/// # }
/// ```
#[cfg(feature = "sqlx")]
pub fn sqlx<D>(pool: ::sqlx::Pool<D>) -> impl Fn() -> Outcome + Send + Sync + 'static
where
    D: ::sqlx::Database,
    for<'c> &'c mut D::Connection: ::sqlx::Executor<'c, Database = D>,
{
    move || {
        let pool = pool.clone();
        Box::pin(async move {
            let answered = ::sqlx::Executor::execute(&pool, "SELECT 1").await;
            answered.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// A check that a URL answers with a status below 400. It follows no redirects, keeps its connections, and sends no ids.
///
/// ```
/// let health = skopos::health::Health::builder().critical("payments", skopos::health::http("http://payments/health/live")).build();
/// # let _ = health;
/// ```
#[cfg(feature = "reqwest")]
pub fn http(url: impl Into<String>) -> impl Fn() -> Outcome + Send + Sync + 'static {
    let url = url.into();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let client = client.map_err(|error| error.without_url().to_string());
    move || {
        let (client, url) = (client.clone(), url.clone());
        Box::pin(async move {
            // The URL may hold credentials: no error repeats it.
            let answered = client?.get(url).send().await.map_err(|error| {
                let mut text = error.without_url().to_string();
                // What reqwest says alone is "error sending request".
                text.push_str(": the server does not answer");
                text
            })?;
            match answered.status() {
                status if status.as_u16() < 400 => Ok(()),
                status => Err(format!("the server answered {}", status.as_u16())),
            }
        })
    }
}

/// A check that the file system of this path has at least so many bytes left for us.
///
/// ```
/// let health = skopos::health::Health::builder().critical("spool", skopos::health::disk("/var/spool", 100 << 20)).build();
/// # let _ = health;
/// ```
#[cfg(feature = "disk")]
pub fn disk(
    path: impl Into<std::path::PathBuf>,
    least_free_bytes: u64,
) -> impl Fn() -> Outcome + Send + Sync + 'static {
    let path = path.into();
    move || {
        let path = path.clone();
        Box::pin(async move {
            // A file system that hangs (NFS) hangs its thread, not a worker.
            let found = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path));
            let found = found.await.map_err(|error| error.to_string())?;
            let found = found.map_err(|error| std::io::Error::from(error).to_string())?;
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free >= least_free_bytes {
                Ok(())
            } else {
                Err(format!("{free} bytes free, fewer than {least_free_bytes}"))
            }
        })
    }
}
