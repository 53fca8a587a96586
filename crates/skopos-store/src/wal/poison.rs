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

/// Poisons a log when its thread panics: nobody may believe that it still writes.
pub(crate) struct PoisonOnPanic(pub(crate) Poison);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set("its thread has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays_and_a_panic_is_one() {
        let poison = Poison::new("test log");
        assert!(poison.check().is_ok());
        let guard = PoisonOnPanic(poison.clone());
        let thread = std::thread::spawn(move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new("silent"));
        });
        assert!(thread.join().is_err());
        poison.set("later");
        let text = poison.check().unwrap_err().to_string();
        assert!(text.contains("test log") && text.contains("panicked"), "{text}");
    }
}
