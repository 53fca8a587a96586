//! What every handler sees: [`AppState`], shared behind an `Arc`.

use std::sync::Arc;

use skopos_model::storage::{Append, SelectSeries, StateLog};
use skopos_model::{Clock, Timestamp};
use skopos_store::scan::ScanEvents;

use crate::auth::Tokens;
use crate::config::Settings;
use crate::receipts::Receipts;
use crate::scrape::TargetsView;

/// Everything the storage engine offers, as one object.
pub trait Storage: Append + SelectSeries + ScanEvents + StateLog + 'static {}

impl<T: Append + SelectSeries + ScanEvents + StateLog + 'static> Storage for T {}

/// The server's shared state. Cheap to share, never replaced while the server runs.
pub struct AppState {
    /// Storage.
    pub store: Arc<dyn Storage>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Effective configuration.
    pub settings: Arc<Settings>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// What was taken in and what was refused, per sender.
    pub receipts: Arc<Receipts>,
    /// Scrape targets and their last results.
    pub targets: Arc<TargetsView>,
    /// When the server started.
    pub started_at: Timestamp,
}

/// How handlers receive the state: `State(state): State<SharedState>`.
pub type SharedState = Arc<AppState>;
