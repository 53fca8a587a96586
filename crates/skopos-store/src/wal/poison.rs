//! The mark of a writer that has stopped.
//!
//! Constraints:
//! - A full disk is something that passes: a writer that found no space may go on, after it has
//!   begun a new file. Whatever else a write or an fsync can fail of is for good.
//! - The first failure stays the cause until the writer goes on; one that is for good replaces one
//!   that is not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;

/// Shared by a writer, who sets it, and those who must know.
#[derive(Clone, Debug)]
pub(crate) struct Poison {
    log: &'static str,
    failure: Arc<Mutex<Option<Failure>>>,
}

/// Why a writer has stopped.
#[derive(Clone, Debug)]
struct Failure {
    cause: String,
    /// There was no space; nothing else is wrong.
    no_space: bool,
}

impl Poison {
    /// Not poisoned; `log` names the writer in errors.
    pub(crate) fn new(log: &'static str) -> Self {
        Self { log, failure: Arc::default() }
    }

    /// Stops the writer for good; the first cause stays.
    pub(crate) fn set(&self, cause: impl ToString) {
        self.note(Failure { cause: cause.to_string(), no_space: false });
    }

    /// Stops the writer because of this error: until there is space, when that is what it says.
    pub(crate) fn set_error(&self, error: &StoreError) {
        self.note(Failure { cause: error.to_string(), no_space: error.is_no_space() });
    }

    fn note(&self, failure: Failure) {
        let mut place = self.lock();
        let stays = place.as_ref().is_some_and(|first| !first.no_space || failure.no_space);
        if !stays {
            *place = Some(failure);
        }
    }

    /// The writer goes on, when it had stopped for want of space.
    pub(crate) fn lift(&self) {
        let mut place = self.lock();
        if place.as_ref().is_some_and(|failure| failure.no_space) {
            *place = None;
        }
    }

    /// Whether the writer has stopped for want of space, and may go on.
    pub(crate) fn is_no_space(&self) -> bool {
        self.lock().as_ref().is_some_and(|failure| failure.no_space)
    }

    /// Whether the writer has stopped for good.
    pub(crate) fn is_for_good(&self) -> bool {
        self.lock().as_ref().is_some_and(|failure| !failure.no_space)
    }

    /// The first cause, when the writer has stopped.
    pub(crate) fn cause(&self) -> Option<String> {
        self.lock().as_ref().map(|failure| failure.cause.clone())
    }

    /// Fails once the writer has stopped.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.lock().as_ref().map_or(Ok(()), |failure| Err(self.describe(failure)))
    }

    /// What is told to those who come too late: the first cause, `cause` when there is none yet.
    pub(crate) fn error(&self, cause: impl ToString) -> StoreError {
        match &*self.lock() {
            Some(failure) => self.describe(failure),
            None => self.describe(&Failure { cause: cause.to_string(), no_space: false }),
        }
    }

    fn describe(&self, failure: &Failure) -> StoreError {
        let (log, cause) = (self.log, failure.cause.clone());
        match failure.no_space {
            true => StoreError::NoSpace { log, cause },
            false => StoreError::Poisoned { log, cause },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the system refused for want of space.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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
    use std::path::Path;

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

    #[test]
    fn only_want_of_space_passes() {
        let failed = |kind: io::ErrorKind| StoreError::io("write", Path::new("/d/1"))(kind.into());
        let poison = Poison::new("test log");
        poison.set_error(&failed(io::ErrorKind::StorageFull));
        assert!(poison.is_no_space());
        assert!(matches!(poison.check(), Err(StoreError::NoSpace { .. })));
        // Whoever comes meanwhile is told, and telling on what one was told makes it no worse.
        poison.set_error(&poison.check().unwrap_err());
        assert!(poison.is_no_space());
        poison.lift();
        assert!(poison.check().is_ok());

        poison.set_error(&failed(io::ErrorKind::QuotaExceeded));
        poison.set_error(&failed(io::ErrorKind::Other));
        assert!(poison.is_for_good() && !poison.is_no_space());
        poison.lift();
        assert!(matches!(poison.check(), Err(StoreError::Poisoned { .. })));
    }
}
