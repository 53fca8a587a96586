//! The crate through its public interface: rule files, templates, timelines, crashes, delivery.

mod fuzzing;
mod rule_files;
mod templates;
