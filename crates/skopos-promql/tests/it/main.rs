//! Tests of the language through the crate's outermost boundary.

mod evaluate;
mod fuzz;
mod guide;
mod naive;
mod parse;
mod planner;
mod random;
mod scripts;
mod steps;
