//! Tests of the filter language: what is read, what is refused and how, what it means.

mod completion;
mod errors;
mod fuzz;
mod language;
mod meaning;
mod random;
