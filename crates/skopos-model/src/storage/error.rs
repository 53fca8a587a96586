//! What can go wrong in storage, in terms a caller can act on.

use std::fmt;

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense; repeating it will not help.
    InvalidInput,
    /// What was asked for does not exist.
    NotFound,
    /// A budget or limit was reached; the message names it.
    ResourceExhausted,
    /// The deadline passed.
    DeadlineExceeded,
    /// The caller gave up.
    Cancelled,
    /// Temporarily not possible (head full); repeat later.
    Unavailable,
    /// The disk is full, or has less free space than must stay free; repeat later, it goes on by
    /// itself once there is space.
    StorageFull,
    /// A failed write or fsync has stopped this writer for good; a restart is needed.
    Poisoned,
    /// Stored bytes are damaged.
    Corrupt,
    /// A file was written by a newer version.
    UnsupportedVersion,
    /// Anything else.
    Internal,
}

impl ErrorKind {
    /// Name in snake case, as label values and API answers have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::ResourceExhausted => "resource_exhausted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::StorageFull => "storage_full",
            Self::Poisoned => "poisoned",
            Self::Corrupt => "corrupt",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Internal => "internal",
        }
    }
}

/// A failure of a storage operation.
#[derive(Debug)]
pub struct StorageError {
    /// What class of failure.
    pub kind: ErrorKind,
    /// What happened, where, and what to do, without secrets.
    pub message: String,
    /// The cause, where there is one.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error with its cause.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// Whether repeating the same request later may succeed without a restart or a change.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::StorageFull | ErrorKind::Poisoned)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
