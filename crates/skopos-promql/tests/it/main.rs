//! Tests of the language through the crate's outermost boundary.

mod scripts;
