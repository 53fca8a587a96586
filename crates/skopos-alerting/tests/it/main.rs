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
mod slo_alerts;
mod slo_decide;
mod slo_engine;
mod slo_files;
mod slo_ledger;
mod slo_rules;
mod slo_world;
mod state;
mod templates;
mod timelines;
