//! The crate through its public interface: rule files, templates, timelines, crashes, delivery.

mod alert_generator;
mod alertmanager;
mod backtest;
mod builtin;
mod crashes;
mod delivery;
mod dispatch;
mod fuzzing;
mod harness;
mod history;
mod notification_templates;
mod policies;
mod receivers;
mod rule_files;
mod rule_tests;
mod sends;
mod state;
mod templates;
mod timelines;
