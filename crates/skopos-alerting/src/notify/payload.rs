//! Every notification as the webhook's payload: what is sent where no configuration says otherwise.

use std::sync::Arc;

use super::receivers::webhook_payload;
use super::{Notification, Render};

/// Renders every notification as the webhook's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookPayload {
    /// Where this server is reached by users.
    pub external_url: String,
    /// Most alerts in one notification, 0 for no limit; the rest is counted.
    pub max_alerts: usize,
}

impl Render for WebhookPayload {
    fn render(&self, notification: &Notification) -> Result<Arc<str>, String> {
        Ok(webhook_payload(notification, self.max_alerts, &self.external_url).into())
    }
}
