//! The Skopos server: configuration, listeners, authentication, OTLP endpoints, scraping, rule
//! evaluation, notification delivery and the query APIs, wired around one store.
//!
//! What it is not: it decodes no protocol (`skopos-ingest`), evaluates no PromQL
//! (`skopos-promql`), decides no alert (`skopos-alerting`) and writes no byte to disk
//! (`skopos-store`). It waits, routes and delivers.
//!
//! What it promises:
//! - Closed by default: every route goes through one table and its token check ([`http`]).
//! - An OTLP 200 or OK means the data is durable and readable by the next query.
//! - Every queue is bounded, every refused or dropped item is counted with reason and sender
//!   ([`receipts`]), every task is owned and stops at shutdown.
//! - Receiver URLs and tokens appear in no log, error or answer.
//!
//! ```
//! use std::sync::Arc;
//! use skopos_model::SystemClock;
//! use skopos_server::config::Settings;
//! use skopos_server::listen::ListenAddr;
//! use skopos_server::{Server, telemetry};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let settings = Settings {
//!     data_dir: folder.path().into(),
//!     http_listen: ListenAddr::any_port(),
//!     otlp_grpc_listen: ListenAddr::any_port(),
//!     otlp_http_listen: ListenAddr::any_port(),
//!     ..Settings::defaults()
//! };
//! let clock = Arc::new(SystemClock::new());
//! let server = Server::start(settings, clock, telemetry::silent()?).await?;
//! assert_ne!(server.addresses().http.port(), 0);
//! server.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
pub mod auth;
mod commit;
pub mod config;
mod derive;
pub mod error;
pub mod grpc;
pub mod http;
mod ingest;
pub mod listen;
pub mod memory;
pub mod notify;
pub mod query;
mod ready;
pub mod receipts;
pub mod rules;
pub mod runbooks;
pub mod scrape;
mod server;
pub mod slos;
pub mod state;
mod status;
pub mod telemetry;
mod yaml;

use std::path::PathBuf;

use config::ConfigError;
use listen::PortHolder;
pub use server::{RunningServer, Server};
use skopos_alerting::rules::RuleError;
use skopos_model::storage::StorageError;
use skopos_store::StoreError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Another process listens there.
    #[error(
        "cannot listen on {address} for {purpose}: the port is taken{}",
        holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default()
    )]
    PortTaken {
        /// The address.
        address: String,
        /// What for.
        purpose: &'static str,
        /// Who holds it, where known.
        holder: Option<PortHolder>,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What for.
        purpose: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The configuration, or a file it points to, is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
    /// Rule files, or a file of Alertmanager's, with mistakes; each prints with its line and carets.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Rules(Vec<RuleError>),
    /// A file that the configuration points to cannot be read.
    #[error("failed to read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Beyond loopback without a token.
    #[error(
        "refusing to listen on {address} without tokens: anyone who reaches it could read and \
         write. Either start on loopback, run `skopos token create NAME --scopes admin` against \
         it, and start again with --listen; or put an entry of `skopos token create NAME --scopes \
         admin --offline` into auth.tokens (SKOPOS__AUTH__TOKENS). --allow-without-tokens goes \
         without"
    )]
    Exposed {
        /// The address.
        address: String,
    },
    /// The store did not open.
    #[error(transparent)]
    Store(StoreError),
    /// The store failed after it was opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The ready file cannot be written.
    #[error("failed to write the ready file {}: {source}", path.display())]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("failed to {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}
