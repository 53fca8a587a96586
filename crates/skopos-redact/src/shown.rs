//! What `#[derive(Redacted)]` writes in the place of a field. Not for use by hand.

use std::fmt;

use crate::{REDACTED, Redactor};

/// A field that must not be shown.
pub struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// A field that may be shown unless its name or its text says otherwise, by the built-in rules.
pub struct Shown<'a> {
    /// The field's name, when it decides.
    name: Option<&'static str>,
    value: &'a dyn fmt::Debug,
}

impl<'a> Shown<'a> {
    /// A field that its name may hide.
    pub fn named(name: &'static str, value: &'a dyn fmt::Debug) -> Self {
        Shown { name: Some(name), value }
    }

    /// A field that is shown whatever it is called; the secrets in its text are still taken out.
    pub fn anyway(value: &'a dyn fmt::Debug) -> Self {
        Shown { name: None, value }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redactor = Redactor::default();
        if self.name.is_some_and(|name| redactor.redact_name(name)) {
            return formatter.write_str(REDACTED);
        }
        let text = if formatter.alternate() {
            format!("{:#?}", self.value)
        } else {
            format!("{:?}", self.value)
        };
        formatter.write_str(&redactor.redact_text(&text).text)
    }
}
