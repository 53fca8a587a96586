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

pub mod auth;
pub mod config;
pub mod error;
pub mod http;
pub mod listen;
pub mod receipts;
pub mod scrape;
pub mod state;
mod yaml;

use listen::PortHolder;

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
}
