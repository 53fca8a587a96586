//! Alerting: rules, the state of alerts, and the notifications they cause.

mod duration;
pub mod rules;
pub mod template;

pub use duration::{InvalidDuration, format_duration, parse_duration};
