//! Tests of the store through its public interface, most of them on a disk that fails.

mod blocks;
mod codec;
mod conformance;
mod crash;
mod damage;
mod disk;
mod events;
mod format;
mod guard;
mod head;
mod numbers;
mod replay;
mod snapshot;
mod state;
mod support;
mod wal;
