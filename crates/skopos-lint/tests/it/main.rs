//! Tests of the rule checks: every page's examples, the guide's own rules, public rules, runbooks.

mod builtin;
mod fuzzing;
mod guide;
mod pages;
mod public;
mod random;
mod report;
mod runbooks;
