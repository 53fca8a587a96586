//! The mark of a writer that has stopped for good.

use std::sync::{Arc, OnceLock};

use crate::error::StoreError;

/// Shared by a writer, who sets it, and those who must know.
#[derive(Clone, Debug)]
pub(crate) struct Poison {
    log: &'static str,
    cause: Arc<OnceLock<String>>,
}

impl Poison {
    /// Not poisoned; `log` names the writer in errors.
    pub(crate) fn new(log: &'static str) -> Self {
        Self { log, cause: Arc::default() }
    }

    /// Stops the writer; the first cause stays.
    pub(crate) fn set(&self, cause: impl ToString) {
        let _ = self.cause.set(cause.to_string());
    }

    /// The first cause, when the writer has stopped.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.get().map(String::as_str)
    }

    /// Fails once the writer has stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.cause().map_or(Ok(()), |cause| Err(self.error(cause)))
    }

    /// What is told to those who come too late: the first cause, `cause` when there is none yet.
    pub(crate) fn error(&self, cause: impl ToString) -> StoreError {
        let cause = self.cause().map_or_else(|| cause.to_string(), str::to_owned);
        StoreError::Poisoned { log: self.log, cause }
    }
}
