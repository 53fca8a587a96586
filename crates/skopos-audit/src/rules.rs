//! The judges, and the table that binds them to their pages.

use crate::rule::Judge;

/// Pages and judges. Order does not matter: rules are listed by code.
pub(crate) const TABLE: &[(&str, Judge)] = &[];
