//! skopos-store (see ARCHITECTURE.md).

pub mod scan;
