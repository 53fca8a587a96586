//! Tests of the audit: every page's cases.

mod corpus;
mod fuzzing;
mod guide;
mod languages;
mod pages;
