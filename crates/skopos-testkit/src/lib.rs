//! What tests of Skopos share: an in-memory oracle for every storage seam, conformance suites, a
//! clock that stands still until told otherwise, generators of telemetry, a file system that
//! fails.
//!
//! What it is not: part of any product. Nothing here is fast, and everything may panic; it is a
//! dev-dependency only.
//!
//! What it promises:
//! - [`MemStore`] is obviously right: plain vectors, no index, no encoding; it refuses what the
//!   real store refuses, for the same documented reasons.
//! - Generators are seeded: the same seed yields the same telemetry on every machine.
//! - A new implementation of a seam begins by passing its suite in [`conformance`].
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use skopos_model::Clock;
//! use skopos_testkit::{MemStore, VirtualClock};
//!
//! let clock = Arc::new(VirtualClock::default());
//! let store = MemStore::new(clock.clone());
//! let before = clock.now();
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(clock.now().since(before), Duration::from_secs(60));
//! # drop(store);
//! ```

pub mod conformance;
pub mod fault_fs;
pub mod generate;
mod mem_store;
mod virtual_clock;

pub use mem_store::MemStore;
pub use virtual_clock::VirtualClock;
