//! Alertmanager's notification templates.

use crate::template::{Library, TemplateError};

/// Parses a text; whether the templates it calls exist is known once their files are read.
pub(crate) fn check(text: &str) -> Result<(), TemplateError> {
    Library::default().undefined(text).map(drop)
}
