//! The rule loop.

/// Rules and alerts.
#[derive(Debug, Default)]
pub struct RulesView;

impl RulesView {
    /// Whether every group was evaluated in time; the reason when not.
    pub(crate) fn check_recent(&self) -> Result<(), String> {
        Ok(())
    }
}
