//! The crate through its public interface: rule files, templates, timelines, crashes, delivery.

mod alertmanager;
mod crashes;
mod delivery;
mod dispatch;
mod fuzzing;
mod harness;
mod notification_templates;
mod receivers;
mod rule_files;
mod state;
mod templates;
mod timelines;
