//! Prometheus' HTTP API.

use super::Route;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    Vec::new()
}
