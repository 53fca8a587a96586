//! The atomics of what is lock-free here, by the name under which `proofs/interleavings` puts a model checker's in their place.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
