//! Values that must appear in no log, error, answer or page.

use std::fmt;
use std::path::PathBuf;

/// A secret text; prints as `[REDACTED]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; the call site answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the configuration.
    Inline(Secret),
    /// Read at every use, so that it can be rotated; white space at both ends does not count. A
    /// relative path is meant from the folder of the configuration.
    File(PathBuf),
}

impl SecretSource {
    /// A secret written in the configuration.
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints() {
        let secret = SecretSource::inline("hunter2");
        assert_eq!(format!("{secret:?} {}", Secret::new("hunter2")).matches("hunter2").count(), 0);
    }
}
