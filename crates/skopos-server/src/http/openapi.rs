//! The OpenAPI document.

use super::Route;

/// The routes of this module.
pub(super) fn routes() -> Vec<Route> {
    Vec::new()
}
