//! Notifications: what is said, when, and that it arrives.
//!
//! A [step](crate::Engine::step) decides that a receiver must be told something and commits an
//! [`Intent`] together with the transition that caused it. Once that commit is durable the intent
//! enters the [`DeliveryQueue`], which says what to send when, and moves it to the log when it is
//! settled. So delivery is at least once: a crash between sending and settling repeats it, with
//! the same bytes under the same `Idempotency-Key`.

mod intent;
pub mod interval;
mod ledger;
pub mod matcher;
mod notification;
mod payload;
mod queue;
pub mod receivers;
pub mod template;

pub use intent::{Intent, IntentId, NotificationStatus};
pub use ledger::{DeliveryRecord, Verdict};
pub use notification::{Notification, NotificationReason, NotifiedAlert};
pub use payload::fingerprint;
pub(crate) use payload::{group_key, render};
pub use queue::{
    DELIVERY_SOURCE, Delivery, DeliveryOutcome, DeliveryPolicy, DeliveryQueue, Settled,
};
