//! Notifications: what is said, when, and that it arrives.
//!
//! The [`Dispatcher`] puts alerts into groups along the [routes](route) and decides that a receiver must
//! be told something, in the [step](crate::Engine::step) of a rule or when a group's time has come. The
//! [`Intent`] is committed together with what caused it. Once that commit is durable the intent
//! enters the [`DeliveryQueue`], which says what to send when, and moves it to the log when it is
//! settled. So delivery is at least once: a crash between sending and settling repeats it, with
//! the same bytes under the same `Idempotency-Key`.

mod ack;
mod dispatch;
mod inhibit;
mod intent;
pub mod interval;
mod ledger;
pub mod matcher;
mod notification;
mod payload;
mod queue;
pub mod receivers;
pub mod route;
mod silence;
pub mod template;

pub use ack::{ACKNOWLEDGED_METRIC, AckError, Acknowledgement, Severity};
pub(crate) use dispatch::fuzz_dispatch_records;
pub use dispatch::{
    AlertStatus, AlertSummary, DISPATCH_SOURCE, Dispatched, Dispatcher, GroupSummary, InvalidAlert,
    PostedAlert, Render,
};
pub use inhibit::InhibitRule;
pub use intent::{Intent, IntentId, InvalidIntentId, NotificationStatus};
pub use ledger::{DeadLetter, DeliveryRecord, Verdict};
pub use notification::{Notification, NotificationReason, NotifiedAlert, fingerprint};
pub use payload::WebhookPayload;
pub use queue::{
    DELIVERY_SOURCE, Delivery, DeliveryOutcome, DeliveryPolicy, DeliveryQueue, Dropped, Settled,
};
pub use silence::{RETENTION as SILENCE_RETENTION, Silence, SilenceError, SilenceState};
