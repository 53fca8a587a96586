//! Tests of the audit: every page's cases.

mod fuzzing;
mod pages;
