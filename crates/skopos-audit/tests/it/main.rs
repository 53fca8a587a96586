//! Tests of the audit: every page's cases.

mod corpus;
mod fix;
mod fuzzing;
mod gates;
mod guide;
mod languages;
mod manners;
mod names;
mod own;
mod pages;
mod sarif;
mod schema;
mod since;
