//! The crate through its public interface: rule files, templates, timelines, crashes, delivery.

mod fuzzing;
mod harness;
mod rule_files;
mod templates;
mod timelines;
