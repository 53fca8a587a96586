//! A value that cannot be shown by accident.

use std::fmt;

use crate::REDACTED;

/// A secret. Formatting it in any way, `{}` or `{:?}`, yields [`REDACTED`]; only [`Secret::expose`] gives it away.
///
/// It can be deserialised (feature `serde`) and not serialised: who must send it says so with `expose`. It is not compared in
/// constant time and not wiped when dropped: it guards against logs, not against somebody who reads the memory.
///
/// ```
/// use skopos_redact::Secret;
///
/// let key = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{key} {key:?}"), "[REDACTED] [REDACTED]");
/// assert_eq!(key.expose(), "hunter2");
/// ```
#[derive(Clone, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    ///
    /// ```
    /// let key = skopos_redact::Secret::new("hunter2");
    /// assert_eq!(key.to_string(), "[REDACTED]");
    /// ```
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// Returns the value. Every use is a place to look at in a review.
    ///
    /// ```
    /// let key = skopos_redact::Secret::new("hunter2");
    /// let header = format!("Bearer {}", key.expose());
    /// # assert!(header.ends_with("hunter2"));
    /// ```
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Returns the value and gives the guard up.
    ///
    /// ```
    /// let key = skopos_redact::Secret::new("hunter2".to_owned());
    /// let text: String = key.into_exposed();
    /// # assert_eq!(text, "hunter2");
    /// ```
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

#[cfg(feature = "serde")]
impl<'de, T: serde_core::Deserialize<'de>> serde_core::Deserialize<'de> for Secret<T> {
    fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Secret)
    }
}
