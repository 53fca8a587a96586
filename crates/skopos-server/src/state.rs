//! What every handler sees: [`AppState`], shared behind an `Arc`.

use std::sync::Arc;

use skopos::Telemetry;
use skopos::health::Health;
use skopos_model::storage::{Append, SelectSeries, StateLog};
use skopos_model::{Clock, Timestamp};
use skopos_sql::SqlEngine;
use skopos_store::Store;
use skopos_store::cardinality::Cardinality;
use skopos_store::scan::ScanEvents;
use tokio_util::sync::CancellationToken;

use crate::auth::Tokens;
use crate::config::Settings;
use crate::derive::Deriver;
use crate::ingest::Ingest;
use crate::listen::Addresses;
use crate::query::QueryEngine;
use crate::receipts::Receipts;
use crate::rules::RulesView;
use crate::runbooks::Runbooks;
use crate::scrape::TargetsView;
use crate::slos::Slos;
use crate::status::Rates;

/// Everything the storage engine offers, as one object.
pub trait Storage: Append + SelectSeries + ScanEvents + StateLog + 'static {}

impl<T: Append + SelectSeries + ScanEvents + StateLog + 'static> Storage for T {}

/// The server's shared state. Cheap to share, never replaced while the server runs.
pub struct AppState {
    /// Storage.
    pub store: Arc<dyn Storage>,
    /// What the store knows about its series.
    pub cardinality: Arc<dyn Cardinality>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Effective configuration.
    pub settings: Arc<Settings>,
    /// The query engine.
    pub queries: Arc<QueryEngine>,
    /// SQL over the store; its queries are admitted by `queries`.
    pub sql: Arc<SqlEngine>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// What was taken in and what was refused, per sender.
    pub receipts: Arc<Receipts>,
    /// Scrape targets and their last results.
    pub targets: Arc<TargetsView>,
    /// Rules, alerts and the loop that evaluates them.
    pub rules: Arc<RulesView>,
    /// Objectives, what they spent, and the loop that counts it.
    pub slos: Arc<Slos>,
    /// The pages that alerts link, and what was done of them.
    pub runbooks: Arc<Runbooks>,
    /// The probes.
    pub health: Health,
    /// The server's own telemetry.
    pub telemetry: Telemetry,
    /// Cancelled when the server begins to stop; long answers end then.
    pub shutdown: CancellationToken,
    /// When the server started.
    pub started_at: Timestamp,
    pub(crate) ingest: Ingest,
    /// The data folder, for its administration.
    pub(crate) folder: Arc<Store>,
    pub(crate) deriver: Arc<Deriver>,
    /// Memory for data in all, bytes.
    pub(crate) memory_bytes: u64,
    /// Where the server listens.
    pub(crate) addresses: Addresses,
    /// How much came in lately.
    pub(crate) rates: Rates,
}

/// How handlers receive the state: `State(state): State<SharedState>`.
pub type SharedState = Arc<AppState>;
